"""classify and segment as a library: known answers, bad input, and segments from probabilities, known by hand."""

import doctest
import itertools
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from beyond_spectrograms import load_model
from beyond_spectrograms.data.audio import BadAudioError
from beyond_spectrograms.inference import Model, Segment, folder
from beyond_spectrograms.inference import model as using
from beyond_spectrograms.inference.results import MEAN_SEGMENT_S, find_segments, smooth
from support.common import noise, refusal, tone

CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Model:
    return load_model(model_folder, device="cpu")


@pytest.mark.parametrize("module", [using, folder])
def test_examples_in_docstrings_hold(module: ModuleType, model_folder: Path) -> None:
    examples = doctest.testmod(module, extraglobs={"example_model": str(model_folder), "np": np})
    assert examples.attempted > 3
    assert examples.failed == 0


@pytest.mark.parametrize("sample_rate", [11_025, 44_100, 96_000])
@pytest.mark.parametrize("channels", [1, 6])
def test_any_rate_and_channels_are_classified(sample_rate: int, channels: int, model: Model) -> None:
    for hertz, label in ((400, "low"), (4000, "high")):
        found = model.classify(np.stack([tone(2.5, hertz, sample_rate)] * channels, axis=1), sample_rate)
        assert (found.label, found.windows) == (label, 3)
        assert found.seconds == pytest.approx(2.5, abs=1e-4)
        assert found.probabilities.sum() == pytest.approx(1)


def test_arrays_and_tensors_of_any_usual_shape_and_type_are_the_same_sound(model: Model) -> None:
    sound = np.round(tone(2.5, 400) * 32_768) / 32_768  # what 16 bits hold
    expected = model.classify(sound, 44_100).probabilities
    stereo = np.stack([sound] * 2, axis=1)
    for given in (
        *(sound.astype(np.float64), torch.from_numpy(sound), (sound * 32_768).astype(np.int16)),
        *((sound * 2**31).astype(np.int32), stereo, stereo.T, torch.from_numpy(stereo.T.copy())),
    ):
        np.testing.assert_array_equal(model.classify(given, 44_100).probabilities, expected)


def test_a_file_is_classified_and_segmented_as_its_samples_are(model: Model, tmp_path: Path) -> None:
    sound = np.concatenate([tone(3.25, 400), tone(4, 4000)])
    soundfile.write(tmp_path / "a.wav", sound, 44_100, subtype="FLOAT")
    file, samples = model.classify_file(tmp_path / "a.wav"), model.classify(sound, 44_100)
    np.testing.assert_array_equal(file.probabilities, samples.probabilities)
    assert (file.windows, file.seconds) == (samples.windows, samples.seconds)
    parts = model.segment_file(str(tmp_path / "a.wav"), smoothing="median")
    assert parts.segments == model.segment(sound, 44_100, smoothing="median").segments
    told = "no such file or directory"
    assert refusal(BadAudioError, model.classify_file, tmp_path / "none.wav") == told
    assert refusal(BadAudioError, model.segment_file, tmp_path / "none.wav") == told


def test_a_sounds_features_are_what_the_classifier_is_given(model: Model) -> None:
    features = model.embed(tone(3.25, 400), 44_100)
    card = model.card.representation
    assert features.shape == (4, card.bands, card.frames)  # the last window is filled by reflection
    judged = model.judge_features(features).mean(axis=0)
    np.testing.assert_allclose(model.classify(tone(3.25, 400), 44_100).probabilities, judged, atol=1e-6)


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
            np.ones(9, int),
            ValueError,
            "samples are int64; give real numbers in [-1, 1], or whole ones of int16 or int32",
        ),
        ("a.wav", ValueError, "'a.wav' is a path; for a file there are classify_file and segment_file"),
        (
            [tone(1, 400), tone(1, 400)],
            ValueError,
            "several arrays may be blocks or channels; give iter(...) of blocks, one array of channels",
        ),
        (np.ones((1, 2, 3)), ValueError, "a waveform is [samples] or [samples, channels], not [1, 2, 3]"),
    ],
)
def test_what_cannot_be_classified_is_refused(sound: Any, kind: type[Exception], message: str, model: Model) -> None:
    assert refusal(kind, model.classify, sound, 44_100) == message


