"""Codecs of every size that tests make, and how the smallest is trained."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from beyond_spectrograms.codec.files import ENCODEC
from beyond_spectrograms.codec.network import Codec, save_codec
from beyond_spectrograms.params.codecs import CodecNetwork, CodecRecipe

ENCODEC_24, ENCODEC_48 = ENCODEC["encodec_24khz"], ENCODEC["encodec_48khz"]
SMALL = CodecNetwork(
    sample_rate=16_000, channels=1, filters=2, strides=[8, 5, 4, 2], dimension=8, lstm=0, causal=True,
    norm="weight_norm", by_level=False, codebooks=3, entries=16, bitrates=[200, 600],
)  # fmt: skip


def recipe(**changed: Any) -> CodecRecipe:
    """Give a recipe that trains the smallest codec in no time, on the demo's sounds."""
    values = {
        "network": SMALL,
        "sounds": [{"dataset": "demo", "fold": 1, "apart_from": [], "without": [], "music": []}],
        "judged": [{"dataset": "demo", "fold": 1, "clips": 2, "seconds": 1.0}],
        "losses": "card", "weights": {}, "start": "drawn",
        "discriminator": {"filters": 2, "n_ffts": [256, 128], "share": 0.5},
        "level_db": -24.0, "gain_db": [-10.0, 6.0], "mixing": True, "reverberation": 0.2, "rt60_s": [0.3, 1.3],
        "window_s": 0.2, "batch_size": 4, "learning_rate": 0.0003, "betas": [0.5, 0.9], "average_decay": 0.99,
        "codebook_decay": 0.99, "dead_below": 0.5, "start_iterations": 5, "balancer_decay": 0.999, "precision": "fp32",
        "steps": [0, 4], "seeds": [0],
    }  # fmt: skip
    return CodecRecipe.model_validate(values | changed)


def write_codec(path: Path, network: CodecNetwork = SMALL, seed: int = 0, name: str = "seeded") -> Path:
    """Write a codec that was never trained: weights drawn by a seed, codebooks made from what it hears in a noise."""
    codec = _drawn(network.model_dump_json(), type(network), seed)
    save_codec(path, codec, codec.state_dict(), {"name": name})
    return path


@lru_cache(maxsize=32)
def _drawn(described: str, kind: type[CodecNetwork], seed: int) -> Codec:
    network = kind.model_validate_json(described)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        codec = Codec(network).eval()
        sound = torch.randn(1, network.channels, network.sample_rate) / 10
        with torch.no_grad():
            if network.norm == "weight_norm":
                codec.scale_layers(sound)
            codec.quantizer.start(codec.latents(sound), torch.Generator().manual_seed(seed))
    return codec
