"""The paper's three claims, judged by the rules of params.claims: a codec against a spectrogram, with intervals.

A claim holds where the whole interval is on its side, does not hold where the whole interval is on the other, and is
undecided where the interval has both or there is none. Convergence and equal epochs are judged by validation accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from beyond_spectrograms.convergence import first_epoch
from beyond_spectrograms.costs import Costs, paired_ratios
from beyond_spectrograms.results import Curve, Results, Training
from beyond_spectrograms.tabular import Row, Show, Table, text
from beyond_spectrograms.uncertainty import Interval, mean_interval, median_interval

Outcome = Literal["holds", "does not hold", "undecided"]
ANY_PROTOCOL = "any"  # of a claim about time: the same network classifies under every protocol
RunPairs = list[tuple[Curve, Curve]]

CLAIMS = {
    "convergence": "(1) epochs: reaches the baseline's level in the same or fewer epochs",
    "convergence_seconds": "(1) seconds: reaches the baseline's level in the same or less time of training",
    "equal_epochs": "(2) more accurate at equal epochs, over the whole curve",
    "speed_cached": "(3) faster to classify, from cached features",
    "speed_file": "(3) faster to classify, from the audio file on",
}


@dataclass(frozen=True)
class Verdict:
    """One claim about one codec, baseline and protocol; value, low and high as the rule states them, None: never."""

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


def rules(results: Results) -> dict[str, str]:
    """State each rule in a sentence, from params."""
    target = results.params.claims.target
    share = "" if target == 1 else f"{target:.0%} of "
    level = f"{share}the baseline's best validation accuracy in its run of the same fold and seed"
    sure = f"the {results.params.statistics.confidence:.0%} interval"
    return {
        "convergence": f"Epochs until {level} is reached, as a ratio to the epochs the baseline itself takes; median "
        f"over runs. Holds if {sure} lies at or below 1, does not hold if it lies above.",
        "convergence_seconds": "The same in seconds of training: epochs times the run's own seconds an epoch.",
        "equal_epochs": "Validation accuracy minus the baseline's, averaged over all epochs both have; mean over runs. "
        f"Holds if {sure} lies above 0, does not hold if it lies at or below.",
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
    for codec, protocol in results.cells:
        if not results.is_codec(codec) or results.params.protocols[protocol].shuffle_labels:
            continue
        for baseline in results.params.claims.baselines:
            if results.cell(codec, protocol).curves and results.cell(baseline, protocol).curves:
                verdicts += _judge_training(results, codec, baseline, protocol)
    for codec, measured in costs.items():
        if results.is_codec(codec):
            for baseline in results.params.claims.baselines:
                verdicts += _judge_speed(results, codec, baseline, measured)
    return verdicts


def _judge_training(results: Results, codec: str, baseline: str, protocol: str) -> Iterator[Verdict]:
    ours, theirs = results.cell(codec, protocol), results.cell(baseline, protocol)
    others = {(curve.fold, curve.seed): curve for curve in theirs.curves}
    pairs = [(curve, others[key]) for curve in ours.curves if (key := (curve.fold, curve.seed)) in others]
    statistics, target = results.params.statistics, results.params.claims.target

    def verdict(claim: str, interval: Interval, outcome: Outcome, reason: str) -> Verdict:
        limits = [_finite(value) for value in (interval.value, interval.low, interval.high)]
        return Verdict(results.dataset, codec, protocol, baseline, claim, outcome, reason, *limits)

    epochs = [
        (_epochs_to(curve, target * best), _epochs_to(other, target * best)) for curve, other, best in _bests(pairs)
    ]
    interval = median_interval([mine / other for mine, other in epochs], statistics)
    never = sum(math.isinf(mine) for mine, _ in epochs)
    reason = f"{_show(interval)} times the epochs of {baseline}, median of {len(epochs)} runs"
    reason += f"; {never} of them never reach its level" if never else ""
    yield verdict("convergence", interval, _below(interval, 1, touching=True), reason + _why(interval))

    if ours.training and theirs.training:
        seconds = [
            (mine * _seconds_per_epoch(ours.training, curve))
            / (other * _seconds_per_epoch(theirs.training, their_curve))
            for (mine, other), (curve, their_curve) in zip(epochs, pairs, strict=True)
        ]
        interval = median_interval(seconds, statistics)
        reason = f"{_show(interval)} times the seconds of {baseline}, median of {len(seconds)} runs"
        yield verdict("convergence_seconds", interval, _below(interval, 1, touching=True), reason + _why(interval))

    ahead = [_difference(curve, other) for curve, other in pairs]
    interval = mean_interval([float(each.mean()) for each in ahead], statistics)
    shortest = min(map(len, ahead))
    share = float((np.mean([each[:shortest] for each in ahead], axis=0) > 0).mean())
    reason = (
        f"{_points(interval)} points over {baseline}, mean of {len(ahead)} runs; ahead in {share:.0%} of the epochs"
    )
    yield verdict("equal_epochs", interval, _above(interval, 0), reason + _why(interval))


def _bests(pairs: RunPairs) -> Iterator[tuple[Curve, Curve, float]]:
    for curve, other in pairs:
        yield curve, other, float(other.validation_accuracy.max())


def _epochs_to(curve: Curve, level: float) -> float:
    return first_epoch(curve.validation_accuracy >= level)


def _seconds_per_epoch(training: Training, curve: Curve) -> float:
    return training.seconds_by_run[f"fold_{curve.fold}-seed_{curve.seed}"] / len(curve.validation_accuracy)


def _difference(curve: Curve, other: Curve) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Subtract the other's validation accuracy at every epoch both have [epochs]."""
    both = min(len(curve.validation_accuracy), len(other.validation_accuracy))
    difference: np.ndarray[tuple[int], np.dtype[np.float64]] = (
        curve.validation_accuracy[:both] - other.validation_accuracy[:both]
    )
    return difference


