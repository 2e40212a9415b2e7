"""Models of transformers as representations: what tiny ones give is what transformers' own, called plainly, gives."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from beyond_spectrograms.data.audio import Format
from beyond_spectrograms.params import Transformers
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import Features, Representation
from support.common import stack
from support.repository import REPOSITORY
from support.tiny_models import MAKERS, edit_json, files_of, write_tiny

pytestmark = pytest.mark.usefixtures("offline")
CODECS = ("dac", "encodec", "encodec_48khz", "mimi", "xcodec")
SHORT = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", *CODECS)  # whose extractor pads nothing
TOKENS = ("audio-spectrogram-transformer", "whisper", "wav2vec2", "hubert", "wavlm", "data2vec-audio")


@pytest.fixture(scope="module")
def offline() -> Iterator[None]:
    """Keep transformers from the network, whatever it is asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Find the folder of a tiny model, which is made once."""
    base = tmp_path_factory.mktemp("models")

    def folder(kind: str) -> Path:
        if not (base / kind).exists():
            write_tiny(base / kind, kind)
        return base / kind

    return folder


def make(folder: Path, context: str = "window", **more: Any) -> Representation:
    record = Transformers(kind="transformers", weights="tiny", context=context, **more)
    return create_representation("tiny", record, files_of(folder))


def encode(made: Representation, windows: Any) -> Features:
    return made.encode(windows, made.form.sample_rate)


def plain(folder: Path) -> tuple[Any, Any]:
    """Load a model and its extractor as transformers' manual says: by its Auto classes."""
    from transformers import AutoFeatureExtractor, AutoModel

    return AutoModel.from_pretrained(folder).eval(), AutoFeatureExtractor.from_pretrained(folder)


def hidden_states(model: Any, extractor: Any, sound: Any, rate: int = 16_000) -> tuple[Any, Any]:
    """Give the last output and all layers, each [tokens, bands]."""
    inputs = extractor(sound, sampling_rate=rate, return_tensors="pt")
    encoder = model.encoder if hasattr(model, "decoder") else model
    with torch.no_grad():
        found = encoder(inputs[extractor.model_input_names[0]], output_hidden_states=True)
    return found.last_hidden_state[0], [state[0] for state in found.hidden_states]


def frames_of(kind: str, tokens: Any) -> Any:
    """Bring tokens [tokens, bands] to [bands, frames]."""
    if kind != "audio-spectrogram-transformer":
        return tokens.T
    patches = [tokens[2 + 101 * row : 2 + 101 * (row + 1)] for row in range(12)]  # 12 rows of frequency
    return sum(patches).T / 12


@pytest.mark.numeric
@pytest.mark.parametrize("kind", TOKENS)
def test_an_encoders_layers_are_transformers_own(kind: str, folders: Any) -> None:
    model, extractor = plain(folders(kind))
    last, layer = make(folders(kind)), make(folders(kind), layer=1)
    joined = {join: make(folders(kind), layers=[0, 2], join=join) for join in ("mean", "stack")}
    windows = stack(2, last.form)
    made = {"last": encode(last, windows), 1: encode(layer, windows)}
    made |= {join: encode(each, windows) for join, each in joined.items()}
    count = {"whisper": 50, "audio-spectrogram-transformer": 10}.get(kind, 49)
    assert last.frames(16_000) == count
    for place, window in enumerate(windows[:, 0]):
        output, states = hidden_states(model, extractor, window)
        wanted = {"last": output, 1: states[1]}
        wanted = {key: frames_of(kind, value)[:, :count].numpy() for key, value in wanted.items()}
        first, third = (frames_of(kind, states[number])[:, :count].numpy() for number in (0, 2))
        wanted |= {"mean": (first + third) / 2, "stack": np.concatenate([first, third])}
        for key, value in wanted.items():
            np.testing.assert_allclose(made[key][place], value, atol=1e-5, err_msg=f"{key}")
    assert np.abs(made["last"]).max() > 0.1


