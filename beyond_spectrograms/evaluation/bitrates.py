"""The latent ladder: accuracy of latents before the quantiser, through it at each bitrate, and of the codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beyond_spectrograms.evaluation.comparisons import (
    Pair,
    explain_intervals,
    explain_marks,
    interval_row,
    mark,
    show_interval,
)
from beyond_spectrograms.evaluation.results import Interval, Results
from beyond_spectrograms.params import Codec
from beyond_spectrograms.report.table import Row, Show, Table, text
from beyond_spectrograms.report.tables import note_of

LATENTS, DEQUANTIZED, CODES = "latents before the quantiser", "dequantised latents", "codes as tokens"


@dataclass(frozen=True)
class Point:
    """One representation of a codec. `bitrate` in bit/s, None before the quantiser."""

    codec: str
    representation: str
    form: str
    bitrate: int | None
    interval: Interval | None


def points(results: Results, protocol: str) -> list[Point]:
    """List what is known of every trained codec that has a bitrate under ablations, by codec, form and bitrate."""
    records, found = results.params.representations, []
    names = [*results.rows, *results.ablations]
    for name in names:
        record = records.get(name)
        if not isinstance(record, Codec) or results.is_control(name):
            continue
        form = CODES if record.codes else LATENTS if record.bitrate is None else DEQUANTIZED
        interval = results.cell(name, protocol).window_interval
        found.append(Point(_codec(results, name), name, form, record.bitrate, interval))
    quantized = {point.codec for point in found if point.bitrate}
    order = {form: place for place, form in enumerate((LATENTS, DEQUANTIZED, CODES))}
    kept = [point for point in found if point.codec in quantized]
    places = list(records)
    return sorted(kept, key=lambda point: (places.index(point.codec), order[point.form], -(point.bitrate or 0)))


def _codec(results: Results, name: str) -> str:
    """Find the representation of the same encoder before its quantiser; the name itself where there is none."""
    records = results.params.representations
    plain = records[name].model_dump() | {"bitrate": None, "codes": False}
    first = plain["weights"][0] if isinstance(plain["weights"], list) else plain["weights"]
    same = (other for other, record in records.items() if record.model_dump() == plain | {"weights": first})
    return next(same, name)


def bitrates_table(results: Results, pairs: Sequence[Pair], protocol: str) -> Table:
    """Tabulate accuracy against bitrate."""
    rows: list[Row] = []
    for point in points(results, protocol):
        row: Row = {"codec": point.codec, "representation": point.representation, "form": point.form}
        row["bits_per_second"] = point.bitrate
        row |= interval_row("windows", point.interval)
        row["windows_mark"] = mark(results, pairs, point.representation, protocol)
        row["note"] = note_of(results, point.representation, point.interval is not None)
        rows.append(row)
    columns: dict[str, Show] = {
        "codec": text("codec"),
        "what is classified": text("form"),
        "kbit/s": lambda row: "-" if row["bits_per_second"] is None else f"{float(row['bits_per_second']) / 1000:g}",
        "windows %": show_interval("windows"),
        "representation": text("representation"),
        "note": text("note"),
    }
    notes = [
        "Codes as tokens: each codebook's entry number looked up in a learnt table of vectors, which are added.",
        explain_intervals(results),
        explain_marks(results),
    ]
    return Table(f"Bitrates: {results.dataset}, {protocol}, window accuracy", rows, columns, notes)
