"""Labels beyond folders: tables that say what is where in recordings, checked as a whole before any work."""

from __future__ import annotations

import csv
import math
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from beyond_spectrograms.data.audio import BadAudioError
from beyond_spectrograms.data.clips import DatasetError, Outcome
from beyond_spectrograms.data.folders import LONGEST_NAME, Copied, shorten, sounds_below
from beyond_spectrograms.data.label_sets import join
from beyond_spectrograms.data.labels import SEVERAL_LABELS
from beyond_spectrograms.data.sound_files import open_sound
from beyond_spectrograms.inference import overlaps
from beyond_spectrograms.inference.cut_clips import EXPORT_COLUMNS, write_part
from beyond_spectrograms.inference.formats import UNLABELLED
from beyond_spectrograms.params.protocols import SEVERAL
from beyond_spectrograms.util.progress import track
from beyond_spectrograms.util.text import from_cell, quoted, some_of

COLUMNS = ("file", "label", "group", "start", "end")
RAVEN = ("Begin Time (s)", "End Time (s)", "Annotation")
TOLD = 20  # wrong rows that a message lists
LONGEST_CELL = 1000  # signs
ROUNDED_S = 1e-3  # by which an end may lie behind the recording's: programs round
ABSOLUTE = "is an absolute path. Give paths below the folder of sounds."


@dataclass(frozen=True)
class Labelled:
    """A row: the recording `path`, or its part from `start_s` to `end_s`, is `label`, which may be a set of labels.

    `file` is the path as the table has it, `where` the line, for messages. Rows of one `group` stay in one part.
    """

    where: str
    file: str
    path: Path
    label: str
    group: str
    start_s: float = 0.0
    end_s: float = math.inf

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole recording."""
        return self.end_s == math.inf

    def clip_in(self, folder: str) -> str:
        """<folder>/<file name> of the clip it becomes; that of a part says where it is."""
        parts = [part for part in PurePosixPath(self.file).parts if part not in ("..", "/")]
        name = "__".join(parts).lstrip(".")
        if not self.is_whole:
            name = f"{name.rpartition('.')[0] or name}_{self.start_s:.9g}-{self.end_s:.9g}s.wav"
        return f"{folder}/{shorten(name)}"


@dataclass(frozen=True)
class LabelledSounds:
    """What a table says: clip -> its row; the clips of sounds with several labels are all in one folder."""

    table: Path
    clips: dict[str, Labelled]
    multi_label: bool


def read_table(path: Path, *columns: str) -> pd.DataFrame:
    """Read a CSV table with these columns, and perhaps others, as text; its index is the line a row ends on.

    Raises:
        DatasetError: no such file, no CSV, or it lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # Excel begins UTF-8 with a mark
            reader = csv.DictReader(file, strict=True)
            rows: dict[int, dict[str, str]] = {}
            for row in reader:
                rows[reader.line_num] = row
            names = list(reader.fieldnames or ())
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None
    except (ValueError, csv.Error) as error:  # ValueError: of another encoding
        raise DatasetError(f"{path}: not a CSV table: {error}") from None
    if long := [line for line, row in rows.items() if max(map(len, _texts(row)), default=0) > LONGEST_CELL]:
        raise DatasetError(f"{path}: line {long[0]} has a cell of over {LONGEST_CELL} signs")
    if len(names) == 1 and ";" in names[0]:
        raise DatasetError(f"{path}: its columns are parted by semicolons. Save it with commas.")
    if missing := [name for name in columns if name not in names]:
        told = some_of(names, 30) or "none"
        raise DatasetError(f"{path}: no column {missing[0]!r}. Its columns are {told}.")
    if double := [name for name in columns if names.count(name) > 1]:
        raise DatasetError(f"{path}: has two columns {double[0]!r}. Remove or rename one.")
    if uneven := [line for line, row in rows.items() if None in row or None in row.values()]:
        raise DatasetError(f"{path}: line {uneven[0]} has not {len(names)} cells, as the first line has")
    return pd.DataFrame.from_dict(rows, orient="index", columns=names, dtype=str).map(from_cell)