def test_blocks_are_checked_as_a_whole_is(model: Model) -> None:
    whole = model.classify(tone(2, 400), 44_100)
    doubles = iter([tone(2, 400)[:70_000].astype(np.float64), tone(2, 400)[70_000:].astype(np.float64)])
    assert np.array_equal(model.classify(doubles, 44_100).probabilities, whole.probabilities)
    integers = refusal(ValueError, model.classify, iter([np.ones(44_100, np.uint8)]), 44_100)
    assert integers.startswith("samples are uint8; give real numbers")
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


def test_a_stream_is_segmented_as_the_whole_to_the_bit(model: Model) -> None:
    sound = noise(70, 44_100) + np.repeat(tone(7, 400), 10)
    whole = model.segment(sound, 44_100, hop_s=0.3)
    stream = model.segment((sound[n : n + 9999] for n in range(0, len(sound), 9999)), 44_100, hop_s=0.3)
    assert stream.probabilities.tobytes() == whole.probabilities.tobytes()
    assert stream.segments == whole.segments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing": "mean"}, "smoothing is 'mean'. Choose from viterbi, median, none."),
        ({"hop_s": 1.5}, "hop_s is 1.5; it must be 0.01 to 1, a window's length"),
        ({"hop_s": 0.0}, "hop_s is 0; it must be 0.01 to 1, a window's length"),
    ],
)
def test_segmenting_refuses_unknown_ways(options: Any, message: str, model: Model) -> None:
    assert refusal(ValueError, model.segment, tone(2, 400), 44_100, **options) == message


def test_torchs_threads_are_left_as_they_were(model: Model) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    model.classify(tone(1, 400), 44_100)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def sure(labels: str, certainty: float = 0.9) -> np.ndarray:
    """Make probabilities that name a class a window, with the rest dealt to the others."""
    rest = (1 - certainty) / (len(CLASSES) - 1)
    return np.array([[certainty if c == label else rest for c in CLASSES] for label in labels], dtype=np.float32)


@pytest.mark.parametrize(
    ("smoothing", "expected"),
    [("none", "aaaaabaaaabbbbbbbb"), ("median", "aaaaaaaaaabbbbbbbb"), ("viterbi", "aaaaaaaaaabbbbbbbb")],
)
def test_one_stray_window_is_smoothed_away(smoothing: str, expected: str) -> None:
    chosen = smooth(sure("aaaaabaaaabbbbbbbb"), smoothing, 0.5, 1.0)
    assert "".join(CLASSES[index] for index in chosen) == expected


def test_viterbi_finds_the_path_that_trying_all_finds() -> None:
    hop_s, length_s, move = 0.5, 1.0, 0.5 / MEAN_SEGMENT_S
    for seed in range(5):
        values = np.random.default_rng(seed).dirichlet(np.full(3, 0.3), 7).astype(np.float32)

        def worth(path: tuple[int, ...], values: np.ndarray = values) -> float:
            heard = sum(np.log(max(values[t, s], 1e-6)) * hop_s / length_s for t, s in enumerate(path))
            steps = itertools.pairwise(path)
            return float(heard + sum(np.log(1 - move if a == b else move / 2) for a, b in steps))

        best = max(itertools.product(range(3), repeat=7), key=worth)
        assert worth(tuple(smooth(values, "viterbi", hop_s, length_s).tolist())) == pytest.approx(worth(best))


def found(labels: str, silent: str, seconds: float, smoothing: str) -> tuple[Segment, ...]:
    """Find segments in windows of a second, half a second apart."""
    heard = np.array([sign == "1" for sign in silent])
    times = {"length_s": 1.0, "hop_s": 0.5, "seconds": seconds}
    starts_s = np.arange(len(labels)) * 0.5
    return find_segments(sure(labels), heard, starts_s, classes=CLASSES, smoothing=smoothing, **times)


def test_borders_are_halfway_between_the_centres_of_windows() -> None:
    segments = found("aaaabbbb", "00000011", 4.3, "none")
    assert [(s.start_s, s.end_s, s.label) for s in segments] == [(0, 2.25, "a"), (2.25, 3.0, "b"), (3.0, 4.3, None)]
    assert segments[0].probability == pytest.approx(0.9)
    assert segments[2] == Segment(3.0, 4.3, None, None)
    for smoothing in ("none", "median", "viterbi"):  # one window is one segment
        assert [(s.start_s, s.end_s, s.label) for s in found("b", "0", 0.4, smoothing)] == [(0, 0.4, "b")]
