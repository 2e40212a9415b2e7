"""The lock, and what the wheel and the source archive hold."""

import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from beyond_spectrograms.util.code_versions import VERSIONS_FILE, load_versions
from beyond_spectrograms.util.errors import PACKAGES, MissingPackageError, require
from support.repository import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
LOCKED = dict(re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE))


def test_versions_that_results_hang_on_are_those_of_the_lock() -> None:
    packages = load_versions(REPOSITORY / VERSIONS_FILE).packages
    assert {name: LOCKED.get(name) for name in packages} == packages


def test_every_requirement_is_locked_within_its_range() -> None:
    extras = [one for of_extra in PROJECT["optional-dependencies"].values() for one in of_extra]
    wanted = [Requirement(text) for text in (*PROJECT["dependencies"], *extras)]
    others = {canonicalize_name(one.name): one.specifier for one in wanted if one.name != PROJECT["name"]}
    outside = {name: LOCKED.get(name) for name, allowed in others.items() if LOCKED.get(name, "0") not in allowed}
    assert outside == {}, "run `make lock`"


def test_every_locked_package_has_hashes() -> None:
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) == len(LOCKED) > 100
    assert [entry.split("==")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_a_package_of_an_extra_is_named_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    in_extras = {
        (canonicalize_name(Requirement(text).name), extra)
        for extra, texts in PROJECT["optional-dependencies"].items()
        for text in texts
    }
    assert set(PACKAGES.values()) <= in_extras
    require(*PACKAGES)  # all are installed here
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError) as caught:
        require("matplotlib")
    assert str(caught.value) == (
        "matplotlib is not installed. Install this project with its extra 'plot' (pip install -e '.[plot]' in its "
        "folder), or run pip install matplotlib."
    )


def test_the_wheel_holds_the_library_and_nothing_else(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [archive.read(name).decode() for name in names if name.endswith("/METADATA")]
    tops = {name.split("/")[0] for name in names}
    assert tops == {"beyond_spectrograms", f"beyond_spectrograms-{Version(PROJECT['version'])}.dist-info"}
    library = REPOSITORY / "beyond_spectrograms"
    modules = {path.relative_to(REPOSITORY).as_posix() for path in library.rglob("*.py")}
    templates = {path.relative_to(REPOSITORY).as_posix() for path in library.rglob("templates/*")}
    assert len(templates) > 10
    settings = [REPOSITORY / "params.yaml", REPOSITORY / "versions.yaml", *REPOSITORY.glob("datasets/*.yaml")]
    settings += REPOSITORY.glob("studies/*/params.yaml")
    defaults = {f"beyond_spectrograms/defaults/{path.relative_to(REPOSITORY).as_posix()}": path for path in settings}
    assert modules | templates | {"beyond_spectrograms/py.typed"} | defaults.keys() <= names
    with zipfile.ZipFile(wheel) as archive:  # one source: the wheel's settings are the checkout's
        assert [archive.read(name) == path.read_bytes() for name, path in defaults.items()] == [True] * len(defaults)
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in names}
    assert "License-Expression: MIT" in metadata
    assert "Author: Beyond Spectrograms contributors" in metadata


def test_the_source_archive_builds_and_has_no_tests_or_results(built: Path) -> None:
    [archive] = built.glob("*.tar.gz")  # `build` made the wheel from it
    with tarfile.open(archive) as opened:
        inside = {name.split("/")[1] for name in opened.getnames() if "/" in name}
    assert {"LICENSE", "NOTICE", "README.md", "beyond_spectrograms", "pyproject.toml"} <= inside
    assert inside & {"tests", "benchmarks", "verification", "metrics", "plots", "data", "docs"} == set()
