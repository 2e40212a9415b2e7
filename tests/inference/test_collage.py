"""Two minutes of real sound put together from held-out clips of ESC-10, classified and segmented."""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from playwright.sync_api import Browser

from beyond_spectrograms import load_model
from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.cli import main
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.inference.stream_windows import CutSound
from beyond_spectrograms.params import weights_of
from beyond_spectrograms.representations import create_representation
from support import models
from support.repository import Capture
from support.serving import give, serving, shown_segments

ARCHIVE = "553c8f1743b9dba6b282e1323c3ca8fa76923448.zip"
CLASSES = (
    "Baby cry", "Chainsaw", "Clock tick", "Dog bark", "Fire crackling",
    "Helicopter", "Person sneeze", "Rain", "Rooster", "Sea waves",
)  # fmt: skip
HELD_OUT = 3  # clips a class, of fold 1; trained on is all of folds 2 to 5
HOP_S = 0.5


def clips(archive: zipfile.ZipFile, label: str, *, held_out: bool) -> Iterator[Waveform]:
    """Decode a class's clips: <class>/<fold>-<source>-<take>.ogg."""
    names = sorted(name for name in archive.namelist() if f" - {label}/" in name and name.endswith(".ogg"))
    chosen = [name for name in names if (Path(name).name[0] == "1") == held_out]
    for name in chosen[:HELD_OUT] if held_out else chosen:
        yield soundfile.read(io.BytesIO(archive.read(name)), dtype="float32")[0]


def train(folder: Path, name: str, archive: zipfile.ZipFile, weights: list[Path]) -> Path:
    """Train the classifier of `fair` for a few epochs, and keep it as a model."""
    record, recipe = models.PARAMS.representations[name], models.PARAMS.protocols["fair"]
    representation = create_representation(name, record, weights)
    rate = representation.form.sample_rate
    values, targets = [], []
    for target, label in enumerate(CLASSES):
        for clip in clips(archive, label, held_out=False):
            for batch in CutSound([clip], 44_100, representation.form, length_s=1.0, hop_s=1.0):
                heard = batch.windows[~batch.silent]
                values.append(representation.encode(heard, rate))
                targets += [target] * len(heard)
    features, target_of = torch.from_numpy(np.concatenate(values)), torch.tensor(targets)
    torch.manual_seed(0)
    _, bands, frames = features.shape
    network = build_network(recipe, bands, frames, len(CLASSES), None)
    network[0].mean, network[0].deviation = features.mean(dim=(0, 2)), features.std(dim=(0, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    for _ in range(20):
        for rows in torch.randperm(len(features)).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(features[rows]), target_of[rows]).backward()
            optimizer.step()
    changes = {"classes": list(CLASSES), "representation": models.encoder(representation, record)}
    return models.keep(folder, network, recipe, weights, **changes)


def clock(seconds: float) -> str:
    """Write m:ss.ss, as the page does."""
    minutes, rest = divmod(round(100 * seconds), 6000)
    return f"{minutes}:{rest / 100:05.2f}"


@pytest.mark.long
@pytest.mark.parametrize("name", ["soundstream", "log_mel"])
@pytest.mark.usefixtures("one_thread")
def test_a_collage_is_segmented_where_its_clips_meet(
    name: str, mirror: Path, tmp_path: Path, capsys: Capture, browser: Browser
) -> None:
    weights = [mirror / f"{file}.tflite" for file in weights_of(models.PARAMS.representations[name])]
    with zipfile.ZipFile(mirror / ARCHIVE) as archive:
        folder = train(tmp_path / "model", name, archive, weights)
        held_out = [clips(archive, label, held_out=True) for label in CLASSES]
        parts = [clip for clips_in_turn in zip(*held_out, strict=True) for clip in clips_in_turn]
    labels = CLASSES * HELD_OUT
    times = np.cumsum([0, *map(len, parts)]) / 44_100
    assert times[-1] > 115
    sound = np.concatenate(parts)

    model = load_model(folder, device="cpu")
    found = model.segment(sound, 44_100, hop_s=HOP_S)

    # Where the classifier is right is asked of it clip by clip, not of the segments that are tested.
    right = [model.classify(part, 44_100).label == label for part, label in zip(parts, labels, strict=True)]
    assert sum(right) >= 0.55 * len(labels)
    joins = [n for n in range(1, len(labels)) if right[n - 1] and right[n]]
    borders = np.array([part.start_s for part in found.segments[1:]])
    near = [np.abs(borders - times[n]).min() <= HOP_S for n in joins]
    assert len(joins) >= 6
    assert sum(near) >= 0.8 * len(joins)

    # The same by the command line, from a file, read as a stream.
    soundfile.write(tmp_path / "collage.wav", sound, 44_100, subtype="FLOAT")
    options = ["--model", str(folder), "--device", "cpu", "--format", "csv"]
    assert main(["segment", str(tmp_path / "collage.wav"), *options]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(float(row["start_s"]), row["label"] or None) for row in rows] == [
        (round(part.start_s, 6), part.label) for part in found.segments
    ]

    # The same on the page.
    page = browser.new_page()
    with serving(folder) as address:
        page.goto(address)
        give(page, tmp_path / "collage.wav")
        shown = shown_segments(page)
    page.close()
    assert [row[:3] for row in shown] == [
        (part.label or "(silence)", clock(part.start_s), clock(part.end_s)) for part in found.segments
    ]
