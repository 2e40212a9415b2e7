"""Writing whole files or none, checkpoints with a digest too, and keeping two runs out of one folder.

Everything is written under a temporary name, flushed to disk and renamed: even after a power cut a file holds either
all of its old content or all of the new. On Windows nothing is flushed, and two runs are not kept apart.
"""

import errno
import functools
import hashlib
import json
import os
import pickle
import re
import secrets
import shutil
import stat
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from beyond_spectrograms.util.errors import OF_WRITES, ProjectError

if sys.platform != "win32":
    import fcntl

PARTIAL = re.compile(r".*\.(\d{1,9})-[0-9a-f]{8}\.partial")  # the name, the process that writes, and a random number
NAME_BYTES = 200  # of a name that are kept in its partial name; file systems allow 255 in all
IDLE_S = 3600.0  # age from which a partial file counts as left over: a process in a container cannot be seen
DIGITS = 64  # of a SHA-256
CHECKPOINT_SECONDS = 30.0  # what a killed training loses at most
NUMBERS = re.compile(r"\[\n([-+.\deE,\s]+)\]")  # a list of numbers as json indents it; no string holds a line's end
OS_ERROR = re.compile(r"\(os error (\d{1,4})\)")  # as Rust writes it
ASKED = 2**20  # bytes: more than is left where a library could not write its own
MARKER = ".beyond-spectrograms"  # says that a folder of work was made by this program
MANY = 100  # files from which one sync of everything is quicker than flushing each (5 ms)


def partial_beside(path: Path) -> Path:
    """Give a name beside `path` that no other run writes to."""
    name = os.fsencode(path.name)[:NAME_BYTES].decode(errors="ignore")
    return path.with_name(f"{name}.{os.getpid()}-{secrets.token_hex(4)}.partial")


@contextmanager
def written_beside(path: Path, *, flushed: bool = True) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it into place when the block ends without an error.

    `flushed=False` is for many small files that are checked by a digest before they are relied on.

    Raises:
        OSError: the file system takes no more, whatever a library in the block said of that; the error names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent.absolute())
    beside = partial_beside(path)
    try:
        with _naming(path, beside):
            yield beside
            if flushed:
                _flush(beside)
            beside.replace(path)
            if flushed:
                _flush(path.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _naming(path: Path, asked: Path) -> Iterator[None]:
    """Raise as an OSError that names `path` what is raised in the block because the file system takes no more.

    Python's own error of a write names no file. A library in Rust has the error's number in its text, one in C says
    "System error" or less: then the file system is asked, by bytes more at the end of `asked`.
    """
    try:
        yield
    except OSError as error:
        if error.filename == str(asked) or (error.filename is None and error.errno in OF_WRITES):
            error.filename = str(path)
        raise
    except ProjectError:
        raise
    except Exception as error:
        if numbered := OS_ERROR.search(str(error)):
            number = int(numbered[1])
            raise OSError(number, os.strerror(number), str(path)) from error
        try:
            with asked.open("ab") as file:
                file.write(bytes(ASKED))
        except OSError as refusal:
            refusal.filename = str(path)
            raise refusal from error
        raise


def write_text(path: Path, text: str, *, flushed: bool = True) -> None:
    """Write UTF-8 text with Unix line ends on every system."""
    with written_beside(path, flushed=flushed) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any, *, flushed: bool = True) -> None:
    """Write JSON, indented and in the order given, a list of numbers on one line. NaN is refused: it is not JSON."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    text = NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    write_text(path, text, flushed=flushed)


def write_sealed(path: Path, record: dict[str, Any], *, flushed: bool = True) -> None:
    """Write a record as JSON, with a digest of all of it."""
    write_json(path, record | {"sha256": digest_record(record)}, flushed=flushed)


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Read what `write_sealed` wrote: None where there is no file, or it is not as it was written."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        whole = record.pop("sha256") == digest_record(record)
    except (FileNotFoundError, ValueError, TypeError, AttributeError, LookupError):
        return None
    return record if whole else None


def digest_record(record: dict[str, Any]) -> str:
    """Digest a record that JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def digest_lines(lines: Iterable[str]) -> str:
    """Digest lines of text, in whatever order they come; each gets its line end, and they are sorted as bytes."""
    told = sorted(f"{line}\n".encode(errors="surrogateescape") for line in lines)
    return hashlib.sha256(b"".join(told)).hexdigest()


