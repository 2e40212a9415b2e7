"""The report's tables of accuracy: ours beside the paper's and others' figures."""

from collections.abc import Sequence

from beyond_spectrograms.evaluation.comparisons import Pair
from beyond_spectrograms.evaluation.records import Scores
from beyond_spectrograms.evaluation.results import MEL, Results
from beyond_spectrograms.report import published
from beyond_spectrograms.report.notes import NOT_RUN, diverged, explain_intervals, explain_marks, mark, note_of
from beyond_spectrograms.report.table import Row, Show, Table, interval_row, joined, number, show_interval, text, texts

FLAGGED = 3  # points between the selected and the last epoch


def percent(fraction: float | None) -> float | None:
    """Turn 0..1 into %."""
    return None if fraction is None else 100 * fraction


def table_1(results: Results) -> Table:
    """Tabulate every representation under every protocol, the paper's figures beside ours where it has any."""
    asked = ((results.rows, results.protocols), (results.ablations, results.ablation_protocols))
    rows = [_row_1(results, name, protocol) for names, protocols in asked for protocol in protocols for name in names]
    columns: dict[str, Show] = {
        **texts("representation", "protocol"),
        "windows %": show_interval("windows"),
        "recordings %": show_interval("recordings"),
        "mean of classes %": number("classes_percent", 1),
        "windows without silence %": number("windows_without_silent_percent", 1),
        "runs": text("runs"),
        "at the last epoch %": _show_last,
        "validation % (last epoch)": lambda row: (
            f"{row['last_validation_accuracy_percent']:.1f} ({row['last_epoch']})" if row["last_epoch"] else "-"
        ),
    }
    if published.paper_of(results.dataset):
        columns |= {f"paper: {part} %": text(f"paper_{part}_percent") for part in ("test", "validation")}
    columns |= texts("note")
    return Table(f"Table 1: {results.dataset}, test accuracy", rows, columns, _notes_1(results))


def _row_1(results: Results, name: str, protocol: str) -> Row:
    cell = results.cell(name, protocol)
    scores, ends = cell.scores, [curve.validation_accuracy for curve in cell.curves]
    lengths = sorted({len(end) for end in ends})
    row: Row = {"representation": name, "protocol": protocol}
    row |= interval_row("windows", cell.window_interval) | interval_row("recordings", cell.recording_interval)
    row |= {
        "classes_percent": percent(scores.class_accuracy) if scores else None,
        "windows_without_silent_percent": percent(scores.without_silent.window_accuracy) if scores else None,
        "runs": len(scores.by_fold) if scores else None,
        "last_epoch_percent": percent(scores.last_epoch.window_accuracy) if scores and scores.last_epoch else None,
        "last_validation_accuracy_percent": percent(sum(float(end[-1]) for end in ends) / len(ends)) if ends else None,
        "last_epoch": "-".join(map(str, dict.fromkeys((*lengths[:1], *lengths[-1:])))),
        "paper_test_percent": None,
        "paper_validation_percent": None,
    }
    if paper := published.published_of(results.dataset, name, protocol):
        test = "not recoverable" if name == MEL else f"{paper.best_test:.2f} is the better of the two"
        pairs = [(paper.validation_mel, published.EPOCHS)]
        if name != MEL:
            pairs = list(zip(paper.validation_encodec, paper.epochs_encodec, strict=True))
        validation = " or ".join(f"{accuracy:.2f} (epoch {epoch})" for accuracy, epoch in pairs)
        row |= {"paper_test_percent": test, "paper_validation_percent": validation}
    remarks = {i.reason or i.remark for i in (cell.window_interval, cell.recording_interval) if i}
    return {**row, "note": joined(note_of(results, name, scores is not None, scores), *sorted(filter(None, remarks)))}


def _show_last(row: Row) -> str:
    """Show the accuracy of the last epochs, where others were selected, and flag a cell that selection moved far."""
    ended, tested = row["last_epoch_percent"], row["windows_percent"]
    if ended is None or tested is None:
        return "-"
    return f"{float(ended):.1f}" + (" (!)" if abs(float(ended) - float(tested)) > FLAGGED else "")


def _notes_1(results: Results) -> list[str]:
    notes = [
        "windows: share of test windows classified right. recordings: a recording's class is that of the mean of its "
        "tested windows' probabilities. mean of classes: each class's share of windows, averaged.",
        explain_intervals(results),
        "All folds and seeds are pooled.",
        f"at the last epoch: windows right at the end of training, where an earlier epoch was selected by validation; "
        f"(!) where that moved the figure by more than {FLAGGED} points.",
    ]
    sizes = {
        (protocol, len(scores.by_fold), scores.windows, scores.silent_windows, scores.recordings)
        for protocol in results.protocols
        for name in results.rows
        if (scores := results.cell(name, protocol).scores)
    }
    for protocol, runs, windows, silent, recordings in sorted(
        sizes, key=lambda size: (results.protocols.index(size[0]), size)
    ):
        tested = f"{windows} windows ({silent} silent) of {recordings} recordings in {runs} runs"
        split = results.params.protocols[protocol].split
        notes.append(
            f"{protocol}: tested on {tested}. Split {split}: {_straddling(results, protocol)} of "
            f"{results.splits.recordings} recordings have windows in more than one of training, validation and test."
        )
    paper = published.paper_of(results.dataset)
    if paper is None:
        return [*notes, f"The paper has no figures for {results.dataset}."]
    return [
        *notes,
        f"The paper (Table 1) reports {paper.best_test:.2f} % as its best test accuracy, with an EnCodec input; "
        "its other cells are not recoverable from the text.",
        "The paper's validation accuracies (section 3.2): mel at the end of the run, EnCodec at the epoch where it is "
        "already better. The text does not say which of its two EnCodec values is 24 kHz and which 48 kHz.",
    ]


