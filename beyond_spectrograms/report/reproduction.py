"""The paper's own figures beside ours under its own protocol, and of each whether ours meet it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from beyond_spectrograms.evaluation.convergence import epochs_to_near_best, epochs_to_pass
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import INPUTS, MEL, Results
from beyond_spectrograms.evaluation.uncertainty import mean_interval
from beyond_spectrograms.params import Statistics
from beyond_spectrograms.report import published
from beyond_spectrograms.report.notes import NOT_RUN, diverged, note_of
from beyond_spectrograms.report.published import Published
from beyond_spectrograms.report.table import Row, Show, Table, joined, text, texts

RULE = (
    "met: the paper's figure, of one run, is one that a further run of ours could have: in its prediction interval, or "
    "of epochs between our smallest and largest (outside which one more run than n lies with a chance of 2 in n + 1). "
    "Not judged with fewer runs than an interval takes, nor where another codec stands in for EnCodec."
)


@dataclass(frozen=True)
class Measure:
    """One figure of every run of a cell: accuracies in %, or epochs, of which infinity means never."""

    values: tuple[float, ...]
    rules: Statistics
    is_epoch: bool = False

    @property
    def middle(self) -> float:
        """Mean accuracy, or median epoch."""
        return median(self.values) if self.is_epoch else mean_interval(self.values, self.rules).value

    @property
    def limits(self) -> tuple[float, float]:
        """Student's limits of an accuracy, past 100 % too; smallest and largest of epochs, or where there are none."""
        interval = None if self.is_epoch else mean_interval(self.values, self.rules)
        if interval is None or interval.low is None or interval.high is None:
            return min(self.values), max(self.values)
        return interval.low, interval.high

    def shown(self) -> str:
        """Print it: `97.4 [96.5, 98.2]`, `104 (85 to 127)`, and the values where there are few."""
        if len(self.values) < self.rules.minimum_runs:
            return ", ".join(map(self._print, self.values)) or "-"
        low, high = self.limits
        if self.is_epoch:
            return f"{self._print(self.middle)} ({self._print(low)} to {self._print(high)})"
        return Interval(self.middle, low, high).within(0.0, 100.0).shown(".1f")

    def against(self, printed: float, judged: bool) -> str:
        """Say by how much ours is off the paper's figure and, where it is `judged`, whether that is met."""
        if math.isinf(self.middle):
            return "half of the runs or more never do"
        off = self.middle - printed
        more, less, unit = ("later", "earlier", "epochs") if self.is_epoch else ("above", "below", "points")
        said = f"{abs(off):{'g' if self.is_epoch else '.1f'}} {unit} {more if off > 0 else less}"
        if not judged:
            return said
        if len(self.values) < self.rules.minimum_runs:
            return f"{said}, not judged with {len(self.values)} runs"
        return f"{'met' if self._could_have(printed) else 'not met'}, {said}"

    def _could_have(self, printed: float) -> bool:
        low, high = self.limits
        if not self.is_epoch:  # limits of a further value: sqrt(n + 1) times as far away as those of the mean
            reach = (high - low) / 2 * (len(self.values) + 1) ** 0.5
            low, high = self.middle - reach, self.middle + reach
        return low <= printed <= high

    def row(self, key: str) -> Row:
        """Lay it out: <key>, <key>_low and <key>_high in full, None for never, and <key>_shown."""
        low, high = self.limits if self.values else (math.inf, math.inf)
        numbers = (self.middle, low, high if self.is_epoch else min(high, 100.0)) if self.values else (math.inf,) * 3
        names = (key, f"{key}_low", f"{key}_high")
        laid_out: Row = {name: each if math.isfinite(each) else None for name, each in zip(names, numbers, strict=True)}
        return laid_out | {f"{key}_shown": self.shown()}

    def _print(self, value: float) -> str:
        if math.isinf(value):
            return "never"
        return f"{value:g}" if self.is_epoch else f"{value:.1f}"


def measures(results: Results, name: str, protocol: str) -> dict[str, Measure]:
    """Measure every run of a cell that did not diverge; those of `passes` also need mel's run of the same seed."""
    cell, rules = results.cell(name, protocol), results.params.statistics
    mel = {curve.run: curve for curve in results.cell(MEL, protocol).whole_curves if name != MEL}
    runs = cell.whole_curves
    tested = {(run.fold, run.seed): run.window_accuracy for run in cell.scores.by_fold} if cell.scores else {}
    passes = [epochs_to_pass(curve, mel[curve.run]) for curve in runs if curve.run in mel]
    near = [epochs_to_near_best(curve) for curve in runs]
    shares = [share for run, share in tested.items() if run not in cell.diverged and share is not None]
    return {
        "validation": Measure(tuple(100 * float(curve.validation_accuracy[-1]) for curve in runs), rules),
        "passes": Measure(tuple(passes), rules, is_epoch=True),
        "near_best": Measure(tuple(near), rules, is_epoch=True),
        "test": Measure(tuple(100 * share for share in shares), rules),
    }