def read_told(path: Path, form: type = dict) -> Any:
    """Read what a stage told of its output, as JSON: a `form`.

    Raises:
        ProjectError: it is damaged.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        told = None
    if not isinstance(told, form):
        raise ProjectError(f"{path}: damaged. `make check` says which stage makes it anew.")
    return told


class UnreadableError(ValueError):
    """A file is no checkpoint, or holds more than tensors and plain values."""


def read_checkpoint(path: Path) -> Any:
    """Read tensors, onto the CPU, and plain values.

    Raises:
        UnreadableError: the file is no such checkpoint; whatever torch raises is turned into this.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, struct.error) as error:
        raise UnreadableError(f"{path}: {error}") from error


def write_tensors(path: Path, tensors: Mapping[str, Any], key: str, told: Any) -> None:
    """Write torch's tensors as safetensors, and what is told of them, as JSON, under a key of its metadata."""
    from safetensors.torch import save

    with written_beside(path) as beside:
        # Not by save_file, whose files are for their owner alone. Several keys would come in any order.
        beside.write_bytes(save(dict(tensors), metadata={key: json.dumps(told)}))


def write_checkpoint(path: Path, values: Any) -> None:
    """Write tensors and plain values, and last the digest of all before it, as the comment of torch's ZIP archive."""
    import torch

    with written_beside(path) as beside:
        torch.save(values, beside)
        with beside.open("r+b") as file:
            file.seek(-2, 2)  # the comment's length, which ends an archive without one
            file.write(DIGITS.to_bytes(2, "little"))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.write(digest.encode())


def is_whole_checkpoint(path: Path) -> bool:
    """Say whether a file ends in the digest that `write_checkpoint` put there."""
    content = path.read_bytes()
    return hashlib.sha256(content[:-DIGITS]).hexdigest().encode() == content[-DIGITS:]


def take_up(path: Path) -> Any | None:
    """Read the checkpoint that a killed training left at `path`; None if there is none.

    If it is damaged, a line says so and None is returned too.
    """
    if not path.exists():
        return None
    if is_whole_checkpoint(path):
        try:
            return read_checkpoint(path)
        except UnreadableError:  # written by another version of torch
            pass
    print(f"{path}: damaged, or not a checkpoint of a training. The run starts anew.", flush=True)
    return None


def real(path: Path) -> Path:
    """Follow links, as Path.resolve; of one that leads to itself, which that refuses, give the link."""
    return Path(os.path.realpath(path))


def check_plain(path: Path) -> None:
    """See that a path is a file or folder.

    Raises:
        OSError: there is nothing; or a pipe, which would be waited for, or a device, which may have no end.
    """
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise OSError(errno.EINVAL, "is no plain file")


