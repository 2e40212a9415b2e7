"""What is fuzzed: makers of undamaged files, and what the project reads them with."""

import bz2
import csv
import functools
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import soundfile

from beyond_spectrograms.codec.ecdc import read_header, write_ecdc
from beyond_spectrograms.codec.files import decode_file, open_codec
from beyond_spectrograms.codec.streaming import Streamer
from beyond_spectrograms.data.archives import unpack
from beyond_spectrograms.data.audio import BadAudioError
from beyond_spectrograms.data.sound_files import decode_sound, open_sound, read_recording
from beyond_spectrograms.evaluation.agreement import check_agrees
from beyond_spectrograms.evaluation.clip_results import recordings_of
from beyond_spectrograms.evaluation.convergence import read_curves
from beyond_spectrograms.evaluation.records import COLUMNS, CURVE_COLUMNS, Scores, read_cells
from beyond_spectrograms.inference.card import ModelError
from beyond_spectrograms.inference.ecdc import read_ecdc
from beyond_spectrograms.inference.label_table import read_labels
from beyond_spectrograms.params import load_params
from beyond_spectrograms.params.layouts import LabelTable
from support.common import noise
from support.fuzzing import Target
from support.repository import REPOSITORY

RATE = 22_050
SOUND = noise(0.3, RATE)
AUDIO = {  # kind -> (libsndfile's format, subtypes, Hz)
    "wav": ("WAV", ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM"), RATE),
    "wavex": ("WAVEX", ("PCM_16", "FLOAT"), RATE),
    "rf64": ("RF64", ("PCM_16", "FLOAT"), RATE),
    "w64": ("W64", ("PCM_16", "IMA_ADPCM"), RATE),
    "aiff": ("AIFF", ("PCM_16", "PCM_24", "IMA_ADPCM"), RATE),
    "caf": ("CAF", ("PCM_16", "ALAC_16"), RATE),
    "au": ("AU", ("PCM_16", "ULAW"), RATE),
    "flac": ("FLAC", ("PCM_16", "PCM_24"), RATE),
    "ogg": ("OGG", ("VORBIS",), RATE),
    "opus": ("OGG", ("OPUS",), 48_000),
    "mp3": ("MP3", ("MPEG_LAYER_III",), RATE),
}


def fresh(folder: Path) -> Path:
    """Make an empty folder."""
    place = folder / "work"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


def sounds(kind: str) -> Sequence[bytes]:
    form, subtypes, rate = AUDIO[kind]
    made = []
    for subtype in subtypes:
        file = io.BytesIO()
        soundfile.write(file, np.stack([SOUND, SOUND[::-1]], axis=1), rate, format=form, subtype=subtype)
        made.append(file.getvalue())
    return made


def read_sound(content: bytes, folder: Path, kind: str) -> None:
    """Read a sound as `train` does, as an upload, and where it can be from a pipe."""
    path = folder / f"sound.{kind}"
    path.write_bytes(content)
    first: BadAudioError | None = None
    for read in (_from_file, _from_memory, _from_pipe):
        try:
            read(path, content)
        except BadAudioError as error:
            first = first or error
    if first is not None:
        raise first


def _from_file(path: Path, _: bytes) -> None:
    assert np.isfinite(read_recording(path, (0.01, 600)).samples).all()


def _from_memory(_: Path, content: bytes) -> None:
    with decode_sound(io.BytesIO(content)) as sound:
        for block in sound.blocks():
            assert block.shape[1] == sound.channels


def _from_pipe(path: Path, content: bytes) -> None:
    if content[:4] not in (b"RIFF", b".snd"):
        return
    pipe = path.with_name("pipe")
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)

    def feed() -> None:
        with suppress(BrokenPipeError), pipe.open("wb") as file:
            file.write(content)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        with open_sound(pipe) as sound:
            for _ in sound.blocks():
                pass
    finally:
        feeder.join()


