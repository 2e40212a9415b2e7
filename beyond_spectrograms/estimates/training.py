"""Training runs, with an estimate before it begins."""

import io
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from beyond_spectrograms.data.windows import map_features
from beyond_spectrograms.estimates.timing import Estimate, Rate, read_rates, record_rates, timed
from beyond_spectrograms.params import Protocol, PrototypeSettings
from beyond_spectrograms.params.protocols import RECONSTRUCTING
from beyond_spectrograms.training.loop import train_all
from beyond_spectrograms.training.run import RunConfig, is_finished, keep_finished, read_history, read_outcome
from beyond_spectrograms.training.tuning import trials_of, tune
from beyond_spectrograms.util.cluster.pieces import pieces_go_to, side_by_side
from beyond_spectrograms.util.progress import quiet

STEPS = 2  # batches of training in an epoch of a pilot
EPOCHS = 3  # of a pilot; the first pays for imports and first calls
COMPARING = (*RECONSTRUCTING, "temporal_cnn")  # classifiers whose work grows with the number of classes


def training_key(protocol: Protocol, classes: int, shape: tuple[int, int], precision: str, *, codes: bool) -> str:
    """Name the kind of work: a classifier on windows of a shape, with its prototypes and classes where they matter."""
    words = ["train", protocol.classifier]
    if (settings := protocol.prototypes) is not None:
        words += [f"{settings.per_class}x{settings.frames}", *settings.transformations]
    if protocol.classifier in COMPARING:
        words.append(f"{classes} classes")
    return " ".join([*words, "codes" if codes else "features", f"{shape[0]}x{shape[1]}", precision])


def timed_protocols(
    called: str, configs: Mapping[str, Sequence[RunConfig]], earlier: Path | None = None
) -> dict[str, list[RunConfig]]:
    """Train the runs of protocols, those of a tuned one under the recipes that its trials chose.

    Finished runs are taken over from `earlier`, where an earlier training left them, a folder a protocol.

    Returns:
        the runs as they were trained.
    """
    trials = [trial for of_protocol in configs.values() for trial in trials_of(of_protocol)]
    if trials:
        for trial in trials:
            if earlier:
                keep_finished([trial], earlier / trial.work.parent.name / trial.work.name)
        timed_training(f"{called}, trials of recipes", trials)
    tuned = {protocol: tune(of_protocol) for protocol, of_protocol in configs.items()}
    if earlier:
        for protocol, of_protocol in tuned.items():
            keep_finished(of_protocol, earlier / protocol)
    timed_training(called, list(chain(*tuned.values())))
    return tuned


def timed_training(called: str, configs: Sequence[RunConfig], of: str = "") -> None:
    """Train the runs that are not finished; say what that will take and what it took, and record its rates.

    They are `of` what is told, else of protocols.
    """
    todo = [config for config in configs if not is_finished(config)]
    protocols = len({config.work for config in configs})
    of = of or f"{protocols} protocol{'s' * (protocols > 1)}"
    print(f"{called}: {len(configs)} runs of {of}, {len(configs) - len(todo)} kept", flush=True)
    if not todo:
        return
    rates, keys = read_rates(), [_key(config) for config in todo]
    for key, config in zip(keys, todo, strict=True):
        if key not in rates:
            rates[key] = pilot_training(config)
    units = [_windows(config) * most_epochs(config.protocol, config.epochs, _windows(config)) for config in todo]
    devices = sorted({config.device for config in todo})
    at_once = 1 if "cuda" in devices else side_by_side()
    estimate = estimate_runs([(rates[key], of_run) for key, of_run in zip(keys, units, strict=True)], at_once)
    precisions = " and ".join(sorted({config.precision for config in todo}))
    what = f"{len(todo)} to train on {' and '.join(devices)} in {precisions}, {sum(units):,} windows"
    with timed(what, estimate) as taken:
        train_all(list(configs))
    for key in dict.fromkeys(keys):
        of_key = [config for config, its_key in zip(todo, keys, strict=True) if its_key == key]
        record_rates({key: _rate(of_key, taken.memory_bytes)})


