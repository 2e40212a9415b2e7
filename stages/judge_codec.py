"""Codecs that were trained -> how near their sound is, and what their codes hold, after each of the steps kept.

By clips that were never trained on: the audit saw to that. What a core does in real time is of this machine.
"""

from itertools import chain

from beyond_spectrograms.codec.card import count_parameters
from beyond_spectrograms.codec.judging import Judging, judge_kept, read_judged
from beyond_spectrograms.codec.measures import real_time_factors
from beyond_spectrograms.codec.network import load_codec
from beyond_spectrograms.data.audio import Format
from beyond_spectrograms.params.encoders import kept_codec
from beyond_spectrograms.params.study import CODECS
from beyond_spectrograms.util.cluster.pieces import run_pieces
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import write_json
from beyond_spectrograms.util.machine import processor_name
from stages.arguments import parse


def main() -> None:
    study, (name,) = parse(__doc__, "codec")
    recipe = study.params.codecs[name]
    network = recipe.network
    pieces = [
        Judging(CODECS / name, seed, step, judged)
        for judged in recipe.judged
        for seed in recipe.seeds
        for step in recipe.steps
    ]
    names = [f"{name}, seed {each.seed}, step {each.step}, by {each.judged.dataset}" for each in pieces]
    results = list(chain(*run_pieces(judge_kept, pieces, called=f"judge {name}", names=names, here=True)))
    last, _ = load_codec(CODECS / name / kept_codec(recipe.seeds[0], recipe.steps[-1]))
    sounds = read_judged(recipe.judged[-1], Format(network.sample_rate, network.channels))
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


if __name__ == "__main__":
    run_stage(main)
