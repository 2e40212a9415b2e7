"""Prove that code which changed gives the results it gave: witnesses of an earlier commit and of this tree, compared.

`make verify` takes the nouns whose code is not the recorded one, `make verify NOUN=training` one, `--all` all of them.
Beside the tree it checks out the commit that versions.yaml names, runs the same small work with both, each with its
own code, and compares what comes out to the bit. Equal: versions.yaml notes the new digest. Not equal: it says what
differs by how much; undo that, or raise the number with `make bump NOUN=training`, and DVC runs its stages again.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import yaml

import beyond_spectrograms
from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.util.code_versions import (
    NOUNS,
    NUMBERED,
    VERSIONS_FILE,
    Versions,
    VersionsError,
    load_versions,
)
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import write_text
from verification.digests import digest_of, users_of

# What a witness's results come from, beside versions.
CODE = ("beyond_spectrograms", "stages", "verification", "params.yaml", "datasets", "studies/*/params.yaml")
WITNESSES = tuple(
    f"verification/{name}.py" for name in ("made", "witnesses", "witnesses_of_networks", "witnesses_of_results")
)
SHOWN = 8  # differences of a noun that are printed
Arrays = dict[str, np.ndarray[Any, Any]]


class UnequalError(ProjectError):
    """Code gives other results than the commit it is compared with."""


def git(*arguments: str) -> str:
    """Run git here, without hooks; its complaint becomes the error."""
    command = ["git", "-c", "core.hooksPath=/dev/null", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own arguments
    if done.returncode:
        raise ProjectError(f"git {' '.join(arguments)}: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


@contextmanager
def checked_out(commits: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Check out commits in a temporary folder; it is gone afterwards, whatever happens."""
    try:
        with tempfile.TemporaryDirectory(prefix="verify-", ignore_cleanup_errors=True) as folder:
            trees = {commit: Path(folder, commit) for commit in commits}
            for commit, tree in trees.items():
                git("worktree", "add", "--quiet", "--detach", str(tree), commit)
                if (tree / "stages").is_dir():  # no package in earlier code: Python would take the one of here
                    (tree / "stages/__init__.py").touch()
            yield trees
    finally:
        git("worktree", "prune")


def witnesses(noun: str, trees: Sequence[Path], environments: Sequence[Mapping[str, str]] = ()) -> list[Arrays]:
    """Run a noun's witness with the code of each tree side by side, each in a process of its own on one thread.

    `environments` are further environment variables, for each tree.

    Raises:
        ProjectError: one fails, with the last line of what it says.
    """
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    # Beside this tree, for both.
    mirror = Path(os.environ.get(MIRROR_VARIABLE, "../shared/mirror")).expanduser().resolve()
    settings = {**os.environ, MIRROR_VARIABLE: str(mirror), "CUDA_VISIBLE_DEVICES": "", **dict.fromkeys(threads, "1")}
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="witness-") as folder:
        made = [Path(folder, f"{number}.npz") for number in range(len(trees))]
        try:
            for tree, place, more in zip(trees, made, environments or [{}] * len(trees), strict=True):
                command = [sys.executable, "-m", "verification.verify", "--witness", noun, str(place)]
                with place.with_suffix(".txt").open("wb") as said:
                    env = {**settings, **more, "PYTHONPATH": str(tree), "TMPDIR": folder}
                    running.append(subprocess.Popen(command, cwd=tree, env=env, stdout=said, stderr=said))  # noqa: S603
            for process, tree, place in zip(running, trees, made, strict=True):
                if process.wait():
                    said_last = (place.with_suffix(".txt").read_text(encoding="utf-8").splitlines() or ["nothing"])[-1]
                    raise ProjectError(f"{noun}: its witness fails with the code in {tree}: {said_last}")
        finally:
            for process in running:
                process.kill()
                process.wait()
        return [_read(place) for place in made]


def _read(place: Path) -> Arrays:
    with np.load(place) as stored:
        return dict(stored)


def run_witness(noun: str, folder: Path) -> Arrays:
    """Run a noun's witness with the code of the tree we are in; what is not an array becomes the text of its JSON."""
    from verification import witnesses, witnesses_of_networks, witnesses_of_results
    from verification.made import all_params

    found = Path(beyond_spectrograms.__file__).parents[1]
    if found != Path.cwd():
        raise ProjectError(f"{noun}: its witness would run the code of {found}, not of {Path.cwd()}")
    warnings.simplefilter("ignore")
    made: Arrays = {}
    modules = witnesses, witnesses_of_networks, witnesses_of_results
    run_it = next(getattr(module, noun) for module in modules if hasattr(module, noun))
    for name, value in run_it(all_params(), folder):
        if name in made:
            raise ProjectError(f"{noun}: two witnesses are named {name}")
        plain = isinstance(value, np.ndarray | str)
        made[name] = np.asarray(value if plain else json.dumps(value, indent=1, sort_keys=True))
    return made


