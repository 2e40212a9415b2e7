"""Verdicts of the report page: metrics/<dataset>/claims.json as matrices of codec x claim, and how each claim fared."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beyond_spectrograms.evaluation.claims import ANY_PROTOCOL, CLAIMS, Outcome, Verdict, opponents
from beyond_spectrograms.evaluation.records import Record, read_record
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.page.html import PageError

# Heads of columns; what each means in full is its rule.
TITLES = {
    "convergence": "fewer epochs to a common level",
    "convergence_own": "fewer epochs to its own plateau",
    "convergence_seconds": "fewer seconds of training",
    "equal_epochs": "better at equal epochs",
    "speed_cached": "faster from cached features",
    "speed_file": "faster from the audio file",
}
DIFFERENCES = ("equal_epochs",)  # of accuracies, 0 to 1; the other claims are judged by ratios
# A verdict is told by word, by sign and by colour, so that none of them is needed.
SIGNS: dict[Outcome, str] = {"holds": "✓", "does not hold": "✗", "same": "=", "undecided": "?"}


class Verdicts(Record):
    """What claims.json holds: the rule of every claim in one sentence, and all verdicts."""

    rules: dict[str, str]
    verdicts: list[Verdict]


@dataclass(frozen=True)
class Matrix:
    """Codec x claim under one protocol against one baseline.

    `rows` hold a codec's label, whether it is a control, and its verdicts in the order of the rules; None: not judged.
    """

    protocol: str
    baseline: str
    rows: list[tuple[str, bool, list[Verdict | None]]]


def read_verdicts(paths: Sequence[Path]) -> Verdicts:
    """Read the verdicts of all data sets, a file each.

    Raises:
        ResultError: a key is missing or has the wrong type.
        PageError: a claim is unknown, or two files judge by other rules.
    """
    all_found = [read_record(path, Verdicts) for path in paths]
    for path, found in zip(paths, all_found, strict=True):
        if unknown := [claim for claim in found.rules if claim not in TITLES]:
            raise PageError(f"{path}: unknown claim {unknown[0]!r}. The page knows {', '.join(CLAIMS)}.")
        if found.rules != all_found[0].rules:
            raise PageError(f"{path}: judged by other rules than {paths[0]}. Run its report stage again.")
    return Verdicts(rules=all_found[0].rules, verdicts=[verdict for found in all_found for verdict in found.verdicts])


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
    found, measured = [], results.params.costs.classifier
    for protocol in protocols or [ANY_PROTOCOL] * bool(mine):
        alike = protocol == ANY_PROTOCOL or results.params.protocols[protocol].classifier == measured
        timed = {key[1:]: verdict for key, verdict in cells.items() if key[0] == ANY_PROTOCOL and alike}
        for baseline in opponents(results.params):
            judged = {v.representation for v in mine if (v.protocol, v.baseline) == (protocol, baseline)}
            judged |= {v.representation for v in mine if v.baseline == baseline and v.representation not in trained}
            names = sorted((name for name in results.params.representations if name in judged), key=results.is_control)
            rows = [
                (
                    results.label(name),
                    results.is_control(name),
                    [
                        cells.get((protocol, baseline, name, claim), timed.get((baseline, name, claim)))
                        for claim in verdicts.rules
                    ],
                )
                for name in names
            ]
            if rows:
                found.append(Matrix(protocol, baseline, rows))
    return found


def tallies(verdicts: Verdicts, results: Results, protocol: str, baseline: str) -> dict[str, dict[Outcome, list[str]]]:
    """List, by claim and verdict, the trained codecs; an untrained encoder is no codec's result and never counts."""
    mine = [
        verdict
        for verdict in verdicts.verdicts
        if (verdict.dataset, verdict.baseline) == (results.dataset, baseline)
        and verdict.protocol in (protocol, ANY_PROTOCOL)
        and not results.is_control(verdict.representation)
    ]
    return {
        claim: {sign: [v.representation for v in mine if (v.claim, v.verdict) == (claim, sign)] for sign in SIGNS}
        for claim in verdicts.rules
    }
