"""Clips that a codec hears -> data/codecs/<codec>/seed_<seed>: the codec after each of the recipe's steps, its curve.

All seeds, side by side on the cores there are. Trainings that are done and hang on the same recipe, clips and versions
are kept, and go on where they were shorter; one that was killed goes on from its checkpoint.
"""

import shutil
from dataclasses import replace

import pandas as pd

from beyond_spectrograms.codec.training import CodecRun, train_codec_by_clips
from beyond_spectrograms.params.study import CODEC_SOUNDS, CODECS, CODECS_BY, Study
from beyond_spectrograms.util.cluster.pieces import run_pieces
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import locked, replace_folder
from beyond_spectrograms.util.machine import choose_device
from stages.arguments import parse


def main() -> None:
    study, (name,) = parse(__doc__, "codec")
    work = study.work("codecs", name)
    with locked(work):
        runs = plan(study, name)
        for run in runs:
            earlier = replace(run, work=CODECS / name)
            if not run.place.exists() and earlier.is_of_same():
                shutil.copytree(earlier.place, run.place)
        todo = [run for run in runs if not run.is_finished()]
        run_pieces(
            train_codec_by_clips,
            todo,
            called=f"train {name}",
            names=[f"{name}, seed {run.seed}" for run in todo],
            here=todo[:1] != [] and todo[0].device != "cpu",
            bar=False,
        )
        replace_folder(work / "finished", CODECS / name)
        shutil.rmtree(work)


def plan(study: Study, name: str) -> list[CodecRun]:
    """List the trainings of a codec, one a seed."""
    recipe, heard = study.params.codecs[name], pd.read_csv(CODEC_SOUNDS / name / "heard.csv", dtype=str)
    heard["music"] = heard["music"] == "True"
    versions = {noun: study.params.versions[noun] for noun in CODECS_BY}
    device, work = choose_device(study.params.device), study.work("codecs", name) / "finished"
    return [CodecRun(recipe, seed, heard, device, versions, work) for seed in recipe.seeds]


if __name__ == "__main__":
    run_stage(main)
