"""Codecs kept in training, judged by clips that were never trained on: a piece of work is one codec by one data set."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from beyond_spectrograms.codec.measures import DIGITS, judge_codec, mean_quality
from beyond_spectrograms.codec.network import load_codec
from beyond_spectrograms.codec.sounds import SPLIT
from beyond_spectrograms.data.audio import SILENCE_PEAK, Format, Waveform, read_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.data.windows import columns_of, read_parts, read_windows
from beyond_spectrograms.params.codecs import CodecJudged
from beyond_spectrograms.params.encoders import kept_codec
from beyond_spectrograms.params.study import CLIPS, SPLITS


@dataclass(frozen=True)
class Judging:
    """A codec after a step of one seed's training, in `folder`, and the clips that judge it at each of its bitrates."""

    folder: Path
    seed: int
    step: int
    judged: CodecJudged


def judge_kept(piece: Judging) -> list[dict[str, Any]]:
    """Give the row of quality.json of each bitrate (bits/s): means over clips (dB, samples), and each clip's own."""
    codec, _ = load_codec(piece.folder / kept_codec(piece.seed, piece.step))
    network, rows = codec.network, []
    sounds = read_judged(piece.judged, Format(network.sample_rate, network.channels))
    for bitrate in network.bitrates:
        qualities, used = judge_codec(codec, list(sounds.values()), bitrate)
        rows.append(
            {
                **{"dataset": piece.judged.dataset, "seed": piece.seed, "step": piece.step, "bitrate": bitrate},
                **mean_quality(qualities),
                "delay": int(np.median([each.delay for each in qualities])),
                "bits_by_entropy": round(network.frame_rate * sum(each.bits for each in used), DIGITS),
                "used": [round(each.used, DIGITS) for each in used],
                "perplexity": [round(each.perplexity, DIGITS) for each in used],
                "clips": {
                    clip: [round(each.si_snr, DIGITS), round(each.mel_distance, DIGITS)]
                    for clip, each in zip(sounds, qualities, strict=True)
                },
            }
        )
    return rows


@lru_cache(1)  # pieces of a data set come one after another
def read_judged(judged: CodecJudged, form: Format) -> dict[str, Waveform]:
    """Read what a codec is judged by: clip -> its first seconds [channels, samples]; a silent beginning is left out."""
    table, parts = read_windows(SPLITS / judged.dataset), read_parts(SPLITS / judged.dataset)
    tests = parts[columns_of(SPLIT, parts)[judged.fold - 1]] == "test"
    clips = sorted(set(table["clip"][tests]), key=lambda clip: hashlib.sha256(str(clip).encode()).digest())
    sounds: dict[str, Waveform] = {}
    for clip in clips:
        sound = read_clip(clip_path(CLIPS / judged.dataset, form, clip), form)
        sound = sound[:, : round(judged.seconds * form.sample_rate)]
        if np.abs(sound).max() > SILENCE_PEAK and len(sounds) < judged.clips:
            sounds[clip] = sound
    return sounds
