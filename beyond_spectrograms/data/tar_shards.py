"""Tar shards in the layout of webdataset -> sounds on this machine, and what is told of each.

A shard holds <key>.<ending> for every sound: the sound itself, and beside it files that say its label. A key ends at
the first dot of a file's name, and the files of one stand in a row. Source: webdataset's documentation, "The WebDataset
Format".
"""

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path

from beyond_spectrograms.data.fetching import at_once, digest_if_there
from beyond_spectrograms.data.folders import READ, DamagedError, RawDataError, is_hidden, kind_of, name_of_copy
from beyond_spectrograms.data.labels import LabelTableError, Told, check_value
from beyond_spectrograms.data.members import Member, members_of, refuse
from beyond_spectrograms.params.layouts import Layout
from beyond_spectrograms.util.files import digest_file, read_sealed, write_sealed
from beyond_spectrograms.util.progress import track
from beyond_spectrograms.util.storage.places import Entry, Folder, Place, place_at
from beyond_spectrograms.util.text import some_of

ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MOST_SHARDS = 100_000
MOST_SIDECAR_BYTES = 2**20  # of a file that says a label
MOST_SOUND_BYTES = 2**32
WORKERS = 3  # shards at once: each takes its own room until it is unpacked
BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Sound:
    """A sound of a shard: the member's name, the file it became, its digest and what is told of it."""

    member: str
    file: str
    sha256: str
    told: Told


@dataclass(frozen=True)
class Shard:
    """An unpacked shard: where it was, the folder that holds its sounds, and how many files were left out, by kind."""

    url: str
    folder: Path
    sounds: list[Sound]
    left_out: dict[str, int]


def list_shards(path: str) -> tuple[Place, list[Entry]]:
    """Find the shards that a path or URL names, in their order: a folder of them, or one whose name has {000..012}.

    Braces hold a range of numbers, both ends included and as wide as they are written, or names parted by commas.

    Raises:
        RawDataError: one is not there, or there is none, or too many.
    """
    folder, _, pattern = path.rpartition("/")
    if "{" not in path and not path.endswith(ENDINGS):
        place = place_at(path)
        found = [entry for entry in place.entries() if entry.name.endswith(ENDINGS) and not is_hidden(entry.name)]
        if not found:
            raise RawDataError(f"{path}: no tar shard in it. Shards end in {', '.join(ENDINGS)}.")
        return place, found
    if "{" in folder:
        raise RawDataError(f"{path}: braces may stand in the name of the shards, not in that of their folder.")
    place, names = place_at(folder or ("/" if path.startswith("/") else ".")), expand_braces(path, pattern)
    there = {entry.name: entry for entry in place.entries(pattern.partition("{")[0])}
    if missing := [name for name in names if name not in there]:
        raise RawDataError(f"{path}: {len(missing)} of {len(names)} shards are not there: {some_of(missing)}.")
    return place, [there[name] for name in names]


def expand_braces(path: str, pattern: str) -> list[str]:
    """Write out the names that a pattern stands for.

    Raises:
        RawDataError: a range is none, or there are too many names.
    """
    choices = []
    for number, part in enumerate(BRACES.split(pattern)):
        if number % 2 == 0:
            choices.append([part])
        elif match := re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", part):
            first, last = int(match[1]), int(match[2])
            if not 0 <= last - first < MOST_SHARDS:
                raise RawDataError(f"{path}: {{{part}}} is no range of 1 to {MOST_SHARDS} shards.")
            choices.append([f"{each:0{len(match[1])}d}" for each in range(first, last + 1)])
        elif "," in part:
            choices.append(part.split(","))
        else:
            raise RawDataError(f"{path}: {{{part}}} is neither a range, {{000..012}}, nor names parted by commas.")
    count = 1
    for some in choices:
        count *= len(some)
    if count > MOST_SHARDS:
        raise RawDataError(f"{path}: stands for {count} shards; at most {MOST_SHARDS} are read.")
    names = ["".join(parts) for parts in product(*choices)]
    if twice := [name for name, often in Counter(names).items() if often > 1]:
        raise RawDataError(f"{path}: names {twice[0]} twice.")
    return names


def take_shards(path: str, layout: Layout, work: Path) -> list[Shard]:
    """Fetch and unpack the shards of a path, each into a folder of `work`, which keeps them.

    What an earlier run unpacked is kept where the shard is still there with the same size and mark, and all of its
    sounds are whole.

    Raises:
        RawDataError: as list_shards, or a shard is damaged, made to harm, or has a sound without label.
        StorageError: the place does not give one.
    """
    place, entries = list_shards(path)
    take = partial(_take, place, layout, work)
    return list(track(at_once(take, entries, WORKERS), "shards", len(entries)))


