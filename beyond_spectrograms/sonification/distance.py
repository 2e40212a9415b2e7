"""How near what is heard comes to the clip, in one measure for spectra and latents alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_spectrograms.report.page.excerpts import RANGE_DB
from beyond_spectrograms.representations.mel import MelSpectrogram
from beyond_spectrograms.sonification.play import cut_clip, say_cost
from beyond_spectrograms.util.progress import track

if TYPE_CHECKING:
    from beyond_spectrograms.data.audio import Waveform
    from beyond_spectrograms.params import Mel
    from beyond_spectrograms.sonification.decoders import Player
    from beyond_spectrograms.sonification.play import Sounds
    from beyond_spectrograms.sonification.trained import Window

MEASURED = 96  # windows at most, evenly of all classes


class LogMelDistance:
    """Tells sounds apart by their log-mel spectra, at the sample rate and with the settings of `record`."""

    def __init__(self, name: str, record: Mel) -> None:
        self._mel = MelSpectrogram(name, record)

    def between(self, played: Waveform, clip: Waveform, sample_rate: int) -> float:
        """Root mean square over bands and frames of the difference in level, in dB.

        Both [samples] at `sample_rate` Hz and equally loud, from the same instant on; the longer is cut. What lies more
        than RANGE_DB below the clip's loudest point counts as lying there: nobody hears how far below.
        """
        import soxr

        rate, length = self._mel.form.sample_rate, min(len(played), len(clip))
        pair = np.stack([soxr.resample(sound[:length], sample_rate, rate, quality="HQ") for sound in (played, clip)])
        levels = self._mel.encode(pair[:, None].astype(np.float32), rate)
        floored = np.maximum(levels, levels[1].max() - RANGE_DB)
        return float(np.sqrt(np.mean((floored[0] - floored[1]) ** 2)))


@dataclass(frozen=True)
class Distances:
    """Differences of what is played from the clip [windows], dB, of windows whose class has a prototype.

    Attributes:
        rendered: by the best prototype of the window's class.
        prototype: by the same prototype as it is, without its transformations.
        round_trip: of the clip's own features, which no prototype can be expected to surpass.
        unnamed: windows left out, because no prototype has their class.
    """

    rendered: list[float]
    prototype: list[float]
    round_trip: list[float]
    unnamed: int

    def summary(self) -> dict[str, Any]:
        """Give counts, and of each list mean and standard deviation over windows; None where there is no window."""
        told: dict[str, Any] = {"windows": len(self.rendered), "windows_without_prototype": self.unnamed}
        for name in ("rendered", "prototype", "round_trip"):
            values = np.array(getattr(self, name))
            told[f"{name}_db"] = round(float(values.mean()), 3) if len(values) else None
            told[f"{name}_db_std"] = round(float(values.std(ddof=1)), 3) if len(values) > 1 else None
        return told

    def describe(self) -> str:
        """Say the means in a line."""
        found = self.summary()
        if not self.rendered:
            return f"no window has a prototype of its class, of {self.unnamed}"
        return (
            f"{found['windows']} windows: rendered {found['rendered_db']:.1f} dB from the clip, the prototype itself "
            f"{found['prototype_db']:.1f} dB, round trip {found['round_trip_db']:.1f} dB"
        )


def measure_distances(
    distance: LogMelDistance, player: Player, windows: Sequence[Window], *, sounds: Sounds, clips: Path, length_s: float
) -> Distances:
    """Play windows as their own classes render them, and compare with the clips.

    Args:
        distance: that compares.
        player: of the features.
        windows: rendered, of `length_s` seconds each.
        sounds: of the prototypes themselves.
        clips: data/clips/<dataset>.
        length_s: see windows.

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
