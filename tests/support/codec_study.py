"""The study of codecs as its trainings leave it: a codec after each of its steps, clips that judge it, and probes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beyond_spectrograms.data.audio import Format
from beyond_spectrograms.evaluation import result_files
from beyond_spectrograms.params.study import Study
from support import cells, codecs
from support.cells import study_in, write_params, write_rows
from support.common import noise, store_clip, tone

NAME, STEPS = "pilot", [0, 4, 20]
LABELS = ('<b>low & "high"', "rain")
FORM = Format(16_000, 1)
PROTOCOL = "probe_mean_deviation"
SPECTROGRAM = "log_mel_2048"


def write(folder: Path, judged: Sequence[str] = ("demo",), seeds: Sequence[int] = (0,), **grid: Any) -> Study:
    """Write a codec with its seeds, drawn and not trained, and data sets of two classes with two clips each."""
    asked = [{"dataset": name, "fold": 1, "clips": 4, "seconds": 0.5} for name in judged]
    recipe = codecs.recipe(judged=asked, steps=STEPS, seeds=list(seeds))
    latents = {"kind": "codec", "weights": None, "codec": NAME}
    names = {f"seed_{seed}_{step}": latents | {"seed": seed, "step": step} for seed in seeds for step in STEPS}
    asked_for = {"datasets": ["demo"], "representations": [*names], "protocols": [PROTOCOL], "codecs": [NAME]}
    contrasts = {"under": [PROTOCOL], "pairs": []}
    write_params(
        folder,
        "codec",
        grid=asked_for | grid,
        codecs={NAME: recipe.model_dump()},
        representations=names,
        contrasts=contrasts,
    )
    for seed in seeds:
        place = folder / "data/codecs" / NAME / f"seed_{seed}"
        place.mkdir(parents=True)
        for number, step in enumerate(STEPS):
            codecs.write_codec(place / f"step_{step}.safetensors", seed=10 * seed + number)
    for name in judged:
        write_clips(folder, name)
    return study_in(folder, "codec")


def write_clips(folder: Path, dataset: str) -> None:
    """Write two clips of each class, all of which test."""
    clips = [f"{label}/{number}.wav" for label in LABELS for number in range(2)]
    for number, clip in enumerate(clips):
        sound = tone(0.6, 300 * (number + 1), FORM.sample_rate) + noise(0.6, FORM.sample_rate, number) / 10
        store_clip(folder / "data/clips" / dataset, FORM, clip, sound)
    shared = {"start_s": 0.0, "fold": 1, "silent": 0}
    rows = [{"clip": clip, "label": clip.split("/")[0], "group": clip} | shared for clip in clips]
    write_rows(folder / "data/splits" / dataset / "windows.csv", rows)
    write_rows(folder / "data/splits" / dataset / "parts.csv", [{"window": "test", "source_1": "test"}] * len(rows))


def write_probes(
    folder: Path, seeds: Sequence[int] = (0, 1, 2), leave: Sequence[str] = (), by_seed: int = 0, **grid: Any
) -> Study:
    """Score probes of all latents but those to `leave`: 2, 4, 6 recordings right after the steps, more by seed."""
    names = [f"seed_{seed}_{step}" for seed in seeds for step in STEPS]
    study = write(folder, ["demo"], seeds, representations=[*names, SPECTROGRAM], **grid)

    def make(known: Study, of: str, name: str, protocol: str) -> result_files.Evaluation:
        if name != SPECTROGRAM:
            _, seed, step = name.split("_")
            cells.WHOLLY_RIGHT[name] = 2 + 2 * STEPS.index(int(step)) + by_seed * int(seed)
        return cells.make_cell(known, of, name, protocol)

    wanted = [name for name in study.params.grid.representations if name not in leave]
    cells.write_dataset(folder, "demo", wanted, study.params.grid.protocols, study="codec", make=make)
    return cells.study_in(folder, "codec")
