"""What is wrong with a model of the hub is told in one line, before anything is encoded."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from beyond_spectrograms.params import Transformers
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import CheckpointError, RepresentationError
from beyond_spectrograms.util.errors import MissingPackageError
from beyond_spectrograms.util.text import quoted
from support.common import refusal, stack
from support.tiny_models import MAKERS, edit_json, files_of, write_tiny

APART = (
    "Both must be of one commit of one model: see where they come from, delete the folder, and run the featurize "
    "stage, which fetches them again."
)


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
        f"{start}.0.feed_forward.output_dense.weight and 3 more. {APART}"
    )
    edit_json(folder / "config.json", num_hidden_layers=1, intermediate_size=32)
    assert wrong(folder) == (
        f"{folder}: its tensors are not those that config.json describes: it has besides "
        f"{start}.1.attention.k_proj.bias, {start}.1.attention.k_proj.weight, {start}.1.attention.out_proj.bias and 13 "
        f"more. {APART}"
    )


# By architecture, a tensor that config.json does not describe: of a part that is heard, under a name of its own.
STRANGERS = {
    "audio-spectrogram-transformer": "audio_spectrogram_transformer.stranger",
    "clap": "audio_model.audio_encoder.stranger",
    "dac": "encoder.stranger",
    "data2vec-audio": "data2vec_audio.encoder.stranger",
    "encodec": "encoder.stranger",
    "encodec_48khz": "encoder.stranger",
    "hubert": "encoder.stranger",
    "mimi": "encoder.stranger",
    "wav2vec2": "wav2vec2.encoder.stranger",
    "wavlm": "encoder.stranger",
    "whisper": "model.encoder.stranger",
    "xcodec": "acoustic_encoder.stranger",
}


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_tensor_that_config_does_not_describe_is_named_of_every_architecture(kind: str, tmp_path: Path) -> None:
    write_tiny(tmp_path, kind)
    make(files_of(tmp_path))
    edit_tensors(tmp_path, lambda tensors: tensors.update({STRANGERS[kind]: torch.zeros(1)}))
    assert wrong(tmp_path) == (
        f"{tmp_path}: its tensors are not those that config.json describes: it has besides {STRANGERS[kind]}. {APART}"
    )


def test_strangers_are_tried_of_every_architecture() -> None:
    assert set(STRANGERS) == set(MAKERS)


def test_layers_of_a_codec_that_config_does_not_describe_are_named(tmp_path: Path) -> None:
    write_tiny(tmp_path, "mimi")
    edit_json(tmp_path / "config.json", num_hidden_layers=1)
    assert "it has besides decoder.decoder_transformer.layers.1." in wrong(tmp_path)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm", "data2vec-audio"])
def test_what_masks_sound_in_training_alone_may_be_missing_or_superfluous(kind: str, tmp_path: Path) -> None:
    write_tiny(tmp_path, kind)
    before: Any = make(files_of(tmp_path))
    windows = stack(1, before.form)
    expected = before.encode(windows, 16_000)
    if kind == "hubert":  # whose config has no use for it, and whose file has it
        edit_json(tmp_path / "config.json", mask_time_prob=0.0, mask_feature_prob=0.0)
    else:  # as facebook/wav2vec2-base-960h, whose file lacks it

        def drop(tensors: dict[str, torch.Tensor]) -> None:
            for key in [key for key in tensors if key.endswith("masked_spec_embed")]:
                del tensors[key]

        edit_tensors(tmp_path, drop)
    found: Any = make(files_of(tmp_path))
    np.testing.assert_array_equal(found.encode(windows, 16_000), expected)


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


def test_rates_and_lengths_that_do_not_fit_are_refused(copied: Any, tmp_path: Path) -> None:
    codec = copied("encodec")
    edit_json(codec / "preprocessor_config.json", sampling_rate=32_000)
    assert wrong(codec) == f"{codec}: config.json says 24000 Hz, preprocessor_config.json 32000 Hz"
    write_tiny(fast := tmp_path / "fast", "dac")
    for file in ("preprocessor_config.json", "config.json"):
        edit_json(fast / file, sampling_rate=96_000)
    assert wrong(fast) == "tiny: its model takes 96000 Hz; clips are stored at 48000 Hz at most"
    for kind, rate in (("wav2vec2", 16_000), ("clap", 48_000), ("audio-spectrogram-transformer", 16_000)):
        encoder = copied(kind)
        for file in ("preprocessor_config.json", "config.json"):
            edit_json(encoder / file, sampling_rate=44_100)
            assert wrong(encoder) == f"{encoder / file}: says 44100 Hz, and {kind} hears {rate} Hz"
            edit_json(encoder / file, sampling_rate=rate)
        shutil.rmtree(encoder)
    whisper = copied("whisper")
    edit_json(whisper / "preprocessor_config.json", sampling_rate=22_050)
    assert wrong(whisper, layer="inputs") == (
        f"{whisper / 'preprocessor_config.json'}: says 22050 Hz, and whisper hears 16000 Hz"
    )
    edit_json(whisper / "preprocessor_config.json", sampling_rate=16_000)
    edit_json(whisper / "preprocessor_config.json", chunk_length=30, n_samples=480_000, nb_max_frames=3000)
    assert wrong(whisper) == ("tiny, of architecture whisper: its extractor gives 3000 frames, the model takes 400")
    ast = copied("audio-spectrogram-transformer")
    edit_json(ast / "preprocessor_config.json", max_length=512)
    assert wrong(ast) == (
        "tiny, of architecture audio-spectrogram-transformer: its extractor gives 512 frames, the model takes 1024"
    )


@pytest.mark.parametrize(
    ("kind", "key", "taken"),
    [
        ("audio-spectrogram-transformer", "num_mel_bins", 128),
        ("whisper", "feature_size", 80),
        ("clap", "feature_size", 16),
    ],
)
def test_mel_bands_that_the_model_does_not_take_are_refused(kind: str, key: str, taken: int, copied: Any) -> None:
    folder = copied(kind)
    edit_json(folder / "preprocessor_config.json", **{key: 40})
    assert wrong(folder) == f"tiny, of architecture {kind}: its extractor gives 40 mel bands, the model takes {taken}"


def test_a_window_that_is_too_short_for_a_frame_is_refused(saved: Path) -> None:
    for kind, seconds, told in (
        ("clap", 0.05, "a window of 0.05 s has no frame, which stands for 0.125 s"),
        ("wav2vec2", 0.01, "a window of 0.01 s has no frame, which stands for 0.02 s"),
    ):
        made: Any = make(files_of(saved / kind))
        windows = stack(1, made.form, seconds=seconds)
        expected = f"tiny: {told}. Choose longer windows."
        assert refusal(RepresentationError, made.encode, windows, made.form.sample_rate) == expected
        of_clip: Any = make(files_of(saved / kind), context="clip")
        clip = stack(1, made.form, seconds=2.0)[0]
        assert refusal(RepresentationError, of_clip.encode_clip, clip, [0.0], seconds) == expected


def test_a_config_that_needs_another_package_is_told_of_in_one_line(copied: Any) -> None:
    folder = copied("wav2vec2")
    edit_json(folder / "config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    told = wrong(folder)
    assert told.startswith(f"{folder}: Wav2Vec2ForPreTraining cannot be loaded from it: ")
    assert "bitsandbytes" in told
    assert "\n" not in told


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


def test_a_prompt_longer_than_the_text_tower_and_a_broken_tokenizer_are_told_of(copied: Any) -> None:
    folder = copied("clap")
    made: Any = make(files_of(folder), layer="projected")
    longest, beyond = " ".join(["dog"] * 36), " ".join(["dog"] * 37)  # beside them stand two marks
    assert made.embed_text([longest])[0].shape == (1, 12)
    assert refusal(RepresentationError, made.embed_text, ["rain", beyond]) == (
        f"tiny: prompt {quoted(beyond)} has 39 tokens; the text tower takes 38. Shorten it."
    )
    (folder / "tokenizer.json").write_text("{}")
    broken: Any = make(files_of(folder), layer="projected")
    assert refusal(CheckpointError, broken.embed_text, ["rain"]) == (
        f"{folder}: AutoTokenizer cannot be loaded from it: KeyError: 'added_tokens'"
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
