"""Results as text: tables, JSON, CSV, and the label files of Audacity and Praat."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from beyond_spectrograms.inference.batch import Named
from beyond_spectrograms.inference.results import NONE, Classification, Segment, Segmentation
from beyond_spectrograms.util.text import as_cell, printable, printable_json

CLASSIFY_COLUMNS = ("file", "rank", "label", "probability", "seconds", "windows", "remarks", "error")
SEGMENT_COLUMNS = ("start_s", "end_s", "label", "probability")
SILENCE = "(silence)"
UNLABELLED = (SILENCE, f"({NONE})")  # in a label track: what is no class to train on


def file_name(path: Path) -> str:
    """Give a path as text; bytes that are no UTF-8 as escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def describe(named: Named, top: int) -> dict[str, Any]:
    """Make the JSON object of one file."""
    if named.found is None:
        return {"file": file_name(named.path), "error": named.reason}
    found = named.found
    return {
        "file": file_name(named.path),
        "seconds": round(found.seconds, 6),
        "windows": found.windows,
        "labels": describe_labels(found, top),
        "remarks": list(found.remarks),
    }


def describe_labels(found: Classification, top: int) -> list[dict[str, Any]]:
    """Make the JSON objects of the `top` labels of a sound."""
    return [{"label": label, "probability": share and round(share, 6)} for label, share in _answers(found, top)]


def _answers(found: Classification, top: int) -> list[tuple[str, float | None]]:
    """List the `top` labels of a sound, the answer first: NONE has no probability.

    By a model that gives several labels all that pass, whatever `top` is.
    """
    if found.thresholds is not None:
        return [*found.passing] or [(NONE, None)]
    return [*[(NONE, None)] * found.is_none, *found.top(top)][:top]


def classify_rows(named: Named, top: int) -> list[dict[str, Any]]:
    """Make the CSV rows of one file, one a label, best first; of a bad file one with its error."""
    told = describe(named, top)
    if named.found is None:
        return [told]
    labels, remarks = told.pop("labels"), "; ".join(told.pop("remarks"))
    return [{**told, "remarks": remarks, "rank": rank, **label} for rank, label in enumerate(labels, start=1)]


def csv_text(columns: Sequence[str], rows: Sequence[dict[str, Any]], *, header: bool, exact: bool = False) -> str:
    """Write rows as CSV for a spreadsheet (see as_cell) and, unless `exact`, for a terminal too."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        shown = row if exact else {key: printable(cell) if isinstance(cell, str) else cell for key, cell in row.items()}
        writer.writerow({key: as_cell(cell) for key, cell in shown.items()})
    return text.getvalue()


def classify_table(results: Sequence[Named], top: int) -> str:
    """Align files and their labels in columns."""
    rows = []
    for named in results:
        found = named.found
        labels = [] if found is None else _answers(found, top)
        told = (
            "  ".join(f"{_percent(p)} {printable(label)}" for label, p in labels) or f"error: {printable(named.reason)}"
        )
        remarks = map(printable, found.remarks if found else ())
        rows.append((printable(named.path), told + "".join(f"  ({remark})" for remark in remarks)))
    width = max((len(name) for name, _ in rows), default=0)
    return "".join(f"{name:<{width}}  {told}\n" for name, told in rows)


def _percent(probability: float | None) -> str:
    return f"{'':6}" if probability is None else f"{probability:6.1%}"


def json_text(value: Any) -> str:
    """Write JSON as files.write_json does, but for signs that steer a terminal."""
    return f"{printable_json(value, indent=2)}\n"


def segment_rows(found: Segmentation) -> list[dict[str, Any]]:
    """Make a row a segment; the label of silence is empty."""
    rows = map(vars, found.segments)  # start_s, end_s, label, probability
    return [{key: round(told, 6) if isinstance(told, float) else told for key, told in row.items()} for row in rows]


def segment_table(found: Segmentation) -> str:
    """Align segments in columns."""
    lines = [f"{'start':>12}  {'end':>12}  {'':>6}  label"]
    for part in found.segments:
        probability = "" if part.probability is None else f"{part.probability:.1%}"
        label = printable(part.label or SILENCE)
        lines.append(f"{clock(part.start_s):>12}  {clock(part.end_s):>12}  {probability:>6}  {label}")
    return "".join(f"{line}\n" for line in [*lines, *(f"({printable(remark)})" for remark in found.remarks)])


def clock(seconds: float) -> str:
    """Write seconds as h:mm:ss.mmm."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest / 1000:06.3f}"


