"""Archives of sounds, or folders laid out like one -> audio/<label>/<file>, and the checks of what came out."""

import csv
import filecmp
import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from beyond_spectrograms.data.folders import LONGEST_NAME, RawDataError, find_folder, is_hidden, kind_of, list_sounds
from beyond_spectrograms.data.labels import SEVERAL_LABELS, LabelTableError, Told, read_labels, read_table, write_labels
from beyond_spectrograms.data.members import LARGEST_RATIO, Member, members_of, refuse
from beyond_spectrograms.params.datasets import ListsInside, Source
from beyond_spectrograms.params.layouts import LabelTable
from beyond_spectrograms.params.protocols import SEVERAL
from beyond_spectrograms.util.files import digest_file, digest_lines
from beyond_spectrograms.util.patterns import match_whole

MOST_TABLE_BYTES = 2**26  # of a table or list inside


def unpack(place: Path, members: str, table: LabelTable | None, folder: Path) -> dict[str, int]:
    """Write the members whose whole name matches `members` to folder/<label>/<file>, the label as a slug.

    `place` is a zip or (compressed) tar file, or a folder that holds the same. The regular expression `members` has the
    groups `file` and, where there is no `table` inside that names each file's label, `label`. Files that may have
    several labels go to folder/SEVERAL_LABELS. What a table says beside one label is kept beside `folder`, as
    write_labels does. `folder` is new; what is in it after an error is of no use.

    Returns:
        How many files were left out, by suffix; those with a part that begins with a dot as "dot-files".

    Raises:
        RawDataError: the archive does not read; a member, wanted or not, has an absolute or parent path or is no
            plain file; a wanted one has no label, no plain file name or the place of another; the label table is
            missing or another; the whole is suspiciously large.
    """
    left_out: Counter[str] = Counter()
    taken: dict[str, Wanted] = {}
    unpacked = 0
    most = math.inf if place.is_dir() else LARGEST_RATIO * place.stat().st_size
    for wanted in _wanted(place, members, table, left_out):
        member, clip = wanted.member, wanted.clip
        if clip in taken:
            refuse(place, member.name, f"and member {taken[clip].member.name!r} are both {clip}")
        taken[clip] = wanted
        unpacked += member.size
        if unpacked > most:
            refuse(place, member.name, f"makes the content over {LARGEST_RATIO} times the archive's size")
        (folder / clip).parent.mkdir(parents=True, exist_ok=True)
        with (folder / clip).open("wb") as file:
            file.writelines(member.chunks())
    if not taken:
        raise RawDataError(f"{place}: no member is matched by {members!r}.")
    if table is not None and (table.separator or table.fold or table.part):
        write_labels(folder, {clip: wanted.told for clip, wanted in taken.items()})
    return dict(sorted(left_out.items()))


@dataclass(frozen=True)
class Wanted:
    """A member that is a sound, its place <folder>/<file>, and what its data set tells of it: label, fold, part."""

    member: Member
    clip: str
    told: Told


def _wanted(place: Path, members: str, table: LabelTable | None, left_out: Counter[str]) -> Iterator[Wanted]:
    """Find the members that match; others are counted in `left_out`."""
    rows = _read_labels(place, table) if table else None
    placer = Placer(partial(refuse, place), table.separator if table else None)
    for member in members_of(place):
        match = match_whole("members", members, member.name)
        if match is None or is_hidden(member.name):
            left_out[kind_of(member.name)] += 1
            continue
        if (file := match["file"]) is None:
            refuse(place, member.name, f"is matched by members, {members!r}, without its file")
        told = {"label": match.groupdict().get("label") or ""}
        if rows is not None:
            told = rows.get(file) or rows.get(PurePosixPath(file).stem) or {"label": ""}
        yield Wanted(member, *placer.put(member.name, file, told))


class Placer:
    """Gives sounds their places <label>/<file>, or SEVERAL_LABELS/<file> where labels are parted by a `separator`.

    `refuse` is called with the name of a sound that cannot have one, and the reason.
    """

    def __init__(self, refuse: Callable[[str, str], NoReturn], separator: str | None) -> None:
        self._refuse, self._separator = refuse, separator
        self._labels: dict[str, str] = {}  # by their slugs

    def put(self, name: str, file: str, told: Told) -> tuple[str, Told]:
        """Give the place of the sound `name`, whose file is to be named `file`, and what is told of it, as slugs."""
        labels = told["label"].split(self._separator) if self._separator else [told["label"]]
        slugs = sorted({_slug(label) for label in labels})
        if "" in slugs or file in ("", ".", "..") or "/" in file:
            self._refuse(name, "has no label or no plain file name")
        if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in file):
            self._refuse(name, "has a file name with control characters, or one that is no UTF-8")
        if max(len(part.encode()) for part in (*slugs, file)) > LONGEST_NAME:
            self._refuse(name, f"has a label or file name of over {LONGEST_NAME} bytes")
        for label in labels:
            if (first := self._labels.setdefault(_slug(label), label)) != label:
                self._refuse(name, f"has the label {label!r}, and another {first!r}: both are {_slug(label)}")
        into = SEVERAL_LABELS if self._separator else slugs[0]
        return f"{into}/{file}", told | {"label": SEVERAL.join(slugs)}


