"""classify and segment as a library: known answers, bad input, and a stream that is the whole."""

import doctest
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from beyond_spectrograms import load_model
from beyond_spectrograms.data.audio import BadAudioError, Waveform
from beyond_spectrograms.inference import Model, Segment, folder
from beyond_spectrograms.inference import model as using
from support.common import noise, tone
from support.models import write_model


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("using") / "model")


@pytest.fixture(scope="module")
def model(place: Path) -> Model:
    return load_model(place, device="cpu")


@pytest.mark.parametrize("module", [using, folder])
def test_examples_in_docstrings_hold(module: ModuleType, place: Path) -> None:
    examples = doctest.testmod(module, extraglobs={"example_model": str(place), "np": np})
    assert examples.attempted > 3
    assert examples.failed == 0


@pytest.mark.parametrize("sample_rate", [11_025, 44_100, 96_000])
@pytest.mark.parametrize("channels", [1, 6])
def test_any_rate_and_channels_are_classified(sample_rate: int, channels: int, model: Model) -> None:
    for hertz, label in ((400, "low"), (4000, "high")):
        sound = np.stack([tone(2.5, hertz, sample_rate)] * channels, axis=1)
        found = model.classify(sound, sample_rate)
        assert (found.label, found.windows) == (label, 3)
        assert found.seconds == pytest.approx(2.5, abs=1e-4)
        assert found.probabilities.sum() == pytest.approx(1)


def test_a_sounds_probabilities_are_the_mean_of_its_windows(model: Model) -> None:
    sound = np.concatenate([tone(3, 400), tone(1, 4000)])
    windows = np.concatenate([model.judge(batch) for batch in model.cut([sound], 44_100)])
    assert len(windows) == 4
    assert np.allclose(model.classify(sound, 44_100).probabilities, windows.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("sound", "kind", "message"),
    [
        (np.zeros(44_100), BadAudioError, "silent: its peak is 0, silence is 0.0001 or less"),
        (
            np.ones(44_100, np.int16),
            ValueError,
            "samples are int16; give real numbers in [-1, 1] (int16: divide by 32768)",
        ),
        (np.ones((2, 44_100)), ValueError, "a waveform is [samples, channels]; [2, 44100] looks like its transpose"),
        (np.ones((1, 2, 3)), ValueError, "a waveform is [samples] or [samples, channels], not [1, 2, 3]"),
    ],
)
def test_what_cannot_be_classified_is_refused(sound: Any, kind: type[Exception], message: str, model: Model) -> None:
    with pytest.raises(kind) as error:
        model.classify(sound, 44_100)
    assert str(error.value) == message


def test_blocks_are_checked_as_a_whole_is(model: Model) -> None:
    whole = model.classify(tone(2, 400), 44_100)
    doubles = iter([tone(2, 400)[:70_000].astype(np.float64), tone(2, 400)[70_000:].astype(np.float64)])
    assert np.array_equal(model.classify(doubles, 44_100).probabilities, whole.probabilities)
    with pytest.raises(ValueError, match="samples are int16; give real numbers"):
        model.classify(iter([np.ones(44_100, np.int16)]), 44_100)
    six = np.stack([tone(1, 400)] * 6, axis=1)
    assert model.classify(iter([six, six[:2]]), 44_100).label == "low"  # a block may be shorter than wide


@pytest.mark.parametrize("smoothing", ["viterbi", "median", "none"])
def test_segments_end_where_the_sound_changes(smoothing: str, model: Model) -> None:
    parts = [tone(5.25, 400), tone(4, 4000), np.zeros(2 * 44_100, np.float32), tone(3.5, 400)]
    found = model.segment(np.concatenate(parts), 44_100, smoothing=smoothing)
    assert [part.label for part in found.segments] == ["low", "high", None, "low"]
    borders = [part.start_s for part in found.segments] + [found.segments[-1].end_s]
    assert np.abs(np.array(borders) - [0, 5.25, 9.25, 11.25, 14.75]).max() <= 0.5
    assert (found.seconds, found.smoothing, found.length_s) == (14.75, smoothing, 1.0)
    assert found.probabilities.shape == (len(found.starts_s), 2)


def test_silence_alone_is_a_segment_without_a_label(model: Model) -> None:
    assert model.segment(np.zeros(44_100 * 3), 44_100).segments == (Segment(0.0, 3.0, None, None),)


def test_a_stream_is_segmented_as_the_whole_to_the_bit(model: Model) -> None:
    sound = noise(70, 44_100) + np.repeat(tone(7, 400), 10)
    whole = model.segment(sound, 44_100, hop_s=0.3)
    stream = model.segment((sound[n : n + 9999] for n in range(0, len(sound), 9999)), 44_100, hop_s=0.3)
    assert stream.probabilities.tobytes() == whole.probabilities.tobytes()
    assert stream.segments == whole.segments


def test_an_hour_takes_no_more_memory_than_minutes(model: Model) -> None:
    def hour() -> Iterator[Waveform]:
        block = np.zeros(40_000, np.float32)
        yield from (block for _ in range(360))

    model.segment(iter([tone(1, 400)]), 44_100)  # what is loaded once does not count
    tracemalloc.start()
    found = model.segment(hour(), 4_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.seconds == 3600
    assert peak < 60e6  # as float32 at the model's rate the hour is 317 MB


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing": "mean"}, "smoothing is 'mean'. Choose from viterbi, median, none."),
        ({"hop_s": 1.5}, "hop_s is 1.5; it must be 0.01 to 1, a window's length"),
        ({"hop_s": 0.0}, "hop_s is 0; it must be 0.01 to 1, a window's length"),
    ],
)
def test_segmenting_refuses_unknown_ways(options: Any, message: str, model: Model) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model.segment(tone(2, 400), 44_100, **options)


def test_torchs_threads_are_left_as_they_were(model: Model) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    model.classify(tone(1, 400), 44_100)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