def describe_segmentation(found: Segmentation) -> dict[str, Any]:
    """Make the JSON object of one sound: its segments and, of every window, the probabilities before smoothing."""
    return {
        "seconds": round(found.seconds, 6),
        "window_s": found.length_s,
        "smoothing": found.smoothing,
        "remarks": list(found.remarks),
        "segments": segment_rows(found),
        "classes": list(found.classes),
        "windows": [
            {"start_s": round(start, 6), "silent": bool(silent), "probabilities": [round(p, 6) for p in row]}
            for start, silent, row in zip(
                found.starts_s.tolist(), found.silent, found.probabilities.tolist(), strict=True
            )
        ],
    }


def audacity_labels(found: Segmentation) -> str:
    """Write an Audacity label track: a line a segment, start, end and label parted by tabs; UNLABELLED are no classes.

    Source: Audacity manual, "Importing and Exporting Labels".
    """
    silence, none = UNLABELLED
    labels = (silence if s.label is None else none if s.probability is None else s.label for s in found.segments)
    return "".join(
        f"{s.start_s:.6f}\t{s.end_s:.6f}\t{_one_line(label)}\n" for s, label in zip(found.segments, labels, strict=True)
    )


def textgrid(found: Segmentation) -> str:
    """Write a Praat TextGrid with one interval tier, `label`; silence has an empty text, as Praat's habit is.

    Of a model that gives several labels each class has a tier of its own, with an empty text where it is not.

    Source: Praat manual, "TextGrid file formats" (the long text form; a quote in a text is doubled).
    """
    end, tiers = _number(found.seconds), _tiers(found)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for place, (name, parts) in enumerate(tiers.items(), start=1):
        lines += [f"    item [{place}]:", '        class = "IntervalTier"', f'        name = "{_quoted(name)}"']
        lines += ["        xmin = 0", f"        xmax = {end}", f"        intervals: size = {len(parts)}"]
        for number, part in enumerate(parts, start=1):
            lines += [f"        intervals [{number}]:", f"            xmin = {_number(part.start_s)}"]
            text = _quoted(part.label or "")
            lines += [f"            xmax = {_number(part.end_s)}", f'            text = "{text}"']
    return "".join(f"{line}\n" for line in lines)


def _tiers(found: Segmentation) -> dict[str, list[Segment]]:
    """Part segments by class where they may overlap, and fill the gaps of each class."""
    if not found.may_overlap:
        return {"label": list(found.segments)}
    tiers: dict[str, list[Segment]] = {}
    for label in found.classes:
        mine = [part for part in found.segments if part.label == label]
        times = [0.0, *(time for part in mine for time in (part.start_s, part.end_s)), found.seconds]
        gaps = [Segment(start, end, None, None) for start, end in zip(times[::2], times[1::2], strict=True)]
        tiers[label] = sorted([*mine, *(gap for gap in gaps if gap.end_s > gap.start_s)], key=lambda part: part.start_s)
    return tiers


def _quoted(label: str) -> str:
    return _one_line(label).replace('"', '""')


SEGMENT_FORMATS: dict[str, Callable[[Segmentation, Path], str]] = {  # of the sound in a file
    "table": lambda found, _: segment_table(found),
    "json": lambda found, file: json_text({"file": file_name(file), **describe_segmentation(found)}),
    "csv": lambda found, _: csv_text(SEGMENT_COLUMNS, segment_rows(found), header=True),
    "audacity": lambda found, _: audacity_labels(found),
    "textgrid": lambda found, _: textgrid(found),
}


def _number(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def _one_line(label: str) -> str:
    return printable(" ".join(label.split()))
