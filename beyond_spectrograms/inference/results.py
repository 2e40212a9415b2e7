"""What a model gives for a sound: classes of the whole, and segments over time, found in overlapping windows."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.params.protocols import SEVERAL

SMOOTHINGS = ("viterbi", "median", "none")
MEDIAN_S = 2.5  # seconds of sound a median is taken over
MEAN_SEGMENT_S = 5.0  # seconds a sound lasts on average before another begins: Viterbi's only assumption
NONE = "none"  # the label of what is none of the classes
BACKGROUND = "_background"  # the class of sounds that are none of the others, where there is one
SMALLEST = 1e-6  # no probability counts as less: one wrong window must not outvote all others

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Classification:
    """The classes of one sound.

    Attributes:
        classes: every label the model knows.
        probabilities: [classes], the mean over the sound's windows.
        windows: how many there were.
        seconds: length of the sound.
        remarks: what is unusual about it, for instance that it is shorter than a window.
        is_none: whether it is none of the classes, by a model that was trained with --reject.
        thresholds: [classes] of a model that gives several labels: from which probability on a sound has each.
    """

    classes: tuple[str, ...]
    probabilities: Probabilities
    windows: int
    seconds: float
    remarks: tuple[str, ...]
    is_none: bool = False
    thresholds: Probabilities | None = None

    @property
    def label(self) -> str:
        """The most probable class, or NONE; by a model that gives several labels all that pass, parted by `|`."""
        if self.thresholds is not None:
            return SEVERAL.join(label for label, _ in self.passing) or NONE
        return NONE if self.is_none else self.classes[int(self.probabilities.argmax())]

    def top(self, count: int) -> list[tuple[str, float]]:
        """List the `count` most probable classes, best first, with their probabilities."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.classes[index], float(self.probabilities[index])) for index in order]

    @property
    def passing(self) -> list[tuple[str, float]]:
        """The classes that reach their thresholds, most probable first; of a model that gives one label that one."""
        if self.thresholds is None:
            return [] if self.is_none else self.top(1)
        passing = dict(zip(self.classes, self.probabilities >= self.thresholds, strict=True))
        return [found for found in self.top(len(self.classes)) if passing[found[0]]]


@dataclass(frozen=True)
class Segment:
    """From `start_s` to `end_s` the sound is `label` (None: silence), `probability` being the mean of its windows.

    The label NONE has no probability.
    """

    start_s: float
    end_s: float
    label: str | None
    probability: float | None


@dataclass(frozen=True)
class Segmentation:
    """The classes of one sound over time.

    Attributes:
        classes: every label the model knows.
        starts_s: [windows], where each window starts; it is `length_s` long.
        probabilities: [windows, classes], as the classifier gives them, before smoothing.
        silent: [windows], whether no sample of a window exceeds -80 dBFS; its probabilities are not used.
        smoothing: viterbi, median or none.
        segments: without gaps, from 0 to `seconds`; but of a model that gives several labels with gaps, and they
            may overlap: `may_overlap`.
        seconds: length of the sound.
        remarks: what is unusual about it.
    """

    classes: tuple[str, ...]
    starts_s: npt.NDArray[np.float64]
    length_s: float
    probabilities: Probabilities
    silent: npt.NDArray[np.bool_]
    smoothing: str
    segments: tuple[Segment, ...]
    seconds: float
    remarks: tuple[str, ...]
    may_overlap: bool = False


