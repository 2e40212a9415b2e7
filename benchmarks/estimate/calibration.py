"""A few seconds of every kind of work in the grid, on sounds made for it, to foretell the whole.

The encoders of EnCodec are untrained here whatever params say, the classifiers' inputs are noise: neither changes how
long the arithmetic takes.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from joblib import cpu_count

from benchmarks.estimate.cells import DEFAULT_CLASSES, STAGES, Cell, Recipe, recipe_of
from benchmarks.estimate.grid import Calibration, Encoded, Trained
from beyond_spectrograms.data.clips import prepare_clips, publish_clips
from beyond_spectrograms.data.downloads import MIRROR_VARIABLE, file_name
from beyond_spectrograms.data.splits import tabulate_windows
from beyond_spectrograms.data.synthesis import synthesise
from beyond_spectrograms.estimates.forecasts import Rate
from beyond_spectrograms.estimates.pilot_extraction import pilot_extraction
from beyond_spectrograms.estimates.pilot_training import pilot_training
from beyond_spectrograms.evaluation.metrics import BATCH
from beyond_spectrograms.params import Encodec, weights_of
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.training.epoch import choose_precision
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.util.memory import forget_peak, memory_can_be_measured, peak_bytes
from beyond_spectrograms.util.progress import quiet

if TYPE_CHECKING:
    from beyond_spectrograms.params import Params, Protocol, Representation
    from beyond_spectrograms.representations.base import Representation as Encoder

CLIPS_PER_CLASS, CLIP_S = 3, 5.0  # of the sounds to calibrate on: 18 clips
WINDOWS = BATCH  # for a classifier to be trained on, with a third of them to validate


def calibrate_grid(params: Params, cells: Iterable[Cell]) -> Calibration:
    """Measure what the stages take here and now, a few seconds each, for the representations and recipes of cells."""
    cells = list(cells)
    with tempfile.TemporaryDirectory() as place, quiet():
        folder = Path(place)
        start_s, base = _start_stages()
        with _peak() as memory:
            resample, split, table, clip_bytes_per_s = _prepare_sounds(params, folder)
        encoded: dict[str, Encoded] = {}
        by_record: dict[str, Encoded] = {}  # the trained and the untrained encoder of one kind take as long
        for name in dict.fromkeys(cell.axes[1] for cell in cells if cell.stage == "featurize"):
            key = _runnable(params.representations[name]).model_dump_json()
            if key not in by_record:
                by_record[key] = _encode(params, name, table, folder, base["featurize"])
            encoded[name] = by_record[key]
        trained: dict[Recipe, Trained] = {}
        by_shape: dict[tuple[object, ...], Trained] = {}
        precision = choose_precision(params.training_precision, "cpu")
        protocols = {recipe_of(params, cell): cell.axes[2] for cell in cells if cell.stage == "train"}
        for recipe, protocol in protocols.items():
            shape = encoded[recipe.representation].shape
            codebook_size = params.representations[recipe.representation].codebook_size
            like = (shape, codebook_size, replace(recipe, representation=""))
            if like not in by_shape:
                by_shape[like] = _classify(
                    shape, codebook_size, recipe.classes or DEFAULT_CLASSES, protocol=params.protocols[protocol],
                    folder=folder, base=base["train"], precision=precision,
                )  # fmt: skip
            trained[recipe] = by_shape[like]
        sound = None if base["split"] is None or memory[0] is None else base["split"] + memory[0]
        return Calibration(start_s, resample, split, clip_bytes_per_s, encoded, trained, sound, cpu_count())


def _start_stages() -> tuple[dict[str, float], dict[str, int | None]]:
    """Start every stage to print its help: seconds, and bytes of memory its imports hold at most."""
    seconds, memory = {}, {}
    for stage in STAGES:
        began = time.perf_counter()
        process = Popen([sys.executable, "-m", f"stages.{stage}", "--help"], stdout=DEVNULL)  # noqa: S603  our own
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds[stage] = time.perf_counter() - began
        memory[stage] = 1024 * used.ru_maxrss if memory_can_be_measured() else None
    return seconds, memory


@contextmanager
def _peak() -> Iterator[list[int | None]]:
    """Fill in how many bytes the block took at most above what was held before it, where that can be measured."""
    taken: list[int | None] = [None]
    held = forget_peak() if memory_can_be_measured() else 0
    yield taken
    if memory_can_be_measured():
        taken[0] = max(0, peak_bytes() - held)


def _prepare_sounds(params: Params, folder: Path) -> tuple[Rate, Rate, pd.DataFrame, float]:
    """Make sounds, resample and cut them; gives the two rates a second of sound, windows, and bytes of a second."""
    synthesise(folder / "raw", 0, CLIPS_PER_CLASS, CLIP_S)
    began = time.perf_counter()
    outcomes = prepare_clips(folder / "raw", folder / "work", (CLIP_S, CLIP_S))
    resampled = time.perf_counter() - began
    publish_clips(outcomes, folder / "work", folder / "clips")
    clips = pd.read_csv(folder / "clips/clips.csv").assign(group="", fold=1)
    began = time.perf_counter()
    table = tabulate_windows(clips, folder / "clips", params.windows)
    cut = time.perf_counter() - began
    sound = clips["seconds"].sum()
    stored = sum(path.stat().st_size for path in (folder / "clips").rglob("*.flac"))
    return Rate(resampled / sound, resampled / sound), Rate(cut / sound, cut / sound), table, stored / sound


def _runnable(record: Representation) -> Representation:
    """Give the record with an untrained encoder where it names EnCodec's weights."""
    if isinstance(record, Encodec):  # not checked again: an untrained quantiser is of no use, but takes as long
        return record.model_copy(update={"weights": "untrained", "seed": 0})
    return record