def _judge_speed(results: Results, codec: str, baseline: str, measured: Costs) -> Iterator[Verdict]:
    if baseline not in measured.representations:
        return
    for claim, key in (("speed_cached", "cached_s_per_s"), ("speed_file", "file_s_per_s")):
        ratios = paired_ratios(measured, baseline, key)
        interval = median_interval(ratios, results.params.statistics)
        reason = f"{_show(interval)} times the seconds of {baseline}, median of {len(ratios)} rounds" + _why(interval)
        limits = (interval.value, interval.low, interval.high)
        yield Verdict(
            results.dataset, codec, ANY_PROTOCOL, baseline, claim, _below(interval, 1, touching=False), reason, *limits
        )


def _below(interval: Interval, limit: float, *, touching: bool) -> Outcome:
    """Judge whether the interval lies below a limit, or at it where `touching`."""
    if interval.low is None or interval.high is None:
        return "undecided"
    if interval.high < limit or (touching and interval.high == limit):
        return "holds"
    return "does not hold" if interval.low > limit or (not touching and interval.low == limit) else "undecided"


def _above(interval: Interval, limit: float) -> Outcome:
    if interval.low is None or interval.high is None:
        return "undecided"
    return "holds" if interval.low > limit else "does not hold" if interval.high <= limit else "undecided"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _show(interval: Interval) -> str:
    def number(value: float) -> str:
        return "never" if math.isinf(value) else f"{value:.2f}"

    if interval.low is None or interval.high is None:
        return number(interval.value)
    return f"{number(interval.value)} [{number(interval.low)}, {number(interval.high)}]"


def _points(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"{100 * interval.value:+.1f}"
    return f"{100 * interval.value:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def _why(interval: Interval) -> str:
    return f". {interval.reason}" if interval.reason else "."


def claims_table(results: Results, verdicts: list[Verdict], claim: str) -> Table:
    """Tabulate one claim's verdicts for one data set, a row a codec and protocol, a column a baseline."""
    mine = [verdict for verdict in verdicts if (verdict.dataset, verdict.claim) == (results.dataset, claim)]
    rows: list[Row] = []
    for codec, protocol in dict.fromkeys((verdict.representation, verdict.protocol) for verdict in mine):
        row: Row = {"representation": results.label(codec), "protocol": protocol}
        for baseline in results.params.claims.baselines:
            found = [v for v in mine if (v.representation, v.protocol, v.baseline) == (codec, protocol, baseline)]
            row[f"{baseline}_verdict"] = found[0].verdict if found else None
            row[f"{baseline}_reason"] = found[0].reason if found else None
        rows.append(row)
    columns: dict[str, Show] = {"representation": text("representation"), "protocol": text("protocol")}
    columns |= {f"against {name}": _show_verdict(name) for name in results.params.claims.baselines}
    return Table(f"{results.dataset}: {CLAIMS[claim]}", rows, columns, [rules(results)[claim]])


def _show_verdict(baseline: str) -> Callable[[Row], str]:
    return lambda row: (
        "-" if row[f"{baseline}_verdict"] is None else f"**{row[f'{baseline}_verdict']}**: {row[f'{baseline}_reason']}"
    )
