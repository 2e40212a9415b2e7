"""With the encodec package's weights our codec is its model, at both sizes; a codec's file says what it is."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from beyond_spectrograms.codec.network import Codec, CodecFileError, load_codec, save_codec, state_of_package
from beyond_spectrograms.params.codecs import CODEC_NAME, CodecNetwork
from beyond_spectrograms.representations.encodec import untrained_model
from support.codecs import ENCODEC_24, ENCODEC_48, SMALL
from support.common import refusal


def both(model: str, network: CodecNetwork):  # type: ignore[no-untyped-def]
    """Make the package's model with weights and codebooks drawn by seed, and ours with the same."""
    theirs = untrained_model(model, 0)
    generator = torch.Generator().manual_seed(0)
    for layer in theirs.quantizer.vq.layers:
        layer._codebook.embed.copy_(torch.randn(layer._codebook.embed.shape, generator=generator) / 10)
        layer._codebook.inited.fill_(True)
    ours = Codec(network)
    ours.load_state_dict(state_of_package(theirs.state_dict()))
    return ours.eval(), theirs.eval()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("model", "network"), [("24khz", ENCODEC_24), ("48khz", ENCODEC_48)])
def test_with_the_package_s_weights_it_gives_the_package_s_sound(model: str, network: CodecNetwork) -> None:
    ours, theirs = both(model, network)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    sound = torch.randn(1, network.channels, network.sample_rate // 4, generator=torch.Generator().manual_seed(1)) / 10
    for bitrate in network.bitrates[:2]:
        theirs.set_target_bandwidth(bitrate / 1000)
        with torch.inference_mode():
            frames = theirs.encode(sound)
            made = ours(sound, network.stages_at(bitrate))
            assert torch.equal(made.quantized.codes.transpose(0, 1), frames[0][0])
            torch.testing.assert_close(made.sound, theirs.decode(frames)[..., : sound.shape[2]], rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("one_thread")
def test_as_the_package_s_model_it_codes_the_same() -> None:
    ours, theirs = both("24khz", ENCODEC_24)
    sound = torch.randn(1, 1, 5000, generator=torch.Generator().manual_seed(1)) / 10
    model = ours.as_package()
    for each in (model, theirs):
        each.set_target_bandwidth(3.0)
    with torch.inference_mode():
        assert torch.equal(model.encode(sound)[0][0], theirs.encode(sound)[0][0])
        assert torch.equal(model(sound), theirs(sound))


def test_a_codec_comes_back_from_its_file_and_the_same_state_has_the_same_bytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    codec = Codec(SMALL).eval()
    codec.quantizer.codebooks.normal_()
    for name in ("one", "two"):
        save_codec(tmp_path / name, codec, codec.state_dict(), {"step": 7})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again, notes = load_codec(tmp_path / "one")
    assert notes["step"] == 7
    sound = torch.randn(1, 1, 1600)
    with torch.inference_mode():
        assert torch.equal(again(sound).sound, codec(sound).sound)


def test_a_file_that_is_no_codec_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "codec.safetensors"
    path.write_bytes(b"nothing")
    assert refusal(CodecFileError, load_codec, path).startswith(f"{path}: no codec of ours. ")
    save_file({"one": torch.zeros(1)}, path)
    assert refusal(CodecFileError, load_codec, path) == f"{path}: no codec of ours. KeyError: 'codec'"
    notes = {"codec": json.dumps({"network": SMALL.model_dump()})}
    save_file({"encoder.model.0.conv.conv.bias": torch.zeros(4)}, path, notes)
    told = f"{path}: not the weights of its network: encoder.model.0.conv.conv.bias is (4,), expected (2,)"
    assert refusal(CodecFileError, load_codec, path) == told
    save_file({"more": torch.zeros(4)}, path, notes)
    told = f"{path}: not the weights of its network: more is (4,), which it does not have"
    assert refusal(CodecFileError, load_codec, path) == told
    huge = SMALL.model_dump() | {"filters": 256, "strides": [2] * 6, "dimension": 1024, "bitrates": [1000]}
    save_file({"quantizer.codebooks": torch.zeros(3, 16, 8)}, path, {"codec": json.dumps({"network": huge})})
    told = f"{path}: not the weights of its network: quantizer.codebooks is (3, 16, 8), expected (3, 16, 1024)"
    assert refusal(CodecFileError, load_codec, path) == told  # and 17 GB of weights are not made
    save_file({"quantizer.codebooks": torch.zeros(3, 16, 8)}, path, notes)
    lacks = f"{path}: lacks encoder.model.0.conv.conv.bias. Train it again."
    assert refusal(CodecFileError, load_codec, path) == lacks


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"filters": 1}, "network.filters: Input should be greater than or equal to 2"),
        (
            {"norm": "time_group_norm"},
            "network: norm: time_group_norm is of all frames, later ones too: it goes with causal: false",
        ),
        (
            {"strides": [16, 16, 16, 4], "bitrates": [4]},
            "network: strides [16, 16, 16, 4]: a hop of 16384 samples is longer than a second, 16000 samples",
        ),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = tmp_path / "codec.safetensors"
    save_file({"one": torch.zeros(1)}, path, {"codec": json.dumps({"network": SMALL.model_dump() | changed})})
    assert refusal(CodecFileError, load_codec, path) == f"{path}: no codec of ours. {message}"


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"name": "\x1b[31mred"}, f"name: String should match pattern '{CODEC_NAME}'"),
        ({"name": "n" * 1_000_000}, f"name: String should match pattern '{CODEC_NAME}'"),
        ({"name": "two\n"}, f"name: String should match pattern '{CODEC_NAME}'"),
        ({"name": 7}, "name: Input should be a valid string"),
        ({"licence": float("nan")}, "licence: Input should be a valid string"),
        (
            {"licence": "\ud800"},
            "licence: Input should be a valid string, unable to parse raw data as a unicode string",
        ),
        ({"licence": "\x1b[31mred"}, "licence: has signs that cannot be printed"),
        ({"licence": "n" * 201}, "licence: String should have at most 200 characters"),
    ],
)
def test_a_codec_whose_file_tells_what_no_terminal_should_show_is_refused(
    tmp_path: Path, notes: dict[str, Any], message: str
) -> None:
    codec, path = Codec(SMALL), tmp_path / "codec.safetensors"
    save_codec(path, codec, codec.state_dict(), notes)
    assert refusal(CodecFileError, load_codec, path) == f"{path}: no codec of ours. {message}"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("key", ["quantizer.codebooks", "decoder.model.0.conv.conv.bias"])
