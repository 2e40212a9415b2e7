"""Measuring what classifying costs: processor time and memory, from cached features and from the audio file on.

Times are processor time on one thread (`time.process_time`, of all threads together): the wall time of an idle core,
little touched by what else the machine does. The classifier's weights are random, which changes neither time nor
memory. Labels and parts are not read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from beyond_spectrograms.classifiers.base import TOKEN_SIZE, EmbedCodes, WeighLayers
from beyond_spectrograms.classifiers.registry import CLASSIFIERS
from beyond_spectrograms.classifiers.summaries import SummaryLayer
from beyond_spectrograms.data import audio
from beyond_spectrograms.data.sound_files import read_recording
from beyond_spectrograms.data.windows import open_features
from beyond_spectrograms.evaluation.costs import (
    TIMES,
    cached_bytes_per_second,
    coded_bytes_per_second,
    order_of_round,
)
from beyond_spectrograms.evaluation.predict import BATCH
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.window_encoder import BLOCK
from beyond_spectrograms.training.epoch import Network, Subset, run_epoch
from beyond_spectrograms.util import machine
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.machine import one_thread
from beyond_spectrograms.util.processes import map_in_processes
from beyond_spectrograms.util.progress import track

if TYPE_CHECKING:
    import pandas as pd

    from beyond_spectrograms import params
    from beyond_spectrograms.representations.base import Features

SEED = 0  # of the classifiers' weights
START_S = 5.0  # seconds a process of its own takes to start, about
LEARNING_RATE = 0.01  # the released code's; changes no time

Probabilities = npt.NDArray[np.float32]
Way = Literal["cached", "file"]


class CostsError(ProjectError):
    """There is nothing to measure, or a raw file is gone; the message names it and what to do."""


@dataclass(frozen=True)
class Clip:
    """A raw file of `seconds` seconds; its windows are `rows` of the table and begin at `starts` seconds."""

    path: Path
    seconds: float
    rows: npt.NDArray[np.int64]
    starts: list[float]


@dataclass(frozen=True)
class Sounds:
    """The clips all representations are measured on, of a table of `windows` windows, each `length_s` long.

    `plausible` are the shortest and longest length of a file in seconds, which reading one checks.
    """

    clips: tuple[Clip, ...]
    windows: int
    classes: int
    length_s: float
    plausible: tuple[float, float]

    @property
    def seconds(self) -> float:
        """Length of all clips, in which their times are counted."""
        return sum(clip.seconds for clip in self.clips)


@dataclass(frozen=True)
class Subject:
    """A representation to measure: its record of params.yaml, its weights files and the folder of its features.

    `classifier` is its name in params.yaml; `precision` is what convolutions compute in while training, fp32 or bf16.
    """

    name: str
    record: params.Representation
    weights: tuple[Path, ...]
    features: Path
    classifier: str = "conv1d"
    precision: str = "fp32"


def choose_sounds(
    table: pd.DataFrame, raw: Path, *, count: int, seed: int, length_s: float, plausible: tuple[float, float]
) -> Sounds:
    """Draw `count` clips of the table of windows (all, where it has fewer) and find their files under raw/<label>/.

    Raises:
        CostsError: a clip's raw file is missing.
    """
    names = table["clip"].unique()
    drawn = np.sort(np.random.default_rng(seed).permutation(len(names))[:count])
    clips = []
    for name in names[drawn]:
        if not (path := raw / name).exists():
            raise CostsError(f"{path}: missing, though the table of windows names it. Run its download stage again.")
        rows = np.flatnonzero(table["clip"].to_numpy() == name)
        seconds = read_recording(path, plausible).seconds
        clips.append(Clip(path, seconds, rows, table["start_s"].to_numpy(float)[rows].tolist()))
    return Sounds(tuple(clips), len(table), table["label"].nunique(), length_s, plausible)


def timed_network(
    classifier: str, bands: int, frames: int, classes: int, *, codebook_size: int | None, stacked: int | None
) -> torch.nn.Sequential:
    """Build the network that is timed, for windows [windows, bands, frames]: no layer standardises in front of it.

    Codes go through embeddings first, `stacked` layers through their weighted sum.

    Raises:
        ClassifierError: windows are too small for the classifier.
    """
    build = CLASSIFIERS[classifier]
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        if stacked is not None:
            return torch.nn.Sequential(WeighLayers(stacked), *build(bands // stacked, frames, classes)).eval()
        if codebook_size is None:
            return build(bands, frames, classes).eval()
        return torch.nn.Sequential(EmbedCodes(bands, codebook_size), *build(TOKEN_SIZE, frames, classes)).eval()


@torch.inference_mode()
def _classify(network: torch.nn.Sequential, features: Features) -> Probabilities:
    """Classify features [windows, bands, frames] as evaluate does; gives [windows, classes]."""
    return np.asarray(network(torch.from_numpy(features).float()).softmax(1).numpy())


class FromCache:
    """Classifying from cached features, as the paper counts: mapped file, network and imports are ready."""

    def __init__(self, subject: Subject, sounds: Sounds) -> None:
        self.features = open_features(subject.features, sounds.windows)
        record, (_, bands, frames) = subject.record, self.features.shape
        self._build = partial(
            timed_network, subject.classifier, bands, frames, sounds.classes,
            codebook_size=record.codebook_size, stacked=record.stacked,
        )  # fmt: skip
        self.network, self._classes, self._precision = self._build(), sounds.classes, subject.precision
        self._rows = np.concatenate([clip.rows for clip in sounds.clips])
        _classify(self.network, self.features[self._rows[:1]])

    def run(self) -> Probabilities:
        """Read the windows of all clips into memory and classify them, a batch at a time."""
        batches = (self._rows[first : first + BATCH] for first in range(0, len(self._rows), BATCH))
        return np.concatenate([_classify(self.network, self.features[rows]) for rows in batches])

    def train(self) -> float | None:
        """Take one training step as `train` does, on a full batch that was made ready.

        Returns:
            seconds per window; None of a classifier that is fitted at once, not step by step.
        """
        if isinstance(self.network[-1], SummaryLayer):
            return None
        network = self._build().train()  # always the same weights: none drift to infinity over rounds
        optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, fused=True)
        parts = Network.split(network, self._precision)
        targets = np.arange(len(self.features)) % self._classes
        part = Subset(parts, self.features, targets, np.resize(self._rows, BATCH))
        began = time.process_time()
        run_epoch(parts, part, torch.arange(BATCH), BATCH, optimizer)
        return (time.process_time() - began) / BATCH


class FromFile:
    """Classifying from the raw file on, by the calls of resample and featurize: encoder, network and imports are ready.

    `encoding_s` is the share of the last run that was spent in the representation, in seconds.
    """

    def __init__(self, subject: Subject, sounds: Sounds) -> None:
        self.representation = create_representation(subject.name, subject.record, subject.weights)
        frames = self.representation.frames(round(sounds.length_s * self.representation.form.sample_rate))
        record, bands, classes = subject.record, self.representation.bands, sounds.classes
        self._sounds, self.encoding_s = sounds, 0.0
        self.network = timed_network(
            subject.classifier, bands, frames, classes, codebook_size=record.codebook_size, stacked=record.stacked
        )
        self._classify_clip(sounds.clips[0], 1)  # pays for imports, and for the check of a representation's first call

    def run(self) -> Probabilities:
        """Decode, resample, cut, encode and classify one clip after the other."""
        self.encoding_s = 0.0
        return np.concatenate([self._classify_clip(clip, len(clip.starts)) for clip in self._sounds.clips])

    def _classify_clip(self, clip: Clip, windows: int) -> Probabilities:
        """Classify the first windows of a clip, encoded as featurize does: in blocks, or the clip at once."""
        form = self.representation.form
        samples, _ = audio.convert(read_recording(clip.path, self._sounds.plausible), form)
        sound = np.ascontiguousarray(samples.T)
        probabilities = []
        step = windows if self.representation.hears_clips else BLOCK
        for first in range(0, windows, step):
            starts = clip.starts[first : min(first + step, windows)]
            began = time.process_time()
            features = self.representation.encode_clip(sound, starts, self._sounds.length_s)
            self.encoding_s += time.process_time() - began
            probabilities.append(_classify(self.network, features))
        return np.concatenate(probabilities)


class Bench:
    """One representation made ready to be timed, both ways."""

    def __init__(self, subject: Subject, sounds: Sounds) -> None:
        self.cache, self.file, self._seconds = FromCache(subject, sounds), FromFile(subject, sounds), sounds.seconds

    @property
    def parameters(self) -> int:
        """Trainable numbers of the classifier."""
        return sum(parameter.numel() for parameter in self.cache.network.parameters())

    def time(self) -> dict[str, float]:
        """Go through everything once and give the TIMES; a classifier that is fitted at once has none of training."""
        began = time.process_time()
        self.cache.run()
        cached = time.process_time()
        self.file.run()
        ended = time.process_time()
        spent = (cached - began, ended - cached, self.file.encoding_s)
        times = dict(zip(TIMES, (*(one / self._seconds for one in spent), self.cache.train()), strict=True))
        return {key: each for key, each in times.items() if each is not None}


def time_rounds(benches: Mapping[str, Bench], rounds: int, seed: int) -> Iterator[dict[str, dict[str, float]]]:
    """Time every bench once a round, each round in an order of its own; gives name -> TIMES."""
    for number in range(1, rounds + 1):
        yield {name: benches[name].time() for name in order_of_round(benches, number, seed)}


def peak_memory(way: Way, subject: Subject, sounds: Sounds) -> tuple[int, int]:
    """Run one way in a process of its own: bytes it took above what imports, weights and a first window hold, and all.

    From a file a clip's windows are encoded at once, in EnCodec's case several side by side.
    """
    return map_in_processes(_measure_peak, [(way, subject, sounds)], 1)[0]


def _measure_peak(measured: tuple[Way, Subject, Sounds]) -> tuple[int, int]:
    way, subject, sounds = measured
    ready = FromCache(subject, sounds) if way == "cached" else FromFile(subject, sounds)
    with one_thread(everywhere=True):
        held = machine.forget_peak()
        ready.run()
        peak = machine.peak_bytes()
    return max(0, peak - held), peak


def measure(dataset: str, subjects: Sequence[Subject], sounds: Sounds, *, rounds: int, seed: int) -> dict[str, Any]:
    """Measure the first subject; the others go through the same rounds, so that ratios are of times side by side.

    Memory is measured where the system can tell.

    Returns:
        what costs.json says of it, but for its mark.
    """
    print(
        f"{dataset}, {' beside '.join(one.name for one in subjects)}: {len(sounds.clips)} clips, "
        f"{sounds.seconds:.1f} s of sound, {rounds} rounds after an untimed one, on one thread of the CPU "
        "(no other device is measured)"
    )
    name, benches = subjects[0].name, {one.name: Bench(one, sounds) for one in subjects}
    with one_thread(everywhere=True):
        began = time.perf_counter()
        for bench in benches.values():
            bench.time()
        about = rounds * (time.perf_counter() - began) + 2 * START_S
        print(f"about {about:.0f} s by the untimed round", flush=True)
        timed = list(track(time_rounds(benches, rounds, seed), f"measure {name}", rounds))

    raw = sum(clip.path.stat().st_size for clip in sounds.clips) / sounds.seconds
    representations: dict[str, Any] = {}
    for subject in subjects:
        bench, features = benches[subject.name], benches[subject.name].cache.features
        _, bands, frames = features.shape
        representations[subject.name] = {
            **{key: [times[key] for one in timed if key in (times := one[subject.name])] for key in TIMES},
            **dict.fromkeys(f"{way}_{part}_bytes" for part in ("peak", "total") for way in ("cached", "file")),
            "cached_bytes_per_s": cached_bytes_per_second(bands, frames, sounds.length_s, features.itemsize),
            "raw_bytes_per_s": raw,
            "coded_bytes_per_s": coded_bytes_per_second(getattr(subject.record, "bitrate", None)),
            "parameters": bench.parameters,
        }
    ways: tuple[Way, ...] = ("cached", "file")
    for way in ways if machine.memory_can_be_measured() else ():
        peak, total = peak_memory(way, subjects[0], sounds)
        representations[name] |= {f"{way}_peak_bytes": peak, f"{way}_total_bytes": total}
    return {
        "dataset": dataset,
        "representation": name,
        "clips": len(sounds.clips),
        "seconds_of_sound": sounds.seconds,
        "rounds": rounds,
        "threads": 1,
        "processor": machine.processor_name(),
        "representations": representations,
    }
