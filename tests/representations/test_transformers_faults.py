"""What is wrong with a model of the hub is told in one line, before anything is encoded."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from beyond_spectrograms.params import Transformers
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import CheckpointError, RepresentationError
from beyond_spectrograms.util.errors import MissingPackageError
from support.common import refusal
from support.tiny_models import edit_json, files_of, write_tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("saved")
    for kind in ("wav2vec2", "encodec", "clap", "whisper", "audio-spectrogram-transformer"):
        write_tiny(base / kind, kind)
    return base


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Callable[[str], Path]:
    return lambda kind: Path(shutil.copytree(saved / kind, tmp_path / kind))


def make(files: list[Path], **more: Any) -> object:
    record = Transformers(kind="transformers", **({"weights": "tiny", "context": "window"} | more))
    return create_representation("tiny", record, files)


def wrong(folder: Path, **more: Any) -> str:
    return refusal((CheckpointError, RepresentationError), make, files_of(folder), **more)


def test_a_file_that_is_missing_or_not_listed_is_named(copied: Any) -> None:
    folder = copied("wav2vec2")
    files = files_of(folder)
    told = "tiny: its record under hub lists no {}. It lists {}."
    no_config = "config.json, which says what the model is"
    assert refusal(CheckpointError, make, files[1:]) == told.format(
        no_config, "model.safetensors, preprocessor_config.json"
    )
    no_extractor = "preprocessor_config.json, which says what sound the model takes"
    assert refusal(CheckpointError, make, files[:2]) == told.format(no_extractor, "config.json, model.safetensors")
    files[1].unlink()
    assert refusal(CheckpointError, make, files) == (
        "tiny: its weights file is missing. Run its featurize stage, which fetches it."
    )


def test_tensors_that_config_does_not_describe_are_named_and_nothing_is_drawn_at_random(copied: Any) -> None:
    folder = copied("wav2vec2")
    edit_json(folder / "config.json", num_hidden_layers=3, intermediate_size=48)
    start = "wav2vec2.encoder.layers"
    assert wrong(folder) == (
        f"{folder}: its tensors are not those that config.json describes: it lacks {start}.2.attention.k_proj.bias, "
        f"{start}.2.attention.k_proj.weight, {start}.2.attention.out_proj.bias and 13 more; it has in other shapes "
        f"{start}.0.feed_forward.intermediate_dense.bias, {start}.0.feed_forward.intermediate_dense.weight, "
        f"{start}.0.feed_forward.output_dense.weight and 3 more. Delete the folder, and run the featurize stage, which "
        "fetches it again."
    )
    edit_json(folder / "config.json", num_hidden_layers=1, intermediate_size=32)
    assert wrong(folder) == (
        f"{folder}: its tensors are not those that config.json describes: it has besides "
        f"{start}.1.attention.k_proj.bias, {start}.1.attention.k_proj.weight, {start}.1.attention.out_proj.bias and 13 "
        "more. Delete the folder, and run the featurize stage, which fetches it again."
    )


def test_pickles_are_not_read(copied: Any) -> None:
    folder = copied("wav2vec2")
    (folder / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(1)}, folder / "pytorch_model.bin")
    assert wrong(folder) == (
        "tiny: its record under hub lists no .safetensors. It lists config.json, preprocessor_config.json, "
        "pytorch_model.bin; of weights only safetensors are read, for a pickle may run code."
    )
    path = (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    assert wrong(folder) == (
        f"{path}: not a safetensors file: Error while deserializing header: header too large. A pickle, which may run "
        "code, is not read. Delete it and download it again."
    )


def test_a_model_that_is_not_known_or_not_the_one_named_is_refused(copied: Any) -> None:
    folder = copied("wav2vec2")
    assert wrong(folder, architecture="hubert") == (
        f"tiny: architecture is hubert, and {folder / 'config.json'} says wav2vec2"
    )
    edit_json(folder / "config.json", model_type="bert")
    known = "audio-spectrogram-transformer, clap, dac, data2vec-audio, encodec, hubert, mimi, wav2vec2, wavlm, whisper"
    assert wrong(folder) == f"tiny: its model is of model_type 'bert'. Known are {known}, xcodec."
    edit_json(folder / "config.json", model_type="hubert")
    assert wrong(folder) == (
        f"{folder / 'config.json'}: names the class Wav2Vec2ForPreTraining, which is none of hubert in transformers "
        "5.24.0"
    )
    edit_json(folder / "config.json", model_type=None)
    assert wrong(folder) == f"{folder / 'config.json'}: names no model_type"
    (folder / "config.json").write_text("{")
    assert wrong(folder) == (
        f"{folder / 'config.json'}: not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char "
        "1)"
    )
    edited = copied("whisper")
    edit_json(edited / "preprocessor_config.json", feature_extractor_type="ClapFeatureExtractor")
    assert wrong(edited) == (
        f"{edited / 'preprocessor_config.json'}: is of ClapFeatureExtractor, not of WhisperFeatureExtractor"
    )
    broken = copied("encodec")
    edit_json(broken / "config.json", codebook_size=63)
    assert wrong(broken) == f"{broken}: EncodecModel cannot be loaded from it: The codebook_size must be a power of 2."


def test_rates_and_lengths_that_do_not_fit_are_refused(copied: Any) -> None:
    codec = copied("encodec")
    edit_json(codec / "preprocessor_config.json", sampling_rate=32_000)
    assert wrong(codec) == f"{codec}: config.json says 24000 Hz, preprocessor_config.json 32000 Hz"
    encoder = copied("wav2vec2")
    edit_json(encoder / "preprocessor_config.json", sampling_rate=96_000)
    assert wrong(encoder) == "tiny: its model takes 96000 Hz; clips are stored at 48000 Hz at most"
    edit_json(encoder / "preprocessor_config.json", sampling_rate=16_000)
    edit_json(encoder / "config.json", sampling_rate=8000)
    assert wrong(encoder) == f"{encoder}: config.json says 8000 Hz, preprocessor_config.json 16000 Hz"
    whisper = copied("whisper")
    edit_json(whisper / "preprocessor_config.json", chunk_length=30, n_samples=480_000, nb_max_frames=3000)
    assert wrong(whisper) == ("tiny, of architecture whisper: its extractor gives 3000 frames, the model takes 400")
    ast = copied("audio-spectrogram-transformer")
    edit_json(ast / "preprocessor_config.json", max_length=512)
    assert wrong(ast) == (
        "tiny, of architecture audio-spectrogram-transformer: its extractor gives 512 frames, the model takes 1024"
    )


@pytest.mark.parametrize(
    ("kind", "asked", "told"),
    [
        ("wav2vec2", {"layer": 3}, "layer 3 is not there. It has 0 to 2, and inputs."),
        ("wav2vec2", {"layers": [1, 7], "join": "mean"}, "layer 7 is not there. It has 0 to 2, and inputs."),
        ("wav2vec2", {"layer": "projected"}, "layer projected is not there. It has 0 to 2, and inputs."),
        ("wav2vec2", {"codebooks": 2}, "codebooks are not there: it is no codec"),
        (
            "wav2vec2",
            {"layer": "inputs", "context": "clip"},
            "inputs are of windows: choose context: window",
        ),
        ("clap", {"layer": 1}, "layer 1 is not there. It has projected, inputs and, where none is named, the last."),
        ("encodec", {"layer": 1}, "layer and layers are not there: it is a codec, which has codebooks"),
        ("encodec", {"codebooks": 5}, "5 codebooks are not there. It has 1 to 4."),
        (
            "encodec",
            {"codebooks": 2, "codes": True, "entries": 1024},
            "entries is 1024, and a codebook has 64",
        ),
    ],
)
def test_what_a_model_does_not_have_is_refused_with_what_it_has(
    kind: str, asked: dict[str, Any], told: str, saved: Path
) -> None:
    assert wrong(saved / kind, **asked) == f"tiny, of architecture {kind}: {told}"


def test_texts_need_a_text_tower_and_a_tokenizer(copied: Any) -> None:
    none = "tiny: has no text tower, which classifier: zero_shot needs. Choose a CLAP model with layer: projected."
    clap = files_of(copied("clap"))
    for files in (files_of(copied("wav2vec2")), clap):
        made: Any = make(files)
        assert refusal(RepresentationError, made.embed_text, ["a dog"]) == none
    made = make([path for path in clap if "tokenizer" not in path.name], layer="projected")
    assert refusal(CheckpointError, made.embed_text, ["a dog"]) == (
        "tiny: its record under hub lists no tokenizer.json, which prompts need. It lists config.json, "
        "model.safetensors, preprocessor_config.json."
    )


def test_transformers_that_is_not_installed_is_named_with_its_extra(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from beyond_spectrograms.util import errors

    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "transformers" else sys)
    assert refusal(MissingPackageError, make, files_of(saved / "wav2vec2")) == (
        "transformers is not installed. Install this project with its extra 'transformers' (pip install -e "
        "'.[transformers]' in its folder), or run pip install transformers."
    )


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"weights": None}, "weights: null is for layer: inputs of an architecture, which needs none"),
        (
            {"weights": None, "layer": "inputs"},
            "weights: null is for layer: inputs of an architecture, which needs none",
        ),
        (
            {"layer": 1, "layers": [1, 2], "join": "mean"},
            "layer and layers are two ways to do one thing: choose one",
        ),
        ({"layers": [1, 2]}, "layers need join: mean or stack, and join needs layers"),
        ({"join": "mean"}, "layers need join: mean or stack, and join needs layers"),
        ({"layers": [1, 1], "join": "mean"}, "layers [1, 1] name one twice"),
        ({"layer": 1, "codebooks": 2}, "codebooks are a codec's, layer and layers an encoder's: choose one"),
        (
            {"codes": True, "codebooks": 2},
            "codes need codebooks and entries, a codebook's size; entries are of codes alone",
        ),
        (
            {"entries": 64, "codebooks": 2},
            "codes need codebooks and entries, a codebook's size; entries are of codes alone",
        ),
    ],
)
def test_a_record_that_says_two_things_is_refused(asked: dict[str, Any], told: str) -> None:
    error = refusal(ValidationError, make, [], **asked)
    assert f"Value error, {told} [" in error
