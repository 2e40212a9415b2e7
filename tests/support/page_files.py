"""A small project as the stages before the page leave it: cells.py's files, and sounds, excerpts, times, verdicts."""

import json
from collections.abc import Collection
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from beyond_spectrograms.evaluation.convergence import Curve
from beyond_spectrograms.evaluation.records import cell_name
from beyond_spectrograms.evaluation.result_files import Evaluation
from beyond_spectrograms.params.study import PAPER, Study
from beyond_spectrograms.report.page.excerpts import Excerpt, best_cell, confidently_wrong, cut_excerpts
from support import cells

REPRESENTATIONS = ["mel", "log_mel_2048", "soundstream", "encodec_24khz_untrained"]
PROTOCOLS = ["paper", "fair"]
TONES = (500.0, 1000.0, 2000.0)  # Hz, of a clip's three seconds
CLIPS = [recording["clip"] for recording in cells.list_recordings()]
CLAIMS = ("convergence", "equal_epochs", "speed_cached")
TABLE = """# {dataset}: window accuracy

| representation | fair %              | note                |
|----------------|---------------------|---------------------|
| mel            | 50.0 [40.1, 59.9]   |                     |
| soundstream    | 75.0 [66.0, 83.2] * | <b>not bold</b> & so |

- In brackets: 95% interval.
"""


def write_project(folder: Path, *datasets: str, study: str = PAPER) -> None:
    """Write all that `python -m stages.page` reads."""
    asked_for = cells.grid("esc50", REPRESENTATIONS, PROTOCOLS) | {"datasets": [*datasets, "esc50"]}
    cells.write_params(folder, study, grid=asked_for)
    for dataset in datasets:
        cells.write_dataset(folder, dataset, REPRESENTATIONS, PROTOCOLS, study=study, make=complete)
        metrics = folder / cells.study_in(folder, study).metrics(dataset)
        cells.write(metrics / "tables/results.md", TABLE.format(dataset=dataset))
        origin = {"kind": "archive", "licence": "CC BY 3.0", "manifest_sha256": "ab" * 32}
        cells.write(metrics / "clips.json", json.dumps({"files": 13, "clips": 12, "classes": 3, "source": origin}))
        cells.write(metrics / "claims.json", json.dumps(claims(dataset)))
        for clip in CLIPS:
            write_clip(folder / f"data/clips/{dataset}/mono_16000/{clip}.flac")
        write_excerpts(folder, dataset, study)


def write_excerpts(folder: Path, dataset: str, study: str = PAPER) -> list[Excerpt]:
    """Write what `illustrate` leaves to be heard: what the best cell got wrong."""
    results = cells.read_back(folder, dataset, study)
    best = best_cell(results)
    assert best is not None
    recordings = results.cell(best.representation, best.protocol).recordings
    assert recordings is not None
    excerpts = cut_excerpts(confidently_wrong(answers()), recordings, folder / f"data/clips/{dataset}", 1.0)
    told = {"best": asdict(best), "excerpts": [asdict(excerpt) for excerpt in excerpts]}
    cells.write(folder / f"data/excerpts/{study}/{dataset}/excerpts.json", json.dumps(told))
    return excerpts


def answers() -> pd.DataFrame:
    """Answers to every window, a row each: every bird's second window is called rain."""
    return pd.DataFrame(
        {"fold": 1, "seed": 0, "clip": clip, "start_s": float(start), "silent": 0, "label": clip.split("/")[0]}
        | {"predicted": "rain" if clip.startswith("bird") and start == 1 else clip.split("/")[0]}
        | {"probability": 0.9 - index / 100}
        for index, clip in enumerate(CLIPS)
        for start in range(3)
    )


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


def complete(study: Study, dataset: str, name: str, protocol: str, diverged: Collection[int] = ()) -> Evaluation:
    """Make a cell that called every bird's second window rain, each run trained for half a minute.

    The runs of the folds `diverged` ended in a loss that is not finite.
    """
    found = cells.make_cell(study, dataset, name, protocol)
    cell = cell_name(name, protocol)
    scores = found.scores[cell]
    runs = [run | {"diverged_at_epoch": 4 if run["fold"] in diverged else None} for run in scores["by_fold"]]
    seconds = dict.fromkeys(scores["training"]["seconds_by_run"], 30.0)
    scores |= {"by_fold": runs, "diverged_runs": len(diverged)}
    scores["training"] = scores["training"] | {"seconds_by_run": seconds}
    recordings = []
    for index, clip in enumerate(CLIPS):
        label = clip.split("/")[0]
        fold = 1 if protocol == "paper" else index % 4 % cells.FOLDS + 1
        told: dict[str, Any] = {"fold": fold, "seed": 0, "clip": clip}
        told |= {"group": clip, "label": label, "windows": 3, "windows_right": 2 if label == "bird" else 3}
        recordings.append(told | {"predicted": label, "predicted_by_seeds": label})
    scores["window_accuracy"] = sum(each["windows_right"] for each in recordings) / cells.WINDOWS
    history = found.curves[cell].drop(columns=["representation", "protocol"]).to_dict("records")
    return cells.gather((name, protocol), scores, recordings, history)


def complete_cell(folder: Path, dataset: str, name: str, protocol: str, diverged: Collection[int] = ()) -> None:
    """Put such a cell in place of the one that is there."""
    cells.write_cell(folder, dataset, name, protocol, make=partial(complete, diverged=diverged))


def claims(dataset: str) -> dict[str, Any]:
    """Make claims.json: SoundStream converges sooner, is undecided at equal epochs and slower to classify."""
    verdicts = []
    for codec in ("encodec_24khz_untrained", "soundstream"):
        for claim, verdict, value in zip(
            CLAIMS, ("holds", "undecided", "does not hold"), (0.25, 0.021, 1.5), strict=True
        ):
            for protocol in ["any"] if claim == "speed_cached" else PROTOCOLS:
                told = {"dataset": dataset, "representation": codec, "protocol": protocol, "baseline": "mel"}
                told |= {"claim": claim, "verdict": verdict, "reason": f"{codec} {protocol} {value} times <mel>."}
                limits = {"value": value, "low": value / 2, "high": 2 * value}
                verdicts.append(told | limits | {"control": "untrained" in codec})
    return {"rules": {claim: f"The rule of {claim}." for claim in CLAIMS}, "verdicts": verdicts}
