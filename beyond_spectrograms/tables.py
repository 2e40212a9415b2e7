"""The report's tables: ours beside the paper's and others' figures."""

from __future__ import annotations

from beyond_spectrograms import paper
from beyond_spectrograms.params import Mel
from beyond_spectrograms.results import Accuracies, Results, Scores
from beyond_spectrograms.tabular import Row, Show, Table, number, signed, text

NOT_RUN = "not run"
CONTROL = "control: untrained encoder, not EnCodec's result"
FLOAT32 = 4  # bytes


def _with_and_without(measure: str) -> Show:
    """Show an accuracy and, in brackets, the one without silent windows."""
    both, without = number(f"{measure}_percent", 2), number(f"{measure}_percent_without_silent", 2)
    return lambda row: "-" if row["note"] and NOT_RUN in str(row["note"]) else f"{both(row)} ({without(row)})"


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


def _accuracies(accuracies: Accuracies | None, suffix: str = "") -> Row:
    return {
        f"{measure}_percent{suffix}": percent(getattr(accuracies, measure)) if accuracies else None
        for measure in ("window_accuracy", "recording_accuracy", "class_accuracy")
    }


def table_1(results: Results) -> Table:
    """Tabulate every representation under every protocol, the paper's figures beside ours where it has any."""
    published = paper.PUBLISHED.get(results.dataset)
    rows = []
    for protocol in results.protocols:
        for name in results.rows:
            cell = results.cell(name, protocol)
            scores, ends = cell.scores, [curve.validation_accuracy for curve in cell.curves]
            row: Row = {"representation": name, "protocol": protocol}
            row |= _accuracies(scores) | _accuracies(scores and scores.without_silent, "_without_silent")
            row |= {
                "folds": scores.folds if scores else None,
                "seeds": scores.seeds if scores else None,
                "last_validation_accuracy_percent": percent(_mean([float(end[-1]) for end in ends])),
                "last_epoch": _range([len(end) for end in ends]),
                "paper_test_percent": _paper_test(published, name, protocol),
                "paper_validation_percent": _paper_validation(published, name, protocol),
                "note": note_of(results, name, scores is not None, scores),
            }
            rows.append(row)
    columns: dict[str, Show] = {
        "representation": text("representation"),
        "protocol": text("protocol"),
        "windows %": _with_and_without("window_accuracy"),
        "recordings %": _with_and_without("recording_accuracy"),
        "mean of classes %": _with_and_without("class_accuracy"),
        "folds x seeds": lambda row: "-" if row["folds"] is None else f"{row['folds']} x {row['seeds']}",
        "validation % (last epoch)": lambda row: (
            f"{row['last_validation_accuracy_percent']:.2f} ({row['last_epoch']})" if row["last_epoch"] else "-"
        ),
        "paper: test %": text("paper_test_percent"),
        "paper: validation %": text("paper_validation_percent"),
        "note": text("note"),
    }
    if published is None:
        del columns["paper: test %"], columns["paper: validation %"]
    return Table(f"Table 1: {results.dataset}, test accuracy", rows, columns, _notes_1(results))


