"""What `make verify` says of edits, in real repositories: with small witnesses, and at the end with the real ones."""

import os
import re
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.util.code_versions import NOUNS, NUMBERED, VERSIONS_FILE, load_versions
from support.repository import REPOSITORY, Patch, git
from verification.digests import digest_of, users_of

FINGERPRINTS, RECORDS = "beyond_spectrograms/leakage/fingerprints.py", "beyond_spectrograms/params/representations.py"

# Of each noun one that takes no time; that of leakage runs the real code, that of training tells a default of params.
SMALL = """
import numpy as np


def leakage(params, folder):
    from beyond_spectrograms.leakage import fingerprints

    sound = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    yield "fingerprint", fingerprints.fingerprint(sound)
    yield "evidence", fingerprints.evidence(fingerprints.fingerprint(sound))
    yield "level", np.array([fingerprints.scaled(1.0), fingerprints.scaled()])


def training(params, folder):
    yield "engine", params.representations["encodec_24khz"].engine


def representations(params, folder):
    from beyond_spectrograms.data.audio import window_starts

    yield "starts", window_starts(2.5, 1.0, 1.0, "drop")


def data(params, folder):
    yield "nothing", []


classifiers = disturbances = evaluation = costs = label_scores = trials = codec = report = sonification = data
"""
LEVEL = "\n\nLEVEL = 12.0\n\n\ndef scaled(by: float = 0.5) -> float:\n    return LEVEL * by\n"


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Change")
    return git(folder, "rev-parse", "--short=12", "HEAD")


def lay_out(folder: Path, small: bool) -> Path:
    """Make a repository of the present code, whose versions.yaml names its first commit."""
    left_out = shutil.ignore_patterns("__pycache__", *["metrics", "plots", "dvc.lock"] * small)
    for name in ("beyond_spectrograms", "datasets", "stages", "studies", "verification"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=left_out)
    for name in ("params.yaml", "dvc.yaml", "versions.yaml", ".gitignore"):
        shutil.copy(REPOSITORY / name, folder)
    if small:
        (folder / "verification/witnesses.py").write_text(SMALL)
        for name in ("networks", "results"):
            (folder / f"verification/witnesses_of_{name}.py").write_text("")
        (folder / "stages/audit_codec.py").write_text("")  # so that the code of leakage is run by no other noun
        with (folder / FINGERPRINTS).open("a") as file:
            file.write(LEVEL)
    git(folder, "init", "--quiet")
    first = commit(folder)
    versions = (folder / "versions.yaml").read_text()
    for noun in NOUNS:
        entry = f'  {noun}: {{digest: "{digest_of(noun, folder)}", verified_at: "{first}"}}'
        versions = re.sub(rf"^  {noun}: .*$", entry, versions, flags=re.MULTILINE)
    (folder / "versions.yaml").write_text(versions)
    commit(folder)
    return folder


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("small"), small=True)


@pytest.fixture
def tree(laid_out: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(laid_out, tmp_path / "tree"))


def surroundings(folder: Path) -> dict[str, str]:
    """Let a process run the code in the folder, with a place for temporary files beside it."""
    place = folder.parent / "temporary"
    place.mkdir(exist_ok=True)
    return {**os.environ, "PYTHONPATH": str(folder), "TMPDIR": str(place)}


def assert_nothing_left(folder: Path) -> None:
    assert not list((folder.parent / "temporary").glob("verify-*"))
    assert len(git(folder, "worktree", "list").splitlines()) == 1


