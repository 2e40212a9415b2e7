"""How often the interval of an equal error rate holds the truth: metrics/trial_coverage.json and .md.

Scores are drawn so that the true rate is known. A pair of one speaker scores a mean, an effect of that speaker and
noise; a pair of two scores an effect of each and noise. All are normal, so that the rate at which both errors are the
same is that at minus the mean over the sum of both kinds' deviations. A speaker who is hard to accept can be easy to
mistake: their two effects are correlated.
"""

from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from benchmarks.simulation import error_of_coverage, simulate_cases
from beyond_spectrograms.evaluation.verification import eer_interval
from beyond_spectrograms.params import Params
from beyond_spectrograms.report.table import Row, Table, scaled, text
from beyond_spectrograms.util.commands import run

RESULTS = Path("metrics/trial_coverage.json")
SPEAKERS, RATES, SPREADS = (30, 40, 100), (0.02, 0.1, 0.3), (0.1, 0.5)
PAIRS = 30  # of each kind for each speaker
RESAMPLES = 200  # in place of params': enough for a deviation
CORRELATION = -0.3  # of the effects on pairs of one speaker and on those of two


@dataclass(frozen=True)
class Case:
    """What was counted over all draws of one design.

    Attributes:
        rate: the true equal error rate, 0 to 1.
        spread: share of the variance of a score that is of speakers.
        coverage: share of intervals that hold the rate.
        width: mean width of the interval.
    """

    speakers: int
    rate: float
    spread: float
    coverage: float
    width: float


def main() -> None:
    designs = list(product(SPEAKERS, RATES, SPREADS))
    simulate_cases(__doc__, "speakers", designs, simulate=simulate, tabulate=coverage_table, results=RESULTS)


def simulate(params: Params, speakers: int, rate: float, spread: float, draws: int) -> Case:
    """Draw so many experiments, and count the intervals that hold the true rate."""
    assert params.verification is not None  # of the study of speakers
    random = np.random.default_rng([speakers, int(1000 * rate), int(1000 * spread)])
    held, widths = 0, []
    for number in range(draws):
        own = params.verification.model_copy(update={"resamples": RESAMPLES, "seed": number})
        interval = eer_interval(*draw(speakers, rate, spread, random), own, params.statistics)
        if interval.low is not None and interval.high is not None:  # where no pair is confused there is none
            held += interval.low <= rate <= interval.high
            widths.append(interval.high - interval.low)
    return Case(speakers, rate, spread, held / len(widths), float(np.mean(widths)))


def draw(
    speakers: int, rate: float, spread: float, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Draw scores [trials] of unit variance, which of them are of one speaker, and both sides' speakers [trials, 2]."""
    mean = -2 * ndtri(rate)
    covariance = spread * np.array([[1.0, CORRELATION / 2**0.5], [CORRELATION / 2**0.5, 0.5]])
    own, others = random.multivariate_normal([0.0, 0.0], covariance, speakers).T
    one = np.repeat(np.arange(speakers), PAIRS)
    couples = np.stack(np.triu_indices(speakers, 1), axis=1)
    two = couples[random.permutation(len(one)) % len(couples)]
    noise = random.normal(0, (1 - spread) ** 0.5, 2 * len(one))
    scores = np.concatenate([mean + own[one], others[two].sum(1)]) + noise
    return scores, np.arange(len(scores)) < len(one), np.concatenate([np.stack([one, one], axis=1), two])


def coverage_table(cases: list[Case], draws: int) -> Table:
    """Tabulate all cases."""
    rows: list[Row] = [asdict(case) for case in cases]
    columns = {
        "speakers": text("speakers"),
        "true equal error rate %": scaled("rate", ".0f", 100),
        "of speakers, % of a score's variance": scaled("spread", ".0f", 100),
        "95 % interval covers, %": scaled("coverage", ".1f", 100),
        "its mean width, points": scaled("width", ".1f", 100),
    }
    notes = [
        f"{draws} simulated experiments a case, {PAIRS} pairs of each kind for each speaker; {error_of_coverage(draws)}"
    ]
    return Table("Coverage of the interval of an equal error rate", rows, columns, notes)


if __name__ == "__main__":
    run(main)
