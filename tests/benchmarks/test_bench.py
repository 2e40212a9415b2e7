"""The bench compares like with like, and its figures are what the rounds say."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import pairings, plain_extraction, watching
from benchmarks.pairings import (
    Extraction,
    Pairing,
    Round,
    Sounds,
    Spent,
    Training,
    Whose,
    make_pairing,
    make_sounds,
    run_rounds,
)
from benchmarks.plain_training import plain_network
from benchmarks.profiles import KINDS, layers_table, our_profile, plain_profile, steps_table
from benchmarks.results import bench_figure, bench_table, summarise
from benchmarks.scale import (
    STAGES,
    Run,
    ScaleError,
    describe_scale,
    make_project,
    marginal,
    run_stage,
    scale_figure,
    scale_table,
)
from benchmarks.watching import Watched, watch
from beyond_spectrograms.params import Params, load_params
from beyond_spectrograms.report.table import to_markdown
from support.numeric import assert_rounded, likely
from support.repository import REPOSITORY


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(root=REPOSITORY)


@pytest.fixture(scope="module")
def sounds(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    sounds = make_sounds(tmp_path_factory.mktemp("bench"), params)
    return Sounds(sounds.folder, sounds.table.iloc[:5])  # one clip


@pytest.mark.parametrize("name", [pytest.param("mel", marks=pytest.mark.numeric), "encodec_24khz_untrained"])
def test_both_ways_give_the_same_features(name: str, params: Params, sounds: Sounds, tmp_path: Path) -> None:
    pairing = Extraction(name, params.representations[name], [], sounds)
    pairing.write("ours", tmp_path / "ours")
    pairing.write("plain", tmp_path / "plain")
    ours, plain = (np.load(tmp_path / whose / "features.npy") for whose in ("ours", "plain"))
    assert ours.shape == plain.shape == (5, 128, pairing.representation.frames(pairing.representation.form.sample_rate))
    # Both are fp32: numeric's factor of 2 is for the roundings of each. Terms are those of test_encodec_engines.
    assert_rounded(ours, plain, roundings=likely(13_000 + 2 * 1024 * 75))
    assert pairing.run("ours").processor > 0


def test_the_plain_way_drops_what_is_shorter_than_a_second(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros(2500), 1000)
    plain_extraction.extract_each_window([tmp_path / "a.flac"], lambda window: window[:, :4], tmp_path / "features.npy")
    assert np.load(tmp_path / "features.npy").shape == (2, 1, 4)


def test_the_plain_network_is_the_papers(params: Params, tmp_path: Path) -> None:
    from beyond_spectrograms.classifiers.convolutional import conv1d

    plain, ours = plain_network(8, 60, 3), conv1d(8, 60, 3)
    assert [tuple(one.shape) for one in plain.parameters()] == [tuple(one.shape) for one in ours.parameters()]
    assert Training((8, 60), 3, params, tmp_path).units == 1024 * 3 * 2


class Fixed(Pairing):
    """A pairing of 30 units and 6 GFLOP that takes what it is told."""

    unit, units, flop = "seconds of sound", 30.0, 6e9

    def __init__(self) -> None:
        self.runs: list[str] = []

    def run(self, whose: Whose) -> Spent:
        self.runs.append(whose)
        return Spent(1.0, 2.0) if whose == "ours" else Spent(4.0, 4.0)


def test_every_round_runs_both_ways_after_an_untimed_one() -> None:
    pairing = Fixed()
    rounds = list(run_rounds({"fixed": pairing}, 3, 0))
    assert [name for name, _ in rounds] == ["fixed"] * 3
    assert sorted(pairing.runs) == ["ours"] * 4 + ["plain"] * 4
    assert all(one.ours == Spent(1.0, 2.0) and one.plain == Spent(4.0, 4.0) for _, one in rounds)
    assert all(one.our_matrix_rate == one.plain_matrix_rate > 0 for _, one in rounds)


def test_what_multiplies_in_bf16_is_measured_against_products_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairings, "MATRIX", 256)  # without bf16 kernels a product of the full size takes half a minute
    pairing = Fixed()
    pairing.precision = "bf16"
    ((_, one),) = run_rounds({"fixed": pairing}, 1, 0)
    assert one.our_matrix_rate > 0
    assert one.our_matrix_rate != one.plain_matrix_rate


def test_figures_of_the_bench_are_medians_and_ranges_over_rounds() -> None:
    rounds = [
        Round(Spent(ours, 2.0), Spent(plain, 4.0), 10e9, 5e9) for ours, plain in [(1.0, 2.0), (1.0, 3.0), (2.0, 10.0)]
    ]
    one = summarise(Fixed(), rounds, {"ours": 5_000_000, "plain": 7_000_000}, {})
    assert one["ratio"]["wall"] == {"median": 3.0, "lowest": 2.0, "highest": 5.0}
    assert one["ratio"]["processor"]["median"] == 2.0
    assert one["per_second"] == {"ours": 30.0, "plain": 10.0}
    assert one["share_of_matrix_rate"] == {"ours": pytest.approx(0.6), "plain": pytest.approx(0.4)}
    assert one["ratio_at_matrix_rate"] == pytest.approx(5.0)
    results = {"processor": "any", "cores": 2, "notes": ["a note"], "pairings": {"encodec": one}}
    row = to_markdown(bench_table(results)).splitlines()[4]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "encodec", "seconds of sound", "10.0", "30.0", "3.00 [2.00, 5.00]", "2.00 [2.00, 2.00]", "40", "60", "5.00",
        "7", "5",
    ]  # fmt: skip
    assert len(bench_figure(results).axes) == 1


def test_the_encoders_time_is_told_by_kind_of_layer() -> None:
    profiles = {"plain": plain_profile("24khz"), "ours": our_profile("24khz", "fp32")}
    for one in profiles.values():
        assert list(one) == [*KINDS, "other"]
        assert min(one["convolutions"], one["LSTM"], one["padding"]) > 0  # operators of these names are still there
    assert profiles["plain"]["weight norm"] > profiles["ours"]["weight norm"] == 0  # folded
    lines = to_markdown(layers_table({"ours": dict.fromkeys([*KINDS, "other"], 1.5)})).splitlines()
    assert [lines[2].split(), lines[-3].split()] == [["|", "layers", "|", "ours", "|"], ["|", "all", "|", "9.0", "|"]]


def test_decoding_and_encoding_alone_are_timed(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairings, "MEL_CLIPS_PER_CLASS", 2)
    pairing = make_pairing("mel", params, tmp_path, None)
    assert isinstance(pairing, Extraction)
    steps = pairing.steps()
    assert steps["encode"] > 0
    assert steps["decode"] > 0


def test_what_full_cores_would_give_is_told() -> None:
    seconds = {"wall": {"ours": [0.3], "plain": [0.6]}, "processor": {"ours": [0.5], "plain": [0.6]}}
    one = {"units": 100.0, "seconds": seconds, "steps": {"decode": 0.1, "encode": 0.2}}
    row = to_markdown(steps_table({"mel": one, "train": {"steps": {}}}, 2)).splitlines()[4]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "mel", "5.00", "1.00", "2.00", "2.00", "3.00", "6.00", "2.40",
    ]  # fmt: skip


def test_a_command_is_watched_with_all_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look, seen = watching._own_bytes, tmp_path / "seen"

    def look_and_tell(pid: int) -> int:
        if (held := look(pid)) > 60e6:
            seen.touch()
        return held

    monkeypatch.setattr(watching, "_own_bytes", look_and_tell)
    # The child holds 60 MB until they were seen, however late that is.
    child = f"import os, time; held = b'1' * 60_000_000\nwhile not os.path.exists({str(seen)!r}): time.sleep(0.01)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    watched = watch(["python", "-c", code], tmp_path / "log")
    assert watched.status == 0
    assert 60e6 < watched.own_bytes < 200e6
    assert watched.wall_seconds > 0
    assert watch(["python", "-c", "raise SystemExit(3)"], tmp_path / "log").status == 3


def runs() -> list[Run]:
    sizes = [(1000, 3.0), (10_000, 12.0), (100_000, 102.0)]
    return [Run("split", windows, Watched(0, seconds, seconds, 2_000_000, 3_000_000)) for windows, seconds in sizes]


def test_time_is_linear_where_a_further_window_takes_the_same_at_all_sizes() -> None:
    assert marginal(runs(), "split") == [pytest.approx(0.001), pytest.approx(0.001)]
    described = describe_scale(runs())
    assert described["window"]["bytes"] == 6528
    assert described["runs"][0]["own_bytes"] == 2_000_000
    assert "| split | 100,000 | 1.7 min | 1.7 min" in " ".join(to_markdown(scale_table(runs())).split())
    assert len(scale_figure(runs()).axes) == 2


def test_the_made_data_set_has_as_many_windows_as_asked(tmp_path: Path, repository: Path) -> None:
    import pandas as pd

    from beyond_spectrograms.data.splits import tabulate_windows

    make_project(tmp_path, 1000, repository)
    made = load_params(root=tmp_path)
    clips = pd.read_csv(tmp_path / "data/clips/scale/clips.csv").assign(group="", fold=1)
    table = tabulate_windows(clips, tmp_path / "data/clips/scale", made.windows)
    assert (len(table), table["label"].nunique(), table["silent"].sum()) == (1000, 10, 0)


@pytest.mark.long
def test_the_real_stages_run_on_the_made_data_set(tmp_path: Path, repository: Path) -> None:
    make_project(tmp_path, 1000, repository)
    for stage in STAGES:
        run = run_stage(tmp_path, stage, 1000)
        assert (run.stage, run.windows, run.watched.status) == (stage, 1000, 0)
        assert run.watched.own_bytes > 10e6
    assert (tmp_path / "metrics/scale/accuracy.json").exists()


def test_a_stage_that_fails_on_the_made_data_set_is_named_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(ScaleError) as error:
        run_stage(tmp_path, "split", 20)
    assert str(error.value) == (
        "stage split failed on 20 windows:\nparams.yaml: no such file. Run stages from the folder that holds it.\n"
    )
