"""What follows mel bands: derivatives over time and per-channel energy normalisation, beside librosa's."""

from typing import Any

import librosa
import numpy as np
import pytest

from beyond_spectrograms.params import Mel
from beyond_spectrograms.params.representations import PCEN
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import RepresentationError
from beyond_spectrograms.representations.mel import DELTA_FRAMES, delta
from support.common import refusal, stack
from support.models import PARAMS

RECORDS = PARAMS.representations
SETTINGS: dict[str, Any] = {"sr": 22_050, "n_fft": 2048, "hop_length": 220, "n_mels": 128, "window": "hann"}


def changed(name: str, **changes: Any) -> Mel:
    return Mel.model_validate(RECORDS[name].model_dump() | changes)


@pytest.mark.numeric
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("frames", [9, 10, 101])
def test_a_delta_is_librosas_of_nine_frames_and_mode_interp(order: int, frames: int) -> None:
    features = np.random.default_rng(0).normal(-40, 20, (3, 20, frames)).astype(np.float32)
    exact = librosa.feature.delta(features.astype(np.float64), width=9, order=order, mode="interp")
    np.testing.assert_allclose(delta(features, order), exact, atol=2e-5)


@pytest.mark.numeric
@pytest.mark.parametrize(("orders", "bands"), [(1, 40), (2, 60)])
def test_derivatives_of_the_coefficients_follow_these(orders: int, bands: int) -> None:
    plain, more = (create_representation("any", changed("mfcc", deltas=each), []) for each in (None, orders))
    windows = stack(3, plain.form)
    coefficients, features = plain.encode(windows, 22_050), more.encode(windows, 22_050)
    assert features.shape == (3, bands, 101) == (3, more.bands, more.frames(22_050))
    np.testing.assert_array_equal(features[:, :20], coefficients)
    for order in range(1, orders + 1):
        found, exact = features[:, 20 * order : 20 * order + 20], librosa.feature.delta(coefficients, order=order)
        np.testing.assert_allclose(found, exact, atol=1e-4)


def test_windows_too_short_for_a_derivative_are_refused() -> None:
    representation = create_representation("short", changed("mfcc_deltas", hop_length=2205), [])
    windows = stack(2, representation.form, 0.8)
    assert refusal(RepresentationError, representation.encode, windows[:, :, : 7 * 2205], 22_050) == (
        "short: deltas need windows of at least 9 frames, got 8: take longer windows or a shorter hop_length"
    )
    long_enough = representation.encode(windows[:, :, : (DELTA_FRAMES - 1) * 2205], 22_050)
    assert long_enough.shape == (2, 60, 9)


@pytest.mark.numeric
@pytest.mark.parametrize(
    "settings",
    [{}, {"gain": 0.8, "bias": 10.0, "power": 0.25, "time_constant": 0.06, "eps": 0.1}, {"gain": 0.0, "power": 1.0}],
)
def test_pcen_is_librosas_of_mel_magnitude_at_full_scale_window_by_window(settings: dict[str, float]) -> None:
    representation = create_representation("any", changed("pcen", **settings), [])
    windows = stack(3, representation.form)
    features = representation.encode(windows, 22_050)
    assert features.shape == (3, 128, 101)
    for window, found in zip(windows, features, strict=True):
        magnitude = librosa.feature.melspectrogram(y=window[0].astype(np.float64), **SETTINGS, power=1.0)
        exact = librosa.pcen(magnitude * 2**31, sr=22_050, hop_length=220, **settings)
        np.testing.assert_allclose(found, exact, rtol=2e-4, atol=2e-5)


def test_a_louder_sound_gives_the_same_pcen() -> None:
    representation = create_representation("pcen", RECORDS["pcen"], [])
    windows = stack(3, representation.form)
    quiet, loud = (representation.encode(windows * np.float32(gain), 22_050) for gain in (0.05, 0.5))
    assert np.abs(loud - quiet).max() < 0.05 * loud.max()  # 20 dB apart


def test_settings_of_pcen_are_librosas_where_they_are_left_out_and_stand_in_no_dump() -> None:
    record = RECORDS["pcen"]
    assert isinstance(record, Mel)
    assert record.pcen == PCEN
    assert changed("pcen", gain=0.8).pcen == PCEN | {"gain": 0.8}
    further = {"n_mfcc", "deltas", *PCEN}
    assert not further & record.model_dump().keys()
    assert further & RECORDS["mfcc_deltas"].model_dump().keys() == {"n_mfcc", "deltas"}
    assert further & changed("pcen", eps=0.1).model_dump().keys() == {"eps"}
