"""Guides of docs/, followed in a clone as a reader would: files written, lines changed, commands run.

What is followed are fenced blocks, by what stands behind the three backquotes:

- `yaml datasets/my_sounds.yaml`, any language and a path: a new file, whole;
- `diff params.yaml`: lines of a file that are there once (` ` and `-`) give way to others (` ` and `+`); of a line that
  ends in ` ...` only the beginning is meant;
- `bash`: commands, run from the root of the project;
- `stages`: what the commands before it ran and nothing else, a pattern a line.

Other blocks only show something.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path

from support.clones import ran, run
from support.repository import REPOSITORY

BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(guide: str, folder: Path) -> str:
    """Do what a guide says in a clone; return what its commands printed."""
    said, last = "", ""
    (folder / ".venv").mkdir(exist_ok=True)
    (folder / ".venv/installed").touch()  # `make` installs nothing
    for language, file, text in BLOCK.findall((REPOSITORY / "docs" / guide).read_text(encoding="utf-8")):
        if language == "bash":
            last = run(folder, "bash", "-euo", "pipefail", "-c", text)
            said += last
        elif language == "diff":
            change(folder / file, text)
        elif language == "stages":
            check_stages(ran(last), text.split(), guide)
        elif file:
            assert not (folder / file).exists(), f"{guide}: {file} is there already"
            (folder / file).write_text(text, encoding="utf-8")
    run(folder, "ruff", "check", "beyond_spectrograms")
    run(folder, "ruff", "format", "--check", "beyond_spectrograms")
    return said


def change(path: Path, lines: str) -> None:
    """Apply a block of `diff`."""
    old, new = (
        "\n".join(line[1:].removesuffix(" ...") for line in lines.splitlines() if line[:1] in kept)
        for kept in (" -", " +")
    )
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {text.count(old)} times, not once:\n{old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def check_stages(found: list[str], patterns: list[str], guide: str) -> None:
    surplus = [name for name in found if not any(fnmatchcase(name, pattern) for pattern in patterns)]
    missing = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in found)]
    assert (surplus, missing) == ([], []), f"{guide}: ran beside the stages it names, and did not run of them"
