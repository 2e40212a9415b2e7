"""Sounds whose names would run as a script, be computed by a spreadsheet or read as mathematics, up to the page."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser
from soundfile import write

from beyond_spectrograms.util.text import from_cell
from support import clones
from support.common import tone
from support.looks import opened_offline

pytestmark = pytest.mark.long

CLASSES = ["=Dog<!--<script><", r"$\frac{ & 'cat'"]  # the first and a file's name together end a script
SIGNS = ("=", "+", "-", "@")  # what a spreadsheet computes
FILE = 'script><img src=x onerror=hurt=1>"><img src=x onerror=hurt=1> $x_{$ |{number}|\x1b]0;t\x07.wav'


def write_sounds(folder: Path) -> None:
    """Write six sounds of each class, of which a classifier can but guess."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(6):
            samples = tone(2, 400) + rng.normal(0, 0.3, 88_200)
            write(folder / name / FILE.replace("{number}", str(number)), samples, 44_100)


def test_hostile_names_are_shown_and_never_run(tmp_path: Path, browser: Browser) -> None:
    sounds, folder = tmp_path / "sounds", tmp_path / "project"
    write_sounds(sounds)
    clones.tiny(folder)
    source = f"{{path: {sounds}, name: '(?P<group>.*)', seconds: [0.5, 600.0], tail: reflect, folds: 3, fold_seed: 0}}"
    notice = "{licence: CC0, attribution: '<b>nobody</b>'}"
    (folder / "datasets/own.yaml").write_text(
        f"source: {source}\nmax_epochs: 2\nnotice: {notice}\ndrawn_from: []\nknown_pairs: []\n"
    )
    changes = {
        "grid.datasets": ["own"],
        "grid.representations": list(clones.REPRESENTATIONS),
        "grid.protocols": ["fair"],
    }
    clones.edit(folder, "studies/demo/params.yaml", changes)
    told = clones.dvc(folder, "repro", clones.DEMO)
    assert "\x1b]0;t" not in told
    metrics = folder / "studies/demo/metrics/own"
    with gzip.open(metrics / "predictions.csv.gz", "rt", newline="") as file:
        rows = [{key: from_cell(cell) for key, cell in row.items()} for row in csv.DictReader(file)]
    names = {f"{label}/{FILE.replace('{number}', str(number))}" for label in CLASSES for number in range(6)}
    assert {row["clip"] for row in rows} == names
    assert {row["label"] for row in rows} == set(CLASSES)
    for path in metrics.rglob("*.csv*"):
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row if cell != "-"]
        assert [cell for cell in cells if cell.startswith(SIGNS) and not is_number(cell)] == []
    page = (folder / "studies/demo/plots/report/index.html").as_uri()
    with opened_offline(browser, page, "#chart svg.marks") as opened:
        assert opened.evaluate("typeof hurt") == "undefined"
        assert opened.locator("img[src=x]").count() == 0
        shown = opened.locator("#listen").inner_text()
        assert "onerror=hurt=1" in shown
        assert "<b>nobody</b>" in (opened.locator("#listen").text_content() or "")


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