def digest_file(path: Path, algorithm: str = "sha256") -> str:
    """Digest a file, which may be larger than memory, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def replace_folder(finished: Path, place: Path, required: Sequence[str] = ()) -> None:
    """Rename the folder `finished` to `place`, over what may stand there.

    The old folder is renamed away, to <finished>.replaced, before it is removed: one that is half removed never stands
    in `place`. Where the new one cannot be renamed in, the old one is renamed back. To another disk the new one is
    copied beside `place` first.

    Raises:
        ProjectError: `finished` holds no file, or lacks one of the `required`.
    """
    missing = [name for name in required if not (finished / name).is_file()]
    if missing or not any(path.is_file() for path in finished.rglob("*")):
        what = f"lacks {' and '.join(missing)}" if missing else "holds no file"
        raise ProjectError(f"{finished}: {what}, so it is not put in the place of {place}. Run the stage again.")
    place.parent.mkdir(parents=True, exist_ok=True)
    put_back(finished, place)
    remove_leftovers(finished.parent.absolute())
    written = [*finished.rglob("*"), finished]
    if len(written) > MANY and sys.platform != "win32":
        os.sync()
    else:
        for path in written:
            _flush(path)
    replaced = _replaced(finished)
    _discard(replaced)
    try:
        if place.exists():
            place.replace(replaced)
        finished.replace(place)
    except BaseException as error:
        put_back(finished, place)
        if getattr(error, "errno", None) != errno.EXDEV or finished == _beside(place):
            raise
        _replace_by_copy(finished, place)
        return
    _flush(place.parent)
    _flush(finished.parent)
    _discard(replaced)


def put_back(finished: Path, place: Path) -> None:
    """Put the old content of `place` back, where `replace_folder` was killed before it had put `finished` there."""
    for replaced in (_replaced(finished), _replaced(_beside(place))):
        if replaced.exists() and not place.exists():
            replaced.replace(place)


def _replaced(finished: Path) -> Path:
    return finished.with_name(f"{finished.name}.replaced")


def _beside(place: Path) -> Path:
    """Where a folder from another disk is copied to; one run at a time has `place`."""
    return place.with_name(f".{place.name}.partial")


def _replace_by_copy(finished: Path, place: Path) -> None:
    beside = _beside(place)
    _discard(beside)  # left by a run that was stopped
    try:
        for path in (finished, *sorted(finished.rglob("*"))):  # shutil.copytree's errors name no file
            copy = beside / path.relative_to(finished)
            copy.mkdir() if path.is_dir() else shutil.copyfile(path, copy)
        replace_folder(beside, place)
    except BaseException:
        _discard(beside)
        raise
    _discard(finished)


def _discard(folder: Path) -> None:
    """Remove a folder under another name, so that one half removed is never put back."""
    if folder.exists():
        partial = partial_beside(folder)
        folder.replace(partial)
        shutil.rmtree(partial, ignore_errors=True)


def _flush(path: Path) -> None:
    if sys.platform != "win32":
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a work folder, by a lock that ends with this process, however it ends.

    The lock is on <folder>.lock, beside it: the folder itself may be renamed. What killed runs left half-written inside
    is removed; so is what this one leaves where it fails.

    Raises:
        ProjectError: another run works there.
    """
    if sys.platform == "win32":
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f"{folder.name}.lock")
    asked = partial_beside(folder)
    with _take(path, folder):
        try:
            _remove_partial(folder)
            with _naming(folder, asked):
                yield
        except BaseException:
            asked.unlink(missing_ok=True)
            _remove_partial(folder)  # of processes that were to help, and were stopped
            raise
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def fresh_work(folder: Path) -> Iterator[None]:
    """Keep other runs out of a work folder, as `locked`; it is empty at first, and removed once all went well."""
    with locked(folder):
        shutil.rmtree(folder, ignore_errors=True)  # left by a run that was stopped
        folder.mkdir(parents=True)
        yield
        shutil.rmtree(folder, ignore_errors=True)


def claim_work(folder: Path) -> None:
    """Make a folder of work that is removed in the end, or go on in one that was made so; MARKER in it says that.

    Raises:
        ProjectError: there is something else in its place, which may be anybody's.
    """
    made = not folder.is_symlink() and folder.is_dir()
    if (made and any(folder.iterdir()) and not (folder / MARKER).is_file()) or (not made and os.path.lexists(folder)):
        raise ProjectError(
            f"{folder}: exists already, and is no work of this program. Move it away, or choose another --out."
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()


def _remove_partial(folder: Path) -> None:
    for left in folder.rglob("*.partial"):
        if PARTIAL.fullmatch(left.name):
            _remove(left)


@contextmanager
def _take(path: Path, folder: Path) -> Iterator[None]:
    while True:
        with path.open("a+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip()
                who = f"another run (pid {holder})" if holder else "another run"
                raise ProjectError(f"{folder}: {who} works here. Wait for it, or end it.") from None
            try:
                mine = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except FileNotFoundError:
                mine = False
            if mine:  # else its last holder has removed this file since it was opened
                with suppress(OSError):  # on a full disk: who holds it is then not told
                    os.ftruncate(file.fileno(), 0)
                    os.write(file.fileno(), str(os.getpid()).encode())
                yield
                return


@functools.cache
def remove_leftovers(folder: Path) -> None:
    """Remove, once a process, what dead runs left half-written in a folder."""
    if sys.platform == "win32":
        return
    for left in folder.iterdir():
        match = PARTIAL.fullmatch(left.name)
        if match and not _runs(int(match[1])):
            with suppress(OSError):  # another run was quicker, or it is another user's
                if time.time() - left.lstat().st_mtime > IDLE_S:
                    _remove(left)


def _remove(left: Path) -> None:
    if left.is_dir() and not left.is_symlink():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # it runs if it is another user's
    return True
