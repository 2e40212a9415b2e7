"""The sounds of a run: prototypes, clips, clips as each class renders them, and how far these are from the clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from beyond_spectrograms.data.audio import Format, Waveform, cut_windows, read_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.report.page.html import RANGE_DB
from beyond_spectrograms.representations.mel import MelSpectrogram
from beyond_spectrograms.sonification.players import Player, match_level
from beyond_spectrograms.sonification.trained import Average, Window
from beyond_spectrograms.util.progress import track

MEASURED = 96  # windows at most whose sounds are compared with the clips, as many of each class


@dataclass(frozen=True)
class Sounds:
    """Waveforms [samples] at `sample_rate` Hz, equally loud.

    `prototypes` and `transformed` (None where there is no mean) are by prototype; `clips` and `round_trips`, which are
    played from the clips' own features, by window; `reconstructions` by window and reconstruction.
    """

    sample_rate: int
    prototypes: Sequence[Waveform]
    transformed: Sequence[Waveform | None]
    clips: Sequence[Waveform]
    round_trips: Sequence[Waveform]
    reconstructions: Sequence[Sequence[Waveform]]


def play_all(
    player: Player, prototypes: Sequence[Average], windows: Sequence[Window], clips: Path, length_s: float
) -> Sounds:
    """Play all features, and cut the windows, `length_s` seconds each, out of `clips` (data/clips/<dataset>).

    Raises:
        BadAudioError: a clip is not there or cannot be read.
    """
    features = [each.plain for each in prototypes]
    features += [each.transformed for each in prototypes if each.transformed is not None]
    features += [window.features for window in windows]
    features += [made.features for window in windows for made in window.reconstructions]
    say_cost(player, len(features), length_s)
    waves = iter(list(track(map(player.play, features), "play", len(features))))
    return Sounds(
        sample_rate=player.form.sample_rate,
        prototypes=[next(waves) for _ in prototypes],
        transformed=[None if each.transformed is None else next(waves) for each in prototypes],
        clips=[cut_clip(window, clips, player.form, length_s) for window in windows],
        round_trips=[next(waves) for _ in windows],
        reconstructions=[[next(waves) for _ in window.reconstructions] for window in windows],
    )


def say_cost(player: Player, sounds: int, length_s: float) -> None:
    """Print about how long it takes to make so many sounds of `length_s` seconds."""
    print(f"{sounds} sounds to make, about {sounds * player.seconds_each * length_s:.0f} s", flush=True)


def cut_clip(window: Window, clips: Path, form: Format, length_s: float) -> Waveform:
    """Cut a window out of its clip, as loud as all sounds [samples]; of several equal channels the first.

    Raises:
        BadAudioError: the clip cannot be read.
    """
    clip = read_clip(clip_path(clips, form, window.clip), form)
    return match_level(cut_windows(clip, [window.start_s], length_s, form.sample_rate)[0, 0], form.sample_rate)


def write_prototypes(sounds: Sounds, labels: Sequence[str], folder: Path) -> None:
    """Write each prototype as `folder`/<number>_<class>-prototype.wav, and with its mean transformation beside it."""
    folder.mkdir(parents=True)
    for kind, waves in (("prototype", sounds.prototypes), ("transformed", sounds.transformed)):
        for number, (label, samples) in enumerate(zip(labels, waves, strict=True), 1):
            if samples is not None:
                soundfile.write(folder / f"{number}_{label}-{kind}.wav", samples, sounds.sample_rate, subtype="PCM_16")


def difference_db(mel: MelSpectrogram, played: Waveform, clip: Waveform, sample_rate: int) -> float:
    """Root mean square over bands and frames of the difference in log-mel level of two sounds, in dB.

    Both are [samples] at `sample_rate` Hz, equally loud, and start at the same instant; the longer is cut. Levels more
    than RANGE_DB below the clip's loudest point are raised to there: nobody hears them.
    """
    rate, length = mel.form.sample_rate, min(len(played), len(clip))
    pair = np.stack([soxr.resample(sound[:length], sample_rate, rate, quality="HQ") for sound in (played, clip)])
    levels = mel.encode(pair[:, None].astype(np.float32), rate)
    floored = np.maximum(levels, levels[1].max() - RANGE_DB)
    return float(np.sqrt(np.mean((floored[0] - floored[1]) ** 2)))


def measure_distances(
    mel: MelSpectrogram, player: Player, windows: Sequence[Window], *, sounds: Sounds, clips: Path, length_s: float
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
            differences.append(difference_db(mel, sound, clip, player.form.sample_rate))
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