def _take(place: Place, layout: Layout, work: Path, entry: Entry) -> Shard:
    url, name = place.tell(entry.name), hashlib.sha256(entry.name.encode(errors="surrogateescape")).hexdigest()[:16]
    folder, note = work / name, work / f"{name}.json"
    asked = {"url": url, "size": entry.size, "mark": entry.mark, "layout": layout.model_dump()}
    if entry.mark and (before := read_sealed(note)) and before["asked"] == asked:
        sounds = [Sound(**each) for each in before["sounds"]]
        if all(digest_if_there(folder / sound.file) == sound.sha256 for sound in sounds):
            return Shard(url, folder, sounds, before["left_out"])
    shutil.rmtree(folder, ignore_errors=True)
    note.unlink(missing_ok=True)
    folder.mkdir(parents=True)
    here = isinstance(place, Folder)
    archive = Path(url) if here else work / f"{name}.fetched"
    if not here:
        place.read_into(entry.name, archive, size=entry.size, flushed=False)
    try:
        shard = _unpack(archive, url, layout, folder)
    except DamagedError as error:
        raise RawDataError(f"{url} does not unpack: {error.reason}. Put a whole one there, and run again.") from error
    except RawDataError as error:
        raise RawDataError(str(error).replace(str(archive), url, 1)) from error
    if not here:
        archive.unlink()
    told = {"asked": asked, "sounds": [asdict(sound) for sound in shard.sounds], "left_out": shard.left_out}
    write_sealed(note, told, flushed=False)
    return shard


def _unpack(archive: Path, url: str, layout: Layout, folder: Path) -> Shard:
    unpacking = _Unpacking(archive, layout, folder)
    sounds = [sound for key, members in _by_key(archive) if (sound := unpacking.take(key, members))]
    if unlabelled := [sound.member for sound in sounds if not all(sound.told.values())]:
        where = " or no ".join(layout.told.values())
        raise RawDataError(f"{url}: {len(unlabelled)} of {len(sounds)} sounds have no {where}: {some_of(unlabelled)}.")
    if not sounds:
        raise RawDataError(f"{url}: no sound in it. Sounds end in {', '.join(READ)}.")
    return Shard(url, folder, sounds, dict(sorted(unpacking.left_out.items())))


class _Unpacking:
    """A shard being unpacked into a folder."""

    def __init__(self, archive: Path, layout: Layout, folder: Path) -> None:
        self.left_out = Counter[str]()
        self._archive, self._layout, self._folder = archive, layout, folder
        self._asked = {"json" if where.startswith("json.") else where for where in layout.told.values()}
        self._files: dict[str, str] = {}  # members by the files they became
        self._keys: set[str] = set()

    def take(self, key: str, members: Iterator[Member]) -> Sound | None:
        """Take the sound of a key, and what the files beside it say; None where it has none."""
        sound, beside = None, dict[str, bytes]()
        for member in members:
            ending = member.name[len(key) + 1 :].lower()
            if is_hidden(member.name):
                self.left_out["dot-files"] += 1
            elif ending in self._asked:
                self._check_size(member, MOST_SIDECAR_BYTES)
                beside[ending] = b"".join(member.chunks())
            elif not member.name.lower().endswith(READ):
                self.left_out[kind_of(member.name)] += 1
            elif sound or key in self._keys:
                refuse(self._archive, member.name, f"is a second sound of key {key!r}, which ends at its first dot")
            else:
                sound = member.name, self._write(member)
        if sound is None:
            self.left_out.update(f".{ending}" for ending in beside)
            return None
        self._keys.add(key)
        told = {what: self._read(key, beside, where) for what, where in self._layout.told.items()}
        return Sound(*sound, digest_file(self._folder / sound[1]), told)

    def _check_size(self, member: Member, most: int) -> None:
        if member.size > most:
            refuse(self._archive, member.name, f"has {member.size} bytes; at most {most} are read")

    def _write(self, member: Member) -> str:
        self._check_size(member, MOST_SOUND_BYTES)
        file = name_of_copy(member.name)
        if file in self._files:
            refuse(self._archive, member.name, f"and member {self._files[file]!r} are both {file}")
        self._files[file] = member.name
        with (self._folder / file).open("wb") as to:
            to.writelines(member.chunks())
        return file

    def _read(self, key: str, beside: dict[str, bytes], where: str) -> str:
        """Read what the files of a key say; nothing where they do not."""
        ending, _, field = where.partition(".") if where.startswith("json.") else (where, "", "")
        if ending not in beside:
            return ""
        try:
            text = beside[ending].decode("utf-8-sig")
            value = json.loads(text) if field else text
            for name in field.split(".") if field else []:
                value = value.get(name) if isinstance(value, dict) else None
            return check_value(where, value, self._layout)
        except LabelTableError as error:
            refuse(self._archive, f"{key}.{ending}", str(error))
        except (ValueError, RecursionError):
            refuse(self._archive, f"{key}.{ending}", f"is no {'JSON' if field else 'UTF-8 text'}")


def _by_key(archive: Path) -> Iterator[tuple[str, Iterator[Member]]]:
    """Part the members into those of one key after another; each is there until the next is asked for."""
    members = members_of(archive)
    waiting = next(members, None)

    def rest(key: str) -> Iterator[Member]:
        nonlocal waiting
        while waiting is not None and _key(waiting.name) == key:
            yield waiting
            waiting = next(members, None)

    while waiting is not None:
        key = _key(waiting.name)
        yield key, rest(key)


def _key(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]
