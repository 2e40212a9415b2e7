"""The results of a data set: what is known of each cell (a representation under a protocol), read from its files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from beyond_spectrograms.evaluation.agreement import check_agrees, check_curves
from beyond_spectrograms.evaluation.clip_results import Recordings, answers_of, recordings_of
from beyond_spectrograms.evaluation.convergence import Curve, read_curves
from beyond_spectrograms.evaluation.label_scores import RunAnswers
from beyond_spectrograms.evaluation.records import (
    COLUMNS,
    CURVES_FILE,
    PREDICTIONS_FILE,
    Features,
    Interval,
    Scores,
    ScoresFile,
    Splits,
    cell_name,
    read_cells,
    read_record,
    read_scores,
)
from beyond_spectrograms.evaluation.uncertainty import recording_interval, window_interval
from beyond_spectrograms.params import Mel, Params, Statistics
from beyond_spectrograms.params.study import disturbed_in

MEL = "mel"
INPUTS = (MEL, "encodec_24khz", "encodec_48khz")  # the three inputs that the paper compares (section 3)


@dataclass(frozen=True)
class Cell:
    """What is known of one representation under one protocol. None and empty: not run."""

    scores: Scores | None = None
    curves: tuple[Curve, ...] = ()
    recordings: Recordings | None = None
    window_interval: Interval | None = None  # share of tested windows that are right, 0 to 1
    recording_interval: Interval | None = None  # share of tested recordings that are right, 0 to 1
    answers: tuple[RunAnswers, ...] = field(default=(), kw_only=True)  # to recordings of several labels, a run each

    @property
    def diverged(self) -> set[tuple[int, int]]:
        """Fold and seed of the runs whose loss stopped being finite."""
        runs = self.scores.by_fold if self.scores else []
        return {(run.fold, run.seed) for run in runs if run.diverged_at_epoch is not None}

    @property
    def whole_curves(self) -> tuple[Curve, ...]:
        """Curves of the runs that did not diverge: a loss on its way to infinity would drown the others in a mean."""
        return tuple(curve for curve in self.curves if curve.run not in self.diverged)

    def validation_by_run(self) -> dict[tuple[int, int], float]:
        """Look up the validation accuracy at the epoch tested, of each run (fold, seed) that finished it."""
        tested = {(run.fold, run.seed): run.epoch for run in self.scores.by_fold} if self.scores else {}
        epochs = [(curve, tested.get(curve.run, 0)) for curve in self.curves]
        return {curve.run: float(curve.validation_accuracy[epoch - 1]) for curve, epoch in epochs if epoch}

    def validation_accuracy(self) -> float | None:
        """Average `validation_by_run`; None where no run finished an epoch."""
        found = self.validation_by_run().values()
        return sum(found) / len(found) if found else None


@dataclass(frozen=True)
class Results:
    """What is known of one data set, and what was asked for."""

    dataset: str
    rows: tuple[str, ...]  # the paper's three inputs always among them
    protocols: tuple[str, ...]
    ablations: tuple[str, ...]  # further representations, run under a few protocols
    ablation_protocols: tuple[str, ...]
    params: Params
    splits: Splits
    features: dict[str, Features]
    cells: dict[tuple[str, str], Cell]
    disturbed: dict[str, dict[tuple[str, str], Cell]] = field(default_factory=dict)  # by disturbance; without curves

    @property
    def judged_protocol(self) -> str | None:
        """The first protocol that contrasts are tested under, of those this report covers; None where there is none."""
        return next((name for name in self.params.contrasts.under if name in self.protocols), None)

    def by_labels(self) -> tuple[Results, Results]:
        """Part by protocols: those for one label a sound, and those for several."""

        def some(*, several: bool) -> Results:
            def mine(names: Iterable[str]) -> tuple[str, ...]:
                return tuple(name for name in names if (self.params.protocols[name].loss is not None) == several)

            cells = {cell: found for cell, found in self.cells.items() if mine([cell[1]])}
            protocols, of_ablations = mine(self.protocols), mine(self.ablation_protocols)
            return replace(self, cells=cells, protocols=protocols, ablation_protocols=of_ablations)

        return some(several=False), some(several=True)

    def asked(self, protocol: str) -> list[str]:
        """List the representations that the grid asks for under a protocol, in the order of params.yaml."""
        grid = self.params.grid
        return [
            name
            for name in self.params.representations
            if name in grid.representations and protocol in grid.protocols_of(name)
        ]

    def cell(self, representation: str, protocol: str) -> Cell:
        """Look up a cell; one that was not run is empty."""
        return self.cells.get((representation, protocol), Cell())

    def is_control(self, representation: str) -> bool:
        """Whether the representation is an untrained encoder."""
        known = self.params.representations.get(representation)
        return known is not None and known.is_untrained

    def names(self) -> list[str]:
        """List the representations of which any cell was run, in the order of params.yaml."""
        return [name for name in self.params.representations if any(of == name for of, _ in self.cells)]

    def is_spectrogram(self, representation: str) -> bool:
        """Whether the representation is a mel spectrogram."""
        record = self.params.representations.get(representation)
        return isinstance(record, Mel) and record.n_mfcc is None

    def is_codec(self, representation: str) -> bool:
        """Whether the representation is made of a codec's latents or codes, trained or not."""
        record = self.params.representations.get(representation)
        return record is not None and record.is_codec

    def is_model(self, representation: str) -> bool:
        """Whether the representation is made by a model that others trained, and that is no codec."""
        record = self.params.representations.get(representation)
        return record is not None and record.weights not in (None, "untrained") and not record.is_codec

    def label(self, representation: str) -> str:
        """Name a representation in a picture, where there is no room for a note."""
        return f"{representation} (control)" if self.is_control(representation) else representation


