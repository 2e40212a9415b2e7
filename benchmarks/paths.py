"""Our paths beside the plain ways they replace (plain_*.py), in turn in one run, and beside what the cores can do.

Sounds are those of the demo's synthesis. Encoders of EnCodec are untrained, classifiers' inputs are noise of the right
shape: how long the arithmetic takes does not depend on values. Ours are called as the stages call them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from joblib import cpu_count

from benchmarks import plain_extraction
from benchmarks.harness import SEEDS, Spent, TimedPath, Way, now
from benchmarks.plain_training import PlainTraining
from beyond_spectrograms.data.audio import cut_windows, read_clip
from beyond_spectrograms.data.clips import clip_path, prepare_clips, publish_clips
from beyond_spectrograms.data.downloads import MIRROR_VARIABLE, file_name
from beyond_spectrograms.data.splits import tabulate_windows
from beyond_spectrograms.data.synthesis import synthesise
from beyond_spectrograms.params import Encodec, Mel, Params, SoundStream
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.feature_cache import FeatureRequest, extract
from beyond_spectrograms.training.epoch import choose_precision
from beyond_spectrograms.training.loop import train_all
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.util.progress import quiet

if TYPE_CHECKING:
    from beyond_spectrograms.params import Representation
    from beyond_spectrograms.representations.encodec import Precision

CLIP_S = 5.0
CLIPS_PER_CLASS, MEL_CLIPS_PER_CLASS = 5, 60  # of six classes: sound that takes seconds, so that ends count little
GFLOP_PER_S = {"24khz": 3.0, "48khz": 6.2}  # of EnCodec's encoders for a second of sound: 1.5 and 3.1 GMAC
MATRIX = 3072  # rows and columns: large enough for the full rate, small enough to take a tenth of a second
TRAINING, VALIDATION, CLASSES = 1024, 256, 10
START_EPOCHS = 1  # of the short training whose time is taken off: processes that start, networks that are built


class Extraction(TimedPath):
    """Stored clips to an array of features in a file, decoding included."""

    unit = "seconds of sound"

    def __init__(self, name: str, record: Representation, weights: Sequence[Path], sounds: Sounds) -> None:
        self.representation = create_representation(name, record, weights)
        self.units, self._sounds, self._name = float(len(sounds.table)), sounds, name
        form = self.representation.form
        self._clips = [clip_path(sounds.folder / "clips", form, clip) for clip in sounds.table["clip"].unique()]
        match record:
            case Encodec():
                self.flop, self.precision = GFLOP_PER_S[record.model] * 1e9 * self.units, record.precision
                self._plain = plain_extraction.encodec_encoder(record.model)
            case Mel():
                self._plain = plain_extraction.mel_encoder(record)
            case SoundStream():
                self._plain = plain_extraction.soundstream_encoder(weights[0])

    def run(self, way: Way) -> Spent:
        """Extract all windows into a temporary folder."""
        import torch

        torch.set_num_threads(cpu_count())  # torch's default; ours chooses its own threads
        place = self._sounds.folder / f"{self._name}-{way}"
        began = now()
        self.write(way, place)
        spent = now() - began
        shutil.rmtree(place)
        return spent

    def steps(self) -> dict[str, float]:
        """Processor seconds of ours for decoding all clips, and for encoding all windows, each alone."""
        form = self.representation.form
        began = now()
        clips = [read_clip(path, form) for path in self._clips]
        decoded = now()
        for clip in clips:
            windows = cut_windows(clip, list(map(float, range(int(CLIP_S)))), 1.0, form.sample_rate)
            self.representation.encode(windows, form.sample_rate)
        return {"decode": (decoded - began).processor, "encode": (now() - decoded).processor}

    def write(self, way: Way, place: Path) -> None:
        """Write place/features.npy."""
        if way == "ours":
            clips = self._sounds.folder / "clips"
            request = FeatureRequest(self.representation, self._sounds.table, clips, 1.0, "bench")
            extract(request, place, place.with_suffix(".work"))
        else:
            place.mkdir()
            plain_extraction.extract_each_window(self._clips, self._plain, place / "features.npy")


class Training(TimedPath):
    """Cached features to two trained networks, one a seed; starting processes is taken off as a short run's time."""

    unit = "windows trained on"

    def __init__(self, shape: tuple[int, int], epochs: int, params: Params, folder: Path) -> None:
        self.units = float(TRAINING * epochs * len(SEEDS))
        self._epochs, self._folder = epochs, folder / f"{shape[0]}x{shape[1]}"
        self._folder.mkdir()
        rng, windows = np.random.default_rng(0), TRAINING + VALIDATION
        self._features = rng.standard_normal((windows, *shape), dtype=np.float32)
        self._targets = rng.integers(CLASSES, size=windows)
        np.save(self._folder / "features.npy", self._features)
        (self._folder / "index.json").write_text("{}", encoding="utf-8")
        self._parts = np.array(["train"] * TRAINING + ["validation"] * VALIDATION)
        # The recipe of the plain way: the paper's, with dropout off where it belongs off.
        self._precision = choose_precision(params.training_precision, "cpu")
        self._protocol = params.protocols["eval_mode"].model_copy(update={"seeds": list(SEEDS)})

    def run(self, way: Way) -> Spent:
        """Train for the epochs; START_EPOCHS more are trained in both a long and a short run, and cancel out."""
        long, short = (self._train(way, epochs) for epochs in (START_EPOCHS + self._epochs, START_EPOCHS))
        return long - short

    def _train(self, way: Way, epochs: int) -> Spent:
        import torch

        # What the other way may have set in this process.
        torch.set_num_threads(cpu_count())
        torch.use_deterministic_algorithms(False)
        work = self._folder / "work"
        began = now()
        if way == "plain":
            rows = {"train": np.arange(TRAINING), "validation": np.arange(TRAINING, len(self._features))}
            for seed in SEEDS:
                torch.manual_seed(seed)
                plain = PlainTraining(self._protocol, self._features, self._targets, rows, CLASSES)
                for _ in range(epochs):
                    plain.epoch()
            return now() - began
        labels = tuple(str(label) for label in range(CLASSES))
        settings = (self._folder, self._targets, self._parts, labels, None, self._protocol, epochs, 1)
        configs = [RunConfig(*settings, seed, "cpu", work, self._precision, versions={}) for seed in SEEDS]
        train_all(configs)
        spent = now() - began
        shutil.rmtree(work)
        return spent


