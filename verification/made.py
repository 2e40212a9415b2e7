"""What witnesses work on: params, small seeded sounds, clips, results and costs, and the stages of a smaller demo."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.params import PARAMS_FILE, STUDIES, Params, load_params
from beyond_spectrograms.util.code_versions import VERSIONS_FILE

if TYPE_CHECKING:
    from beyond_spectrograms.evaluation.clip_results import Recordings
    from beyond_spectrograms.evaluation.costs import Costs
    from beyond_spectrograms.evaluation.results import Cell, Results

Made = Iterator[tuple[str, Any]]  # name -> array, or what JSON can hold

NOT_WITNESSED = "not witnessed"  # in place of a value: what it would take is not here
CLASSES = ["bird", "engine", "rain"]
SPLITS = ("window", "source")  # those that earlier commits have
EPOCHS = 2
CLIPS, WINDOWS, FOLDS = 36, 3, 3  # clips, windows of each, folds: as many sources as intervals need
# Baselines, a codec whose size the last spectrogram shares, one with a bitrate, and a control.
NAMES = ("mel", "log_mel_2048", "soundstream", "encodec_24khz", "encodec_24khz_untrained", "log_mel_75hz")
ABLATIONS = ("soundstream_6000bps", "soundstream_codes_9200bps")


def all_params() -> Params:
    """Read the root's params with the representations and protocols of every study beside its own."""
    params = load_params()
    for study in ("prototypes", "bitrates"):
        own = load_params(STUDIES / study)
        united = {key: getattr(params, key) | getattr(own, key) for key in ("representations", "protocols")}
        params = params.model_copy(update=united)
    return params.model_copy(update={"splits": {name: params.splits[name] for name in SPLITS}})


def mirrored(url: str) -> Path:
    """Say where the folder of real weights, which `verify` names for both sides, would hold a file."""
    return Path(os.environ.get(MIRROR_VARIABLE, "../shared/mirror")).expanduser() / Path(url).name


def made_sounds(folder: Path, seconds: float = 2.25, clips_per_class: int = 1) -> Path:
    """Synthesise sounds of each of the six classes as <folder>/audio/<label>/<label>_00.wav and so on."""
    from beyond_spectrograms.data.synthesis import synthesise

    synthesise(folder / "audio", seed=0, clips_per_class=clips_per_class, seconds=seconds)
    return folder / "audio"


def made_clips(folder: Path, raw: Path) -> pd.DataFrame:
    """Resample raw/<label>/<file> to folder/clips; gives the table of clips, each a group, in folds 1 to 3."""
    from beyond_spectrograms.data.clips import prepare_clips, publish_clips

    outcomes = prepare_clips(raw, folder / "work", (0.5, 600.0))
    publish_clips(outcomes, folder / "work", folder / "clips")
    table = pd.read_csv(folder / "clips/clips.csv", dtype={"clip": str, "label": str}, keep_default_na=False)
    return table.assign(group=table["clip"], fold=np.arange(len(table)) % 3 + 1)


def run_stages(folder: Path, last: str) -> Path:
    """Run the stages of a cell one after the other up to `last`, on a smaller demo; gives the folder they ran in."""
    project = folder / "project"
    study, record = Path("studies/demo"), Path("datasets/demo.yaml")
    for path in (PARAMS_FILE, VERSIONS_FILE, record, study / PARAMS_FILE):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, project / path)
    with contextlib.chdir(project):
        params = _read(PARAMS_FILE) | {"device": "cpu", "training_precision": "fp32"}
        params["protocols"]["fair"] |= {"epochs": EPOCHS, "seeds": [0]}
        params["run"]["dataset"] = "demo"
        params["grid"]["datasets"] = ["demo"]
        params["splits"] = {name: params["splits"][name] for name in SPLITS}
        params["protocols"] = {name: one for name, one in params["protocols"].items() if one["split"] in SPLITS}
        params["grid"] |= {"protocols": ["fair"], "only": {}}
        _write(PARAMS_FILE, params)
        demo = _read(record)
        demo["source"] |= {"synthetic": {"seed": 0, "clips_per_class": 4, "seconds": 2.5}, "clips": 24}
        _write(record, demo)
        own: dict[str, Any] = {"grid": {"datasets": ["demo"], "representations": ["mel"], "protocols": ["fair"]}}
        if last == "disturb":
            own["disturbances"] = {"noise": {"kind": "noise", "snr_db": 20}, "mp3": {"kind": "mp3", "bitrate_kbps": 64}}
        _write(study / PARAMS_FILE, own)
    stages = {"resolve": [], "download": ["demo"], "resample": ["demo"], "split": ["demo"]}
    stages |= {"featurize": ["demo", "mel"], "train": ["demo", "mel"], "evaluate": ["demo"]}
    stages["disturb"] = ["demo", "mel"]
    given = sys.argv
    with contextlib.chdir(project), contextlib.redirect_stdout(io.StringIO()):
        for stage in list(stages)[: list(stages).index(last) + 1]:
            sys.argv = [stage, "--study=demo", *stages[stage]]
            import_module(f"stages.{stage}").main()
    sys.argv = given
    return project


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _write(path: Path, values: Any) -> None:
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def made_table() -> pd.DataFrame:
    """Tabulate the windows of 36 clips, each a source of its own; every fifth clip is silent at its end."""
    rows = [
        {"clip": f"{CLASSES[number % 3]}/{number}.wav", "label": CLASSES[number % 3], "start_s": float(start)}
        | {"group": f"source {number}", "fold": number // 3 % FOLDS + 1, "silent": int(number % 5 == 0 and start == 2)}
        for number in range(CLIPS)
        for start in range(WINDOWS)
    ]
    return pd.DataFrame(rows).sort_values(["label", "clip", "start_s"], ignore_index=True)


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
