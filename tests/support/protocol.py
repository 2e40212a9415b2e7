"""A protocol and a run on small made features; tests change what they are about."""

from pathlib import Path
from typing import Any

import numpy as np

from beyond_spectrograms.params import Protocol
from beyond_spectrograms.training.run import RunConfig

PLAIN = ("conv1d", "conv2d", "mean_linear")  # classifiers of the paper's experiment
PROTOCOL = Protocol(
    classifier="conv1d",
    split="source",
    standardize=True,
    shuffle_labels=False,
    optimizer="adam",
    learning_rate=0.001,
    batch_size=16,
    shuffle_each_epoch=True,
    epochs=6,
    patience=None,
    dropout_at_evaluation=False,
    select="best_validation_loss",
    seeds=[0],
)


def write_run(
    folder: Path,
    values: np.ndarray,
    targets: np.ndarray,
    parts: list[str],
    protocol: Protocol = PROTOCOL,
    **changes: Any,
) -> RunConfig:
    """Write features [windows, bands, frames] into `folder`, and describe a run on them."""
    features = folder / "features"
    features.mkdir(parents=True)
    np.save(features / "features.npy", values.astype(np.float32))
    (features / "index.json").write_text("{}")
    classes = tuple("abcdefgh"[: int(targets.max()) + 1])
    settings = {"features": features, "targets": targets, "parts": np.array(parts), "classes": classes}
    settings |= {"codebook_size": None, "protocol": protocol, "epochs": protocol.epochs, "fold": 1, "seed": 0}
    settings |= {"device": "cpu", "work": folder / "work", "versions": {}}
    return RunConfig(**(settings | changes))
