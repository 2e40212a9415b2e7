"""What the nouns from evaluation on make of small made results; the others and the rules: verification/witnesses.py."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from beyond_spectrograms.evaluation.ladder import find_leaks
from beyond_spectrograms.evaluation.records import ERROR
from beyond_spectrograms.params import Params, load_params
from verification.witnesses import CLASSES, NOT_WITNESSED, Made, mirrored, run_stages

if TYPE_CHECKING:
    from beyond_spectrograms.evaluation.clip_results import Recordings
    from beyond_spectrograms.evaluation.costs import Costs
    from beyond_spectrograms.evaluation.results import Cell, Results

CLIPS, WINDOWS, FOLDS = 36, 3, 3  # clips, windows of each, folds: as many sources as intervals need
MEASURES = ("training_accuracy", "training_loss", "validation_accuracy", "validation_loss")
# Baselines, a codec whose size the last spectrogram shares, one with a bitrate, and a control.
NAMES = ("mel", "log_mel_2048", "soundstream", "encodec_24khz", "encodec_24khz_untrained", "log_mel_75hz")
ABLATIONS = ("soundstream_6000bps", "soundstream_codes_9200bps")


def made_table() -> pd.DataFrame:
    """Tabulate the windows of 36 clips, each a source of its own; every fifth clip is silent at its end."""
    rows = [
        {"clip": f"{CLASSES[number % 3]}/{number}.wav", "label": CLASSES[number % 3], "start_s": float(start)}
        | {"group": f"source {number}", "fold": number // 3 % FOLDS + 1, "silent": int(number % 5 == 0 and start == 2)}
        for number in range(CLIPS)
        for start in range(WINDOWS)
    ]
    return pd.DataFrame(rows).sort_values(["label", "clip", "start_s"], ignore_index=True)


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


def made_recordings(name: str, number: int, seeds: int) -> Recordings:
    """Draw how a cell did on the clips; the higher its number, the better."""
    from beyond_spectrograms.evaluation.clip_results import Recordings

    rng, table = np.random.default_rng(number), made_table().drop_duplicates("clip")
    counts = rng.binomial(WINDOWS, 0.5 + 0.05 * number, size=(seeds, CLIPS))
    runs = [(fold, seed) for fold in range(1, FOLDS + 1) for seed in range(seeds)]
    tests = np.array([table["fold"] == fold for fold, _ in runs])
    right = np.where(tests, counts[[seed for _, seed in runs]], 0)
    return Recordings(
        cell=name,
        clips=tuple(table["clip"]),
        labels=tuple(table["label"]),
        sources=tuple(table["group"]),
        runs=tuple(runs),
        windows=np.where(tests, WINDOWS, 0),
        windows_right=right,
        right=right >= 2,
        right_by_seeds=counts.sum(0) >= 1.5 * seeds,
    )


def made_cell(params: Params, name: str, protocol: str, number: int) -> Cell:
    """Make all that is known of a cell of three folds and two seeds; one run of `number` 3 under `paper` diverged."""
    from beyond_spectrograms.evaluation.convergence import Curve
    from beyond_spectrograms.evaluation.records import Scores
    from beyond_spectrograms.evaluation.results import Cell
    from beyond_spectrograms.evaluation.uncertainty import recording_interval, window_interval

    seeds = 2
    recordings = made_recordings(f"{name}-{protocol}", number, seeds)
    intervals = [make(recordings, params.statistics) for make in (window_interval, recording_interval)]
    share = intervals[0].value
    accuracies: dict[str, Any] = dict.fromkeys(("window_accuracy", "recording_accuracy", "class_accuracy"), share)
    runs: list[dict[str, Any]] = [
        {"fold": fold, "seed": seed, "epoch": 8 + fold, "weights_sha256": None, **accuracies}
        for fold in range(1, FOLDS + 1)
        for seed in range(seeds)
    ]
    for run in runs:
        run["diverged_at_epoch"] = 5 if (number, protocol, run["fold"], run["seed"]) == (3, "paper", 1, 1) else None
    both: dict[str, Any] = {"window_accuracy": share, "recording_accuracy": share, "class_accuracy": share / 2}
    counted: dict[str, Any] = {"folds": FOLDS, "seeds": seeds, "windows": seeds * CLIPS * WINDOWS, "silent_windows": 16}
    counted |= {"recordings": CLIPS, "diverged_runs": sum(run["diverged_at_epoch"] is not None for run in runs)}
    confusion = {"classes": CLASSES, "counts": [[30, 4, 2], [5, 28, 3], [0, 6, 30]]}
    seconds = {f"fold_{run['fold']}-seed_{run['seed']}": 2.5 for run in runs}
    made: dict[str, Any] = {
        "training": {"device": "cpu", "precision": "fp32", "seconds_by_run": seconds},
        "provenance": {"params": "made", "data": "made", "versions": {}},
    }
    scores = Scores.model_validate(
        both | counted | made | {"without_silent": both, "by_fold": runs, "confusion": confusion}
    )
    epochs = np.arange(1, 13)
    curves = []
    for run in runs:
        rise = share * epochs / (epochs + 6 - number / 2 + run["fold"] / 10 + run["seed"] / 7)
        curves.append(Curve(run["fold"], run["seed"], rise, 3 / epochs, 0.9 * rise, 4 / epochs + number / 10))
    return Cell(scores, tuple(curves), recordings, *intervals)


def made_results(params: Params) -> Results:
    """Make the results of a data set under four rungs of the ladder, the ablations under `fair`."""
    from beyond_spectrograms.evaluation.records import Features, Splits
    from beyond_spectrograms.evaluation.results import Results

    few = {name: ["fair"] for name in (*ABLATIONS, "log_mel_75hz")}
    params = params.model_copy(update={"grid": params.grid.model_copy(update={"only": few})})
    protocols, rows = ("paper", "best_checkpoint", "source_split", "fair"), NAMES
    cells = {(name, p): made_cell(params, name, p, n) for p in protocols for n, name in enumerate(NAMES)}
    cells |= {(name, "fair"): made_cell(params, name, "fair", 3 + n) for n, name in enumerate(ABLATIONS)}
    shapes = {"mel": (128, 173), "soundstream": (64, 50), "encodec_24khz": (128, 75), "log_mel_75hz": (128, 75)}
    features = {
        name: Features(windows=108, bands=bands, frames=frames, bytes=4 * 108 * bands * frames, variance={})
        for name, (bands, frames) in shapes.items()
    }
    columns = {"window": {"window": 11}, "source": {f"source_{fold}": 0 for fold in range(1, FOLDS + 1)}}
    splits = Splits.model_validate(
        {
            "recordings": CLIPS,
            "splits": {
                split: {column: {"recordings_in_two_parts": count} for column, count in folds.items()}
                for split, folds in columns.items()
            },
        }
    )
    ablated = ("fair",)
    params = params.model_copy(update={"datasets": {**params.datasets, "made": params.datasets["demo"]}})
    return Results("made", (*rows, "encodec_48khz"), protocols, ABLATIONS, ablated, params, splits, features, cells)


def made_costs(name: str) -> Costs:
    """Make costs of a representation and the baselines in six rounds."""
    from beyond_spectrograms.evaluation.costs import TIMES, Costs

    def one(seconds: float) -> dict[str, Any]:
        sizes: dict[str, Any] = {
            f"{way}_{kind}_bytes": 1_000_000 for way in ("cached", "file") for kind in ("peak", "total")
        }
        sizes |= {"cached_bytes_per_s": 1000.0, "raw_bytes_per_s": 88_200.0, "coded_bytes_per_s": 750.0}
        return {**{key: [seconds * turn for turn in range(1, 7)] for key in TIMES}, **sizes, "parameters": 10}

    measured = {"mel": one(0.002), "log_mel_2048": one(0.0031), name: one(0.0013 + len(name) / 1e5)}
    costs: dict[str, Any] = {
        "mark": "made",
        "dataset": "made",
        "representation": name,
        "clips": 12,
        "seconds_of_sound": 36.0,
        "rounds": 6,
    }
    return Costs.model_validate(costs | {"threads": 1, "processor": "any", "representations": measured})


def costs(params: Params, folder: Path) -> Made:
    """Work out sizes, ratios and the table of costs; which clips are drawn, and the networks that are timed."""
    from beyond_spectrograms.data.synthesis import synthesise
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
    synthesise(folder / "audio", seed=0, clips_per_class=1, seconds=1.5)
    names = sorted(path.relative_to(folder / "audio").as_posix() for path in folder.rglob("*.wav"))
    windows = pd.DataFrame([{"clip": n, "label": n.split("/")[0], "start_s": s} for n in names for s in (0.0, 0.5)])
    settings = params.costs
    drawn = choose_sounds(
        windows, folder / "audio", count=settings.clips, seed=settings.seed, length_s=1.0, plausible=(0.5, 60.0)
    )
    clips = [[clip.path.name, clip.seconds, clip.rows.tolist(), clip.starts] for clip in drawn.clips]
    yield "drawn", [clips, drawn.windows, drawn.classes, drawn.seconds, settings.rounds]
    for kind, size in (("latents", None), ("codes", 16)):
        network = timed_network("conv1d", 4, 50, 3, codebook_size=size, stacked=None)
        yield f"network/{kind}", [[list(p.shape), float(p.detach().double().sum())] for p in network.parameters()]


def leakage(params: Params, folder: Path) -> Made:
    """Audit six sounds and three copies of them: fingerprints, pairs, what stands in two parts, cues and the report."""
    import soundfile

    from beyond_spectrograms.data.clips import prepare_clips, publish_clips
    from beyond_spectrograms.data.splits import assign_parts
    from beyond_spectrograms.data.synthesis import synthesise
    from beyond_spectrograms.leakage import audit, cues, fingerprints, tables

    raw = folder / "audio"
    synthesise(raw, seed=0, clips_per_class=3, seconds=2.5)
    sound, rate = soundfile.read(raw / "rain/rain_00.wav")
    noise = np.random.default_rng(0).normal(0, 0.003, len(sound))
    soundfile.write(raw / "rain/noisy.wav", 0.5 * sound + noise, rate)
    soundfile.write(raw / "fire/cut.wav", soundfile.read(raw / "bird/bird_01.wav")[0][rate:], rate)
    (raw / "engine/copy.wav").write_bytes((raw / "engine/engine_00.wav").read_bytes())
    publish_clips(prepare_clips(raw, folder / "work", (0.5, 60.0)), folder / "work", folder / "clips")
    clips = pd.read_csv(folder / "clips/clips.csv").assign(group=lambda table: table["clip"])
    clips["fold"] = np.arange(len(clips)) % 3 + 1
    table = clips.loc[clips.index.repeat(2)].reset_index(drop=True)
    parts = assign_parts(table, params.splits)
    heard = audit.fingerprint_clips(folder / "clips", clips["clip"])
    for clip, one in zip(clips["clip"], heard, strict=True):
        yield f"fingerprints/{clip}", one.cells
    yield "digests", [one.digest for one in heard]
    yield "evidence", [fingerprints.evidence(one.cells) for one in heard]
    places = audit.parts_of_clips(table, parts, clips["clip"])
    pairs = audit.find_pairs(clips, heard, places, params.audit.near_strength, [["rain/noisy.wav", "rain/rain_00.wav"]])
    yield "pairs", [audit.describe_pair(pair) for pair in pairs]
    known = {"copies": [["engine/copy.wav", "engine/engine_00.wav"]]}
    repetitions = audit.describe_repetitions(clips, pairs, places, known)
    described = audit.describe_splits(table, parts, params.splits, pairs, repetitions)
    yield "splits", described
    measured = cues.measure_cues(folder / "clips", clips)
    yield "cues", measured.to_numpy(np.float64)
    by_clip = pd.DataFrame({column: [min(of, default="") for of in sets] for column, sets in places.items()})
    few = params.audit.model_copy(update={"trees": 20})
    columns = [column for column in by_clip if column.startswith("source")]
    scored = cues.score_cues(measured, clips["label"], clips["group"], by_clip[columns], few)
    yield "cues/scores", scored
    report = {
        "dataset": "made", "clips": len(clips), "groups": len(clips), "near_strength": params.audit.near_strength,
        "clips_too_quiet_to_compare": 1, "splits": described, "cues": {"source": scored},
        "heard_before": {"mel": ["freesound"]},
        "known_errors": {"moved": ["a"], "repetitions": repetitions},
        "pairs": [audit.describe_pair(pair) for pair in pairs],
    }  # fmt: skip
    yield "report", tables.print_audit(report)


def label_scores(params: Params, folder: Path) -> Made:  # noqa: ARG001  a witness's contract
    """Score made answers of several labels, of three folds with two seeds and of one fold, and find thresholds."""
    from beyond_spectrograms.evaluation.label_scores import (
        MEASURES,
        Judged,
        find_thresholds,
        measure,
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
    one, other = (measure(each.by_fold(), statistics) for each in judged)
    for name in MEASURES:
        found = one.difference(other, name, statistics)
        yield f"difference/{name}", [found.difference.value, found.difference.low, found.difference.high, found.p]


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


def codec(params: Params, folder: Path) -> Made:  # noqa: ARG001  a witness's contract
    """Train small codecs of the study on made sounds for some steps, and judge what they make of one."""
    from beyond_spectrograms.codec.measures import judge_codec
    from beyond_spectrograms.codec.network import load_codec
    from beyond_spectrograms.codec.sounds import Corpus
    from beyond_spectrograms.codec.training import CodecRun, train_codec
    from beyond_spectrograms.data.audio import Format

    rng, form = np.random.default_rng(0), Format(16_000, 1)
    sounds = [rng.normal(0, 0.05, (1, 16_000)).astype(np.float32) for _ in range(3)]
    corpus = Corpus(sounds, np.ones(3), np.array([False, True, False]), form)
    recipe = load_params(Path("studies/codec")).codecs["pilot"]
    network = recipe.network.model_copy(update={"filters": 2, "entries": 16, "bitrates": [600]})
    against = {"filters": 2, "n_ffts": [256], "share": 0.5}
    settings: dict[str, dict[str, Any]] = {
        "plain": {},
        "adversarial": {"losses": "released", "discriminator": against},
        "linear": {"start": "linear", "weights": {"si_snr": 5.0}},
    }
    for name, changes in settings.items():
        small = {"network": network.model_dump(), "window_s": 0.2, "batch_size": 4, "steps": [0, 3], "seeds": [0]}
        mine = type(recipe).model_validate(recipe.model_dump() | small | changes)
        run = CodecRun(mine, 0, pd.DataFrame({"clip": ["made"]}), "cpu", {}, folder / name)
        train_codec(run, corpus)
        for step in mine.steps:
            trained, _ = load_codec(run.kept(step))
            for key, value in trained.state_dict().items():
                yield f"{name}/{step}/{key}", value.numpy()
            qualities, used = judge_codec(trained, sounds[:1], 600)
            yield f"{name}/{step}/judged", [list(qualities[0]), [list(each) for each in used]]


def report(params: Params, folder: Path) -> Made:  # noqa: ARG001  a witness's contract
    """Print the tables of made results as Markdown, and what figures and page are drawn from."""
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
    names = load_params(Path("studies/prototypes")).grid.protocols
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


def sonification(params: Params, folder: Path) -> Made:  # noqa: ARG001  a witness's contract
    """Play prototypes of spectra, and of latents where Lyra's decoder is here; what prototypes do to windows."""
    import torch

    from beyond_spectrograms.classifiers.base import last_layer
    from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
    from beyond_spectrograms.classifiers.registry import build_network
    from beyond_spectrograms.representations.mel import MelSpectrogram
    from beyond_spectrograms.sonification import trained
    from beyond_spectrograms.sonification.play import difference_db
    from beyond_spectrograms.sonification.players import create_player, match_level

    table, rng = made_table(), np.random.default_rng(0)
    name = "log_mel_16khz"
    record = params.representations[name]
    assert record.kind == "mel"
    bands = record.n_mels
    values = (10 * rng.standard_normal((len(table), bands, 32)) - 50).astype(np.float32)
    targets = torch.from_numpy(np.searchsorted(CLASSES, table["label"].to_numpy(dtype=str)))
    for protocol in ("prototypes", "clusters", "latent_prototypes"):
        torch.manual_seed(0)
        network = build_network(params.protocols[protocol], bands, 32, len(CLASSES), None)
        layer = last_layer(network.eval(), PrototypeLayer)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
        rows = trained.choose_windows(table, np.arange(len(table)), 2, 0)
        yield f"{protocol}/chosen", rows
        for number, average in enumerate(trained.averages(layer, values, np.arange(20), targets[:20])):
            yield f"{protocol}/{number}/plain", average.plain
            if average.transformed is not None:
                yield f"{protocol}/{number}/transformed", average.transformed
        window = trained.render_window(layer, values, table, rows[0], CLASSES, seconds=1.0)
        for made in window.reconstructions:
            yield f"{protocol}/{made.label}/rendered", made.features
            yield f"{protocol}/{made.label}/curves", {title: v.tolist() for title, v in made.curves.items()}
            yield f"{protocol}/{made.label}/error", made.error
    player = create_player(name, record, None, 0)
    played = player.play(values[0])
    yield "played", played
    yield "frequencies", np.asarray(player.frequencies)
    yield "level", match_level(played[:8000] * 3, player.form.sample_rate)
    yield "likeness", difference_db(MelSpectrogram(name, record), played, np.roll(played, 40), player.form.sample_rate)
    decoder = mirrored(params.weights["soundstream_decoder"].url)
    if not decoder.is_file():
        yield "played/soundstream", NOT_WITNESSED
    else:
        sounding = create_player("soundstream", params.representations["soundstream"], decoder, 0)
        yield "played/soundstream", sounding.play(rng.standard_normal((64, 20)).astype(np.float32))
