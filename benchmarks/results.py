"""The bench's figures: ratios of the plain way to ours, shares of the matrix-product rate, as a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from beyond_spectrograms.report.table import Row, Table, number, text
from beyond_spectrograms.util.errors import ProjectError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.pairings import Pairing, Round

LATER = "Measured in a later run than the others:"


def summarise(
    pairing: Pairing, rounds: Sequence[Round], memory: Mapping[str, int], steps: Mapping[str, float]
) -> dict[str, Any]:
    """Lay out a pairing's rounds, memory and steps for metrics/bench.json. Ratios above 1 are in our favour."""
    clocks = {
        clock: {whose: [getattr(getattr(one, whose), clock) for one in rounds] for whose in ("ours", "plain")}
        for clock in ("wall", "processor")
    }
    ratios = {
        clock: [plain / ours for plain, ours in zip(of["plain"], of["ours"], strict=True)]
        for clock, of in clocks.items()
    }
    shares = limit = None
    if (flop := pairing.flop) is not None:
        shares = {
            "ours": median(flop / one.ours.wall / one.our_matrix_rate for one in rounds),
            "plain": median(flop / one.plain.wall / one.plain_matrix_rate for one in rounds),
        }
        limit = median(one.plain.wall * one.our_matrix_rate / flop for one in rounds)
    return {
        "unit": pairing.unit,
        "units": pairing.units,
        "seconds": clocks,
        "ratio": {clock: {"median": median(of), "lowest": min(of), "highest": max(of)} for clock, of in ratios.items()},
        "per_second": {whose: pairing.units / median(clocks["wall"][whose]) for whose in ("ours", "plain")},
        "matrix_gflop_per_s": {
            "ours": [one.our_matrix_rate / 1e9 for one in rounds],
            "plain": [one.plain_matrix_rate / 1e9 for one in rounds],
        },
        "share_of_matrix_rate": shares,
        "ratio_at_matrix_rate": limit,
        "memory_bytes": dict(memory),
        "steps": dict(steps),
    }


def merge(stored: Mapping[str, Any], later: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """Put the paths of a later run of some, in the `order` of all, into the stored results of others.

    Raises:
        ProjectError: they were measured on another machine.
    """
    for key in ("processor", "cores"):
        if stored[key] != later[key]:
            raise ProjectError(
                f"the stored results are of {stored['processor']}, {stored['cores']} cores; these are of "
                f"{later['processor']}, {later['cores']} cores. Run all paths here, without --only."
            )
    found = {**stored["pairings"], **later["pairings"]}
    loads = {**stored.get("later_loads", {}), **dict.fromkeys(later["pairings"], later["load_before"])}
    notes = [note for note in stored["notes"] if not note.startswith(LATER)]
    measured = ", ".join(f"{name} (load {loads[name]:.1f})" for name in order if name in loads)
    return {
        **stored,
        "later_loads": loads,
        "pairings": {name: found[name] for name in order if name in found},
        "encoder_milliseconds": {**stored["encoder_milliseconds"], **later["encoder_milliseconds"]},
        "notes": [*notes, f"{LATER} {measured}."],
    }


def bench_table(results: Mapping[str, Any]) -> Table:
    """Lay out metrics/bench.json for people."""
    rows: list[Row] = []
    for name, one in results["pairings"].items():
        share, memory = one["share_of_matrix_rate"] or {}, one["memory_bytes"]
        rows.append(
            {
                "path": name,
                "unit": one["unit"],
                **{f"{whose}_per_s": one["per_second"][whose] for whose in ("plain", "ours")},
                **{clock: _range(one["ratio"][clock]) for clock in ("wall", "processor")},
                **{f"{whose}_share": 100 * share[whose] if share else None for whose in ("plain", "ours")},
                "limit": one["ratio_at_matrix_rate"],
                **{f"{whose}_mb": memory[whose] / 1e6 if memory else None for whose in ("plain", "ours")},
            }
        )
    columns = {
        "path": text("path"),
        "a second of": text("unit"),
        "plain": number("plain_per_s", 1),
        "ours": number("ours_per_s", 1),
        "times as fast, wall": text("wall"),
        "times as fast, processor": text("processor"),
        "% of mm, plain": number("plain_share", 0),
        "% of mm, ours": number("ours_share", 0),
        "times as fast at 100 %": number("limit", 2),
        "MB, plain": number("plain_mb", 0),
        "MB, ours": number("ours_mb", 0),
    }
    return Table(f"Bench: {results['processor']}, {results['cores']} cores", rows, columns, list(results["notes"]))


def _range(ratio: Mapping[str, float]) -> str:
    return f"{ratio['median']:.2f} [{ratio['lowest']:.2f}, {ratio['highest']:.2f}]"


def bench_figure(results: Mapping[str, Any]) -> Figure:
    """Draw the ratio of wall times of every path, with the range over rounds."""
    from beyond_spectrograms.report.figures import BLUE, drawing

    names = list(results["pairings"])[::-1]
    ratios = [results["pairings"][name]["ratio"]["wall"] for name in names]
    with drawing(8, 0.45 * len(names) + 1.3) as figure:
        axes = figure.add_subplot()
        medians = [ratio["median"] for ratio in ratios]
        ranges = [[one["median"] - one["lowest"] for one in ratios], [one["highest"] - one["median"] for one in ratios]]
        axes.barh(names, medians, xerr=ranges, color=BLUE, height=0.6, ecolor="black", capsize=3)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlabel("times as fast as the plain way (wall time; median and range over rounds)")
        axes.set_title(f"{results['processor']}, {results['cores']} cores")
        return figure
