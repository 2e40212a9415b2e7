"""What classifying costs is measured on real files, kept where it is the same, and told beside the baseline's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from beyond_spectrograms.data.audio import convert, cut_windows
from beyond_spectrograms.data.sound_files import read_recording
from beyond_spectrograms.evaluation.cost_measurement import (
    Bench,
    CostsError,
    FromCache,
    FromFile,
    Sounds,
    Subject,
    choose_sounds,
    measure,
    peak_memory,
    time_rounds,
)
from beyond_spectrograms.evaluation.costs import (
    TIMES,
    Costs,
    cached_bytes_per_second,
    coded_bytes_per_second,
    order_of_round,
    read_costs,
)
from beyond_spectrograms.evaluation.records import ResultError
from beyond_spectrograms.params import Mel, SoundStream
from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.report.costs import costs_table
from beyond_spectrograms.report.table import to_markdown
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.util import machine
from beyond_spectrograms.util.machine import memory_can_be_measured, one_thread
from support.cells import edit_params, grid, study_in, write
from support.common import noise
from support.hands import PARAMS, measured, results
from support.numeric import assert_rounded
from support.repository import Patch, stage_here

RAW_RATE = 44_100
CLIPS = {"cat/0.wav": 3.0, "cat/1.wav": 2.5, "dog/0.wav": 3.0}  # seconds
SMALL = {"sample_rate": 16000, "n_fft": 512, "hop_length": 320, "n_mels": 32, "scale": "db"}
MEL = Mel.model_validate(PARAMS.representations["mel"].model_dump() | SMALL)
LARGE_MEL = MEL.model_copy(update={"n_fft": 4096, "hop_length": 20})  # 16 times the frames
EARLIER = ["earlier, quick", "earlier, small", "earlier, odd"]  # machines


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    starts = [(clip, float(start)) for clip, seconds in CLIPS.items() for start in range(int(seconds))]
    rows = [{"clip": clip, "label": clip[:3], "start_s": start, "silent": 0} for clip, start in starts]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    for seed, (clip, seconds) in enumerate(CLIPS.items()):
        (folder / clip).parent.mkdir(exist_ok=True)
        soundfile.write(folder / clip, noise(seconds, RAW_RATE, seed), RAW_RATE, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def sounds(table: pd.DataFrame, raw: Path) -> Sounds:
    return choose_sounds(table, raw, count=3, seed=0, length_s=1.0, plausible=(1.0, 10.0))


def store(folder: Path, record: Mel, sounds: Sounds, name: str = "small") -> Subject:
    """Store the features of all windows, in the order of the table."""
    representation = create_representation(name, record, ())
    rate = representation.form.sample_rate
    encoded = []
    for clip in sounds.clips:
        samples, _ = convert(read_recording(clip.path, sounds.plausible), representation.form)
        windows = cut_windows(np.ascontiguousarray(samples.T), clip.starts, 1.0, rate)
        encoded.append(representation.encode(windows, rate))
    (folder / name).mkdir()
    np.save(folder / name / "features.npy", np.concatenate(encoded))
    return Subject(name, record, (), folder / name)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory, sounds: Sounds) -> Subject:
    return store(tmp_path_factory.mktemp("features"), MEL, sounds)


def test_the_drawn_clips_have_their_own_rows_starts_and_lengths(table: pd.DataFrame, raw: Path) -> None:
    all_of_them = choose_sounds(table, raw, count=10, seed=0, length_s=1.0, plausible=(1.0, 10.0))
    assert [clip.path.relative_to(raw).as_posix() for clip in all_of_them.clips] == list(CLIPS)
    assert [clip.rows.tolist() for clip in all_of_them.clips] == [[0, 1, 2], [3, 4], [5, 6, 7]]
    assert [clip.starts for clip in all_of_them.clips] == [[0.0, 1.0, 2.0], [0.0, 1.0], [0.0, 1.0, 2.0]]
    assert (all_of_them.seconds, all_of_them.windows, all_of_them.classes) == (8.5, 8, 2)
    several = [choose_sounds(table, raw, count=2, seed=seed, length_s=1, plausible=(1, 9)) for seed in range(5)]
    assert {len(sounds.clips) for sounds in several} == {2}
    assert len({tuple(clip.path for clip in sounds.clips) for sounds in several}) > 1
    with pytest.raises(CostsError) as error:
        choose_sounds(table, raw / "none", count=3, seed=0, length_s=1.0, plausible=(1.0, 10.0))
    assert str(error.value) == (
        f"{raw / 'none/cat/0.wav'}: missing, though the table of windows names it. Run its download stage again."
    )


@pytest.mark.numeric
def test_both_ways_classify_the_same_windows_alike(subject: Subject, sounds: Sounds) -> None:
    cached, from_file = FromCache(subject, sounds).run(), FromFile(subject, sounds).run()
    assert cached.shape == from_file.shape == (8, 2)
    assert_rounded(cached.sum(axis=1), np.ones(8), roundings=3)  # two quotients and their sum
    assert_rounded(from_file, cached, roundings=128 * 5)  # terms of conv1d's longest sum
    assert np.ptp(cached[:, 0]) > 1e-3  # windows in another order would not agree


def test_codes_are_classified_through_a_table_of_embeddings(tmp_path: Path, sounds: Sounds) -> None:
    record = SoundStream(kind="soundstream", weights=["encoder", "quantizer"], bitrate=3200, codes=True)
    codes = np.random.default_rng(0).integers(0, 16, size=(8, 16, 50)).astype(np.float32)
    np.save(tmp_path / "features.npy", codes)
    bench = FromCache(Subject("codes", record, (), tmp_path), sounds)
    assert bench.run().shape == (8, 2)
    assert bench.network[0].table.weight.shape == (16 * 16, 128)
    assert bench.train() > 0


def test_time_is_counted_by_second_of_sound_and_encoding_is_a_part_of_it(subject: Subject, sounds: Sounds) -> None:
    bench = Bench(subject, sounds)
    with one_thread(everywhere=True):
        times = bench.time()
    assert tuple(times) == TIMES
    assert all(value > 0 for value in times.values())
    assert times["encoding_s_per_s"] <= times["file_s_per_s"]  # measured within it
    assert times["encoding_s_per_s"] == bench.file.encoding_s / 8.5
    # conv1d 32 -> 128 -> 256 with kernels of 5 and biases; 51 frames shrink to 47, 9, 5, 1; two classes.
    assert bench.parameters == 32 * 128 * 5 + 128 + 128 * 256 * 5 + 256 + 256 * 2 + 2


def test_what_is_fitted_at_once_has_no_time_of_a_training_step_nor_memory_where_none_can_be_measured(
    subject: Subject, sounds: Sounds, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(machine, "PEAK_RESET", tmp_path / "none")  # as on other systems
    probe = replace(subject, classifier="probe_mean_deviation")
    times = Bench(probe, sounds).time()
    assert tuple(times) == ("cached_s_per_s", "file_s_per_s", "encoding_s_per_s")
    assert Bench(probe, sounds).parameters == 2 * (2 * 32) + 2  # mean and deviation of 32 bands, and a bias a class
    found = measure("pets", [probe, replace(probe, name="mel")], sounds, rounds=2, seed=0)
    costs = Costs.model_validate(found | {"mark": "any"})
    assert costs.representations["mel"].training_s_per_window == []
    table = costs_table(results({}), {costs.representation: costs})
    assert table is not None
    (row,) = table.rows
    assert row["training_s_per_window"] is None
    assert row["training_s_per_window_ratio"] is None
    assert row["cached_s_per_s"] is not None
    assert costs.representations["small"].cached_peak_bytes is costs.representations["small"].file_peak_bytes is None


@pytest.mark.long
def test_every_round_times_each_representation_once(tmp_path: Path, subject: Subject, sounds: Sounds) -> None:
    subjects = {"large": store(tmp_path, LARGE_MEL, sounds), "small": subject}
    benches = {name: Bench(one, sounds) for name, one in subjects.items()}
    with one_thread(everywhere=True):
        rounds = list(time_rounds(benches, 2, 0))
    assert [list(one) for one in rounds] == [order_of_round(benches, number, 0) for number in (1, 2)]
    assert all(tuple(times) == TIMES and min(times.values()) > 0 for one in rounds for times in one.values())
    # What the times are of: 801 frames a second against 51, all of them encoded and classified.
    assert [bench.file.representation.frames(16_000) for bench in benches.values()] == [801, 51]


def test_the_order_of_a_round_is_drawn_from_the_seed_and_the_round() -> None:
    orders = [["".join(order_of_round("abcdef", number, seed)) for number in (1, 2, 3)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert len({*orders[0]}) == 3
    assert {"".join(sorted(order)) for order in orders[0]} == {"abcdef"}


@pytest.mark.skipif(not memory_can_be_measured(), reason="memory is measured on Linux with the GNU C library alone")
def test_peak_memory_is_that_of_the_work_not_of_imports(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", noise(20.0, 8_000), 8_000)
    windows = pd.DataFrame({"clip": ["long.wav"] * 20, "label": "cat", "start_s": np.arange(20.0)})
    long = choose_sounds(windows, tmp_path, count=1, seed=0, length_s=1.0, plausible=(1.0, 100.0))
    # 20 s at 24 kHz as float32 are 1.9 MB, held at least twice: resampled and cut. Imports hold hundreds.
    record = MEL.model_copy(update={"sample_rate": 24000})
    above, total = peak_memory("file", Subject("mel", record, (), tmp_path), long)
    assert 3e6 < above < 60e6
    assert total > above + 100e6


def test_bytes_per_second_of_sound() -> None:
    assert cached_bytes_per_second(128, 173, 1.0) == 88_576
    assert cached_bytes_per_second(64, 100, 2.0) == 12_800
    assert coded_bytes_per_second(6_000) == 750
    assert coded_bytes_per_second(None) is None


def costs_of(
    name: str, slower: float, baselines: tuple[str, ...] = ("mel",), timed: int = 7, **changes: Any
) -> dict[str, Any]:
    """What measure writes of rounds in which the machine gets slower; two ratios to mel are 0.1 off."""
    load = 1e-3 * np.arange(1, timed + 1)
    ratios = np.full(timed, slower)
    ratios[[0, 2]] += [-0.1, 0.1] if slower != 1 else [0, 0]
    times = {name: (load * ratios).tolist()} | dict.fromkeys(baselines, load.tolist())
    return measured(name, times, **changes)


def read(folder: Path, record: dict[str, Any]) -> Costs:
    write(folder / "costs.json", json.dumps({"representations": {"measured": record}}))
    return read_costs(folder / "costs.json")["measured"]


def test_the_table_has_medians_and_the_ratio_to_the_baseline_with_its_interval(tmp_path: Path) -> None:
    control = "encodec_24khz_untrained"
    measured = {name: read(tmp_path, costs_of(name, slower)) for name, slower in (("mel", 1.0), (control, 2.0))}
    table = costs_table(results({}), measured)
    assert table is not None
    mel, codec = table.rows
    assert (mel["cached_s_per_s"], mel["cached_s_per_s_ratio"], mel["note"]) == (4e-3, None, "")
    assert codec["cached_s_per_s"] == pytest.approx(8e-3)
    ratio = [codec[f"cached_s_per_s_ratio{part}"] for part in ("", "_low", "_high")]
    assert ratio == pytest.approx([2.0, 1.9, 2.1])
    lines = to_markdown(table).splitlines()
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines[2:6]}
    sizes, note = ["1.5", "25.0", "88576", "-", "4242"], "control: untrained encoder, not EnCodec's result"
    assert cells["mel"] == ["4.00", "-", "4.00", "-", "25", "4.00", "-", *sizes, ""]
    twice = ["8.00", "2.00 [1.90, 2.10]"]
    assert cells[control] == [*twice, *twice, "25", *twice, *sizes, note]
    assert lines[0] == "# Costs: esc10, to classify one second of sound"
    assert table.notes[0] == (
        "Processor time on one thread of a CPU (Abacus 2); median of 7 rounds over 4 clips, 20.0 s of sound. "
        "No GPU is measured."
    )
    assert table.notes[-1] == "The audio files have 88215 bytes per second."


def test_what_was_not_measured_or_too_seldom_is_left_out_and_said(tmp_path: Path) -> None:
    table = costs_table(results({}), {"codec": read(tmp_path, costs_of("codec", 2.0, timed=5))})
    assert table is not None
    assert "| 2.00 " in to_markdown(table)
    assert "[" not in to_markdown(table)
    assert table.notes[-1] == "Only 5 values were measured: too few for an interval."
    table = costs_table(results({}), {"codec": read(tmp_path, costs_of("codec", 2.0, ()))})
    assert table is not None
    assert [value for key, value in table.rows[0].items() if "ratio" in key] == [None] * 12  # no baseline, no ratio
    assert read_costs(tmp_path / "none.json") == {}
    assert costs_table(results({}), {}) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 6}, ": representations.codec.cached_s_per_s has 7 values for 6 rounds"),
        ({"representation": "other"}, ": representations has no other, the one measured"),
        ({"rounds": 0}, ".rounds: Input should be greater than or equal to 1"),
        ({"processor": None}, ".processor: Input should be a valid string"),
        ({"representations": {}}, ".representations: Dictionary should have at least 1 item after validation, not 0"),
    ],
)
def test_a_file_that_is_not_what_measure_writes_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ResultError) as error:
        read(tmp_path, costs_of("codec", 2.0, **changes))
    assert str(error.value) == f"{tmp_path / 'costs.json'}: representations.measured{message}. Run its stage again."


@pytest.fixture
def pets(project: Path, table: pd.DataFrame, raw: Path, sounds: Sounds) -> Path:
    """A data set of three clips with features of `odd` and of its two baselines."""
    records = {name: MEL.model_dump(exclude_none=True) | {"weights": None} for name in ("small", "quick", "odd")}

    def change(params: dict[str, Any]) -> None:
        params["representations"] |= records
        params["claims"]["baselines"] = ["quick", "small"]
        params["grid"] = grid("pets", ["quick", "small", "odd"], ["fair"])
        params["costs"] = {"clips": 2, "rounds": 2, "seed": 0, "classifier": "conv1d"}

    edit_params(project, change)
    (project / "data/raw/pets").mkdir(parents=True)
    (project / "data/raw/pets/audio").symlink_to(raw)
    write(project / "data/splits/pets/windows.csv", table.to_csv(index=False))
    (project / "data/features/paper/pets").mkdir(parents=True)
    for name in records:
        store(project / "data/features/paper/pets", MEL, sounds, name)
    return project


def run_measure(folder: Path) -> str:
    return stage_here(folder, "measure", "pets")


def test_measure_writes_the_whole_record(pets: Path) -> None:
    place, earlier = pets / "metrics/pets/costs.json", measured_before(pets)
    write(place, json.dumps({"representations": {name: earlier[name] for name in ("quick", "odd")}}))
    printed = run_measure(pets)
    assert printed.startswith("pets, small beside quick: 2 clips, ")
    assert printed.endswith("pets: measured 1 representations, kept 2\n")
    assert list(read_costs(place)) == ["quick", "small", "odd"]
    costs = read_costs(place)["small"]
    assert (costs.dataset, costs.representation, costs.clips, costs.rounds, costs.threads) == ("pets", "small", 2, 2, 1)
    assert list(costs.representations) == ["small", "quick"]
    small = costs.representations["small"]
    assert [len(getattr(small, key)) for key in TIMES] == [2] * 4
    assert small.cached_bytes_per_s == 32 * 51 * 4
    # 16 bits a sample and a header of 44 bytes in each of the two files.
    assert small.raw_bytes_per_s == pytest.approx(2 * RAW_RATE + 2 * 44 / costs.seconds_of_sound)
    assert small.coded_bytes_per_s is None
    assert (small.cached_peak_bytes is None) != memory_can_be_measured()
    assert costs.representations["quick"].cached_peak_bytes is None


def measured_before(pets: Path) -> dict[str, Any]:
    """Write costs of all as an earlier run left them, the machine's name a mark of their own."""
    study, costs = study_in(pets), {}
    for name in ("quick", "small", "odd"):
        told = costs_of(name, 1.0, ("quick",), dataset="pets", processor=f"earlier, {name}")
        costs[name] = told | {"mark": study.cost_mark("pets", [name, "quick", "small"])}
    write(pets / "metrics/pets/costs.json", json.dumps({"representations": costs}))
    return costs


