"""Stored features: two runs at once, damage, and float16. Nothing is lost unsaid and nothing wrong is kept."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from beyond_spectrograms.data.windows import FeaturesError, check_content, release
from beyond_spectrograms.evaluation.predict import predict
from beyond_spectrograms.representations import stored_rows
from beyond_spectrograms.representations.stored_rows import PrecisionError, Rounding, store
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.run import read_history
from support.common import contents, flip, refusal
from support.envelope import add_clips, run, windows_of
from support.memory import mapped_bytes
from support.protocol import PROTOCOL, write_run
from support.repository import REPOSITORY, Capture, Patch
from support.stopping import running, signalled_in

TABLE = windows_of(0, 1, 2, 3)
ROW = 3 * 10 * 4  # bytes of a window


Again = Callable[[], tuple[int, str]]


@pytest.fixture
def again(folder: Path, capsys: Capture) -> Again:
    """Store the features of four clips; return what extracts again, and gives how many windows and what was said."""
    run(folder, TABLE)

    def extract() -> tuple[int, str]:
        capsys.readouterr()
        return run(folder, TABLE).computed, capsys.readouterr().out

    return extract


def offset_of(folder: Path, row: int) -> int:
    return (folder / "place/features.npy").stat().st_size + (row - 12) * ROW


@pytest.mark.parametrize(
    ("flipped", "clips"),
    [
        ([0], "1 clip were damaged and are computed again: cat/00.wav"),
        ([4 * ROW + 57], "1 clip were damaged and are computed again: cat/01.wav"),
        ([12 * ROW - 1], "1 clip were damaged and are computed again: cat/03.wav"),
        (random.Random(0).sample(range(12 * ROW), 80),
         "4 clips were damaged and are computed again: cat/00.wav, cat/01.wav, cat/02.wav and 1 more"),
    ],
)  # fmt: skip
def test_a_flipped_byte_costs_its_clip_alone(folder: Path, again: Again, flipped: list[int], clips: str) -> None:
    whole = contents(folder / "place")
    flip(folder / "place/features.npy", *(offset_of(folder, 0) + byte for byte in flipped))
    assert refusal(FeaturesError, check_content, folder / "place", "pets as mel") == (  # as training does
        f"{folder / 'place'}: rows of {clips[0]} clips of pets as mel are not what was written, "
        f"{re.findall('cat/[0-9]+.wav', clips)[0]} first. Run its featurize stage again (dvc repro -f)."
    )
    assert again() == (3 * int(clips[0]), f"{folder / 'place'}: rows of {clips}\n")
    assert contents(folder / "place") == whole
    check_content(folder / "place", "pets as mel")
    flip(folder / "place/features.npy", offset_of(folder, 10))
    assert run(folder, windows_of(0, 2)).computed == 0  # the damaged clip is no longer wanted


def test_the_next_run_finds_rows_damaged_in_copying(folder: Path, again: Again, monkeypatch: Patch) -> None:
    whole, check = contents(folder / "place"), stored_rows.StoredRows.drop_damaged

    def damage(stored: stored_rows.StoredRows, wanted: list[stored_rows.Rows], called: str) -> None:
        check(stored, wanted, called)
        with (folder / "place/features.npy").open("r+b") as file:
            file.seek(offset_of(folder, 4))
            file.write(b"damaged")

    monkeypatch.setattr(stored_rows.StoredRows, "drop_damaged", damage)
    assert again() == (0, "")
    monkeypatch.undo()
    told = f"{folder / 'place'}: rows of 1 clip were damaged and are computed again: cat/01.wav\n"
    assert again() == (3, told)
    assert contents(folder / "place") == whole


CUT, OLD = "{place}/features.npy is cut short or damaged", "{place}/index.json is damaged, or of an earlier version"


def save(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Give what stores the features changed."""
    return lambda folder: np.save(path := folder / "place/features.npy", change(np.load(path)))


