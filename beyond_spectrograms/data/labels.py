"""What is told of each sound beside its folder: by a published table, and in data/raw/<dataset>/labels.csv.

Needed where sounds have several labels, or a table rather than a name says which fold or part a sound is in.
"""

import csv
import io
import re
from collections.abc import Container, Mapping
from pathlib import Path

from beyond_spectrograms.params.layouts import LabelTable, Layout
from beyond_spectrograms.util.text import quoted

LABELS_FILE = "labels.csv"
SEVERAL_LABELS = "sounds"  # the folder of files that may have several labels: none is of one class alone
PARTS_IN_TABLES = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}  # theirs -> ours
FOLD = re.compile("[0-9]{1,4}")
Told = dict[str, str]  # label (or several, `owl|rain`) and, where they are published, group, fold and part


class LabelTableError(ValueError):
    """A published table is not what params say; the message is the reason."""


def read_table(text: str, table: LabelTable, known: Container[str] = ()) -> dict[str, Told]:
    """Read what a published table, given as `text`, tells of each file, by the name it has there.

    Args:
        text: CSV.
        table: which columns say what.
        known: files that another table of the data set lists.

    Raises:
        LabelTableError: a column is missing or there twice, a part is none we know, a file stands twice where parts are
            published, or two rows tell two things of it.
    """
    lines = io.StringIO(text, newline="")
    if table.header is None:
        rows = csv.DictReader(lines)
    else:
        rows = csv.DictReader((line for line in lines if line[:1] != "#"), table.header, skipinitialspace=True)
    columns = rows.fieldnames or ()
    asked = {"label": table.label} | ({"fold": table.fold} if table.fold else {})
    for column in (table.file, *asked.values()):
        if column not in columns:
            raise LabelTableError(f"has no column {column!r}, only {', '.join(columns)}")
        if list(columns).count(column) > 1:
            raise LabelTableError(f"has two columns named {column!r}")
    told: dict[str, Told] = {}
    for row in rows:
        file = row[table.file]
        mine = {key: row[column] or "" for key, column in asked.items()}
        if table.part is not None:
            if file in told or file in known:
                raise LabelTableError(f"lists {file} a second time")
            published = row[table.part] if table.part in columns else "test"
            if published not in PARTS_IN_TABLES:
                choices = ", ".join(PARTS_IN_TABLES)
                raise LabelTableError(f"has {table.part} {published!r} of {file}, none of {choices}")
            mine["part"] = PARTS_IN_TABLES[published]
        if told.setdefault(file, mine) != mine:
            raise LabelTableError(f"tells two things of {file}: {told[file]['label']!r} and {mine['label']!r}")
    return told


def check_value(where: str, value: object, layout: Layout) -> str:
    """Give a label, group, fold or part, found at `where` as JSON or a table has it, as text, which may be empty.

    Raises:
        LabelTableError: it is none.
    """
    if isinstance(value, list) and layout.separator and all(isinstance(each, str) and each.strip() for each in value):
        value = layout.separator.join(value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | str)):
        raise LabelTableError(f"has {where} {quoted(value)}, no text and no whole number")
    text = "" if value is None else str(value).strip()
    if text != text.encode(errors="replace").decode():  # JSON may name half of a character
        raise LabelTableError(f"has {where} {quoted(text)}, no text that UTF-8 holds")
    if layout.separator and where == layout.label:
        text = layout.separator.join(each.strip() for each in text.split(layout.separator))
    if text and where == layout.fold and not FOLD.fullmatch(text):
        raise LabelTableError(f"has {where} {quoted(text)}, no number of a fold")
    if text and where == layout.part and text not in PARTS_IN_TABLES:
        raise LabelTableError(f"has {where} {quoted(text)}, none of {', '.join(PARTS_IN_TABLES)}")
    return PARTS_IN_TABLES[text] if text and where == layout.part else text


def write_labels(audio: Path, told: Mapping[str, Told]) -> None:
    """Write labels.csv beside the folder `audio`, a row a sound: its file and what is told of it.

    `told` has that of every clip, <folder>/<file>. `train --labels` takes the table.
    """
    columns = ["file", *next(iter(told.values()))]
    with (audio.parent / LABELS_FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({"file": f"{audio.name}/{clip}", **row} for clip, row in sorted(told.items()))


def read_labels(raw: Path) -> dict[str, Told]:
    """Read what labels.csv of data/raw/<dataset> tells of each clip; nothing where the folder names its one label."""
    if not (raw / LABELS_FILE).exists():
        return {}
    with (raw / LABELS_FILE).open(encoding="utf-8", newline="") as file:
        return {row.pop("file").split("/", 1)[1]: row for row in csv.DictReader(file)}
