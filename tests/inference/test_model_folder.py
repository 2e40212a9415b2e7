"""A model folder is whole and of a known version, or it is refused with what to do."""

import io
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

import beyond_spectrograms
from beyond_spectrograms import load_model
from beyond_spectrograms.inference import ModelError
from beyond_spectrograms.inference.folder import save_model
from beyond_spectrograms.representations import create_representation
from support import common, models
from support.models import edit_card, store

AGAIN = "Copy the whole folder, or export the model again."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return models.write_model(tmp_path / "model")


refusal = partial(common.refusal, ModelError, load_model)


def test_a_model_is_read_back_as_it_was_written(folder: Path) -> None:
    model = load_model(folder, device="cpu")
    assert model.card == models.card(folder.with_name("model.safetensors"))
    assert (model.classes, model.representation.bands) == (("high", "low"), models.BANDS)
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "classifier.safetensors"]


def test_a_folder_that_is_not_whole_is_refused(folder: Path, tmp_path: Path) -> None:
    none, path = tmp_path / "none", folder / "classifier.safetensors"
    assert refusal(none) == f"{none}: no such folder. A model is made by `beyond-spectrograms train` or `export`."
    (folder / "notes.txt").write_text("mine")
    assert refusal(folder) == f"{folder}: notes.txt is no part of the model. Remove it from the folder."
    (folder / "notes.txt").unlink()
    before = models.describe_file(path)
    path.write_bytes(path.read_bytes() + b"\0")
    after = models.describe_file(path)
    assert refusal(folder) == (
        f"{path}: {after.bytes} bytes, sha256 {after.sha256}; the model's card says {before.bytes} bytes, sha256 "
        f"{before.sha256}. {AGAIN}"
    )
    path.unlink()
    assert refusal(folder) == f"{folder}: classifier.safetensors is missing. {AGAIN}"
    path.mkdir()
    assert refusal(folder) == f"{path}: is a directory. {AGAIN}"
    (folder / "card.json").unlink()
    assert refusal(folder) == f"{folder}: card.json is missing. {AGAIN}"


@pytest.mark.parametrize("version", [2, "1", None, True, 1.0])
def test_another_version_is_refused(folder: Path, version: object) -> None:
    edit_card(folder, version=version)
    assert refusal(folder) == (
        f"{folder}/card.json: version {version!r} of the format; this program reads 1. Use the beyond-spectrograms "
        "that exported the model, or export it again with this one."
    )


@pytest.mark.parametrize("content", ["{}", "[1]", '{"format": "other"}', "[" * 100_000])
def test_what_is_no_card_is_refused(folder: Path, content: str) -> None:
    (folder / "card.json").write_text(content)
    reason = "not the card of a model: its format is not 'beyond-spectrograms model'. Export the model again."
    if len(content) > 100:
        reason = "not JSON: maximum recursion depth exceeded"
    assert refusal(folder).startswith(f"{folder}/card.json: {reason}")


def no_plain_name(name: str) -> dict[str, Any]:
    file = {"file": name, "bytes": 1, "sha256": "0" * 64, "url": "none", "licence": "none", "included": False}
    return {"encoder_files": [file]}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (no_plain_name("../b"), "encoder_files.0.file: '../b' is no plain file name."),
        (no_plain_name("a\\b"), "encoder_files.0.file: 'a\\\\b' is no plain file name."),
        (no_plain_name(""), "encoder_files.0.file: '' is no plain file name."),
        ({"classes": ["high", ""]}, "a class has no name."),
        ({"classes": ["low", "low"]}, "classes name one twice."),
        ({"untrained_encoder": True}, "untrained_encoder and representation.record.weights contradict each other."),
        ({"colour": "red"}, "colour: Extra inputs are not permitted, not 'red'."),
    ],
)
def test_a_wrong_card_is_refused(folder: Path, changes: dict[str, Any], problem: str) -> None:
    edit_card(folder, **changes)
    assert refusal(folder).splitlines() == [
        f"{folder}/card.json: {problem}",
        "Copy the model again, or export it again with this program.",
    ]


