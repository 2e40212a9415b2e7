"""How far a played sound is from the clip: one measure for spectra and latents."""

from __future__ import annotations

from collections.abc import Sequence
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


def measure_distances(
    distance: LogMelDistance, player: Player, windows: Sequence[Window], *, sounds: Sounds, clips: Path, length_s: float
) -> dict[str, Any]:
    """Play windows as the prototypes of their own class render them, and compare with the clips.

    `windows` are of `length_s` seconds each, `sounds` holds the prototypes, `clips` is data/clips/<dataset>.

    Returns:
        Counts of windows with and without a prototype of their class; of those with one the mean distance from the clip
        in dB and its standard deviation, None of too few, of three sounds: `rendered` as the class's best prototype
        renders the window, that `prototype` without its transformations, and the `round_trip` of the clip's own
        features, which no prototype can be expected to beat.

    Raises:
        BadAudioError: a clip cannot be read.
    """
    heard = [(window, made) for window in windows for made in window.reconstructions if made.label == window.label]
    say_cost(player, 2 * len(heard), length_s)
    found: dict[str, list[float]] = {"rendered": [], "prototype": [], "round_trip": []}
    for window, made in track(heard, "compare", len(heard)):
        clip = cut_clip(window, clips, player.form, length_s)
        played = player.play(made.features), sounds.prototypes[made.prototype], player.play(window.features)
        for differences, sound in zip(found.values(), played, strict=True):
            differences.append(distance.between(sound, clip, player.form.sample_rate))
    summary: dict[str, Any] = {"windows": len(heard), "windows_without_prototype": len(windows) - len(heard)}
    for name, differences in found.items():
        summary[f"{name}_db"] = round(float(np.mean(differences)), 3) if differences else None
        summary[f"{name}_db_std"] = round(float(np.std(differences, ddof=1)), 3) if len(differences) > 1 else None
    return summary


def describe_distances(found: dict[str, Any]) -> str:
    """Describe in a line what measure_distances found."""
    if not found["windows"]:
        return f"none of {found['windows_without_prototype']} windows has a prototype of its class"
    return (
        f"{found['windows']} windows: rendered {found['rendered_db']:.1f} dB from the clip, the prototype itself "
        f"{found['prototype_db']:.1f} dB, round trip {found['round_trip_db']:.1f} dB"
    )
