"""versions.yaml, and which noun's digest an edit changes."""

from collections import Counter
from pathlib import Path

import pytest

from beyond_spectrograms.util.code_versions import NOUNS, NUMBERED, VersionsError, load_versions
from beyond_spectrograms.util.yaml_files import YamlError
from support.common import refusal
from support.repository import REPOSITORY
from verification.digests import CODE, UNTRACKED, digest_of, modules_of, users_of

SHIPPED = (REPOSITORY / "versions.yaml").read_text(encoding="utf-8")


def test_digests_are_those_recorded() -> None:
    recorded = {noun: digest for noun, (digest, _) in load_versions(REPOSITORY / "versions.yaml").code.items()}
    changed = [noun for noun in NOUNS if digest_of(noun, REPOSITORY) != recorded[noun]]
    assert not changed, f"the code of {', '.join(changed)} changed: does it still give the same results? `make verify`"


def test_every_module_is_of_one_noun_or_decides_no_result() -> None:
    assert tuple(CODE) == NOUNS
    places = Counter(path for noun in NOUNS for path in modules_of(noun, REPOSITORY))
    places.update({path.relative_to(REPOSITORY) for pattern in UNTRACKED for path in REPOSITORY.glob(pattern)})
    folders = (REPOSITORY / name for name in ("beyond_spectrograms", "stages"))
    modules = [path.relative_to(REPOSITORY) for folder in folders for path in folder.rglob("*.py")]
    assert {str(path): places[path] for path in modules if places[path] != 1} == {}


def test_users_are_those_that_run_the_code() -> None:
    assert users_of("leakage", REPOSITORY) == ["leakage", "codec"]
    assert users_of("training", REPOSITORY)[:3] == ["training", "disturbances", "evaluation"]
    assert "representations" in users_of("data", REPOSITORY)
    assert users_of("shared", REPOSITORY) == list(NUMBERED)


SOURCE = '''"""What a module does."""

SHOWN = 5  # pairs in an error


def find(first: str, second: str) -> bool:
    """Find one.

    In several lines.
    """
    return bool(first and second) and f"{first}!" != "same bytes"
'''


def digest_with(folder: Path, code: str) -> str:
    """Digest a noun whose only module has this code."""
    path = folder / "beyond_spectrograms/leakage/audit.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")
    return digest_of("leakage", folder)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("5  # pairs in an error", "(5)", True),
        ("What a module does.", "Another text.", True),
        ("bool(first and second) and", "(\n  bool(first and second)\n ) and", True),
        ("Find one.\n\n    In several", "Find\n  one. In", True),
        ("SHOWN = 5", "SHOWN = 6", False),
        ("same bytes", "same byte", False),
    ],
)
def test_a_digest_follows_code_but_not_wording_and_layout(tmp_path: Path, old: str, new: str, same: bool) -> None:
    changed = SOURCE.replace(old, new)
    assert changed != SOURCE
    assert (digest_with(tmp_path, changed) == digest_with(tmp_path, SOURCE)) is same


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\ndata: 1", "\ndata: one", "data: a whole number from 1 on is expected, not 'one'"),
        ("\ndata: 1", "\ndata: 0", "data: a whole number from 1 on is expected, not 0"),
        ("\ndata: 1", "\ndata: true", "data: a whole number from 1 on is expected, not True"),
        ("\ndata: 1", "\n", "data: a whole number from 1 on is expected, not None"),
        ("\ndata: 1", "\ndata: 1\nsounds: 1", "unknown noun 'sounds'. Choose from data, representations, classifiers, "
         "training, disturbances, evaluation, leakage, costs, label_scores, trials, codec, report, sonification."),
        ("\nnumpy: ", "\nnumpy: 2.4  # ", "numpy: the version of a package is expected, in quotes, not 2.4"),
        ("code:", "codes:", "codes: the version of a package is expected, in quotes, not {"),
        ("  data: {digest:", "  data: {digests:", "code.data: digest and verified_at are expected, in quotes, not {"),
        (SHIPPED, "[1]", "a number for each noun is expected, not [1]"),
        (SHIPPED, "a: [", "not YAML: while parsing"),
    ],
)  # fmt: skip
def test_versions_that_are_none_are_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "versions.yaml"
    assert old in SHIPPED
    path.write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")
    kind = YamlError if "YAML" in message else VersionsError
    told, long = refusal(kind, load_versions, path), message[-1] == "{" or "YAML" in message
    assert told[: len(f"{path}: {message}") if long else None] == f"{path}: {message}"
    assert "\n" not in told


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    told = f"{tmp_path}/versions.yaml: no such file. It stands beside params.yaml."
    assert refusal(VersionsError, load_versions, tmp_path / "versions.yaml") == told
