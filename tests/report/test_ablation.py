"""The tables of prototypes: intervals over sources, folds or recordings, what one change does, and what is missing."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logit

from beyond_spectrograms.evaluation.clip_results import Recordings
from beyond_spectrograms.evaluation.ladder import find_leaks
from beyond_spectrograms.evaluation.metrics import variance_of
from beyond_spectrograms.evaluation.records import MEASURES, ResultError, cell_name
from beyond_spectrograms.evaluation.result_files import Evaluation
from beyond_spectrograms.evaluation.uncertainty import compare_folds, error_interval, gap, window_interval
from beyond_spectrograms.params import load_params
from beyond_spectrograms.params.study import Study
from beyond_spectrograms.report.prototypes import compare, find_steps, judge, sum_errors
from support.cells import edit_params, gather, grid, make_cell, write, write_cell, write_dataset, write_params
from support.common import refusal
from support.hands import SETTINGS, cell, clustered
from support.repository import REPOSITORY, run_here


def with_errors(recordings: Recordings) -> Recordings:
    """Give every right window of a cell the error 1 and every wrong one 0."""
    return replace(recordings, errors=recordings.windows_right.astype(float))


def of_few(recordings: Recordings, sources: int) -> Recordings:
    """Let recordings have so many sources."""
    return replace(recordings, sources=tuple(str(place % sources) for place in range(len(recordings.clips))))


def test_errors_have_the_interval_that_right_windows_would_have() -> None:
    tested = cell(clustered(3, 60))
    assert sum_errors(tested, unit=1.0) is None  # of a classifier without reconstruction
    (once, over), (scaled, _) = (
        judge(sum_errors(with_errors(tested), unit=unit), SETTINGS, error_interval) for unit in (1.0, 4.0)
    )
    right, share = window_interval(tested, SETTINGS), once.value
    assert (over, share) == ("sources", right.value)
    # On the logit scale limits are as far apart, divided by p (1 - p).
    width = (logit(right.high) - logit(right.low)) * share * (1 - share)
    assert once.high - once.low == pytest.approx(width)
    assert (scaled.value, scaled.low, scaled.high) == pytest.approx((4 * share, 4 * once.low, 4 * once.high))


def test_few_sources_are_judged_over_folds_and_in_one_part_over_recordings() -> None:
    folds = of_few(cell(np.array([[0, 1, 2, 3, 4, 5]]), folds=3), sources=2)
    found, over = judge(folds, SETTINGS)
    assert over == "folds"
    assert found == compare_folds({(1, 0): 0.3, (2, 0): 0.5, (3, 0): 0.7}, SETTINGS, 0.03).difference
    one_part = of_few(cell(clustered(2, 60), folds=1), sources=10)
    by_clip = replace(one_part, sources=one_part.clips)
    assert judge(one_part, SETTINGS) == (window_interval(by_clip, SETTINGS), "recordings")


def test_differences_are_taken_on_the_same_draws_over_what_intervals_are() -> None:
    first, second = cell(clustered(2, 60)), cell(clustered(2, 60, chance=0.5))
    assert compare(first, second, SETTINGS) == (gap(first, second, SETTINGS).difference, "sources")
    less = replace(first, windows_right=first.windows_right - 0.1 * first.windows)
    difference, over = compare(of_few(first, 10), of_few(less, 10), SETTINGS)
    assert over == "folds"
    assert difference.value == pytest.approx(0.1)
    assert difference.reason == "All folds are alike: there is no spread to judge by."
    other = compare(of_few(first, 10), of_few(second, 10), SETTINGS)
    off = (first.windows_right - second.windows_right).sum(1) / 60
    shares = dict(zip(first.runs, off.tolist(), strict=True))
    assert other[1] == "folds"
    expected = compare_folds(shares, SETTINGS, 0.03).difference
    assert (other[0].value, other[0].low, other[0].high) == pytest.approx((expected.value, expected.low, expected.high))
    leaky = of_few(cell(clustered(2, 60), folds=1), 10)
    apart = [replace(each, sources=each.clips) for each in (leaky, second)]
    assert compare(leaky, of_few(second, 10), SETTINGS) == (gap(apart[0], apart[1], SETTINGS).difference, "recordings")


def test_variance_is_about_each_bands_mean_over_the_rows_alone() -> None:
    features = np.random.default_rng(0).normal(3, 2, (600, 4, 5)).astype(np.float32)
    features[:, 1] += 100
    rows = np.arange(0, 600, 2)
    assert variance_of(features, rows) == pytest.approx(features[rows].astype(float).var(axis=(0, 2)).mean())


def test_pairs_that_differ_in_one_thing_are_found_in_the_shipped_params() -> None:
    params = load_params(Path("studies/prototypes"), REPOSITORY)
    protocols = {name: params.protocols[name] for name in params.grid.protocols}
    leaks = find_leaks(protocols, params.splits)
    assert leaks == [(f"{name}_utterance", name, "leakage") for name in ("prototypes", "clusters")]
    assert find_steps(protocols) == [
        ("prototypes_gain", "prototypes_raw", "gain"),
        ("prototypes_pitch", "prototypes_gain", "pitch"),
        ("prototypes_filters", "prototypes_pitch", "filters"),
        ("prototypes_utterance", "prototypes_filters", "cross-entropy"),
        ("clusters_gain", "clusters_raw", "gain"),
        ("clusters_pitch", "clusters_gain", "pitch"),
        ("clusters_utterance", "clusters_pitch", "filters"),
    ]


CLASSES = ["ann", "bob", "nobody"]
RECORDINGS = [(f"{label}/{word}.wav", label, word, word % 3 + 1) for label in ("ann", "bob") for word in range(6)]


def make(
    study: Study, dataset: str, name: str, protocol: str, *, folds: bool, error: float | None, wrong: int
) -> Evaluation:
    """Make one run of each fold: of every recording one window, the first `wrong` of them wrong."""
    found = make_cell(study, dataset, name, protocol)
    rows: list[dict[str, Any]] = []
    for number, (clip, label, word, fold) in enumerate(RECORDINGS if folds else RECORDINGS[::2]):
        row = {"fold": fold if folds else 1, "seed": 0, "clip": clip, "group": word, "label": label, "windows": 1}
        predicted = "nobody" if number < wrong else label
        row |= {"windows_right": int(number >= wrong), "predicted": predicted, "predicted_by_seeds": predicted}
        rows.append(row | ({} if error is None else {"reconstruction_error": error * (1 + word % 3)}))
    scores = found.scores[cell_name(name, protocol)]
    run = scores["by_fold"][0]
    runs = [run | {"fold": 1 + n, "epoch": 1, "class_accuracy": 0.5 + n / 10} for n in range(3 if folds else 1)]
    answers = [(row["label"], row["predicted"]) for row in rows]
    counts = [[answers.count((label, predicted)) for predicted in CLASSES] for label in CLASSES]
    scores |= {"windows": len(rows), "recordings": len(rows), "window_accuracy": 1 - wrong / len(rows)}
    scores |= {"confusion": {"classes": CLASSES, "counts": counts}}
    made = gather((name, protocol), scores | {"by_fold": runs}, rows, HISTORY[: len(runs)])
    made.features[name] |= {"variance": {"window": 100.0, "source": 100.0}}
    return made


HISTORY = [{"fold": fold, "seed": 0, "epoch": 1} | dict.fromkeys(MEASURES, 0.5) for fold in (1, 2, 3)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder with a small data set of two speakers and six words, and a study of five cells of it."""
    protocols = ["prototypes", "prototypes_utterance", "prototypes_filters", "temporal_cnn"]
    few = {"only": {"soundstream": ["latent_prototypes"]}, "heard": ["prototypes"]}
    asked_for = grid("fsdd_speakers", ["log_mel_16khz", "soundstream"], protocols, **few)
    write_params(tmp_path, "prototypes", grid=asked_for)
    edit_params(tmp_path, lambda params: params["statistics"].update(minimum_runs=3))
    write_dataset(tmp_path, "fsdd_speakers", [], [], study="prototypes")
    monkeypatch.chdir(tmp_path)


