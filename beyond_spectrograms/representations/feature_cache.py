"""One array of features per data set and representation, computed clip by clip, resumable and incremental.

A clip's rows are known by a key: a digest of its sound, its windows and of all that decides the encoding. Rows whose
key is already stored (by a run that was killed, or by an earlier run on fewer clips) and whose bytes have the digest
stored with them are copied, all others computed.

A thread decodes two clips ahead, and a clip's windows begin to be encoded before those of the clip before it are all
done: a clip of five windows would else leave cores idle. What is encoded once: windows of a clip that are equal to the
bit, windows of nothing but zeros in the whole array, and clips of one key.
"""

from __future__ import annotations

import hashlib
import json
import tokenize
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

from beyond_spectrograms.data import audio
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.data.windows import release
from beyond_spectrograms.representations.base import Features, Representation
from beyond_spectrograms.representations.storage import DType, Rounding, Stored, store
from beyond_spectrograms.util.files import locked, put_back, replace_folder, write_json, write_text
from beyond_spectrograms.util.progress import track

if TYPE_CHECKING:
    import pandas as pd


FEATURE_VERSIONS = ("data", "representations")  # of versions.yaml: what rows hang on, beside packages
BLOCK = 64  # windows handed over at a time: bounds the memory a long clip takes
DECODED = 2  # clips beside the one that is cut
BROKEN = (ValueError, EOFError, SyntaxError, tokenize.TokenError)  # what numpy raises of a damaged .npy
NAMED = 3  # damaged clips that a message names
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
    """Digest all that decides a window's features besides its sound: params, weights, engine and versions.

    `versions` are those of FEATURE_VERSIONS; the versions of the representation's packages come beside them.
    """
    packages = {package: version(package) for package in representation.packages}
    decides = [record, length_s, representation.engine, dict(versions), packages]
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
    for path in [*representation.files, *weights]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
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
    called: str | None = None,
    announce: Callable[[int], None] = lambda _: None,
) -> Extraction:
    """Encode the windows of `table` (clip, start_s, ...; rows of a clip adjacent) into place/features.npy, as `dtype`.

    In memory are the clip whose windows are encoded, the next two that are decoded, and, where clips are short, as many
    as keep all cores busy. The array grows in `work`, which is renamed to `place` at the end; `mark` is the
    `fingerprint`. place/index.json holds the key of every clip's rows, what storing them lost, and the digest of the
    rows of every key. `called` is what messages call all this, where it is not `place`. `announce` is told how many
    windows are to be computed before any is.

    Raises:
        ProjectError: another run works in `work`.
    """
    with locked(work):
        put_back(work, place)
        return _extract(
            representation, table, clips,
            length_s=length_s, mark=mark, place=place, work=work, dtype=dtype, called=called or str(place),
            announce=announce,
        )  # fmt: skip


def _extract(
    representation: Representation,
    table: pd.DataFrame,
    clips: Path,
    *,
    length_s: float,
    mark: str,
    place: Path,
    work: Path,
    dtype: DType,
    called: str,
    announce: Callable[[int], None],
) -> Extraction:
    rows = list(_plan(representation, table, clips, length_s, mark))
    samples = round(length_s * representation.form.sample_rate)
    shape = (len(table), representation.bands, representation.frames(samples))
    work.mkdir(parents=True, exist_ok=True)
    array = _open_array(work / "features.npy", shape, dtype)
    journal = work / "journal.jsonl"
    done = _read_journal(journal, array, rows)
    todo = [part for part in rows if part not in done]
    stored = _read_stored(place, shape, dtype, called)
    _tell_damaged(stored.drop_damaged(todo), called)
    digests, roundings = _read_digests(journal)
    roundings = stored.roundings | roundings
    new = [part for part in todo if part.key not in stored.rows]
    announce(sum(part.count for part in new))
    first = {part.key: part for part in reversed(new)}
    encoder = _Encoder(representation, clips, table["start_s"].to_numpy(), length_s)
    encoded = encoder.encode_clips([part for part in new if first[part.key] == part])
    # Written, not mapped: a mapped page is first read from the file, and counts as this process's memory.
    with (work / "features.npy").open("r+b") as file, journal.open("a", encoding="utf-8") as log:
        for part in track(todo, representation.name, len(rows), len(rows) - len(todo)):
            if part.key in stored.rows:
                features = stored.array[stored.rows[part.key]]
                digests[part.key] = stored.digests[part.key]  # what was checked: damage since then is found next time
            elif first[part.key] == part:
                features, roundings[part.key] = store(next(encoded), dtype, representation.name)
                features = np.ascontiguousarray(features)
                digests[part.key] = hashlib.sha256(features.data).hexdigest()
            else:
                features = np.array(array[_slice(first[part.key])])
                release(array)
            file.seek(array.offset + part.first * features[0].nbytes)
            file.write(features.data)
            file.flush()
            entry = {"key": part.key, "first": part.first, "sha256": digests[part.key]}
            log.write(json.dumps(entry | {"lost": astuple(roundings[part.key])}) + "\n")
            log.flush()
    del array, stored
    entries = [[r.clip, r.first, r.count, r.key, *astuple(roundings[r.key])] for r in rows]
    sha256 = {r.key: digests[r.key] for r in rows}
    write_json(work / "index.json", {"shape": shape, "clips": entries, "sha256": sha256})
    replace_folder(work, place, required=("features.npy", "index.json"))
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
        except BROKEN:  # killed while the file was being made
            path.unlink()
        else:
            if array.shape == shape and array.dtype == dtype and array.flags.c_contiguous:
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
        if part and _digest_rows(array, _slice(part)) == entry["sha256"]:
            done.add(part)
            kept.append(line)
    write_text(path, "".join(f"{line}\n" for line in kept))
    return done


