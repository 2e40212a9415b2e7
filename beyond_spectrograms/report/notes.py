"""What every table says beside its figures: what was not run, what the brackets hold and what the marks mean."""

from collections.abc import Sequence

from beyond_spectrograms.evaluation.comparisons import Pair
from beyond_spectrograms.evaluation.records import Scores
from beyond_spectrograms.evaluation.results import Results

NOT_RUN = "not run"
CONTROL = "control: untrained encoder, not EnCodec's result"
MARKS = ("*", "†", "‡", "§")  # one a baseline, in the order of params.claims.baselines


def note_of(results: Results, representation: str, run: bool, scores: Scores | None = None) -> str:
    """Say what a reader must know of a row: that it was not run, that it is a control, that training diverged."""
    notes = [NOT_RUN] * (not run) + [CONTROL] * results.is_control(representation)
    if scores and scores.diverged_runs:
        notes.append(f"{diverged(scores)}; their weights selected before were tested")
    return "; ".join(notes)


def diverged(scores: Scores) -> str:
    """Say how many of a cell's runs ended in a loss that is not finite."""
    return f"{scores.diverged_runs} of {scores.folds * scores.seeds} runs diverged"


def mark(results: Results, pairs: Sequence[Pair], codec: str, protocol: str) -> str:
    """Give the marks of the baselines from which a codec's window accuracy differs after correction.

    None where training runs are too few to know how much they differ: with one seed and runs 10 points apart, 40 % of
    pairs without a difference would be marked (simulated, 5 folds).
    """
    limit = 1 - results.params.statistics.confidence
    differing = {
        pair.baseline
        for pair in pairs
        if (pair.codec, pair.protocol) == (codec, protocol)
        and pair.p_windows is not None
        and pair.p_windows <= limit
        and pair.comparison.difference.low is not None
        and pair.comparison.difference.remark is None
    }
    return "".join(sign for name, sign in _signs(results) if name in differing)


def explain_marks(results: Results) -> str:
    """Say what the marks mean."""
    signs = ", ".join(f"{sign} {name}" for name, sign in _signs(results))
    return (
        f"Marked: codecs whose window accuracy differs from that of {signs} (paired bootstrap over sources, p <= "
        f"{1 - results.params.statistics.confidence:.2g} after Holm's correction for all pairs of the data set); never "
        f"with one seed or fewer than {results.params.statistics.minimum_runs} runs."
    )


def explain_intervals(results: Results) -> str:
    """Say what the brackets hold."""
    statistics = results.params.statistics
    return (
        f"In brackets: {statistics.confidence:.0%} interval, bootstrap over sources (recordings of one origin) and "
        f"seeds ({statistics.resamples} resamples); none where the note says why."
    )


def _signs(results: Results) -> list[tuple[str, str]]:
    return list(zip(results.params.claims.baselines, MARKS, strict=False))