def old_index(folder: Path) -> None:
    index = json.loads((folder / "place/index.json").read_text())
    del index["sha256"]
    (folder / "place/index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "place/features.npy").unlink(), "{place}/features.npy is missing"),
        (lambda folder: os.truncate(folder / "place/features.npy", 0), CUT),
        (lambda folder: os.truncate(folder / "place/features.npy", 70), CUT),
        (lambda folder: os.truncate(folder / "place/features.npy", offset_of(folder, 12) - 1), CUT),
        (save(np.asfortranarray), CUT),
        (save(lambda rows: rows[:9]), "{place}/features.npy is [9, 3, 10], and [12, 3, 10] by its index"),
        (lambda folder: os.truncate(folder / "place/index.json", 300), OLD),
        (old_index, OLD),
    ],
    ids=["no array", "empty", "half a header", "a byte short", "order", "shape", "half an index", "old index"],
)
def test_an_index_without_its_whole_array_is_nothing_stored(
    folder: Path, again: Again, damage: Callable[[Path], None], told: str
) -> None:
    whole, place = contents(folder / "place"), folder / "place"
    damage(folder)
    assert again() == (12, f"{place}: {told.format(place=place)}; all is computed again\n")
    assert contents(place) == whole
    assert again() == (0, "")


def test_where_a_byte_of_the_arrays_header_is_flipped_nothing_wrong_is_kept(folder: Path, again: Again) -> None:
    whole, size = contents(folder / "place"), (folder / "place/features.npy").stat().st_size
    text = whole["features.npy"][: offset_of(folder, 0)].rstrip()
    for offset in range(0, len(text), 5):
        flip(folder / "place/features.npy", offset)
        again()
        assert contents(folder / "place") == whole, offset
    assert size == len(whole["features.npy"])


WORK = Path("data/partial/features")
JOURNAL, LOCK = WORK / "paper-pets-mel/journal.jsonl", WORK / "paper-pets-mel.lock"


# Once, while the fourth clip's rows are written and its line of the journal is not.
MIDWAY = (
    f"not Path('held').exists() and Path({str(JOURNAL)!r}).exists()"
    f" and Path({str(JOURNAL)!r}).read_text().count(chr(10)) == 3 and not Path('held').touch()"
)


