"""The paper's three claims, judged by the rules of params.claims: a codec against a spectrogram, with intervals.

A claim holds where the whole interval is on its side, does not hold where the whole interval is on the other, and is
undecided where the interval has both or there is none. Convergence and equal epochs are judged by validation accuracy.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from beyond_spectrograms.evaluation.convergence import first_epoch
from beyond_spectrograms.evaluation.costs import Costs, paired_ratios
from beyond_spectrograms.evaluation.records import Interval, format_interval
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.evaluation.uncertainty import fold_interval, median_interval

Outcome = Literal["holds", "does not hold", "undecided"]
MEASURED = "conv1d"  # the classifier whose time is measured
ANY_PROTOCOL = "any"  # of a claim about time: the same network classifies under every protocol with conv1d
Values = NDArray[np.float64]

CLAIMS = {
    "convergence": "(1) epochs: reaches the baseline's level in the same or fewer epochs",
    "convergence_seconds": "(1) seconds: reaches the baseline's level in the same or less time of training",
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
    target = results.params.claims.target
    share = "" if target == 1 else f"{target:.0%} of "
    level = f"{share}the baseline's best validation accuracy in its run of the same fold and seed"
    sure = f"the {results.params.statistics.confidence:.0%} interval"
    return {
        "convergence": f"Epochs until {level} is reached, as a ratio to the epochs the baseline itself takes; "
        f"geometric mean over runs, with {sure} over folds. Holds if it lies at or below 1, does not hold if it lies "
        "above. A run that never gets there counts as one epoch more than there were, and then it cannot hold.",
        "convergence_seconds": "The same, times the ratio of the processor time of a training step (conv1d).",
        "equal_epochs": "Validation accuracy minus the baseline's, averaged over all epochs; mean over runs, with "
        f"{sure} over folds. Holds if it lies above 0, does not hold if it lies at or below. A codec's run that "
        "diverged guesses from there on; a baseline's is left out.",
        "speed_cached": "Seconds to read a second of sound's cached features and classify them, as a ratio to the "
        f"baseline's; median over rounds. Holds if {sure} lies below 1, does not hold if it lies at or above.",
        "speed_file": "The same from the audio file on: decoding, resampling, encoding, classifying.",
    }


def judge(results: Results, costs: Mapping[str, Costs]) -> list[Verdict]:
    """Judge every codec of a data set against every baseline under every protocol that both were run under.

    Args:
        results: the cells of one data set.
        costs: representation -> what was measured of it and, in the same rounds, of the baselines.
    """
    verdicts: list[Verdict] = []
    baselines = results.params.claims.baselines
    for codec, protocol in results.cells:
        if not results.is_codec(codec) or results.params.protocols[protocol].shuffle_labels:
            continue
        for baseline in baselines:
            if (baseline, protocol) in results.cells:
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
    runs = _pair_runs(ours, results.cell(baseline, protocol))
    statistics, target = results.params.statistics, results.params.claims.target
    names = codec, protocol, baseline
    if not runs:
        nothing = Interval(math.nan, reason=f"No run of {baseline} and {codec} of one fold and seed can be compared.")
        yield from (
            _verdict(results, (*names, claim), nothing, "undecided") for claim in ("convergence", "equal_epochs")
        )
        return
    logs, never = {}, 0
    for key, (mine, theirs) in runs.items():
        level = target * float(theirs.max())
        epochs = first_epoch(mine >= level)
        never += math.isinf(epochs)
        # What is never reached takes longer than all the epochs there were.
        logs[key] = math.log(min(epochs, len(theirs) + 1) / first_epoch(theirs >= level))
    ratio = _mapped(fold_interval(logs, statistics), math.exp)
    least = f", at least: {never} of {len(runs)} runs never reach its level" if never else ""
    reason = f"{_show(ratio)} times the epochs of {baseline}, mean of {len(runs)} runs{least}"
    yield _verdict(results, (*names, "convergence"), ratio, _reached(ratio, never), reason)
    same_network = results.params.protocols[protocol].classifier == MEASURED
    if measured and baseline in measured.representations and same_network:
        step = median(paired_ratios(measured, baseline, "training_s_per_window"))
        seconds = _mapped(ratio, lambda value: step * value)
        reason = f"{_show(seconds)} times the seconds of {baseline}, a step taking {step:.2f} times as long{least}"
        yield _verdict(results, (*names, "convergence_seconds"), seconds, _reached(seconds, never), reason)

    ahead = {key: _ahead(mine, theirs, ours, key) for key, (mine, theirs) in runs.items()}
    interval = fold_interval({key: float(each.mean()) for key, each in ahead.items()}, statistics)
    shortest = min(map(len, ahead.values()))
    share = float((np.mean([each[:shortest] for each in ahead.values()], axis=0) > 0).mean())
    points = _show(_mapped(interval, lambda value: 100 * value), "+.1f")
    reason = f"{points} points over {baseline}, mean of {len(runs)} runs; ahead in {share:.0%} of the epochs"
    opposite: dict[Outcome, Outcome] = {"holds": "does not hold", "does not hold": "holds"}
    below = _below(interval, 0, touching=True)
    yield _verdict(results, (*names, "equal_epochs"), interval, opposite.get(below, below), reason)


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


def _mapped(interval: Interval, rising: Callable[[float], float]) -> Interval:
    """Carry an interval through a function that rises."""
    low, high = (None if limit is None else rising(limit) for limit in (interval.low, interval.high))
    return Interval(rising(interval.value), low, high, interval.reason, interval.remark)


def _judge_speed(results: Results, codec: str, baseline: str, measured: Costs) -> Iterator[Verdict]:
    for claim, key in (("speed_cached", "cached_s_per_s"), ("speed_file", "file_s_per_s")):
        ratios = paired_ratios(measured, baseline, key)
        interval = median_interval(ratios, results.params.statistics)
        reason = f"{_show(interval)} times the seconds of {baseline}, median of {len(ratios)} rounds"
        outcome = _below(interval, 1, touching=False)
        yield _verdict(results, (codec, ANY_PROTOCOL, baseline, claim), interval, outcome, reason)


def _below(interval: Interval, limit: float, *, touching: bool) -> Outcome:
    """Judge whether the interval lies below a limit, or at it where `touching`."""
    if interval.low is None or interval.high is None:
        return "undecided"
    if (interval.high <= limit) if touching else (interval.high < limit):
        return "holds"
    return "does not hold" if interval.low > limit or (not touching and interval.low == limit) else "undecided"


def _reached(ratio: Interval, never: int) -> Outcome:
    """Judge a ratio to the baseline; with runs that `never` get there it is too low, so that it cannot hold."""
    outcome = _below(ratio, 1, touching=True)
    return "undecided" if never and outcome == "holds" else outcome


def _show(interval: Interval, form: str = ".2f") -> str:
    return format_interval(interval.value, interval.low, interval.high, form)
