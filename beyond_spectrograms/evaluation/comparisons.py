"""Pairs of cells on the same recordings: contrasts named in params, which are tested, and all others, which are not."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from beyond_spectrograms.evaluation.clip_results import Recordings, joined
from beyond_spectrograms.evaluation.convergence import Curve
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
        apart = {}  # by such accuracies it was chosen
    at_the_end = compare_folds(apart, statistics).difference if apart else None
    return Pair(first, second, protocol, compare(ours, theirs, statistics, tests), at_the_end, note=note)


def opponent(results: Results, name: str, protocol: str) -> tuple[Cell, str]:
    """Look up a cell; for `best_spectrogram`, put together that of each fold's best, and say which that was.

    The best of a fold is the spectrogram of the highest validation accuracy there, averaged over seeds at the epoch
    tested: the test part has no say. One that has fewer runs in a fold than another is left out there.
    """
    if name != BEST_SPECTROGRAM:
        return results.cell(name, protocol), ""
    cells = {of: results.cell(of, protocol) for of in results.names() if results.is_spectrogram(of)}
    known = {of: (cell, cell.recordings) for of, cell in cells.items() if cell.recordings and cell.curves}
    validated = {of: cell.validation_by_run() for of, (cell, _) in known.items()}
    chosen: dict[str, list[int]] = {}  # representation -> folds that it is the best of
    absent: dict[str, list[int]] = {}
    parts: list[Recordings] = []
    curves: list[Curve] = []
    for fold in sorted({fold for _, found in known.values() for fold, _ in found.runs}):
        runs = {of: [run for run in found.runs if run[0] == fold] for of, (_, found) in known.items()}
        most = max(runs.values(), key=len)
        reached = {of: [validated[of][run] for run in most if run in validated[of]] for of in known if runs[of] == most}
        best = max((float(np.mean(found or [0.0])), of) for of, found in reached.items())[1]
        cell, found = known[best]
        chosen.setdefault(best, []).append(fold)
        parts.append(found.of_runs(most))
        curves += [curve for curve in cell.whole_curves if curve.fold == fold]
        for of in known:
            if runs[of] != most:
                absent.setdefault(of, []).append(fold)
    if not parts:
        return Cell(), ""
    said = [f"{of} in {_folds(mine)}" for of, mine in chosen.items()]
    said += [f"{of} left out for other runs in {_folds(mine)}" for of, mine in absent.items()]
    said += ["the only spectrogram run"] * (len(known) == 1)
    return Cell(curves=tuple(curves), recordings=joined(f"{name}-{protocol}", parts)), "; ".join(said)


def _folds(folds: list[int]) -> str:
    return f"fold{'s' * (len(folds) > 1)} {', '.join(map(str, folds))}"
