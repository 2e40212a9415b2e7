"""Audio folders in the layout of the Hugging Face hub -> which files are sounds, and what is told of each.

Sounds are said by metadata.csv or metadata.jsonl, whose file names are relative to their own folder, or else lie in
folders named for their label. Folders train, validation and test may stand above either. Source: the documentation of
`datasets`, "Create an audio dataset", "AudioFolder".
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from beyond_spectrograms.data.folders import READ, RawDataError, check_names, is_hidden, kind_of, name_of_copy
from beyond_spectrograms.data.labels import PARTS_IN_TABLES, LabelTableError, Told, check_value
from beyond_spectrograms.params.layouts import BY_FOLDERS, Layout
from beyond_spectrograms.util.storage.places import Entry, Place
from beyond_spectrograms.util.text import quoted, some_of

METADATA = ("metadata.csv", "metadata.jsonl")
FILE = "file_name"  # the column that names the sound
MOST_METADATA_BYTES = 2**28
SHOWN = 5  # bad rows in a message


@dataclass(frozen=True)
class Sound:
    """A sound of a folder: where it is there, what its copy is named, and what is told of it."""

    entry: Entry
    file: str
    told: Told


def list_audio_folder(place: Place, layout: Layout) -> tuple[list[Sound], dict[str, int]]:
    """Find the sounds of a folder by its metadata or its folders, and count by kind the files that are none of them.

    Raises:
        RawDataError: there is no sound; rows of metadata that say no file that is there, or no label, with their
            numbers; two sounds for one place; folders of parts are asked for and not there.
        StorageError: the place does not answer.
    """
    left_out, there = Counter[str](), dict[str, Entry]()
    for entry in place.entries():
        is_table = PurePosixPath(entry.name).name in METADATA
        if is_hidden(entry.name) or not (is_table or entry.name.lower().endswith(READ)):
            left_out[kind_of(entry.name)] += 1
        else:
            check_names(place.url, entry.name)
            there[entry.name] = entry
    tables = sorted(name for name in there if PurePosixPath(name).name in METADATA)
    sounds = {name: entry for name, entry in there.items() if name not in tables}
    split = bool(sounds) and all("/" in name and name.split("/")[0] in PARTS_IN_TABLES for name in sounds)
    if layout.part == BY_FOLDERS and not split:
        names = ", ".join(PARTS_IN_TABLES)
        raise RawDataError(f"{place.url}: part is by folders, but not all sounds are in folders named {names}.")
    if layout.label is None:
        found = {name: _by_folder(place, name, int(split)) for name in sounds}
    elif tables:
        found = _by_metadata(place, [there[name] for name in tables], sounds, layout)
        left_out["not in metadata"] += len(sounds.keys() - found.keys())
    else:
        names = " and no ".join(METADATA)
        raise RawDataError(f"{place.url}: has no {names}, whose column {layout.label!r} is to be the label.")
    if not found:
        raise RawDataError(f"{place.url}: no sound in it. Sounds end in {', '.join(READ)}.")
    listed = []
    for name, (inside, told) in sorted(found.items()):
        part: Told = {"part": PARTS_IN_TABLES[name.split("/")[0]]} if layout.part == BY_FOLDERS else {}
        listed.append(Sound(sounds[name], name_of_copy(inside), told | part))
    return listed, dict(sorted((+left_out).items()))


def _by_folder(place: Place, name: str, above: int) -> tuple[str, Told]:
    """Take the label from the folder below `above` others; give the copy's name, before it is shortened, and that."""
    parts = name.split("/")
    if len(parts) < above + 2:
        raise RawDataError(f"{place.url}: {name} is in no folder named for its label.")
    return "/".join([*parts[:above], *parts[above + 1 :]]), {"label": parts[above]}


def _by_metadata(
    place: Place, tables: list[Entry], sounds: dict[str, Entry], layout: Layout
) -> dict[str, tuple[str, Told]]:
    found: dict[str, tuple[str, Told]] = {}
    faults = []
    folders = Counter(PurePosixPath(table.name).parent for table in tables)
    for table in tables:
        folder = PurePosixPath(table.name).parent
        if folders[folder] > 1:
            raise RawDataError(f"{place.url}: has {' and '.join(METADATA)} in one folder. Take one away.")
        for line, row in _rows(place, table):
            try:
                name, told = _read_row(row, folder, layout)
                if name not in sounds:
                    raise LabelTableError(f"names {quoted(row[FILE])}, and there is no such sound")
                if name in found:
                    raise LabelTableError(f"names {quoted(row[FILE])} a second time")
                found[name] = name, told
            except LabelTableError as error:
                faults.append(f"{table.name}, line {line} {error}")
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise RawDataError(f"{place.url}: {'; '.join(faults[:SHOWN])}{more}.")
    return found


def _read_row(row: Any, folder: PurePosixPath, layout: Layout) -> tuple[str, Told]:
    """Read which sound a row is of, and what it tells.

    Raises:
        LabelTableError: it says no sound, or lacks a label or what else is asked for.
    """
    if not isinstance(row, dict):
        raise LabelTableError("is no row of such columns" if row is None else f"is no JSON object: {quoted(row)}")
    file = row.get(FILE)
    if not isinstance(file, str) or not file:
        raise LabelTableError(f"has no {FILE}")
    if file.startswith("/") or ".." in file.split("/"):
        raise LabelTableError(f"names {quoted(file)}, an absolute or parent path")
    told = {what: check_value(where, row.get(where), layout) for what, where in layout.told.items()}
    if lacking := [layout.told[what] for what, value in told.items() if not value]:
        raise LabelTableError(f"has no {' and no '.join(lacking)}")
    return (folder / file).as_posix(), told


def _rows(place: Place, table: Entry) -> Iterator[tuple[int, Any]]:
    """Yield the rows of metadata with the numbers of their lines; None for one that is none."""
    where = place.tell(table.name)
    if table.size > MOST_METADATA_BYTES:
        raise RawDataError(f"{where}: has {table.size} bytes; of metadata at most {MOST_METADATA_BYTES} are read.")
    try:
        text = place.read(table.name, size=table.size).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RawDataError(f"{where}: is no UTF-8 text, at byte {error.start}.") from None
    if table.name.endswith(".jsonl"):
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield number, _json(line)
        return
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        columns = list(rows.fieldnames or ())
        if FILE not in columns or len(set(columns)) < len(columns):
            raise RawDataError(f"{where}: needs a column {FILE}, and none twice; has {some_of(columns) or 'none'}.")
        for row in rows:
            yield rows.line_num, None if None in row or None in row.values() else row
    except csv.Error as error:
        raise RawDataError(f"{where}, line {rows.line_num + 1}: {error}.") from None


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line