def test_a_codec_with_values_that_are_not_finite_is_refused(tmp_path: Path, key: str, value: float) -> None:
    codec, path = Codec(SMALL), tmp_path / "codec.safetensors"
    state = codec.state_dict()
    state[key].view(-1)[-1] = value
    save_codec(path, codec, state, {})
    told = f"{path}: {key} has values that are not finite. Train it again."
    assert refusal(CodecFileError, load_codec, path) == told


def test_a_codec_s_file_is_for_whom_the_umask_says(tmp_path: Path) -> None:
    codec = Codec(SMALL)
    save_codec(tmp_path / "codec", codec, codec.state_dict(), {})
    (tmp_path / "other").touch()
    assert (tmp_path / "codec").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_layers_that_are_scaled_pass_on_what_they_are_given() -> None:
    torch.manual_seed(0)
    codec = Codec(SMALL).eval()
    sound = torch.randn(4, 1, 3200) / 10
    with torch.inference_mode():
        assert float(codec.latents(sound).std(dim=2).mean()) < 0.1
        codec.scale_layers(sound)
        latents = codec.latents(sound)
        assert float(latents.std()) == pytest.approx(1, abs=0.2)
        assert float(codec.decoder(latents).std()) == pytest.approx(float(sound.std()), rel=0.2)
