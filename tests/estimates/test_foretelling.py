"""What is foretold before long work: the arithmetic, the calibrations, and that counts are what the stages then do."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmarks.estimate.cells import STAGES, Cell, list_cells, recipe_of
from benchmarks.estimate.counts import Counts, count_dataset
from benchmarks.estimate.grid import (
    Calibration,
    Encoded,
    Trained,
    estimate_table,
    feature_bytes,
    foretell_grid,
    most_epochs,
    total,
)
from beyond_spectrograms.data.clips import prepare_clips
from beyond_spectrograms.estimates.forecasts import (
    Forecast,
    Rate,
    Seconds,
    amount,
    calibrate,
    compare,
    roughly,
    spending,
)
from beyond_spectrograms.estimates.pilot_resampling import foretell_resampling
from beyond_spectrograms.estimates.pilot_training import Pilot, curriculum_steps, foretell_training, pilot_training
from beyond_spectrograms.params import STUDIES, Params, load_params
from beyond_spectrograms.params.study import Study, load_study
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.training.trainers.prototypes import PrototypeTrainer
from beyond_spectrograms.training.trainers.registry import create_trainer
from support.cells import grid, study_in, write, write_params

GIB = 2**30


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.034, "0.03 s"), (1.24, "1.2 s"), (99, "99 s"), (120, "2.0 min"), (7200, "2.0 h"), (3 * 86_400, "3.0 days")],
)
def test_seconds_are_said_in_the_unit_a_person_would_choose(seconds: float, said: str) -> None:
    assert roughly(seconds) == said


@pytest.mark.parametrize(("size", "said"), [(1, "1 kB"), (28_672_128, "29 MB"), (12.8e9, "12.8 GB")])
def test_bytes_are_said_in_the_unit_a_person_would_choose(size: float, said: str) -> None:
    assert amount(size) == said


def test_a_rate_foretells_with_a_margin_on_both_sides() -> None:
    assert Rate(0.1, 0.2).seconds(100) == Seconds(100 * 0.1 / 1.25, 100 * 0.2 * 1.25)


def test_a_calibration_gives_the_quickest_and_the_slowest_piece() -> None:
    rate = calibrate([lambda: sum(1.0 for _ in range(200_000)), lambda: 1.0])
    assert 0 < rate.quickest < rate.slowest < 1


def test_runs_side_by_side_take_as_long_as_the_longest_row_of_them() -> None:
    # Three runs of 100, 60 and 50 windows on two cores: one core takes the first, the other the two others.
    seconds = foretell_training(Rate(0.01, 0.01), [50, 100, 60], epochs=10, side_by_side=2)
    assert seconds.low == pytest.approx(110 * 10 * 0.01 / 1.25)
    assert seconds.high == pytest.approx(110 * 10 * 0.01 * 1.25 * 1.25)  # sharing memory and caches
    alone = foretell_training(Rate(0.01, 0.01), [50, 100, 60], epochs=10, side_by_side=1)
    assert alone == Seconds(pytest.approx(210 * 10 * 0.01 / 1.25), pytest.approx(210 * 10 * 0.01 * 1.25))


def test_a_forecast_is_said_and_compared_with_what_came() -> None:
    foretold = Forecast(2000, 2000.0, Seconds(10, 20), 28_000_000, GIB)
    said = "2,000 windows, 2,000 s of sound; foretold: 10 s to 20 s, 28 MB of disk, 1.1 GB of memory"
    assert str(foretold) == said
    assert foretold.record() == {"seconds": [10, 20], "disk_bytes": 28_000_000, "memory_bytes": GIB}
    spent = {"wall_seconds": 30.0, "processor_seconds": 15.0, "peak_memory_bytes": 5e8}
    assert compare(spent, foretold) == (
        "took 30 s, more than what was foretold (10 s to 20 s); 15 s of processor time, 500 MB in its largest process"
    )


def test_spending_counts_processor_time_and_memory() -> None:
    with spending() as spent:
        np.random.default_rng(0).standard_normal(4_000_000).sort()  # 32 MB
    assert spent["processor_seconds"] > 0
    assert spent["peak_memory_bytes"] > 32e6


@pytest.fixture
def params(repository: Path) -> Params:
    return load_params(root=repository)


def test_data_that_is_not_here_is_counted_from_params(params: Params, tmp_path: Path) -> None:
    esc50 = count_dataset(params, "esc50", tmp_path)
    assert esc50 is not None
    assert (esc50.clips, esc50.windows, esc50.origin) == (2000, 10_000, "params")
    assert esc50.splits == {"window": ((6000, 2000, 2000),), "source": ((6000, 2000, 2000),) * 5}
    genres = count_dataset(params, "gtzan_genres", tmp_path)
    assert genres is not None
    assert (genres.clips, genres.windows, genres.spread) == (999, 29_970, (29 / 30, 31 / 30))
    assert genres.splits["source"] == ((13_277, 5_904, 8_691),)  # 443, 197 and 290 of 1000 listed files
    demo = count_dataset(params, "demo", tmp_path)
    assert demo is not None
    assert (demo.clips, demo.windows, len(demo.splits["source"])) == (72, 360, 4)


def test_a_folder_of_ones_own_is_not_counted_before_it_is_read(project: Path) -> None:
    assert count_dataset(load_params(), "pets", project) is None


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The paper's experiment, of which nothing was run yet."""
    folder = tmp_path_factory.mktemp("study")
    write_params(folder)
    return study_in(folder)


