"""The ladder of protocols, from the paper's to a fair one: its rungs, what each changes, and the gap of the leakage."""

from itertools import pairwise

from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import gap
from beyond_spectrograms.params import Protocol


def rungs(results: Results) -> list[str]:
    """List the ladder's protocols that this report covers, in order."""
    return [name for name in results.params.claims.ladder if name in results.protocols]


def describe_step(before: Protocol, after: Protocol) -> str:
    """Say what one rung changes of the one before: `split: source`."""
    old, new = before.model_dump(), after.model_dump()
    return ", ".join(f"{key}: {str(new[key]).lower()}" for key in new if new[key] != old[key])


def leakage_step(results: Results) -> tuple[str, str] | None:
    """Find two neighbouring rungs that differ only in window split and source split; None where there are none."""
    protocols = results.params.protocols
    for before, after in pairwise(rungs(results)):
        clean = protocols[before].model_copy(update={"split": "source"})
        if protocols[before].split == "window" and protocols[after] == clean:
            return before, after
    return None


def leakage_gap(results: Results, name: str, before: str, after: str) -> Interval | None:
    """Subtract a representation's accuracy under one protocol from that under another; None where one was not run."""
    leaky, clean = (results.cell(name, protocol).recordings for protocol in (before, after))
    return gap(leaky, clean, results.params.statistics).difference if leaky and clean else None
