"""A waveform is the samples, of any length and at any stored rate."""

import numpy as np
import pytest

from beyond_spectrograms.params import RawWaveform
from beyond_spectrograms.representations import create_representation
from support.common import stack


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000])
@pytest.mark.parametrize("seconds", [0.5, 1.0])
def test_a_waveform_is_one_band_of_the_windows_samples(rate: int, seconds: float) -> None:
    record = RawWaveform.model_validate({"kind": "waveform", "weights": None, "sample_rate": rate})
    representation = create_representation("waveform", record, [])
    windows = stack(3, representation.form, seconds)
    features = representation.encode(windows, rate)
    np.testing.assert_array_equal(features, windows)
    assert features.shape == (3, representation.bands, representation.frames(windows.shape[2]))
    assert representation.frame_rate == rate
