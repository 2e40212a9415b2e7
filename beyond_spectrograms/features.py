"""One array of features per data set and representation, computed clip by clip, resumable and incremental.

A clip's rows are known by a key: a digest of its sound, its windows and of all that decides the encoding. Rows whose
key is already stored (by a run that was killed, or by an earlier run on fewer clips) are copied, all others computed.

A thread decodes two clips ahead, and a clip's windows begin to be encoded before those of the clip before it are all
done: a clip of five windows would else leave cores idle. What is encoded once: windows of a clip that are equal to the
bit, windows of nothing but zeros in the whole array, and clips of one key.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from beyond_spectrograms import audio
from beyond_spectrograms.audio import Waveform
from beyond_spectrograms.clips import clip_path
from beyond_spectrograms.files import replace_folder, write_json, write_text
from beyond_spectrograms.precision import DType, Rounding, Stored, store
from beyond_spectrograms.progress import track
from beyond_spectrograms.representations.base import Features, Representation
from beyond_spectrograms.windows import release

if TYPE_CHECKING:
    import pandas as pd


FEATURE_VERSIONS = (
    "representations",
)  # of versions.yaml: what decides features, beside a representation's own packages
BLOCK = 64  # windows handed over at a time: bounds the memory a long clip takes
DECODED = 2  # clips beside the one that is cut
AHEAD = 4  # windows for each core that have begun beside a block, so that none waits for its last window


@dataclass(frozen=True)
class Rows:
    """The rows of one clip: `first` to `first + count` of the array, under `key`."""

    clip: str
    first: int
    count: int
    key: str


@dataclass(frozen=True)
class Extraction:
    """What an extraction did: rows of `windows` windows stand, `computed` of them new, the others kept.

    For the new ones `encoded` windows were encoded: fewer, where some repeat or are silent. `rounding` is what storing
    all of them lost.
    """

    windows: int
    computed: int
    encoded: int
    rounding: Rounding


def fingerprint(
    representation: Representation,
    record: dict[str, Any],
    weights: Sequence[Path],
    length_s: float,
    versions: Mapping[str, int | str],
) -> str:
    """Digest all that decides a window's features besides its sound: params, weights, engine, packages and versions.

    `versions` are those of FEATURE_VERSIONS, by name.
    """
    decided = [record, length_s, representation.engine, dict(versions)]
    digest = hashlib.sha256(json.dumps(decided, sort_keys=True).encode())
    for path in [*representation.files, *weights]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(repr([(package, version(package)) for package in representation.packages]).encode())
    return digest.hexdigest()


def extract(
    representation: Representation,
    table: pd.DataFrame,
    clips: Path,
    *,
    length_s: float,
    mark: str,
    place: Path,
    work: Path,
    dtype: DType = "float32",
) -> Extraction:
    """Encode the windows of `table` (clip, start_s, ...; rows of a clip adjacent) into place/features.npy, as `dtype`.

    In memory are the clip whose windows are encoded, the next two that are decoded, and, where clips are short, as many
    as keep all cores busy. The array grows in `work`, which is renamed to `place` at the end; `mark` is the
    `fingerprint`. place/index.json holds the key of every clip's rows, and what storing them lost.
    """
    rows = list(_plan(representation, table, clips, length_s, mark))
    samples = round(length_s * representation.form.sample_rate)
    shape = (len(table), representation.bands, representation.frames(samples))
    work.mkdir(parents=True, exist_ok=True)
    array = _open_array(work / "features.npy", shape, dtype)
    journal = work / "journal.jsonl"
    done = _read_journal(journal, array, rows)
    stored = _read_stored(place, shape, dtype)
    roundings = _read_roundings(place, journal)
    todo = [part for part in rows if part not in done]
    new = [part for part in todo if stored(part.key) is None]
    first = {part.key: part for part in reversed(new)}
    encoder = _Encoder(representation, clips, table["start_s"].to_numpy(), length_s)
    encoded = encoder.encode_clips([part for part in new if first[part.key] == part])
    # Written, not mapped: a mapped page is first read from the file, and counts as this process's memory.
    with (work / "features.npy").open("r+b") as file, journal.open("a", encoding="utf-8") as log:
        for part in track(todo, representation.name, len(rows), len(rows) - len(todo)):
            if (features := stored(part.key)) is None and first[part.key] == part:
                features, roundings[part.key] = store(next(encoded), dtype, representation.name)
            elif features is None:
                features = np.array(array[_slice(first[part.key])])
                release(array)
            features = np.ascontiguousarray(features)
            file.seek(array.offset + part.first * features[0].nbytes)
            file.write(features.data)
            file.flush()
            sha256 = hashlib.sha256(features.data).hexdigest()
            lost = astuple(roundings[part.key])
            log.write(json.dumps({"key": part.key, "first": part.first, "sha256": sha256, "lost": lost}) + "\n")
            log.flush()
    del array, stored
    entries = [[r.clip, r.first, r.count, r.key, *astuple(roundings[r.key])] for r in rows]
    write_json(work / "index.json", {"shape": shape, "clips": entries})
    replace_folder(work, place)
    (place / journal.name).unlink()  # not before: a run killed while renaming needs it to go on
    rounding = sum((roundings[part.key] for part in rows), Rounding())
    return Extraction(len(table), sum(part.count for part in new), encoder.encoded, rounding)


def _slice(rows: Rows) -> slice:
    return slice(rows.first, rows.first + rows.count)


def _plan(
    representation: Representation, table: pd.DataFrame, clips: Path, length_s: float, mark: str
) -> Iterator[Rows]:
    """Work out which rows belong to which clip, and their keys."""
    names, starts = table["clip"].to_numpy(), table["start_s"].to_numpy()
    changes = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
    for first, end in zip(changes, np.append(changes[1:], len(names)), strict=True):
        sound = clip_path(clips, representation.form, names[first]).read_bytes()
        content = [mark, hashlib.sha256(sound).hexdigest(), list(map(float, starts[first:end])), length_s]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        yield Rows(str(names[first]), int(first), int(end - first), key)


class _Encoder:
    """Encodes clips in order; `encoded` counts the windows that were encoded, each distinct one of a block once."""

    def __init__(
        self, representation: Representation, clips: Path, starts: npt.NDArray[np.float64], length_s: float
    ) -> None:
        self._representation, self._clips, self._starts, self._length_s = representation, clips, starts, length_s
        self._ahead = AHEAD * cpu_count()
        self.encoded = 0

    def encode_clips(self, parts: list[Rows]) -> Iterator[Features]:
        """Give the features [windows, bands, frames] of one clip after the other."""
        blocks = self._encode_blocks(parts)
        for part in parts:
            features = [next(blocks) for _ in range(0, part.count, BLOCK)]
            yield features[0] if len(features) == 1 else np.concatenate(features)

    def _encode_blocks(self, parts: list[Rows]) -> Iterator[Features]:
        """Encode the blocks of all clips in order; beside the oldest, enough windows have begun for every core."""
        begun: deque[tuple[int, Callable[[], Features]]] = deque()
        for windows in self._read_blocks(parts):
            begun.append((len(windows), self._begin(windows)))
            while sum(count for count, _ in begun) - begun[0][0] >= self._ahead:
                yield begun.popleft()[1]()
        while begun:
            yield begun.popleft()[1]()

    def _read_blocks(self, parts: list[Rows]) -> Iterator[Waveform]:
        """Cut the clips into blocks [windows, channels, samples], while a thread decodes the next clips."""
        form = self._representation.form
        with ThreadPoolExecutor(1) as reader:
            clips = deque(reader.submit(self._read, part) for part in parts[:DECODED])
            for part, following in zip(parts, [*parts[DECODED:], *[None] * DECODED], strict=False):
                clip = clips.popleft().result()
                if following:
                    clips.append(reader.submit(self._read, following))
                starts = list(self._starts[_slice(part)])
                for first in range(0, part.count, BLOCK):
                    yield audio.cut_windows(clip, starts[first : first + BLOCK], self._length_s, form.sample_rate)

    def _read(self, part: Rows) -> Waveform:
        form = self._representation.form
        return audio.read_clip(clip_path(self._clips, form, part.clip), form)

    def _begin(self, windows: Waveform) -> Callable[[], Features]:
        """Begin to encode the distinct windows of a block; what waits for them gives a row to every window."""
        keys = [key if window.any() else None for window, key in zip(windows, _digest(windows), strict=True)]
        first = {key: row for row, key in reversed(list(enumerate(keys))) if key is not None}
        distinct = sorted(first.values())
        place = {keys[row]: number for number, row in enumerate(distinct)}
        self.encoded += len(distinct)
        if len(distinct) == len(keys):
            return self._representation.begin(windows, self._representation.form.sample_rate)
        encode = self._representation.begin(windows[distinct], self._representation.form.sample_rate)

        def finish() -> Features:
            features = encode() if distinct else ()
            return np.stack([self._silence if key is None else features[place[key]] for key in keys])

        return finish

    @cached_property
    def _silence(self) -> Features:
        """Features of a window of zeros, [bands, frames]."""
        form = self._representation.form
        self.encoded += 1
        windows = np.zeros((1, form.channels, round(self._length_s * form.sample_rate)), np.float32)
        features: Features = self._representation.encode(windows, form.sample_rate)[0]
        return features


def _digest(windows: Waveform) -> list[bytes]:
    """Give equal windows [windows, channels, samples] equal keys and others other keys."""
    few = [window[:, ::101].tobytes() for window in windows]  # enough to tell windows apart, nearly always
    return few if len(set(few)) == len(few) else [hashlib.sha256(window).digest() for window in windows]


def _open_array(path: Path, shape: tuple[int, ...], dtype: DType) -> np.memmap[Any, np.dtype[Any]]:
    """Open the array a killed run left, or make a new one."""
    if path.exists():
        try:
            array = np.lib.format.open_memmap(path, mode="r+")
        except ValueError:  # killed while the file was being made
            path.unlink()
        else:
            if array.shape == shape and array.dtype == dtype:
                return array
            del array
            path.unlink()
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def _read_journal(path: Path, array: Stored, rows: list[Rows]) -> set[Rows]:
    """Read which clips a killed run finished, each proved by the digest of its rows."""
    if not path.exists():
        return set()
    places = {(part.key, part.first): part for part in rows}  # two equal clips have one key
    done = set()
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # the line that was being written when the run was killed
            continue
        part = places.get((entry["key"], entry["first"]))
        if part and hashlib.sha256(array[_slice(part)].data).hexdigest() == entry["sha256"]:
            done.add(part)
            kept.append(line)
    write_text(path, "".join(f"{line}\n" for line in kept))
    return done


def _read_roundings(place: Path, journal: Path) -> dict[str, Rounding]:
    """Read what storing lost, by key, of the rows of an earlier extraction and of one that was killed."""
    known = {}
    if (place / "index.json").exists():
        for _, _, _, key, *lost in json.loads((place / "index.json").read_text(encoding="utf-8"))["clips"]:
            known[key] = Rounding(*lost)
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []:
        entry = json.loads(line)  # `_read_journal` has left whole lines alone
        known[entry["key"]] = Rounding(*entry["lost"])
    return known


def _read_stored(place: Path, shape: tuple[int, ...], dtype: DType) -> Callable[[str], Stored | None]:
    """Look up the rows of an earlier, finished extraction by key, where it stored the same type."""
    index = place / "index.json"
    if not index.exists():
        return lambda key: None  # noqa: ARG005
    array: Stored = np.load(place / "features.npy", mmap_mode="r")
    entries = (Rows(*entry[:4]) for entry in json.loads(index.read_text(encoding="utf-8"))["clips"])
    rows = (
        {part.key: _slice(part) for part in entries}
        if array.shape[1:] == shape[1:] and array.dtype == np.dtype(dtype)
        else {}
    )
    return lambda key: array[rows[key]] if key in rows else None