WRITTEN = """\
# fsdd_speakers, log_mel_16khz: prototypes

| protocol             | runs | recordings right % | error               | interval over | unexplained % | windows right, mean over classes % | adjusted Rand | adjusted mutual information |
|----------------------|------|--------------------|---------------------|---------------|---------------|------------------------------------|---------------|-----------------------------|
| prototypes           | 3    | 66.7 [30.8, 100.0] | 40.00 [0.00, 89.68] | folds         | 40.0          | 60.0 (50.0 to 70.0)                | -             | -                           |
| prototypes_utterance | 1    | 100.0              | 20.00               | recordings    | 20.0          | 50.0                               | -             | -                           |
| prototypes_filters   | 1    | 66.7               | 10.00               | recordings    | 10.0          | 50.0                               | -             | -                           |
| temporal_cnn         | 3    | 75.0               | -                   | folds         | -             | 60.0 (50.0 to 70.0)                | -             | -                           |

- In square brackets: 95% interval, over sources (recordings of one origin) and runs. With fewer than 30 sources: over folds; where one part is tested, over recordings, which holds for further recordings of the same sources, not for new ones. In round brackets: lowest to highest run.
- error: mean squared difference of a window and its reconstruction, in the features' own unit (squared decibels for spectra in decibels). unexplained: the error as a share of the tested features' variance about each band's mean, so 100 % is what that mean reaches and units do not matter.
- prototypes_utterance, prototypes_filters: Only 6 sources were tested; 30 are needed for an interval.
- temporal_cnn: All folds are alike: there is no spread to judge by.

# fsdd_speakers, log_mel_16khz: contrasts named in params.yaml

| change | of         | minus        | recordings right, points | error | interval over |
|--------|------------|--------------|--------------------------|-------|---------------|
| named  | prototypes | temporal_cnn | -8.3 [-44.2, +27.5]      | -     | folds         |

- On the recordings both tested; intervals as above.

# fsdd_speakers, log_mel_16khz: what the leaky split adds

| change  | of                   | minus      | windows right, points | error  | interval over |
|---------|----------------------|------------|-----------------------|--------|---------------|
| leakage | prototypes_utterance | prototypes | +33.3                 | -20.00 | recordings    |

- On the recordings both tested; intervals as above.
- prototypes_utterance - prototypes: Only 6 sources were tested; 30 are needed for an interval.

# fsdd_speakers, log_mel_16khz: what each part of prototypes changes

| change        | of                   | minus              | recordings right, points | error  | interval over |
|---------------|----------------------|--------------------|--------------------------|--------|---------------|
| cross-entropy | prototypes_utterance | prototypes_filters | +33.3                    | +10.00 | recordings    |

- On the recordings both tested; intervals as above.
- prototypes_utterance - prototypes_filters: Only 6 sources were tested; 30 are needed for an interval.
"""  # noqa: E501  a table's rows