def differences(old: Arrays, new: Arrays) -> list[str]:
    """Say of everything both sides made, or the old alone, what is not equal to the bit."""
    gone = [f"{name}: gone" for name in old if name not in new]
    return gone + [told for name in old if name in new and (told := _difference(name, old[name], new[name]))]


def _difference(name: str, old: np.ndarray[Any, Any], new: np.ndarray[Any, Any]) -> str:
    if old.dtype.kind == new.dtype.kind == "U":
        lines = zip(str(old).splitlines(), str(new).splitlines(), strict=False)
        first = next((pair for pair in lines if pair[0] != pair[1]), ("another length", "of text"))
        return "" if str(old) == str(new) else f"{name}: {first[0].strip()[:100]!r} became {first[1].strip()[:100]!r}"
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        return f"{name}: {old.dtype} {list(old.shape)} became {new.dtype} {list(new.shape)}"
    if old.tobytes() == new.tobytes():
        return ""
    values = old.astype(np.float64)
    off = np.nan_to_num(np.abs(new.astype(np.float64) - values)).max()
    return f"{name}: largest difference {off:.2g} of values up to {np.nan_to_num(np.abs(values)).max():.3g}"


def repackaged(then: Path, new: Mapping[str, str]) -> list[str]:
    """Say which packages have other versions than in an earlier versions.yaml.

    One that only one of the two names had no part in the other's results; the witnesses tell whether it matters.
    """
    if not then.exists():
        return []
    old = yaml.safe_load(then.read_text(encoding="utf-8"))
    return [f"{name} {old[name]} -> {now}" for name, now in new.items() if name in old and old[name] != now]


def record(path: Path, noun: str, digest: str, verified_at: str, number: int | None = None) -> None:
    """Write down that a noun's code is proven; comments and the order of versions.yaml stay."""
    text = path.read_text(encoding="utf-8")
    entry = f'  {noun}: {{digest: "{digest}", verified_at: "{verified_at}"}}'
    text, found = re.subn(rf"^  {noun}: *\{{.*\}}", entry, text, flags=re.MULTILINE)
    if number is not None:
        text, numbered = re.subn(rf"^{noun}: *\d+", f"{noun}: {number}", text, flags=re.MULTILINE)
        found = min(found, numbered)
    if found != 1:
        raise VersionsError(f"{path}: no line of its own for {noun}; write them as the file's first commit has them")
    write_text(path, text)


def head_if_it_has_this_code(versions: Versions) -> str | None:
    """Name the present commit, if its code, params and packages are those of the tree."""
    if git("status", "--porcelain", "--", *CODE):
        return None
    try:
        committed = yaml.safe_load(git("show", f"HEAD:./{VERSIONS_FILE}"))
    except ProjectError:  # not committed yet
        return git("rev-parse", "--short=12", "HEAD")
    same = all(committed.get(name) == version for name, version in versions.packages.items())
    return git("rev-parse", "--short=12", "HEAD") if same else None


def verify(nouns: Sequence[str], versions: Versions, since: str | None) -> None:
    """Compare nouns and those that run their code with what they were, and record those that are proven.

    Raises:
        UnequalError: some give other results.
    """
    wanted = {noun: users_of(noun) for noun in nouns}
    todo = [noun for noun in NOUNS if any(noun in users for users in wanted.values())]
    commits = {noun: since if since and noun in nouns else versions.code[noun][1] for noun in todo}
    for commit in dict.fromkeys(commits.values()):
        _check_commit(commit, versions, nouns if commit == since else ())
    digests = {noun: digest_of(noun, Path.cwd()) for noun in NOUNS}
    head, unequal = head_if_it_has_this_code(versions), {}
    with checked_out(list(dict.fromkeys(commits.values()))) as trees:
        changed = {commit: repackaged(tree / VERSIONS_FILE, versions.packages) for commit, tree in trees.items()}
        for noun in todo:
            commit = commits[noun]
            if changed[commit]:
                unequal[noun] = changed[commit]
                print(f"{noun}: packages are not those of {commit}: {', '.join(changed[commit])}", flush=True)
                continue
            old, new = witnesses(noun, (trees[commit], Path.cwd()))
            _tell(noun, old, new, commit, versions)
            if differences(old, new):
                unequal[noun] = differences(old, new)
    if other := [noun for noun, digest in digests.items() if digest_of(noun, Path.cwd()) != digest]:
        raise ProjectError(f"{', '.join(other)}: edited meanwhile, so nothing is proven. Verify again")
    for noun, users in wanted.items():
        if not set(users) & set(unequal):
            record(VERSIONS_FILE, noun, digests[noun], head or versions.code[noun][1])
    if unequal:
        raise UnequalError(
            f"{', '.join(unequal)}: not what versions.yaml has. Undo what changed the results, or raise the numbers: "
            + "; ".join(f"make bump NOUN={noun}" for noun in unequal)
        )


