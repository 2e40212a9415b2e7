"""The runs of a protocol on stored features, listed by params."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.data.windows import columns_of
from beyond_spectrograms.params.study import WEIGHTS_BY
from beyond_spectrograms.training.epoch import Network, choose_precision
from beyond_spectrograms.training.run import RunConfig, shuffle_labels
from beyond_spectrograms.util.machine import choose_device

if TYPE_CHECKING:
    import pandas as pd

    from beyond_spectrograms.params import Params


def runs_of_protocol(
    params: Params,
    cell: tuple[str, str, str],
    *,
    features: Path,
    table: pd.DataFrame,
    parts: pd.DataFrame,
    max_epochs: int | None,
    work: Path,
) -> list[RunConfig]:
    """List the runs of a cell: data set, representation and protocol (Params.runs_of).

    `features` is the folder of features.npy, `work` where results go. `table` has a row a window with its `label`,
    `parts` a column a split and fold. Without `max_epochs` the protocol alone decides.
    """
    _, representation, name = cell
    protocol, device = params.protocols[name], choose_device(params.device)
    codebook_size = params.representations[representation].codebook_size
    classes, indices = np.unique(table["label"].to_numpy(dtype=str), return_inverse=True)
    _, bands, frames = np.load(features / "features.npy", mmap_mode="r").shape
    network = build_network(protocol, bands, frames, len(classes), codebook_size)
    precision = choose_precision(params.training_precision, device)
    if not len(Network.split(network, precision).body):
        precision = "fp32"  # there is no convolution
    dealt = [parts[column].to_numpy(dtype=str) for column in columns_of(protocol.split, parts)]

    def targets_of(part: npt.NDArray[np.str_], seed: int) -> npt.NDArray[np.int64]:
        targets = indices.astype(np.int64)
        return np.where(part == "test", -1, shuffle_labels(targets, part, seed) if protocol.shuffle_labels else targets)

    return [
        RunConfig(
            features=features,
            targets=targets_of(dealt[fold - 1], seed),
            parts=dealt[fold - 1],
            classes=tuple(classes.tolist()),
            codebook_size=codebook_size,
            protocol=protocol,
            epochs=min(protocol.epochs, max_epochs or protocol.epochs),
            fold=fold,
            seed=seed,
            device=device,
            work=work,
            precision=precision,
            versions={noun: params.versions[noun] for noun in WEIGHTS_BY},
        )
        for fold, seed in params.runs_of(*cell, len(dealt))
    ]
