"""Keep copies of whole dvc.locks in .dvc/tmp/locks, and restore one that a kill left cut: DVC writes it in place."""

import fcntl
import re
import subprocess
from pathlib import Path

import yaml

from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.files import write_text
from beyond_spectrograms.util.yaml_files import parse_yaml

TEMPORARY = Path(".dvc/tmp")


def main() -> None:
    TEMPORARY.mkdir(parents=True, exist_ok=True)
    with (TEMPORARY / "lock").open("a") as held:  # DVC holds it whenever it writes a dvc.lock
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for path in filter(Path.is_file, (Path("dvc.lock"), *sorted(Path("studies").glob("*/dvc.lock")))):
            keep_or_restore(path, TEMPORARY / "locks" / path)


def keep_or_restore(path: Path, copy: Path) -> None:
    if b"<<<<<<<" in path.read_bytes():
        print(f"{path}: git's marks of a conflict stand in it; resolve them first")
        return
    found, kept = path.read_bytes(), copy.read_bytes() if copy.is_file() else b""
    if found and found == kept:
        return
    staged = subprocess.run(["git", "show", f":./{path}"], capture_output=True, check=False).stdout  # noqa: S603, S607
    whole = {name: text for name, text in ((str(copy), kept), ("git's index", staged)) if reads(text)}
    if reads(found) and (found == staged or not is_cut(found, list(whole.values()))):
        write_text(copy, found.decode())
    elif source := next(iter(whole), None):
        write_text(path, whole[source].decode())
        print(f"{path}: not whole; restored from {source}")
    else:
        path.unlink()
        print(f"{path}: not whole, and nowhere is a copy; removed")


def reads(text: bytes) -> bool:
    try:
        lock = parse_yaml(text.decode())
        stages = lock["stages"] if lock["schema"] == "2.0" and text.endswith(b"\n") else {}
        return bool(stages) and all(stage["cmd"] for stage in stages.values())
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError):
        return False


def is_cut(text: bytes, known: list[bytes]) -> bool:
    """Say of a lock that reads whether it is the beginning of a known one, or lacks the last stages of all of them."""
    names, *others = (re.findall(rb"^  ([^ -].*):$", each, re.MULTILINE) for each in (text, *known))
    lacks = all(len(names) < len(other) and other[: len(names)] == names for other in others)
    return bool(known) and (lacks or any(other.startswith(text) for other in known))


if __name__ == "__main__":
    run(main)
