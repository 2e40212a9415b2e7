"""Excerpts that a codec never heard, and each as the codec gives it back, at its bitrates and after the steps kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from beyond_spectrograms.codec.measures import Coder, Quality, compare_sounds
from beyond_spectrograms.codec.network import Codec
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.sonification.usual_codecs import UsualCodec, recode

MOST = 6  # excerpts in a page
ROUNDING = 1e-4  # a sound that goes beyond its peak by no more is not cut


@dataclass(frozen=True)
class Excerpt:
    """The first seconds of a clip [channels, samples], its class, and the data set it is of."""

    dataset: str
    clip: str
    label: str
    sound: Waveform


@dataclass(frozen=True)
class Version:
    """An excerpt as something gives it back [channels, samples].

    `asked` is the bitrate asked for and `bits_per_second` what its codes have; `quality` is by the excerpt. All three
    are None of the excerpt itself.
    """

    name: str
    sound: Waveform
    asked: int | None = None
    bits_per_second: float | None = None
    quality: Quality | None = None
    remark: str = ""


def choose_excerpts(judged: Mapping[str, Sequence[Excerpt]], most: int = MOST) -> list[Excerpt]:
    """Choose an excerpt of each class, at most so many; data sets take turns with their first of a class still missing.

    Args:
        judged: data set -> its excerpts in the order in which they judge.
        most: how many.
    """
    waiting, chosen = [list(excerpts) for excerpts in judged.values()], dict[str, Excerpt]()
    while len(chosen) < most and any(waiting):
        for excerpts in waiting:
            excerpts[:] = [each for each in excerpts if each.label not in chosen]
            if excerpts:
                chosen[excerpts[0].label] = excerpts[0]
    return list(chosen.values())[:most]


def make_versions(
    excerpts: Sequence[Excerpt],
    load: Callable[[int], Codec],
    steps: Sequence[int],
    usual: Iterable[UsualCodec],
) -> list[list[Version]]:
    """Make all versions of each excerpt, itself the first.

    The codec after its last step is at every bitrate, the lowest last; after earlier steps at its highest.

    Args:
        excerpts: at the codec's rate.
        load: gives the codec after one of the steps.
        steps: those after which it was kept, the fewest first.
        usual: codecs to hear beside it.
    """
    found = [[Version("the recording", excerpt.sound)] for excerpt in excerpts]
    for step in reversed(steps):
        codec = load(step)
        network, coder = codec.network, Coder(codec)
        bits = network.entries.bit_length() - 1
        rates = sorted(network.bitrates, reverse=True)
        for bitrate in rates if step == steps[-1] else rates[:1]:
            for excerpt, versions in zip(excerpts, found, strict=True):
                made, codes = coder.code(excerpt.sound, bitrate)
                seconds = excerpt.sound.shape[1] / network.sample_rate
                quality = compare_sounds(made, excerpt.sound, network.sample_rate)
                name = f"after {step} steps" if step else "untrained"
                versions.append(Version(name, made, bitrate, bits * codes.size / seconds, quality))
    for other in usual:
        lowest, highest = other.lowest(network.sample_rate), max(network.bitrates)
        for bitrate in other.rates_near(network.bitrates, network.sample_rate):
            remark = "its lowest bitrate" if bitrate == lowest > highest else ""
            for excerpt, versions in zip(excerpts, found, strict=True):
                made, measured = recode(other, excerpt.sound, network.sample_rate, bitrate)
                quality = compare_sounds(made, excerpt.sound, network.sample_rate)
                versions.append(Version(other.name, made, bitrate, measured, quality, remark))
    return found


def equally_amplified(versions: Sequence[Version], gain: float, peak: float) -> tuple[list[Waveform], list[bool]]:
    """Amplify all versions of an excerpt alike, and turn down those that would go beyond `peak`; say which."""
    amplified, turned_down = [], []
    for version in versions:
        sound = version.sound * np.float32(gain)
        loudest = float(np.abs(sound).max(initial=0))
        beyond = loudest > peak * (1 + ROUNDING)
        amplified.append(sound * np.float32(peak / loudest) if beyond else sound)
        turned_down.append(beyond)
    return amplified, turned_down
