"""EnCodec as a test can have it: seeded weights, codebooks and language model; files are written by its package."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encodec.compress import compress_to_file
from encodec.model import EncodecModel, LMModel

from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.representations.encodec import untrained_model
from beyond_spectrograms.util.files import digest_file
from support.common import tone
from support.models import PARAMS, keep
from support.repository import REPOSITORY

CHECKPOINT = "encodec_24khz-d7cc33bc.th"


def seeded_encodec(model: str = "24khz") -> EncodecModel:
    """Build the package's model with seeded weights, and codebooks drawn about as wide as what they quantise."""
    built = untrained_model(model, 0).eval()
    generator = torch.Generator().manual_seed(0)
    time = np.arange(built.sample_rate) / built.sample_rate
    sweep = 0.3 * np.sin(2 * np.pi * (100 + 2000 * time) * time)
    with torch.no_grad():
        latents = built.encoder(torch.from_numpy(np.stack([sweep] * built.channels)).float()[None])[0]
        spread = latents.std(1)
        for number, layer in enumerate(built.quantizer.vq.layers):
            codebook: Any = layer._codebook
            drawn = torch.randn(codebook.embed.shape, generator=generator) * spread * 0.8**number
            codebook.embed.copy_(drawn + (latents.mean(1) if number == 0 else 0))
            codebook.inited.fill_(1)
    built.name = f"encodec_{model}"
    return built


def publish(model: torch.nn.Module, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Save a model's weights under a name in `folder`, where the package then looks before it downloads."""
    path = folder / "torch/hub/checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    return path


def write_language_model(folder: Path) -> Path:
    """Write a seeded language model under a name that tells its digest."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lm = LMModel(32, 1024, num_layers=5, dim=200, past_context=262)
    stored = io.BytesIO()
    torch.save(lm.state_dict(), stored)
    path = folder / f"encodec_lm_24khz-{hashlib.sha256(stored.getvalue()).hexdigest()[:8]}.th"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stored.getvalue())
    return path


def compress(model: EncodecModel, sound: Waveform, path: Path, bitrate: int, *, lm: bool = False) -> Path:
    """Write sound [samples] as .ecdc, by the package's own program."""
    model.set_target_bandwidth(bitrate / 1000)
    waveform = torch.from_numpy(np.stack([sound] * model.channels))
    with path.open("wb") as file:
        compress_to_file(model, waveform, file, use_lm=lm)
    return path


def write_model(folder: Path, weights: Path, bitrate: int, *, codes: bool = False) -> Path:
    """Write a model on EnCodec's codes whose classifier has seeded weights; `weights` holds the checkpoint."""
    record = {"kind": "encodec", "weights": "encodec_24khz", "model": "24khz", "bitrate": bitrate, "codes": codes}
    record |= {"seed": None, "engine": "torch", "precision": "fp32"}
    bands, codebook_size = (bitrate // 750, 1024) if codes else (128, None)
    recipe = PARAMS.protocols["fair"].model_copy(update={"standardize": False})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(recipe, bands, 75, 2, codebook_size)
    encoder = {"name": f"encodec_24khz_{bitrate}bps", "record": record, "sample_rate": 24_000, "channels": 1}
    encoder |= {"bands": bands, "frames": 75, "packages": {}}
    return keep(folder, network, recipe, [weights / CHECKPOINT], included=False, representation=encoder)


def write_project(folder: Path) -> Path:
    """Write a checkout's settings whose record of EnCodec's weights is of the seeded ones, which are in mirror/."""
    checkpoint = folder / "mirror" / CHECKPOINT
    checkpoint.parent.mkdir(parents=True)
    torch.save(seeded_encodec().state_dict(), checkpoint)
    for name in ("datasets", "studies"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "versions.yaml").write_bytes((REPOSITORY / "versions.yaml").read_bytes())
    text, published = (REPOSITORY / "params.yaml").read_text(encoding="utf-8"), PARAMS.weights["encodec_24khz"]
    for was, now in (
        (f"bytes: {published.bytes}", f"bytes: {checkpoint.stat().st_size}"),
        (str(published.sha256), digest_file(checkpoint)),
    ):
        text = text.replace(was, now)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return folder


def melody(seconds: float, seed: int = 0) -> Waveform:
    """Make notes of a quarter of a second at 24 kHz, with noise."""
    rng = np.random.default_rng(seed)
    notes = [tone(0.25, rng.uniform(100, 3000), 24_000) * rng.uniform(0.2, 1) for _ in range(int(4 * seconds) + 1)]
    sound = np.concatenate(notes)[: round(24_000 * seconds)]
    return (sound + rng.normal(0, 0.01, len(sound))).astype(np.float32)
