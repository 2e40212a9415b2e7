"""Measurements as files and tables; what the paths took, for metrics/bench.json, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.harness import WAYS, Round, Way, describe, show
from beyond_spectrograms.report.table import Row, Table, number, text, to_markdown
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import write_json, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.harness import TimedPath

LATER = "Measured in a later run than the others:"


def publish(results: Path, measured: Mapping[str, Any], *tables: Table) -> None:
    """Write what was measured to `results`, and its tables beside it, as .md, and on the screen."""
    write_json(results, measured)
    told = "\n".join(map(to_markdown, tables))
    write_text(results.with_suffix(".md"), told)
    print(told)


def summarise(
    path: TimedPath, rounds: Sequence[Round], matrix_rates: Sequence[Mapping[Way, float]], memory: Mapping[str, int],
    steps: Mapping[str, float],
) -> dict[str, Any]:  # fmt: skip
    """Lay out a path's rounds, the rates of matrix products beside them, memory and steps for metrics/bench.json."""
    described = describe(rounds)
    wall, shares, limit = described["seconds"]["wall"], None, None
    if (flop := path.flop) is not None:
        rates = {way: [one[way] for one in matrix_rates] for way in WAYS}
        shares = {
            way: median(flop / spent / rate for spent, rate in zip(wall[way], rates[way], strict=True)) for way in WAYS
        }
        limit = median(spent * rate / flop for spent, rate in zip(wall["plain"], rates["ours"], strict=True))
    return {
        "unit": path.unit,
        "units": path.units,
        **described,
        "per_second": {way: path.units / median(wall[way]) for way in WAYS},
        "matrix_gflop_per_s": {way: [one[way] / 1e9 for one in matrix_rates] for way in WAYS},
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
                **{f"{way}_per_s": one["per_second"][way] for way in ("plain", "ours")},
                **{clock: show(one["ratio"][clock]) for clock in ("wall", "processor")},
                **{f"{way}_share": 100 * share[way] if share else None for way in ("plain", "ours")},
                "limit": one["ratio_at_matrix_rate"],
                **{f"{way}_mb": memory[way] / 1e6 if memory else None for way in ("plain", "ours")},
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