@pytest.mark.parametrize("kind", TOKENS)
@pytest.mark.parametrize("stable", [False, True])
def test_the_last_layer_is_the_last_output_where_the_guide_says_so(kind: str, stable: bool, tmp_path: Path) -> None:
    write_tiny(tmp_path, kind)
    edit_json(tmp_path / "config.json", do_stable_layer_norm=stable)  # data2vec, AST and Whisper know nothing of it
    last, numbered = make(tmp_path), make(tmp_path, layer=12 if kind == "wavlm" else 2)
    window = stack(1, last.form)
    same = kind in ("data2vec-audio", "whisper") or (kind != "audio-spectrogram-transformer" and not stable)
    assert np.array_equal(encode(last, window), encode(numbered, window)) is same


def test_a_model_without_safetensors_is_converted_as_the_guide_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (REPOSITORY / "docs/adding-a-model.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    [model] = re.findall(r'model, commit = "(.*?)"', command)
    write_tiny(tmp_path / "safe", "hubert")
    tensors = load_file(tmp_path / "safe/model.safetensors")
    (tmp_path / model).mkdir(parents=True)  # a folder of that name is taken for the hub's
    torch.save(tensors, tmp_path / model / "pytorch_model.bin")
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(tmp_path / "safe" / name, tmp_path / model)
    monkeypatch.chdir(tmp_path)
    exec(command, {})
    window = stack(1, Format(16_000, 1))
    converted, safe = make(tmp_path / "mirror" / model), make(tmp_path / "safe")
    np.testing.assert_array_equal(encode(converted, window), encode(safe, window))


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper", "audio-spectrogram-transformer"])
def test_an_encoder_hears_a_clip_at_once_and_frames_are_cut(kind: str, folders: Any) -> None:
    made = make(folders(kind), context="clip")
    clip = stack(1, made.form, seconds=3.5)[0]
    whole = encode(made, clip[None])[0]
    cut = made.encode_clip(clip, [0.0, 1.0, 2.0], 1.0)
    rate, count = round(made.frame_rate), made.frames(16_000)
    for window, first in zip(cut, (0, rate, 2 * rate), strict=True):
        np.testing.assert_array_equal(window, whole[:, first : first + count])
    alone = make(folders(kind)).encode_clip(clip, [0.0, 1.0, 2.0], 1.0)
    assert alone.shape == cut.shape
    assert np.abs(alone - cut).max() > 1e-3  # it heard what is around a window


def test_a_clip_longer_than_the_model_is_heard_in_pieces_of_its_length(folders: Any) -> None:
    whisper = make(folders("whisper"), context="clip")  # the tiny one takes 4 s
    clip = stack(1, whisper.form, seconds=9.0)
    pieces = [encode(whisper, clip[:, :, first : first + 64_000]) for first in (0, 64_000, 128_000)]
    found = encode(whisper, clip)
    assert found.shape == (1, 16, 450)
    np.testing.assert_array_equal(found, np.concatenate(pieces, axis=2))
    ast = make(folders("audio-spectrogram-transformer"), context="clip")
    assert encode(ast, stack(1, ast.form, seconds=12.0)).shape == (1, 16, 120)


@pytest.mark.parametrize("kind", SHORT)
def test_a_window_is_the_same_alone_and_among_others(kind: str, folders: Any) -> None:
    made = make(folders(kind))
    windows = stack(6, made.form)
    together = encode(made, windows)
    alone = np.concatenate([encode(made, windows[place : place + 1]) for place in range(6)])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("kind", "size"),
    [("audio-spectrogram-transformer", (128, 98)), ("whisper", (80, 100)), ("wav2vec2", (1, 16_000))],
)
def test_inputs_are_what_the_models_own_extractor_gives_with_and_without_weights(
    kind: str, size: tuple[int, int], folders: Any
) -> None:
    _, extractor = plain(folders(kind))
    mine = make(folders(kind), layer="inputs")
    windows = stack(2, mine.form)
    found = encode(mine, windows)
    assert found.shape[1:] == size
    for window, made in zip(windows[:, 0], found, strict=True):
        given = extractor(window, sampling_rate=16_000, return_tensors="np")[extractor.model_input_names[0]][0]
        given = given.T if kind == "audio-spectrogram-transformer" else np.atleast_2d(given)
        np.testing.assert_array_equal(made, given[:, : size[1]])
    record = Transformers(kind="transformers", weights=None, architecture=kind, layer="inputs", context="window")
    weightless = create_representation("inputs", record, [])
    if kind == "whisper":  # the tiny one's extractor takes 4 s, transformers' own 30
        assert encode(weightless, windows).shape == found.shape
    else:
        np.testing.assert_array_equal(encode(weightless, windows), found)


