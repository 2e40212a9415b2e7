"""Features stored as float16: what is lost is told, what does not fit stops, and loaders give float32."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from beyond_spectrograms.evaluation.predict import predict
from beyond_spectrograms.representations.storage import PrecisionError, Rounding, store
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.run import read_history
from support.envelope import add_clips, run, windows_of
from support.protocol import PROTOCOL, write_run


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
    with pytest.raises(PrecisionError, match=f"^{re.escape(said)}$"):
        store(np.array([[[1.0, 70_000]]], dtype=np.float32), "float16", "mel")
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