def verify(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run it in the folder, where it may leave nothing; give its status, output and errors."""
    command = [sys.executable, "-m", "verification.verify", *arguments]
    done = subprocess.run(command, cwd=folder, env=surroundings(folder), capture_output=True, text=True, check=False)
    assert_nothing_left(folder)
    return done.returncode, done.stdout, done.stderr


def edit(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")


def unequal(nouns: str, bumps: str) -> str:
    return f"{nouns}: not what versions.yaml has. Undo what changed the results, or raise the numbers: {bumps}\n"


def recorded(tree: Path, noun: str = "leakage") -> tuple[str, str]:
    """Read the digest of a noun's code, and the commit it was verified at."""
    return load_versions(tree / "versions.yaml").code[noun]


UNEQUAL = unequal("leakage", "make bump NOUN=leakage")
NUMBER = load_versions(REPOSITORY / VERSIONS_FILE).nouns["leakage"]
EQUAL = (0, f"leakage: equal (3 witnesses), version stays {NUMBER}\n", "")


def test_where_nothing_changed_nothing_is_run(tree: Path) -> None:
    edit(tree, FINGERPRINTS, "def evidence", "# a comment\n\ndef evidence")
    edit(tree, FINGERPRINTS, '"""', '""" ')
    assert verify(tree) == (0, "the code of every noun is the recorded one; --all verifies it all the same\n", "")


@pytest.mark.long
def test_new_names_in_a_moved_module_are_equal(tree: Path) -> None:
    before = recorded(tree)
    text = re.sub(r"\bsamples\b", "sound", (tree / FINGERPRINTS).read_text())
    (tree / FINGERPRINTS).write_text(re.sub(r"\b_fast_length\b", "_length_of_a_fast_transform", text))
    (tree / FINGERPRINTS).rename(tree / "beyond_spectrograms/leakage/marks.py")
    for path in (*(tree / "beyond_spectrograms/leakage").glob("*.py"), *(tree / "stages").glob("*.py")):
        path.write_text(path.read_text().replace("leakage.fingerprints", "leakage.marks"))
    edit(tree, "verification/witnesses.py", "import fingerprints", "import marks as fingerprints")
    assert verify(tree) == EQUAL
    after = recorded(tree)
    assert after == (digest_of("leakage", tree), before[1])  # not committed: that commit is still the one to start from
    assert after[0] != before[0]
    head = commit(tree)
    assert verify(tree, "leakage")[0] == 0
    assert recorded(tree) == (after[0], head)


def test_a_changed_constant_is_told_by_how_much(tree: Path) -> None:
    before = (tree / "versions.yaml").read_text()
    edit(tree, FINGERPRINTS, "LEVEL = 12.0", "LEVEL = 12.0012")
    told = f"leakage: 1 of 3 witnesses differ from those of {recorded(tree)[1]}\n"
    assert verify(tree) == (1, f"{told}  level: largest difference 0.0012 of values up to 12\n", UNEQUAL)
    assert (tree / "versions.yaml").read_text() == before


@pytest.mark.long
def test_code_that_others_run_and_defaults_that_they_read_are_compared_for_each(tree: Path) -> None:
    edit(tree, RECORDS, '"torch"] = "auto"', '"torch"] = "torch"')
    edit(tree, "beyond_spectrograms/data/audio.py", "+ 1e-9) + 1 if", "+ 1e-9) + 2 if")
    differ = f"1 of 1 witnesses differ from those of {recorded(tree, 'training')[1]}\n"
    numbers = load_versions(REPOSITORY / VERSIONS_FILE).nouns
    told = {noun: f"{noun}: equal (1 witnesses), version stays {numbers[noun]}\n" for noun in NUMBERED}
    told |= {"leakage": EQUAL[1]}
    told["representations"] = f"representations: {differ}  starts: '1.0' became '1.0,'\n"
    told["training"] = f"training: {differ}  engine: 'auto' became 'torch'\n"
    bumps = "make bump NOUN=representations; make bump NOUN=training"
    assert verify(tree) == (1, "".join(told.values()), unequal("representations, training", bumps))
    # Still to be proven.
    assert not any(recorded(tree, noun)[0] == digest_of(noun, tree) for noun in ("shared", "data"))


def test_another_version_of_a_package_is_named(tree: Path) -> None:
    numpy = load_versions(REPOSITORY / VERSIONS_FILE).packages["numpy"]
    edit(tree, "versions.yaml", "\nnumpy: ", "\nnumpy: 0.0.1  # ")
    told = f"leakage: packages are not those of {recorded(tree)[1]}: numpy {numpy} -> 0.0.1\n"
    assert verify(tree, "leakage") == (1, told, UNEQUAL)


@pytest.mark.long
def test_what_is_new_is_listed_and_what_is_gone_is_unequal(tree: Path) -> None:
    edit(tree, "verification/witnesses.py", '"evidence"', '"weight"')
    told = (
        "leakage: weight is new and was not compared\n"
        f"leakage: 1 of 3 witnesses differ from those of {recorded(tree)[1]}\n"
        "  evidence: gone\n"
        "  verification/witnesses.py changed, too. If that is why: --since a commit with these and the old code\n"
    )
    assert verify(tree, "leakage")[:2] == (1, told)
    assert verify(tree, "leakage", "--since", commit(tree))[:2] == EQUAL[:2]


def test_a_number_is_raised_for_code_that_is_committed(tree: Path) -> None:
    edit(tree, FINGERPRINTS, "LEVEL = 12.0", "LEVEL = 13.0")
    told = "commit the code first: the next proof of leakage starts from the commit that has it\n"
    assert verify(tree, "--bump", "leakage") == (1, "", told)
    tracks = "stages: {audit: {cmd: a, params: [{versions.yaml: [leakage, numpy]}]}, b: {cmd: b}}"
    (tree / "dvc.yaml").write_text(tracks)
    head = commit(tree)
    named = [(study, name) for study in ("codec", "codec_fsdd") for name in load_study(study).params.grid.codecs]
    codecs = ", ".join(f"studies/{study}:audit_codec_{name}" for study, name in named)
    stages = f"audit, {codecs}, studies/demo:audit, studies/multi_label:audit, studies/prototypes:audit"
    told = f"leakage: version {NUMBER + 1}; commit versions.yaml. `dvc repro` runs again: {stages}\n"
    assert verify(tree, "--bump", "leakage")[1] == told
    assert load_versions(tree / "versions.yaml").nouns["leakage"] == NUMBER + 1
    assert recorded(tree) == (digest_of("leakage", tree), head)
    shipped = (REPOSITORY / "versions.yaml").read_text().splitlines()
    kept = [line for line in (tree / "versions.yaml").read_text().splitlines() if line in shipped]
    assert len(kept) == len(shipped) - 1 - len(NOUNS)
    told = f"--since {head}: its leakage is not the recorded code, so it proves nothing\n"
    assert verify(tree, "leakage", "--since", head)[2] == told
    # Packages that only the old or only the new code knows change nothing.
    edit(tree, "versions.yaml", "\nnumpy: ", f"\npooch: {version('pooch')}\nnumpy: ")
    edit(tree, "versions.yaml", f"\nsnac: {version('snac')}", "")
    assert verify(tree, "leakage")[:2] == (0, f"leakage: equal (3 witnesses), version stays {NUMBER + 1}\n")
    edit(tree, "versions.yaml", 'verified_at: "', 'verified_at: "0123456')
    told = f"{recorded(tree)[1]} is no commit of this repository; a shallow clone lacks it, too\n"
    assert verify(tree, "leakage")[2] == told


@pytest.mark.long
def test_code_that_fails_or_is_no_python_and_an_unknown_noun_are_told_in_a_line(tree: Path) -> None:
    status, _, errors = verify(tree, "trainings")
    assert status == 2
    assert errors.endswith(f"error: unknown noun 'trainings'. Choose from {', '.join(NOUNS)}.\n")
    edit(tree, FINGERPRINTS, "LEVEL = 12.0", "raise ValueError('no such thing')")
    told = f"leakage: its witness fails with the code in {tree}: ValueError: no such thing\n"
    assert verify(tree, "leakage") == (1, "", told)
    edit(tree, FINGERPRINTS, "raise ValueError('no such thing')", "LEVEL =")
    line = (tree / FINGERPRINTS).read_text().splitlines().index("LEVEL =") + 1
    assert verify(tree) == (1, "", f"{tree / FINGERPRINTS}, line {line}: invalid syntax\n")


def test_interrupted_it_leaves_nothing(tree: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    say = f"open({str(begun)!r}, 'w').write(str(os.getpid()))"
    waiting = f"def leakage(params, folder):\n    import os, time\n    {say}\n    time.sleep(600)\n"
    edit(tree, "verification/witnesses.py", "def leakage(params, folder):\n", waiting)
    command = [sys.executable, "-m", "verification.verify", "leakage"]
    with subprocess.Popen(command, cwd=tree, env=surroundings(tree), stderr=subprocess.PIPE, text=True) as running:
        while not (begun.exists() and begun.read_text()):
            assert running.poll() is None
            time.sleep(0.05)
        assert len(git(tree, "worktree", "list").splitlines()) == 2
        running.terminate()
        _, said = running.communicate()
    assert (said, running.returncode) == ("interrupted; nothing was recorded\n", 1)
    assert_nothing_left(tree)
    assert not list((tmp_path / "temporary").iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("real"), small=False)


OF_CLASSIFIERS = {
    "classifiers/convolutional.py": ("DROPOUT = 0.5", "DROPOUT = 0.4"),
    "leakage/cues.py": ("FRAME = 4096", "FRAME = 2048"),
    "sonification/players.py": ("ROUNDS = 32", "ROUNDS = 31"),
}
OF_TRAINING = {
    # What only the last step of a curriculum comes to.
    "training/trainers/prototypes.py": ('0.1 if name == "fine"', '0.2 if name == "fine"'),
    "representations/mel.py": ("[:, :, first:end].mean(", "[:, :, first:end].max("),
}


@pytest.mark.long
@pytest.mark.parametrize(
    ("edits", "nouns"),
    [
        (OF_CLASSIFIERS, {"classifiers", "training", "disturbances", "evaluation", "leakage", "sonification"}),
        (OF_TRAINING, {"training", "representations"}),
    ],
    ids=["classifiers, leakage and sonification", "training and representations"],
)
def test_the_real_witnesses_of_edits_beside_new_names(
    edits: dict[str, tuple[str, str]], nouns: set[str], real: Path, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.delenv("BEYOND_SPECTROGRAMS_MIRROR", raising=False)
    tree = Path(shutil.copytree(real, tmp_path / "tree"))
    for path in (tree / "beyond_spectrograms").rglob("*.py"):
        text = re.sub(r"\brun_epoch\b", "go_through_a_part", path.read_text())
        path.write_text(re.sub(r"\bname_clusters\b", "named_by_majority", text))
    for file, (old, new) in edits.items():
        edit(tree, f"beyond_spectrograms/{file}", old, new)
    edited = {"classifiers", "training", *(file.split("/")[0] for file in edits)}
    run = {user for noun in edited for user in users_of(noun, tree)}
    status, told, errors = verify(tree)
    assert "sonification: played/soundstream was not witnessed: its weights are not here\n" in told
    equal = {line.split(": equal")[0] for line in told.splitlines() if ": equal (" in line}
    assert equal == run - nouns > {"costs", "trials", "report"}
    assert (status, set(errors.split(": not what")[0].split(", "))) == (1, nouns)
