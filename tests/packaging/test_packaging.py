"""The lock, what the wheel and the source archive hold, the wheel in use where only the core is, and the notebook."""

import csv
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import nbformat
import numpy as np
import pytest
import soundfile
from nbclient import NotebookClient
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from beyond_spectrograms.util.code_versions import VERSIONS_FILE, load_versions
from beyond_spectrograms.util.errors import PACKAGES, MissingPackageError, require
from support.common import refusal, tone
from support.repository import REPOSITORY, Patch, tracked

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
LOCKED = dict(re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE))
# Runs a command as where only the core's packages are: what extras install cannot be imported.
CORE = """
import sys
if __name__ == "__main__":
    extras = ("PIL", "ai_edge_litert", "dvc", "encodec", "fastapi", "jinja2", "matplotlib", "openvino", "statsmodels")
    for name in (*extras, "torchaudio", "uvicorn", "vl_convert"):
        sys.modules[name] = None
    exec(compile(open(sys.argv.pop(1)).read(), "command", "exec"))
"""
COMMAND = "from beyond_spectrograms.__main__ import run; run()"
HEAR = """
import torch
from beyond_spectrograms import hear
model = hear.load_model("log_mel_2048")
print(list(hear.get_scene_embeddings(torch.rand(2, model.sample_rate) - 0.5, model).shape))
"""


def test_versions_that_results_hang_on_are_those_of_the_lock() -> None:
    packages = load_versions(REPOSITORY / VERSIONS_FILE).packages
    assert {name: LOCKED.get(name) for name in packages} == packages


def test_every_requirement_is_locked_within_its_range() -> None:
    extras = [one for of_extra in PROJECT["optional-dependencies"].values() for one in of_extra]
    wanted = [Requirement(text) for text in (*PROJECT["dependencies"], *extras)]
    others = {canonicalize_name(one.name): one.specifier for one in wanted if one.name != PROJECT["name"]}
    outside = {name: LOCKED.get(name) for name, allowed in others.items() if LOCKED.get(name, "0") not in allowed}
    assert outside == {}, "run `make lock`"


