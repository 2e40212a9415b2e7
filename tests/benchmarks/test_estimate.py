"""`make estimate`: which cells there are, what they hold, and what earlier runs' rates say of them."""

import json
from pathlib import Path

import pytest
from dvc.repo import Repo
from joblib import cpu_count

from benchmarks.estimate import Cell, Counts, count_dataset, estimate_cell, estimate_table, list_cells
from beyond_spectrograms.estimates.timing import Estimate, Rate
from beyond_spectrograms.params import STUDIES, load_params
from beyond_spectrograms.params.study import folder_of, load_study
from support.cells import grid, write, write_params
from support.repository import REPOSITORY, Patch

LONG = ("resample", "featurize", "train", "disturb")


PARAMS = load_params(root=REPOSITORY)


@pytest.mark.parametrize(
    ("dataset", "size", "window", "source"),
    [
        ("esc50", (2000, 10_000), (6000, 2000, 2000), [(6000, 2000, 2000)] * 5),
        # 443, 197, 290 of 1000 files
        ("gtzan_genres", (999, 29_970), (17_982, 5_994, 5_994), [(13_277, 5_904, 8_691)]),
        ("demo", (72, 360), (216, 72, 72), [(180, 90, 90)] * 4),
    ],
)
def test_data_that_is_not_here_is_counted_from_params(
    dataset: str, size: tuple[int, int], window: tuple[int, int, int], source: list[tuple[int, int, int]]
) -> None:
    counts = count_dataset(PARAMS, dataset, Path("nowhere"))
    assert (counts.clips, counts.windows) == size
    assert counts.splits == {"window": (window,), "window_by_seed": (window,) * 5, "source": tuple(source)}


def test_a_folder_of_ones_own_is_not_counted_before_it_is_read(project: Path) -> None:
    assert count_dataset(load_params(), "pets", project) is None


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie
@pytest.mark.parametrize("name", ["paper", "demo", "prototypes", "bitrates", "robustness"])
def test_all_long_stages_that_a_pipeline_runs_are_listed_once(name: str, monkeypatch: Patch) -> None:
    monkeypatch.chdir(REPOSITORY)
    with Repo(str(REPOSITORY)) as repo:
        run_here = [stage.name for stage in repo.stage.load_all(str(folder_of(name) / "dvc.yaml"))]
    cells = list(list_cells(load_study(name)))
    assert len({(cell.stage, cell.axes) for cell in cells}) == len(cells)
    named = dict.fromkeys(f"{cell.stage}@{'-'.join(cell.axes[:2])}" for cell in cells)  # protocols share a stage
    sounds_are_here = [stage for stage in named if not stage.startswith("resample") or stage in run_here]
    assert sorted(sounds_are_here) == sorted(stage for stage in run_here if stage.split("@")[0] in LONG)


def test_a_cell_is_done_where_its_output_is_of_the_params_that_stand(tmp_path: Path, monkeypatch: Patch) -> None:
    write_params(tmp_path, grid=grid("demo", ["mel"], ["fair", "paper"]))
    monkeypatch.chdir(tmp_path)
    known = load_study()
    write(known.metrics("demo") / "splits.json", json.dumps({"sha256": {}, "clips_sha256": "made"}))
    for protocol in ("fair", "paper"):
        decided = known.provenance("demo", "mel", "fair")  # of another protocol than paper
        write(known.models("demo", "mel") / protocol / "provenance.json", json.dumps(decided))
    write(known.features("demo", "mel") / "features.npy", "")
    assert {(cell.stage, *cell.axes): cell.done for cell in list_cells(known)} == {
        ("resample", "demo"): False,
        ("featurize", "demo", "mel"): True,
        ("train", "demo", "mel", "fair"): True,
        ("train", "demo", "mel", "paper"): False,
    }


COUNTS = Counts(10, 50.0, 50, {"window": ((30, 10, 10),), "source": ((30, 10, 10),) * 5}, "the clips")
RATES = {
    "resample": Rate(units=100, seconds=1, disk_bytes=1000, memory_bytes=5),
    "featurize mel": Rate(units=1000, seconds=10, disk_bytes=38_400_000, shape=(128, 75)),
    "train conv1d features 128x75 fp32": Rate(units=1000, seconds=1, memory_bytes=10**9),
    "train kmeans 10 classes features 128x75 fp32": Rate(units=1000, seconds=9),
}


@pytest.mark.parametrize(
    ("stage", "axes", "expected"),
    [
        ("resample", (), Estimate(0.5, 500, 5)),
        ("featurize", ("mel",), Estimate(0.5, 1_920_000)),
        ("featurize", ("log_mel",), None),
        ("train", ("log_mel", "fair"), None),
    ],
)
def test_cells_are_estimated_by_arithmetic_on_rates(
    stage: str, axes: tuple[str, ...], expected: Estimate | None
) -> None:
    assert estimate_cell(PARAMS, Cell(stage, ("esc10", *axes)), COUNTS, RATES) == expected


def test_every_disturbance_of_the_test_windows_is_estimated() -> None:
    params = load_params(STUDIES / "robustness", REPOSITORY)
    rates = {"disturb mel": Rate(units=100, seconds=2, memory_bytes=7)}
    # Six of 50 windows, those that the five folds test.
    assert estimate_cell(params, Cell("disturb", ("esc10", "mel")), COUNTS, rates) == Estimate(pytest.approx(6), 0, 7)
    assert estimate_cell(params, Cell("disturb", ("esc10", "log_mel")), COUNTS, rates) is None


def test_training_is_estimated_for_all_runs_and_epochs() -> None:
    # Two seeds of five folds, capped at 50 epochs: 30 windows an epoch, a millisecond each.
    fair = estimate_cell(PARAMS, Cell("train", ("esc10", "mel", "fair")), COUNTS, RATES)
    side_by_side = min(10, cpu_count())
    rows = -(-10 // side_by_side)
    assert fair == Estimate(pytest.approx(rows * 1.5), 0, side_by_side * 10**9, at_most=True)


def test_what_has_no_rate_is_counted_apart_and_what_is_done_is_left_out() -> None:
    cells = [Cell("resample", ("esc10",), done=True)]
    cells += [Cell("featurize", ("esc10", name)) for name in ("mel", "log_mel", "mfcc")]
    estimates = [Estimate(9), Estimate(60, 2000, 1000), None, Estimate(30, 1000, 9000)]
    table = estimate_table(zip(cells, estimates, strict=True), {"esc10": COUNTS}, each=False)
    assert [list(row.values()) for row in table.rows] == [
        ["resample", "esc10", 1, 1, None, "0.00 s", None, None, "50, from the clips"],
        ["featurize", "esc10", 3, 0, 1, "90 s", "3 kB", "9 kB", "50, from the clips"],
        ["all", "to do", 4, 1, 1, "90 s", "3 kB", "9 kB", None],
    ]
    by_cell = estimate_table(zip(cells, estimates, strict=True), {"esc10": COUNTS}, each=True)
    assert [row["of"] for row in by_cell.rows] == ["esc10", "esc10-mel", "esc10-log_mel", "esc10-mfcc", "to do"]
