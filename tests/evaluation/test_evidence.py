"""What a statistician recomputed from the committed files, as expectations: the figures that replace withdrawn ones.

Limits may differ by some tenths: theirs were by bootstrap, or by Student over folds.
"""

from functools import cache

import numpy as np
import pytest

from beyond_spectrograms.evaluation.ladder import find_leaks
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import Comparison, compare, compare_folds
from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.report.prototypes import cells_of
from beyond_spectrograms.report.prototypes import compare as compare_cells
from stages.report import results_of
from support.repository import REPOSITORY

pytestmark = pytest.mark.usefixtures("at_home")


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@cache
def results(study: str, dataset: str = "esc10") -> Results:
    return results_of(load_study(study), dataset)


def points(found: Comparison) -> tuple[float, float, float]:
    return tuple(100 * value for value in (found.difference.value, found.difference.low, found.difference.high))


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("soundstream", (14.7, 11.6, 17.8)),
        ("log_mel", (9.4, 3.3, 15.6)),
        ("encodec_24khz_untrained", (-3.5, -7.1, 0.1)),
    ],
)
def test_without_selection_mel_is_behind_by_far_less(first: str, expected: tuple[float, float, float]) -> None:
    here = results("paper")
    ours, mel = ({c.run: c.validation_accuracy[49] for c in here.cell(n, "fair").curves} for n in (first, "mel"))
    found = compare_folds({run: ours[run] - mel[run] for run in mel}, here.params.statistics, 0.03)
    assert points(found) == pytest.approx(expected, abs=0.06)


def test_the_codec_and_the_strongest_spectrogram_are_not_told_apart() -> None:
    here = results("paper")
    cells = [here.cell(name, "fair").recordings for name in ("soundstream", "log_mel_75hz")]
    found = compare(*cells, here.params.statistics)
    assert points(found) == pytest.approx((1.2, -1.6, 4.0), abs=0.35)
    assert (found.p, found.decision) == (pytest.approx(0.42, abs=0.03), "undecided")


def test_leakage_counts_windows_of_the_recordings_both_splits_test() -> None:
    here = results("prototypes")
    cells = cells_of(here, "log_mel_16khz")
    protocols = {name: here.params.protocols[name] for name in cells}
    leaky, clean, _ = next(leak for leak in find_leaks(protocols, here.params.splits) if leak[1] == "prototypes")
    found, _ = compare_cells(cells[leaky].windows, cells[clean].windows, here.params.statistics)
    assert 100 * found.value == pytest.approx(16.5, abs=0.06)
    assert (found.low, found.reason) == (None, "3 runs; 5 are needed for an interval.")


@pytest.mark.parametrize(
    ("dataset", "against", "expected"),
    [
        ("esc10", "apnet", (7.8, 1.2, 14.2)),
        ("fsdd_speakers", "apnet", (2.4, 1.0, 3.9)),
        ("esc10", "temporal_cnn", (-2.2, -6.9, 2.4)),
    ],
)
def test_prototypes_are_compared_in_pairs(dataset: str, against: str, expected: tuple[float, float, float]) -> None:
    here = results("prototypes", dataset)
    cells = cells_of(here, "log_mel_16khz")
    found, _ = compare_cells(cells["prototypes"].right, cells[against].right, here.params.statistics)
    assert np.array([found.value, found.low, found.high]) * 100 == pytest.approx(expected, abs=0.6)