def are_none(probabilities: npt.NDArray[np.floating], thresholds: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Say of which rows of probabilities [.., classes] the most probable class is below its threshold [classes]."""
    return np.asarray(probabilities.max(axis=-1) < thresholds[probabilities.argmax(axis=-1)])


def with_none(probabilities: Probabilities, thresholds: Probabilities) -> Probabilities:
    """Give probabilities [windows, classes] a last column for NONE.

    It is to the highest probability p of a window as the odds of its class's threshold t are to the odds of p, at most
    1: t (1 - p) / (1 - t), which is above p where p is below t. BACKGROUND hands its own column over.
    """
    background = np.isinf(thresholds)
    best, highest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    limits = np.where(background, 0, thresholds)[best]
    of_none = np.minimum(limits * (1 - highest) / np.maximum(1 - limits, SMALLEST), 1)
    of_none = np.where(background[best], highest, of_none).astype(np.float32)
    return np.column_stack([np.where(background, np.float32(0), probabilities), of_none])


def smooth(probabilities: Probabilities, smoothing: str, hop_s: float, length_s: float) -> Labels:
    """Choose a class for each window [windows, classes].

    - `none`: the most probable.
    - `median`: the most probable after a running median of each class's probabilities over MEDIAN_S seconds.
    - `viterbi`: the most probable path through a hidden Markov model whose states are the classes. All are equally
      likely at the start; from one window to the next a state stays with probability 1 - hop / MEAN_SEGMENT_S and
      else moves to any other alike. A window's likelihood is the classifier's probability (all classes being equally
      likely beforehand), to the power hop / length: so that windows that overlap do not count a sound twice.
    """
    if smoothing == "none" or len(probabilities) < 2:
        return np.asarray(probabilities.argmax(axis=1))
    if smoothing == "median":
        from scipy.ndimage import median_filter

        width = 2 * round(MEDIAN_S / hop_s / 2) + 1
        return np.asarray(median_filter(probabilities, size=(width, 1), mode="nearest").argmax(axis=1))
    return _viterbi(probabilities, hop_s, length_s)


def _viterbi(probabilities: Probabilities, hop_s: float, length_s: float) -> Labels:
    """Find the best path. A state that moves comes from the best of all, so a step costs as much as there are states.

    Source: Rabiner, "A tutorial on hidden Markov models", Proc. IEEE 77(2), 1989, equations 32 to 35.
    """
    windows, classes = probabilities.shape
    move = min(hop_s / MEAN_SEGMENT_S, 0.5)
    stay_cost, move_cost = np.log(1 - move), np.log(move / (classes - 1))
    evidence = np.log(np.maximum(probabilities, SMALLEST)) * min(hop_s / length_s, 1.0)
    before = np.empty((windows, classes), dtype=np.int32)
    score = evidence[0].astype(np.float64)
    for window in range(1, windows):
        best = int(score.argmax())
        stays = score + stay_cost >= score[best] + move_cost
        before[window] = np.where(stays, np.arange(classes), best)
        score = np.where(stays, score + stay_cost, score[best] + move_cost) + evidence[window]
    path = np.empty(windows, dtype=np.int64)
    path[-1] = score.argmax()
    for window in range(windows - 1, 0, -1):
        path[window - 1] = before[window, path[window]]
    return path


def find_segments(
    probabilities: Probabilities,
    silent: npt.NDArray[np.bool_],
    starts_s: npt.NDArray[np.float64],
    *,
    classes: tuple[str, ...],
    length_s: float,
    hop_s: float,
    seconds: float,
    smoothing: str,
    thresholds: Probabilities | None = None,
) -> tuple[Segment, ...]:
    """Merge neighbouring windows of one class; the border between two is halfway between their centres.

    Silent windows are segments of their own, without a label, from the start of the first to the end of the last.
    Segments have no gaps, and go from 0 to `seconds`. With thresholds [classes] NONE is smoothed as a further class.
    """
    uniform = np.float32(1 / len(classes))
    judged = probabilities if thresholds is None else with_none(probabilities, thresholds)
    chosen = smooth(np.where(silent[:, None], uniform, judged), smoothing, hop_s, length_s)
    chosen = np.where(silent, -1, chosen)
    firsts = np.flatnonzero(np.append(True, chosen[1:] != chosen[:-1]))
    before, after = firsts[1:] - 1, firsts[1:]
    borders = (starts_s[before] + starts_s[after] + length_s) / 2
    borders = np.where(silent[after], starts_s[after], np.where(silent[before], starts_s[before] + length_s, borders))
    times = [0.0, *np.minimum(borders, seconds).tolist(), seconds]
    segments = []
    for (start, end), (first, past) in zip(pairwise(times), pairwise([*firsts.tolist(), len(chosen)]), strict=True):
        index = int(chosen[first])
        known = 0 <= index < len(classes)
        label = classes[index] if known else None if index < 0 else NONE
        probability = float(probabilities[first:past, index].mean(dtype=np.float64)) if known else None
        if end > start:
            segments.append(Segment(start, end, label, probability))
    return tuple(segments)


def find_tracks(
    probabilities: Probabilities, *, classes: tuple[str, ...], thresholds: Probabilities, **told: Any
) -> tuple[Segment, ...]:
    """Find each class's segments by itself, as if it were the only one beside NONE.

    Arguments are those of find_segments. Segments are those of classes, by their starts; they may overlap.
    """
    tracks = (
        find_segments(probabilities[:, [index]], classes=(label,), thresholds=thresholds[[index]], **told)
        for index, label in enumerate(classes)
    )
    found = (segment for track in tracks for segment in track if segment.label not in (None, NONE))
    return tuple(sorted(found, key=lambda segment: (segment.start_s, segment.label or "")))
