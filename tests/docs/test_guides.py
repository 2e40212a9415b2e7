"""Each guide of docs/ is followed in a clone as a reader would, on the demo made small; then what it adds is there.

What is followed are fenced blocks, by what stands behind the three backquotes:

- `yaml datasets/my_sounds.yaml`, any language and a path: a new file, whole;
- `diff params.yaml`: lines of a file that are there once (` ` and `-`) give way to others (` ` and `+`); of a line that
  ends in ` ...` only the beginning is meant;
- `bash`: commands, run from the root of the project;
- `stages`: what the commands before it ran and nothing else, a pattern a line.

Other blocks only show something.
"""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from support.clones import ran, run
from support.repository import REPOSITORY, Patch
from support.tiny_models import write_tiny

pytestmark = pytest.mark.long
SCORES = "studies/demo/metrics/demo/scores.json"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(guide: str, folder: Path) -> str:
    """Do what a guide says in a clone; return what its commands printed."""
    said, last = "", ""
    (folder / ".venv").mkdir(exist_ok=True)
    (folder / ".venv/installed").touch()  # `make` installs nothing
    for language, file, text in BLOCK.findall((REPOSITORY / "docs" / guide).read_text(encoding="utf-8")):
        if language == "bash":
            last = run(folder, "bash", "-euo", "pipefail", "-c", text)
            said += last
        elif language == "diff":
            change(folder / file, text)
        elif language == "stages":
            check_stages(ran(last), text.split(), guide)
        elif file:
            assert not (folder / file).exists(), f"{guide}: {file} is there already"
            (folder / file).write_text(text, encoding="utf-8")
    run(folder, "ruff", "check", "beyond_spectrograms")
    run(folder, "ruff", "format", "--check", "beyond_spectrograms")
    return said


def change(path: Path, lines: str) -> None:
    """Apply a block of `diff`."""
    old, new = (
        "\n".join(line[1:].removesuffix(" ...") for line in lines.splitlines() if line[:1] in kept)
        for kept in (" -", " +")
    )
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {text.count(old)} times, not once:\n{old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def check_stages(found: list[str], patterns: list[str], guide: str) -> None:
    surplus = [name for name in found if not any(fnmatchcase(name, pattern) for pattern in patterns)]
    missing = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in found)]
    assert (surplus, missing) == ([], []), f"{guide}: ran beside the stages it names, and did not run of them"


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: Patch) -> Path:
    """Give that clone a home of its own beside it."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # joblib's: further processes take longer to start than to work
    return finished


def scores(project: Path) -> dict[str, Any]:
    return dict(json.loads((project / SCORES).read_text(encoding="utf-8")))


def cells(project: Path) -> dict[str, Any]:
    return dict(scores(project)["cells"])


def test_a_data_set_is_one_file_and_a_name_in_a_grid(project: Path) -> None:
    said = follow("adding-a-data-set.md", project)
    of_mine = json.loads((project / SCORES.replace("metrics/demo", "metrics/my_sounds")).read_text())["cells"]
    assert of_mine.keys() == cells(project).keys()
    assert "my_sounds: window accuracy on the test part" in said
    assert of_mine["mel-fair"]["recordings"] == 24


def test_a_kind_of_representation_is_a_file_a_record_and_a_line_of_a_registry(project: Path) -> None:
    before = cells(project)
    said = follow("adding-a-representation.md", project)
    assert cells(project).keys() - before.keys() == {"mfcc_40-fair", "mfcc_40-mean_linear"}
    features = scores(project)["features"]["mfcc_40"]
    assert (features["bands"], features["frames"]) == (40, 1 + 22_050 // 128)
    assert "\n| mfcc_40 " in said


def test_a_model_of_the_hub_is_one_record_and_one_line(project: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    write_tiny(tmp_path / "mirror/openai/whisper-tiny", "whisper")  # random weights stand in for the real ones
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path / "mirror"))
    before = cells(project)
    said = follow("adding-a-model.md", project)
    assert cells(project).keys() - before.keys() == {"my_whisper-fair", "my_whisper-mean_linear"}
    features = scores(project)["features"]["my_whisper"]
    assert (features["bands"], features["frames"]) == (16, 50)
    assert "\n| my_whisper " in said
    record = json.loads((project / "data/weights/whisper_smallest/record.json").read_text(encoding="utf-8"))
    assert [file["file"] for file in record["files"]] == [
        "config.json", "model.safetensors", "preprocessor_config.json"
    ]  # fmt: skip
    assert {file["revision"] for file in record["files"]} == {"unverified: from a mirror"}


def test_a_classifier_is_a_file_a_line_of_the_registry_and_its_name(project: Path) -> None:
    before = cells(project)
    said = follow("adding-a-classifier.md", project)
    assert cells(project).keys() - before.keys() == {"mel-mlp", "log_mel_2048-mlp"}
    assert {name: cells(project)[name] for name in before} == before
    assert "| mlp % " in said


def test_a_metric_is_two_files_and_a_report(project: Path) -> None:
    before = (project / SCORES).read_bytes()
    said = follow("adding-a-metric.md", project)
    assert (project / SCORES).read_bytes() == before
    assert "| macro-F1 % |" in said
    rows = pd.read_csv((project / SCORES).with_name("tables") / "table_1.csv").set_index(["representation", "protocol"])
    counts = np.array(cells(project)["mel-fair"]["confusion"]["counts"])
    label, predicted = (np.repeat(places.ravel(), counts.ravel()) for places in np.indices(counts.shape))
    expected = 100 * f1_score(label, predicted, average="macro")
    assert rows.loc[("mel", "fair"), "macro_f1_percent"] == pytest.approx(expected)


def test_a_figure_is_two_files_and_a_report(project: Path) -> None:
    said = follow("adding-a-figure.md", project)
    figures = {f"classes-{name}.{kind}" for name in ("fair", "mean_linear") for kind in ("png", "svg")}
    assert figures <= set(said.split())
