"""A model folder is whole and of a known version, or it is refused with what to do."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms import load_model
from beyond_spectrograms.inference import ModelError
from beyond_spectrograms.inference.folder import save_model
from support import models

AGAIN = "Copy the whole folder, or export the model again."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return models.write_model(tmp_path / "model")


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(ModelError) as error:
        load_model(folder, **options)
    return str(error.value)


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


def test_a_model_is_read_back_as_it_was_written(folder: Path) -> None:
    model = load_model(folder, device="cpu")
    assert model.card == models.card(folder.with_name("model.safetensors"))
    assert model.classes == ("high", "low")
    assert model.representation.bands == models.BANDS
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "classifier.safetensors"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert refusal(none) == f"{none}: no such folder. A model is made by `beyond-spectrograms export`."


@pytest.mark.parametrize("file", ["card.json", "classifier.safetensors"])
def test_a_missing_file_is_refused(folder: Path, file: str) -> None:
    (folder / file).unlink()
    assert refusal(folder) == f"{folder}: {file} is missing. {AGAIN}"


def test_a_file_that_does_not_belong_is_refused(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert refusal(folder) == f"{folder}: notes.txt is no part of the model. Remove it from the folder."


def test_a_changed_file_is_refused(folder: Path) -> None:
    path = folder / "classifier.safetensors"
    before = models.describe_file(path)
    path.write_bytes(path.read_bytes() + b"\0")
    after = models.describe_file(path)
    assert refusal(folder) == (
        f"{path}: {after.bytes} bytes, sha256 {after.sha256}; the model's card says {before.bytes} bytes, sha256 "
        f"{before.sha256}. {AGAIN}"
    )


@pytest.mark.parametrize("version", [2, "1", None, True, 1.0])
def test_another_version_is_refused(folder: Path, version: object) -> None:
    edit(folder, lambda card: card.update(version=version))
    assert refusal(folder) == (
        f"{folder}/card.json: version {version!r} of the format; this program reads 1. Use the beyond-spectrograms "
        "that exported the model, or export it again with this one."
    )


@pytest.mark.parametrize("content", ["{}", "[1]", '{"format": "other"}'])
def test_what_is_no_card_is_refused(folder: Path, content: str) -> None:
    (folder / "card.json").write_text(content)
    assert refusal(folder) == (
        f"{folder}/card.json: not the card of a model: its format is not 'beyond-spectrograms model'. Export the model "
        "again."
    )


def test_unknown_missing_and_wrong_keys_are_refused_together(folder: Path) -> None:
    def change(card: dict[str, Any]) -> None:
        card["colour"] = "red"
        del card["training"]["fold"]
        card["scores"]["window_accuracy"] = "good"

    edit(folder, change)
    card = folder / "card.json"
    assert refusal(folder).splitlines() == [
        f"{card}: key 'fold' is missing in training.",
        f"{card}: scores.window_accuracy: Input should be a valid number, not 'good'.",
        f"{card}: unknown key 'colour' in the card.",
        "Copy the model again, or export it again with this program.",
    ]


def test_missing_unknown_and_misshapen_tensors_are_refused(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    path = folder / "classifier.safetensors"
    tensors = load_file(path)
    tensors["2.wieght"] = tensors.pop("2.weight")
    tensors["2.bias"] = torch.zeros(3)
    save_file(tensors, path)
    edit(folder, lambda card: card.update(classifier_file=models.describe_file(path).model_dump()))
    assert refusal(folder) == (
        f"{path}: tensors 2.weight are missing; tensors 2.wieght are unknown; tensor 2.bias is [3], not [2]. The card "
        "and the file do not belong together: export again."
    )


def test_tensors_that_are_not_finite_are_refused(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "classifier.safetensors"
    tensors = load_file(path)
    tensors["2.bias"][0] = float("nan")
    save_file(tensors, path)
    edit(folder, lambda card: card.update(classifier_file=models.describe_file(path).model_dump()))
    assert refusal(folder) == (
        f"{path}: tensor 2.bias has values that are not finite. The card and the file do not belong together: export "
        "again."
    )


@pytest.mark.parametrize("name", ["/etc/hosts", "../secret", "..", "a\\b", ""])
def test_a_card_names_no_file_outside_of_its_folder(folder: Path, name: str) -> None:
    file = {"file": name, "bytes": 1, "sha256": "0" * 64, "url": "none", "licence": "none", "included": False}
    edit(folder, lambda card: card.update(encoder_files=[file]))
    assert refusal(folder).splitlines()[0] == (
        f"{folder}/card.json: encoder_files.0.file: {name!r} is no plain file name."
    )


def test_a_class_without_a_name_is_refused(folder: Path) -> None:
    edit(folder, lambda card: card.update(classes=["high", ""]))
    assert refusal(folder).splitlines()[0] == f"{folder}/card.json: the card: a class has no name."


def test_a_pickle_is_never_opened(folder: Path) -> None:
    import torch

    path = folder / "classifier.safetensors"
    torch.save({"2.bias": torch.zeros(2)}, path)
    edit(folder, lambda card: card.update(classifier_file=models.describe_file(path).model_dump()))
    assert refusal(folder).startswith(f"{path}: not a safetensors file: ")


def test_a_place_that_is_taken_is_left_as_it_is(folder: Path) -> None:
    stored = folder.with_name("model.safetensors")
    with pytest.raises(ModelError) as error:
        save_model(folder, models.card(stored), stored, [])
    assert str(error.value) == f"{folder}: exists already. Choose another name, or remove it."


def test_weights_that_may_not_be_copied_are_looked_for_elsewhere(tmp_path: Path) -> None:
    weights = tmp_path / "encoder.bin"
    weights.write_bytes(b"weights")
    file = models.describe_file(weights).model_dump()
    file |= {"url": "https://there/encoder.bin", "licence": "CC BY-NC 4.0", "included": False}
    folder = models.write_model(tmp_path / "model", encoder_files=[file])
    place = tmp_path / "elsewhere"
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
    record = models.PARAMS.representations["encodec_24khz_untrained"].model_dump()
    encoder = {"name": "encodec_24khz_untrained", "record": record, "sample_rate": 24000, "channels": 1}
    encoder |= {"bands": 128, "frames": 75, "packages": {}}
    folder = models.write_model(tmp_path / "model", 128, representation=encoder, untrained_encoder=True)
    with pytest.warns(UserWarning, match="untrained") as warned:
        load_model(folder, device="cpu")
    assert [str(warning.message) for warning in warned] == [
        f"{folder}: the encoder of encodec_24khz_untrained is untrained, its weights are random: a control, and no "
        "result of the codec"
    ]


def test_a_card_cannot_hide_an_untrained_encoder(folder: Path) -> None:
    edit(folder, lambda card: card.update(untrained_encoder=True))
    assert refusal(folder).splitlines()[0] == (
        f"{folder}/card.json: the card: untrained_encoder and representation.record.weights contradict each other."
    )


def test_figures_that_do_not_follow_from_the_record_are_refused(folder: Path) -> None:
    edit(folder, lambda card: card["representation"].update(frames=100))
    assert refusal(folder) == (
        f"{folder}/card.json: sample rate, channels, bands and frames of mel_16 are [22050, 1, 16, 100]; its record "
        "and a window of 1 s make them [22050, 1, 16, 173]. Copy the whole folder, or export the model again."
    )


def test_a_card_that_nests_without_end_is_refused(folder: Path) -> None:
    (folder / "card.json").write_text("[" * 100_000)
    assert refusal(folder).startswith(f"{folder}/card.json: not JSON: maximum recursion depth exceeded")


def test_a_folder_in_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / "classifier.safetensors").unlink()
    (folder / "classifier.safetensors").mkdir()
    assert refusal(folder) == (
        f"{folder}/classifier.safetensors: is a directory. Copy the whole folder, or export the model again."
    )


def test_cuda_is_not_asked_for_in_vain(folder: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert refusal(folder, device="cuda") == "device is cuda, and torch finds no CUDA device. Choose auto or cpu."


def test_the_package_stays_light_until_a_model_is_loaded() -> None:
    import subprocess
    import sys

    code = (
        "import sys, beyond_spectrograms; print(sorted({'torch', 'librosa', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=models.REPOSITORY
    )
    assert told.stdout == "[]\n"
    with warnings.catch_warnings():
        import beyond_spectrograms

        with pytest.raises(AttributeError, match="has no attribute 'load_models'"):
            _ = beyond_spectrograms.load_models
