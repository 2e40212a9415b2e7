"""The paper's three claims, judged by the rules of params.claims: a codec against a spectrogram, with intervals.

A claim holds where the whole interval is on its side, does not hold where the whole interval is on the other, and is
undecided where the interval has both or there is none. Convergence and equal epochs are judged by validation accuracy.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.comparisons import opponent
from beyond_spectrograms.evaluation.convergence import first_epoch
from beyond_spectrograms.evaluation.costs import TRAINING, Costs, paired_ratios
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.evaluation.uncertainty import Decision, compare_folds, median_interval
from beyond_spectrograms.params import BEST_SPECTROGRAM, Params

Outcome = Literal["holds", "does not hold", "same", "undecided"]
ANY_PROTOCOL = "any"  # of a claim about time: the same network classifies under every protocol with conv1d
Values = NDArray[np.float64]

# What a comparison decides about "fewer epochs" and about "more accurate".
FASTER: dict[Decision, Outcome] = {"less": "holds", "more": "does not hold", "same": "same", "undecided": "undecided"}
HIGHER: dict[Decision, Outcome] = {**FASTER, "more": "holds", "less": "does not hold"}

CLAIMS = {
    "convergence": "(1) epochs: reaches a common level in fewer epochs",
    "convergence_own": "(1) own plateau: comes near its own plateau in fewer epochs",
    "convergence_seconds": "(1) seconds: reaches a common level in less time of training",
    "equal_epochs": "(2) more accurate at equal epochs, over the whole curve",
    "speed_cached": "(3) faster to classify, from cached features",
    "speed_file": "(3) faster to classify, from the audio file on",
}


@dataclass(frozen=True)
class Verdict:
    """One claim about one codec, baseline and protocol; value, low and high as the rule states them."""

    dataset: str
    representation: str
    protocol: str
    baseline: str
    claim: str
    verdict: Outcome
    reason: str
    value: float | None
    low: float | None
    high: float | None
    control: bool  # the codec is an untrained encoder: the verdict is not EnCodec's


def rules(results: Results) -> dict[str, str]:
    """State each rule in a sentence, from params."""
    claims, statistics = results.params.claims, results.params.statistics
    sure, margin = f"the {statistics.confidence:.0%} interval", claims.convergence_margin
    return {
        "convergence": f"Epochs until {claims.level:.0%} of the lower of the two plateaus of validation accuracy is "
        "reached (a plateau is the mean over the last tenth of the epochs), as a ratio to the epochs of the baseline's "
        f"run of the same fold and seed; geometric mean over runs, with {sure} over folds. Holds if it lies below 1, "
        f"does not hold if it lies above; same if the ratio surely lies within {1 / margin:.2g} and {margin:.2g}.",
        "convergence_own": "The same to that share of each one's own plateau: a higher one does not make it faster. "
        "A run that diverged counts, here and above, as one epoch more than there were.",
        "convergence_seconds": "As the first, times the ratio of the processor time of a training step (conv1d).",
        "equal_epochs": "Validation accuracy minus the baseline's, averaged over all epochs; mean over runs, with "
        f"{sure} over folds. Holds if it lies above 0, does not hold if it lies below; same if the difference is "
        f"surely smaller than {100 * statistics.margin:g} points. A codec's run that diverged guesses from there on; a "
        "baseline's is left out. The best spectrogram of a fold is chosen by its validation accuracy too, at the epoch "
        "tested: this favours it here and in the epochs above.",
        "speed_cached": "Seconds to read a second of sound's cached features and classify them, as a ratio to the "
        f"baseline's; median over rounds. Holds if {sure} lies below 1, does not hold if it lies at or above.",
        "speed_file": "The same from the audio file on: decoding, resampling, encoding, classifying.",
    }


def opponents(params: Params) -> list[str]:
    """List what codecs are judged against: the baselines whose time is measured, and the best spectrogram."""
    return [*params.claims.baselines, BEST_SPECTROGRAM]


def judge(results: Results, costs: Mapping[str, Costs]) -> list[Verdict]:
    """Judge every codec of a data set against every baseline under every protocol that both were run under.

    Args:
        results: the cells of one data set.
        costs: representation -> what was measured of it and, in the same rounds, of the baselines.
    """
    verdicts: list[Verdict] = []
    baselines = results.params.claims.baselines
    for codec, protocol in results.cells:
        recipe = results.params.protocols[protocol]
        if not results.is_codec(codec) or recipe.is_control or recipe.is_fitted_at_once:
            continue
        for baseline in opponents(results.params):
            if baseline != BEST_SPECTROGRAM and (baseline, protocol) not in results.cells:
                continue
            if baseline != codec:
                verdicts += _judge_training(results, codec, baseline, protocol, costs.get(codec))
    for codec, measured in costs.items():
        if results.is_codec(codec):
            for baseline in filter(measured.representations.get, baselines):
                verdicts += _judge_speed(results, codec, baseline, measured)
    return verdicts


def _verdict(
    results: Results, names: tuple[str, str, str, str], interval: Interval, outcome: Outcome, reason: str = ""
) -> Verdict:
    """Put a verdict together; `names` are its codec, protocol, baseline and claim."""
    said = " ".join(part for part in (f"{reason}." if reason else "", interval.reason) if part)
    value = None if math.isnan(interval.value) else interval.value
    control = results.is_control(names[0])
    return Verdict(results.dataset, *names, outcome, said, value, interval.low, interval.high, control)


def _judge_training(
    results: Results, codec: str, baseline: str, protocol: str, measured: Costs | None
) -> Iterator[Verdict]:
    """Judge what the learning curves tell; seconds only where a step's time was measured, with the same network."""
    ours = results.cell(codec, protocol)
    theirs, which = opponent(results, baseline, protocol)
    runs = _pair_runs(ours, theirs)
    named = f"{baseline} ({which})" if which else baseline
    statistics, rule = results.params.statistics, results.params.claims
    names = codec, protocol, baseline
    if not runs:
        nothing = Interval(math.nan, reason=f"No run of {baseline} and {codec} of one fold and seed can be compared.")
        yield from (
            _verdict(results, (*names, claim), nothing, "undecided")
            for claim in ("convergence", "convergence_own", "equal_epochs")
        )
        return
    logs: dict[tuple[int, int], float] = {}
    for claim, own in (("convergence_own", True), ("convergence", False)):  # in this order: seconds are of the last
        logs = {
            run: log_ratio(mine, theirs, rule.level, own=own, diverged=run in ours.diverged)
            for run, (mine, theirs) in runs.items()
        }
        found = compare_folds(logs, statistics, math.log(rule.convergence_margin))
        ratio = found.difference.mapped(math.exp)
        reason = f"{ratio.shown('.2f')} times the epochs of {named}, mean of {len(runs)} runs"
        yield _verdict(results, (*names, claim), ratio, FASTER[found.decision], reason)
    same_network = results.params.protocols[protocol].classifier == results.params.costs.classifier
    steps = paired_ratios(measured, baseline, TRAINING) if measured and baseline in measured.representations else []
    if steps and same_network:
        step = median(steps)
        in_seconds = {run: log + math.log(step) for run, log in logs.items()}
        found = compare_folds(in_seconds, statistics, math.log(rule.convergence_margin))
        seconds = found.difference.mapped(math.exp)
        reason = f"{seconds.shown('.2f')} times the seconds of {named}, a step taking {step:.2f} times as long"
        yield _verdict(results, (*names, "convergence_seconds"), seconds, FASTER[found.decision], reason)

    ahead = {key: _ahead(mine, theirs, ours, key) for key, (mine, theirs) in runs.items()}
    found = compare_folds({key: float(each.mean()) for key, each in ahead.items()}, statistics)
    shortest = min(map(len, ahead.values()))
    share = float((np.mean([each[:shortest] for each in ahead.values()], axis=0) > 0).mean())
    points = found.difference.times(100).shown("+.1f")
    reason = f"{points} points over {named}, mean of {len(runs)} runs; ahead in {share:.0%} of the epochs"
    yield _verdict(results, (*names, "equal_epochs"), found.difference, HIGHER[found.decision], reason)


