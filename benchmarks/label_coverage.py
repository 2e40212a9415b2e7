"""How often the interval of mean average precision holds the truth: metrics/label_coverage.json and .md.

Recordings of groups are dealt into folds, and each has two of ten classes. A fold's classifier answers with its skill
where a class is, plus an effect of the group and noise, both normal; skills vary from fold to fold as training does.
The truth is the mean over many such experiments.
"""

from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.simulation import error_of_coverage, simulate_cases
from beyond_spectrograms.evaluation.label_scores import MEAN_AP, RunAnswers, measure, measure_runs
from beyond_spectrograms.params import Params
from beyond_spectrograms.report.table import Row, Table, scaled, texts
from beyond_spectrograms.util.commands import run

RESULTS = Path("metrics/label_coverage.json")
GROUPS, FOLDS, SPREADS = (75, 150), (3, 5, 10), (0.0, 0.3)
TAKES = 3  # recordings of a group
CLASSES = 10
OF_GROUPS, NOISE = 0.7, 0.7  # deviations of what adds to a skill of 1


@dataclass(frozen=True)
class Case:
    """What was counted over all draws of one design.

    Attributes:
        spread: the deviation of skills from fold to fold.
        deviation: that of a fold's mean average precision, 0 to 1.
        truth: the true mean average precision.
        coverage: share of intervals that hold it.
        width: mean width of the interval.
    """

    groups: int
    folds: int
    spread: float
    deviation: float
    truth: float
    coverage: float
    width: float


def main() -> None:
    designs = list(product(GROUPS, FOLDS, SPREADS))
    simulate_cases(__doc__, "multi_label", designs, simulate=simulate, tabulate=coverage_table, results=RESULTS)


def simulate(params: Params, groups: int, folds: int, spread: float, draws: int) -> Case:
    """Draw so many experiments twice: to know the truth, and to count the intervals that hold it."""
    random = np.random.default_rng([groups, folds, int(100 * spread)])
    measured = [[measure_runs([each])[MEAN_AP] for each in draw(groups, folds, spread, random)] for _ in range(draws)]
    truth, deviation = float(np.mean(measured)), float(np.mean(np.std(measured, axis=1, ddof=1)))
    held, widths = 0, []
    for _ in range(draws):
        found = measure(draw(groups, folds, spread, random), params.statistics)
        interval = found.interval(MEAN_AP, params.statistics)
        assert interval.low is not None  # there are enough folds and origins
        assert interval.high is not None
        held += interval.low <= truth <= interval.high
        widths.append(interval.high - interval.low)
    return Case(groups, folds, spread, deviation, truth, held / draws, float(np.mean(widths)))


def draw(groups: int, folds: int, spread: float, random: np.random.Generator) -> list[RunAnswers]:
    """Draw one experiment: what each fold's classifier answers to its recordings."""
    of_recording = np.repeat(np.arange(groups), TAKES)
    pairs = np.argsort(random.random((groups, CLASSES)), axis=1)[:, :2]
    truth = np.zeros((groups, CLASSES), bool)
    np.put_along_axis(truth, pairs, values=True, axis=1)
    skills = 1 + spread * random.standard_normal(folds)
    fold_of = random.permutation(np.arange(groups) % folds)
    heard = truth * skills[fold_of][:, None] + OF_GROUPS * random.standard_normal((groups, CLASSES))
    answers = heard[of_recording] + NOISE * random.standard_normal((len(of_recording), CLASSES))
    return [
        RunAnswers(fold, 0, truth[of_recording[mine]], answers[mine], of_recording[mine].astype(str))
        for fold in range(folds)
        if (mine := fold_of[of_recording] == fold).any()
    ]


def coverage_table(cases: list[Case], draws: int) -> Table:
    """Tabulate all cases."""
    rows: list[Row] = [asdict(case) for case in cases]
    columns = {
        **texts("groups", "folds"),
        "deviation of folds' mAP, points": scaled("deviation", ".1f", 100),
        "true mAP %": scaled("truth", ".1f", 100),
        "95 % interval covers, %": scaled("coverage", ".1f", 100),
        "its mean width, points": scaled("width", ".1f", 100),
    }
    notes = [
        f"{draws} simulated experiments a case, {TAKES} recordings of each group, two of {CLASSES} classes each; "
        f"{error_of_coverage(draws)}"
    ]
    return Table("Coverage of the interval of mean average precision", rows, columns, notes)


if __name__ == "__main__":
    run(main)
