"""How often a score confuses speakers: error rates, equal error rate with its interval, least detection cost.

A trial is accepted (taken for one speaker) where its score is at least a threshold. False accepts are a share of the
trials of two speakers, false rejects one of those of one. Between two thresholds both rates are linear, as they are
for one that is drawn by lot (Fawcett 2006, Pattern Recognition Letters 27, 861); the equal error rate is where they
meet. The detection cost is that of NIST's evaluations of speaker recognition (plan of 2016), errors of both kinds
costing 1, normalised by the better of accepting all and rejecting all.

The interval is over speakers, of whom both sides of a trial hang on: a bootstrap draws speakers with replacement (Poh,
Martin and Bengio 2007, IEEE PAMI 29, 492). A trial of two speakers counts as often as the product of how often both
were drawn, one of a single speaker as often as that one was (Snijders and Borgatti 1999, Connections 22, 161). Limits
are Student's on the logit scale, from the deviation of the resamples. docs/speakers.md shows how often they cover.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.embeddings import Floats
from beyond_spectrograms.evaluation.records import Fraction, Interval, Record, ResultError, read_record
from beyond_spectrograms.params import Statistics, Verification

TRIALS_FILE = "trials.json"
CURVE_POINTS = 100  # kept of a DET curve, evenly along it as it is drawn
FARTHEST = 1e-6  # a rate of 0 or 1 stands on a normal deviate's scale as if it were that far from it


class TrialScores(Record):
    """What was found of a representation and an embedding.

    Attributes:
        speakers: that stand in trials.
        values: numbers of an embedding.
        eer: equal error rate; its limits are None where `eer_reason` says why.
        eer_by_speaker: of the trials in which a speaker stands; None where these are of one kind.
        min_dcf: least detection cost at params' target_prior; 1 is what deciding without the score gives.
        false_accepts, false_rejects: the DET curve, from the highest threshold to the lowest.
        trials_sha256: of the table of trials that was scored.
        provenance: what the scores depend on: Study.trial_provenance.
    """

    representation: str
    embedding: str
    targets: int
    non_targets: int
    folds: int
    speakers: int
    recordings: int
    values: int
    eer: Fraction
    eer_low: Fraction | None
    eer_high: Fraction | None
    eer_reason: str | None
    eer_by_speaker: dict[str, Fraction | None]
    min_dcf: float
    false_accepts: list[Fraction]
    false_rejects: list[Fraction]
    trials_sha256: str
    provenance: dict[str, Any]

    @property
    def interval(self) -> Interval:
        """The equal error rate and its limits."""
        return Interval(self.eer, self.eer_low, self.eer_high, reason=self.eer_reason)


class TrialsFile(Record):
    """trials.json: scores by cell, <representation>-<embedding>."""

    dataset: str
    cells: dict[str, TrialScores]


def read_trial_scores(folder: Path, dataset: str) -> TrialsFile:
    """Read the trials.json of a data set; without cells where there is none yet.

    Raises:
        ResultError: a key is missing or out of range, or it is of another data set.
    """
    path = folder / TRIALS_FILE
    if not path.exists():
        return TrialsFile(dataset=dataset, cells={})
    found = read_record(path, TrialsFile)
    if found.dataset != dataset:
        raise ResultError(f"{path}: holds the trials of {found.dataset}, not of {dataset}.")
    return found


def error_rates(scores: Floats, targets: NDArray[np.bool_], weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Give the rates of false accepts and false rejects [thresholds + 1], from a threshold above all scores on.

    Each distinct score is a threshold. `scores`, `targets` (of one speaker) and `weights` have a value a trial.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of the trials with one score
    weight = np.ones(len(scores)) if weights is None else weights[order]
    hits, alarms = (np.cumsum(weight * kind)[last] for kind in (targets[order], ~targets[order]))
    return np.append(0.0, alarms / alarms[-1]), np.append(1.0, 1 - hits / hits[-1])


def equal_error_rate(false_accepts: Floats, false_rejects: Floats) -> float:
    """Find where both rates are the same, on the line between the two thresholds around it."""
    after = int(np.argmax(false_accepts >= false_rejects))
    before = after - 1
    gaps = false_rejects[[before, after]] - false_accepts[[before, after]]
    share = gaps[0] / (gaps[0] - gaps[1])
    return float(false_accepts[before] + share * (false_accepts[after] - false_accepts[before]))


def least_cost(false_accepts: Floats, false_rejects: Floats, target_prior: float) -> float:
    """Give the normalised detection cost at the best threshold."""
    costs = target_prior * false_rejects + (1 - target_prior) * false_accepts
    return float(costs.min() / min(target_prior, 1 - target_prior))


def eer_interval(
    scores: Floats, targets: NDArray[np.bool_], sides: NDArray[np.int64], settings: Verification, statistics: Statistics
) -> Interval:
    """Give the equal error rate of all trials and its interval over speakers.

    `sides` [trials, 2] numbers the speakers of both recordings from 0 on.
    """
    from scipy.stats import t as student

    value = equal_error_rate(*error_rates(scores, targets))
    speakers = int(sides.max()) + 1
    if speakers < statistics.minimum_sources:
        why = f"Only {speakers} speakers were tried; {statistics.minimum_sources} are needed for an interval."
        return Interval(value, reason=why)
    if value in (0, 1):
        return Interval(value, reason=f"{'No' if value == 0 else 'Every'} pair is confused: no spread to judge by.")
    order = np.argsort(-scores, kind="stable")  # what is in order is sorted again in next to no time
    scores, targets, sides = scores[order], targets[order], sides[order]
    random, found = np.random.default_rng(settings.seed), []
    for _ in range(settings.resamples):
        drawn = np.bincount(random.integers(0, speakers, speakers), minlength=speakers).astype(np.float64)
        weights = np.where(targets, drawn[sides[:, 0]], drawn[sides[:, 0]] * drawn[sides[:, 1]])
        if weights[targets].any() and weights[~targets].any():  # else it has no rates
            found.append(equal_error_rate(*error_rates(scores, targets, weights)))
    few = 0.5 / len(scores)  # half an error stands for none, which has no logit
    logits = _logit(np.clip(np.array(found), few, 1 - few))
    half = student.ppf((1 + statistics.confidence) / 2, speakers - 1) * logits.std(ddof=1)
    low, high = (float(1 / (1 + np.exp(-limit))) for limit in (_logit(value) - half, _logit(value) + half))
    return Interval(value, low, high)


def _logit(value: Any) -> Any:
    return np.log(value / (1 - value))


def thin_curve(false_accepts: Floats, false_rejects: Floats) -> tuple[list[float], list[float]]:
    """Keep CURVE_POINTS of a DET curve, evenly spread on its normal deviates' scales, and both ends."""
    from scipy.special import ndtri

    along = ndtri(false_accepts.clip(FARTHEST, 1 - FARTHEST)) - ndtri(false_rejects.clip(FARTHEST, 1 - FARTHEST))
    wanted = np.searchsorted(along, np.linspace(along[0], along[-1], CURVE_POINTS))
    kept = np.unique(np.append(wanted.clip(0, len(along) - 1), [0, len(along) - 1]))
    rounded = (np.round(rates[kept], 6).tolist() for rates in (false_accepts, false_rejects))
    return next(rounded), next(rounded)


