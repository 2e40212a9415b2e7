"""A tuned protocol: each fold's own validation part chooses a recipe for the fold's runs, by trials.

sound -> features -> trials of a fold -> highest validation accuracy -> that recipe for every seed of the fold -> test
part. The test part has no say; every representation has the same trials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beyond_spectrograms.util.files import read_told, write_json

if TYPE_CHECKING:
    from beyond_spectrograms.params import Protocol
    from beyond_spectrograms.training.run import RunConfig

TRIALS_FILE = "trials.json"  # beside the weights of a tuned protocol: a row a fold and trial


def trials_of(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """List the trials of a protocol's runs: every recipe for the first run of each fold; none if it is not tuned."""
    if configs[0].protocol.trials is None:
        return []
    firsts = {config.fold: config for config in reversed(configs)}
    return [
        replace(first, protocol=recipe, work=first.work / f"trial_{number}")
        for _, first in sorted(firsts.items())
        for number, recipe in enumerate(first.protocol.recipes(), start=1)
    ]


def tune(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Give every run of a tuned protocol the recipe that its fold chose; the chosen trial is the run of its seed.

    Writes TRIALS_FILE into the runs' folder. Runs of other protocols stay as they are.
    """
    from beyond_spectrograms.training.run import keep_finished

    if not (rows := tabulate_trials(configs)):
        return list(configs)
    work = configs[0].work
    write_json(work / TRIALS_FILE, rows)
    tuned = [replace(config, protocol=recipe_of(config.protocol, work, config.fold)) for config in configs]
    for row in rows:
        if row["chosen"]:
            keep_finished(
                [one for one in tuned if (one.fold, one.seed) == (row["fold"], row["seed"])], work / row["trial"]
            )
    return tuned


def tabulate_trials(configs: Sequence[RunConfig]) -> list[dict[str, Any]]:
    """Lay out the finished trials of a protocol's runs, and which of them each fold chose.

    That is the one of the highest validation accuracy at its best epoch; of equal ones that of the lowest loss there,
    then the first. The accuracy is None where a trial diverged in its first epoch.
    """
    rows: list[dict[str, Any]] = []
    for fold, of_fold in groupby(trials_of(configs), key=lambda trial: trial.fold):
        trials = list(of_fold)
        reached = [_best_epoch(trial) for trial in trials]
        for trial, (accuracy, _) in zip(trials, reached, strict=True):
            told = {"fold": fold, "seed": trial.seed, "trial": trial.work.name}
            told |= {key: getattr(trial.protocol, key) for key, tried in configs[0].protocol.trials or () if tried}
            told |= {"validation_accuracy": accuracy if math.isfinite(accuracy) else None, "chosen": False}
            rows.append(told)
        rows[reached.index(max(reached)) - len(trials)]["chosen"] = True
    return rows


def _best_epoch(trial: RunConfig) -> tuple[float, float]:
    """Give the validation accuracy and minus the loss of a finished trial's best epoch."""
    from beyond_spectrograms.training.run import read_history

    epochs = ((row["validation_accuracy"], -row["validation_loss"]) for row in read_history(trial))
    return max(epochs, default=(-math.inf, -math.inf))


def recipe_of(protocol: Protocol, folder: Path, fold: int) -> Protocol:
    """Look up the recipe that a fold's runs were trained under, whose results are in `folder`."""
    if protocol.trials is None:
        return protocol
    rows = read_told(folder / TRIALS_FILE, list)
    chosen = next(row["trial"] for row in rows if row["fold"] == fold and row["chosen"])
    return protocol.recipes()[int(chosen.removeprefix("trial_")) - 1]
