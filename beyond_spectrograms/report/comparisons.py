"""Tables of pairs on the same recordings: the contrasts named in params, tested, and all others, shown alone."""

from collections.abc import Sequence

from beyond_spectrograms.evaluation.comparisons import Pair, compare_classes
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.notes import CONTROL, NOT_RUN, heard_before
from beyond_spectrograms.report.table import (
    SIGNED,
    Row,
    Show,
    Table,
    interval_row,
    joined,
    scaled,
    show_interval,
    show_p,
    text,
    texts,
)

AT_THE_END = (
    "Validation, last epoch: the same difference in validation accuracy at the end of training, without selection; "
    "interval over folds. None for best_spectrogram, which was chosen by these accuracies."
)


def contrasts_table(results: Results, pairs: Sequence[Pair]) -> Table:
    """Tabulate the contrasts: difference in window accuracy, corrected p, what it decides, what could be found."""
    statistics, contrasts = results.params.statistics, results.params.contrasts
    found = {(pair.protocol, pair.first, pair.second): pair for pair in pairs if pair.named}
    named = [(protocol, *names) for protocol in contrasts.under for names in contrasts.pairs]
    if not found:
        return Table(f"Contrasts: {results.dataset}", [], {})
    rows = [_row(results, found[names]) if names in found else _not_run(*names) for names in named]
    columns: dict[str, Show] = _columns() | {
        "p, corrected": show_p("p_corrected"),
        "verdict": text("verdict"),
        "could be found": scaled("detectable_percent", ".1f"),
        "note": text("note"),
    }
    notes = [
        "First minus second in the share of windows right, on the same windows of the same recordings; unit: windows.",
        f"p: two-sided, corrected by Holm for the {len(contrasts.under) * len(contrasts.pairs)} contrasts that "
        "params.yaml names (contrasts), run or not.",
        f"Verdict: better or worse where that p is at most {1 - statistics.confidence:.2g}; same where the difference "
        f"surely is smaller than {100 * statistics.margin:g} points (two one-sided tests); else undecided.",
        AT_THE_END,
        "Could be found: the true difference, in points, that this design finds with a chance of 80 %, corrected for "
        "the number of contrasts (Bonferroni).",
    ]
    if any(pair.note for pair in pairs):
        notes.append("best_spectrogram: in every fold the one of the highest validation accuracy there.")
    return Table(f"Contrasts: {results.dataset}", rows, columns, notes)


def classes_table(results: Results, pairs: Sequence[Pair]) -> Table:
    """Tabulate the contrasts class by class, a column a contrast: for exploration, without a test."""
    named = {f"{pair.first} - {pair.second}, {pair.protocol}": pair for pair in pairs if pair.named}
    found = {head: compare_classes(results, pair) for head, pair in named.items()}
    rows: list[Row] = []
    for label in dict.fromkeys(label for classes in found.values() for label in classes):
        row: Row = {"class": label}
        for head, classes in found.items():
            row |= interval_row(head, classes[label].difference if label in classes else None)
        rows.append(row)
    columns = {"class": text("class")} | {head: show_interval(head, SIGNED) for head in found}
    notes = [
        "First minus second in the share of a class's windows right, in points. Intervals are not corrected for the "
        f"number of classes; classes of fewer than {results.params.statistics.minimum_sources} sources have none.",
    ]
    return Table(f"Classes: {results.dataset}, where the differences come from", rows, columns, notes)


def comparisons_table(results: Results, pairs: Sequence[Pair]) -> Table:
    """Tabulate all pairs that were not named: for exploration, without a test."""
    rows = [_row(results, pair) for pair in pairs if not pair.named]
    columns = _columns() | {"note": text("note")}
    notes = [
        "Codec minus spectrogram in the share of windows right, on the same windows of the same recordings. These "
        "pairs are not among the contrasts: intervals are not corrected for their number, and nothing is tested.",
        AT_THE_END,
    ]
    return Table(f"Comparisons: {results.dataset}, codec against spectrogram", rows, columns, notes)


def _not_run(protocol: str, first: str, second: str) -> Row:
    keys = ("difference", "at_the_end")
    row: Row = {"representation": first, "against": second, "protocol": protocol, "verdict": "-", "note": NOT_RUN}
    row |= dict.fromkeys(("p", "p_corrected", "detectable_percent"))
    return row | {key: value for name in keys for key, value in interval_row(name, None).items()}


def _row(results: Results, pair: Pair) -> Row:
    test = pair.comparison
    row: Row = {"representation": pair.first, "against": pair.second, "protocol": pair.protocol}
    row |= interval_row("difference", test.difference) | {"p": test.p, "p_corrected": pair.p}
    row |= interval_row("at_the_end", pair.at_the_end)
    row["verdict"] = pair.verdict(results.params.statistics.confidence)
    row["detectable_percent"] = None if test.detectable is None else 100 * test.detectable
    control = CONTROL if results.is_control(pair.first) else None
    names = pair.first, pair.second
    heard = [warning for name in names for warning in heard_before(results.params, results.dataset, name)]
    row["note"] = joined(control, *dict.fromkeys(heard), pair.note, test.difference.reason)
    return row


def _columns() -> dict[str, Show]:
    named = texts("representation", "against", "protocol")
    differences = {"difference, points": "difference", "validation, last epoch": "at_the_end"}
    return named | {head: show_interval(key, SIGNED) for head, key in differences.items()}
