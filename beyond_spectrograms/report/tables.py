"""The report's tables: ours beside the paper's and others' figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from beyond_spectrograms.evaluation.comparisons import (
    Pair,
    explain_intervals,
    explain_marks,
    interval_row,
    mark,
    show_interval,
)
from beyond_spectrograms.evaluation.costs import Costs, cost_table
from beyond_spectrograms.evaluation.results import Results, Scores
from beyond_spectrograms.evaluation.uncertainty import median_interval
from beyond_spectrograms.params import Mel
from beyond_spectrograms.report import published as paper
from beyond_spectrograms.report.table import Row, Show, Table, number, signed, text

NOT_RUN = "not run"
CONTROL = "control: untrained encoder, not EnCodec's result"
FLOAT32 = 4  # bytes


def percent(fraction: float | None) -> float | None:
    """Turn 0..1 into %."""
    return None if fraction is None else 100 * fraction


def note_of(results: Results, representation: str, run: bool, scores: Scores | None = None) -> str:
    """Say what a reader must know of a row: that it was not run, that it is a control, that training diverged."""
    notes = [NOT_RUN] * (not run) + [CONTROL] * results.is_control(representation)
    if scores and scores.diverged_runs:
        notes.append(f"{diverged(scores)}; their weights selected before were tested")
    return "; ".join(notes)


def diverged(scores: Scores) -> str:
    """Say how many of a cell's runs ended in a loss that is not finite."""
    return f"{scores.diverged_runs} of {scores.folds * scores.seeds} runs diverged"


def table_1(results: Results) -> Table:
    """Tabulate every representation under every protocol, the paper's figures beside ours where it has any."""
    published = paper.PUBLISHED.get(results.dataset)
    rows = [
        _row_1(results, published, name, protocol)
        for names, protocols in (
            (results.rows, results.protocols),
            (results.ablations, results.ablation_protocols),
        )
        for protocol in protocols
        for name in names
    ]
    columns: dict[str, Show] = {
        "representation": text("representation"),
        "protocol": text("protocol"),
        "windows %": show_interval("windows"),
        "recordings %": show_interval("recordings"),
        "mean of classes %": number("classes_percent", 1),
        "windows without silence %": number("windows_without_silent_percent", 1),
        "folds x seeds": lambda row: "-" if row["folds"] is None else f"{row['folds']} x {row['seeds']}",
        "validation % (last epoch)": lambda row: (
            f"{row['last_validation_accuracy_percent']:.1f} ({row['last_epoch']})" if row["last_epoch"] else "-"
        ),
        "paper: test %": text("paper_test_percent"),
        "paper: validation %": text("paper_validation_percent"),
        "note": text("note"),
    }
    if published is None:
        del columns["paper: test %"], columns["paper: validation %"]
    return Table(f"Table 1: {results.dataset}, test accuracy", rows, columns, _notes_1(results))


def _row_1(results: Results, published: paper.Published | None, name: str, protocol: str) -> Row:
    cell = results.cell(name, protocol)
    scores, ends = cell.scores, [curve.validation_accuracy for curve in cell.curves]
    row: Row = {"representation": name, "protocol": protocol}
    row |= interval_row("windows", cell.window_interval) | interval_row("recordings", cell.recording_interval)
    row |= {
        "classes_percent": percent(scores.class_accuracy) if scores else None,
        "windows_without_silent_percent": percent(scores.without_silent.window_accuracy) if scores else None,
        "folds": scores.folds if scores else None,
        "seeds": scores.seeds if scores else None,
        "last_validation_accuracy_percent": percent(_mean([float(end[-1]) for end in ends])),
        "last_epoch": _range([len(end) for end in ends]),
        "paper_test_percent": _paper_test(published, name, protocol),
        "paper_validation_percent": _paper_validation(published, name, protocol),
    }
    remarks = {i.reason or i.remark for i in (cell.window_interval, cell.recording_interval) if i}
    notes = [note_of(results, name, scores is not None, scores), *sorted(filter(None, remarks))]
    return {**row, "note": "; ".join(note for note in notes if note)}