@pytest.mark.numeric
def test_claps_frames_and_embedding_are_transformers_own(folders: Any) -> None:
    model, extractor = plain(folders("clap"))
    frames, projected = make(folders("clap")), make(folders("clap"), layer="projected")
    windows = stack(2, frames.form)
    for place, window in enumerate(windows[:, 0]):
        inputs = extractor(window, sampling_rate=48_000, return_tensors="pt")
        with torch.no_grad():
            state = model.audio_model(**inputs).last_hidden_state[0]  # [bands, frequencies, frames]
            embedding = model.get_audio_features(**inputs).pooler_output[0].numpy()
        np.testing.assert_allclose(encode(frames, windows)[place], state.mean(1)[:, :8].numpy(), atol=1e-5)
        found = encode(projected, windows)[place]
        np.testing.assert_allclose(found, np.repeat(embedding[:, None], 8, axis=1), atol=1e-6)
    whole = make(folders("clap"), context="clip", layer="projected")
    clip = stack(1, whole.form, seconds=5.5)[0]  # the tiny model takes 4 s
    cut = whole.encode_clip(clip, [0.0, 3.0, 4.0], 1.0)
    np.testing.assert_array_equal(cut[0], cut[1])
    assert np.abs(cut[2] - cut[1]).max() > 1e-3


def test_a_clap_with_fusion_hears_a_sound_that_is_not_longer_than_it_takes_as_such(tmp_path: Path) -> None:
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    write_tiny(tmp_path, "clap")
    config = ClapConfig.from_pretrained(tmp_path)
    config.audio_config.enable_fusion = True
    torch.manual_seed(0)
    ClapModel(config).save_pretrained(tmp_path)
    plainly = ClapFeatureExtractor.from_pretrained(tmp_path, truncation="fusion")
    plainly.save_pretrained(tmp_path)
    model = ClapModel.from_pretrained(tmp_path).eval()
    made = make(tmp_path, layer="projected")
    window = stack(1, made.form)
    inputs = plainly(window[0, 0], sampling_rate=48_000, return_tensors="pt")
    assert inputs["is_longer"].item()  # what the extractor says of a second
    with torch.no_grad():
        longer, whole = (
            model.get_audio_features(inputs["input_features"], is_longer=torch.tensor([[told]]))
            .pooler_output[0]
            .numpy()
            for told in (True, False)
        )
    found = encode(made, window)[0, :, 0]
    np.testing.assert_allclose(found, whole, atol=1e-6)
    assert np.abs(found - longer).max() > 1e-2


def plain_codec(kind: str, model: Any, sound: Any, codebooks: int) -> tuple[Any, Any]:
    """Give dequantised latents and codes of a sound [1, channels, samples] by the model's public calls."""
    with torch.no_grad():
        if kind == "dac":
            found = model.encode(sound, n_quantizers=codebooks)
            return found.quantized_representation[0], found.audio_codes[0]
        if kind == "mimi":
            codes = model.encode(sound, num_quantizers=codebooks).audio_codes
            return model.quantizer.decode(codes)[0], codes[0]
        if kind == "encodec_48khz":  # whose `encode` would divide the sound by its level
            codes = model.quantizer.encode(model.encoder(sound), model.config.target_bandwidths[0])
            return model.quantizer.decode(codes)[0], codes[:, 0]
        found = model.encode(sound, bandwidth=model.config.target_bandwidths[0]).audio_codes
        codes = found[0] if kind == "encodec" else found
        return model.quantizer.decode(codes.transpose(0, 1))[0], codes[0]


