"""Tables of sizes and costs: how large a second of sound is in each representation, and what classifying it takes."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from beyond_spectrograms.evaluation.costs import FLOAT32, TIMES, Costs, RepresentationCosts, paired_ratios
from beyond_spectrograms.evaluation.pareto import pareto_points
from beyond_spectrograms.evaluation.results import MEL, Results
from beyond_spectrograms.evaluation.uncertainty import median_interval
from beyond_spectrograms.params import Mel
from beyond_spectrograms.report import published
from beyond_spectrograms.report.notes import note_of
from beyond_spectrograms.report.table import Row, Show, Table, interval_row, joined, scaled, show_interval, text, texts

MEMORY_AND_SIZE = ("_peak_bytes", "_total_bytes", "_bytes_per_s")


def sizes_table(results: Results) -> Table:
    """Tabulate how large one second is in each representation, against mel, and how long its extraction takes."""
    length = results.params.windows.length_s
    shapes = {name: _shape(results, name) for name in results.rows}
    mel = shapes[MEL]
    rows: list[Row] = []
    for name, shape in shapes.items():
        measured = results.features.get(name)
        laws = "" if measured or shape is None else "size by the frame law"
        row: Row = {
            "representation": name,
            "bands": shape and shape[0],
            "items_per_window": shape and shape[1],
            "items_per_second": shape and shape[1] / length,
            "items_change_percent": shape and mel and 100 * (shape[1] / mel[1] - 1),
            "bytes_per_second": shape and shape[0] * shape[1] * FLOAT32 / length,
            "bytes_change_percent": shape and mel and 100 * (shape[0] * shape[1] / (mel[0] * mel[1]) - 1),
            "paper_items_per_second": published.ITEMS_PER_SECOND.get(name),
            "paper_items_change_percent": published.CHANGE_AGAINST_MEL.get(name),
            "note": joined(note_of(results, name, measured is not None), laws),
        }
        rows.append(row)
    columns = {
        **texts("representation", "bands"),
        "items per second": scaled("items_per_second", "g"),
        "against mel %": scaled("items_change_percent", "+.2f"),
        "bytes per second": scaled("bytes_per_second", ".0f"),
        "bytes against mel %": scaled("bytes_change_percent", "+.2f"),
        "paper: items": text("paper_items_per_second"),
        "paper: against mel %": scaled("paper_items_change_percent", "+.2f"),
        **texts("note"),
    }
    notes = [f"Items are frames; a window is {length:g} s. Bytes: bands x items x {FLOAT32} (float32)."]
    return Table(f"Sizes: {results.dataset}, one second of sound", rows, columns, notes)


def _shape(results: Results, name: str) -> tuple[int, int] | None:
    """Find (bands, frames) of a window, as written by featurize, else by the frame law where params.yaml gives one."""
    if name in results.features:
        return results.features[name].bands, results.features[name].frames
    known = results.params.representations.get(name)
    if isinstance(known, Mel):
        # A centred spectrogram (librosa's default) has a frame at sample 0 and one each hop.
        samples = round(known.sample_rate * results.params.windows.length_s)
        return known.bands, 1 + samples // known.hop_length
    return None


def costs_table(results: Results, measured: Mapping[str, Costs]) -> Table | None:
    """Tabulate medians over rounds, each time's ratio to the first baseline, memory and bytes.

    Rows keep all digits, in seconds and bytes. None where nothing was measured.
    """
    if not measured:
        return None
    baseline = results.params.claims.baselines[0]
    rows: list[Row] = []
    reasons: dict[str, None] = {}
    for name, costs in measured.items():
        one = costs.representations[costs.representation]
        row: Row = {"representation": costs.representation, "parameters": one.parameters}
        for key in TIMES:
            row[key], found = None, None
            if times := getattr(one, key):
                row[key] = median(times)
            if times and baseline in costs.representations and costs.representation != baseline:
                found = median_interval(paired_ratios(costs, baseline, key), results.params.statistics)
                reasons |= dict.fromkeys([found.reason] if found.reason else [])
            row |= interval_row(f"{key}_ratio", found, 1, "")
        row["encoding_percent"] = 100 * median(one.encoding_s_per_s) / median(one.file_s_per_s)
        row |= {key: getattr(one, key) for key in RepresentationCosts.model_fields if key.endswith(MEMORY_AND_SIZE)}
        row["note"] = note_of(results, name, run=True)
        rows.append(row)
    against = f"against {baseline}"
    columns: dict[str, Show] = {
        "representation": text("representation"),
        "cached, ms per s": scaled("cached_s_per_s", "#.3g", times=1000),
        f"cached {against}": show_interval("cached_s_per_s_ratio", "#.3g", ""),
        "from file, ms per s": scaled("file_s_per_s", "#.3g", times=1000),
        f"from file {against}": show_interval("file_s_per_s_ratio", "#.3g", ""),
        "of it encoding %": scaled("encoding_percent", ".0f"),
        "training, ms per window": scaled("training_s_per_window", "#.3g", times=1000),
        f"training {against}": show_interval("training_s_per_window_ratio", "#.3g", ""),
        "memory cached, MB": scaled("cached_peak_bytes", ".1f", per=1e6),
        "memory from file, MB": scaled("file_peak_bytes", ".1f", per=1e6),
        "cached, bytes per s": scaled("cached_bytes_per_s", ".0f"),
        "as coded, bytes per s": scaled("coded_bytes_per_s", ".0f"),
        **texts("parameters", "note"),
    }
    title = f"Costs: {results.dataset}, to classify one second of sound"
    return Table(title, rows, columns, [*_notes(list(measured.values()), baseline), *reasons])


def pareto_table(results: Results, measured: Mapping[str, Costs]) -> Table | None:
    """Tabulate accuracy against cost, the cheapest first; None where no representation has both."""
    rows: list[Row] = []
    points, protocol = pareto_points(results, measured), results.judged_protocol
    for point in points:
        row: Row = {"representation": point.representation}
        row |= interval_row("cost", point.cost, 1000, "_ms") | interval_row("windows", point.accuracy)
        row |= {
            "on_the_front": "no" if point.dominated_by else "yes",
            "dominated_by": ", ".join(point.dominated_by) or None,
        }
        rows.append({**row, "note": note_of(results, point.representation, run=True)})
    columns: dict[str, Show] = {
        "representation": text("representation"),
        "cost, ms per s": show_interval("cost", "#.3g", "_ms"),
        "windows %": show_interval("windows"),
        "on the front": text("on_the_front"),
        "dominated by": text("dominated_by"),
        **texts("note"),
    }
    baseline, drawn = results.params.claims.baselines[0], {point.representation for point in points}
    without = [name for name, of in results.cells if of == protocol and name not in drawn]
    notes = [
        "cost: processor time to classify a second of sound from the audio file on, encoder included: the median of "
        f"ratios to {baseline} within a round, with its interval over rounds, times {baseline}'s own median of all "
        "rounds. So what was measured in a slower hour stands on the same scale.",
        "On the front: no other is at least as cheap and at least as accurate, and better in one. That goes by the "
        "values alone; whether two differ in accuracy is judged among the comparisons.",
        *[f"Not here, for want of a cost: {', '.join(without)}."] * bool(without),
    ]
    return (
        Table(f"Accuracy against cost: {results.dataset}, protocol {protocol}", rows, columns, notes) if rows else None
    )


def _notes(measured: Sequence[Costs], baseline: str) -> list[str]:
    def distinct(values: Iterable[object]) -> str:
        return " or ".join(dict.fromkeys(str(value) for value in values))

    return [
        f"Processor time on one thread of a CPU ({distinct(one.processor for one in measured)}); median of "
        f"{distinct(one.rounds for one in measured)} rounds over {distinct(one.clips for one in measured)} clips, "
        f"{distinct(f'{one.seconds_of_sound:.1f}' for one in measured)} s of sound. No GPU is measured.",
        f"Against {baseline}: median of the ratios within a round, with its interval over rounds on this one machine.",
        "cached: read features and classify, in batches of 256. From file: decode, resample, cut, encode and classify.",
        "Memory: peak above what imports, weights and a first window hold. From file a clip's windows are encoded at "
        "once.",
        "The audio files have "
        f"{distinct(round(one.representations[one.representation].raw_bytes_per_s) for one in measured)} "
        "bytes per second.",
    ]
