"""All that is heard and seen of one cell's prototypes: sounds, a figure, a page, and how near they come to clips."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from beyond_spectrograms.classifiers.base import last_layer
from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
from beyond_spectrograms.classifiers.registry import read_network
from beyond_spectrograms.data.weights import fetch_weights
from beyond_spectrograms.data.windows import columns_of, open_features, read_parts, read_windows
from beyond_spectrograms.evaluation.records import cell_name
from beyond_spectrograms.params.study import CLIPS, DOWNLOADS, PARTIAL, SPLITS, Study
from beyond_spectrograms.report import figures
from beyond_spectrograms.representations.mel import MelSpectrogram
from beyond_spectrograms.sonification import play
from beyond_spectrograms.sonification.page import figure_prototypes, render_page
from beyond_spectrograms.sonification.players import create_player
from beyond_spectrograms.sonification.trained import Average, Window, averages, choose_windows, render_window
from beyond_spectrograms.util.files import write_text

FOLD = 1  # whose first seed is heard: one run says what prototypes are, all of them say how good
OF_A_CLASS = 2  # clips to pick from
EAR = "log_mel_16khz"  # the representation in which what is heard is compared with the clips


class Trained(NamedTuple):
    """The prototypes of one run, and clips of its validation part as they render them."""

    prototypes: list[Average]
    labels: list[str]
    shown: list[Window]
    measured: list[Window]


def listen(study: Study, dataset: str, representation: str, name: str, work: Path) -> dict[str, Any]:
    """Play the prototypes of one cell into work/played/<name>, draw them into work/figures.

    Returns:
        the run, and how near its prototypes come to what they stand for.
    """
    params = study.params
    protocol, licence = params.protocols[name], params.datasets[dataset].notice
    cell, seed, length_s = cell_name(representation, name), protocol.seeds[0], params.windows.length_s
    torch.set_num_threads(1)  # the last bits of a sum depend on how many threads share it
    record = params.representations[representation]
    player = create_player(representation, record, fetch_decoder(study, representation), seed)
    trained = read_trained(study, dataset, representation, name)
    run = f"fold {FOLD}, seed {seed}"
    print(f"{dataset}, {cell}, {run}")

    clips, windows = CLIPS / dataset, trained.shown
    sounds = play.play_all(player, trained.prototypes, windows, clips, length_s)
    ear = params.representations[EAR]
    assert ear.kind == "mel"
    mel = MelSpectrogram(EAR, ear)
    distances = play.measure_distances(mel, player, trained.measured, sounds=sounds, clips=clips, length_s=length_s)

    played, drawn = work / "played" / name, work / "figures"
    drawn.mkdir(parents=True, exist_ok=True)
    numbered = len(set(trained.labels)) < len(trained.labels)
    names = [f"{number}: {label}" if numbered else label for number, label in enumerate(trained.labels, 1)]
    title = f"{dataset}, {name} on {representation} ({run})"
    figure = figure_prototypes(trained.prototypes, names, player.frequencies, length_s, title)
    figures.save(figure, drawn, name)
    play.write_prototypes(sounds, trained.labels, played / "sounds")
    page = render_page(
        f"Prototypes of {dataset}",
        facts=[("data set", dataset), ("cell", cell), ("run", run), ("protocol's split", protocol.split)],
        names=names,
        prototypes=trained.prototypes,
        windows=windows,
        sounds=sounds,
        frequencies=player.frequencies,
        seconds=length_s,
        licence=licence,
    )
    write_text(played / "page/index.html", page)
    told = f"{cell}: {len(names)} prototypes, {len(windows)} clips, a page of {len(page.encode()) / 1e6:.1f} MB"
    print(told, play.describe_distances(distances), sep="\n")
    return {"fold": FOLD, "seed": seed, **distances}


def read_trained(study: Study, dataset: str, representation: str, name: str) -> Trained:
    """Read the cell's first run and render clips of its validation part, none to be shown without a notice."""
    params = study.params
    protocol, seed, length_s = params.protocols[name], params.protocols[name].seeds[0], params.windows.length_s
    table, parts = read_windows(SPLITS / dataset), read_parts(SPLITS / dataset)
    features = open_features(study.features(dataset, representation), len(table))
    column = columns_of(protocol.split, parts)[FOLD - 1]
    rows = np.flatnonzero(parts[column] == "validation")
    classes = sorted(table["label"].unique().tolist())
    targets = torch.from_numpy(np.searchsorted(classes, table["label"].to_numpy(dtype=str)[rows]))
    weights = study.models(dataset, representation) / name / f"fold_{FOLD}-seed_{seed}.safetensors"
    network, _ = read_network(weights, protocol, features.shape[1:], classes, None)
    layer = last_layer(network.eval(), PrototypeLayer)

    def render(per_class: int) -> list[Window]:
        chosen = choose_windows(table, rows, per_class, seed)
        return [render_window(layer, features, table, row, classes, seconds=length_s) for row in chosen]

    return Trained(
        averages(layer, features, rows, targets),
        [classes[number] for number in layer.class_of.tolist()],
        render(OF_A_CLASS) if params.datasets[dataset].notice else [],
        render(max(1, play.MEASURED // len(classes))),
    )


def fetch_decoder(study: Study, representation: str) -> Path | None:
    """Fetch what makes a codec's latents audible; None for spectra, which need no weights."""
    params = study.params
    decoder = params.representations[representation].decoder
    if decoder is None:
        return None
    place, work = Path("data/decoders", representation), PARTIAL / "decoders" / representation
    return fetch_weights(f"{representation}'s decoder", [params.weights[decoder]], place, DOWNLOADS, work)[0]