@pytest.mark.numeric
@pytest.mark.parametrize("kind", CODECS)
def test_a_codecs_latents_codes_and_dequantised_latents_are_transformers_own(kind: str, folders: Any) -> None:
    model, _ = plain(folders(kind))
    codebooks = {"encodec": 2, "encodec_48khz": 1, "xcodec": 1}.get(kind, 2)  # those of the lowest bitrate
    codes = make(folders(kind), codebooks=codebooks, codes=True, entries=64)
    dequantized = make(folders(kind), codebooks=codebooks)
    windows = 500 * stack(2, codes.form)  # random weights hear little else than their own biases
    rate = getattr(model.config, "sampling_rate", None) or model.config.sample_rate
    for place, window in enumerate(windows):
        sound = torch.from_numpy(window[None])
        if kind == "dac":
            import soxr

            mono = soxr.resample(window.mean(axis=0), 48_000, rate, quality="HQ")
            sound = torch.from_numpy(mono[None, None])
        values, numbers = plain_codec(kind, model, sound, codebooks)
        np.testing.assert_array_equal(encode(codes, windows)[place], numbers.numpy())
        np.testing.assert_allclose(encode(dequantized, windows)[place], values.numpy(), atol=1e-5)
        assert len(np.unique(numbers)) > 2 * codebooks
    assert codes.bands == codebooks


@pytest.mark.numeric
@pytest.mark.parametrize("kind", ["mimi", "xcodec"])
def test_latents_before_the_quantiser_are_what_it_is_given(
    kind: str, folders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = plain(folders(kind))
    given: list[Any] = []
    monkeypatch.setattr(model.quantizer, "encode", lambda latents, *_: given.append(latents) or latents)
    latents = make(folders(kind))
    windows = stack(1, latents.form, seconds=1.37)
    with torch.no_grad():
        model.encode(torch.from_numpy(windows))
    np.testing.assert_array_equal(encode(latents, windows), given[0].numpy())


@pytest.mark.numeric
@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")  # the package's
@pytest.mark.parametrize("kind", ["encodec", "encodec_48khz"])
@pytest.mark.parametrize("seconds", [1.0, 2.37])
def test_encodecs_latents_are_those_of_its_authors_package_to_the_bit(kind: str, seconds: float, folders: Any) -> None:
    from encodec.modules import SEANetEncoder

    model, _ = plain(folders(kind))
    stereo = kind == "encodec_48khz"
    norm = {"norm": "time_group_norm", "causal": False} if stereo else {"norm": "weight_norm", "causal": True}
    theirs = SEANetEncoder(channels=1 + stereo, dimension=16, n_filters=4, ratios=[8, 5, 4, 2], lstm=1, **norm).eval()
    # Both list the same tensors in the same order, under other names.
    theirs.load_state_dict(dict(zip(theirs.state_dict(), model.encoder.state_dict().values(), strict=True)))
    latents = make(folders(kind))
    windows = stack(3, latents.form, seconds)
    with torch.no_grad():
        expected = torch.cat([theirs(torch.from_numpy(window[None])) for window in windows]).numpy()
    assert encode(latents, windows).tobytes() == expected.tobytes()


def test_models_are_loaded_without_a_word(folders: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for kind in ("wav2vec2", "encodec", "clap"):
        folders(kind)
    capfd.readouterr()
    for kind in ("wav2vec2", "encodec", "clap"):
        made = make(folders(kind))
        encode(made, stack(1, made.form))
    assert capfd.readouterr() == ("", "")


def test_every_architecture_that_params_name_is_tried_here() -> None:
    from typing import get_args

    from beyond_spectrograms.params.transformers import CodecName, EncoderName
    from beyond_spectrograms.representations.transformers_model.model import ARCHITECTURES

    assert set(ARCHITECTURES) == {*get_args(EncoderName), *get_args(CodecName)} == set(MAKERS) - {"encodec_48khz"}
