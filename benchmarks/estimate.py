"""Print what `dvc repro` would take, by the rates that earlier runs recorded in data/rates.json; runs nothing."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from joblib import cpu_count

from beyond_spectrograms.data.audio import window_starts
from beyond_spectrograms.data.windows import PARTS, columns_of, has_features, read_parts
from beyond_spectrograms.estimates.preparation import RESAMPLING, disturbance_key, extraction_key
from beyond_spectrograms.estimates.timing import RATES, Estimate, Rate, amount, read_rates, roughly
from beyond_spectrograms.estimates.training import estimate_runs, most_epochs, training_key
from beyond_spectrograms.params.datasets import SplitLists
from beyond_spectrograms.params.study import CLIPS, PAPER, SPLITS, list_studies, load_study
from beyond_spectrograms.report.table import Row, Table, texts, to_markdown
from beyond_spectrograms.training.epoch import choose_precision
from beyond_spectrograms.util.commands import run

if TYPE_CHECKING:
    from beyond_spectrograms.params import Params, Source, Split
    from beyond_spectrograms.params.study import Study

PUBLISHED_FOLDS = 5  # of ESC-10 and ESC-50; counted once the data is here
DEFAULT_CLASSES = 10  # of a data set whose record does not say


@dataclass(frozen=True)
class Cell:
    """What one of the long stages (resample, featurize, train, disturb) does for a data set, representation, protocol.

    Attributes:
        axes: its data set, and where the stage has them representation and protocol.
        done: whether its output is here; of weights, whether they are of the params and versions that stand now.
    """

    stage: str
    axes: tuple[str, ...]
    done: bool = False


@dataclass(frozen=True)
class Counts:
    """What a data set holds.

    Attributes:
        clips: usable files.
        audio_s: seconds of sound in them.
        windows: rows of the table of windows.
        splits: for each split the windows of (train, validation, test), a tuple a fold.
        origin: where the counts come from, in words.
    """

    clips: int
    audio_s: float
    windows: int
    splits: Mapping[str, tuple[tuple[int, int, int], ...]]
    origin: str


def list_cells(study: Study) -> Iterator[Cell]:
    """List what the long stages do in a study, by data set."""
    grid = study.params.grid
    for dataset in grid.datasets:
        yield Cell("resample", (dataset,), (CLIPS / dataset / "clips.csv").exists())
        for name in grid.representations:
            yield Cell("featurize", (dataset, name), has_features(study.features(dataset, name)))
        for name, protocol in grid.cells():
            yield Cell("train", (dataset, name, protocol), study.is_trained(dataset, name, protocol))
        for name in grid.representations if study.params.disturbances else ():
            asked = product(grid.protocols_of(name), study.params.disturbances)
            yield Cell("disturb", (dataset, name), all(study.is_trained(dataset, name, *each) for each in asked))


def count_dataset(params: Params, dataset: str, root: Path = Path()) -> Counts | None:
    """Count a data set: from data/splits, else from data/clips, else from params; None where nothing says."""
    source, cut = params.datasets[dataset].source, params.windows_of(dataset)
    clips_file, splits = root / CLIPS / dataset / "clips.csv", root / SPLITS / dataset

    def windows_of(seconds: float) -> int:
        return len(window_starts(seconds, cut.length_s, cut.hop_s, cut.tail))

    if clips_file.exists():
        lengths, origin = pd.read_csv(clips_file)["seconds"].tolist(), "the clips"
        if (splits / "parts.csv").exists():
            parts = read_parts(splits)
            dealt = {name: tuple(_sizes(parts[column]) for column in columns_of(name, parts)) for name in params.splits}
            return Counts(len(lengths), sum(lengths), len(parts), dealt, "the table of windows")
    elif source.clips is None:
        return None
    else:
        low, high = source.seconds if source.synthetic is None else (source.synthetic.seconds,) * 2
        lengths = [(low + high) / 2] * (source.clips - len(source.known_bad))
        origin = "params" if low == high else f"params, clips of {low:g} to {high:g} s"
    windows = sum(map(windows_of, lengths))
    dealt = {name: tuple(_deal(split, source, windows)) for name, split in params.splits.items()}
    return Counts(len(lengths), sum(lengths), windows, dealt, origin)


def _sizes(column: pd.Series[str]) -> tuple[int, int, int]:
    train, validation, test = (int((column == part).sum()) for part in PARTS)
    return train, validation, test


def _deal(split: Split, source: Source, windows: int) -> list[tuple[int, int, int]]:
    """Deal the windows as `splits.assign_parts` would, by shares: groups are taken to be small."""
    if split.fractions is not None:
        first, second = (round(share * windows) for share in (split.fractions[0], sum(split.fractions[:2])))
        return [(first, second - first, windows - second)] * len(split.seeds or [split.seed])
    if (lists := source.lists or source.lists_inside) is not None and source.clips is not None:
        held = lists.validation.entries, lists.test.entries
        rest = lists.train.entries if isinstance(lists, SplitLists) else source.clips - sum(held)
        train, validation, test = (round(windows * count / source.clips) for count in (rest, *held))
        return [(train, validation, test)]
    folds = source.folds or PUBLISHED_FOLDS
    of_fold = round(windows / folds)
    return [(windows - 2 * of_fold, of_fold, of_fold)] * folds


def estimate_cell(params: Params, cell: Cell, counts: Counts, rates: Mapping[str, Rate]) -> Estimate | None:
    """Estimate a cell by arithmetic on counts and rates; None where there is no rate of its kind of work."""
    if cell.stage == "resample":
        return _scaled(rates.get(RESAMPLING), counts.audio_s)
    encoding = rates.get(extraction_key(cell.axes[1]))
    if cell.stage == "featurize":
        return _scaled(encoding, counts.windows * params.windows.length_s)
    if cell.stage == "disturb":
        dealt_by = {params.protocols[each].split for each in params.grid.protocols_of(cell.axes[1])}
        tested = sum(test for split in dealt_by for _, _, test in counts.splits[split])
        units = len(params.disturbances) * min(tested, counts.windows) * params.windows.length_s
        return _scaled(rates.get(disturbance_key(cell.axes[1])), units)
    if encoding is None or encoding.shape is None:
        return None
    dataset, representation, name = cell.axes
    protocol, record = params.protocols[name], params.datasets[dataset]
    codes = params.representations[representation].codebook_size is not None
    keys = [
        training_key(protocol, record.source.classes or DEFAULT_CLASSES, encoding.shape, precision, codes=codes)
        for precision in (choose_precision(params.training_precision, "cpu"), "fp32")  # some train in fp32 always
    ]
    rate = next((rates[key] for key in keys if key in rates), None)
    if rate is None:
        return None
    dealt = counts.splits[protocol.split]
    folds = [fold for fold, _ in params.runs_of(dataset, representation, name, len(dealt))]
    if protocol.trials:
        folds += [fold for fold in sorted(set(folds)) for _ in protocol.recipes()[1:]]  # the chosen one is a run too
    if (few := protocol.examples_per_class) is not None:
        of_runs = [round(few * (record.source.classes or DEFAULT_CLASSES) * counts.windows / counts.clips)] * len(folds)
    else:
        of_runs = [round((protocol.training_share or 1) * dealt[fold - 1][0]) for fold in folds]
    epochs = params.epochs_of(dataset, name)
    return estimate_runs([(rate, run * most_epochs(protocol, epochs, run)) for run in of_runs], cpu_count())


def _scaled(rate: Rate | None, units: float) -> Estimate | None:
    if rate is None:
        return None
    share = units / rate.units
    return Estimate(share * rate.seconds, round(share * rate.disk_bytes), rate.memory_bytes)


def estimate_table(
    cells: Iterable[tuple[Cell, Estimate | None]], counts: Mapping[str, Counts | None], *, each: bool
) -> Table:
    """Lay out a row a stage and data set or, if `each`, a row a cell; and the total of what is still to do."""
    cells = list(cells)

    def place(one: tuple[Cell, Estimate | None]) -> tuple[str, str]:
        cell = one[0]
        return cell.stage, "-".join(cell.axes if each else cell.axes[:1])

    rows = [_row(*named, list(group), counts) for named, group in groupby(cells, place)]
    rows.append(_row("all", "to do", cells, {}))
    return Table("What `dvc repro` would take", rows, texts(*rows[0]))


def _row(
    stage: str, name: str, cells: Sequence[tuple[Cell, Estimate | None]], counts: Mapping[str, Counts | None]
) -> Row:
    todo = [estimate for cell, estimate in cells if not cell.done]
    known = [estimate for estimate in todo if estimate is not None]
    counted = counts.get(cells[0][0].axes[0])
    return {
        "stage": stage,
        "of": name,
        "cells": len(cells),
        "done": len(cells) - len(todo),
        "no rate": len(todo) - len(known) or None,
        "time": roughly(sum(one.seconds for one in known)) if known or not todo else None,
        "disk": amount(sum(one.disk_bytes for one in known)) if known else None,
        "memory": amount(max(one.memory_bytes for one in known)) if known else None,
        "windows counted": None if counted is None else f"{counted.windows:,}, from {counted.origin}",
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimate", description=__doc__)
    parser.add_argument("--study", default=PAPER, choices=list_studies(), help="default: %(default)s, the root's own")
    parser.add_argument("--cells", action="store_true", help="a row a cell, not a row a stage and data set")
    options = parser.parse_args(arguments)
    study, rates = load_study(options.study), read_rates()
    counts = {dataset: count_dataset(study.params, dataset) for dataset in study.params.grid.datasets}
    cells = [
        (cell, None if (known := counts[cell.axes[0]]) is None else estimate_cell(study.params, cell, known, rates))
        for cell in list_cells(study)
    ]
    print(to_markdown(estimate_table(cells, counts, each=options.cells)))
    if unknown := sum(one is None and not cell.done for cell, one in cells):
        print(
            f"No rate is known yet of {unknown} cells (--cells shows which): a stage records its rate in {RATES} when "
            "it ends, and measures it in a short pilot where it begins without one."
        )
    print(
        "Times are those of earlier runs, scaled; of training at most, for runs may stop before their last epoch. Done "
        "cells count in no other column. Not in it: downloads, DVC's own time, and stages that take seconds."
    )


if __name__ == "__main__":
    run(main)
