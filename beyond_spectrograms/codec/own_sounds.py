"""A user's folder of sounds, of any length -> one file of samples that a codec hears, and a tenth to judge it by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from beyond_spectrograms.codec.files import SoundBlocks
from beyond_spectrograms.codec.sounds import HEARD_COLUMNS, CodecSoundsError, Corpus, scale_to
from beyond_spectrograms.data.audio import SILENCE_PEAK, BadAudioError, Format, Waveform, describe_silence, tell_length
from beyond_spectrograms.data.folders import find_folder, sounds_below
from beyond_spectrograms.data.sound_files import open_sound
from beyond_spectrograms.params.codecs import CodecNetwork
from beyond_spectrograms.util.files import digest_file, read_sealed, write_sealed, written_beside
from beyond_spectrograms.util.progress import track
from beyond_spectrograms.util.text import printable

SHORTEST_S = 0.1
PART_S = 60.0  # longer sounds are heard as parts of equal length: each is drawn as often as all others
HELD_OUT = 0.1  # of the sounds, at least one
JUDGED, JUDGED_S = 24, 3.0  # how many of those judge a codec, and by how much of their beginning
SAMPLES, INDEX = "sounds.f32", "sounds.json"


@dataclass(frozen=True)
class OwnCodecSounds:
    """What a folder has for a codec.

    Attributes:
        heard: the parts that are heard, as `choose_clips` lists clips.
        corpus: of these.
        judged: beginnings [channels, samples] of other sounds.
        sounds, held_out: how many sounds are heard, and how many are not.
        seconds: of what is heard.
        set_aside: file and reason of those that cannot be used.
        left_out: how many files are named like no sound, by suffix.
    """

    heard: pd.DataFrame
    corpus: Corpus
    judged: list[Waveform]
    sounds: int
    held_out: int
    seconds: float
    set_aside: dict[str, str]
    left_out: dict[str, int]


class _Part(NamedTuple):
    """A sound, or one of the parts of a long one: its samples from `first` to before `end` of those stored."""

    file: str
    name: str
    first: int
    end: int


def prepare_sounds(folder: Path, work: Path, network: CodecNetwork, level_db: float) -> OwnCodecSounds:
    """Check every sound in `folder` and below, and store its samples at a network's rate and channels in `work`.

    A run that was stopped left them there: they are taken if the files are still the same.

    Raises:
        RawDataError: no such folder.
        CodecSoundsError: fewer than two sounds can be used.
    """
    root, left_out = find_folder(str(folder)), Counter[str]()
    listed = sorted(path.relative_to(root).as_posix() for path in sounds_below(root, left_out))
    told = {name: name.encode("utf-8", "backslashreplace").decode() for name in listed}
    names = [name for name in told if told[name] == name]
    unnamed = {told[name]: "the name is not UTF-8: rename the file or its folder" for name in told.keys() - {*names}}
    digests = {name: digest_file(root / name) for name in track(names, "read", len(names))}
    decides = {"files": digests, **network.model_dump(include={"sample_rate", "channels"})}
    index = read_sealed(work / INDEX)
    if index is None or index["decides"] != decides or not _is_stored(work / SAMPLES, index):
        index = {"decides": decides, **_store(root, digests, work / SAMPLES, network)}
        write_sealed(work / INDEX, index)
    places: dict[str, list[int]] = index["sounds"]
    set_aside: dict[str, str] = dict(sorted(unnamed.items())) | index["set_aside"]
    if len(places) < 2:
        lines = [f"{folder}: {len(places)} usable sounds; two are needed, one to train on and one to judge by"]
        lines += [f"  set aside {printable(name)}: {reason}" for name, reason in set_aside.items()]
        raise CodecSoundsError("\n".join(lines))
    by_digest = sorted(places, key=lambda name: digests[name])
    held_out = by_digest[: math.ceil(HELD_OUT * len(places))]
    stored = np.memmap(work / SAMPLES, np.float32, "r").reshape(-1, network.channels)
    most = round(PART_S * network.sample_rate)
    parts = [part for name in sorted(set(places) - set(held_out)) for part in _parts(name, places[name], most)]
    waveforms: list[Waveform] = [stored[part.first : part.end].T for part in parts]
    corpus = Corpus(
        waveforms,
        np.array([scale_to(sound, level_db) for sound in waveforms]),
        np.zeros(len(parts), np.bool_),
        Format(network.sample_rate, network.channels),
    )
    heard = pd.DataFrame([["own", part.name, "", "", digests[part.file]] for part in parts], columns=[*HEARD_COLUMNS])
    ends = [stored[slice(*places[name])].T for name in held_out[:JUDGED]]
    return OwnCodecSounds(
        heard.assign(music=False),
        corpus,
        [_beginning(sound, network.sample_rate) for sound in ends],
        sounds=len(places) - len(held_out),
        held_out=len(held_out),
        seconds=sum(part.end - part.first for part in parts) / network.sample_rate,
        set_aside=set_aside,
        left_out=dict(sorted(left_out.items())),
    )


def _is_stored(path: Path, index: Mapping[str, Any]) -> bool:
    return path.is_file() and digest_file(path) == index["stored"]


def _store(root: Path, digests: Mapping[str, str], place: Path, network: CodecNetwork) -> dict[str, Any]:
    """Write the samples [samples, channels] of all sounds that can be used one behind the other."""
    places, set_aside, taken, end = dict[str, list[int]](), dict[str, str](), dict[str, str](), 0
    with written_beside(place) as beside, beside.open("wb") as file:
        for name in track(digests, "resample", len(digests)):
            digest = digests[name]
            try:
                if digest in taken:
                    raise BadAudioError(f"has the same bytes as {printable(taken[digest])}")
                written = _write(root / name, file, network)
            except BadAudioError as error:
                set_aside[name] = str(error)
                file.seek(end * network.channels * 4)
                file.truncate()
            else:
                taken[digest], places[name] = name, [end, end + written]
                end += written
    return {"stored": digest_file(place), "sounds": places, "set_aside": set_aside}


def _write(path: Path, file: BinaryIO, network: CodecNetwork) -> int:
    """Write a sound's samples; give their number.

    Raises:
        BadAudioError: it cannot be read, is too short or silent.
    """
    written, peak = 0, 0.0
    with open_sound(path) as sound:
        blocks = SoundBlocks(sound, network)
        for block in blocks:
            peak = max(peak, float(np.abs(block).max(initial=0)))
            file.write(np.ascontiguousarray(block.T).tobytes())
            written += block.shape[1]
    if blocks.seconds < SHORTEST_S:
        raise BadAudioError(f"{tell_length(blocks.seconds, SHORTEST_S)} s long; the shortest is {SHORTEST_S:g} s")
    if reason := describe_silence(peak, peak):
        raise BadAudioError(reason)
    return written


def _parts(name: str, place: list[int], most: int) -> Iterator[_Part]:
    """Cut a sound into parts of `most` samples or less, as long as each other."""
    first, end = place
    count = math.ceil((end - first) / most)
    if count == 1:
        yield _Part(name, name, first, end)
        return
    ends = [first + (end - first) * number // count for number in range(count + 1)]
    for number in range(count):
        yield _Part(name, f"{name}#{number + 1}", ends[number], ends[number + 1])


def _beginning(sound: Waveform, sample_rate: int) -> Waveform:
    """Take JUDGED_S of a sound from where it is not silent, but no less than SHORTEST_S where it has these."""
    heard = int(np.flatnonzero((np.abs(sound) > SILENCE_PEAK).any(axis=0))[0])
    first = min(heard, max(0, sound.shape[1] - round(SHORTEST_S * sample_rate)))
    return np.array(sound[:, first : first + round(JUDGED_S * sample_rate)])
