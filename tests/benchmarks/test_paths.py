"""Both ways of a path give the same values, and figures are what the rounds say; stages on made data of any size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from benchmarks import plain_extraction
from benchmarks.harness import Round, Spent, TimedPath, Way, run_rounds
from benchmarks.paths import PATHS, Extraction, Sounds, Training, make_sounds
from benchmarks.plain_training import plain_network
from benchmarks.profiles import KINDS, layers_table, our_profile, plain_profile, steps_table
from benchmarks.results import bench_figure, bench_table, merge, summarise
from benchmarks.scale import STAGES, Run, describe_scale, make_project, run_stage, scale_figure, scale_table
from benchmarks.watching import Watched, watch
from beyond_spectrograms.classifiers.convolutional import conv1d
from beyond_spectrograms.data.splits import tabulate_windows
from beyond_spectrograms.params import Params, load_params
from beyond_spectrograms.report.table import to_markdown
from beyond_spectrograms.util.errors import ProjectError
from support.common import refusal
from support.numeric import assert_rounded, likely
from support.repository import REPOSITORY


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(root=REPOSITORY)


@pytest.fixture(scope="module")
def sounds(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    sounds = make_sounds(tmp_path_factory.mktemp("bench"), params, clips_per_class=1)
    return Sounds(sounds.folder, sounds.table.iloc[:5])  # one clip


@pytest.mark.parametrize("name", [pytest.param("mel", marks=pytest.mark.numeric), "encodec_24khz_untrained"])
def test_both_ways_give_the_same_features(name: str, params: Params, sounds: Sounds, tmp_path: Path) -> None:
    path = Extraction(name, params.representations[name], [], sounds)
    path.write("ours", tmp_path / "ours")
    path.write("plain", tmp_path / "plain")
    ours, plain = (np.load(tmp_path / way / "features.npy") for way in ("ours", "plain"))
    assert ours.shape == plain.shape == (5, 128, path.representation.frames(path.representation.form.sample_rate))
    # Both are fp32: numeric's factor of 2 is for the roundings of each. Terms are those of test_codecs.
    assert_rounded(ours, plain, roundings=likely(13_000 + 2 * 1024 * 75))
    assert set(path.steps()) == {"decode", "encode"}


def test_the_plain_way_drops_what_is_shorter_than_a_second(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros(2500), 1000)
    plain_extraction.extract_each_window([tmp_path / "a.flac"], lambda window: window[:, :4], tmp_path / "features.npy")
    assert np.load(tmp_path / "features.npy").shape == (2, 1, 4)


def test_the_plain_network_is_the_papers(params: Params, tmp_path: Path) -> None:
    plain, ours = plain_network(8, 60, 3), conv1d(8, 60, 3)
    assert [tuple(one.shape) for one in plain.parameters()] == [tuple(one.shape) for one in ours.parameters()]
    assert Training((8, 60), 3, params, tmp_path).units == 1024 * 3 * 2


class Fixed(TimedPath):
    """A path of 30 units and 6 GFLOP that takes what it is told."""

    unit, units, flop = "seconds of sound", 30.0, 6e9

    def __init__(self) -> None:
        self.runs: list[str] = []

    def run(self, way: Way) -> Spent:
        self.runs.append(way)
        return Spent(1.0, 2.0) if way == "ours" else Spent(4.0, 4.0)


def test_every_round_runs_both_ways_after_one_that_is_not_counted() -> None:
    paths = {"one": Fixed(), "other": Fixed()}
    rounds = list(run_rounds({name: path.run for name, path in paths.items()}, 3))
    assert sorted(name for name, _ in rounds) == ["one"] * 3 + ["other"] * 3
    assert all(sorted(path.runs) == ["ours"] * 4 + ["plain"] * 4 for path in paths.values())
    assert all(spent == {"ours": Spent(1.0, 2.0), "plain": Spent(4.0, 4.0)} for _, spent in rounds)


def test_figures_are_medians_and_ranges_over_rounds() -> None:
    rounds: list[Round] = [
        {"ours": Spent(ours, 2.0), "plain": Spent(plain, 4.0)} for ours, plain in [(1.0, 2.0), (1.0, 3.0), (2.0, 10.0)]
    ]
    rates: list[dict[Way, float]] = [{"ours": 10e9, "plain": 5e9}] * 3
    one = summarise(Fixed(), rounds, rates, {"ours": 5_000_000, "plain": 7_000_000}, {})
    assert one["ratio"]["wall"] == {"median": 3.0, "lowest": 2.0, "highest": 5.0}
    assert one["per_second"] == {"ours": 30.0, "plain": 10.0}
    assert one["share_of_matrix_rate"] == {"ours": pytest.approx(0.6), "plain": pytest.approx(0.4)}
    assert one["ratio_at_matrix_rate"] == pytest.approx(5.0)
    results = {"processor": "any", "cores": 2, "notes": ["a note"], "pairings": {"encodec": one}}
    figures = "encodec|seconds of sound|10.0|30.0|3.00 [2.00, 5.00]|2.00 [2.00, 2.00]|40|60|5.00|7|5"
    assert cells(to_markdown(bench_table(results))) == figures.split("|")
    assert len(bench_figure(results).axes) == 1


def cells(table: str) -> list[str]:
    """Read the first row."""
    return [cell.strip() for cell in table.splitlines()[4].strip("|").split("|")]


def results_of(processor: str, load: float, **ratios: float) -> dict[str, Any]:
    encoder = {"plain": {"LSTM": 1.0}} if "mel" in ratios else {}
    told = {"processor": processor, "cores": 2, "load_before": load, "pairings": ratios, "notes": ["a note"]}
    return told | {"encoder_milliseconds": encoder}


def test_paths_measured_later_join_the_stored_results_and_leave_the_others() -> None:
    stored = results_of("any", 0.2, mel=3.0, train_mel=2.0)
    kept = json.dumps(stored)
    merged = merge(stored, results_of("any", 0.4, prototypes_6=4.0, train_mel=2.5), PATHS)
    assert json.dumps(stored) == kept
    assert merged["pairings"] == {"mel": 3.0, "train_mel": 2.5, "prototypes_6": 4.0}
    assert (merged["load_before"], merged["encoder_milliseconds"]) == (0.2, {"plain": {"LSTM": 1.0}})
    said = "Measured in a later run than the others: train_mel (load 0.4), prototypes_6 (load 0.4)."
    assert merged["notes"] == ["a note", said]
    again = merge(merged, results_of("any", 0.0, prototypes_6=5.0), PATHS)
    assert again["notes"] == ["a note", said.replace("6 (load 0.4)", "6 (load 0.0)")]
    other = results_of("another", 0.0, prototypes_6=4.0)
    assert refusal(ProjectError, merge, stored, other, PATHS) == (
        "the stored results are of any, 2 cores; these are of another, 2 cores. Run all paths here, without --only."
    )


def test_the_encoders_time_is_told_by_kind_of_layer() -> None:
    profiles = {"plain": plain_profile(), "ours": our_profile("fp32")}
    for one in profiles.values():
        assert list(one) == [*KINDS, "other"]
        assert min(one["convolutions"], one["LSTM"], one["padding"]) > 0  # operators of these names are still there
    assert profiles["plain"]["weight norm"] > profiles["ours"]["weight norm"] == 0  # folded
    lines = to_markdown(layers_table({"ours": dict.fromkeys([*KINDS, "other"], 1.5)})).splitlines()
    assert [lines[2].split(), lines[-3].split()] == [["|", "layers", "|", "ours", "|"], ["|", "all", "|", "9.0", "|"]]


def test_what_full_cores_would_give_is_told() -> None:
    seconds = {"wall": {"ours": [0.3], "plain": [0.6]}, "processor": {"ours": [0.5], "plain": [0.6]}}
    one = {"units": 100.0, "seconds": seconds, "steps": {"decode": 0.1, "encode": 0.2}}
    table = to_markdown(steps_table({"mel": one, "train": {"steps": {}}}, 2))
    assert cells(table) == ["mel", "5.00", "1.00", "2.00", "2.00", "3.00", "6.00", "2.40"]


def test_a_command_is_watched_with_all_it_starts(tmp_path: Path) -> None:
    child = "import time; held = b'1' * 60_000_000; time.sleep(1)"  # seen 50 times
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    watched = watch(["python", "-c", code], tmp_path / "log")
    assert watched.status == 0
    assert 60e6 < watched.own_bytes < 200e6
    assert watch(["python", "-c", "raise SystemExit(3)"], tmp_path / "log").status == 3


def test_time_is_linear_where_a_further_window_takes_the_same_at_all_sizes() -> None:
    sizes = [(1000, 3.0), (10_000, 12.0), (100_000, 102.0)]
    runs = [Run("split", windows, Watched(0, seconds, seconds, 2_000_000, 3_000_000)) for windows, seconds in sizes]
    described = describe_scale(runs)
    assert described["processor_seconds_per_further_window"] == {"split": [pytest.approx(0.001), pytest.approx(0.001)]}
    assert described["window"]["bytes"] == 6528
    assert described["runs"][0]["own_bytes"] == 2_000_000
    assert "| split | 100,000 | 1.7 min | 1.7 min" in " ".join(to_markdown(scale_table(runs)).split())
    assert len(scale_figure(runs).axes) == 2


def test_the_made_data_set_has_as_many_windows_as_asked(tmp_path: Path) -> None:
    make_project(tmp_path, 1000, REPOSITORY)
    clips = pd.read_csv(tmp_path / "data/clips/scale/clips.csv").assign(group="", fold=1)
    table = tabulate_windows(clips, tmp_path / "data/clips/scale", load_params(root=tmp_path).windows)
    assert (len(table), table["label"].nunique(), table["silent"].sum()) == (1000, 10, 0)


@pytest.mark.long
def test_the_real_stages_run_on_the_made_data_set(tmp_path: Path) -> None:
    make_project(tmp_path, 1000, REPOSITORY)
    for stage in STAGES:
        run = run_stage(tmp_path, stage, 1000)
        assert (run.stage, run.windows, run.watched.status) == (stage, 1000, 0)
        assert run.watched.own_bytes > 10e6


def test_a_stage_that_fails_on_the_made_data_set_is_named_with_what_it_said(tmp_path: Path) -> None:
    assert refusal(ProjectError, run_stage, tmp_path, "split", 20) == (
        "stage split failed on 20 windows:\nparams.yaml: no such file. Run stages from the folder that holds it.\n"
    )
