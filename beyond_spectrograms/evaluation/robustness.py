"""What disturbances change: windows right of test sounds with one, minus those of the same sounds as they are."""

from beyond_spectrograms.evaluation.records import ResultError
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.evaluation.uncertainty import Comparison, compare


def compare_disturbed(results: Results, representation: str, protocol: str) -> dict[str, Comparison]:
    """Compare a cell's answers to disturbed sounds with its own to sounds as they are, by disturbance.

    Runs, recordings and windows are the same, and so is what both have in common. What was not run is left out.

    Raises:
        ResultError: the answers are of other weights.
    """
    clean, found = results.cell(representation, protocol), {}
    for name, cells in results.disturbed.items():
        cell = cells.get((representation, protocol), Cell())
        if cell.recordings is None or clean.recordings is None:
            continue
        if _weights(cell) != _weights(clean):
            raise ResultError(
                f"{results.dataset}, {name}: {representation}-{protocol} was answered by other weights than those "
                "whose scores stand beside it. Run its disturb and evaluate stages again."
            )
        found[name] = compare(cell.recordings, clean.recordings, results.params.statistics)
    return found


def _weights(cell: Cell) -> list[str | None]:
    return [run.weights_sha256 for run in cell.scores.by_fold] if cell.scores else []