def has_changed(source: Source, folder: Path) -> bool:
    """Say whether a user's folder is no longer what `folder` was copied from, or tells other things of its sounds.

    All files are read: times do not tell, for DVC gives copies that of their checkout.

    Raises:
        RawDataError: as list_sounds, or as unpack.
    """
    assert source.path is not None
    root = Path(source.path).expanduser()
    if source.members is None:
        paths = list_sounds(source.path).paths
    else:
        wanted = list(_wanted(find_folder(source.path), source.members, source.label_table, Counter()))
        paths = {each.clip: each.member.name for each in wanted}
        told = read_labels(folder.parent)
        if told and told != {each.clip: each.told for each in wanted}:
            return True
    if set(paths) != {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}:
        return True
    return not all(filecmp.cmp(root / path, folder / copy, shallow=False) for copy, path in paths.items())


def check_sounds(what: str, folder: Path, source: Source) -> dict[str, Any]:
    """Compare folder/<label>/<file> with the counts and the manifest digest in params.yaml, where these are given.

    Returns:
        What was found: `manifest_sha256`, `files` and, by label, `classes`; a file counts for each of its labels.

    Raises:
        RawDataError: with expected and found, and for counts the files of every class.
    """
    labels = read_labels(folder.parent)
    clips_here = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*"))]
    told = [labels[clip]["label"] if labels else clip.split("/")[0] for clip in clips_here]
    counts = Counter(sorted(label for each in told for label in each.split(SEVERAL)))
    files = len(clips_here)
    clips, classes = source.clips or files, source.classes or len(counts)
    if (files, len(counts)) != (clips, classes):
        by_class = ", ".join(f"{label} {count}" for label, count in counts.items())
        raise RawDataError(
            f"{what}: expected {clips} files in {classes} classes, found {files} in {len(counts)}.\n"
            f"  Found by class: {by_class}"
        )
    digest = manifest_digest(folder)
    if source.manifest_sha256 not in (None, digest):
        raise RawDataError(
            f"{what}: expected manifest_sha256 {source.manifest_sha256}, found {digest}. "
            "The counts are right, but a file's bytes or name are not those params.yaml knows."
        )
    return {"manifest_sha256": digest, "files": files, "classes": dict(counts)}


def manifest_digest(folder: Path) -> str:
    """Digest what is in `folder`, whatever it was packed in: sha256 over the sorted lines `<sha256>  <label>/<file>`.

    The lines are those of `sha256sum */*`, sorted as bytes, each with its line end.
    """
    paths = folder.glob("*/*")
    return digest_lines(f"{digest_file(path)}  {path.relative_to(folder).as_posix()}" for path in paths)


def check_list(what: str, path: Path, entries: int) -> None:
    """Compare the number of filled lines in a list of files with what params.yaml expects.

    Raises:
        RawDataError: with expected and found.
    """
    found = sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    if found != entries:
        raise RawDataError(f"{what}: expected {entries} entries, found {found}.")


def unpack_lists(what: str, archive: Path, lists: ListsInside, audio: Path, folder: Path) -> None:
    """Write the lists of parts in an archive to folder/<part>.txt; the files of `audio` that are on none are train.txt.

    Raises:
        RawDataError: an archive has no such list or two, one has another number of entries than expected, or names
            files that are not in `audio`, all of which are told.
    """
    found: dict[str, list[str]] = {}
    for member in members_of(archive):
        for part, record in lists:
            if match_whole(f"lists_inside.{part}", record.member, member.name):
                if part in found:
                    refuse(archive, member.name, f"is a second list {part}")
                found[part] = _read_table(archive, member).decode("utf-8", "replace").split()
    sounds = {path.relative_to(audio).as_posix() for path in audio.glob("*/*")}
    folder.mkdir()
    for part, record in lists:
        if part not in found:
            raise RawDataError(f"{archive}: no member is the list {part}, {record.member!r}.")
        place = folder / f"{part}.txt"
        place.write_text("".join(f"{name}\n" for name in found[part]), encoding="utf-8")
        check_list(f"{what}, list {part}", place, record.entries)
        if absent := sorted(set(found[part]) - sounds):
            raise RawDataError(f"{what}, list {part}: files that the archive has not: {', '.join(absent)}")
    rest = sorted(sounds.difference(*found.values()))
    (folder / "train.txt").write_text("".join(f"{name}\n" for name in rest), encoding="utf-8")


def _read_labels(archive: Path, table: LabelTable) -> dict[str, dict[str, str]]:
    """Read what the table in the archive tells of each file, once its bytes are known to be the right ones."""
    found: dict[str, bytes] = {}
    for member in members_of(archive):
        if match_whole("label_table.member", table.member, member.name):
            if table.bytes not in (None, member.size):
                refuse(archive, member.name, f"has {member.size} bytes, expected {table.bytes}")
            found[member.name] = _read_table(archive, member)
    if not found or (len(found) > 1 and table.part is None):
        names = ", ".join(found) or "none"
        raise RawDataError(f"{archive}: expected one label table {table.member!r}, found {names}.")
    told: dict[str, dict[str, str]] = {}
    for name, content in found.items():
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if table.md5 not in (None, md5):
            refuse(archive, name, f"has md5 {md5}, expected {table.md5}")
        if table.md5 is None:
            print(f"{archive}: label table {name} is not fixed: {len(content)} bytes, md5 {md5}")
        try:
            told |= read_table(content.decode("utf-8-sig"), table, told)
        except (LabelTableError, UnicodeDecodeError, csv.Error) as error:
            refuse(archive, name, str(error))
    if table.part is not None and {row["part"] for row in told.values()} == {"test"}:
        refuse(archive, ", ".join(found), f"has no column {table.part!r}")
    return told


def _read_table(archive: Path, member: Member) -> bytes:
    if member.size > MOST_TABLE_BYTES:
        refuse(archive, member.name, f"has {member.size} bytes; of a table or list at most {MOST_TABLE_BYTES} are read")
    return b"".join(member.chunks())


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