def _read_digests(journal: Path) -> tuple[dict[str, str], dict[str, Rounding]]:
    """Read, by key, the digest of the rows of an extraction that was killed and what storing them lost."""
    digests, roundings = {}, {}
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []:
        entry = json.loads(line)  # `_read_journal` has left whole lines alone
        digests[entry["key"]], roundings[entry["key"]] = entry["sha256"], Rounding(*entry["lost"])
    return digests, roundings


class _UnusableError(ValueError):
    """Of an earlier extraction nothing can be kept."""


@dataclass(frozen=True)
class _Earlier:
    """Rows of an earlier, finished extraction, by key."""

    array: Stored
    rows: dict[str, slice]
    digests: dict[str, str]
    roundings: dict[str, Rounding]

    def drop_damaged(self, wanted: list[Rows]) -> list[str]:
        """Drop those of the rows `wanted` whose bytes are not those that were stored; name their clips."""
        clips = {part.key: part.clip for part in wanted if part.key in self.rows}
        damaged = {key for key in clips if _digest_rows(self.array, self.rows[key]) != self.digests[key]}
        for key in damaged:
            del self.rows[key]
        return [part.clip for part in wanted if part.key in damaged]


def _digest_rows(array: Stored, rows: slice) -> str:
    digest = hashlib.sha256(array[rows].data).hexdigest()
    release(array)
    return digest


def _tell_damaged(clips: list[str], called: str) -> None:
    if clips:
        named = ", ".join(clips[:NAMED]) + (f" and {len(clips) - NAMED} more" if len(clips) > NAMED else "")
        count = "1 clip" if len(clips) == 1 else f"{len(clips)} clips"
        print(f"{called}: rows of {count} were damaged and are computed anew: {named}", flush=True)


def _read_stored(place: Path, shape: tuple[int, ...], dtype: DType, called: str) -> _Earlier:
    """Read an earlier, finished extraction; of one of other shape or type, or without a whole array, nothing."""
    nothing = _Earlier(np.empty(0), {}, {}, {})
    if not (place / "index.json").exists():
        return nothing
    try:
        earlier = _open_stored(place)
    except _UnusableError as error:
        print(f"{called}: {error}; all is computed anew", flush=True)
        return nothing
    same = earlier.array.shape[1:] == shape[1:] and earlier.array.dtype == np.dtype(dtype)
    return earlier if same else nothing


def _open_stored(place: Path) -> _Earlier:
    """Open an extraction's array and index.

    Raises:
        _UnusableError: one of them is missing or cut, or they do not belong together.
    """
    rows, digests, roundings = {}, {}, {}
    try:
        index = json.loads((place / "index.json").read_text(encoding="utf-8"))
        shape = tuple(index["shape"])
        for clip, first, count, key, *lost in index["clips"]:
            rows[key], digests[key] = _slice(Rows(clip, first, count, key)), index["sha256"][key]
            roundings[key] = Rounding(*lost)
    except (ValueError, TypeError, LookupError):
        raise _UnusableError(f"{place / 'index.json'} is damaged, or of an earlier version") from None
    path = place / "features.npy"
    try:
        array: Stored = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise _UnusableError(f"{path} is missing") from None
    except BROKEN:
        raise _UnusableError(f"{path} is cut short or damaged") from None
    if not array.flags.c_contiguous:  # as none is stored
        raise _UnusableError(f"{path} is cut short or damaged")
    if array.shape != shape:
        raise _UnusableError(f"{path} is {list(array.shape)}, and {list(shape)} by its index")
    return _Earlier(array, rows, digests, roundings)
