"""What the nouns from evaluation on make of small made answers and results; the rules of witnesses: witnesses.py."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from beyond_spectrograms.evaluation.ladder import find_leaks
from beyond_spectrograms.evaluation.records import ERROR
from beyond_spectrograms.params import STUDIES, Params, load_params
from verification.made import (
    CLASSES,
    FOLDS,
    NAMES,
    WINDOWS,
    Made,
    made_costs,
    made_recordings,
    made_results,
    made_sounds,
    made_table,
    run_stages,
)


def evaluation(params: Params, folder: Path) -> Made:
    """Predictions, scores and recordings of stored weights."""
    from beyond_spectrograms.evaluation.metrics import score, tabulate_predictions, tabulate_recordings

    table = made_table()
    for name in ("paper", "fair", "prototypes", "clusters", "kmeans", "temporal_cnn", "apnet", "autoencoder_kmeans"):
        runs = _predicted(params, name, table, folder)
        predictions = tabulate_predictions(runs, table, CLASSES)
        yield f"predictions/{name}", predictions.drop(columns="group").to_csv(index=False)
        recordings = tabulate_recordings(predictions, CLASSES)
        yield f"recordings/{name}", recordings.drop(columns=["group", ERROR], errors="ignore").to_csv(index=False)
        if ERROR in recordings:
            yield f"recordings/{name}/errors", recordings[ERROR].to_numpy()
        scores = score(runs, predictions, CLASSES)
        for run in scores["by_fold"]:
            del run["weights_sha256"]
        yield f"scores/{name}", scores
    yield from _evaluated(run_stages(folder, "evaluate"))


def _evaluated(project: Path) -> Made:
    """Tell what a stage wrote of the demo's one cell: answers by window and by recording, and the learning curve."""
    from beyond_spectrograms.data.windows import read_windows
    from beyond_spectrograms.evaluation.metrics import tabulate_predictions
    from beyond_spectrograms.evaluation.predict import read_predictions
    from beyond_spectrograms.evaluation.records import PREDICTIONS_FILE
    from beyond_spectrograms.util.files import read_sealed

    table, models = read_windows(project / "data/splits/demo"), project / "data/models/demo/demo/mel/fair"
    cell = {"representation": "mel", "protocol": "fair"}
    answers = [read_predictions(path, len(table)) for path in sorted(models.glob("*.predictions.safetensors"))]
    windows = tabulate_predictions(answers, table, sorted(table["label"].unique()))
    windows = windows.drop(columns=["group", *(column for column in windows if column.startswith("p_"))])
    rows = pd.DataFrame([cell] * len(windows)).join(windows)
    yield "stages/predictions", rows.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    recordings = pd.read_csv(project / f"studies/demo/metrics/demo/{PREDICTIONS_FILE}", dtype=str)
    yield "stages/recordings", recordings.drop(columns="group").to_csv(index=False, lineterminator="\n")
    history = []
    for path in sorted(models.glob("*.json")):
        if (record := read_sealed(path)) is not None:
            fold, seed = path.stem.removeprefix("fold_").split("-seed_")
            named = cell | {"fold": int(fold), "seed": int(seed)}
            history += [named | dict(zip(record["columns"], row, strict=True)) for row in record["history"]]
    curves = pd.DataFrame(history).astype({"epoch": int})
    yield "stages/history", curves.to_csv(index=False, lineterminator="\n")


def _predicted(params: Params, name: str, table: pd.DataFrame, folder: Path) -> list[Any]:
    """Classify made windows by seeded, untrained networks of three folds and two seeds."""
    import torch

    from beyond_spectrograms.classifiers.registry import build_network
    from beyond_spectrograms.evaluation.predict import predict
    from beyond_spectrograms.training.run import RunConfig, TrainingState, write_result

    protocol, rng = params.protocols[name], np.random.default_rng(0)
    values = (10 * rng.standard_normal((len(table), 24, 50)) - 50).astype(np.float32)
    np.save(folder / "features.npy", values)
    features, runs = np.load(folder / "features.npy", mmap_mode="r"), []
    for fold in range(1, FOLDS + 1):
        for seed in (0, 1):
            torch.manual_seed(10 * fold + seed)
            network = build_network(protocol, 24, 50, len(CLASSES), None)
            parts = np.where(table["fold"] == fold, "test", "train")
            settings = (tuple(CLASSES), None, protocol, 1, fold, seed, "cpu", folder)
            config = RunConfig(folder, np.zeros(len(table), np.int64), parts, *settings, versions={})
            weights = {key: value.contiguous() for key, value in network.state_dict().items()}
            write_result(config, TrainingState(best_epoch=fold), weights, "", (), last=weights)
            rows = np.flatnonzero(parts == "test")
            runs.append(
                predict(
                    folder / f"{config.name}.safetensors", protocol, features,
                    rows=rows, classes=CLASSES, codebook_size=None, fold=fold, seed=seed, device="cpu",
                )
            )  # fmt: skip
    return runs


