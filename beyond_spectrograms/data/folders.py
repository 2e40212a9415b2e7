"""A user's folder of sounds, one sub-folder a class -> copies in folder/<class>/<name>."""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from beyond_spectrograms.data.sound_files import FFMPEG_SUFFIXES, SUFFIXES
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.text import quoted

LONGEST_NAME = 200  # bytes of a copied sound's name: results add to it, and systems allow 255
READ = (*SUFFIXES, *FFMPEG_SUFFIXES)


class RawDataError(ProjectError):
    """An archive or folder is not what params.yaml says, or not safe to unpack. The message names it and the file."""


class DamagedError(RawDataError):
    """An archive does not read, for this `reason`."""

    def __init__(self, archive: Path, reason: str) -> None:
        super().__init__(f"{archive} does not unpack: {reason}. Delete it and run again to download it.")
        self.reason = reason


@dataclass(frozen=True)
class Copied:
    """What became of a user's folder.

    `left_out`: how many files were not taken, by suffix; dot-files as "dot-files", folders that are links as "linked
    folders". `paths`: of each copy, <class>/<name>, the path it came from, below the folder.
    """

    left_out: dict[str, int]
    paths: dict[str, str]


def list_sounds(source: str) -> Copied:
    """Find the sounds of a user's folder, one sub-folder a class, and the names that copies of them get.

    A class folder's own sub-folders are searched too: take1/a.wav becomes take1__a.wav. A name of over LONGEST_NAME
    bytes is cut, and ends in a digest of the whole. Whatever is named like a sound is taken; `resample` finds out
    whether it is one. In `source` ~ is the home folder.

    Raises:
        RawDataError: no such folder, no class folder, a class folder without a sound, two sounds for one place, a name
            that is not UTF-8.
    """
    root = Path(source).expanduser()
    if not root.is_dir():
        raise RawDataError(f"{source}: no such folder. A data set's path has one sub-folder a class.")
    left_out: Counter[str] = Counter()
    classes: dict[str, list[str]] = {}
    for entry in sorted(root.iterdir()):
        if entry.is_dir() and not is_hidden(entry.name):
            classes[entry.name] = [path.relative_to(entry).as_posix() for path in walk(entry, left_out)]
        else:
            left_out[kind_of(entry.name)] += 1
    return _name_copies(source, classes, left_out, root)


def sounds_below(folder: Path, left_out: Counter[str], suffixes: Collection[str] = READ) -> list[Path]:
    """List what is named like a sound in a folder and below; in `left_out` others are counted by their kind.

    Raises:
        OSError: a folder cannot be looked into.
    """
    sounds = []
    for path in walk(folder, left_out):
        name = path.relative_to(folder).as_posix()
        if is_hidden(name) or path.suffix.lower() not in suffixes or not path.is_file():
            left_out[kind_of(name)] += 1
        else:
            sounds.append(path)
    return sorted(sounds)


def sort_out(source: str, names: Iterable[str]) -> Copied:
    """Find the sounds among the names of files in a folder elsewhere, as list_sounds does in one of this machine.

    Raises:
        RawDataError: as list_sounds; or a name that no file can have here.
    """
    left_out: Counter[str] = Counter()
    classes: dict[str, list[str]] = {}
    for name in names:
        label, slash, inside = name.partition("/")
        if is_hidden(name) or not slash:
            left_out[kind_of(name)] += 1
            continue
        check_names(source, name)
        classes.setdefault(label, []).append(inside)
    return _name_copies(source, dict(sorted(classes.items())), left_out)


def check_names(source: str, name: str) -> None:
    """See that the name of a file elsewhere is one that a file can have here.

    Raises:
        RawDataError: it is not.
    """
    parts = name.split("/")
    if not name.isprintable() or any(
        part in ("", ".", "..") or len(os.fsencode(part)) > LONGEST_NAME for part in parts
    ):
        raise RawDataError(f"{source}: {quoted(name)} is no name that a file can have here.")


