"""A cell of prototypes as the stages before `listen` leave it: three tones as classes, a prototype each."""

import json
import math
import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from beyond_spectrograms.classifiers.base import last_layer
from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.data.audio import Format
from beyond_spectrograms.params import Params
from beyond_spectrograms.representations import create_representation
from support import common
from support.cells import put_features, study_in, write_params, write_rows, write_split_record

RATE = 16_000
TONES = {"high": 3000.0, "low": 300.0, "middle": 1000.0}  # Hz
CLIPS = 4  # of each class: two train, two validate
STUDY, REPRESENTATION, PROTOCOL = "prototypes", "log_mel_16khz", "prototypes"
GAIN, PITCH = 17.0, 12.0  # dB and semitones by which the layer changes the prototype `low`


def tone(hertz: float, seed: int, level: float = 0.1) -> np.ndarray:
    """Give 1 s of a tone in faint noise, [samples]."""
    return common.tone(1, hertz, RATE, level) + common.noise(1, RATE, seed) / 100


def write(folder: Path, dataset: str = "esc10", cell: tuple[str, str] = (REPRESENTATION, PROTOCOL)) -> Params:
    """Write the study `prototypes` of one cell, clips, splits, features and weights."""
    asked_for = {"datasets": [dataset], "representations": [cell[0]], "protocols": [cell[1]], "heard": [cell[1]]}
    write_params(folder, STUDY, grid=asked_for)
    loaded = study_in(folder, STUDY).params
    names = [f"{label}/{number}.wav" for label in TONES for number in range(CLIPS)]
    sounds = np.stack([tone(TONES[name.split("/")[0]], seed) for seed, name in enumerate(names)])
    for name, sound in zip(names, sounds, strict=True):
        common.store_clip(folder / "data/clips" / dataset, Format(RATE, 1), name, sound)
    splits = folder / "data/splits" / dataset
    of_all = {"start_s": 0.0, "fold": 1, "silent": 0}
    write_rows(splits / "windows.csv", [{"clip": n, "label": n.split("/")[0], "group": n} | of_all for n in names])
    parts = ["train", "train", "validation", "validation"] * len(TONES)
    write_rows(splits / "parts.csv", [{"window": part, "source_1": part} for part in parts])
    write_split_record(folder, dataset, STUDY)
    encoder = create_representation(REPRESENTATION, loaded.representations[REPRESENTATION], [])
    features = encoder.encode(sounds[:, None], RATE)
    write_features(folder, dataset, REPRESENTATION, features)
    write_model(folder, dataset, loaded, features.reshape(len(TONES), CLIPS, *features.shape[1:]).mean((1, 3)))
    return loaded


def write_latents(folder: Path, mirror: Path) -> None:
    """Write the same sounds as latents of SoundStream, and the decoder as its stage leaves it."""
    sounds = np.stack(
        [tone(hertz, CLIPS * place + n) for place, hertz in enumerate(TONES.values()) for n in range(CLIPS)]
    )
    record = study_in(folder, STUDY).params.representations["soundstream"]
    encoder = create_representation("soundstream", record, [mirror / "soundstream_encoder.tflite"])
    write_features(folder, "esc10", "soundstream", encoder.encode(sounds[:, None], RATE))
    decoder = folder / "data/decoders/soundstream"
    decoder.mkdir(parents=True)
    shutil.copy(mirror / "lyragan.tflite", decoder)
    (decoder / "record.json").write_text('{"files": [{"file": "lyragan.tflite"}]}', encoding="utf-8")


def write_features(folder: Path, dataset: str, representation: str, features: np.ndarray) -> None:
    """Write features as `featurize` leaves them."""
    study = study_in(folder, STUDY)
    with chdir(folder):
        provenance = study.feature_provenance(dataset, representation)
    put_features(folder / study.features(dataset, representation), features, provenance=provenance)


def relabel(folder: Path) -> None:
    """Let two tones be one class `outer`, and the third be `middle` but for a clip of validation, `rare`."""
    path = folder / "data/splits/esc10/windows.csv"
    table = pd.read_csv(path)
    table["label"] = table["label"].replace({"high": "outer", "low": "outer"})
    table.loc[table["clip"] == "middle/3.wav", "label"] = "rare"
    table.to_csv(path, index=False)


def write_model(folder: Path, dataset: str, params: Params, spectra: np.ndarray) -> None:
    """Write weights whose prototypes are `spectra` [classes, bands] in dB; that of `low` is 17 dB softer and raised."""
    classes = sorted(TONES)
    protocol = params.protocols[PROTOCOL]
    torch.manual_seed(0)
    network = build_network(protocol, spectra.shape[1], 32, len(classes), None)
    layer = last_layer(network, PrototypeLayer)
    spectra = spectra.copy()
    spectra[classes.index("low")] -= GAIN
    layer.prototypes.data.copy_(layer.scale(torch.from_numpy(spectra))[..., None])
    assert layer.decoders is not None
    number = classes.index("low")
    layer.decoders.last_bias.data[number, 0, 0] = math.atanh(GAIN / 170 / 0.5)
    models = folder / "data/models" / STUDY / dataset / REPRESENTATION / PROTOCOL
    models.mkdir(parents=True)
    notes = {"epoch": 1, "diverged_at_epoch": None, "classes": classes}
    save_file(network.state_dict(), models / "fold_1-seed_0.safetensors", metadata={"notes": json.dumps(notes)})
