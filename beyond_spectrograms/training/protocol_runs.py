"""The runs of a protocol on stored features, listed by params."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from beyond_spectrograms.data.windows import columns_of
from beyond_spectrograms.params.study import WEIGHTS_BY
from beyond_spectrograms.training.epoch import choose_precision
from beyond_spectrograms.training.run import RunConfig, list_runs
from beyond_spectrograms.util.device import choose_device

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
    """List the runs of a cell (Params.runs_of).

    Args:
        params: protocols, splits, representations, versions, device and precision.
        cell: data set, representation and protocol.
        features: the folder of features.npy.
        table: a row a window, with its `label`.
        parts: a column a split and fold, rows as in `table`.
        max_epochs: the most epochs; None where the protocol alone decides.
        work: where results of the runs go.
    """
    _, representation, protocol = cell
    recipe, device = params.protocols[protocol], choose_device(params.device)
    return list_runs(
        recipe,
        features,
        table["label"].to_numpy(dtype=str),
        parts,
        codebook_size=params.representations[representation].codebook_size,
        epochs=min(recipe.epochs, max_epochs or recipe.epochs),
        device=device,
        precision=choose_precision(params.training_precision, device),
        versions={noun: params.versions[noun] for noun in WEIGHTS_BY},
        work=work,
        runs=params.runs_of(*cell, len(columns_of(recipe.split, parts))),
    )