def test_a_mark_is_of_the_weights_too() -> None:
    marks, params = [], load_study("demo").params
    for digest in ("0" * 64, "1" * 64):
        (name, record), *_ = params.weights_records("codec_16khz").items()
        weights = params.weights | {name: record.model_copy(update={"sha256": digest})}
        study = replace(load_study("demo"), params=params.model_copy(update={"weights": weights}))
        marks.append([study.cost_mark("demo", [name]) for name in ("codec_16khz", "mel")])
    assert marks[0][0] != marks[1][0]
    assert marks[0][1] == marks[1][1]


def processors(pets: Path) -> list[str]:
    return [costs.processor for costs in read_costs(pets / "metrics/pets/costs.json").values()]


def test_a_representation_whose_features_are_not_here_keeps_what_was_measured_of_the_same(pets: Path) -> None:
    measured_before(pets)
    (pets / "data/features/paper/pets/odd/features.npy").unlink()
    edit_params(pets, lambda params: params["protocols"]["paper"].update(epochs=7))  # decides no costs
    assert run_measure(pets) == "pets: measured 0 representations, kept 3\n"
    assert processors(pets) == EARLIER
    edit_params(pets, lambda params: params["representations"]["odd"].update(n_mels=31))
    assert run_measure(pets) == (
        "pets, odd: left out: measured under other params or versions, its features are not here\n"
        "pets: measured 0 representations, kept 2\n"
    )
    assert processors(pets) == EARLIER[:2]