def _check_commit(commit: str, versions: Versions, chosen_for: Sequence[str]) -> None:
    """See that a commit is here and, of the nouns that the user chose it for, that its code is the recorded one."""
    try:
        git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    except ProjectError:
        raise ProjectError(f"{commit} is no commit of this repository; a shallow clone lacks it, too") from None
    if chosen_for:
        then = yaml.safe_load(git("show", f"{commit}:./{VERSIONS_FILE}"))["code"]
        if other := [noun for noun in chosen_for if then.get(noun, {}).get("digest") != versions.code[noun][0]]:
            raise ProjectError(f"--since {commit}: its {other[0]} is not the recorded code, so it proves nothing")


def _tell(noun: str, old: Arrays, new: Arrays, commit: str, versions: Versions) -> None:
    found = differences(old, new)
    number = versions.nouns[noun]
    for name in (name for name in new if name not in old):
        print(f"{noun}: {name} is new and was not compared")
    for name in (name for name, value in new.items() if value.dtype.kind == "U" and str(value) == "not witnessed"):
        print(f"{noun}: {name} was not witnessed: its weights are not here")
    if not found:
        print(f"{noun}: equal ({len(old)} witnesses), version stays {number}", flush=True)
        return
    print(f"{noun}: {len(found)} of {len(old)} witnesses differ from those of {commit}")
    print("\n".join(f"  {line}" for line in found[:SHOWN]))
    if len(found) > SHOWN:
        print(f"  and {len(found) - SHOWN} more")
    if others := git("diff", "--name-only", commit, "--", "params.yaml", *WITNESSES):
        print(
            f"  {', '.join(others.split())} changed, too. If that is why: --since a commit with these and the old code"
        )


def bump(noun: str, versions: Versions) -> None:
    """Raise a noun's number: its results are others, and DVC shall compute them anew.

    Raises:
        ProjectError: the code is not committed; the next proof starts from a commit.
    """
    head = head_if_it_has_this_code(versions)
    if head is None:
        raise ProjectError(f"commit the code first: the next proof of {noun} starts from the commit that has it")
    number = versions.nouns[noun] + 1
    record(VERSIONS_FILE, noun, digest_of(noun, Path.cwd()), head, number)
    stages = tracking(noun)
    print(
        f"{noun}: version {number}; commit {VERSIONS_FILE}. `dvc repro` runs again: {', '.join(stages) or 'no stage'}"
    )


def tracking(noun: str) -> list[str]:
    """List the stages that track a noun, of every pipeline of the project."""
    found = []
    for path in sorted({*Path().glob("dvc.yaml"), *Path().glob("studies/*/dvc.yaml")}):  # a clone may lack the root's
        stages = yaml.safe_load(path.read_text(encoding="utf-8")).get("stages", {})
        for name, stage in stages.items():
            groups = [entry for entry in stage.get("params", []) if isinstance(entry, dict)]
            if any(noun in (keys or []) for group in groups for place, keys in group.items() if "versions" in place):
                found.append(name if path.parent == Path() else f"{path.parent}:{name}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nouns", nargs="*", metavar="NOUN", help=f"one of {', '.join(NOUNS)}")
    parser.add_argument("--all", action="store_true", help="all nouns, changed or not")
    compared = "compare the nouns with this commit, whose code of them is the recorded one"
    parser.add_argument("--since", metavar="COMMIT", help=compared)
    parser.add_argument("--bump", metavar="NOUN", choices=NUMBERED)
    parser.add_argument("--witness", nargs=2, metavar=("NOUN", "FILE.npz"), help="only run a witness, into a file")
    given = parser.parse_args()
    if other := [noun for noun in given.nouns if noun not in NOUNS]:
        parser.error(f"unknown noun {other[0]!r}. Choose from {', '.join(NOUNS)}.")
    if given.witness:
        noun, place = given.witness
        with tempfile.TemporaryDirectory() as folder:
            np.savez(place, **run_witness(noun, Path(folder)))  # type: ignore[arg-type]
        return
    signal.signal(signal.SIGTERM, _stop)
    versions = load_versions()
    if given.bump:
        bump(given.bump, versions)
        return
    changed = [noun for noun in NOUNS if digest_of(noun, Path.cwd()) != versions.code[noun][0]]
    nouns = given.nouns or (list(NOUNS) if given.all else changed)
    if not nouns:
        print("the code of every noun is the recorded one; --all verifies it all the same")
        return
    try:
        verify(nouns, versions, given.since)
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing was recorded")


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    run(main)