@dataclass(frozen=True)
class Sounds:
    """Clips made for the bench in `folder`/clips, and their table of windows of one second."""

    folder: Path
    table: pd.DataFrame


def make_sounds(folder: Path, params: Params, clips_per_class: int = CLIPS_PER_CLASS) -> Sounds:
    """Synthesise the demo's kinds of sound and resample them, as download and resample do."""
    synthesise(folder / "raw", 0, clips_per_class, CLIP_S)
    publish_clips(prepare_clips(folder / "raw", folder / "work", (CLIP_S, CLIP_S)), folder / "work", folder / "clips")
    clips = pd.read_csv(folder / "clips/clips.csv").assign(group="", fold=1)
    return Sounds(folder, tabulate_windows(clips, folder / "clips", params.windows))


# Epochs of the trainings: as many as make a run of some seconds.
TRAININGS = {"train_mel": ((128, 173), 2), "train_encodec_24khz": ((128, 75), 4), "train_soundstream": ((64, 50), 12)}
ENCODEC = ("encodec_24khz_untrained", "encodec_48khz_untrained")
EXTRACTIONS = ("mel", "soundstream", *ENCODEC, *(f"{name}_bf16" for name in ENCODEC))  # plain: fp32 always
PROTOTYPES = {f"prototypes_{count}": count for count in (6, 32)}
PATHS = (*EXTRACTIONS, *TRAININGS, *PROTOTYPES)


def find_weights(params: Params, name: str) -> Path | None:
    """Find a weights file where earlier stages or the mirror have it, else None."""
    file, mirror = file_name(params.weights[name].url), os.environ.get(MIRROR_VARIABLE)
    here = [*sorted(Path("data/weights").glob(f"*/{file}")), *([Path(mirror, file)] if mirror else [])]
    return next((path for path in here if path.exists()), None)


def make_path(name: str, params: Params, folder: Path, soundstream: Path | None) -> TimedPath | None:
    """Make one of PATHS ready in `folder`; None for SoundStream where its weights are not here.

    Raises:
        EngineError: the processor has no bf16.
    """
    if name in TRAININGS:
        return Training(*TRAININGS[name], params, folder)
    if name in PROTOTYPES:
        from benchmarks.prototypes import PrototypeTraining

        return PrototypeTraining(PROTOTYPES[name], params, folder)
    record = params.representations[name.removesuffix("_bf16")]
    if record.kind == "soundstream" and soundstream is None:
        return None
    if name.endswith("_bf16"):
        record = record.model_copy(update={"precision": "bf16"})
    sounds = make_sounds(folder / name, params, MEL_CLIPS_PER_CLASS if record.kind == "mel" else CLIPS_PER_CLASS)
    return Extraction(name, record, [soundstream] if soundstream and record.kind == "soundstream" else [], sounds)


def matrix_rate(precision: Precision) -> float:
    """Measure the floating-point operations per second of a large matrix product on all cores: best of three."""
    import torch

    torch.set_num_threads(cpu_count())
    left, right = torch.randn(2, MATRIX, MATRIX, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[precision])
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - began)
    return 2 * MATRIX**3 / min(seconds)


def run_once(name: str, way: Way, params: Params, soundstream: Path | None) -> None:
    """Run one way once, alone in this process: what its memory is measured by."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = make_path(name, params, Path(folder), soundstream)
        if path is not None:
            path.run(way)
