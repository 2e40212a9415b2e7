"""A codec trained on a user's folder: by a recipe of studies/codec, from weights that are drawn or of another codec."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from beyond_spectrograms.codec.card import CARD, CODEC, count_parameters, write_card, write_codec
from beyond_spectrograms.codec.measures import judge_codec, mean_quality
from beyond_spectrograms.codec.network import Codec, load_codec, save_codec
from beyond_spectrograms.codec.own_sounds import OwnCodecSounds
from beyond_spectrograms.codec.sounds import Windows
from beyond_spectrograms.codec.trainer import CodecTrainer
from beyond_spectrograms.codec.training import CHECKPOINT, HEARD, CodecRun, train_codec
from beyond_spectrograms.params import Params, load_params
from beyond_spectrograms.params.codecs import CodecNetwork, CodecRecipe
from beyond_spectrograms.params.loading import PACKAGED, is_project
from beyond_spectrograms.params.study import CODECS_BY
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import digest_file, read_sealed, replace_folder, write_sealed
from beyond_spectrograms.util.machine import one_thread

STUDY = Path("studies/codec")
TIMED = 3  # steps, of which the first prepares much
BEGIN, DONE, TRAINING = "begin.safetensors", "done.json", "training"


class Begin(NamedTuple):
    """A codec that a training begins with: its name, the first digits of its file's digest, its weights' licence."""

    codec: Codec
    name: str
    digest: str
    licence: str | None


def load_recipes() -> Params:
    """Read the study of codecs: that of the checkout, elsewhere the one that the installed package carries."""
    root = next(filter(is_project, (Path(), PACKAGED)), PACKAGED.parents[1])  # last: an editable install
    return load_params(STUDY, root, pinned=False)


def adapt_recipe(
    recipe: CodecRecipe, steps: int, seed: int, learning_rate: float | None, network: CodecNetwork | None
) -> CodecRecipe:
    """Let a recipe train on one folder for so many steps, at another learning rate or for another network if given.

    Raises:
        ProjectError: the recipe is not for that network.
    """
    own: dict[str, Any] = {"dataset": "own", "fold": None, "apart_from": [], "without": [], "music": []}
    judged = {"dataset": "own", "fold": 1, "clips": 1, "seconds": 1.0}
    changes: dict[str, Any] = {"sounds": [own], "judged": [judged], "steps": [0, steps], "seeds": [seed]}
    if learning_rate is not None:
        changes["learning_rate"] = learning_rate
    if network is not None:
        changes |= {"network": network.model_dump(), "start": "drawn"}  # neither is asked for: the weights are there
        if network.channels == 2 and recipe.losses == "card":
            changes["losses"] = "card_48khz"
    try:
        return CodecRecipe.model_validate(recipe.model_dump() | changes)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ProjectError(f"--from: the recipe does not train this codec. {problem}") from None


def plan_run(
    recipe: CodecRecipe, sounds: OwnCodecSounds, begin: Begin | None, *, params: Params, device: str, work: Path
) -> CodecRun:
    """Plan a training on a device in the folder `work`; the weights it begins with are written there."""
    place = None
    if begin is not None:
        place = work / BEGIN
        save_codec(place, begin.codec, begin.codec.state_dict(), {})
    versions = {noun: params.versions[noun] for noun in CODECS_BY}
    return CodecRun(recipe, recipe.seeds[0], sounds.heard, device, versions, work / TRAINING, place)


def has_begun(run: CodecRun) -> bool:
    """Say whether a run that was stopped left a checkpoint."""
    return (run.place / CHECKPOINT).exists()


def time_step(run: CodecRun, sounds: OwnCodecSounds) -> float:
    """Measure how many seconds a step takes, by some that are thrown away."""
    with one_thread():
        trainer = CodecTrainer(run.recipe, run.seed, Windows(sounds.corpus, run.recipe, run.seed), run.device)
        if run.begin is None:
            trainer.start()
        else:
            trainer.start_from(load_codec(run.begin)[0])
        trainer.train_step()
        began = time.perf_counter()
        for _ in range(TIMED - 1):
            trainer.train_step()
        return (time.perf_counter() - began) / (TIMED - 1)


def train_own(
    run: CodecRun, sounds: OwnCodecSounds, begin: Begin | None, out: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Train, judge by the sounds that were held out, and write a codec and its card to the folder `out`.

    `tell` is given a line before the training and one after it. What is done is noted beside `run.work`.

    Returns:
        the card.

    Raises:
        CodecTrainingError: as train_codec.
    """
    recipe, name = run.recipe, out.name
    train_codec(run, sounds.corpus)
    last = recipe.steps[-1]
    codec, notes = load_codec(run.kept(last))
    finished = run.work.parent / "finished"
    shutil.rmtree(finished, ignore_errors=True)  # left by a run that was stopped
    finished.mkdir(parents=True)
    licence = None if begin is None else begin.licence
    write_codec(finished / CODEC, name, codec, notes | ({"licence": licence} if licence else {}))
    quality = [{"steps": step, **judge(path, sounds)} for step, path in ((0, run.kept(0)), (last, finished / CODEC))]
    for each in quality:
        tell(describe(each))
    told = {
        "recipe": recipe.model_dump(exclude={"seeds", "steps", "judged", "sounds"}),
        "began_with": None if begin is None else {"name": begin.name, "sha256": begin.digest, "licence": licence},
        "seed": run.seed,
        "steps": last,
        "heard": {"sounds": sounds.sounds, "seconds": round(sounds.seconds, 3)},
        "heard_sha256": digest_file(run.place / HEARD),
        "held_out": sounds.held_out,
        "set_aside": len(sounds.set_aside),
        "quality": quality,
        "versions": dict(run.versions),
    }
    card = write_card(finished, name, count_parameters(codec), told)
    write_sealed(run.work.parent / DONE, {"codec": card["sha256"], "mark": run.fingerprint(), "steps": last})
    replace_folder(finished, out, required=(CODEC, CARD))
    return card


def is_done(work: Path, out: Path, run: CodecRun | None = None) -> bool:
    """Say whether a run that worked in `work`, this one if given, wrote its codec to `out`, and was stopped then."""
    record = read_sealed(work / DONE)
    if record is None or not (out / CODEC).is_file() or digest_file(out / CODEC) != record["codec"]:
        return False
    return run is None or (record.get("mark"), record.get("steps")) == (run.fingerprint(), run.recipe.steps[-1])


def judge(path: Path, sounds: OwnCodecSounds) -> dict[str, Any]:
    """Judge the codec in a file at its highest bitrate by the sounds that were held out: means, in dB."""
    codec, _ = load_codec(path)
    bitrate = max(codec.network.bitrates)
    qualities, _ = judge_codec(codec, sounds.judged, bitrate)
    return {"bitrate": bitrate, **mean_quality(qualities)}


def describe(quality: dict[str, Any]) -> str:
    """Tell in a line what `judge` found."""
    told = (
        "after {steps} steps, at {bitrate} bits per second: SI-SNR {si_snr:.1f} dB, mel distance {mel_distance:.2f} dB"
    )
    return told.format(**quality)