def make_ecdc(samples: int = 48_000, codebooks: int = 8) -> bytes:
    header = json.dumps({"m": "encodec_24khz", "al": samples, "nc": codebooks, "lm": False}).encode()
    bits = -(-samples * 75 // 24_000) * codebooks * 10
    codes = np.random.default_rng(codebooks).bytes(-(-bits // 8))
    return b"ECDC\0" + len(header).to_bytes(4) + header + codes


def read_codes(content: bytes, folder: Path) -> None:
    def no_model() -> NoReturn:
        raise ModelError("no language model")

    path = folder / "sound.ecdc"
    path.write_bytes(content)
    codes, seconds = read_ecdc(path, 6000, no_model)
    assert codes.shape[0] == 8
    assert codes.min() >= 0
    assert codes.max() < 1024
    assert seconds > 0


@functools.cache
def _codec() -> tuple[bytes, bytes]:
    """Make a small codec of ours, and what it codes of a sound."""
    from support.codecs import write_codec

    with tempfile.TemporaryDirectory() as folder:
        path, place = write_codec(Path(folder, "codec.safetensors")), Path(folder, "sound.ecdc")
        by = open_codec(path)
        write_ecdc(place, Streamer(*by).encode([SOUND[None]], 600), by.layout)
        return path.read_bytes(), place.read_bytes()


def read_codec(content: bytes, folder: Path) -> None:
    """Open a codec, and code a sound by it if it is one."""
    path = folder / "codec.safetensors"
    path.write_bytes(content)
    by = open_codec(path)
    network = by.codec.network
    coded = Streamer(*by).encode([np.repeat(SOUND[None], network.channels, axis=0)], network.bitrates[0])
    for block in Streamer(*by).decode(coded):
        assert np.isfinite(block).all()


def read_coded(content: bytes, folder: Path) -> None:
    """Decode what the small codec is said to have coded."""
    path = folder / "codec.safetensors"
    path.write_bytes(_codec()[0])
    decode_file(content, read_header(content), open_codec(path), folder / "sound.wav", None)


TABLE = LabelTable(member=r"meta/x\.csv", file="file", label="label")
FILES = {f"audio/{name}.wav": np.random.default_rng(number).bytes(700) for number, name in enumerate("abcdé")}
FILES["meta/x.csv"] = "".join(["file,label\n", *(f"{name}.wav,Dog {name}\n" for name in "abcdé")]).encode()
FILES[f"audio/{'long' * 30}/more.txt"] = b"more"


def make_tars() -> list[bytes]:
    made = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as tar:
            for name, content in FILES.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        made.append(file.getvalue().rstrip(b"\0") + bytes(1024))
    return made


def make_zips() -> list[bytes]:
    made = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", compression) as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
        made.append(file.getvalue())
    return made


def read_archive(content: bytes, folder: Path, pack: Callable[[bytes], bytes] = bytes) -> None:
    place = fresh(folder)
    (place / "x").write_bytes(pack(content))
    unpack(place / "x", r"audio/(?P<file>.*\.wav)", TABLE, place / "audio")
    files = {path for path in place.rglob("*") if path.is_file()} - {place / "x"}
    assert all(path.parent.parent == place / "audio" for path in files)


@functools.cache
def _model(folder: Path) -> Path:
    from support.models import write_model

    return write_model(folder / "model")


def make_model(name: str) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [(_model.__wrapped__(Path(folder)) / name).read_bytes()]


def read_tensors(content: bytes, folder: Path) -> None:
    """Load a model whose card says that these tensors are the right ones."""
    from beyond_spectrograms import load_model

    model = _model(folder)
    path = model / "classifier.safetensors"
    path.write_bytes(content)
    card = json.loads((model / "card.json").read_text())
    told = {"file": path.name, "bytes": len(content) or 1, "sha256": hashlib.sha256(content).hexdigest()}
    (model / "card.json").write_text(json.dumps(card | {"classifier_file": told}))
    load_model(model, device="cpu")


def read_card(content: bytes, folder: Path) -> None:
    from beyond_spectrograms import load_model

    model = _model(folder)
    (model / "card.json").write_bytes(content)
    load_model(model, device="cpu")


def read_params(content: bytes, folder: Path, name: str) -> None:
    """Load params of which one file is another."""
    place = folder / "checkout"
    if not place.exists():
        place.mkdir()
        shutil.copytree(REPOSITORY / "datasets", place / "datasets")
        for file in ("params.yaml", "versions.yaml"):
            shutil.copy(REPOSITORY / file, place)
    (place / name).write_bytes(content)
    load_params(root=place, pinned=False)


def make_results() -> tuple[str, str, dict[str, Any]]:
    """Make two runs' rows of three recordings, their curves, and the scores they go with."""
    of_cell = "mel,fair,1,{seed}"
    rows, epochs = [",".join(COLUMNS)], [",".join(CURVE_COLUMNS)]
    for seed in range(2):
        start = of_cell.format(seed=seed)
        rows += [f"{start},{label}/1.wav,g{label},{label},4,{2 + seed},{label},{label}" for label in ("a", "b", "c")]
        epochs += [f"{start},{epoch},0.{epoch},1.5,0.{epoch},1.25" for epoch in range(1, 5)]
    none = {"window_accuracy": 15 / 24, "recording_accuracy": 1.0, "class_accuracy": 15 / 24}
    run = none | {"epoch": 4, "fold": 1, "diverged_at_epoch": None, "weights_sha256": None}
    scores = none | {"folds": 1, "seeds": 2, "diverged_runs": 0, "windows": 24, "silent_windows": 0, "recordings": 3}
    scores |= {"without_silent": none, "by_fold": [run | {"seed": seed} for seed in range(2)], "provenance": {}}
    scores |= {"confusion": {"classes": ["a", "b", "c"], "counts": [[5, 3, 0], [3, 5, 0], [0, 3, 5]]}}
    scores |= {"training": {"device": "cpu", "precision": "fp32", "seconds_by_run": {}}}
    return "\n".join([*rows, ""]), "\n".join([*epochs, ""]), scores


def read_result_tables(content: bytes, folder: Path, pack: Callable[[bytes], bytes], what: str) -> None:
    path = folder / f"{what}.csv.gz"
    path.write_bytes(pack(content))
    if what == "curves":
        read_curves(path)
        return
    cells = read_cells(path, COLUMNS)
    for cell, rows in cells.items():
        recordings_of(cell, rows, path)
    check_agrees(path, cells, {"mel-fair": Scores.model_validate(make_results()[2])})


def make_label_tables() -> list[bytes]:
    rows = [
        ["a.wav", "Dog", "g1", "0", "0.2"],
        ["a.wav", "Cat", "g1", "0.2", "0.3"],
        ["b.wav", "Dog|Cat", "g2", "", ""],
    ]
    file = io.StringIO()
    csv.writer(file).writerows([["file", "label", "group", "start", "end"], *rows])
    return [file.getvalue().encode(), b"file,label\na.wav,Dog\nb.wav,Cat\n"]


def read_label_table(content: bytes, folder: Path) -> None:
    for name in "ab":
        if not (folder / f"{name}.wav").exists():
            soundfile.write(folder / f"{name}.wav", SOUND, RATE)
    (folder / "labels.csv").write_bytes(content)
    read_labels(folder / "labels.csv", folder)


def plainly(content: bytes) -> bytes:
    return gzip.compress(content, 1)


def text_of(*names: str) -> list[bytes]:
    return [(REPOSITORY / name).read_bytes() for name in names]


TARGETS = {
    **{kind: Target(partial(sounds, kind), partial(read_sound, kind=kind)) for kind in AUDIO},
    "ecdc": Target(lambda: [make_ecdc(), make_ecdc(24_001, 32)], read_codes),
    "codec": Target(lambda: [_codec()[0]], read_codec),
    "ecdc of ours": Target(lambda: [_codec()[1]], read_coded),
    "tar": Target(make_tars, read_archive),
    "tar.gz": Target(lambda: list(map(plainly, make_tars())), read_archive),
    "tar in gz": Target(make_tars, partial(read_archive, pack=plainly)),
    "tar.bz2": Target(lambda: list(map(bz2.compress, make_tars())), read_archive),
    "tar.xz": Target(lambda: list(map(lzma.compress, make_tars())), read_archive),
    "zip": Target(make_zips, read_archive),
    "safetensors": Target(partial(make_model, "classifier.safetensors"), read_tensors),
    "card": Target(partial(make_model, "card.json"), read_card, lines=True),
    "params": Target(partial(text_of, "params.yaml"), partial(read_params, name="params.yaml"), lines=True),
    "dataset": Target(
        partial(text_of, "datasets/esc10.yaml", "datasets/demo.yaml"),
        partial(read_params, name="datasets/esc10.yaml"), lines=True,
    ),
    "versions": Target(partial(text_of, "versions.yaml"), partial(read_params, name="versions.yaml"), lines=True),
    "predictions": Target(
        lambda: [make_results()[0].encode()], partial(read_result_tables, pack=plainly, what="predictions")
    ),
    "predictions.csv.gz": Target(
        lambda: [plainly(make_results()[0].encode())], partial(read_result_tables, pack=bytes, what="predictions")
    ),
    "curves": Target(lambda: [make_results()[1].encode()], partial(read_result_tables, pack=plainly, what="curves")),
    "labels": Target(make_label_tables, read_label_table, lines=True),
}  # fmt: skip
