"""A model folder made to harm: no code of it runs, it is refused at once and in words that steer no terminal."""

import hashlib
import json
import os
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file, save

from beyond_spectrograms import load_model
from beyond_spectrograms.cli import main
from beyond_spectrograms.inference import ModelError
from beyond_spectrograms.inference.card import CARD_BYTES
from beyond_spectrograms.util.tensor_file import HEAD_BYTES, OF_ENCODERS, read_head
from support import common, models
from support.common import tone
from support.models import edit_card, store
from support.repository import Capture, Patch

refusal = partial(common.refusal, ModelError, load_model)
NO_NUMBERS = (
    "the classifier's answers are not finite numbers: its weights or its temperature are too large or too small. Train "
    "or export the model again."
)
MODULE = """
import torch
print("code of a module ran")
class Levels(torch.nn.Module):
    sample_rate, timestamp_embedding_size, scene_embedding_size = 22050, 16, 16
def load_model(path=""):
    return Levels()
def get_timestamp_embeddings(audio, model):
    frames = audio.shape[1] // 128 + 1
    return torch.zeros(len(audio), frames, 16), (torch.arange(frames) * (128 / 22.05)).repeat(len(audio), 1)
def get_scene_embeddings(audio, model):
    return torch.zeros(len(audio), 16)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return models.write_model(tmp_path / "model")


def tensor_file(head: Any, values: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + values


def tensor(kind: str, size: int) -> dict[str, Any]:
    return {"dtype": kind, "shape": [size], "data_offsets": [0, size]}


def test_a_module_that_a_card_names_is_run_only_if_the_user_allows_it(
    folder: Path, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    (tmp_path / "levels_of_others.py").write_text(MODULE)
    soundfile.write(tmp_path / "sound.wav", tone(2, 400), 44_100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    record = {"kind": "hear", "module": "levels_of_others", "weights": None, "model": ""}
    edit_card(folder, representation={"record": record})
    told = (
        f"{folder}: runs the code of the module levels_of_others. If you trust it, allow it with --allow-module "
        "levels_of_others (in Python: load_model(..., allowed_modules=[...])).\n"
    )
    classify = ["classify", "sound.wav", "--model", str(folder)]
    others = [["segment", *classify[1:]], ["serve", *classify[2:]], ["search", "sound.wav", ".", *classify[2:]]]
    for command in (classify, *others, [*classify, "--allow-module", "levels"]):
        assert main(command) == 1
        assert capsys.readouterr() == ("", told)
    assert main([*classify, "--allow-module", "levels_of_others", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith("code of a module ran\nsound.wav")


def named(count: int) -> bytes:
    return tensor_file({f"t{number}": tensor("F32", 0) for number in range(count)})


NOT_JSON = "not a safetensors file: its head is not JSON"
LONG = {"x" * 999: {"dtype": ["F32"] * 99}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (named(200_000), "its head has 13288890 bytes; at most 1048576 are read"),
        (named(5001), "its head names 5001 tensors; at most 5000 are read"),
        (tensor_file({"2.bias": tensor("F8_E4M3", 8)}, bytes(8)), "tensor 2.bias is of type 'F8_E4M3', not F32 or I64"),
        (tensor_file({"2.bias": None}), "tensor 2.bias is of type None, not F32 or I64"),
        (
            tensor_file(LONG),
            f"tensor {'x' * 200}... (999 signs) is of type {str(['F32'] * 99)[:200]}... (693 signs), not F32 or I64",
        ),
        (tensor_file([1]), "not a safetensors file: its head is no JSON object"),
        (tensor_file(b"{"), NOT_JSON),
        (tensor_file(b"\xff"), NOT_JSON),
        (tensor_file(b'{"a":' + b"[" * 100_000), NOT_JSON),
        (b"RIFFRIFF", "not a safetensors file: its head would be longer than itself"),
    ],
    ids=["long", "many", "type", "null", "long name", "list", "cut", "no text", "nested", "another kind of file"],
)
def test_a_head_out_of_bounds_is_refused_before_tensors_are_looked_at(
    content: bytes, problem: str, folder: Path
) -> None:
    path = store(folder, content)
    assert refusal(folder) == f"{path}: {problem}. Export the model again."


def test_the_head_of_an_encoder_is_bounded_too(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(tensor_file({"a": tensor("BF16", 0)}))
    read_head(path, OF_ENCODERS)
    path.write_bytes(tensor_file(b"{" + b" " * HEAD_BYTES + b"}"))
    folder = models.write_model(tmp_path / "model", encoder_files=[])
    origin = {"url": "https://there", "licence": "MIT", "included": True}
    (folder / path.name).write_bytes(path.read_bytes())
    edit_card(folder, encoder_files=[models.describe_file(path).model_dump() | origin])
    assert refusal(folder) == (
        f"{folder / path.name}: its head has {HEAD_BYTES + 2} bytes; at most {HEAD_BYTES} are read. Copy the whole "
        "folder, or export the model again."
    )


def test_a_file_that_was_emptied_is_refused(folder: Path) -> None:
    path = folder / "classifier.safetensors"
    wanted = models.describe_file(path)
    path.write_bytes(b"")
    assert refusal(folder) == (
        f"{path}: 0 bytes, sha256 {hashlib.sha256().hexdigest()}; the model's card says {wanted.bytes} bytes, sha256 "
        f"{wanted.sha256}. Copy the whole folder, or export the model again."
    )


def test_a_card_out_of_bounds_is_refused(folder: Path) -> None:
    card = folder / "card.json"
    card.write_text(" " * (CARD_BYTES + 1))
    told = f"{card}: {CARD_BYTES + 1} bytes; a card has at most {CARD_BYTES}. Copy or export the model again."
    assert refusal(folder) == told
    card.write_text('{"format": ' + "1" * 5000 + "}")
    assert refusal(folder).startswith(
        f"{card}: not JSON: Exceeds the limit (4300 digits) for integer string conversion"
    )


def test_a_message_does_not_repeat_all_that_is_wrong(folder: Path) -> None:
    edit_card(folder, scores={f"key{number}": "x" * 1000 for number in range(100)})
    lines = refusal(folder).splitlines()
    assert (
        lines[0]
        == f"{folder}/card.json: scores.key0: Extra inputs are not permitted, not '{'x' * 199}... (1002 signs)."
    )
    assert lines[-2:] == ["and 80 more", "Copy the model again, or export it again with this program."]
    assert len(lines) == 22


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("windows", {"length_s": 1e5}),
        ("representation", {"bands": 10**6, "frames": 10**6}),
    ],
)
def test_windows_that_no_memory_holds_are_refused(section: str, changes: dict[str, Any], folder: Path) -> None:
    edit_card(folder, **{section: changes})
    assert refusal(folder).splitlines()[0] == f"{folder}/card.json: a window has more than 100000000 values."


def test_what_a_card_says_steers_no_terminal(folder: Path, capsys: Capture) -> None:
    edit_card(folder, scores={"\x1b]0;title\x07": 1})
    assert main(["classify", "sound.wav", "--model", str(folder)]) == 1
    assert capsys.readouterr().err.splitlines()[0] == (
        f"{folder}/card.json: scores.\\x1b]0;title\\x07: Extra inputs are not permitted, not 1."
    )


@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_what_is_no_plain_file_is_not_waited_for(kind: str, folder: Path) -> None:
    path = folder / "classifier.safetensors"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    assert refusal(folder) == f"{path}: is no plain file. Copy the whole folder, or export the model again."


@pytest.mark.parametrize("command", ["classify", "segment"])
@pytest.mark.parametrize("harm", ["weights", "temperature"])
def test_answers_that_are_no_numbers_are_told_and_not_shown(
    harm: str, command: str, folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    soundfile.write(tmp_path / "sound.wav", tone(2, 400), 44_100)
    if harm == "weights":
        tensors = load_file(folder / "classifier.safetensors")
        store(folder, save({name: tensor * np.float32(3e38) for name, tensor in tensors.items()}))
    else:
        edit_card(folder, confidence={"temperature": 1e-320})
    for form in ("table", "json"):
        assert main([command, "--model", str(folder), str(tmp_path / "sound.wav"), "--format", form]) == 1
        assert capsys.readouterr() == ("", f"{NO_NUMBERS}\n")
