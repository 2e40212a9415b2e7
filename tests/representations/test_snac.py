"""SNAC's latents, by a tiny model drawn at random: against the package's own calls, and files that do not fit."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from beyond_spectrograms.data.audio import Format, mono_at
from beyond_spectrograms.params import Snac
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import CheckpointError, Representation
from support.common import refusal, stack

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package uses torch.jit.script
    from snac import SNAC

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
CONFIG = {
    "sampling_rate": 24_000, "encoder_dim": 4, "encoder_rates": [2, 4, 8, 8], "decoder_dim": 32,
    "decoder_rates": [8, 8, 4, 2], "attn_window_size": None, "codebook_size": 16, "codebook_dim": 4,
    "vq_strides": [4, 2, 1],
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return write(tmp_path, CONFIG)


def write(folder: Path, config: dict[str, Any]) -> list[Path]:
    """Save a random model as the hub has them."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model = SNAC(**config)
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return [folder / "config.json", folder / "pytorch_model.bin"]


def make(files: list[Path], **settings: Any) -> Representation:
    return create_representation("tiny_random_snac", Snac(kind="snac", weights="w", **settings), files)


@pytest.mark.numeric
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("rate", [24_000, 32_000])
def test_latents_are_the_packages(tmp_path: Path, rate: int) -> None:
    files = write(tmp_path, CONFIG | {"sampling_rate": rate})
    form = Format(24_000, 1) if rate == 24_000 else Format(48_000, 2)
    windows, model = stack(2, form, 0.5), SNAC.from_pretrained(str(tmp_path))
    sound = torch.from_numpy(mono_at(rate, windows, form))[:, None]
    with torch.inference_mode():
        latents = model.encoder(model.preprocess(sound))
        dequantized = model.quantizer.from_codes(model.encode(sound))
    frames = -(-rate // 2 // 512)
    for quantized, expected in ((False, latents), (True, dequantized)):
        made = make(files, quantized=quantized)
        given = made.encode(windows, form.sample_rate)
        assert given.shape == (2, 64, frames) == (2, made.bands, made.frames(windows.shape[2]))
        np.testing.assert_allclose(given, expected[:, :, :frames], atol=1e-5)
        assert made.frame_rate == rate / 512


def test_files_that_do_not_fit_are_refused(files: list[Path]) -> None:
    config, tensors = files
    told = "tiny_random_snac: its record under `hub` names no pytorch_model.bin."
    assert refusal(CheckpointError, make, [config]) == told
    config.write_text(json.dumps(CONFIG | {"encoder_dim": 8}))
    told = f"{config}: does not describe the tensors of pytorch_model.bin: Error(s) in loading state_dict for SNAC: "
    assert refusal(CheckpointError, make, files).startswith(told)
    config.write_text("{")
    assert refusal(CheckpointError, make, files).startswith(
        f"{config}: does not describe the tensors of pytorch_model.bin: "
    )
    config.write_text(json.dumps(CONFIG))
    torch.save({"model": Path("x")}, tensors)
    assert refusal(CheckpointError, make, files) == (
        f"{tensors}: not a plain checkpoint of tensors, refused without running it. Download it again."
    )
