"""Estimates: rates of earlier runs, short pilots, what is said before and after the work, and stages that record it."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import estimate
from beyond_spectrograms.estimates import training
from beyond_spectrograms.estimates.preparation import RESAMPLING, pilot_resampling, timed_resampling
from beyond_spectrograms.estimates.timing import RATES, Estimate, Rate, amount, read_rates, record_rates, roughly, timed
from beyond_spectrograms.params import STUDIES, Protocol, load_params
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.training.trainers.prototypes import PrototypeTrainer
from support.cells import grid, write_params, write_record
from support.repository import REPOSITORY, Capture, Patch, stage_here

PARAMS = load_params(STUDIES / "prototypes", REPOSITORY)


@pytest.fixture
def rates(tmp_path: Path, monkeypatch: Patch) -> Path:
    """Go to a project without rates; give their file."""
    monkeypatch.chdir(tmp_path)
    RATES.parent.mkdir()
    return RATES


def test_times_and_sizes_are_in_the_unit_a_person_would_choose() -> None:
    times = [roughly(seconds) for seconds in (0.034, 1.24, 99, 120, 7200, 259_200)]
    assert times == ["0.03 s", "1.2 s", "99 s", "2.0 min", "2.0 h", "3.0 days"]
    assert [amount(size) for size in (1, 28_672_128, 12.8e9, 3.885e12)] == ["1 kB", "29 MB", "12.8 GB", "3.9 TB"]


def test_an_estimate_is_printed_before_the_work_and_what_it_took_after_it(capsys: Capture) -> None:
    with timed("esc10 as mel", Estimate(90, 28_000_000, 500_000_000, at_most=True)) as taken:
        said = capsys.readouterr().out
        np.random.default_rng(0).standard_normal(4_000_000).sort()  # 32 MB
    assert said == "esc10 as mel; will take at most about 90 s, 28 MB of disk, 500 MB of memory\n"
    assert re.fullmatch(
        r"took \S+ s \(estimate: 90 s\); \S+ s of processor time, \S+ [MG]B in its largest process\n",
        capsys.readouterr().out,
    )
    assert taken.processor_s > 0
    assert taken.memory_bytes > 32e6
    assert str(Estimate(0.5)) == "will take about 0.50 s"


def rate(units: float, seconds: float, memory_bytes: int = 0) -> Rate:
    return Rate(units=units, seconds=seconds, memory_bytes=memory_bytes)


@pytest.mark.usefixtures("in_an_empty_folder")
def test_rates_are_kept_for_the_next_run_and_not_spoilt_by_a_much_smaller_one(capsys: Capture) -> None:
    record_rates({"resample": rate(10, 1)})
    assert not RATES.exists()  # outside a project nothing is written
    RATES.parent.mkdir()
    assert read_rates() == {}
    features = Rate(units=100, seconds=2, disk_bytes=7, memory_bytes=9, shape=(128, 75))
    record_rates({"resample": rate(10, 1), "featurize mel": features})
    record_rates({"resample": rate(5, 1), "featurize mel": rate(9, 9)})
    assert read_rates() == {"resample": rate(5, 1), "featurize mel": features}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b'{"resample": {"units": 1', b"\xff", b"[]", b'{"resample": {"units": 0}}'])
def test_a_damaged_file_of_rates_is_ignored_and_said_and_written_anew(
    content: bytes, rates: Path, capsys: Capture
) -> None:
    rates.write_bytes(content)
    assert read_rates() == {}
    assert capsys.readouterr().out == "data/rates.json: damaged and ignored. It is written anew when this ends.\n"
    record_rates({"resample": rate(10, 1)})
    assert read_rates() == {"resample": rate(10, 1)}


def test_what_a_killed_stage_left_of_it_is_removed_by_the_next_that_reads_it(rates: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = rates.with_name(f"rates.json.{dead.pid}-0a1b2c3d.partial")
    left.write_text("{")
    os.utime(left, (0, 0))
    assert read_rates() == {}
    assert not left.exists()


@pytest.mark.usefixtures("rates")
def test_stages_that_end_at_once_leave_a_whole_file(capsys: Capture) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: record_rates({f"featurize {number}": rate(1 + number, 1)}), range(40)))
    assert read_rates()
    assert "damaged" not in capsys.readouterr().out


def test_runs_side_by_side_take_as_long_as_the_longest_row_of_them() -> None:
    # Three runs of 100, 60 and 50 units on two cores: one core takes the first, the other the two others.
    runs = [(rate(100, 1, 7), units) for units in (50.0, 100.0, 60.0)]
    assert training.estimate_runs(runs, 2) == Estimate(pytest.approx(1.1), 0, 14, at_most=True)
    assert training.estimate_runs(runs, 1) == Estimate(pytest.approx(2.1), 0, 7, at_most=True)


def limited(protocol: Protocol, step_epochs: int | None, warm_up: int) -> Protocol:
    settings = protocol.prototypes.model_copy(update={"step_epochs": step_epochs, "warm_up": warm_up})
    return protocol.model_copy(update={"prototypes": settings, "epochs": 50, "batch_size": 4})


def test_prototypes_train_for_no_more_epochs_than_their_curriculum_has() -> None:
    raw = PARAMS.protocols["prototypes_raw"]  # two steps
    assert training.most_epochs(PARAMS.protocols["fair"], 20, 24) == 20
    assert [training.most_epochs(limited(raw, 7, 0), epochs, 24) for epochs in (50, 10)] == [14, 10]
    assert training.most_epochs(limited(raw, 7, 60), 50, 24) == 17  # 60 batches are 10 epochs of 6
    assert training.most_epochs(limited(raw, None, 0), 50, 24) == 50


def make_config(tmp_path: Path, protocol: Protocol, epochs: int) -> RunConfig:
    """24 windows to train on, 8 to validate."""
    np.save(tmp_path / "features.npy", np.random.default_rng(0).standard_normal((40, 8, 49)).astype(np.float32))
    (tmp_path / "index.json").write_text("{}")
    parts = np.array(["train"] * 24 + ["validation"] * 8 + ["test"] * 8)
    recipe = protocol.model_copy(update={"batch_size": 4})
    classes, work = ("a", "b"), tmp_path / "work"
    return RunConfig(tmp_path, np.arange(40) % 2, parts, classes, None, recipe, epochs, 1, 0, "cpu", work, versions={})


@pytest.mark.parametrize("name", ["prototypes", "clusters_gain", "prototypes_raw"])
def test_a_curriculum_has_as_many_steps_as_are_estimated(name: str, tmp_path: Path) -> None:
    protocol = PARAMS.protocols[name]
    trainer = PrototypeTrainer(make_config(tmp_path, protocol, 50), np.load(tmp_path / "features.npy"))
    assert training.curriculum_steps(protocol.prototypes) == len(trainer.steps)


@pytest.mark.parametrize("name", ["fair", "prototypes_raw"])
def test_a_training_without_a_rate_is_piloted_and_leaves_one_for_the_next(
    name: str, tmp_path: Path, rates: Path, capsys: Capture
) -> None:
    protocol = PARAMS.protocols[name]
    protocol = protocol if protocol.prototypes is None else limited(protocol, 1, 0)
    config = make_config(tmp_path, protocol, 3)
    epochs = 3 if protocol.prototypes is None else 2
    assert training.pilot_training(config).units == 8 * epochs  # two batches in each
    assert not config.work.exists()
    training.timed_training("demo, mel", [config])
    begin, said, _ = capsys.readouterr().out.splitlines()
    assert begin == "demo, mel: 1 runs of 1 protocol, 0 kept"
    assert said.startswith(f"1 to train on cpu in fp32, {24 * epochs} windows; will take at most about ")
    [(key, left)] = read_rates().items()
    assert key == f"train {'conv1d' if name == 'fair' else 'prototypes 1x1 2 classes'} features 8x49 fp32"
    assert left.units == 24 * epochs
    rates.write_text(json.dumps({key: {"units": 24 * epochs, "seconds": 7200, "memory_bytes": 1000}}))
    training.timed_training("demo, mel", [replace(config, seed=1)])
    assert "will take at most about 2.0 h, 1 kB of memory\n" in capsys.readouterr().out
    training.timed_training("demo, mel", [config])
    assert capsys.readouterr().out == "demo, mel: 1 runs of 1 protocol, 1 kept\n"


@pytest.mark.usefixtures("rates")
def test_resampling_is_estimated_by_a_few_files_and_its_rate_is_of_all_it_did(tmp_path: Path, capsys: Capture) -> None:
    files = [tmp_path / "raw/cat" / f"{number:02}.wav" for number in range(40)]
    files[0].parent.mkdir(parents=True)
    for number, path in enumerate(files):
        if number % 8 == 1:
            path.touch()  # empty files do no harm
        else:
            soundfile.write(path, np.random.default_rng(number).uniform(-0.5, 0.5, 44100), 44100)
    pilot = pilot_resampling(files, (0.5, 10.0))
    timed_resampling("pets", tmp_path / "raw", tmp_path / "work", (0.5, 10.0), {})
    stored = sum(path.stat().st_size for path in (tmp_path / "work").rglob("*.flac"))
    assert pilot.disk_bytes / pilot.units == pytest.approx(stored / 35, rel=0.1)
    assert capsys.readouterr().out.startswith("pets: 40 files, 35 s of sound, to check and resample; will take about ")
    left = read_rates()[RESAMPLING]
    assert (left.units, left.disk_bytes) == (35, stored)
    timed_resampling("pets", tmp_path / "raw", tmp_path / "work", (0.5, 10.0), {})  # where all clips are kept
    assert read_rates() == {RESAMPLING: left}


@pytest.mark.long
def test_the_stages_do_what_was_counted_and_the_next_estimate_knows_their_rates(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"synthetic": {"seed": 0, "clips_per_class": 3, "seconds": 2.5}, "clips": 18, "classes": 6}
    source = made | {"seconds": [1, 600], "folds": 3, "fold_seed": 0}
    write_params(Path(), grid=grid("demo", ["log_mel"], ["paper"]))
    write_record(Path(), "demo", source, max_epochs=1)
    params = load_params()
    before = estimate.count_dataset(params, "demo")
    assert (before.clips, before.windows, before.audio_s) == (18, 36, 45)

    said = ""
    for stage in ("download demo", "resample demo", "split demo", "featurize demo log_mel", "train demo log_mel"):
        said += stage_here(project, *stage.split())
    after = estimate.count_dataset(params, "demo")
    assert (after.windows, after.audio_s, after.splits["window"]) == (36, 45, before.splits["window"])
    features, size = Path("data/features/paper/demo/log_mel"), 36 * 128 * 173 * 4
    described = json.loads((features / "features.json").read_text())
    assert (described["windows"], described["bytes"]) == (36, size)
    assert 0 <= (features / "features.npy").stat().st_size - size < 1000  # the header
    train, _, _ = before.splits["window"][0]
    assert "demo as log_mel: 36 windows, 36 s of sound; will take about " in said
    assert f", {2 * train} windows; will take at most about " in said
    assert said.count("took ") == 3

    units = {key: rate["units"] for key, rate in json.loads(RATES.read_text()).items()}
    assert {key: unit for key, unit in units.items() if "train" not in key} == {"featurize log_mel": 36, "resample": 45}
    estimate.main([])
    assert "| all       | to do | 3     | 3    |" in capsys.readouterr().out
    for output in ("clips/demo/clips.csv", "features/paper/demo/log_mel/features.npy"):
        Path("data", output).unlink()
    Path("data/models/paper/demo/log_mel/paper/provenance.json").unlink()
    estimate.main([])
    printed = capsys.readouterr().out
    assert "| all       | to do | 3     | 0    | -       |" in printed
    assert "No rate" not in printed