def costs(params: Params, folder: Path) -> Made:
    """Work out sizes, ratios and the table of costs; which clips are drawn, and the networks that are timed."""
    from beyond_spectrograms.evaluation.cost_measurement import choose_sounds, timed_network
    from beyond_spectrograms.evaluation.costs import cached_bytes_per_second, coded_bytes_per_second, paired_ratios
    from beyond_spectrograms.report.costs import costs_table

    yield "bytes", [cached_bytes_per_second(128, 75, 1.0), cached_bytes_per_second(64, 50, 0.5, 2)]
    yield "coded_bytes", [coded_bytes_per_second(None), coded_bytes_per_second(6000)]
    measured = {name: made_costs(name) for name in ("mel", "soundstream")}
    for key in ("cached_s_per_s", "file_s_per_s", "training_s_per_window"):
        yield f"ratios/{key}", paired_ratios(measured["soundstream"], "log_mel_2048", key)
    table = costs_table(made_results(params), measured)
    assert table is not None
    yield "table", table.rows
    raw = made_sounds(folder, 1.5)
    names = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.wav"))
    windows = pd.DataFrame([{"clip": n, "label": n.split("/")[0], "start_s": s} for n in names for s in (0.0, 0.5)])
    settings = params.costs
    drawn = choose_sounds(windows, raw, count=settings.clips, seed=settings.seed, length_s=1.0, plausible=(0.5, 60.0))
    clips = [[clip.path.name, clip.seconds, clip.rows.tolist(), clip.starts] for clip in drawn.clips]
    yield "drawn", [clips, drawn.windows, drawn.classes, drawn.seconds, settings.rounds]
    for kind, size in (("latents", None), ("codes", 16)):
        network = timed_network("conv1d", 4, 50, 3, codebook_size=size, stacked=None)
        yield f"network/{kind}", [[list(p.shape), float(p.detach().double().sum())] for p in network.parameters()]


def label_scores(params: Params, folder: Path) -> Made:  # noqa: ARG001  a witness's contract
    """Score made answers of several labels, of three folds with two seeds and of one fold, and find thresholds."""
    from beyond_spectrograms.evaluation.label_scores import (
        Judged,
        find_thresholds,
        score,
        score_cell,
    )

    table, rng = made_table(), np.random.default_rng(0)
    clips = table.drop_duplicates("clip", ignore_index=True)
    others = clips["label"].iloc[::-1].to_numpy()
    labels = ["|".join(sorted({one, other})) for one, other in zip(clips["label"], others, strict=True)]
    classes = sorted(clips["label"].unique())
    numbers = np.arange(len(clips))
    runs = []
    for seed in (0, 1):
        rows = clips.assign(label=labels, fold=1 + numbers % 3, seed=seed, group=clips["clip"])
        for place, label in enumerate(classes):
            given = rows["label"].str.contains(label) * 0.3 + rng.random(len(rows))
            rows = rows.assign(**{f"p_{place}": given, f"p_{label}": given})
        runs.append(rows)
    answers, statistics = (
        pd.concat(runs, ignore_index=True),
        params.statistics.model_copy(update={"minimum_sources": 5}),
    )
    yield "folds", score_cell(answers, answers, classes, statistics)
    alone = answers.assign(fold=1)
    yield "drawn", score_cell(alone, alone, classes, statistics)
    judged = [
        Judged(tuple(classes), rows.assign(part=part), rows[[f"p_{label}" for label in classes]].to_numpy())
        for rows, part in zip(runs, ("validation", "test"), strict=True)
    ]
    thresholds = find_thresholds(judged[0])
    yield "thresholds", {str(fold): values.tolist() for fold, values in thresholds.items()}
    yield "scored", score(judged[1], judged[1].passing(thresholds))


def trials(params: Params, folder: Path) -> Made:
    """Draw and read trials of made speakers, and judge the cosines of every kind of embedding of made features."""
    from beyond_spectrograms.data.trials import list_recordings, make_trials, read_trials, speakers_aside
    from beyond_spectrograms.evaluation.embeddings import embed, normalize, summarize_windows
    from beyond_spectrograms.evaluation.verification import evaluate_trials, score_cosines
    from beyond_spectrograms.params import Embedding, MadeTrials, Verification

    table, rng = made_table(), np.random.default_rng(0)
    speakers = table["clip"].str.extract(r"(\d+)\.", expand=False).astype(int) % 6
    table["label"] = "speaker " + speakers.astype(str)
    features = rng.normal(size=(len(table), 5, 8)).astype(np.float32)
    features += speakers.to_numpy(dtype=np.float32)[:, None, None] / 6
    recordings = list_recordings(table)
    drawn = make_trials("made", recordings, MadeTrials(seed=0, pairs=40, folds=2))
    yield "drawn", drawn.to_csv(index=False)
    listed = folder / "list.txt"
    rows = (f"{int(row.target)} {row.first} {row.second}\n" for row in drawn.itertuples())
    listed.write_text("".join(rows), encoding="utf-8")
    yield "read", read_trials(listed, recordings).to_csv(index=False)
    statistics = params.statistics.model_copy(update={"minimum_sources": 5})
    windows, aside = summarize_windows(features), speakers_aside(recordings, drawn)
    for summary in ("mean", "mean_deviation"):
        for scaled in ("none", "centre", "standardize"):
            way = Embedding(summary=summary, normalize=scaled)
            settings = Verification(embeddings={"way": way}, resamples=100, seed=0, target_prior=0.1)
            vectors = embed(*windows, table["clip"], way)
            by_fold = {fold: normalize(vectors, others, way, "made") for fold, others in aside.items()}
            cosines = score_cosines(drawn, by_fold, recordings)
            yield f"cosines/{summary}/{scaled}", cosines
            yield f"judged/{summary}/{scaled}", evaluate_trials(drawn, cosines, recordings, settings, statistics)


