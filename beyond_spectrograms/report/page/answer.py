"""How the report page opens: the answer in two sentences, and all named contrasts in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass

from beyond_spectrograms.evaluation.comparisons import Pair, compare_contrasts
from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params import BEST_SPECTROGRAM
from beyond_spectrograms.report.table import SIGNED
from beyond_spectrograms.report.tables import FLAGGED

SMALLEST_RANGE = 10.0  # points to either side of 0 that the picture shows at least


@dataclass(frozen=True)
class Bar:
    """One contrast, in points; `shown` as text, `verdict` as Pair.verdict says."""

    dataset: str
    contrast: str
    control: bool
    verdict: str
    shown: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Answer:
    """What the page opens with; `reach` is how many points the picture shows to either side of 0."""

    sentences: Sequence[str]
    bars: Sequence[Bar]
    reach: float


def answer(all_results: Sequence[Results]) -> Answer:
    """Judge the named contrasts of all data sets and put them into words."""
    found = [(results, pair) for results in all_results for pair in compare_contrasts(results)]
    bars = [_bar(results, pair) for results, pair in found]
    reach = max([SMALLEST_RANGE, *(abs(end) for bar in bars for end in (bar.value, bar.low, bar.high) if end)])
    codecs = [
        (results, pair)
        for results, pair in found
        if results.is_codec(pair.first) and not results.is_control(pair.first)
    ]
    if not codecs:
        names = ", ".join(results.dataset for results in all_results)
        told = f"No pretrained codec was judged on {names}: what stands below are spectrograms and untrained encoders."
        return Answer([told], bars, reach)
    paper, best = all_results[0].params.claims.baselines[0], BEST_SPECTROGRAM
    sentences = [
        f"Against {called}, {'; '.join(_said(results, pair) for results, pair in mine)}."
        for second, called in (
            (paper, f"the paper's own spectrogram, {paper}"),
            (best, "the best spectrogram of each fold"),
        )
        if (mine := [(results, pair) for results, pair in codecs if pair.second == second])
    ]
    return Answer(sentences, bars, reach)


def _said(results: Results, pair: Pair) -> str:
    verdict, test = pair.verdict(results.params.statistics.confidence), pair.comparison
    word = {"same": "is the same within the margin", "undecided": "is neither better nor worse for sure"}.get(
        verdict, f"is {verdict}"
    )
    more = f"; {100 * test.detectable:.1f} could be found" if verdict == "undecided" and test.detectable else ""
    if pair.at_the_end and 100 * abs(pair.at_the_end.value - test.difference.value) > FLAGGED:
        more += f"; {_points(pair.at_the_end)} of validation accuracy at the last epoch, before an epoch was selected"
    return f"{pair.first} {word} on {results.dataset} ({_points(test.difference)} points{more})"


def _bar(results: Results, pair: Pair) -> Bar:
    points = pair.comparison.difference.times(100)
    verdict = pair.verdict(results.params.statistics.confidence)
    contrast, control = f"{pair.first} - {pair.second}, {pair.protocol}", results.is_control(pair.first)
    shown = points.shown(SIGNED)
    return Bar(results.dataset, contrast, control, verdict, shown, points.value, points.low, points.high)


def _points(interval: Interval) -> str:
    return interval.times(100).shown(SIGNED)