def estimate_runs(runs: Sequence[tuple[Rate, float]], side_by_side: int) -> Estimate:
    """Estimate runs of so many units each, `side_by_side` at a time, the longest first."""
    ends = [0.0] * side_by_side
    for seconds in sorted((rate.seconds / rate.units * units for rate, units in runs), reverse=True):
        ends[ends.index(min(ends))] += seconds
    memory = max(rate.memory_bytes for rate, _ in runs) * min(side_by_side, len(runs))
    return Estimate(max(ends), memory_bytes=memory, at_most=True)


def most_epochs(protocol: Protocol, epochs: int, windows: int) -> int:
    """Say how many of its `epochs` a run over so many training windows takes at most: no more than its curriculum has.

    A step of the curriculum ends after `step_epochs` at most, the first one not before `warm_up` batches.
    """
    settings = protocol.prototypes
    if settings is None or settings.step_epochs is None:
        return epochs
    first = max(settings.step_epochs, math.ceil(settings.warm_up / math.ceil(windows / protocol.batch_size)))
    return min(epochs, first + (curriculum_steps(settings) - 1) * settings.step_epochs)


def curriculum_steps(settings: PrototypeSettings) -> int:
    """Count the steps in which prototypes are learned (trainers/prototypes.py)."""
    temperature = settings.supervised and settings.cross_entropy > 0
    return 2 + len(settings.transformations) + temperature  # the raw prototypes first, and last a lower rate


def pilot_training(config: RunConfig) -> Rate:
    """Train on STEPS batches of the config's windows, and validate on their share, for EPOCHS; a first time untimed.

    The learning rate is next to nothing, so that no loss grows without limit; it changes no time.
    """
    rows = {part: rows for part in ("train", "validation") if len(rows := np.flatnonzero(config.parts == part))}
    count = min(len(rows["train"]), STEPS * config.protocol.batch_size)
    parts = np.full(len(config.parts), "", dtype=config.parts.dtype)
    for part, of_part in rows.items():
        share = max(1, round(count / len(rows["train"]) * len(of_part)))
        parts[of_part[np.linspace(0, len(of_part) - 1, share).astype(int)]] = part
    changes: dict[str, object] = {"learning_rate": 1e-12, "patience": None}
    epochs = EPOCHS
    if (settings := config.protocol.prototypes) is not None:  # later steps take longer: one epoch of each
        changes["prototypes"] = settings.model_copy(update={"step_epochs": 1, "warm_up": 0})
        epochs = curriculum_steps(settings)
    pilot = replace(config, parts=parts, protocol=config.protocol.model_copy(update=changes), epochs=epochs)
    with tempfile.TemporaryDirectory() as folder, quiet(), redirect_stdout(io.StringIO()), pieces_go_to(None):
        for number in range(2):
            pilot = replace(pilot, work=Path(folder, str(number)))
            pilot.work.mkdir()
            train_all([pilot])
        return _rate([pilot])


def _key(config: RunConfig) -> str:
    bands, frames = map_features(config.features).shape[1:]
    precision = config.precision if config.device == "cpu" else f"{config.precision} {config.device}"
    codes = config.codebook_size is not None
    return training_key(config.protocol, len(config.classes), (bands, frames), precision, codes=codes)


def _rate(finished: Sequence[RunConfig], memory_bytes: int = 0) -> Rate:
    """Sum up what finished runs of one kind took."""
    units = sum(_windows(config) * max(1, len(read_history(config))) for config in finished)
    return Rate(units=units, seconds=sum(read_outcome(config)[0] for config in finished), memory_bytes=memory_bytes)


def _windows(config: RunConfig) -> int:
    return int((config.parts == "train").sum())