def test_all_problems_of_a_card_are_told_together(folder: Path) -> None:
    edit_card(folder, scores={"window_accuracy": "good"})
    card = folder / "card.json"
    card.write_text(card.read_text().replace('"fold": 1, ', ""))
    assert refusal(folder).splitlines()[:2] == [
        f"{folder}/card.json: training.fold: Field required.",
        f"{folder}/card.json: scores.window_accuracy: Input should be a valid number, not 'good'.",
    ]


def test_figures_that_do_not_follow_from_the_record_are_refused(folder: Path) -> None:
    edit_card(folder, representation={"frames": 100})
    assert refusal(folder) == (
        f"{folder}/card.json: sample rate, channels, bands and frames of mel_16 are [22050, 1, 16, 100]; its record "
        f"and a window of 1 s make them [22050, 1, 16, 173]. {AGAIN}"
    )


def test_tensors_that_are_not_the_networks_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "classifier.safetensors")
    tensors["2.wieght"] = tensors.pop("2.weight")
    path = store(folder, save(tensors | {"2.bias": torch.full((3,), torch.nan)}))
    assert refusal(folder) == (
        f"{path}: tensors 2.weight are missing; tensors 2.wieght are unknown; tensor 2.bias is [3], not [2]; tensor "
        "2.bias has values that are not finite. The card and the file do not belong together: export again."
    )


def test_a_pickle_is_never_opened(folder: Path) -> None:
    pickled = io.BytesIO()
    torch.save({"2.bias": torch.zeros(2)}, pickled)
    path = store(folder, pickled.getvalue())
    assert refusal(folder).startswith(f"{path}: not a safetensors file: ")


def test_a_place_that_is_taken_is_left_as_it_is(folder: Path) -> None:
    stored = folder.with_name("model.safetensors")
    told = common.refusal(ModelError, save_model, folder, models.card(stored), stored, [])
    assert told == f"{folder}: exists already. Choose another name, or remove it."


def test_weights_that_may_not_be_copied_are_looked_for_elsewhere(tmp_path: Path) -> None:
    weights, place = tmp_path / "encoder.bin", tmp_path / "elsewhere"
    weights.write_bytes(b"weights")
    file = models.describe_file(weights).model_dump()
    file |= {"url": "https://there/encoder.bin", "licence": "CC BY-NC 4.0", "included": False}
    folder = models.write_model(tmp_path / "model", encoder_files=[file])
    remedy = (
        "The weights of mel_16 (CC BY-NC 4.0) are no part of a model's folder. Download https://there/encoder.bin and "
        "name its folder with --weights (in Python: load_model(..., weights=folder))."
    )
    assert refusal(folder, weights=place) == f"{place}/encoder.bin: no such file. {remedy}"
    place.mkdir()
    (place / "encoder.bin").write_bytes(b"others")
    assert refusal(folder, weights=place).endswith(remedy)
    (place / "encoder.bin").write_bytes(b"weights")
    assert load_model(folder, weights=place).classes == ("high", "low")


def test_an_untrained_encoder_is_announced(tmp_path: Path) -> None:
    name = "encodec_24khz_untrained"
    record = models.PARAMS.representations[name]
    encoder = models.encoder(create_representation(name, record, []), record)
    folder = models.write_model(tmp_path / "model", 128, representation=encoder, untrained_encoder=True)
    with pytest.warns(UserWarning, match="untrained") as warned:
        load_model(folder, device="cpu")
    assert [str(warning.message) for warning in warned] == [
        f"{folder}: the encoder of encodec_24khz_untrained is untrained, its weights are random: a control, and no "
        "result of the codec"
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_not_asked_for_in_vain(folder: Path) -> None:
    assert refusal(folder, device="cuda") == "device is cuda, and torch finds no CUDA device. Choose auto or cpu."


def test_the_package_stays_light_until_a_model_is_loaded() -> None:
    heavy = "{'torch', 'librosa', 'numpy', 'pydantic'}"
    code = f"import sys, beyond_spectrograms; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=models.REPOSITORY) == "[]\n"
    with pytest.raises(AttributeError, match="has no attribute 'load_models'"):
        _ = beyond_spectrograms.load_models