def _notes_1(results: Results) -> list[str]:
    notes = [
        "windows: share of test windows classified right. recordings: a recording's class is that of the mean of its "
        "tested windows' probabilities. mean of classes: each class's share of windows, averaged.",
        explain_intervals(results),
        "All folds and seeds are pooled.",
    ]
    sizes = {
        (protocol, scores.seeds, scores.windows, scores.silent_windows, scores.recordings)
        for protocol in results.protocols
        for name in results.rows
        if (scores := results.cell(name, protocol).scores)
    }
    for protocol, seeds, windows, silent, recordings in sorted(
        sizes, key=lambda size: results.protocols.index(size[0])
    ):
        each_recording = windows / seeds / recordings
        tested = f"{windows // seeds} windows ({silent // seeds} silent) of {recordings} recordings"
        tested += f", {each_recording:.1f} a recording"
        each = f", once for each of {seeds} seeds" if seeds > 1 else ""
        split = results.params.protocols[protocol].split
        straddling = max(column.recordings_in_two_parts for column in results.splits.splits[split].values())
        notes.append(
            f"{protocol}: tested on {tested}{each}. Split {split}: {straddling} of {results.splits.recordings} "
            "recordings have windows in more than one of training, validation and test."
        )
    published = paper.PUBLISHED.get(results.dataset)
    if published is None:
        return [*notes, f"The paper has no figures for {results.dataset}."]
    return [
        *notes,
        f"The paper (Table 1) reports {published.best_test:.2f} % as its best test accuracy, with an EnCodec input; "
        "its other cells are not recoverable from the text.",
        "The paper's validation accuracies (section 3.2): mel at the end of the run, EnCodec at the epoch where it is "
        "already better. The text does not say which of its two EnCodec values is 24 kHz and which 48 kHz.",
    ]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _range(values: list[int]) -> str:
    """Write `57` or `57-80`, nothing for nothing."""
    return "-".join(str(value) for value in sorted({min(values), max(values)})) if values else ""


def _paper_test(published: paper.Published | None, name: str, protocol: str) -> str | None:
    if published is None or protocol != paper.PROTOCOL or name not in paper.INPUTS:
        return None
    return "not recoverable" if name == paper.MEL else f"{published.best_test:.2f} is the better of the two"


def _paper_validation(published: paper.Published | None, name: str, protocol: str) -> str | None:
    if published is None or protocol != paper.PROTOCOL or name not in paper.INPUTS:
        return None
    if name == paper.MEL:
        return f"{published.validation_mel:.2f} (epoch {paper.EPOCHS})"
    pairs = zip(published.validation_encodec, published.epochs_encodec, strict=True)
    return " or ".join(f"{accuracy:.2f} (epoch {epoch})" for accuracy, epoch in pairs)


def best_of(results: Results, protocol: str) -> tuple[str, Scores] | None:
    """Find the representation with the highest validation accuracy under a protocol, None where none was run."""
    cells = {name: cell for name in results.rows if (cell := results.cell(name, protocol)).scores}
    name = max(cells, key=lambda name: cells[name].validation_accuracy() or 0.0, default=None)
    scores = cells[name].scores if name else None
    return (name, scores) if name and scores else None


def table_2(results: Results) -> Table:
    """Tabulate what others report on the same data set, beside our best under each protocol."""
    rows: list[Row] = []
    for protocol in results.protocols:
        name, best = best_of(results, protocol) or ("", None)
        rows.append(
            {
                "source": f"this project, {protocol}",
                "system": f"{name}, {results.params.protocols[protocol].classifier}" if best else None,
                "window_accuracy_percent": percent(best.window_accuracy) if best else None,
                "recording_accuracy_percent": percent(best.recording_accuracy) if best else None,
                "reported_percent": None,
                "note": note_of(results, name, True, best) if best else NOT_RUN,
            }
        )
    published = paper.PUBLISHED.get(results.dataset)
    reported = [("paper, Table 1", "EnCodec, the better of 24 and 48 kHz", published.best_test)] if published else []
    reported += [(o.source, o.system, a) for o in paper.OTHERS if (a := o.accuracy(results.dataset)) is not None]
    for source, system, accuracy in reported:
        row: Row = {"source": source, "system": system, "reported_percent": accuracy, "note": ""}
        rows.append({key: row.get(key) for key in rows[0]})
    columns = {
        "source": text("source"),
        "system": text("system"),
        "windows %": number("window_accuracy_percent", 2),
        "recordings %": number("recording_accuracy_percent", 2),
        "as reported %": number("reported_percent", 2),
        "note": text("note"),
    }
    notes = [
        "Ours: the representation with the highest validation accuracy under each protocol, a control included if it "
        "wins.",
        "Figures of others were measured on their own splits, with their own classifiers and pretraining."
        if reported
        else f"No source this project rests on reports a figure for {results.dataset}.",
    ]
    return Table(f"Table 2: {results.dataset}, other systems", rows, columns, notes)