@pytest.fixture
def cells(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    monkeypatch.chdir(tmp_path)
    return list(list_cells(study))


@pytest.mark.parametrize("name", ["paper", "demo", "prototypes", "bitrates"])
def test_all_cells_that_a_pipeline_runs_are_listed_once(
    repository: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    known = load_study(name)
    pipeline = [] if name == "paper" else [f"studies/{name}/dvc.yaml"]
    command = [sys.executable, "-m", "dvc", "stage", "list", "--name-only", *pipeline]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    cells = list(list_cells(known))
    assert len({(cell.stage, cell.axes) for cell in cells}) == len(cells)
    named = dict.fromkeys(f"{cell.stage}@{'-'.join(cell.axes[:2])}" for cell in cells)  # protocols share a stage
    run_here = [stage.rpartition(":")[2] for stage in listed]
    sounds_are_here = [stage for stage in named if stage.split("@")[0] in ("featurize", "train") or stage in run_here]
    assert sorted(sounds_are_here) == sorted(stage for stage in run_here if stage.split("@")[0] in STAGES)


def test_a_cell_is_done_where_its_output_is_of_the_params_that_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(tmp_path, grid=grid("demo", ["mel"], ["fair", "paper"]))
    monkeypatch.chdir(tmp_path)
    known = load_study()
    write(known.metrics("demo") / "splits.json", json.dumps({"sha256": {}, "clips_sha256": "made"}))
    for protocol in ("fair", "paper"):
        decided = known.provenance("demo", "mel", "fair")  # of another protocol than paper
        write(known.models("demo", "mel") / protocol / "provenance.json", json.dumps(decided))
    write(known.features("demo", "mel") / "features.npy", "")
    done = {(cell.stage, *cell.axes): cell.done for cell in list_cells(known)}
    assert done == {
        ("resample", "demo"): False,
        ("split", "demo"): False,
        ("featurize", "demo", "mel"): True,
        ("train", "demo", "mel", "fair"): True,
        ("train", "demo", "mel", "paper"): False,
    }


def test_what_takes_as_long_has_one_recipe(repository: Path) -> None:
    params = load_params(STUDIES / "prototypes", repository)

    def recipe(*axes: str) -> str:
        return str(recipe_of(params, Cell("train", axes)))

    assert recipe("esc10", "mel", "fair") == recipe("demo", "mel", "paper") == "conv1d"
    assert recipe("fsdd_speakers", "log_mel_16khz", "apnet") == "apnet (6 classes)"
    assert recipe("esc10", "log_mel_16khz", "prototypes_gain") == recipe("esc10", "log_mel_16khz", "clusters_gain")
    assert recipe("esc10", "log_mel_16khz", "clusters_gain") == "prototypes (1 of 1 frames a class, gain, 10 classes)"


def calibration(params: Params, cells: list[Cell]) -> Calibration:
    """Every stage starts at once; a window takes 10 ms to encode, 1 ms to train on."""
    encoded = Encoded((128, 75), Rate(0.01, 0.01), GIB)
    trained = Trained(Pilot(Rate(0.001, 0.001), 1_000_000), GIB)
    return Calibration(
        dict.fromkeys(STAGES, 0.0),
        Rate(0.01, 0.01),
        Rate(0.001, 0.001),
        1000.0,
        {cell.axes[1]: encoded for cell in cells if cell.stage == "featurize"},
        {recipe_of(params, cell): trained for cell in cells if cell.stage == "train"},
        GIB,
        2,
    )


def test_cells_are_foretold_by_arithmetic_and_what_is_done_is_left_out(params: Params, cells: list[Cell]) -> None:
    datasets = dict.fromkeys(cell.dataset for cell in cells)
    counts = {name: Counts(10, 50.0, 50, {"window": ((30, 10, 10),), "source": ((30, 10, 10),) * 5}, (1, 1), "here")
              for name in datasets}  # fmt: skip
    finished = {("featurize", "esc50", "mel"), ("train", "esc50", "log_mel_150hz", "fair")}
    cells = [replace(cell, done=(cell.stage, *cell.axes) in finished) for cell in cells]
    measured = calibration(params, cells)
    foretold = {
        (one.cell.stage, "-".join(one.cell.axes)): one for one in foretell_grid(params, cells, counts, measured)
    }
    assert len(foretold) == len(cells)
    assert sum(one.cell.dataset == "esc50" for one in foretold.values()) == 2 + 11 + 8 * 8 + 3
    assert {key for key, one in foretold.items() if one.cell.done} == {
        ("featurize", "esc50-mel"),
        ("train", "esc50-log_mel_150hz-fair"),
    }
    assert foretold["featurize", "esc10-mel"].forecast == Forecast(
        50, 50.0, Rate(0.01, 0.01).seconds(50), 50 * 38_400, GIB
    )
    half = params.model_copy(update={"features": params.features.model_copy(update={"dtype": "float16"})})
    mel = [one.cell for key, one in foretold.items() if key == ("featurize", "esc10-mel")]
    (halved,) = foretell_grid(half, mel, counts, measured)
    assert halved.forecast is not None
    assert halved.forecast.disk_bytes == 50 * 19_200
    # 2 seeds of 5 folds, capped at 50 epochs: 300 training windows an epoch, 5 runs on each of 2 cores
    train = foretold["train", "esc10-mel-fair"].forecast
    assert train is not None
    assert train.seconds is not None
    assert (train.windows, train.disk_bytes, train.memory_bytes) == (15_000, 10_000_000, 2 * GIB)
    assert train.seconds.low == pytest.approx(7_500 * 0.001 / 1.25)
    both = [foretold["featurize", "esc50-mel"], foretold["featurize", "esc50-log_mel"]]
    assert total(both) == foretold["featurize", "esc50-log_mel"].forecast
    table = estimate_table(foretold.values(), counts, each=False)
    assert len(table.rows) == 4 * len(datasets) + 1
    [featurize] = [row for row in table.rows if (row["stage"], row["of"]) == ("featurize", "esc50")]
    assert (featurize["cells"], featurize["done"], featurize["windows"]) == (11, 1, "500")


def test_prototypes_train_for_no_more_epochs_than_their_curriculum_has(repository: Path) -> None:
    params = load_params(STUDIES / "prototypes", repository)
    fair, raw = params.protocols["fair"], params.protocols["prototypes_raw"]
    assert (most_epochs(fair, 20), most_epochs(fair, None)) == (20, fair.epochs)
    assert raw.prototypes is not None
    settings = raw.prototypes.model_copy(update={"step_epochs": 7})
    limited = raw.model_copy(update={"prototypes": settings, "epochs": 50})
    assert [most_epochs(limited, cap) for cap in (None, 50, 10)] == [14, 14, 10]
    endless = raw.model_copy(update={"prototypes": settings.model_copy(update={"step_epochs": None})})
    assert most_epochs(endless, None) == raw.epochs


def test_what_cannot_be_told_is_said_and_not_added(params: Params, cells: list[Cell]) -> None:
    counts: dict[str, Any] = {cell.dataset: None for cell in cells}
    foretold = foretell_grid(params, cells, counts, calibration(params, cells))
    table = estimate_table(foretold, counts, each=False)
    assert [row["time unknown of"] for row in table.rows[:3]] == [1, 1, 11]
    assert table.rows[-1]["time"] == "-"


@pytest.mark.parametrize(
    ("windows", "shape", "itemsize", "size"), [(10, (128, 75), 4, 384_000), (10, (8, 75), 2, 12_000)]
)
def test_the_size_of_features_is_their_product(windows: int, shape: tuple[int, int], itemsize: int, size: int) -> None:
    assert feature_bytes(windows, shape, itemsize) == size


def test_a_pilot_trains_a_few_steps_and_leaves_the_job_alone(tmp_path: Path, params: Params) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "features.npy", rng.standard_normal((40, 8, 49)).astype(np.float32))
    (tmp_path / "index.json").write_text("{}")
    protocol = params.protocols["fair"].model_copy(update={"batch_size": 4})
    parts = np.array(["train"] * 24 + ["validation"] * 8 + ["test"] * 8)
    config = RunConfig(
        tmp_path,
        np.arange(40) % 2,
        parts,
        ("a", "b"),
        None,
        protocol,
        1000,
        1,
        0,
        "cpu",
        tmp_path / "work",
        versions={},
    )
    pilot = pilot_training(config)
    assert 0 < pilot.rate.quickest <= pilot.rate.slowest < 1
    assert not config.work.exists()
    train(replace(config, epochs=1))
    assert pilot.model_bytes == config.result_files[0].stat().st_size


@pytest.mark.parametrize("name", ["prototypes", "clusters_gain", "prototypes_raw"])
def test_a_curriculum_has_as_many_steps_as_are_foretold(name: str, tmp_path: Path, repository: Path) -> None:
    np.save(tmp_path / "features.npy", np.random.default_rng(0).standard_normal((40, 8, 16)).astype(np.float32))
    (tmp_path / "index.json").write_text("{}")
    protocol = load_params(STUDIES / "prototypes", repository).protocols[name].model_copy(update={"batch_size": 4})
    parts = np.array(["train"] * 24 + ["validation"] * 16)
    config = RunConfig(
        tmp_path,
        np.arange(40) % 2,
        parts,
        ("a", "b"),
        None,
        protocol,
        1000,
        1,
        0,
        "cpu",
        tmp_path / "work",
        versions={},
    )
    assert pilot_training(config).rate.quickest > 0
    trainer = create_trainer(config, np.load(tmp_path / "features.npy"))
    assert isinstance(trainer, PrototypeTrainer)
    assert protocol.prototypes is not None
    assert curriculum_steps(protocol.prototypes) == len(trainer.steps)


def test_resampling_is_foretold_by_a_few_files_and_empty_ones_do_no_harm(tmp_path: Path) -> None:
    files = []
    for number in range(40):
        path = tmp_path / "cat" / f"{number:02}.wav"
        path.parent.mkdir(exist_ok=True)
        if number % 8 == 1:
            path.touch()
        else:
            soundfile.write(path, np.random.default_rng(number).uniform(-0.5, 0.5, 44100), 44100)
        files.append(path)
    foretold = foretell_resampling(files, (0.5, 10.0))
    assert foretold.seconds is not None
    assert 0 < foretold.seconds.low < foretold.seconds.high
    prepare_clips(tmp_path, tmp_path / "work", (0.5, 10.0))
    stored = sum(path.stat().st_size for path in (tmp_path / "work").rglob("*.flac"))
    assert foretold.disk_bytes == pytest.approx(stored, rel=0.1)
    assert str(foretold).startswith("foretold: ")
    assert foretell_resampling([], (0.5, 10.0)) == Forecast(None, None, None, 0, None)
