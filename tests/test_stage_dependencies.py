"""dvc.yaml names every module a stage runs: a missing one would leave results standing that its edit should renew."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from beyond_spectrograms.params.protocols import FAMILIES as PLACES
from beyond_spectrograms.prototypes import FAMILIES

ROOT = Path(__file__).parent.parent
PACKAGE = "beyond_spectrograms"
FAMILIES_FOLDER = ROOT / PACKAGE / "prototypes"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# How files are written, how progress is shown, how errors are printed and what a run is foretold to cost changes no
# result; params are tracked by value, entry by entry.
UNSEEN = ("__init__", "errors", "files", "memory", "progress")
NOT_TRACKED = {f"{PACKAGE}/{name}.py" for name in UNSEEN} | {
    str(path.relative_to(ROOT))
    for folder in ("foretelling", "params")
    for path in (ROOT / PACKAGE / folder).glob("*.py")
}

OUTSIDE = {"bench", "compare", "estimate", "locks", "scale"}  # nothing in the pipeline reads what they write


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


def module_of(stage: str) -> str:
    """Name the module a stage's command runs."""
    return str(STAGES[stage]["cmd"]).split()[2].removeprefix("stages.")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_module_of_its_name(stage: str) -> None:
    assert STAGES[stage]["cmd"].startswith("python -m stages.")
    assert re.sub("_(ablation|baselines|demo|latents|(latent_)?prototypes)$", "", stage) == module_of(stage)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.endswith("_ablation")])
def test_an_ablation_differs_from_its_stage_in_the_cells_alone(stage: str) -> None:
    whole, ablation = dict(STAGES[module_of(stage)]), dict(STAGES[stage])
    axes, of_ablation = whole.pop("matrix"), ablation.pop("matrix")
    assert ablation == whole
    assert of_ablation == {
        axis: where if axis == "dataset" else f"${{ablations.{axis}s}}" for axis, where in axes.items()
    }


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_a_stage_runs_is_its_dependency(stage: str) -> None:
    definition = STAGES[stage]
    declared = set(definition["deps"])
    needed = {str(path.relative_to(ROOT)) for path in closure(ROOT / "stages" / f"{module_of(stage)}.py")} - NOT_TRACKED
    missing = {name for name in needed if not declared & {name, *map(str, Path(name).parents)}}
    assert missing == set()
    assert f"stages/{module_of(stage)}.py" in declared


def code_of_families(stage: str) -> set[str]:
    """Name the files of the families that a stage finds by name: those whose place is the stage's."""
    if stage.split("_", maxsplit=1)[0] not in ("train", "evaluate"):
        return set()
    place = f"prototypes.{'protocols' if stage.endswith('_prototypes') else stage.rsplit('_', maxsplit=1)[-1]}"
    mine = [FAMILIES[name] for name, places in PLACES.items() if place in places]
    return {str(path.relative_to(ROOT)) for family in mine for path in family.code}


def test_a_family_names_all_files_that_decide_its_results() -> None:
    for family in FAMILIES.values():
        run = {path for each in family.code for path in closure(each) if path.parent == FAMILIES_FOLDER}
        assert run == set(family.code)


@pytest.mark.parametrize(
    "stage",
    ["train", "train_prototypes", "train_latent_prototypes", "train_baselines",
     "evaluate", "evaluate_prototypes", "evaluate_latent_prototypes", "evaluate_baselines"],
)  # fmt: skip
def test_stages_depend_on_the_families_that_may_stand_there_and_on_no_other(stage: str) -> None:
    declared = {name for name in STAGES[stage]["deps"] if (ROOT / name).parent == FAMILIES_FOLDER}
    assert declared == code_of_families(stage)
    assert bool(declared) == ("_" in stage)


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_depends_on_a_module_it_does_not_run(stage: str) -> None:
    needed = {str(path.relative_to(ROOT)) for path in closure(ROOT / "stages" / f"{module_of(stage)}.py")}
    needed |= code_of_families(stage)
    code = {name for name in STAGES[stage]["deps"] if name.endswith(".py")}
    assert code - needed == set()


def test_demo_depends_on_the_cells_that_params_name_and_on_no_other() -> None:
    demo = yaml.safe_load((ROOT / "params.yaml").read_text())["demo"]
    expected = {"data/splits/demo/windows.csv", "metrics/splits/demo.json"}
    for name in demo["representations"]:
        expected |= {f"data/features/demo/{name}/features.npy", f"metrics/features/demo/{name}.json"}
        expected |= {f"metrics/costs/demo/{name}.json"}
        for protocol in demo["protocols"]:
            expected |= {f"metrics/{kind}/demo/{name}-{protocol}.json" for kind in ("scores", "training")}
            expected |= {f"plots/{kind}/demo/{name}-{protocol}.csv" for kind in ("history", "recordings")}
    code = ("beyond_spectrograms/", "stages/")
    assert {dep for dep in STAGES["demo"]["deps"] if not dep.startswith(code)} == expected


def test_the_demos_page_depends_on_the_cells_that_params_name_and_on_no_other() -> None:
    demo = yaml.safe_load((ROOT / "params.yaml").read_text())["demo"]
    expected = set()
    for name in demo["representations"]:
        expected |= {f"metrics/features/demo/{name}.json"}
        for protocol in demo["protocols"]:
            expected |= {f"metrics/{kind}/demo/{name}-{protocol}.json" for kind in ("scores", "training")}
            expected |= {
                f"plots/{kind}/demo/{name}-{protocol}.csv" for kind in ("history", "predictions", "recordings")
            }
    deps = [dep for dep in STAGES["page_demo"]["deps"] if dep.startswith(("metrics/", "plots/"))]
    assert {dep for dep in deps if dep.count("/") == 3} == expected
    assert "metrics/demo" in deps  # its tables and claims


@pytest.mark.parametrize(
    ("stage", "lists"),
    [("ablate", ["protocols", "baselines"]), ("ablate_latent_prototypes", ["latent_protocols"])],
)
def test_a_table_of_prototypes_tracks_the_protocols_it_tabulates_and_no_other(stage: str, lists: list[str]) -> None:
    prototypes = yaml.safe_load((ROOT / "params.yaml").read_text())["prototypes"]
    tracked = {name for name in STAGES[stage]["params"] if name.startswith("protocols")}
    assert tracked == {f"protocols.{name}" for each in lists for name in prototypes[each]}


def test_dvc_lock_stays_under_a_megabyte() -> None:
    assert (ROOT / "dvc.lock").stat().st_size < 1_000_000


def test_every_stage_file_is_a_stage_or_looks_at_the_pipeline_from_outside() -> None:
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == set(map(module_of, STAGES)) | OUTSIDE
