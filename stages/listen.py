"""Weights of cells of prototypes -> their figures, sounds, a page each to hear all on, and how near clips they come."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from beyond_spectrograms.classifiers.base import last_layer
from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
from beyond_spectrograms.classifiers.registry import read_network
from beyond_spectrograms.data.downloads import fetch_weights
from beyond_spectrograms.data.windows import columns_of, open_features, read_parts, read_windows
from beyond_spectrograms.evaluation.records import cell_name
from beyond_spectrograms.params.study import CLIPS, DOWNLOADS, PARTIAL, SPLITS, Study
from beyond_spectrograms.report import figures
from beyond_spectrograms.representations.mel import MelSpectrogram
from beyond_spectrograms.sonification import play
from beyond_spectrograms.sonification.page import figure_prototypes, render_page
from beyond_spectrograms.sonification.players import create_player
from beyond_spectrograms.sonification.trained import averages, choose_windows, render_window
from beyond_spectrograms.util.commands import run_stage
from beyond_spectrograms.util.files import locked, replace_folder, write_json, write_text
from stages.arguments import parse

FOLD = 1  # whose first seed is heard: one run says what prototypes are, all of them say how good
OF_A_CLASS = 2  # clips to pick from
EAR = "log_mel_16khz"  # the representation in which what is heard is compared with the clips


def main() -> None:
    study, (dataset, representation) = parse(__doc__, "dataset", "representation")
    grid = study.params.grid
    heard = [name for name in grid.protocols_of(representation) if name in grid.heard]
    work = study.work("listen", dataset, representation)
    with locked(work):
        shutil.rmtree(work, ignore_errors=True)  # left by a run that was stopped
        near = {name: listen(study, dataset, representation, name, work) for name in heard}
        write_json(work / "played/heard.json", heard)
        (work / "figures").mkdir(parents=True, exist_ok=True)
        write_json(work / "figures/heard.json", heard)
        replace_folder(work / "played", Path("data/heard", study.name, dataset, representation))
        replace_folder(work / "figures", study.plots(dataset) / representation)
        write_json(study.metrics(dataset) / "heard" / f"{representation}.json", near)
        shutil.rmtree(work)


def listen(study: Study, dataset: str, representation: str, name: str, work: Path) -> dict[str, Any]:
    """Play the prototypes of one cell into work/played/<name>, draw them into work/figures; say how near they come."""
    params = study.params
    protocol, record = params.protocols[name], params.representations[representation]
    cell = cell_name(representation, name)
    torch.set_num_threads(1)  # the last bits of a sum depend on how many threads share it
    seed, length_s = protocol.seeds[0], params.windows.length_s
    player = create_player(representation, record, fetch_decoder(study, representation), seed)
    table, parts = read_windows(SPLITS / dataset), read_parts(SPLITS / dataset)
    features = open_features(study.features(dataset, representation), len(table))
    column = columns_of(protocol.split, parts)[FOLD - 1]
    rows = np.flatnonzero(parts[column] == "validation")
    classes = sorted(table["label"].unique().tolist())
    targets = torch.from_numpy(np.searchsorted(classes, table["label"].to_numpy(dtype=str)[rows]))

    run = f"fold {FOLD}, seed {seed}"
    model = study.models(dataset, representation) / name / f"fold_{FOLD}-seed_{seed}.safetensors"
    network, _ = read_network(model, protocol, features.shape[1:], classes, None)
    layer = last_layer(network.eval(), PrototypeLayer)
    prototypes = averages(layer, features, rows, targets)
    labels = [classes[number] for number in layer.class_of.tolist()]
    numbered = len(set(labels)) < len(labels)
    names = [f"{number}: {label}" if numbered else label for number, label in enumerate(labels, 1)]
    licence = params.datasets[dataset].notice
    chosen = choose_windows(table, rows, OF_A_CLASS, seed) if licence else []
    measured = choose_windows(table, rows, max(1, play.MEASURED // len(classes)), seed)
    windows, compared = (
        [render_window(layer, features, table, row, classes, seconds=length_s) for row in rows_of]
        for rows_of in (chosen, measured)
    )

    print(f"{dataset}, {cell}, {run}")
    clips = CLIPS / dataset
    sounds = play.play_all(player, prototypes, windows, clips, length_s)
    ear = params.representations[EAR]
    assert ear.kind == "mel"
    mel = MelSpectrogram(EAR, ear)
    distances = play.measure_distances(mel, player, compared, sounds=sounds, clips=clips, length_s=length_s)

    played, drawn = work / "played" / name, work / "figures"
    drawn.mkdir(parents=True, exist_ok=True)
    title = f"{dataset}, {name} on {representation} ({run})"
    figures.save(figure_prototypes(prototypes, names, player.frequencies, length_s, title), drawn, name)
    play.write_prototypes(sounds, labels, played / "sounds")
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
    write_text(played / "page/index.html", page)
    told = f"{cell}: {len(prototypes)} prototypes, {len(windows)} clips, a page of {len(page.encode()) / 1e6:.1f} MB"
    print(told, play.describe_distances(distances), sep="\n")
    return {"fold": FOLD, "seed": seed, **distances}


def fetch_decoder(study: Study, representation: str) -> Path | None:
    """Fetch what makes a codec's latents audible; None for spectra, which need no weights."""
    params = study.params
    decoder = params.representations[representation].decoder
    if decoder is None:
        return None
    place, work = Path("data/decoders", representation), PARTIAL / "decoders" / representation
    return fetch_weights(f"{representation}'s decoder", [params.weights[decoder]], place, DOWNLOADS, work)[0]


if __name__ == "__main__":
    run_stage(main)
