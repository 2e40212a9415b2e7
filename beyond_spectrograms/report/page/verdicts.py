"""Verdicts of the report page: metrics/<dataset>/claims.json as matrices of codec x claim, and how each claim fared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beyond_spectrograms.evaluation.claims import ANY_PROTOCOL, CLAIMS, MEASURED, Outcome, Verdict
from beyond_spectrograms.evaluation.records import Record, read_record
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.page.tables import PageError

# Heads of columns; what each means in full is its rule.
TITLES = {
    "convergence": "fewer epochs",
    "convergence_seconds": "fewer seconds of training",
    "equal_epochs": "better at equal epochs",
    "speed_cached": "faster from cached features",
    "speed_file": "faster from the audio file",
}
DIFFERENCES = ("equal_epochs",)  # of accuracies, 0 to 1; the other claims are judged by ratios
# A verdict is told by word, by sign and by colour, so that none of them is needed.
SIGNS: dict[Outcome, str] = {"holds": "✓", "does not hold": "✗", "undecided": "?"}


class Verdicts(Record):
    """What claims.json holds: the rule of every claim in one sentence, and all verdicts."""

    rules: dict[str, str]
    verdicts: list[Verdict]


@dataclass(frozen=True)
class MatrixRow:
    """One codec's verdicts, in the order of the rules; None: not judged."""

    label: str
    control: bool
    verdicts: tuple[Verdict | None, ...]


@dataclass(frozen=True)
class Matrix:
    """Codec x claim under one protocol against one baseline."""

    protocol: str
    baseline: str
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True)
class Tally:
    """How one claim fared over the trained codecs of a data set: their names by verdict."""

    claim: str
    names: dict[Outcome, tuple[str, ...]]

    @property
    def judged(self) -> int:
        """How many codecs were judged."""
        return sum(len(names) for names in self.names.values())


def read_verdicts(paths: Sequence[Path]) -> Verdicts:
    """Read the verdicts of all data sets, a file each.

    Raises:
        ResultError: a key is missing or has the wrong type.
        PageError: a claim is unknown or has no rule, one is judged twice, or two files judge by other rules.
    """
    rules: dict[str, str] = {}
    verdicts: list[Verdict] = []
    for path in paths:
        found = read_record(path, Verdicts)
        if unknown := [claim for claim in found.rules if claim not in TITLES]:
            raise PageError(f"{path}: unknown claim {unknown[0]!r}. The page knows {', '.join(CLAIMS)}.")
        if rules and found.rules != rules:
            raise PageError(f"{path}: judged by other rules than {paths[0]}. Run its report stage again.")
        rules, seen = found.rules, set()
        for verdict in found.verdicts:
            cell = (verdict.dataset, verdict.representation, verdict.protocol, verdict.baseline, verdict.claim)
            if verdict.claim not in found.rules:
                raise PageError(
                    f"{path}: no rule for the claim {verdict.claim!r}, which is judged. Run its stage again."
                )
            if cell in seen:
                raise PageError(f"{path}: {' '.join(cell)} is judged twice. Run its stage again.")
            seen.add(cell)
        verdicts += found.verdicts
    return Verdicts(rules=rules, verdicts=verdicts)


def show_figures(verdict: Verdict) -> str:
    """Show value and interval: `0.42 times [0.31, 0.60]`, `+5.1 points [+2.0, +8.2]`.

    No brackets where there is no interval, nothing where there is no value: the reason says why.
    """
    if verdict.value is None:
        return ""
    scale, form, unit = (100, "+.1f", "points") if verdict.claim in DIFFERENCES else (1, ".2f", "times")
    value = f"{scale * verdict.value:{form}} {unit}"
    if verdict.low is None or verdict.high is None:
        return value
    return f"{value} [{scale * verdict.low:{form}}, {scale * verdict.high:{form}}]"


def matrices(verdicts: Verdicts, results: Results) -> list[Matrix]:
    """Arrange one data set's verdicts, protocols and codecs in the order of params.yaml, controls last.

    What was judged of any protocol (times) stands in the matrix of each whose classifier was timed.
    """
    mine = [verdict for verdict in verdicts.verdicts if verdict.dataset == results.dataset]
    cells = {(v.protocol, v.baseline, v.representation, v.claim): v for v in mine}
    trained = {verdict.representation for verdict in mine if verdict.protocol != ANY_PROTOCOL}
    protocols = [name for name in results.params.protocols if any(verdict.protocol == name for verdict in mine)]
    found = []
    for protocol in protocols or [ANY_PROTOCOL] * bool(mine):
        alike = protocol == ANY_PROTOCOL or results.params.protocols[protocol].classifier == MEASURED
        timed = {key[1:]: verdict for key, verdict in cells.items() if key[0] == ANY_PROTOCOL and alike}
        for baseline in results.params.claims.baselines:
            judged = {v.representation for v in mine if (v.protocol, v.baseline) == (protocol, baseline)}
            judged |= {v.representation for v in mine if v.baseline == baseline and v.representation not in trained}
            names = sorted((name for name in results.params.representations if name in judged), key=results.is_control)
            rows = [
                MatrixRow(
                    results.label(name),
                    results.is_control(name),
                    tuple(
                        cells.get((protocol, baseline, name, claim), timed.get((baseline, name, claim)))
                        for claim in verdicts.rules
                    ),
                )
                for name in names
            ]
            if rows:
                found.append(Matrix(protocol, baseline, tuple(rows)))
    return found


def tallies(verdicts: Verdicts, results: Results, protocol: str, baseline: str) -> list[Tally]:
    """Count each claim's verdicts over trained codecs; an untrained encoder is no codec's result and never counts."""
    mine = [
        verdict
        for verdict in verdicts.verdicts
        if (verdict.dataset, verdict.baseline) == (results.dataset, baseline)
        and verdict.protocol in (protocol, ANY_PROTOCOL)
        and not results.is_control(verdict.representation)
    ]
    return [
        Tally(
            claim,
            {sign: tuple(v.representation for v in mine if (v.claim, v.verdict) == (claim, sign)) for sign in SIGNS},
        )
        for claim in verdicts.rules
    ]