STAGE = ("ablate", "--study=prototypes", "fsdd_speakers")
FOLDER = Path("studies/prototypes/metrics/fsdd_speakers/tables")


@pytest.mark.usefixtures("project")
def test_stage_tabulates_the_cells_that_params_name_and_their_differences() -> None:
    name, unit = "log_mel_16khz", 170**2  # params bring 170 dB to 1
    for protocol, folds, error, wrong in (
        ("prototypes", True, 20 / unit, 4),
        ("prototypes_utterance", False, 10 / unit, 0),
        ("prototypes_filters", False, 5 / unit, 2),
        ("temporal_cnn", True, None, 3),
    ):
        made = partial(make, folds=folds, error=error, wrong=wrong)
        write_cell(Path(), "fsdd_speakers", name, protocol, study="prototypes", make=made)
    write(FOLDER / "retired.md", "no longer run")
    run_here(*STAGE)
    assert (FOLDER / f"{name}.md").read_text() == WRITTEN
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}{end}" for end in ("-differences.csv", ".csv", ".md")}


@pytest.mark.usefixtures("project")
def test_where_no_cell_was_run_one_line_says_so() -> None:
    assert refusal(ResultError, run_here, *STAGE) == (
        "studies/prototypes/metrics/fsdd_speakers/scores.json: no cell of the grid is there. Train and evaluate some."
    )
