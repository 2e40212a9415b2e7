"""The table of what disturbed sound costs each representation."""

from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.robustness import compare_disturbed
from beyond_spectrograms.params import Disturbance
from beyond_spectrograms.report.notes import explain_intervals, note_of
from beyond_spectrograms.report.table import SIGNED, Row, Show, Table, interval_row, joined, show_interval, texts

CHANGE, POINTS = "{}_minus_clean", "_points"


def robustness_table(results: Results) -> Table:
    """Tabulate each cell's accuracy on sounds as they are, and what every disturbance takes from it or adds to it."""
    rows: list[Row] = []
    for name, protocol in results.cells:
        found, clean = compare_disturbed(results, name, protocol), results.cell(name, protocol)
        if not found:
            continue
        row: Row = {"representation": name, "protocol": protocol}
        row |= interval_row("clean", clean.window_interval)
        for each in results.params.disturbances:
            cell, comparison = results.disturbed.get(each, {}).get((name, protocol)), found.get(each)
            row |= interval_row(each, cell.window_interval if cell else None)
            row |= interval_row(CHANGE.format(each), comparison.difference if comparison else None, unit=POINTS)
        reasons: dict[str, list[str]] = {}
        for each, comparison in found.items():
            if why := comparison.difference.reason:
                reasons.setdefault(why, []).append(each)
        told = [f"{', '.join(of)}: {why}" if len(of) < len(found) else why for why, of in reasons.items()]
        row["note"] = joined(note_of(results, name, run=True, scores=clean.scores), *told)
        rows.append(row)
    changes: dict[str, Show] = {
        f"{each}, points": show_interval(CHANGE.format(each), SIGNED, POINTS) for each in results.params.disturbances
    }
    columns = (
        texts("representation", "protocol") | {"windows % clean": show_interval("clean")} | changes | texts("note")
    )
    notes = [
        "clean: share of test windows classified right. Others: the share of the same windows classified right by the "
        "same weights when the sound is disturbed, minus clean, in points; unit: windows.",
        "Disturbed is the test part alone, each recording whole and at its own sample rate: "
        f"{'; '.join(f'{each}: {describe(record)}' for each, record in results.params.disturbances.items())}.",
        "A low pass takes next to nothing from a representation whose sample rate is at most twice the cutoff.",
        "Intervals are not corrected for the number of columns, and nothing is tested.",
        explain_intervals(results),
    ]
    return Table(f"Robustness: {results.dataset}, disturbed sound minus sound as it is", rows, columns, notes)


def describe(record: Disturbance) -> str:
    """Put a disturbance in words, from its params: `low_pass, cutoff_hz 8000, order 8`."""
    settings = record.model_dump(exclude={"kind"})
    return ", ".join([record.kind, *(f"{key} {value:g}" for key, value in settings.items())])
