"""How often the intervals cover and the paired tests err, by simulation on the real structure of ESC-10.

Clips, sources, folds and windows are those of metrics/esc10/predictions.csv.gz. Sources, clips and training runs each
have a normal effect on the logit of a window's chance to be right; the effects of sources and clips of two compared
representations correlate by 0.7. `python -m benchmarks.coverage` writes metrics/coverage.json and .md.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.simulation import error_of_coverage, simulate_cases
from beyond_spectrograms.evaluation.claims import log_ratio
from beyond_spectrograms.evaluation.clip_results import Recordings, read_recordings
from beyond_spectrograms.evaluation.records import PREDICTIONS_FILE, Interval
from beyond_spectrograms.evaluation.uncertainty import compare, compare_folds, window_interval
from beyond_spectrograms.params import Params
from beyond_spectrograms.params.study import PAPER
from beyond_spectrograms.report.table import Row, Table, scaled, text
from beyond_spectrograms.util.commands import run

STRUCTURE = Path("metrics/esc10") / PREDICTIONS_FILE, "soundstream-fair"
RESULTS = Path("metrics/coverage.json")
SOURCE_SD, CLIP_SD, SHARED = 1.2, 0.6, 0.7  # on the logit scale; ESC-10's spread of sources is about that
DESIGNS = {  # folds, seeds of each, and what a run tests
    "5 folds x 5 seeds": (5, 5, "fold"),
    "5 folds x 2 seeds": (5, 2, "fold"),
    "5 folds x 1 seed": (5, 1, "fold"),
    "5 splits, one a seed": (5, 1, "own"),
    "1 split x 5 seeds": (1, 5, "shared"),
}
ACCURACIES, DEVIATIONS = (0.4, 0.66, 0.95), (0.0, 0.025, 0.05, 0.1)  # of runs: standard deviation in accuracy
EPOCHS, NOISE = 50, 0.01  # of a simulated learning curve: standard deviation of an epoch's accuracy


@dataclass(frozen=True)
class Case:
    """What was counted over all draws of one design: shares, 0 to 1."""

    design: str
    accuracy: float
    run_deviation: float
    coverage: float  # of the interval of an accuracy
    type_1: float  # differences that a paired test finds where there is none


def main() -> None:
    further, designs = {"convergence": convergence}, list(all_cases())
    simulate_cases(
        __doc__, PAPER, designs, simulate=simulate, tabulate=coverage_table, results=RESULTS, further=further
    )


def all_cases() -> Iterator[tuple[str, float, float]]:
    """List designs, accuracies and deviations of runs; near 1 runs cannot differ by 10 points."""
    for design in DESIGNS:
        for accuracy in ACCURACIES:
            for deviation in DEVIATIONS:
                if deviation <= 1 - accuracy:
                    yield design, accuracy, deviation


def simulate(params: Params, design: str, accuracy: float, deviation: float, draws: int) -> Case:
    """Draw so many experiments of two representations that are equally accurate, and judge each."""
    structure = read_structure()
    rng = np.random.default_rng([list(DESIGNS).index(design), int(100 * accuracy), int(1000 * deviation)])
    run_sd = deviation / (accuracy * (1 - accuracy))
    intercept = intercept_of(accuracy, (SOURCE_SD**2 + CLIP_SD**2 + run_sd**2) ** 0.5)
    covered = erred = 0
    for _ in range(draws):
        first, second = draw(structure, design, intercept, run_sd, rng)
        covered += _holds(window_interval(first, params.statistics), accuracy)
        erred += compare(first, second, params.statistics).decision in ("more", "less")
    return Case(design, accuracy, deviation, covered / draws, erred / draws)


@cache
def read_structure() -> Recordings:
    """Read the cell whose clips, sources, folds and windows all cases share."""
    return read_recordings(STRUCTURE[0])[STRUCTURE[1]]


def intercept_of(accuracy: float, deviation: float) -> float:
    """Find the logit to which normal effects of a deviation are added so that chances average `accuracy`."""
    from scipy.optimize import brentq

    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return float(brentq(lambda mu: expit(mu + deviation * nodes) @ weights / weights.sum() - accuracy, -20, 20))


def draw(
    structure: Recordings, design: str, intercept: float, run_sd: float, rng: np.random.Generator
) -> list[Recordings]:
    """Draw two representations' recordings under one design, on the same windows."""
    folds, seeds, kind = DESIGNS[design]
    sources = np.unique(structure.sources, return_inverse=True)[1]
    by_fold = structure.windows[:: len(structure.runs) // 5]  # [folds, clips], one run a fold
    every = by_fold.sum(0)
    if kind == "fold":
        windows = by_fold.repeat(seeds, axis=0)
        runs = [(fold, seed) for fold in range(1, folds + 1) for seed in range(seeds)]
    elif kind == "own":
        windows = np.array([rng.binomial(every, 0.2) for _ in range(folds)])
        runs = [(fold, fold - 1) for fold in range(1, folds + 1)]
    else:
        windows = rng.binomial(every, 0.2)[None].repeat(seeds, axis=0)
        runs = [(1, seed) for seed in range(seeds)]
    shared = [rng.standard_normal(size) for size in (sources.max() + 1, len(sources))]
    cells = []
    for name in ("first", "second"):
        of_source, of_clip = (
            SHARED**0.5 * both + (1 - SHARED) ** 0.5 * rng.standard_normal(len(both)) for both in shared
        )
        chance = intercept + SOURCE_SD * of_source[sources] + CLIP_SD * of_clip
        right = rng.binomial(windows, expit(chance + run_sd * rng.standard_normal((len(runs), 1))))
        drawn = replace(structure, cell=name, runs=tuple(runs), windows=windows, windows_right=right)
        cells.append(replace(drawn, right=2 * right > windows))
    return cells


def _holds(interval: Interval, truth: float) -> bool:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low <= truth <= interval.high


def convergence(params: Params, draws: int) -> dict[str, float]:
    """Count what the claim of convergence says where the answer is known.

    `alike`: the same representation under other seeds; share of draws that say it converges in other epochs.
    `four_times`: the same plateau, four times as fast; share of draws that say it converges in fewer.
    """
    rng, said = np.random.default_rng(0), {"alike": 0, "four_times": 0}
    for _ in range(draws):
        for name, factor in (("alike", 1.0), ("four_times", 0.25)):
            logs = {}
            for fold in range(1, 6):
                plateau = 0.6 + 0.05 * rng.standard_normal()
                for seed in range(5):
                    mine, theirs = (learning_curve(plateau, times, rng) for times in (factor, 1.0))
                    logs[fold, seed] = log_ratio(mine, theirs, params.claims.level)
            decision = compare_folds(logs, params.statistics, np.log(params.claims.convergence_margin)).decision
            said[name] += decision in (("less",) if factor < 1 else ("less", "more"))
    return {name: count / draws for name, count in said.items()}


def learning_curve(plateau: float, times: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a validation accuracy [epochs] that nears its plateau by a half every three epochs, or `times` that."""
    epochs = np.arange(1, EPOCHS + 1)
    half_life = 3 * times * rng.lognormal(0, 0.2)
    rise: NDArray[np.float64] = (plateau + 0.01 * rng.standard_normal()) * (1 - 0.5 ** (epochs / half_life))
    return rise + NOISE * rng.standard_normal(EPOCHS)


def coverage_table(cases: list[Case], draws: int) -> Table:
    """Tabulate all cases."""
    rows: list[Row] = [asdict(case) for case in cases]
    columns = {
        "design": text("design"),
        "accuracy %": scaled("accuracy", ".0f", 100),
        "runs differ by (SD, points)": scaled("run_deviation", "g", 100),
        "95 % interval covers, %": scaled("coverage", ".1f", 100),
        "test errs, %": scaled("type_1", ".1f", 100),
    }
    notes = [f"{draws} simulated experiments a case; {error_of_coverage(draws)}"]
    return Table("Coverage of the intervals", rows, columns, notes)


if __name__ == "__main__":
    run(main)
