"""From probabilities over time to segments, with answers known by hand."""

import itertools

import numpy as np
import pytest

from beyond_spectrograms.inference.results import MEAN_SEGMENT_S, Segment, find_segments, smooth

CLASSES = ("a", "b", "c")


def sure(labels: str, certainty: float = 0.9) -> np.ndarray:
    """Make probabilities that name a class a window, with the rest dealt to the others."""
    rest = (1 - certainty) / (len(CLASSES) - 1)
    return np.array([[certainty if c == label else rest for c in CLASSES] for label in labels], dtype=np.float32)


def named(chosen: np.ndarray) -> str:
    return "".join(CLASSES[index] for index in chosen)


@pytest.mark.parametrize(
    ("smoothing", "expected"),
    [("none", "aaaaabaaaabbbbbbbb"), ("median", "aaaaaaaaaabbbbbbbb"), ("viterbi", "aaaaaaaaaabbbbbbbb")],
)
def test_one_stray_window_is_smoothed_away(smoothing: str, expected: str) -> None:
    assert named(smooth(sure("aaaaabaaaabbbbbbbb"), smoothing, 0.5, 1.0)) == expected


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


@pytest.mark.parametrize("smoothing", ["none", "median", "viterbi"])
def test_one_window_is_one_segment(smoothing: str) -> None:
    assert [(s.start_s, s.end_s, s.label) for s in found("b", "0", 0.4, smoothing)] == [(0, 0.4, "b")]