def find_weights(params: Params, record: Representation) -> list[Path] | None:
    """Find the weights files a representation needs where earlier stages or the mirror have them, else None."""
    found = []
    for weights in weights_of(record):
        name = file_name(params.weights[weights].url)
        mirror = os.environ.get(MIRROR_VARIABLE)
        here = [*sorted(Path("data/weights").glob(f"*/{name}")), *([Path(mirror, name)] if mirror else [])]
        existing = [path for path in here if path.exists()]
        if not existing:
            return None
        found.append(existing[0])
    return found


def _encode(params: Params, name: str, table: pd.DataFrame, folder: Path, base: int | None) -> Encoded:
    """Calibrate one representation; without a rate where its weights are not here."""
    record, length_s = _runnable(params.representations[name]), params.windows.length_s
    weights = find_weights(params, record)
    if weights is None:
        stand_in = folder / "absent"
        stand_in.touch()
        return Encoded(_shape(create_representation(name, record, [stand_in] * 2), length_s), None, None)
    with _peak() as memory:
        representation = create_representation(name, record, weights)
        rate = pilot_extraction(representation, table, folder / "clips", length_s, short_s=math.inf)
    return Encoded(_shape(representation, length_s), rate, _sum(base, memory[0]))


def _shape(representation: Encoder, length_s: float) -> tuple[int, int]:
    return representation.bands, representation.frames(round(length_s * representation.form.sample_rate))


def _classify(
    shape: tuple[int, int],
    codebook_size: int | None,
    count: int,
    *,
    protocol: Protocol,
    folder: Path,
    base: int | None,
    precision: str,
) -> Trained:
    """Calibrate training on made windows of a shape and of `count` classes."""
    classes = tuple(f"{number:03}" for number in range(count))
    rng, windows = np.random.default_rng(0), WINDOWS + WINDOWS // 3
    features = rng.standard_normal((windows, *shape), dtype=np.float32)
    if codebook_size is not None:
        features = rng.integers(codebook_size, size=features.shape).astype(np.float32)
    place = Path(tempfile.mkdtemp(dir=folder))
    np.save(place / "features.npy", features)
    (place / "index.json").write_text("{}", encoding="utf-8")
    parts = np.array(["train"] * WINDOWS + ["validation"] * (windows - WINDOWS))
    targets = np.arange(windows) % count
    with _peak() as memory:
        config = RunConfig(
            place, targets, parts, classes, codebook_size, protocol, 1, 1, 0, "cpu", place, precision, versions={}
        )
        pilot = pilot_training(config)
    return Trained(pilot, _sum(base, memory[0]))


def _sum(base: int | None, taken: int | None) -> int | None:
    return None if base is None or taken is None else base + taken
