"""What a model gives for a sound: classes of the whole, and segments over time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Classification:
    """The classes of one sound.

    Attributes:
        classes: every label the model knows.
        probabilities: [classes], the mean over the sound's windows.
        windows: how many there were.
        seconds: length of the sound.
        remarks: what is unusual about it, for instance that it is shorter than a window.
    """

    classes: tuple[str, ...]
    probabilities: Probabilities
    windows: int
    seconds: float
    remarks: tuple[str, ...]

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.classes[int(self.probabilities.argmax())]

    def top(self, count: int) -> list[tuple[str, float]]:
        """List the `count` most probable classes, best first, with their probabilities."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.classes[index], float(self.probabilities[index])) for index in order]


@dataclass(frozen=True)
class Segment:
    """From `start_s` to `end_s` the sound is `label` (None: silence), `probability` being the mean of its windows."""

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
        segments: without gaps, from 0 to `seconds`.
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
