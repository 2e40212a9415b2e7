"""Codecs that were trained -> how near their sound is, and what their codes hold, after each of the steps kept.

By clips that were never trained on: the audit saw to that. What a core does in real time is of this machine.
"""

import hashlib
from typing import Any

import numpy as np

from beyond_spectrograms.codec.card import count_parameters
from beyond_spectrograms.codec.measures import judge_codec, real_time_factors
from beyond_spectrograms.codec.network import load_codec
from beyond_spectrograms.codec.sounds import SPLIT
from beyond_spectrograms.data.audio import SILENCE_PEAK, Format, Waveform, read_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.data.windows import columns_of, read_parts, read_windows
from beyond_spectrograms.params.codecs import CodecJudged
from beyond_spectrograms.params.encoders import kept_codec
from beyond_spectrograms.params.study import CLIPS, CODECS, SPLITS
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import write_json
from beyond_spectrograms.util.machine import processor_name
from beyond_spectrograms.util.progress import track
from stages.arguments import parse

DIGITS = 4  # of what is written: less than one processor differs from the next


def main() -> None:
    study, (name,) = parse(__doc__, "codec")
    recipe = study.params.codecs[name]
    network = recipe.network
    form = Format(network.sample_rate, network.channels)
    results: list[dict[str, Any]] = []
    sounds: dict[str, Waveform] = {}
    for judged in recipe.judged:
        sounds = read_judged(judged, form)
        kept = [(seed, step) for seed in recipe.seeds for step in recipe.steps]
        for seed, step in track(kept, f"{name} by {judged.dataset}", len(kept)):
            codec, _ = load_codec(CODECS / name / kept_codec(seed, step))
            for bitrate in network.bitrates:
                qualities, used = judge_codec(codec, list(sounds.values()), bitrate)
                results.append(
                    {
                        **{"dataset": judged.dataset, "seed": seed, "step": step, "bitrate": bitrate},
                        "si_snr": round(float(np.mean([each.si_snr for each in qualities])), DIGITS),
                        "mel_distance": round(float(np.mean([each.mel_distance for each in qualities])), DIGITS),
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
    last, _ = load_codec(CODECS / name / kept_codec(recipe.seeds[0], recipe.steps[-1]))
    factors = real_time_factors(last, list(sounds.values())[:4], network.bitrates[-1])
    place = study.codec_metrics(name)
    write_json(place / "quality.json", {"codec": name, "parameters": count_parameters(last), "results": results})
    timed = {"processor": processor_name(), **{key: round(value, 1) for key, value in factors.items()}}
    write_json(place / "real_time.json", timed)
    for result in results:
        if result["step"] in (recipe.steps[0], recipe.steps[-1]):
            told = (
                "{dataset}, seed {seed}, {step} steps, {bitrate} bits/s: SI-SNR {si_snr:.1f}, mel {mel_distance:.2f} dB"
            )
            print(told.format(**result))


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


if __name__ == "__main__":
    run_stage(main)