def stopped_midway(process: subprocess.Popen[str]) -> int:
    """Wait until featurize has stopped itself; give its pid."""
    while not (Path("held").exists() and state_of(pid := int(LOCK.read_text())) == "T"):
        assert process.poll() is None
        time.sleep(0.01)
    return pid


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.long
def test_when_dvc_alone_is_killed_the_next_meets_the_stage_until_that_has_ended_too(pets: Path) -> None:
    place = "beyond_spectrograms.representations.feature_cache:astuple"
    Path("featurize.py").write_text(signalled_in(place, MIDWAY, "SIGSTOP") + running("featurize"))
    stage = {
        "cmd": f"{sys.executable} featurize.py pets mel",
        "deps": ["data/clips/pets"],
        "outs": [{"data/features/paper/pets/mel": {"persist": True}}],
    }
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"featurize": stage}}))
    dvc, environment = [sys.executable, "-m", "dvc"], {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def repro() -> subprocess.CompletedProcess[str]:
        return subprocess.run([*dvc, "repro"], env=environment, capture_output=True, text=True, check=False)

    subprocess.run([*dvc, "init", "-q", "--no-scm"], check=True)
    with subprocess.Popen([*dvc, "repro", "-q"], env=environment, start_new_session=True) as first:
        pid = stopped_midway(first)
        assert pid != first.pid
        first.kill()
    second = repro()
    assert f"{WORK}/paper-pets-mel: another run (pid {pid}) works here. Wait for it, or end it.\n" in second.stderr
    assert second.returncode != 0
    os.kill(pid, signal.SIGCONT)
    while LOCK.exists():
        time.sleep(0.01)
    assert not (pets / "features.json").exists()
    third = repro()
    assert third.returncode == 0
    [computed] = re.findall(r"computed (\d+) of 400 windows by ", third.stdout)
    assert 0 < int(computed) <= 370  # it goes on where the first was, which may have written more before it heard
    assert sorted(contents(pets)) == ["features.json", "features.npy", "index.json"]


def test_the_largest_error_is_told_relative_to_the_peak_of_its_window() -> None:
    # Between 1 and 2 float16 steps by 2^-10: 1 + 2^-11 + 2^-14 goes up to 1 + 2^-10, off by 2^-11 - 2^-14.
    value = 1 + 2**-11 + 2**-14
    features = np.array([[[value, 0.5]], [[1.0, 0.25]]], dtype=np.float32)
    stored, lost = store(features, "float16", "latents")
    assert stored.dtype == np.float16
    assert stored[0, 0, 0] == 1 + 2**-10
    assert lost == Rounding(pytest.approx((2**-11 - 2**-14) / value), 0)


def test_values_too_small_for_float16_are_counted() -> None:
    _, lost = store(np.array([[[1.0, 1e-9, 0.0, 6e-8]]], dtype=np.float32), "float16", "mel")
    assert lost.vanished == 1
    assert Rounding(0.1, 1) + Rounding(0.2, 2) == Rounding(0.2, 3)


def test_a_value_beyond_float16_stops_and_is_named() -> None:
    said = (
        "mel: its largest value is 70000, and float16 holds 65504 at most. Set features.dtype to float32 in params.yaml"
        " (mel power needs it; decibels and latents do not)."
    )
    assert refusal(PrecisionError, store, np.array([[[1.0, 70_000]]], dtype=np.float32), "float16", "mel") == said
    stored, _ = store(np.array([[[65_519]]], dtype=np.float32), "float16", "mel")  # rounds down to the largest
    assert stored[0, 0, 0] == 65_504


def test_an_extraction_stores_half_the_bytes_and_says_what_was_lost(tmp_path: Path) -> None:
    add_clips(tmp_path / "clips", 0, 1, 2)
    whole = run(tmp_path, windows_of(0, 1), dtype="float32")
    assert (whole.computed, whole.rounding) == (6, Rounding(0.0, 0))
    exact = np.load(tmp_path / "place/features.npy")

    half = run(tmp_path, windows_of(0, 1), dtype="float16")
    stored = np.load(tmp_path / "place/features.npy")
    assert half.computed == 6  # float32's rows are not taken over
    assert (stored.dtype, stored.nbytes) == (np.float16, exact.nbytes // 2)
    np.testing.assert_array_equal(stored, exact.astype(np.float16))
    assert 0 < half.rounding.largest <= 2**-11
    clips = json.loads((tmp_path / "place/index.json").read_text())["clips"]
    assert max(clip[4] for clip in clips) == half.rounding.largest

    more = run(tmp_path, windows_of(0, 1, 2), dtype="float16")
    assert more.computed == 3  # kept rows keep what is known of them
    assert more.rounding.largest >= half.rounding.largest
    assert run(tmp_path, windows_of(0, 1), dtype="float16").rounding == half.rounding


@pytest.mark.numeric
def test_training_and_testing_read_float16_as_the_same_numbers_in_float32(tmp_path: Path) -> None:
    rng, targets = np.random.default_rng(0), np.arange(60) % 2
    features = rng.standard_normal((60, 8, 49)).astype(np.float16)
    parts = ["train"] * 36 + ["validation"] * 12 + ["test"] * 12
    protocol = PROTOCOL.model_copy(update={"epochs": 2, "select": "last"})
    histories, probabilities = [], []
    for dtype in (np.float16, np.float32):
        config = write_run(tmp_path / np.dtype(dtype).name, features, targets, parts, protocol)
        np.save(config.features / "features.npy", features.astype(dtype))
        threads = torch.get_num_threads()
        train(config)
        tested = predict(
            config.work / "fold_1-seed_0.safetensors", protocol, features.astype(dtype), rows=np.arange(48, 60),
            classes=["a", "b"], codebook_size=None, fold=1, seed=0, device="cpu",
        )  # fmt: skip
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)
        histories.append(read_history(config))
        probabilities.append(tested.probabilities)
    assert histories[0] == histories[1]
    np.testing.assert_array_equal(*probabilities)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone tells what is mapped")
def test_a_mapped_array_read_in_blocks_is_never_held_as_a_whole(tmp_path: Path) -> None:
    array = np.lib.format.open_memmap(tmp_path / "features.npy", mode="w+", dtype=np.float32, shape=(2048, 128, 50))
    array[:] = 1  # 52 MB
    array.flush()
    del array

    def largest_held(releasing: bool) -> int:
        features, held = np.load(tmp_path / "features.npy", mmap_mode="r"), 0
        for first in range(0, 2048, 256):
            assert features[first : first + 256].sum(dtype=np.float64) == 256 * 128 * 50
            held = max(held, mapped_bytes(tmp_path))
            if releasing:
                release(features)
        return held

    assert largest_held(releasing=False) > 45e6
    assert 6e6 < largest_held(releasing=True) < 20e6  # a block is 6.6 MB; a system may map some pages around it
    release(np.zeros(3))  # in memory: nothing to do