def _straddling(results: Results, protocol: str) -> int:
    """Count the recordings with windows in more than one part, in the fold of a protocol's split that has most."""
    columns = results.splits.splits[results.params.protocols[protocol].split].values()
    return max(column.recordings_in_two_parts for column in columns)


def best_of(results: Results, protocol: str) -> tuple[str, Scores] | None:
    """Find the representation with the highest validation accuracy under a protocol, None where none was run."""
    cells = {name: cell for name in results.rows if (cell := results.cell(name, protocol)).scores}
    name = max(cells, key=lambda name: cells[name].validation_accuracy() or 0.0, default=None)
    scores = cells[name].scores if name else None
    return (name, scores) if name and scores else None


def table_2(results: Results) -> Table:
    """Tabulate what others report on the same data set, beside our best and every pretrained model by each protocol."""
    rows, models = [], [name for name in results.names() if results.is_model(name)]
    for protocol in results.protocols:
        name, best = best_of(results, protocol) or ("", None)
        rows.append(_row_2(results, protocol, name, best))
        measured = [(each, results.cell(each, protocol).scores) for each in models if each != name]
        rows += [_row_2(results, protocol, each, scores) for each, scores in measured if scores]
    others = published.reported(results.dataset)
    for source, system, accuracy in others:
        row: Row = {"source": source.name, "system": system, "protocol": source.protocol, "flaw": source.flaw}
        row |= {"reported_percent": accuracy, "note": ""}
        rows.append({key: row.get(key) for key in rows[0]})
    columns = {
        **texts("source", "system", "protocol", "flaw"),
        "windows %": number("window_accuracy_percent", 2),
        "recordings %": number("recording_accuracy_percent", 2),
        "as reported %": number("reported_percent", 2),
        **texts("note"),
    }
    notes = [
        "Ours: the representation with the highest validation accuracy under each protocol, a control included if it "
        "wins.",
        *["Ours, too: every model that others trained and that is no codec, its weights as they are."] * bool(models),
        "Figures of others were measured on their own splits, with their own classifiers and pretraining; all of them "
        "stand in docs/others.md."
        if others
        else f"No source this project rests on reports a figure for {results.dataset}.",
    ]
    return Table(f"Table 2: {results.dataset}, other systems", rows, columns, notes)


def _row_2(results: Results, protocol: str, name: str, scores: Scores | None) -> Row:
    leaking = _straddling(results, protocol) if scores else 0
    return {
        "source": f"this project, {protocol}",
        "system": f"{name}, {results.params.protocols[protocol].classifier}" if scores else None,
        "protocol": _describe(results, protocol),
        "flaw": f"windows of {leaking} recordings in two parts or more" if leaking else None,
        "window_accuracy_percent": percent(scores.window_accuracy) if scores else None,
        "recording_accuracy_percent": percent(scores.recording_accuracy) if scores else None,
        "reported_percent": None,
        "note": note_of(results, name, True, scores) if scores else NOT_RUN,
    }


def summary(results: Results, pairs: Sequence[Pair]) -> Table:
    """Tabulate one line a representation, also of those that run under few protocols: window accuracy by protocol."""
    rows: list[Row] = []
    under = list(dict.fromkeys([*results.protocols, *results.ablation_protocols]))
    for name in dict.fromkeys([*results.rows, *results.ablations]):
        row: Row = {"representation": name}
        cells = {protocol: results.cell(name, protocol) for protocol in under}
        for protocol, cell in cells.items():
            row |= interval_row(protocol, cell.window_interval)
            row[f"{protocol}_mark"] = mark(results, pairs, name, protocol)
        failed = [
            f"{protocol}: {diverged(cell.scores)}"
            for protocol, cell in cells.items()
            if cell.scores and cell.scores.diverged_runs
        ]
        run = any(cell.scores for cell in cells.values())
        row["note"] = joined(note_of(results, name, run), *failed)
        rows.append(row)
    shown = {f"{protocol} %": show_interval(protocol) for protocol in under}
    columns = texts("representation") | shown | texts("note")
    protocols = results.params.protocols
    notes = [f"{name}: {protocols[name].classifier}, {_describe(results, name)}." for name in under]
    tested = set(results.params.contrasts.under) & set(under)
    notes += [explain_intervals(results), *[explain_marks(results)] * bool(tested)]
    return Table(f"{results.dataset}: window accuracy on the test part", rows, columns, notes)


def _describe(results: Results, protocol: str) -> str:
    """Put a protocol in words, from its params, but for the classifier."""
    chosen = results.params.protocols[protocol]
    traits = [
        f"split {chosen.split}",
        *([f"{chosen.training_share:.0%} of the training recordings"] if chosen.training_share else []),
        *([f"{few} training recording{'s' * (few > 1)} a class"] if (few := chosen.examples_per_class) else []),
        *["labels shuffled"] * chosen.shuffle_labels,
        *["labels dealt by recording and scored against themselves"] * bool(chosen.deal_labels),
    ]
    if chosen.is_fitted_at_once:
        return ", ".join([*traits, "fitted at once to standardised summaries of windows"])
    tuned = f"{chosen.optimizer}, each fold's own validation part chooses among {len(chosen.recipes())} recipes"
    traits += (
        [tuned]
        if chosen.trials
        else [
            f"{chosen.optimizer} {chosen.learning_rate:g}",
            "inputs standardised" if chosen.standardize else "inputs as they are",
        ]
    )
    traits += [
        f"tested at the {chosen.select.replace('_', ' ')} epoch"
        if chosen.select == "last"
        else f"tested at the epoch of {chosen.select.replace('_', ' ')}",
    ]
    return ", ".join([*traits, *["dropout active in testing"] * chosen.dropout_at_evaluation])
