"""Latents through a codec's quantiser, and its codes, against direct runs of Lyra's file and of the encodec package."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from beyond_spectrograms.data.audio import Format
from beyond_spectrograms.params import STUDIES, Encodec, load_params
from beyond_spectrograms.params.representations import BITRATES
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import CheckpointError, Representation
from beyond_spectrograms.representations.encodec import untrained_model
from support.common import stack
from support.repository import REPOSITORY

pytestmark = pytest.mark.numeric

RECORDS = load_params(STUDIES / "bitrates", REPOSITORY).representations
QUANTIZED = {bitrate: f"soundstream_{bitrate}bps" for bitrate in (3200, 6000, 9200)}


def soundstream(mirror: Path, name: str) -> Representation:
    files = [mirror / "soundstream_encoder.tflite", mirror / "quantizer.tflite"]
    return create_representation(name, RECORDS[name], files[: 1 + (name != "soundstream")])


@pytest.mark.parametrize("bitrate", QUANTIZED)
def test_quantised_soundstream_is_a_direct_run_of_lyras_quantiser(mirror: Path, bitrate: int) -> None:
    from ai_edge_litert.interpreter import Interpreter

    plain, quantized = soundstream(mirror, "soundstream"), soundstream(mirror, QUANTIZED[bitrate])
    windows = stack(2, plain.form)
    features = quantized.encode(windows, 16_000)
    assert features.shape == (2, 64, 50)
    direct = Interpreter(model_path=str(mirror / "quantizer.tflite"), num_threads=1)
    encode, decode = direct.get_signature_runner("encode"), direct.get_signature_runner("decode")
    for latents, found in zip(plain.encode(windows, 16_000), features, strict=True):
        for frame in range(50):
            count = np.array(bitrate // 200, dtype=np.int32)  # 4 bits of each of 50 frames a second
            codes = encode(input_frames=latents[:, frame].reshape(1, 1, 64), num_quantizers=count)["output_0"]
            expected = decode(encoding_indices=codes)["output_0"]
            np.testing.assert_array_equal(found[:, frame], expected.ravel())


def test_soundstream_codes_are_entries_of_16_in_bitrate_over_200_codebooks(mirror: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    bitrate = 3200
    codes, plain = soundstream(mirror, f"soundstream_codes_{bitrate}bps"), soundstream(mirror, "soundstream")
    windows = stack(3, codes.form)
    found = codes.encode(windows, 16_000)
    assert found.shape == (3, bitrate // 50 // 4, 50)
    assert set(np.unique(found)) <= set(range(16))
    assert len(np.unique(found)) > 8
    encode = Interpreter(model_path=str(mirror / "quantizer.tflite"), num_threads=1).get_signature_runner("encode")
    latent = plain.encode(windows, 16_000)[1, :, 7].reshape(1, 1, 64)
    direct = encode(input_frames=latent, num_quantizers=np.int32(bitrate // 200))["output_0"].ravel()
    np.testing.assert_array_equal(found[1, :, 7], direct[: bitrate // 200])
    assert set(direct[bitrate // 200 :]) <= {-1}  # the codebooks left out


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("quantizer", "quantizer"), "its weights file is not Lyra's SoundStream encoder. "),
        (("soundstream_encoder", "soundstream_encoder"), "its second weights file is not Lyra's quantiser. "),
    ],
)
def test_lyras_files_in_the_wrong_place_are_refused(mirror: Path, files: tuple[str, str], message: str) -> None:
    name = "soundstream_3200bps"
    mixed = create_representation(name, RECORDS[name], [mirror / f"{file}.tflite" for file in files])
    with pytest.raises(CheckpointError, match=f"^{name}: {re.escape(message)}"):
        mixed.encode(stack(1, mixed.form), 16_000)


@pytest.fixture(scope="module", params=["24khz", "48khz"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A model's weights as nobody trained them, with codebooks that are not all zero."""
    state = untrained_model(request.param, 4).state_dict()
    generator = torch.Generator().manual_seed(4)
    for key in [key for key in state if key.endswith("_codebook.embed")]:
        state[key] = 0.1 * torch.randn(state[key].shape, generator=generator)
    path = tmp_path_factory.mktemp("weights") / "encodec.th"
    torch.save(state, path)
    return request.param, path


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_quantised_encodec_is_the_packages_own_at_every_bitrate(checkpoint: tuple[str, Path]) -> None:
    from encodec.model import EncodecModel

    model, path = checkpoint
    build, rate, bits = {
        "24khz": (EncodecModel.encodec_model_24khz, 24_000, 750),  # 10 bits of each of 75 frames a second
        "48khz": (EncodecModel.encodec_model_48khz, 48_000, 1500),
    }[model]
    package = build(pretrained=False).eval()
    package.load_state_dict(torch.load(path, weights_only=True))
    named = {
        record.bitrate: name
        for name, record in RECORDS.items()
        if isinstance(record, Encodec) and record.model == model and record.bitrate and not record.codes
    }
    assert sorted(named) == [1000 * kbps for kbps in package.target_bandwidths] == list(BITRATES[model])
    windows = stack(2, Format(rate, 1 if model == "24khz" else 2), 0.4)
    seen = []
    for bitrate, name in named.items():
        # The package's own bits decide which entry is near.
        record = RECORDS[name].model_copy(update={"engine": "torch"})
        dequantized = create_representation(name, record, [path]).encode(windows, rate)
        codes = create_representation(name, record.model_copy(update={"codes": True}), [path]).encode(windows, rate)
        assert dequantized.shape == (2, 128, rate // 800)
        assert codes.shape == (2, bitrate // bits, rate // 800)
        with torch.no_grad():
            for window, mine, tokens in zip(windows, dequantized, codes, strict=True):
                latents = package.encoder(torch.tensor(window).unsqueeze(0))
                expected = package.quantizer.encode(latents, package.frame_rate, bitrate / 1000)
                np.testing.assert_array_equal(tokens, expected[:, 0].numpy())
                np.testing.assert_array_equal(mine, package.quantizer.decode(expected)[0].numpy())
        assert 0 <= codes.min() < codes.max() <= 1023
        np.testing.assert_array_equal(codes, np.round(codes))
        seen.append(dequantized)
    assert all(not np.array_equal(first, second) for first, second in pairwise(seen))