@pytest.mark.parametrize(("lock", "least"), [("requirements.lock", 100), ("tools.lock", 20)])
def test_every_locked_package_has_hashes(lock: str, least: int) -> None:
    text = (REPOSITORY / lock).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(re.findall("^[a-z].*==", text, re.MULTILINE)) > least
    assert [entry.split("==")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_what_is_installed_is_hashed_and_all_but_two_packages_are_wheels() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    installs = re.findall(r"^\t@.*\$\(INSTALL\) (.*)", makefile, re.MULTILINE)
    # The project itself, and torch from an index that its user names: the lock has no hashes of that one's files.
    others = ["--index-url $(TORCH_INDEX)", "--no-deps --no-build-isolation --editable ."]
    locked = [line for line in installs if not line.startswith(tuple(others))]
    assert len(installs) == len(locked) + len(others)
    assert len(locked) == 5
    assert [line for line in locked if "--require-hashes --no-deps" not in line] == []
    assert [
        line for line in locked if "--only-binary :all:" not in line.replace("$(SOURCES)", "--only-binary :all:")
    ] == []
    assert re.findall("--no-binary (.*)", makefile) == ["encodec,antlr4-python3-runtime"]
    assert "pip " not in (REPOSITORY / ".ci/run").read_text(encoding="utf-8")


def test_packages_under_the_gpl_are_named() -> None:
    told = {}
    for name in LOCKED:
        try:
            found = metadata(name)
        except PackageNotFoundError:  # of another Python or system
            continue
        classifiers = [each for each in found.get_all("Classifier", []) if each.startswith("License ::")]
        whole = (found.get("License") or "").partition("\n")[0]  # some give all the text, which names others' too
        told[name] = found.get("License-Expression") or " ".join([whole, *classifiers])
    assert len(told) > 100
    gpl = {name for name, licences in told.items() if re.search("GPL|General Public", licences)}
    assert gpl == {"asyncssh", "dulwich", "grandalf", "pygit2", "soxr"}
    notice = (REPOSITORY / "NOTICE").read_text(encoding="utf-8")
    assert [name for name in gpl if name not in notice] == []


def test_a_package_of_an_extra_is_named_with_it(monkeypatch: Patch) -> None:
    in_extras = {
        (canonicalize_name(Requirement(text).name), extra)
        for extra, texts in PROJECT["optional-dependencies"].items()
        for text in texts
    }
    assert set(PACKAGES.values()) <= in_extras
    require(*PACKAGES)  # all are installed here
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert refusal(MissingPackageError, require, "matplotlib") == (
        "matplotlib is not installed. Install this project with its extra 'plot' (pip install -e '.[plot]' in its "
        "folder), or run pip install matplotlib."
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both from the tracked files, and what git would track."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in tracked():
        if not name.startswith(("metrics/", "plots/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(command, capture_output=True, check=True)
    return folder


def test_the_wheel_holds_the_library_and_nothing_else(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [archive.read(name).decode() for name in names if name.endswith("/METADATA")]
    tops = {name.split("/")[0] for name in names}
    assert tops == {"beyond_spectrograms", f"beyond_spectrograms-{Version(PROJECT['version'])}.dist-info"}
    library = REPOSITORY / "beyond_spectrograms"
    code = [path for pattern in ("*.py", "templates/*", "shipped/*", "py.typed") for path in library.rglob(pattern)]
    wanted = {path.relative_to(REPOSITORY).as_posix() for path in code}
    assert sum("/templates/" in name for name in wanted) > 10
    patterns = ("params.yaml", "versions.yaml", "datasets/*.yaml", "studies/*/params.yaml")
    settings = [path for pattern in patterns for path in REPOSITORY.glob(pattern)]
    defaults = {f"beyond_spectrograms/defaults/{path.relative_to(REPOSITORY).as_posix()}": path for path in settings}
    assert wanted | defaults.keys() <= names
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


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own, over the packages of this one."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=True)
    python, [wheel] = folder / "bin/python", built.glob("*.whl")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    place = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    here = [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_path("purelib")]
    Path(place.strip(), "packages.pth").write_text("\n".join(here) + "\n")
    return python


@pytest.mark.long
def test_one_trains_classifies_segments_and_embeds_without_a_checkout(python: Path, tmp_path: Path) -> None:
    empty, sounds = tmp_path / "empty", tmp_path / "sounds"
    empty.mkdir()
    for number in range(4):
        for label, hertz in (("low", 300), ("high", 3000)):
            (sounds / label).mkdir(parents=True, exist_ok=True)
            soundfile.write(sounds / label / f"{number}.wav", tone(2, hertz * 1.1**number), 44_100)
    soundfile.write(tmp_path / "sound.wav", np.concatenate([tone(4, 350), tone(4, 3500)]), 44_100)
    for name, text in (("core", CORE), ("command", COMMAND), ("hear", HEAR)):
        (tmp_path / f"{name}.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def ask(script: str, *arguments: object) -> str:
        line = [python, "-P", tmp_path / "core.py", tmp_path / f"{script}.py", *map(str, arguments)]
        told = subprocess.run(line, cwd=empty, env=environment, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        return told.stdout

    options = ["--representation", "log_mel_2048_50hz", "--epochs", 20, "--out", "mine"]
    right = "right: 100.0% [63.1%, 100.0%] of recordings, 100.0% [63.1%, 100.0%] of windows; "
    assert right in ask("command", "train", sounds, *options)
    [first, *_] = csv.DictReader(
        ask("command", "classify", tmp_path / "sound.wav", "--model", "mine", "--format", "csv").splitlines()
    )
    assert first["windows"] == "8"
    segments = ask("command", "segment", tmp_path / "sound.wav", "--model", "mine", "--format", "csv").splitlines()
    assert [line.split(",")[2] for line in segments[1:]] == ["low", "high"]
    assert ask("hear") == "[2, 128]\n"
    assert sorted(path.name for path in empty.iterdir()) == ["mine", "mine-report"]


EXAMPLE = REPOSITORY / "docs/example.ipynb"


def test_the_example_is_kept_without_outputs() -> None:
    cells = nbformat.read(EXAMPLE, as_version=4).cells
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.long
def test_the_example_runs() -> None:
    notebook = nbformat.read(EXAMPLE, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": EXAMPLE.parent}}).execute()
    [answer] = notebook.cells[-2].outputs
    assert answer["data"]["text/plain"].startswith("[('")
    pictures = [output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in str(output)]
    assert len(pictures) == 2
