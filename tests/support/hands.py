"""Results made by hand: cells of which every recording's right windows and every run's curve are given."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from beyond_spectrograms.evaluation import records
from beyond_spectrograms.evaluation.clip_results import Recordings
from beyond_spectrograms.evaluation.convergence import Curve
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.evaluation.uncertainty import recording_interval, window_interval
from beyond_spectrograms.params import Statistics, load_params
from beyond_spectrograms.report.table import Row, Table
from support.repository import REPOSITORY

PARAMS = load_params(Path("studies/bitrates"), REPOSITORY)  # the root's representations, and codecs at bitrates
SETTINGS = Statistics(confidence=0.95, minimum_sources=30, minimum_runs=5, margin=0.03)
FEW = SETTINGS.model_copy(update={"minimum_sources": 5})
Cells = Mapping[tuple[str, str], Cell]


def cell(windows_right: ArrayLike, windows: int = 5, folds: int = 5, name: str = "mel-fair") -> Recordings:
    """Make a cell from its right windows [seeds, recordings]; a recording is right where most of its windows are.

    Recordings are dealt to folds in turn, and every fold has all seeds.
    """
    counts = np.atleast_2d(np.asarray(windows_right))
    seeds, recordings = counts.shape
    runs = [(fold, seed) for fold in range(1, folds + 1) for seed in range(seeds)]
    tests = np.array([np.arange(recordings) % folds == fold - 1 for fold, _ in runs])
    right = np.where(tests, counts[[seed for _, seed in runs]], 0)
    return Recordings(
        cell=name,
        clips=tuple(f"{number:05d}.wav" for number in range(recordings)),
        labels=("bird",) * recordings,
        sources=tuple(f"{number:05d}" for number in range(recordings)),
        runs=tuple(runs),
        windows=np.where(tests, windows, 0),
        windows_right=right,
        right=2 * right > windows,
        right_by_seeds=2 * counts.mean(0) > windows,
    )


def clustered(seeds: int, recordings: int, chance: float = 0.7, seed: int = 0) -> np.ndarray:
    """Draw right windows of 5 [seeds, recordings]; some recordings are far easier than others."""
    generator = np.random.default_rng(seed)
    easy = generator.beta(2 * chance, 2 * (1 - chance), recordings)
    return generator.binomial(5, easy, size=(seeds, recordings))


def curve(validation: Sequence[float], fold: int = 1) -> Curve:
    values = np.array(validation, dtype=np.float64)
    return Curve(fold, 0, values, values, values, values)


def scored(name: str, protocol: str, right: Sequence[int], seeds: int = 2) -> Cell:
    """Make a cell of which the test is known: windows right of 4 for each recording, the same under each seed."""
    known = cell([right] * seeds, windows=4, name=f"{name}-{protocol}")
    intervals = window_interval(known, FEW), recording_interval(known, FEW)
    shares = {"window_accuracy": intervals[0].value, "recording_accuracy": intervals[1].value, "class_accuracy": 0.5}
    counts: dict[str, Any] = {"folds": 5, "seeds": seeds, "diverged_runs": 0, "recordings": len(right)}
    told = {"epoch": 1, "diverged_at_epoch": None, "weights_sha256": None, **shares}
    counts |= {"by_fold": [records.RunScores(fold=fold, seed=seed, **told) for fold, seed in known.runs]}
    counts |= {"windows": int(known.windows.sum()), "silent_windows": 0}
    scores = records.Scores(
        **shares,
        **counts,
        without_silent=records.Accuracies(**shares),
        confusion=records.Confusion(classes=["bird", "rain"], counts=[[3, 1], [1, 3]]),
        training=records.Training(device="cpu", precision="fp32", seconds_by_run={}),
        provenance={},
    )
    return Cell(scores, recordings=known, window_interval=intervals[0], recording_interval=intervals[1])


def trained(curves: Sequence[Sequence[float]]) -> Cell:
    """Make a cell of which the training is known, a curve of validation accuracies for each fold."""
    return Cell(curves=tuple(curve(values, fold) for fold, values in enumerate(curves, start=1)))


def measured(name: str, times: Mapping[str, Sequence[float]], files: float = 1.0, **changes: Any) -> dict[str, Any]:
    """Make what `measure` writes of a representation, from the seconds a round of it and of its baselines, by name.

    From the file the representation takes `files` times as long, and a quarter of that to encode.
    """
    sizes: dict[str, Any] = {"cached_bytes_per_s": 88_576.0, "raw_bytes_per_s": 88_214.7, "coded_bytes_per_s": None}
    sizes |= {"parameters": 4_242, "cached_total_bytes": None, "file_total_bytes": None}
    sizes |= {"cached_peak_bytes": 1_500_000, "file_peak_bytes": 25_000_000}
    costs = {}
    for one, seconds in times.items():
        filed = [(files if one == name else 1) * each for each in seconds]
        costs[one] = sizes | {"cached_s_per_s": list(seconds), "training_s_per_window": list(seconds)}
        costs[one] |= {"file_s_per_s": filed, "encoding_s_per_s": [0.25 * each for each in filed]}
    told = {"mark": "", "dataset": "esc10", "representation": name, "clips": 4, "seconds_of_sound": 20.0, "threads": 1}
    return told | {"processor": "Abacus 2", "rounds": len(times[name]), "representations": costs} | changes


def results(cells: Cells, protocols: Sequence[str] = (), ablations: Sequence[str] = ()) -> Results:
    """Make the results of a data set from cells, in which codecs may be ablations."""
    rows = tuple(dict.fromkeys(name for name, _ in cells if name not in ablations))
    under = tuple(protocols or dict.fromkeys(protocol for _, protocol in cells))
    column = {"source_1": records.SplitColumn(recordings_in_two_parts=0)}
    return Results(
        dataset="esc10",
        rows=rows,
        protocols=under,
        ablations=tuple(ablations),
        ablation_protocols=("fair",) if ablations else (),
        params=PARAMS.model_copy(update={"statistics": FEW}),
        splits=records.Splits(recordings=12, splits={"source": column, "window": {"window": column["source_1"]}}),
        features={},
        cells=dict(cells),
    )


def find(table: Table, **wanted: str) -> Row:
    """Find the one row of a table that has those values."""
    (row,) = [row for row in table.rows if wanted.items() <= row.items()]
    return row


def shown(table: Table, **wanted: str) -> dict[str, str]:
    """Find a row as Markdown shows it."""
    row = find(table, **wanted)
    return {heading: show(row) for heading, show in table.columns.items()}


def with_contrasts(known: Results, **changes: Any) -> Results:
    """Change which contrasts are named, and under which protocols."""
    params = known.params
    return replace(known, params=params.model_copy(update={"contrasts": params.contrasts.model_copy(update=changes)}))


def with_statistics(known: Results, **changes: Any) -> Results:
    """Change the rules of evidence."""
    params = known.params
    return replace(known, params=params.model_copy(update={"statistics": params.statistics.model_copy(update=changes)}))