def published_table(results: Results) -> Table | None:
    """Tabulate our figures beside the paper's; None where it has none for this data set and these protocols."""
    paper = published.paper_of(results.dataset)
    protocols = [protocol for protocol in published.PROTOCOLS if protocol in results.protocols]
    if paper is None or not protocols:
        return None
    rows = [_row(results, paper, name, protocol) for protocol in protocols for name in results.rows]
    columns: dict[str, Show] = texts("representation", "protocol", "runs", "epochs")
    shown = {
        "validation % at the end": "validation",
        "first epoch above mel's end": "passes",
        "epoch of 99 % of own best": "near_best",
        "test windows %": "test",
    }
    for heading, key in shown.items():
        columns |= {heading: text(f"{key}_shown"), f"paper: {heading}": text(f"paper_{key}")}
    rules = results.params.statistics
    notes = [
        f"Accuracies: mean over runs with Student's {rules.confidence:.0%} interval over runs. Epochs: median over "
        f"runs (smallest to largest). Of fewer than {rules.minimum_runs} runs: the value of each.",
        "At the end: after the last epoch, which the test part is classified at too. Above mel's end: the first epoch "
        "whose validation accuracy exceeds the last of mel's run of the same seed, the paper's mark.",
        f"The paper (section 3.2, Table 1): one run of {published.EPOCHS} epochs. It does not say which of EnCodec's "
        "two values is 24 kHz. Its epoch near the best is read from its loss curves (about); ours is by accuracy.",
        RULE,
    ]
    notes += [f"{protocol}: {said}" for protocol in protocols for said in _sentences(results, paper, protocol)]
    title = f"Published: {results.dataset}, ours beside the paper's own figures"
    return Table(title, rows, columns | texts("note"), notes)


def _row(results: Results, paper: Published, name: str, protocol: str) -> Row:
    cell = results.cell(name, protocol)
    lengths = [len(curve.validation_accuracy) for curve in cell.curves]
    row: Row = {"representation": name, "protocol": protocol}
    row |= {"runs": len(cell.scores.by_fold) if cell.scores else None, "epochs": max(lengths, default=None)}
    for key, measure in measures(results, name, protocol).items():
        row |= measure.row(key)
    told: Row = dict.fromkeys(f"paper_{key}" for key in ("validation", "passes", "near_best", "test"))
    if name == MEL:
        told |= {"paper_validation": f"{paper.validation_mel:.2f}", "paper_near_best": paper.near_best_mel}
        told |= {"paper_test": "not recoverable"}
    elif name in INPUTS:
        told["paper_validation"] = " or ".join(f"{each:.2f}" for each in paper.validation_encodec) + " above mel's end"
        told["paper_passes"] = " or ".join(map(str, paper.epochs_encodec))
        told |= {"paper_near_best": paper.near_best_encodec, "paper_test": f"{paper.best_test:.2f} is the better one's"}
    left_out = f"{diverged(cell.scores)}, left out" if cell.scores and cell.scores.diverged_runs else ""
    return row | told | {"note": joined(note_of(results, name, cell.scores is not None), left_out)}


def _sentences(results: Results, paper: Published, protocol: str) -> Iterator[str]:
    """Say of each of the paper's figures whether ours meet it; EnCodec's are set beside every trained codec's."""
    ours = measures(results, MEL, protocol)
    end, best = paper.validation_mel, paper.near_best_mel
    yield _sentence(f"mel's validation accuracy at the end, {end:.2f} %", end, MEL, ours["validation"])
    yield _sentence(f"mel's epoch near its best, {best}", best, MEL, ours["near_best"])
    codecs = [name for name in results.rows if results.is_codec(name) and not results.is_control(name)]
    run = [name for name in codecs if results.cell(name, protocol).whole_curves]
    if not run:
        yield f"EnCodec's figures: {NOT_RUN}, nor any other trained codec."
    for name in run:
        ours = measures(results, name, protocol)
        curves = [curve.validation_accuracy for curve in results.cell(name, protocol).whole_curves]
        for epoch, accuracy in zip(paper.epochs_encodec, paper.validation_encodec, strict=True):
            reached = tuple(100 * float(curve[epoch - 1]) for curve in curves if epoch <= len(curve))
            then = Measure(reached, results.params.statistics)
            yield _sentence(f"EnCodec's first epoch above mel's end, {epoch}", epoch, name, ours["passes"])
            what, short = f"EnCodec's validation accuracy at epoch {epoch}, {accuracy:.2f} %", "no run is that long"
            yield _sentence(what, accuracy, name, then, short)
        best = paper.near_best_encodec
        yield _sentence(f"EnCodec's epoch near its best, {best}", best, name, ours["near_best"])
        best_test = paper.best_test
        yield _sentence(f"EnCodec's best test accuracy, {best_test:.2f} %", best_test, name, ours["test"])


def _sentence(what: str, printed: float, name: str, ours: Measure, lacking: str = "no run of mel") -> str:
    if not ours.values:
        return f"{what}: not judged, {lacking}."
    judged = name in INPUTS
    return f"{what}: {name}{'' if judged else ', another codec'}, {ours.shown()}, {ours.against(printed, judged)}."
