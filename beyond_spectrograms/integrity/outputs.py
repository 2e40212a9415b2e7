"""Outputs of stages, held against the MD5 of every file that DVC recorded, and results in git against git's own.

dvc.lock has the digest of a file, or of a folder's manifest: a list of its files and their digests, which DVC keeps in
its cache. Files there may be the very ones of the working folder (hard links), and DVC takes them for whole.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beyond_spectrograms.util.commands import ask_git
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import digest_file
from beyond_spectrograms.util.yaml_files import YamlError, read_yaml

FOLDER = ".dir"  # how the digest of a manifest ends
CACHE = Path(".dvc/cache/files/md5")
STORED = "data/"  # what is not in git


class LockError(ProjectError):
    """A dvc.lock cannot be read; the message says how it is restored."""


@dataclass(frozen=True)
class Damage:
    """One damaged thing: its file or folder, what is wrong, and what to do."""

    path: Path
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}. {self.remedy}"


@dataclass(frozen=True)
class Output:
    """What a stage left by dvc.lock: a file or folder, its MD5, and the stage as `dvc repro` takes it."""

    path: Path
    md5: str
    stage: str


def read_outputs(lock: Path) -> Iterator[Output]:
    """List the outputs that a dvc.lock names and that are here; paths are relative to the current folder.

    Raises:
        LockError: it is damaged.
    """
    if not lock.exists():
        return
    pipeline = "" if lock.parent == Path() else f"{lock.with_name('dvc.yaml').as_posix()}:"
    try:
        told = [(stage, out) for stage, entry in read_yaml(lock)["stages"].items() for out in entry.get("outs", [])]
        outputs = [Output(Path(out["path"]), out["md5"], f"{pipeline}{stage}") for stage, out in told]
    except (YamlError, LookupError, TypeError, AttributeError):
        raise LockError(f"{lock}: damaged. Restore it: python -m stages.locks, or git checkout -- {lock}") from None
    yield from (output for output in outputs if output.path.exists())


def run_again(stage: str) -> str:
    """Say how a stage's output is made anew; without -f DVC would take it for whole."""
    return f"Run again: dvc repro -f -s {stage}"


def check_output(output: Output, tracked: Mapping[str, str], pool: ThreadPoolExecutor) -> tuple[int, list[Damage]]:
    """Hold an output against its digest, and name each file that is another.

    `tracked` is what `tracked_by_git` gives. Copies in DVC's cache are read too, where they are files of their own. One
    that has not the digest it is named by is removed, for DVC would take it for whole and put it back.

    Returns:
        how many files there are, and what is damaged of them.
    """
    folder, files = output.path, [output.path]
    if is_folder := output.md5.endswith(FOLDER):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = dict(zip(files, pool.map(_md5, files), strict=True))
    wanted = _manifest(output) if is_folder else {output.path: output.md5}
    rotten = _drop_rotten(wanted or {}, digests, pool)
    found = _digest_of(folder, digests) if is_folder else digests[output.path]
    if found == output.md5:
        again = f"Copy it again: dvc commit -f {output.stage}"
        return len(files), [Damage(path, "DVC's copy of it was damaged, and is removed", again) for path in rotten]
    wrong: dict[Path, str] = {}
    if wanted is None:
        wrong[folder] = "not what dvc.lock says; DVC's list of its files is gone"
    else:
        wrong |= {path: "missing" for path in wanted if path not in digests}
        wrong |= {path: f"no part of {folder}" for path in digests if path not in wanted}
        changed = [path for path, digest in wanted.items() if digests.get(path, digest) != digest]
        wrong |= {path: f"has MD5 {digests[path]}, and {wanted[path]} when it was written" for path in changed}
    if not folder.as_posix().startswith(STORED):
        wrong = _not_as_in_git(wrong, files, tracked)
    return len(files), [Damage(path, what, _remedy(path, output, tracked)) for path, what in wrong.items()]


def _remedy(path: Path, output: Output, tracked: Mapping[str, str]) -> str:
    if path.as_posix() in tracked:
        return f"Restore it: git checkout -- {path.as_posix()}"
    if output.path.as_posix().startswith(STORED):
        return run_again(output.stage)
    return f"Remove it. {run_again(output.stage)}"  # a stage keeps what it finds of its results


def _not_as_in_git(wrong: dict[Path, str], files: list[Path], tracked: Mapping[str, str]) -> dict[Path, str]:
    """Keep what git too has otherwise: results may be written anew from others (`make tables`), and committed."""
    if any(path.is_dir() for path in wrong):
        wrong = dict.fromkeys(files, "neither what dvc.lock nor what git has")
    return {path: what for path, what in wrong.items() if not path.is_file() or not is_as_in_git(path, tracked)}


def tracked_by_git() -> dict[str, str]:
    """List the files in git's index by name, with the digest of each; none where there is no git."""
    listed = ask_git("-c", "core.quotePath=false", "ls-files", "--stage") or ""
    rows = (line.split("\t", 1) for line in listed.splitlines())
    return {name: about.split(" ")[1] for about, name in rows}


def is_as_in_git(path: Path, tracked: Mapping[str, str]) -> bool:
    """Say whether a file has the digest that git has of it."""
    content = path.read_bytes()
    of_git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return tracked.get(path.as_posix()) == of_git.hexdigest()


def _md5(path: Path) -> str:
    return digest_file(path, "md5")


def _digest_of(folder: Path, digests: Mapping[Path, str]) -> str:
    """Digest a folder's manifest as DVC does."""
    rows = [{"md5": digest, "relpath": path.relative_to(folder).as_posix()} for path, digest in digests.items()]
    manifest = json.dumps(sorted(rows, key=lambda row: row["relpath"]), sort_keys=True)
    return hashlib.md5(manifest.encode(), usedforsecurity=False).hexdigest() + FOLDER


def _in_cache(md5: str) -> Path:
    return CACHE / md5[:2] / md5[2:]


def _manifest(output: Output) -> dict[Path, str] | None:
    """Read which files a folder had, and the digest of each; None where DVC's manifest is gone or damaged."""
    path = _in_cache(output.md5)
    if not path.exists():
        return None
    if _md5(path) + FOLDER != output.md5:
        path.unlink()
        return None
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return {output.path / row["relpath"]: row["md5"] for row in rows}


def _drop_rotten(wanted: Mapping[Path, str], digests: Mapping[Path, str], pool: ThreadPoolExecutor) -> set[Path]:
    """Remove DVC's copies of files that have not the digest they are named by; say of which files."""

    def is_rotten(path: Path) -> bool:
        copy = _in_cache(wanted[path])
        if not copy.exists():
            return False
        known = digests[path] if path in digests and path.samefile(copy) else _md5(copy)
        if known != wanted[path]:
            copy.unlink()
        return known != wanted[path]

    return {path for path, rotten in zip(wanted, pool.map(is_rotten, wanted), strict=True) if rotten}
