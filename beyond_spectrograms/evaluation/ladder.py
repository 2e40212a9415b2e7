"""The ladder of protocols, from the paper's to a fair one: its rungs, what each changes, and the gap of the leakage."""

from collections.abc import Mapping
from itertools import permutations

from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.evaluation.uncertainty import gap
from beyond_spectrograms.params import Protocol, Split


def rungs(results: Results) -> list[str]:
    """List the ladder's protocols that this report covers, in order."""
    return [name for name in results.params.claims.ladder if name in results.protocols]


def describe_step(before: Protocol, after: Protocol) -> str:
    """Say what one rung changes of the one before: `split: source`."""
    old, new = before.model_dump(), after.model_dump()
    return ", ".join(f"{key}: {str(new[key]).lower()}" for key in new if new[key] != old.get(key))


def find_leaks(protocols: Mapping[str, Protocol], splits: Mapping[str, Split]) -> list[tuple[str, str, str]]:
    """List protocols that differ in the split alone, the leaky one first: first, second, what the first has more."""
    return [
        (leaky, clean, "leakage")
        for leaky, clean in permutations(protocols, 2)
        if (splits[protocols[leaky].split].kind, splits[protocols[clean].split].kind) == ("window", "source")
        and protocols[leaky] == protocols[clean].model_copy(update={"split": protocols[leaky].split})
    ]


def leakage_step(results: Results) -> tuple[str, str] | None:
    """Find two protocols of this report that differ in window split and source split alone; None where none do."""
    protocols = {name: results.params.protocols[name] for name in results.protocols}
    return next((leak[:2] for leak in find_leaks(protocols, results.params.splits)), None)


def leakage_gap(results: Results, name: str, before: str, after: str) -> Interval | None:
    """Subtract a representation's accuracy under one protocol from that under another; None where one was not run."""
    leaky, clean = (results.cell(name, protocol).recordings for protocol in (before, after))
    return gap(leaky, clean, results.params.statistics).difference if leaky and clean else None
