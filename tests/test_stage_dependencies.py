"""dvc.yaml names every module a stage runs: a missing one would leave results standing that its edit should renew."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PACKAGE = "beyond_spectrograms"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# How files are written, how progress is shown and how errors are printed changes no result; params are tracked by
# value, entry by entry.
NOT_TRACKED = {f"{PACKAGE}/{name}.py" for name in ("__init__", "errors", "files", "params", "progress")}


def imported(path: Path) -> set[Path]:
    """Modules of this project that `path` imports when it runs (not those for types alone)."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    candidates = [ROOT / name.replace(".", "/") for name in names if name.split(".")[0] in (PACKAGE, "stages")]
    files = [
        path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py" for path in candidates
    ]
    return {path for path in files if path.exists()}


def closure(path: Path) -> set[Path]:
    found, todo = set(), {path}
    while todo:
        module = todo.pop()
        found.add(module)
        todo |= imported(module) - found
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_a_stage_runs_is_its_dependency(stage: str) -> None:
    definition = STAGES[stage]
    declared = set(definition["deps"])
    needed = {str(path.relative_to(ROOT)) for path in closure(ROOT / "stages" / f"{stage}.py")} - NOT_TRACKED
    missing = {name for name in needed if name not in declared and str(Path(name).parent) not in declared}
    assert missing == set()
    assert f"stages/{stage}.py" in declared


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_depends_on_a_module_it_does_not_run(stage: str) -> None:
    needed = {str(path.relative_to(ROOT)) for path in closure(ROOT / "stages" / f"{stage}.py")}
    code = {name for name in STAGES[stage]["deps"] if name.endswith(".py")}
    assert code - needed == set()


def test_demo_depends_on_the_cells_that_params_name_and_on_no_other() -> None:
    demo = yaml.safe_load((ROOT / "params.yaml").read_text())["demo"]
    expected = {"data/splits/demo/windows.csv", "metrics/splits/demo.json"}
    for name in demo["representations"]:
        expected |= {f"data/features/demo/{name}/features.npy", f"metrics/features/demo/{name}.json"}
        for protocol in demo["protocols"]:
            expected |= {f"metrics/scores/demo/{name}-{protocol}.json", f"plots/history/demo/{name}-{protocol}.csv"}
    assert {dep for dep in STAGES["demo"]["deps"] if not dep.endswith(".py")} == expected


def test_every_stage_file_is_a_stage() -> None:
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == set(STAGES)
