"""How far a played sound is from the clip: one measure for spectra and latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_spectrograms.report.page.html import RANGE_DB
from beyond_spectrograms.representations.mel import MelSpectrogram
from beyond_spectrograms.sonification.play import cut_clip, say_cost
from beyond_spectrograms.util.progress import track

if TYPE_CHECKING:
    from beyond_spectrograms.data.audio import Waveform
    from beyond_spectrograms.params import Mel
    from beyond_spectrograms.sonification.decoders import Player
    from beyond_spectrograms.sonification.play import Sounds
    from beyond_spectrograms.sonification.trained import Window

MEASURED = 96  # windows at most, as many of each class


class LogMelDistance:
    """Distance between the log-mel spectra of two sounds, with the settings of `record`."""

    def __init__(self, name: str, record: Mel) -> None:
        self._mel = MelSpectrogram(name, record)

    def between(self, played: Waveform, clip: Waveform, sample_rate: int) -> float:
        """Root mean square over bands and frames of the difference in level, in dB.

        Both are [samples] at `sample_rate` Hz, equally loud, and start at the same instant; the longer is cut. Levels
        more than RANGE_DB below the clip's loudest point are raised to there: nobody hears them.
        """
        import soxr

        rate, length = self._mel.form.sample_rate, min(len(played), len(clip))
        pair = np.stack([soxr.resample(sound[:length], sample_rate, rate, quality="HQ") for sound in (played, clip)])
        levels = self._mel.encode(pair[:, None].astype(np.float32), rate)
        floored = np.maximum(levels, levels[1].max() - RANGE_DB)
        return float(np.sqrt(np.mean((floored[0] - floored[1]) ** 2)))


@dataclass(frozen=True)
class Distances:
    """Distances from the clip in dB [windows], of windows whose class has a prototype.

    Attributes:
        rendered: of the window as the best prototype of its class renders it.
        prototype: of the same prototype without its transformations.
        round_trip: of the clip's own features, which no prototype can be expected to beat.
        unnamed: number of windows left out, because no prototype has their class.
    """

    rendered: list[float]
    prototype: list[float]
    round_trip: list[float]
    unnamed: int

    def summary(self) -> dict[str, Any]:
        """Give counts, and mean and standard deviation of each list; None where there is no window."""
        summary: dict[str, Any] = {"windows": len(self.rendered), "windows_without_prototype": self.unnamed}
        for name in ("rendered", "prototype", "round_trip"):
            values = np.array(getattr(self, name))
            summary[f"{name}_db"] = round(float(values.mean()), 3) if len(values) else None
            summary[f"{name}_db_std"] = round(float(values.std(ddof=1)), 3) if len(values) > 1 else None
        return summary

    def describe(self) -> str:
        """Describe the means in a line."""
        found = self.summary()
        if not self.rendered:
            return f"none of {self.unnamed} windows has a prototype of its class"
        return (
            f"{found['windows']} windows: rendered {found['rendered_db']:.1f} dB from the clip, the prototype itself "
            f"{found['prototype_db']:.1f} dB, round trip {found['round_trip_db']:.1f} dB"
        )


def measure_distances(
    distance: LogMelDistance, player: Player, windows: Sequence[Window], *, sounds: Sounds, clips: Path, length_s: float
) -> Distances:
    """Play windows as the prototypes of their own class render them, and compare with the clips.

    Args:
        distance: compares.
        player: plays features.
        windows: rendered, of `length_s` seconds each.
        sounds: holds the prototypes, played.
        clips: data/clips/<dataset>.
        length_s: of a window.

    Raises:
        BadAudioError: a clip cannot be read.
    """
    heard = [(window, made) for window in windows for made in window.reconstructions if made.label == window.label]
    say_cost(player, 2 * len(heard), length_s)
    result = Distances([], [], [], len(windows) - len(heard))
    for window, made in track(heard, "compare", len(heard)):
        clip = cut_clip(window, clips, player.form, length_s)
        for differences, played in (
            (result.rendered, player.play(made.features)),
            (result.prototype, sounds.prototypes[made.prototype]),
            (result.round_trip, player.play(window.features)),
        ):
            differences.append(distance.between(played, clip, player.form.sample_rate))
    return result
