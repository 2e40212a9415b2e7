"""All that is heard of a run: prototypes, what they become on average, clips, and what each class makes of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from beyond_spectrograms.audio import Format, Waveform, cut_windows, read_clip
from beyond_spectrograms.clips import clip_path
from beyond_spectrograms.progress import track
from beyond_spectrograms.prototypes.sounds import match_level

if TYPE_CHECKING:
    from beyond_spectrograms.prototypes.listening import Average, Window
    from beyond_spectrograms.prototypes.sounds import Synthesizer


@dataclass(frozen=True)
class Sounds:
    """Waveforms [samples] at `sample_rate` Hz, equally loud.

    `prototypes` and `transformed` (None where there is no mean) are by prototype, `clips` by window, and
    `reconstructions` by window and then in the order of its reconstructions.
    """

    sample_rate: int
    prototypes: Sequence[Waveform]
    transformed: Sequence[Waveform | None]
    clips: Sequence[Waveform]
    reconstructions: Sequence[Sequence[Waveform]]


def play_all(
    synthesizer: Synthesizer, prototypes: Sequence[Average], windows: Sequence[Window], clips: Path, length_s: float
) -> Sounds:
    """Play all spectra, and cut the windows, `length_s` seconds each, out of `clips` (data/clips/<dataset>).

    Raises:
        BadAudioError: a clip is not there or cannot be read.
    """
    spectra = [each.spectrum for each in prototypes]
    spectra += [each.transformed for each in prototypes if each.transformed is not None]
    spectra += [made.decibels for window in windows for made in window.reconstructions]
    print(f"{len(spectra)} sounds to make, about a tenth of a second each", flush=True)
    waves = iter(list(track(map(synthesizer.play, spectra), "listen", len(spectra))))
    form = Format(synthesizer.sample_rate, 1)
    return Sounds(
        sample_rate=form.sample_rate,
        prototypes=[next(waves) for _ in prototypes],
        transformed=[None if each.transformed is None else next(waves) for each in prototypes],
        clips=[match_level(_cut(window, clips, form, length_s), form.sample_rate) for window in windows],
        reconstructions=[[next(waves) for _ in window.reconstructions] for window in windows],
    )


def _cut(window: Window, clips: Path, form: Format, length_s: float) -> Waveform:
    clip = read_clip(clip_path(clips, form, window.clip), form)
    samples: Waveform = cut_windows(clip, [window.start_s], length_s, form.sample_rate)[0, 0]
    return samples


def write_prototypes(sounds: Sounds, labels: Sequence[str], folder: Path) -> None:
    """Write each prototype as `folder`/<number>_<class>-prototype.wav, and with its mean transformation beside it."""
    import soundfile

    folder.mkdir(parents=True)
    for kind, waves in (("prototype", sounds.prototypes), ("transformed", sounds.transformed)):
        for number, (label, samples) in enumerate(zip(labels, waves, strict=True), 1):
            if samples is not None:
                soundfile.write(folder / f"{number}_{label}-{kind}.wav", samples, sounds.sample_rate, subtype="PCM_16")
