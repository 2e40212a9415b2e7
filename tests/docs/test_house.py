"""docs/house.md draws the folders and floors as they are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from support.repository import REPOSITORY, tracked

PACKAGE = "beyond_spectrograms"
HOUSE = (REPOSITORY / "docs/house.md").read_text(encoding="utf-8")
CODE = (PACKAGE, "stages", "benchmarks", "verification")
UNNAMED = ("__init__", "__main__")
TRACKED = [Path(name) for name in tracked()]


def block(language: str) -> list[str]:
    return re.split(rf"```{language}\n(.*?)```", HOUSE, flags=re.DOTALL)[1].splitlines()


def drawn() -> dict[str, set[str]]:
    """Read the tree: folder -> the modules named below it."""
    tree: dict[str, str] = {}
    root = folder = ""
    for line in block("text"):
        if named := re.match(r"( {0,2})([\w/]+)/ +\S", line):
            root = root if named[1] else named[2]
            folder = f"{root}/{named[2]}" if named[1] else root
            tree[folder] = ""
        elif line.startswith("    "):
            tree[folder] += line
    return {folder: set(re.findall(r"\w+", re.sub(r"\([^)]*\)", "", names))) for folder, names in tree.items()}


def standing() -> dict[str, set[str]]:
    """List the folders and modules there are: of code all, of the rest the folders in the root and the studies."""
    tree: dict[str, set[str]] = {}
    for path in TRACKED:
        top = path.parts[0]
        if len(path.parts) == 1 or top.startswith("."):
            continue
        tree.setdefault(top, set())
        if top == "studies":
            tree.setdefault("/".join(path.parts[:2]), set())
        if top in CODE and path.suffix == ".py":
            tree.setdefault(path.parent.as_posix(), set()).update({path.stem} - set(UNNAMED))
    return tree


def test_the_drawn_tree_has_every_folder_and_module_and_no_other() -> None:
    told, true = drawn(), standing()
    problems = [f"draw the folder {name}/" for name in sorted(true.keys() - told.keys())]
    problems += [f"take out the folder {name}/" for name in sorted(told.keys() - true.keys())]
    for folder in sorted(true.keys() & told.keys()):
        problems += [f"below {folder}/ name {module}" for module in sorted(true[folder] - told[folder])]
        problems += [f"below {folder}/ take out {module}" for module in sorted(told[folder] - true[folder])]
    assert problems == [], "docs/house.md, The tree: " + "; ".join(problems)


def imports(path: Path) -> Iterator[str]:
    """Name the modules of this project that a file imports, also inside functions, but for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    for node in set(ast.walk(tree)) - {inner for check in checks for inner in ast.walk(check)}:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_packages_import_from_the_floors_below_alone() -> None:
    floors = [line.split(", ") for line in reversed(block("floors"))]
    floor = {name: number for number, names in enumerate(floors) for name in names}
    packages = {path.parts[1] for path in TRACKED if path.parts[0] == PACKAGE and len(path.parts) > 2}
    assert set(floor) == packages, "docs/house.md, The floors: every package stands on one"
    upwards = set()
    for path in (path for path in TRACKED if path.parts[0] == PACKAGE and path.suffix == ".py"):
        mine = path.parts[1]
        if mine not in floor:
            continue  # what keeps public names alive
        for name in imports(REPOSITORY / path):
            top, _, rest = name.partition(".")
            theirs = rest.split(".")[0] if top == PACKAGE else top
            if top in CODE and theirs != mine and floor.get(theirs, len(floors)) >= floor[mine]:
                upwards.add(f"{mine} -> {theirs}: {path}: {name}")
    assert upwards == set(), "docs/house.md, The floors: packages import upwards"