def _texts(row: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the cells of a row, those too that it has beyond its columns."""
    for value in row.values():
        yield from (value if isinstance(value, list) else [value or ""])


def read_labels(table: Path, sounds: Path, *, multi_label: bool = False) -> LabelledSounds:
    """Read which recordings, or parts of them, have which label, or which labels.

    `table` is a CSV table with the columns file and label and, where they are needed, group, start and end (seconds);
    segments.csv of `segment --export` is one. Or it is a folder of Audacity's label tracks or Raven's selection tables:
    <name>.txt or <name>.Table.1.selections.txt is that of the one sound in `sounds` called <name>. Paths are those
    below `sounds`, or else beside the table. Rows of one recording (in segments.csv: `source`) are of one group where
    `group` does not say another.

    Several labels of one sound are parted by `|` or stand in a row each. Where a sound has several, or `multi_label`
    says that sounds may, rows may overlap, and parts are cut where labels change.

    Raises:
        DatasetError: all that is wrong in it, with the lines.
    """
    if not sounds.is_dir():
        raise DatasetError(f"{sounds}: no such folder")
    wrong: list[tuple[str, str]] = []
    rows = list(_check_rows(_read_tracks(table, sounds, wrong) if table.is_dir() else _read_csv(table), sounds, wrong))
    multi_label = multi_label or overlaps.have_several(rows)
    rows = list(overlaps.gather(rows, wrong)) if multi_label else rows
    clips: dict[str, Labelled] = {}
    for row in rows:
        clip = row.clip_in(SEVERAL_LABELS if multi_label else row.label)
        if (first := clips.setdefault(clip, row)) is not row:
            wrong.append((row.where, f"{clip} is that of {first.where} too"))
    wrong += [] if multi_label else overlaps.find_overlapping(rows)
    if wrong:
        told = [f"  {where}: {reason}" for where, reason in wrong[:TOLD]]
        more = [f"  and {len(wrong) - TOLD} more"] * (len(wrong) > TOLD)
        raise DatasetError("\n".join([f"{table}: {len(wrong)} of its rows are wrong:", *told, *more]))
    if not clips:
        raise DatasetError(f"{table}: has no row")
    return LabelledSounds(table, clips, multi_label)


Cells = tuple[str, Path, Mapping[str, str]]  # where, the folder beside, the cells by column


def _read_csv(path: Path) -> Iterator[Cells]:
    table = read_table(path, "file", "label")
    # Columns of segments.csv, whose files are cut already, tell nothing of files that are to be cut.
    known = (*COLUMNS, *EXPORT_COLUMNS) if "source" in table.columns else COLUMNS
    if unknown := [name for name in table.columns if name not in known]:
        raise DatasetError(f"{path}: unknown column {quoted(unknown[0])}. There may be {', '.join(COLUMNS)}.")
    for line, cells in zip(table.index, table.to_dict("records"), strict=True):
        yield f"line {line}", path.parent, {str(name): text.strip() for name, text in cells.items()}


def _read_tracks(folder: Path, sounds: Path, wrong: list[tuple[str, str]]) -> Iterator[Cells]:
    """Read the tracks of a folder, each of the one sound that it is named after; what is wrong is added to `wrong`."""
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise DatasetError(f"{folder}: no label track. They end in .txt.")
    named: dict[str, list[str]] = {}
    for path in sounds_below(sounds, Counter()):
        named.setdefault(path.stem, []).append(path.relative_to(sounds).as_posix())
    for path in paths:
        name = re.sub(r"(\.Table\.\d+)?\.selections$", "", path.stem)
        of_name = named.get(name, [])
        if len(of_name) != 1:
            wrong.append((path.name, f"{len(of_name)} sounds in {sounds} are called {name}; it takes one"))
            continue
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except ValueError as error:
            raise DatasetError(f"{path}: not a label track: {error}") from None
        read = _read_selections if lines and RAVEN[0] in lines[0] else _read_labels
        for number, cells in read(lines):
            if isinstance(cells, str):
                wrong.append((f"{path.name}, line {number}", cells))
            else:
                yield f"{path.name}, line {number}", folder, {"file": of_name[0], **cells}


def _read_labels(lines: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Read a label track of Audacity: a line a label, its start, end and text; with a backslash first, its pitch.

    Source: Audacity manual, "Importing and Exporting Labels".
    """
    for number, line in enumerate(lines, start=1):
        cells = line.split("\t")
        if line.strip() and not line.startswith("\\") and not (len(cells) == 3 and cells[2] in UNLABELLED):
            right = len(cells) == 3
            wrong = f"{len(cells)} cells; a label has start, end and label, parted by tabs"
            yield number, dict(zip(("start", "end", "label"), cells, strict=True)) if right else wrong


def _read_selections(lines: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Read a selection table of Raven: cells parted by tabs under names, a line a selection and view.

    A quote is a sign like any other.

    Source: Raven Pro User's Manual, chapter 6, "Selections, Measurements, and Annotations".
    """
    seen: set[str | None] = set()
    reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # a cell of over 131,072 signs
            yield reader.line_num + 1, f"not a selection table: {error}"
            return
        if absent := [name for name in RAVEN if row.get(name) is None]:
            yield reader.line_num, f"no {absent[0]!r}; a selection has {', '.join(RAVEN)}"
        elif (selection := row.get("Selection")) is None or selection not in seen:  # else of another view
            seen.add(selection)
            yield reader.line_num, dict(zip(("start", "end", "label"), (row[name] for name in RAVEN), strict=True))


def _check_rows(cells: Iterable[Cells], sounds: Path, wrong: list[tuple[str, str]]) -> Iterator[Labelled]:
    """Check row by row; what is wrong is added to `wrong`."""
    lengths: dict[Path, float] = {}
    for where, beside, row in cells:
        file, labels = row["file"].removeprefix("./"), [label.strip() for label in row["label"].split(SEVERAL)]
        found = [path for path in (sounds / file, beside / file) if file and _is_file(path)]
        start, end = row.get("start", ""), row.get("end", "")
        try:
            start_s, end_s = (float(start or "0"), float(end or "inf")) if start or end else (0.0, math.inf)
        except ValueError:
            start_s = end_s = math.nan
        if not file:
            wrong.append((where, "no file"))
        elif file.startswith("/"):
            wrong.append((where, f"{file} {ABSOLUTE}"))
        elif not found:
            wrong.append((where, f"{file}: no such file"))
        elif problem := next(filter(None, map(problem_of_label, labels)), ""):
            wrong.append((where, problem))
        elif bool(start) != bool(end):
            wrong.append((where, "start and end go together; give both or none"))
        elif not 0 <= start_s < end_s or (end and end_s == math.inf):
            wrong.append((where, f"start {start} and end {end}: an end is after its start, and both are seconds"))
        elif end and end_s > (length := _length(found[0], lengths)) + ROUNDED_S:
            wrong.append((where, f"end {end} is behind the end of {file}, {length:.3f} s"))
        else:
            group = row.get("group") or row.get("source") or found[0].resolve().as_posix()
            yield Labelled(where, file, found[0], join(labels), group, start_s, end_s)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is longer than any file's
        return False


def problem_of_label(label: str) -> str:
    """Say why a label cannot name a class, whose sounds are kept in a folder of that name; empty where it can."""
    if not label:
        return "no label"
    if "/" in label or "\0" in label or label.startswith(".") or len(label.encode()) > LONGEST_NAME:
        return f"label {label!r}: has a / or begins with a dot or is over {LONGEST_NAME} bytes long"
    return ""


def _length(path: Path, known: dict[Path, float]) -> float:
    """Give the seconds that a header promises; infinite where it does not say, or cannot be read: cutting tells."""
    if path not in known:
        known[path] = math.inf
        try:
            with open_sound(path) as sound:
                if sound.promised is not None:
                    known[path] = sound.promised / sound.sample_rate
        except BadAudioError:
            pass
    return known[path]


def describe_rows(labelled: Mapping[str, Labelled], sounds: Path) -> Copied:
    """Say of rows what copy_sounds says of folders; left out are the sounds that no row names."""
    named = {row.path.resolve() for row in labelled.values()}
    unnamed = sum(path.resolve() not in named for path in sounds_below(sounds, Counter()))
    left_out = {"sounds that no row names": unnamed} if unnamed else {}
    return Copied(left_out, {clip: row.file for clip, row in labelled.items()})


def write_clips(labelled: Mapping[str, Labelled], raw: Path) -> list[Outcome]:
    """Copy or cut every row's clip to raw/; of a recording only the parts that rows name are read.

    Returns:
        those that could not be, with the reason.
    """
    failed = []
    by_path: dict[Path, list[str]] = {}
    for clip, row in labelled.items():
        (raw / clip).parent.mkdir(parents=True, exist_ok=True)
        by_path.setdefault(row.path, []).append(clip)
    for path, clips in track(by_path.items(), "cut clips", len(by_path)):
        for clip in (clip for clip in clips if labelled[clip].is_whole):
            shutil.copyfile(path, raw / clip)
        parts = sorted((clip for clip in clips if not labelled[clip].is_whole), key=lambda clip: labelled[clip].start_s)
        try:
            if parts:
                with open_sound(path) as sound:
                    for clip in parts:
                        row = labelled[clip]
                        first, end = (round(seconds * sound.sample_rate) for seconds in (row.start_s, row.end_s))
                        write_part(sound, first, min(end, sound.promised or end), raw / clip)
        except BadAudioError as error:
            failed += [Outcome(clip, "", str(error)) for clip in parts]
            for clip in parts:
                (raw / clip).unlink(missing_ok=True)
    return failed