def _notes_1(results: Results) -> list[str]:
    notes = [
        "windows: share of test windows classified right. recordings: a recording's class is that of the mean of its "
        "tested windows' probabilities. mean of classes: each class's share of windows, averaged.",
        "In brackets: without silent windows. All folds and seeds are pooled.",
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


def best_of(results: Results, protocol: str) -> Scores | None:
    """Find the cell with the highest window accuracy under a protocol, None where none was run."""
    scores = [found for name in results.rows if (found := results.cell(name, protocol).scores)]
    return max(scores, key=lambda found: found.window_accuracy or 0.0, default=None)


def table_2(results: Results) -> Table:
    """Tabulate what others report on the same data set, beside our best under each protocol."""
    rows: list[Row] = []
    for protocol in results.protocols:
        best = best_of(results, protocol)
        rows.append(
            {
                "source": f"this project, {protocol}",
                "system": f"{best.representation}, {results.params.protocols[protocol].classifier}" if best else None,
                "window_accuracy_percent": percent(best.window_accuracy) if best else None,
                "recording_accuracy_percent": percent(best.recording_accuracy) if best else None,
                "reported_percent": None,
                "note": note_of(results, best.representation, True, best) if best else NOT_RUN,
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
        "Ours: the representation with the highest window accuracy under each protocol, a control included if it wins; "
        "chosen by test accuracy, so slightly optimistic.",
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


def times_table(results: Results) -> Table:
    """Tabulate what it takes to classify one window: from its sound, and from cached features as the paper counts."""
    rows: list[Row] = []
    for protocol in results.protocols:
        for name in results.rows:
            scores = results.cell(name, protocol).scores
            seconds = scores.seconds_per_window if scores else None
            rows.append(
                {
                    "representation": name,
                    "protocol": protocol,
                    "encoding_ms_per_window": 1000 * seconds.representation if seconds else None,
                    "classifying_ms_per_window": 1000 * seconds.classifier if seconds else None,
                    "device": scores.device if scores else None,
                    "note": note_of(results, name, scores is not None),
                }
            )
    columns = {
        "representation": text("representation"),
        "protocol": text("protocol"),
        "encoding, ms per window": number("encoding_ms_per_window", 2),
        "classifying, ms per window": number("classifying_ms_per_window", 3),
        "classifier on": text("device"),
        "note": text("note"),
    }
    notes = [
        "Encoding: one window in memory, alone, on one thread of the CPU; the median of 32. Classifying: from cached "
        "features, in batches of 256, one thread on a CPU.",
        "Measured on the machine that ran the cell, loaded as it was: compare within one run, not across machines.",
    ]
    return Table(f"Times: {results.dataset}", rows, columns, notes)


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


def summary(results: Results) -> Table:
    """Tabulate one line a representation: window and recording accuracy under each protocol."""
    rows: list[Row] = []
    for name in results.rows:
        row: Row = {"representation": name}
        for protocol in results.protocols:
            scores = results.cell(name, protocol).scores
            row[f"{protocol}_window_accuracy_percent"] = percent(scores.window_accuracy) if scores else None
            row[f"{protocol}_recording_accuracy_percent"] = percent(scores.recording_accuracy) if scores else None
        cells = {protocol: results.cell(name, protocol).scores for protocol in results.protocols}
        failed = [f"{protocol}: {diverged(cell)}" for protocol, cell in cells.items() if cell and cell.diverged_runs]
        row["note"] = "; ".join(note for note in (note_of(results, name, True), *failed) if note)
        rows.append(row)
    columns: dict[str, Show] = {"representation": text("representation")}
    columns |= {f"{protocol}: windows % / recordings %": _pair(protocol) for protocol in results.protocols}
    columns["note"] = text("note")
    notes = [f"{name}: {_describe(results, name)}" for name in results.protocols]
    return Table(f"{results.dataset}: test accuracy", rows, columns, notes)


def _pair(protocol: str) -> Show:
    windows, recordings = f"{protocol}_window_accuracy_percent", f"{protocol}_recording_accuracy_percent"
    return lambda row: NOT_RUN if row[windows] is None else f"{number(windows, 1)(row)} / {number(recordings, 1)(row)}"


def _describe(results: Results, protocol: str) -> str:
    """Put a protocol in words, from its params."""
    chosen = results.params.protocols[protocol]
    traits = [
        chosen.classifier,
        f"split {chosen.split}",
        f"{chosen.optimizer} {chosen.learning_rate:g}",
        "inputs standardised" if chosen.standardize else "inputs as they are",
        f"tested at {'the last epoch' if chosen.select == 'last' else 'the epoch of best validation loss'}",
    ]
    return ", ".join([*traits, *["dropout active in testing"] * chosen.dropout_at_evaluation]) + "."