def log_ratio(mine: Values, theirs: Values, level: float, *, own: bool = False, diverged: bool = False) -> float:
    """Compare two runs' epochs to `level` of the lower of their plateaus, by validation accuracy [epochs].

    A plateau is the mean over the last tenth of the epochs that both have, so that each run gets to the lower one. With
    `own` each run is measured by its own plateau. Where mine `diverged` it takes one epoch more than theirs has, and
    theirs is measured by its own plateau. Gives the logarithm of mine / theirs.
    """
    if diverged:
        return math.log(len(theirs) + 1) + log_ratio(np.ones(len(theirs)), theirs, level, own=True)
    shared = min(len(mine), len(theirs))
    plateaus = [float(curve[:shared][-max(1, shared // 10) :].mean()) for curve in (mine, theirs)]
    levels = plateaus if own else [min(plateaus)] * 2
    epochs = [first_epoch(of[:shared] >= level * top) for of, top in zip((mine, theirs), levels, strict=True)]
    return math.log(epochs[0] / epochs[1])


def _pair_runs(ours: Cell, theirs: Cell) -> dict[tuple[int, int], tuple[Values, Values]]:
    """Pair validation accuracies [epochs] by (fold, seed); a codec's run that diverged ends early, maybe at once.

    A baseline's run that diverged sets no level and is left out.
    """
    mine = dict.fromkeys(ours.diverged, np.empty(0)) | {one.run: one.validation_accuracy for one in ours.curves}
    return {one.run: (mine[one.run], one.validation_accuracy) for one in theirs.whole_curves if one.run in mine}


def _ahead(mine: Values, theirs: Values, cell: Cell, run: tuple[int, int]) -> Values:
    """Subtract the baseline's accuracies at the epochs both have; a run that diverged guesses from there on."""
    if run in cell.diverged and cell.scores:
        guessing = np.full(max(0, len(theirs) - len(mine)), 1 / len(cell.scores.confusion.classes))
        mine = np.concatenate([mine, guessing])
    both = min(len(mine), len(theirs))
    return mine[:both] - theirs[:both]


def _judge_speed(results: Results, codec: str, baseline: str, measured: Costs) -> Iterator[Verdict]:
    for claim, key in (("speed_cached", "cached_s_per_s"), ("speed_file", "file_s_per_s")):
        ratios = paired_ratios(measured, baseline, key)
        interval = median_interval(ratios, results.params.statistics)
        reason = f"{interval.shown('.2f')} times the seconds of {baseline}, median of {len(ratios)} rounds"
        outcome = _below(interval, 1)
        yield _verdict(results, (codec, ANY_PROTOCOL, baseline, claim), interval, outcome, reason)


def _below(interval: Interval, limit: float) -> Outcome:
    """Judge whether the interval lies below a limit."""
    if interval.low is None or interval.high is None:
        return "undecided"
    if interval.high < limit:
        return "holds"
    return "does not hold" if interval.low >= limit else "undecided"
