"""Weights of a cell of prototypes -> their figure, sounds, a page to hear all on, and how near they come to clips."""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch

from beyond_spectrograms import figures
from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.files import locked, replace_folder, write_json, write_text
from beyond_spectrograms.page.excerpts import PERMITTED
from beyond_spectrograms.params import Params, load_params
from beyond_spectrograms.prototypes.decoders import create_player
from beyond_spectrograms.prototypes.likeness import MEASURED, Ear, measure_likeness
from beyond_spectrograms.prototypes.listening import averages, choose_windows, read_layer, render_window
from beyond_spectrograms.prototypes.page import render_page
from beyond_spectrograms.prototypes.pictures import figure_prototypes
from beyond_spectrograms.prototypes.playing import play_all, write_prototypes
from beyond_spectrograms.windows import columns_of, open_features, read_parts, read_windows

FOLD = 1  # whose first seed is heard: one run says what prototypes are, all of them say how good
CLIPS = 2  # to pick from, of each class
EAR = "log_mel_16khz"  # the representation in which what is heard is compared with the clips


def _decoder(representation: str) -> Path:
    folder = Path("data/decoders", representation)
    return folder / str(json.loads((folder / "record.json").read_text(encoding="utf-8"))["file"])


def main() -> None:
    params = load_params()
    cells = params.prototypes
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=cells.datasets)
    parser.add_argument("representation", choices=[*cells.representations, *cells.latents])
    parser.add_argument("protocol", choices=[*cells.heard, *cells.heard_latents])
    arguments = parser.parse_args()
    dataset, representation, name = arguments.dataset, arguments.representation, arguments.protocol
    work = Path("plots/prototypes", dataset, f"{representation}-{name}.partial")
    with locked(work):
        listen(params, dataset, representation, name, work)


def listen(params: Params, dataset: str, representation: str, name: str, work: Path) -> None:
    """Write all that is heard and seen of a cell, in `work` first."""
    cells = params.prototypes
    protocol, cell = params.protocols[name], f"{representation}-{name}"
    torch.set_num_threads(1)  # the last bits of a sum depend on how many threads share it
    seed, length_s = protocol.seeds[0], params.windows.length_s
    decoder = _decoder(representation) if representation in cells.latents else None
    player = create_player(representation, params.representations[representation], decoder, seed)
    table, parts = read_windows(Path("data/splits", dataset)), read_parts(Path("data/splits", dataset))
    features = open_features(Path("data/features", dataset, representation), len(table))
    column = columns_of(protocol.split, parts)[FOLD - 1]
    rows = np.flatnonzero(parts[column] == "validation")
    classes = sorted(table["label"].unique().tolist())
    targets = torch.from_numpy(np.searchsorted(classes, table["label"].to_numpy(dtype=str)[rows]))

    run = f"fold {FOLD}, seed {seed}"
    model = Path("data/models", dataset, cell, f"fold_{FOLD}-seed_{seed}.safetensors")
    layer = read_layer(model, protocol, (features.shape[1], features.shape[2]), classes)
    prototypes = averages(layer, features, rows, targets)
    labels = [classes[number] for number in layer.class_of.tolist()]
    numbered = len(set(labels)) < len(labels)
    names = [f"{number}: {label}" if numbered else label for number, label in enumerate(labels, 1)]
    licence = PERMITTED.get(dataset)
    chosen = choose_windows(table, rows, CLIPS, seed) if licence else []
    measured = choose_windows(table, rows, max(1, MEASURED // len(classes)), seed)
    windows, compared = (
        [render_window(layer, features, table, row, classes, seconds=length_s) for row in rows_of]
        for rows_of in (chosen, measured)
    )

    print(f"{dataset}, {cell}, {run}")
    clips = Path("data/clips", dataset)
    sounds = play_all(player, prototypes, windows, clips, length_s)
    ear = params.representations[EAR]
    assert ear.kind == "mel"
    likeness = measure_likeness(Ear(EAR, ear), player, compared, sounds=sounds, clips=clips, length_s=length_s)

    place = Path("plots/prototypes", dataset, cell)
    shutil.rmtree(work, ignore_errors=True)  # left by a run that was stopped
    (work / "figure").mkdir(parents=True)
    title = f"{dataset}, {name} on {representation} ({run})"
    figures.save(
        figure_prototypes(prototypes, names, player.frequencies, length_s, title), work / "figure", "prototypes"
    )
    write_prototypes(sounds, labels, work / "sounds")
    page = render_page(
        f"Prototypes of {dataset}",
        facts=[("data set", dataset), ("cell", cell), ("run", run), ("protocol's split", protocol.split)],
        names=names,
        prototypes=prototypes,
        windows=windows,
        sounds=sounds,
        frequencies=player.frequencies,
        seconds=length_s,
        licence=licence,
    )
    write_text(work / "page/index.html", page)
    for kind in ("figure", "page", "sounds"):
        replace_folder(work / kind, place / kind)
    shutil.rmtree(work)
    of_run = {"dataset": dataset, "cell": cell, "fold": FOLD, "seed": seed}
    write_json(Path("metrics/heard", dataset, f"{cell}.json"), of_run | likeness.summary())
    print(
        f"{place}: {len(prototypes)} prototypes, {len(windows)} clips, a page of {len(page.encode()) / 1e6:.1f} MB",
        likeness.told(),
        sep="\n",
    )


if __name__ == "__main__":
    run_stage(main)
