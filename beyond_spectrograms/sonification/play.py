"""The sounds of a run: prototypes, with and without transformation, clips, and clips as each class renders them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from beyond_spectrograms.data.audio import Format, Waveform, cut_windows, read_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.sonification.griffin_lim import match_level
from beyond_spectrograms.util.progress import track

if TYPE_CHECKING:
    from beyond_spectrograms.sonification.decoders import Player
    from beyond_spectrograms.sonification.trained import Average, Window


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
    import soundfile

    folder.mkdir(parents=True)
    for kind, waves in (("prototype", sounds.prototypes), ("transformed", sounds.transformed)):
        for number, (label, samples) in enumerate(zip(labels, waves, strict=True), 1):
            if samples is not None:
                soundfile.write(folder / f"{number}_{label}-{kind}.wav", samples, sounds.sample_rate, subtype="PCM_16")
