"""What each fold chose of a tuned protocol's trials, and by how much."""

from statistics import median

from beyond_spectrograms.evaluation.records import Trial
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.table import Row, Table, number, texts


def tuning_table(results: Results) -> Table | None:
    """Tabulate a row a representation and fold of tuned protocols; None where none was run."""
    rows = [
        row
        for protocol in results.protocols
        for name in results.names()
        if (scores := results.cell(name, protocol).scores)
        for row in _rows(name, protocol, scores.trials)
    ]
    if not rows:
        return None
    columns = texts("representation", "protocol", "fold", "chosen") | {
        "validation %": number("validation_percent", 1),
        "median of the trials": number("median_percent", 1),
        "lowest": number("lowest_percent", 1),
    }
    columns |= texts("trials")
    notes = [
        "Every fold's own validation part chooses, by accuracy at the best epoch, among the same recipes for every "
        "representation; the test part has no say. All seeds of the fold are trained under the recipe chosen."
    ]
    return Table(f"Recipes chosen: {results.dataset}", rows, columns, notes)


def _rows(name: str, protocol: str, trials: list[Trial]) -> list[Row]:
    rows: list[Row] = []
    for chosen in (trial for trial in trials if trial.chosen):
        reached = sorted(100 * (trial.validation_accuracy or 0.0) for trial in trials if trial.fold == chosen.fold)
        row: Row = {"representation": name, "protocol": protocol, "fold": chosen.fold}
        row["chosen"] = ", ".join(f"{key} {str(value).lower()}" for key, value in (chosen.model_extra or {}).items())
        row |= {"validation_percent": reached[-1], "median_percent": median(reached)}
        rows.append(row | {"lowest_percent": reached[0], "trials": len(reached)})
    return rows
