"""What `train` reaches on public data sets given as folders, beside plain ways on the same folds.

Each data set is what `dvc repro download@<name>` laid out; recordings share a group where its record says so. The
command is the user's own, with its defaults. Writes metrics/own_sounds.json and .md; a data set that is not asked for,
or was not downloaded, keeps its row.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.inference.own_model import MFCC
from beyond_spectrograms.params import load_all_params
from beyond_spectrograms.params.study import PARTIAL, RAW
from beyond_spectrograms.report.table import SIGNED, Row, Table, texts, to_markdown
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import write_json, write_text

DATASETS = ("esc10", "esc50_ogg", "fsdd_speakers", "fsdd_digits", "gtzan_music_speech")
RESULTS = Path("metrics/own_sounds.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=DATASETS, metavar="DATASET", help=", ".join(DATASETS))
    parser.add_argument("--representation", default="log_mel_2048_50hz", metavar="NAME")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for dataset in options.datasets:
        found[dataset] = train(dataset, options.representation)
        write_json(RESULTS, {name: found[name] for name in DATASETS if name in found})
    write_text(RESULTS.with_suffix(".md"), to_markdown(tabulate(json.loads(RESULTS.read_text(encoding="utf-8")))))


def train(dataset: str, representation: str) -> dict[str, Any]:
    """Train on a data set's folder as a user does; return what of scores.json says how good it is.

    Raises:
        ProjectError: it was not downloaded, or `train` fails.
    """
    sounds, out = RAW / dataset / "audio", PARTIAL / "own_sounds" / f"{dataset}-{representation}"
    if not sounds.is_dir():
        raise ProjectError(f"{sounds}: missing. Run dvc repro download@{dataset}, or leave {dataset} out.")
    report = out.with_name(f"{out.name}-report") / "scores.json"
    if not report.exists():  # of a start of this command that was killed
        name = load_all_params().datasets[dataset].source.name
        # train deals folds of its own
        grouping = ["--group-pattern", name.replace("(?P<fold>", "(")] if name else ["--group-folders"]
        command = [sys.executable, "-m", "beyond_spectrograms", "train", str(sounds), "--out", str(out)]
        options = ["--representation", representation, *grouping]
        print(f"{dataset}:", *command[3:5], *options)
        out.parent.mkdir(parents=True, exist_ok=True)
        if subprocess.run([*command, *options], check=False).returncode:  # noqa: S603  no shell, our own words
            raise ProjectError(f"{dataset}: train failed, as it says above")
    scores = json.loads(report.read_text(encoding="utf-8"))
    for place in (out, report.parent):  # the next start measures anew
        shutil.rmtree(place)
    kept = ("representation", "recording_accuracy", "window_accuracy", "intervals", "plain_ways", "recordings_by_class")
    origins = sum(scores["origins_by_class"].values())
    return {key: scores[key] for key in kept} | {"folds": len(scores["by_fold"]), "origins": origins}


def tabulate(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """Lay out shares of recordings right: the network's, the plain ways', and how far the best of these is from it."""
    rows = [_row(dataset, scores) for dataset, scores in found.items()]
    used = " or ".join(dict.fromkeys(scores["representation"] for scores in found.values()))
    notes = [
        f"Recordings right; no origin is in two parts of a fold. Trained with --representation {used} and defaults.",
        "MFCC, own features: logistic regression on mean and deviation of MFCC, and of what the network is given.",
    ]
    return Table("Public data sets as folders", rows, texts(*rows[0]), notes)


def _row(dataset: str, scores: Mapping[str, Any]) -> Row:
    majority, *fitted = scores["plain_ways"]
    by_name = {way["representation"]: way for way in fitted}
    best = max(fitted, key=lambda way: float(way["recording_accuracy"]))
    return {
        "data set": dataset,
        "classes": len(scores["recordings_by_class"]),
        "recordings": sum(scores["recordings_by_class"].values()),
        "origins, by class": scores["origins"],
        "network %": _percent(scores["intervals"]["recordings"], ".1f"),
        "MFCC %": f"{100 * by_name[MFCC]['recording_accuracy']:.1f}",
        "own features %": f"{100 * by_name[scores['representation']]['recording_accuracy']:.1f}",
        "majority %": f"{100 * majority['recording_accuracy']:.1f}",
        "best plain way - network, points": _percent(best["difference"], SIGNED),
    }


def _percent(interval: Mapping[str, float | None], form: str) -> str:
    value, low, high = (None if end is None else 100 * end for end in map(interval.get, ("value", "low", "high")))
    assert value is not None
    return Interval(value, low, high).shown(form)


if __name__ == "__main__":
    run(main)
