"""What every table says beside its figures: what was not run, what the brackets hold and what the marks mean."""

from collections.abc import Sequence
from itertools import count

from beyond_spectrograms.evaluation.comparisons import Pair
from beyond_spectrograms.evaluation.records import Scores
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params import Params

NOT_RUN = "not run"
CONTROL = "control: untrained encoder, not EnCodec's result"
MARKS = ("*", "†", "‡", "§", "¶", "#")  # of the seconds of params.contrasts.pairs, in their order; then **, ††, ...


def note_of(results: Results, representation: str, run: bool, scores: Scores | None = None) -> str:
    """Say what a reader must know of a row: that it was not run, that it is a control, that training diverged."""
    notes = [NOT_RUN] * (not run) + [CONTROL] * results.is_control(representation)
    notes += heard_before(results.params, results.dataset, representation)
    if scores and scores.diverged_runs:
        notes.append(f"{diverged(scores)}; their weights selected before were tested")
    return "; ".join(notes)


def heard_before(params: Params, dataset: str, representation: str) -> list[str]:
    """Warn of a representation whose weights may know what tests; nothing where they do not."""
    if representation not in params.representations:
        return []
    shared = params.shared_corpora(dataset, representation)
    told = f"its weights were trained on {' and '.join(shared)}, where sounds of {dataset} are from"
    return [f"{told}: it may know what tests"] if shared else []


def diverged(scores: Scores) -> str:
    """Say how many of a cell's runs ended in a loss that is not finite."""
    return f"{scores.diverged_runs} of {len(scores.by_fold)} runs diverged"


def mark(results: Results, pairs: Sequence[Pair], first: str, protocol: str) -> str:
    """Give the marks of what a representation surely differs from, by the contrasts that params name."""
    confidence = results.params.statistics.confidence
    differing = {
        pair.second
        for pair in pairs
        if (pair.first, pair.protocol) == (first, protocol) and pair.verdict(confidence) in ("better", "worse")
    }
    signs = [sign for name, sign in _signs(results) if name in differing]
    return ("" if all(len(sign) == 1 for sign in signs) else " ").join(signs)


def explain_marks(results: Results) -> str:
    """Say what the marks mean."""
    signs = ", ".join(f"{sign} {name}" for name, sign in _signs(results))
    return (
        f"Marked: differs from {signs} in a contrast that params.yaml names (p <= "
        f"{1 - results.params.statistics.confidence:.2g} after Holm's correction); other pairs are not tested."
    )


def explain_intervals(results: Results) -> str:
    """Say what the brackets hold."""
    statistics = results.params.statistics
    return (
        f"In brackets: {statistics.confidence:.0%} interval over sources (recordings of one origin) and training runs "
        f"(docs/uncertainty.md); none with fewer than {statistics.minimum_runs} runs or {statistics.minimum_sources} "
        "sources, as the note says."
    )


def _signs(results: Results) -> list[tuple[str, str]]:
    seconds = dict.fromkeys(second for _, second in results.params.contrasts.pairs)
    signs = (mark * times for times in count(1) for mark in MARKS)
    return list(zip(seconds, signs, strict=False))