def read_results(params: Params, dataset: str, folder: Path, root: Path, splits: Path) -> Results:
    """Read a data set's cells: those of the grid from `folder`, those that stand beside them from `root`.

    `folder` is the study's metrics/<dataset>, `root` that of the paper's experiment, `splits` its splits.json.

    Raises:
        ResultError: a file is missing or damaged.
    """
    grid = params.grid
    protocols = list(dict.fromkeys(protocol for _, protocol in grid.cells()))
    beside = [(name, protocol) for name in grid.beside for protocol in protocols]
    found: dict[tuple[str, str], Cell] = {}
    features: dict[str, Features] = {}
    for place, asked in ((folder, grid.cells()), (root, beside)):
        if not asked:
            continue
        scores = read_scores(place, dataset)
        found |= (mine := _cells_of(scores, place, asked, params.statistics))
        for (name, protocol), cell in mine.items():
            if cell.scores and not params.protocols[protocol].is_fitted_at_once:
                check_curves(place / CURVES_FILE, cell_name(name, protocol), cell.curves, cell.scores)
        names = {name for name, _ in asked}
        features |= {name: record for name, record in scores.features.items() if name in names}
    places = {name: disturbed_in(folder, name) for name in params.disturbances}
    disturbed = {
        name: _cells_of(read_scores(place, dataset), place, grid.cells(), params.statistics)
        for name, place in places.items()
        if place.is_dir()
    }
    few = grid.representations if grid.beside else grid.only
    rows = {*(grid.beside or [name for name in grid.representations if name not in grid.only]), *INPUTS}
    # By protocol, so that whatever lists cells in order keeps those together that are compared.
    ordered = sorted(found, key=lambda cell: list(params.protocols).index(cell[1]))
    return Results(
        dataset=dataset,
        rows=tuple(name for name in dict.fromkeys([*params.representations, *INPUTS]) if name in rows),
        protocols=tuple(grid.protocols),
        ablations=tuple(few),
        ablation_protocols=tuple(dict.fromkeys(protocol for name in few for protocol in grid.protocols_of(name))),
        params=params,
        splits=read_record(splits, Splits),
        features=features,
        cells={cell: found[cell] for cell in ordered},
        disturbed=disturbed,
    )


def _cells_of(
    scores: ScoresFile, place: Path, asked: Sequence[tuple[str, str]], statistics: Statistics
) -> dict[tuple[str, str], Cell]:
    """Read from the folder `place` those of the cells `asked` that have `scores` there.

    Raises:
        ResultError: a file is missing or damaged.
    """
    rows, curves = read_cells(place / PREDICTIONS_FILE, COLUMNS), read_curves(place / CURVES_FILE)
    recordings = {name: recordings_of(name, mine, place / PREDICTIONS_FILE) for name, mine in rows.items()}
    check_agrees(place / PREDICTIONS_FILE, rows, scores.cells)
    found = {}
    for cell in asked:
        if (name := cell_name(*cell)) not in scores.cells:
            continue
        intervals = [make(recordings[name], statistics) for make in (window_interval, recording_interval)]
        answers: tuple[RunAnswers, ...] = ()
        if scores.cells[name].labels is not None:
            answers = answers_of(rows[name], scores.cells[name].confusion.classes, place / PREDICTIONS_FILE)
        found[cell] = Cell(scores.cells[name], curves.get(name, ()), recordings[name], *intervals, answers=answers)
    return found
