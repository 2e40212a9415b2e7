"""A small project as the stages before the page leave it: cells.py's files, and sounds, recordings, times, verdicts."""

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from cells import CLASSES, FOLDS, write, write_dataset, write_params, write_rows

from beyond_spectrograms.params import load_params
from beyond_spectrograms.results import Curve, Results
from stages.report import read_results

REPRESENTATIONS = ["mel", "log_mel_2048", "soundstream", "encodec_24khz_untrained"]
PROTOCOLS = ["paper", "fair"]
TONES = (500.0, 1000.0, 2000.0)  # Hz, of a clip's three seconds
CLAIMS = ("convergence", "equal_epochs", "speed_cached")
TABLE = """# {dataset}: window accuracy

| representation | fair %              | note                |
|----------------|---------------------|---------------------|
| mel            | 50.0 [40.1, 59.9]   |                     |
| soundstream    | 75.0 [66.0, 83.2] * | <b>not bold</b> & so |

- In brackets: 95% interval.
"""


def clip_names() -> list[str]:
    return [f"{label}/{number}.wav" for label in CLASSES for number in range(4)]


def write_project(folder: Path, *datasets: str) -> None:
    """Write all that `python -m stages.page` and, where `demo` is among them, `--demo` read."""
    grid = {"datasets": [*datasets, "esc50"], "representations": REPRESENTATIONS, "protocols": PROTOCOLS}
    demo = {"representations": REPRESENTATIONS, "protocols": PROTOCOLS}
    write_params(folder, grid=grid, demo=demo, ablations={"representations": [], "protocols": []})
    for dataset in datasets:
        write_dataset(folder, dataset, REPRESENTATIONS, PROTOCOLS)
        for name in REPRESENTATIONS:
            for protocol in PROTOCOLS:
                complete_cell(folder, dataset, name, protocol)
        write(folder / f"metrics/tables/{dataset}/results.md", TABLE.format(dataset=dataset))
        write(folder / f"metrics/datasets/{dataset}.json", json.dumps({"files": 13, "clips": 12, "classes": 3}))
        origin = {"kind": "archive", "licence": "CC BY 3.0", "manifest_sha256": "ab" * 32}
        write(folder / f"data/raw/{dataset}/source.json", json.dumps(origin))
        for clip in clip_names():
            write_clip(folder / f"data/clips/{dataset}/mono_16000/{clip}.flac")
    write(folder / "metrics/claims.json", json.dumps(claims(*datasets)))
    if "demo" in datasets:
        write(folder / "metrics/demo/claims.json", json.dumps(claims("demo")))
        write(folder / "metrics/demo/results.md", TABLE.format(dataset="demo"))


def results_of(folder: Path, dataset: str) -> Results:
    """Read a data set's results in `folder`: stages name their files from where they run."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        params = load_params()
        return read_results(params, dataset, params.grid, params.ablations)
    finally:
        os.chdir(before)


def curve(*accuracies: float, fold: int = 1) -> Curve:
    """Make a run's curve whose training loss is twice, and whose validation loss one minus, the accuracy."""
    values = np.array(accuracies)
    return Curve(fold, 0, values, 2 * values, values, 1 - values)


def write_clip(path: Path) -> None:
    """Write three seconds at 16 kHz: a tone each."""
    seconds = np.arange(16_000) / 16_000
    samples = np.concatenate([0.5 * np.sin(2 * np.pi * hertz * seconds) for hertz in TONES])
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, 16_000, format="FLAC", subtype="PCM_24")


def complete_cell(folder: Path, dataset: str, name: str, protocol: str, diverged: Collection[int] = ()) -> None:
    """Add what evaluate and train write beside scores and history; every bird's second window is called rain.

    The runs of the folds `diverged` ended in a loss that is not finite.
    """
    cell = f"{dataset}/{name}-{protocol}"
    scores_path = folder / f"metrics/scores/{cell}.json"
    scores = json.loads(scores_path.read_text(encoding="utf-8"))
    for run in scores["by_fold"]:
        run.setdefault("epoch", 3)
        run["diverged_at_epoch"] = 4 if run["fold"] in diverged else None
    scores["diverged_runs"] = len(diverged)
    write(scores_path, json.dumps(scores))
    names: dict[str, Any] = {"representation": name, "protocol": protocol}
    runs = {f"fold_{run['fold']}-seed_0": 30.0 for run in scores["by_fold"]}
    training = names | {"dataset": dataset, "device": "cpu", "seconds_by_run": runs}
    write(folder / f"metrics/training/{cell}.json", json.dumps(training))
    folds = {clip: 1 if protocol == "paper" else index % 4 % FOLDS + 1 for index, clip in enumerate(clip_names())}
    predictions, recordings = [], []
    for index, clip in enumerate(clip_names()):
        label, run = clip.split("/")[0], {"fold": folds[clip], "seed": 0, "clip": clip}
        for start in range(3):
            wrong = label == "bird" and start == 1
            guess = {"predicted": "rain" if wrong else label, "probability": 0.9 - index / 100}
            window = {"start_s": float(start), "silent": 0, "label": label}
            predictions.append(names | run | window | guess | {"label_probability": 0.05})
        right = {"label": label, "windows": 3, "windows_right": 2 if label == "bird" else 3}
        recordings.append(names | run | right | {"predicted": label, "predicted_by_seeds": label})
    write_rows(folder / f"plots/predictions/{cell}.csv", predictions)
    write_rows(folder / f"plots/recordings/{cell}.csv", recordings)


def claims(*datasets: str) -> dict[str, Any]:
    """Make claims.json: SoundStream converges sooner, is undecided at equal epochs and slower to classify."""
    verdicts = []
    for dataset in datasets:
        for codec in ("encodec_24khz_untrained", "soundstream"):
            for claim, verdict, value in zip(
                CLAIMS, ("holds", "undecided", "does not hold"), (0.25, 0.021, 1.5), strict=True
            ):
                for protocol in ["any"] if claim == "speed_cached" else PROTOCOLS:
                    told = {"dataset": dataset, "representation": codec, "protocol": protocol, "baseline": "mel"}
                    reason = f"{codec} {protocol} {value} times <mel>."
                    limits = {"value": value, "low": value / 2, "high": 2 * value}
                    verdicts.append(
                        told
                        | {"claim": claim, "verdict": verdict, "reason": reason}
                        | limits
                        | {"control": "untrained" in told["representation"]}
                    )
    return {"rules": {claim: f"The rule of {claim}." for claim in CLAIMS}, "verdicts": verdicts}