def report(params: Params, folder: Path) -> Made:  # noqa: ARG001  a witness's contract
    """Print most tables of made results as Markdown, and the curves that a page draws.

    Further tables, figures and pages are made of the results in git by a long test, and held against those in git.
    """
    from beyond_spectrograms.evaluation.claims import CLAIMS, judge, rules
    from beyond_spectrograms.evaluation.comparisons import compare_pairs
    from beyond_spectrograms.evaluation.metrics import variance_of
    from beyond_spectrograms.evaluation.uncertainty import compare_folds, gap, holm, median_interval
    from beyond_spectrograms.report import prototypes
    from beyond_spectrograms.report.claims import claims_table
    from beyond_spectrograms.report.convergence import tidy_curves
    from beyond_spectrograms.report.dataset_report import tabulate
    from beyond_spectrograms.report.page import curves
    from beyond_spectrograms.report.table import to_csv, to_markdown

    results = made_results(params)
    for (representation, protocol), cell in results.cells.items():
        for kind in ("window", "recording"):
            yield f"intervals/{representation}-{protocol}/{kind}", asdict(getattr(cell, f"{kind}_interval"))
    first, second = (results.cell(name, "fair").recordings for name in NAMES[1:3])
    assert first is not None
    assert second is not None
    yield "intervals/gap", asdict(gap(first, second, params.statistics))
    by_fold = {(f, s): f / 7 + s / 90 for f in (1, 2, 3) for s in (0, 1)}
    yield "intervals/folds", asdict(compare_folds(by_fold, params.statistics, 0.1))
    yield "intervals/median", asdict(median_interval([1.0, 1.5, 1.25, 3.0, 0.5, 1.75, 2.0], params.statistics))
    yield "holm", holm([0.01, None, 0.04, 0.02])
    yield "pairs", [asdict(pair) for pair in compare_pairs(results)]
    yield "verdicts", [asdict(verdict) for verdict in judge(results, {"soundstream": made_costs("soundstream")})]
    yield "rules", rules(results)
    measured = {name: made_costs(name) for name in ("mel", "soundstream")}
    made = tabulate(results, compare_pairs(results), measured)
    made |= {"summary": made.pop("results"), "bitrates": made.pop("bitrates-fair")}
    verdicts = judge(results, measured)
    made |= {f"claims/{claim}": claims_table(results, verdicts, claim) for claim in CLAIMS}
    names = load_params(STUDIES / "prototypes").grid.protocols
    protocols = {name: params.protocols[name] for name in names}
    cells = {name: _prototype_cell(name, number) for number, name in enumerate(names)}
    made["prototypes"] = prototypes.tabulate_cells("made", "log_mel_16khz", cells, params.statistics)
    for what, steps in (
        ("leaks", find_leaks(protocols, params.splits)),
        ("steps", prototypes.find_steps(protocols)),
    ):
        made[what] = prototypes.tabulate_differences(what, cells, steps, params.statistics, "recordings")
    for name, table in made.items():
        yield name, to_markdown(table)
        yield f"{name}/csv", to_csv(table.rows, list(table.rows[0]))
    yield "curves", tidy_curves(results)
    yield "page/curves", curves.drawn([results])
    rng = np.random.default_rng(0)
    yield "variance", variance_of(rng.normal(size=(9, 4, 5)).astype(np.float32), np.arange(1, 8))


def _prototype_cell(name: str, number: int) -> Any:
    from beyond_spectrograms.report.prototypes import Cell, sum_errors

    recordings = made_recordings(name, number % 6, 3)
    rng = np.random.default_rng(number)
    windows = pd.DataFrame(
        [
            {"seed": seed, "clip": clip, "reconstruction_error": rng.gamma(2)}
            for seed in range(3)
            for clip in recordings.clips
            for _ in range(WINDOWS)
        ]
    )
    added = windows.groupby(["seed", "clip"])["reconstruction_error"].sum().unstack()[list(recordings.clips)].to_numpy()
    by_run = added[[seed for _, seed in recordings.runs]]
    recordings = replace(recordings, errors=np.where(recordings.windows > 0, by_run, 0.0))
    runs = [
        {"fold": fold, "seed": seed, "class_accuracy": 0.5 + fold / 10 + seed / 100, "adjusted_rand": 0.3 + seed / 10}
        for fold in range(1, FOLDS + 1)
        for seed in range(3)
    ]
    return Cell(runs, recordings, recordings.by_recording(), sum_errors(recordings, 2.5), 7.5)
