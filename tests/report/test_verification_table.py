"""The table and the curves of trials show what trials.json holds."""

from pathlib import Path

import pytest

from beyond_spectrograms.evaluation.verification import TrialScores, TrialsFile
from beyond_spectrograms.params import STUDIES, load_params
from beyond_spectrograms.report.figures import save
from beyond_spectrograms.report.table import to_markdown
from beyond_spectrograms.report.verification import figure_det, trials_table
from support.repository import REPOSITORY

PARAMS = load_params(STUDIES / "speakers", REPOSITORY)
MADE_PARAMS = PARAMS.model_copy(update={"datasets": {"made": PARAMS.datasets["fsdd_speakers"]}})
MADE = TrialScores(
    representation="mel",
    embedding="mean",
    targets=1200,
    non_targets=1300,
    folds=1,
    speakers=40,
    recordings=700,
    values=128,
    eer=0.25,
    eer_low=0.2,
    eer_high=0.31,
    eer_reason=None,
    eer_by_speaker={"a": 0.1, "b": 0.375, "c": None},
    min_dcf=0.98765,
    false_accepts=[0.0, 0.1, 0.25, 0.6, 1.0],
    false_rejects=[1.0, 0.4, 0.25, 0.05, 0.0],
    trials_sha256="0" * 64,
    provenance={},
)
REASON = "Only 6 speakers were tried; 30 are needed for an interval."
FEW = MADE.model_copy(
    update={"representation": "mfcc", "speakers": 6, "folds": 2, "eer_low": None, "eer_high": None}
    | {"eer_reason": REASON, "eer_by_speaker": {"a": None}}
)


def test_the_table_shows_rates_with_and_without_an_interval() -> None:
    table = trials_table(TrialsFile(dataset="made", cells={"mel-mean": MADE, "mfcc-mean": FEW}), MADE_PARAMS)
    title, _, head, _, *rows = to_markdown(table).splitlines()
    assert title == "# Verification of speakers: made"
    assert [cell.strip() for cell in head.split("|")[1:-1]] == [
        "representation", "embedding", "values", "equal error rate %", "of single speakers %", "least cost",
    ]  # fmt: skip
    shown = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows[:2]]
    assert shown == [
        ["mel", "mean", "128", "25.0 [20.0, 31.0]", "10.0 to 37.5", "0.988"],
        ["mfcc", "mean", "128", "25.0", "-", "0.988"],
    ]
    assert table.notes[0] == (
        "Trials: 1200 pairs of one speaker and 1300 of two; 40 speakers, 700 recordings, 1 fold / "
        "1200 pairs of one speaker and 1300 of two; 6 speakers, 700 recordings, 2 folds."
    )
    assert table.notes[-2:] == [REASON, "In brackets: 95% interval over speakers (docs/speakers.md)."]
    alone = trials_table(TrialsFile(dataset="made", cells={"mfcc-mean": FEW}), MADE_PARAMS)
    assert alone.notes[-1] == REASON
    assert list(alone.rows[0].values())[:3] == ["mfcc", "mean", 128]


def test_weights_that_may_know_who_speaks_are_noted() -> None:
    heard = MADE.model_copy(update={"representation": "yamnet"})
    drawn_from = PARAMS.datasets["fsdd_speakers"].model_copy(update={"drawn_from": ["audioset"]})
    params = PARAMS.model_copy(update={"datasets": {"made": drawn_from}})
    cells = {"mel-mean": MADE, "yamnet-mean": heard}
    table = trials_table(TrialsFile(dataset="made", cells=cells), params)
    told = "its weights were trained on audioset, where sounds of made are from: it may know what tests"
    assert [note for note in table.notes if "weights" in note] == [f"yamnet: {told}."]


def test_the_curve_is_drawn_on_normal_deviates_and_is_always_the_same(tmp_path: Path) -> None:
    figure = figure_det("made", "mean", [MADE, FEW])
    [axes] = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert set(lines) >= {"mel: 25.0 %", "mfcc: 25.0 %"}
    accepted, rejected = lines["mel: 25.0 %"].get_data()
    assert (accepted[2], rejected[2]) == pytest.approx((-0.67449, -0.67449), abs=1e-5)  # a quarter of a normal
    assert [tick.get_text() for tick in axes.get_xticklabels()][:3] == ["0.1", "0.5", "1"]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save(figure_det("made", "mean", [MADE, FEW]), tmp_path / name, "det-mean")
    for kind in ("png", "svg"):
        first, second = ((tmp_path / name / f"det-mean.{kind}").read_bytes() for name in ("one", "two"))
        assert first == second
