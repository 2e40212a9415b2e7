"""Writing whole files or none: everything is written beside its place and renamed into it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it into place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.partial")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends on every system."""
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, indented and in the order given. NaN is refused: it is not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def replace_folder(finished: Path, place: Path) -> None:
    """Rename the folder `finished` to `place`, over what may stand there.

    The old folder is renamed away before it is removed: one that is half removed never stands in `place`.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    replaced = finished.with_name(f"{finished.name}.replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if place.exists():
        place.replace(replaced)
    finished.replace(place)
    shutil.rmtree(replaced, ignore_errors=True)