def score_cosines(trials: pd.DataFrame, vectors: Mapping[int, Floats], recordings: pd.DataFrame) -> Floats:
    """Give each trial the cosine of its two recordings, [trials].

    `vectors` are by fold, [recordings, values] of length 1; `trials` as data/trials.py has them.
    """
    row_of = pd.Series(range(len(recordings)), index=recordings["clip"])
    first, second = (row_of[trials[side]].to_numpy() for side in ("first", "second"))
    scores = np.empty(len(trials))
    for fold, of_fold in vectors.items():
        mine = (trials["fold"] == fold).to_numpy()
        scores[mine] = np.einsum("tv,tv->t", of_fold[first[mine]], of_fold[second[mine]])
    return scores


def evaluate_trials(
    trials: pd.DataFrame, scores: Floats, recordings: pd.DataFrame, settings: Verification, statistics: Statistics
) -> dict[str, Any]:
    """Judge the scores [trials] of a table of trials: the counts, rates and curve of TrialScores."""
    speaker_of = dict(zip(recordings["clip"], recordings["label"], strict=True))
    sides = np.stack([trials[side].map(speaker_of).to_numpy() for side in ("first", "second")], axis=1)
    speakers, numbers = np.unique(sides.astype(str), return_inverse=True)
    numbers, targets = numbers.reshape(sides.shape), trials["target"].to_numpy(dtype=bool)
    rates = error_rates(scores, targets)
    interval = eer_interval(scores, targets, numbers, settings, statistics)
    by_speaker: dict[str, float | None] = {}
    for number, speaker in enumerate(speakers):
        mine = (numbers == number).any(1)
        both = targets[mine].any() and not targets[mine].all()
        by_speaker[str(speaker)] = equal_error_rate(*error_rates(scores[mine], targets[mine])) if both else None
    false_accepts, false_rejects = thin_curve(*rates)
    return {
        "targets": int(targets.sum()),
        "non_targets": int((~targets).sum()),
        "folds": int(trials["fold"].nunique()),
        "speakers": len(speakers),
        "recordings": int(pd.concat([trials["first"], trials["second"]]).nunique()),
        "eer": interval.value,
        "eer_low": interval.low,
        "eer_high": interval.high,
        "eer_reason": interval.reason,
        "eer_by_speaker": by_speaker,
        "min_dcf": least_cost(*rates, settings.target_prior),
        "false_accepts": false_accepts,
        "false_rejects": false_rejects,
    }