def sizes_table(results: Results) -> Table:
    """Tabulate how large one second is in each representation, against mel, and how long its extraction takes."""
    length = results.params.windows.length_s
    shapes = {name: _shape(results, name) for name in results.rows}
    mel = shapes[paper.MEL]
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
            "paper_items_per_second": paper.ITEMS_PER_SECOND.get(name),
            "paper_items_change_percent": paper.CHANGE_AGAINST_MEL.get(name),
            "note": "; ".join(part for part in (note_of(results, name, measured is not None), laws) if part),
        }
        rows.append(row)
    columns = {
        "representation": text("representation"),
        "bands": text("bands"),
        "items per second": lambda row: "-" if row["items_per_second"] is None else f"{row['items_per_second']:g}",
        "against mel %": signed("items_change_percent"),
        "bytes per second": number("bytes_per_second", 0),
        "bytes against mel %": signed("bytes_change_percent"),
        "paper: items": text("paper_items_per_second"),
        "paper: against mel %": signed("paper_items_change_percent"),
        "note": text("note"),
    }
    notes = [
        f"Items are frames; a window is {length:g} s. Bytes: bands x items x {FLOAT32} (float32).",
    ]
    return Table(f"Sizes: {results.dataset}, one second of sound", rows, columns, notes)


def costs_table(results: Results, costs: Mapping[str, Costs]) -> Table | None:
    """Tabulate what classifying costs, against the first baseline; None where nothing was measured."""
    if not costs:
        return None
    notes = {name: note_of(results, name, run=True) for name in costs}
    interval = partial(median_interval, statistics=results.params.statistics)
    return cost_table(list(costs.values()), results.params.claims.baselines[0], interval, notes)


def _shape(results: Results, name: str) -> tuple[int, int] | None:
    """Find (bands, frames) of a window, as written by featurize, else by the frame law where params.yaml gives one."""
    if name in results.features:
        return results.features[name].bands, results.features[name].frames
    known = results.params.representations.get(name)
    if isinstance(known, Mel):
        # A centred spectrogram (librosa's default) has a frame at sample 0 and one each hop.
        samples = round(known.sample_rate * results.params.windows.length_s)
        return known.n_mels, 1 + samples // known.hop_length
    return None


def summary(results: Results, pairs: Sequence[Pair]) -> Table:
    """Tabulate one line a representation: window accuracy under each protocol."""
    rows: list[Row] = []
    for name in results.rows:
        row: Row = {"representation": name}
        cells = {protocol: results.cell(name, protocol) for protocol in results.protocols}
        for protocol, cell in cells.items():
            row |= interval_row(protocol, cell.window_interval)
            row[f"{protocol}_mark"] = mark(results, pairs, name, protocol)
        failed = [
            f"{protocol}: {diverged(cell.scores)}"
            for protocol, cell in cells.items()
            if cell.scores and cell.scores.diverged_runs
        ]
        run = any(cell.scores for cell in cells.values())
        row["note"] = "; ".join(note for note in (note_of(results, name, run), *failed) if note)
        rows.append(row)
    columns: dict[str, Show] = {"representation": text("representation")}
    columns |= {f"{protocol} %": show_interval(protocol) for protocol in results.protocols}
    columns["note"] = text("note")
    notes = [f"{name}: {_describe(results, name)}" for name in results.protocols]
    notes += [explain_intervals(results), explain_marks(results)]
    return Table(f"{results.dataset}: window accuracy on the test part", rows, columns, notes)


def _describe(results: Results, protocol: str) -> str:
    """Put a protocol in words, from its params."""
    chosen = results.params.protocols[protocol]
    traits = [
        chosen.classifier,
        f"split {chosen.split}",
        *["labels shuffled"] * chosen.shuffle_labels,
        f"{chosen.optimizer} {chosen.learning_rate:g}",
        "inputs standardised" if chosen.standardize else "inputs as they are",
        f"tested at {'the last epoch' if chosen.select == 'last' else 'the epoch of best validation loss'}",
    ]
    return ", ".join([*traits, *["dropout active in testing"] * chosen.dropout_at_evaluation]) + "."