def _name_copies(
    source: str, classes: dict[str, list[str]], left_out: Counter[str], root: Path | None = None
) -> Copied:
    """Name the copies of the sounds of each class, whose files are given by their paths in its folder.

    What is no sound is counted in `left_out`. `root` is the folder of the classes, where it is on this machine: what is
    no plain file there is no sound.
    """
    if not classes:
        raise RawDataError(f"{source}: no class folder. Put the sounds of each class into a sub-folder of its name.")
    paths: dict[str, str] = {}
    for label, names in classes.items():
        taken: dict[str, str] = {}
        for inside in names:
            name, suffix = name_of_copy(inside), PurePosixPath(inside).suffix.lower()
            is_sound = not is_hidden(inside) and suffix in READ  # asked of its name first: a link may lead anywhere
            if not is_sound or (root is not None and not (root / label / inside).is_file()):
                left_out[kind_of(inside)] += 1
                continue
            if name in taken:
                raise RawDataError(f"{source}/{label}: {taken[name]} and {inside} are both {name}. Rename one.")
            told = in_utf8(f"{label}/{inside}")
            if told != f"{label}/{inside}":
                raise RawDataError(f"{source}: the name of {told} is not UTF-8. Rename the file or its folder.")
            taken[name] = inside
        if not taken:
            raise RawDataError(f"{source}/{label}: no sound in this class folder. Sounds end in {', '.join(READ)}.")
        paths |= {f"{label}/{name}": f"{label}/{inside}" for name, inside in taken.items()}
    return Copied(dict(sorted(left_out.items())), paths)


def copy_sounds(source: str, folder: Path) -> Copied:
    """Copy the sounds of a user's folder to folder/<class>/, which is new.

    Raises:
        RawDataError: as list_sounds.
    """
    listed, root = list_sounds(source), Path(source).expanduser()
    for copy, path in listed.paths.items():
        (folder / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, folder / copy)
    return listed


def find_folder(path: str) -> Path:
    """Find a user's folder, in whose path ~ is the home folder.

    Raises:
        RawDataError: no such folder.
    """
    if not (folder := Path(path).expanduser()).is_dir():
        raise RawDataError(f"{path}: no such folder. Put the files of the data set there, or change source.path.")
    return folder


def name_of_copy(inside: str) -> str:
    """Name the copy of a sound by its path below the folder of its class."""
    return shorten(inside.replace("/", "__"))


def shorten(name: str) -> str:
    """Cut a file name of over LONGEST_NAME bytes, keeping its suffix, and put a digest of the whole at its end."""
    told = os.fsencode(name)
    if len(told) <= LONGEST_NAME:
        return name
    end = f"~{hashlib.sha256(told).hexdigest()[:12]}{PurePosixPath(name).suffix}"
    return told[: LONGEST_NAME - len(os.fsencode(end))].decode(errors="ignore") + end


def walk(folder: Path, left_out: Counter[str]) -> Iterator[Path]:
    """Yield every path in `folder` and below that is no folder; a folder that cannot be listed is an error."""

    def fail(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(folder, onerror=fail):
        for name in folders:
            if Path(root, name).is_symlink():  # os.walk does not follow it: it may lead in a circle
                left_out["linked folders"] += 1
        yield from (Path(root, name) for name in sorted(names))


def is_hidden(name: str) -> bool:
    """Say whether the system made a file, not a person: .DS_Store, ._sound.wav (AppleDouble), __MACOSX/."""
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in name.split("/"))


def kind_of(name: str) -> str:
    """Name the kind of a file that is left out: its suffix, or that it is a dot-file."""
    return "dot-files" if is_hidden(name) else in_utf8(PurePosixPath(name).suffix.lower()) or "no suffix"


def in_utf8(name: str) -> str:
    """Give a name with escapes for bytes that are not UTF-8, which no JSON takes."""
    return name.encode("utf-8", "backslashreplace").decode()
