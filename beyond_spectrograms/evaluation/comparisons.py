"""Pairs of cells on the same recordings: contrasts named in params, which are tested, and all others, which are not."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from beyond_spectrograms.evaluation.clip_results import Recordings
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.evaluation.uncertainty import Comparison, compare, compare_folds, gap, holm
from beyond_spectrograms.params import BEST_SPECTROGRAM


@dataclass(frozen=True)
class Pair:
    """First - second in the share of windows right under one protocol.

    `p` is corrected (Holm) for all contrasts named in params; None of a pair that was not named, or has no interval.
    `at_the_end` is the difference in validation accuracy at the last epoch, where no epoch was selected.
    """

    first: str
    second: str
    protocol: str
    comparison: Comparison
    at_the_end: Interval | None = None
    named: bool = False
    p: float | None = None
    note: str = ""

    def verdict(self, confidence: float) -> str:
        """Say what a named contrast decides: `better`, `worse`, `same` or `undecided`; nothing of other pairs."""
        return self.comparison.verdict(self.p, confidence) if self.named else ""


def compare_contrasts(results: Results) -> list[Pair]:
    """Test the contrasts that params name."""
    named = _named(results)
    pairs = [_compare(results, *names, tests=len(named)) for names in named]
    # Holm for all that is named, run or not: what is run later does not change these marks.
    corrected = holm([pair.comparison.p if pair else None for pair in pairs])
    return [replace(pair, named=True, p=p) for pair, p in zip(pairs, corrected, strict=True) if pair]


def compare_pairs(results: Results) -> list[Pair]:
    """Test the contrasts and, without a test, compare every other codec with every spectrogram."""
    others = (_compare(results, *names) for names in _others(results, set(_named(results))))
    return [*compare_contrasts(results), *(pair for pair in others if pair)]


def compare_classes(results: Results, pair: Pair) -> dict[str, Comparison]:
    """Compare the two cells of a pair on the recordings of each class, by name: where a difference comes from."""
    cells = (results.cell(pair.first, pair.protocol), opponent(results, pair.second, pair.protocol)[0])
    first, second = (cell.recordings for cell in cells)
    if first is None or second is None:
        return {}
    clips: dict[str, set[str]] = {}
    for clip, label in zip(first.clips, first.labels, strict=True):
        clips.setdefault(label, set()).add(clip)
    statistics = results.params.statistics
    return {label: gap(first.among(mine), second.among(mine), statistics) for label, mine in sorted(clips.items())}


def _named(results: Results) -> list[tuple[str, str, str]]:
    contrasts = results.params.contrasts
    return [(first, second, protocol) for protocol in contrasts.under for first, second in contrasts.pairs]


def _others(results: Results, named: set[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    for first, protocol in results.cells:
        if results.is_codec(first) and not results.params.protocols[protocol].is_control:
            for second, also in results.cells:
                if also == protocol and results.is_spectrogram(second) and (first, second, protocol) not in named:
                    yield first, second, protocol


def _compare(results: Results, first: str, second: str, protocol: str, tests: int = 1) -> Pair | None:
    """Compare two cells; None where one was not run, or no run of theirs had the same split."""
    cell, (other, note) = results.cell(first, protocol), opponent(results, second, protocol)
    ours, theirs = cell.recordings, other.recordings
    if ours is None or theirs is None:
        return None
    if results.params.splits[results.params.protocols[protocol].split].seeds and ours.runs != theirs.runs:
        # Each seed tests windows of its own: only runs of the same seed can be compared.
        both = set(ours.runs) & set(theirs.runs)
        if not both:
            return None
        ours, theirs = ours.of_runs(both), theirs.of_runs(both)
    statistics = results.params.statistics
    ends = [{curve.run: float(curve.validation_accuracy[-1]) for curve in of.whole_curves} for of in (cell, other)]
    apart = {run: ends[0][run] - ends[1][run] for run in ends[0] if run in ends[1]}
    if second == BEST_SPECTROGRAM:
        apart = {}  # it was chosen by these accuracies
    at_the_end = compare_folds(apart, statistics).difference if apart else None
    return Pair(first, second, protocol, compare(ours, theirs, statistics, tests), at_the_end, note=note)


def opponent(results: Results, name: str, protocol: str) -> tuple[Cell, str]:
    """Look up a cell; for `best_spectrogram`, put together that of each fold's best, and say which that was.

    The best of a fold is the spectrogram of the highest validation accuracy there, averaged over seeds at the epoch
    tested: the test part has no say. Spectrograms with fewer runs than the first one are left out.
    """
    if name != BEST_SPECTROGRAM:
        return results.cell(name, protocol), ""
    cells = {of: results.cell(of, protocol) for of in results.names() if results.is_spectrogram(of)}
    known = {of: (cell, cell.recordings) for of, cell in cells.items() if cell.recordings and cell.curves}
    if not known:
        return Cell(), ""
    first: Recordings = next(found for _, found in known.values())
    alike = {of: (cell, found) for of, (cell, found) in known.items() if found.runs == first.runs}
    validated = {of: cell.validation_by_run() for of, (cell, _) in alike.items()}
    folds = sorted({fold for fold, _ in first.runs})

    def validation(of: str, fold: int) -> float:
        return float(np.mean([accuracy for run, accuracy in validated[of].items() if run[0] == fold] or [0.0]))

    chosen = {fold: max((validation(of, fold), of) for of in alike)[1] for fold in folds}
    picked = [alike[chosen[fold]] for fold, _ in first.runs]
    arrays: dict[str, Any] = {
        key: np.array([getattr(found, key)[place] for place, (_, found) in enumerate(picked)])
        for key in ("windows", "windows_right", "right")
    }
    recordings = replace(first, cell=f"{name}-{protocol}", errors=None, **arrays)
    curves = tuple(curve for fold in folds for curve in alike[chosen[fold]][0].whole_curves if curve.fold == fold)
    which = {of: [fold for fold in folds if chosen[fold] == of] for of in dict.fromkeys(chosen.values())}
    said = [f"{of} in fold{'s' * (len(mine) > 1)} {', '.join(map(str, mine))}" for of, mine in which.items()]
    said += [f"{of} left out for other runs" for of in known if of not in alike]
    note = "; ".join(said)
    return Cell(curves=curves, recordings=recordings), note
