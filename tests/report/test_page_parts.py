"""Parts of the page: tables read back, verdicts, curves, and where everything comes from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.page.curves import cell_of, curve_of, drawn, points_for, thinned
from beyond_spectrograms.report.page.html import PageError
from beyond_spectrograms.report.page.provenance import clock, commit, durations, lock_digests, origin
from beyond_spectrograms.report.page.verdicts import matrices, read_verdicts, show_figures, tallies
from beyond_spectrograms.report.table import Row, Table, TableError, number, read_tables, text, to_markdown
from support.cells import write
from support.common import refusal
from support.page_files import REPRESENTATIONS, claims, curve
from support.repository import Patch, git


def test_what_the_report_wrote_is_read_back_cell_by_cell(tmp_path: Path) -> None:
    rows: list[Row] = [{"name": "mel", "value": 0.5, "note": None}, {"name": "codec", "value": 12.0, "note": "a"}]
    columns = {"name": text("name"), "value %": number("value", 1), "note": text("note")}
    table = Table("A title", rows, columns, ["first", "second - with a dash"])
    write(tmp_path / "a.md", to_markdown(table) + "\n" + to_markdown(replace(table, title="B")))
    first, second = read_tables(tmp_path / "a.md")
    assert first.title == "A title"
    assert first.lines == [["name", "value %", "note"], ["mel", "0.5", "-"], ["codec", "12.0", "a"]]
    assert first.notes == ["first", "second - with a dash"]
    assert (second.title, second.lines) == ("B", first.lines)


def test_a_column_is_of_figures_if_all_that_stands_in_it_is(tmp_path: Path) -> None:
    figures = ["71.2 [66.0, 76.1] *†;-", "+23.1 [+20.6, +25.7];-2.4 [-6.0, +1.2]", "44.6 / 45.8;8.8 / 8.0"]
    figures += ["9.5 (9 to 16);-, 3 never", "< 0.0001;0.0213", "5 x 1;"]
    for column in (*figures, "12.0;2 of 5 runs diverged", ";", "not run;12.0"):
        cells = "".join(f"| {cell} |\n" for cell in column.split(";"))
        write(tmp_path / "a.md", f"# T\n\n| a |\n|---|\n{cells}")
        assert read_tables(tmp_path / "a.md")[0].figures == [column in figures], column


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# T\n\n| a | b |\n|---|---|\n| 1 | 2 | 3 |\n", "line 5: 3 cells for a header of 2."),
        ("| a |\n|---|\n| 1 |\n", "line 1: a table without a title."),
    ],
)
def test_a_damaged_table_stops_the_page(tmp_path: Path, content: str, message: str) -> None:
    write(tmp_path / "a.md", content)
    assert refusal(TableError, read_tables, tmp_path / "a.md") == f"{tmp_path}/a.md, {message} Run its stage again."


def test_matrices_keep_the_order_of_params_and_put_controls_last(page_project: Path, page_results: Results) -> None:
    found = matrices(read_verdicts([page_project / "metrics/esc10/claims.json"]), page_results)
    assert [(matrix.protocol, matrix.baseline) for matrix in found] == [("paper", "mel"), ("fair", "mel")]
    rows = found[1].rows
    assert [row[:2] for row in rows] == [("soundstream", False), ("encodec_24khz_untrained (control)", True)]
    # The verdict on time was given for any protocol and stands in each.
    told = [verdict and (verdict.protocol, verdict.verdict) for verdict in rows[0][2]]
    assert told == [("fair", "holds"), ("fair", "undecided"), ("any", "does not hold")]


def test_a_claim_never_judged_of_a_codec_leaves_its_place_empty(tmp_path: Path, page_results: Results) -> None:
    told = claims("esc10")
    told["verdicts"] = [verdict for verdict in told["verdicts"] if verdict["claim"] != "equal_epochs"]
    write(tmp_path / "claims.json", json.dumps(told))
    _, _, verdicts = matrices(read_verdicts([tmp_path / "claims.json"]), page_results)[0].rows[0]
    assert [verdict is None for verdict in verdicts] == [False, True, False]


def test_controls_never_count_as_a_codec_s_result(page_project: Path, page_results: Results) -> None:
    verdicts = read_verdicts([page_project / "metrics/esc10/claims.json"])
    found = tallies(verdicts, page_results, "fair", "mel")
    nobody = {"holds": [], "does not hold": [], "same": [], "undecided": []}
    assert found["convergence"] == nobody | {"holds": ["soundstream"]}
    assert found["equal_epochs"] == nobody | {"undecided": ["soundstream"]}
    assert found["speed_cached"] == nobody | {"does not hold": ["soundstream"]}


@pytest.mark.parametrize(
    ("claim", "limits", "shown"),
    [
        ("convergence", (0.42, 0.31, 0.6), "0.42 times [0.31, 0.60]"),
        ("convergence", (0.42, None, None), "0.42 times"),
        ("convergence", (None, None, None), ""),
        ("equal_epochs", (0.051, 0.02, 0.082), "+5.1 points [+2.0, +8.2]"),
        ("equal_epochs", (-0.051, None, None), "-5.1 points"),
    ],
)
def test_figures_of_a_verdict(tmp_path: Path, claim: str, limits: tuple[float | None, ...], shown: str) -> None:
    told = claims("esc10")
    changed = {**told["verdicts"][0], "claim": claim, **dict(zip(("value", "low", "high"), limits, strict=True))}
    write(tmp_path / "claims.json", json.dumps({**told, "verdicts": [changed]}))
    assert show_figures(read_verdicts([tmp_path / "claims.json"]).verdicts[0]) == shown


def test_claims_that_the_page_does_not_know_or_judged_by_two_rules_stop_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    told = claims("esc10")
    write(first, json.dumps(told))
    told["rules"]["convergence"] = "Another rule."
    write(second, json.dumps(told))
    told_apart = f"{second}: judged by other rules than {first}. Run its report stage again."
    assert refusal(PageError, read_verdicts, [first, second]) == told_apart
    told["rules"]["taste"] = "Better."
    write(second, json.dumps(told))
    assert refusal(PageError, read_verdicts, [second]) == (
        f"{second}: unknown claim 'taste'. The page knows "
        "convergence, convergence_own, convergence_seconds, equal_epochs, speed_cached, speed_file."
    )


def test_thinned_curves_keep_their_ends_and_more_cells_get_fewer_points_each() -> None:
    assert thinned(5, 200).tolist() == [0, 1, 2, 3, 4]
    shown = thinned(1000, 200)
    assert (len(shown), shown[0], shown[-1]) == (200, 0, 999)
    assert thinned(11, 3).tolist() == [0, 5, 10]
    assert points_for(100) == 200
    assert points_for(400) == 52
    assert all(12 * lines * points_for(lines) <= 250_000 for lines in (1, 100, 400, 1000))


def test_a_curve_is_the_mean_and_the_range_of_its_runs() -> None:
    told = curve_of((curve(0.1, 0.5, 0.6), curve(0.3, 0.4, fold=2)), points=200)
    # The run that stopped after two epochs holds its last value.
    assert told["epochs"] == [1, 2, 3]
    assert told["runs"] == 2
    shown = {"mean": [20.0, 45.0, 50.0], "low": [10.0, 40.0, 40.0], "high": [30.0, 50.0, 60.0]}
    assert told["validation_accuracy"] == shown
    assert told["validation_loss"]["mean"] == [0.8, 0.55, 0.5]
    # A loss of 0 can stand on a logarithmic axis.
    assert curve_of((curve(0.5, 1.0),), points=200)["validation_loss"]["low"] == [0.5, 1e-6]


def test_runs_that_diverged_are_in_no_curve(page_results: Results) -> None:
    cell = page_results.cell("mel", "fair")
    gone = [run.model_copy(update={"diverged_at_epoch": 2}) for run in cell.scores.by_fold]

    def told(runs: list[Any]) -> dict[str, Any]:
        lost = {"by_fold": runs, "diverged_runs": sum(run in gone for run in runs)}
        return cell_of(replace(cell, scores=cell.scores.model_copy(update=lost)), points=200)

    one = told([*gone[:1], *cell.scores.by_fold[1:]])
    assert (one["diverged"], one["curve"]["runs"]) == ([1, 3], 2)
    assert told(gone)["curve"] is None


def test_no_two_representations_are_drawn_alike_and_controls_say_so(page_results: Results) -> None:
    told = drawn([page_results])["representations"]
    assert list(told) == REPRESENTATIONS
    assert len({(style["colour"], str(style["dash"]), style["shape"]) for style in told.values()}) == len(told)
    assert told["encodec_24khz_untrained"]["label"] == "encodec_24khz_untrained (control)"
    assert (told["mel"]["colour"], told["mel"]["dash"]) == ("#0072B2", [])


def test_seconds_are_told_as_people_tell_them() -> None:
    told = [clock(seconds) for seconds in (None, 4.24, 59.94, 192, 3599.6, 3960)]
    assert told == ["-", "4.2 s", "59.9 s", "3 min 12 s", "1 h 00 min", "1 h 06 min"]


def test_the_commit_is_named_and_so_is_what_is_not_in_it(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == "not known"
    git(tmp_path, "init", "-q")
    assert commit() == "not known"  # no commit yet
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit() == head
    for result in ("metrics/demo/scores.json", "studies/demo/plots/a.png", "dvc.lock", "studies/demo/dvc.lock"):
        write(tmp_path / result, "of this run")
    assert commit() == head
    write(tmp_path / "new.txt", "new")
    assert commit() == f"{head} + uncommitted changes"


def test_digests_of_data_are_those_of_the_lock(tmp_path: Path) -> None:
    assert lock_digests(tmp_path / "dvc.lock") == {}
    outs = "outs:\n    - {path: data/raw/esc10, hash: md5, md5: ab.dir, size: 41494148, nfiles: 401}\n"
    write(tmp_path / "dvc.lock", f"schema: '2.0'\nstages:\n  download@esc10:\n    cmd: x\n    {outs}")
    digests = lock_digests(tmp_path / "dvc.lock")
    assert digests == {"data/raw/esc10": "md5 ab.dir, 41,494,148 bytes in 401 files"}
    source = {"kind": "archive", "url": "https://a.org/b.zip", "bytes": None}
    write(tmp_path / "clips.json", json.dumps({"clips": 2000, "set_aside_count": 0, "source": source}))
    assert origin("esc10", tmp_path / "clips.json", digests) == [
        ("kind", "archive"),
        ("URL", "https://a.org/b.zip"),
        ("usable clips", "2,000"),
        ("files set aside", "0"),
        ("data/raw (dvc.lock)", "md5 ab.dir, 41,494,148 bytes in 401 files"),
        ("data/clips (dvc.lock)", "not known"),
    ]


def test_durations_are_those_of_the_stages_last_runs_here(
    page_results: Results, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    for run, seconds in (("download-esc10", 2.5), ("train-esc10-mel", 60), ("train-esc10-soundstream", 30)):
        write(tmp_path / f"data/durations/paper/{run}.json", json.dumps({"seconds": seconds}))
    write(tmp_path / "data/durations/demo/featurize-esc10-mel.json", json.dumps({"seconds": 7}))  # another study's
    told = {duration.stage: (duration.seconds, duration.what) for duration in durations(page_results, "paper")}
    assert told["download"] == (2.5, "1 of 1 runs; the others were not run here")
    assert told["train"] == (90, "2 of 4 runs; the others were not run here")
    assert told["featurize"] == (None, "not run here")
    assert told["training alone"][0] == pytest.approx(4 * 30 * (1 + 3))  # paper has one fold, fair three
