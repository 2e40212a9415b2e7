"""Which results the present code or params would compute anew: `python -m beyond_spectrograms.staleness`.

Code, params and results are compared with dvc.lock by `dvc status`, and dvc.lock with itself (what one stage made and
another took), so that a bare clone without data can tell.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beyond_spectrograms.errors import run_stage
from beyond_spectrograms.lock import read_lock
from beyond_spectrograms.params import Params, load_params, weights_of

SCORES = Path("metrics/scores")


@dataclass(frozen=True)
class Suffixes:
    """How names of stages end that are none of the grid's: of its data sets, weights, features, cells."""

    dataset: str = ""
    weights: str = ""
    features: str = ""
    cell: str = ""


def stages_of(dataset: str, representation: str, protocol: str, ends: Suffixes) -> list[str]:
    """Name the stages between a sound and the scores of a cell, in order."""
    return [
        f"download{ends.dataset}@{dataset}",
        f"resample{ends.dataset}@{dataset}",
        f"split{ends.dataset}@{dataset}",
        f"download_weights{ends.weights}@{representation}",
        f"featurize{ends.features}@{dataset}-{representation}",
        f"train{ends.cell}@{dataset}-{representation}-{protocol}",
        f"evaluate{ends.cell}@{dataset}-{representation}-{protocol}",
    ]


def ways_of(params: Params) -> dict[tuple[str, str, str], list[str]]:
    """Name the stages of every cell of the grid, the ablations and the prototypes."""
    ways = {
        (dataset, name, protocol): stages_of(dataset, name, protocol, Suffixes("", suffix, suffix, suffix))
        for product, suffix in ((params.grid, ""), (params.ablations, "_ablation"))
        for dataset in params.grid.datasets
        for name in product.representations
        for protocol in product.protocols
    }
    cells = params.prototypes
    for dataset in cells.datasets:
        of_dataset = "_prototypes" if dataset in cells.further_datasets else ""
        for suffix, protocols in (("_prototypes", cells.protocols), ("_baselines", cells.baselines)):
            ends = Suffixes(of_dataset, "_prototypes", "_prototypes", suffix)
            for name in cells.representations:
                ways |= {(dataset, name, protocol): stages_of(dataset, name, protocol, ends) for protocol in protocols}
        # Latents are the grid's; so are their features, but for further data sets.
        ends = Suffixes(of_dataset, "", "_latent_prototypes" if of_dataset else "", "_latent_prototypes")
        for name in cells.latents:
            for protocol in cells.latent_protocols:
                ways[dataset, name, protocol] = stages_of(dataset, name, protocol, ends)
    return ways


def stale_results(scores: Path = SCORES) -> tuple[dict[str, str], int]:
    """Find the score files that are stale, each with the stages on its way that changed, and what changed of them.

    Returns:
        the stale ones, and how many could be judged: DVC knows no stage for what the grid no longer names.
    """
    params = load_params()
    cells = {path: (path.parent.name, *path.stem.rsplit("-", 1)) for path in sorted(scores.glob("*/*.json"))}
    ways = ways_of(params)
    judged = {path: ways[cell] for path, cell in cells.items() if cell in ways}
    changed = changed_stages(sorted({way[-1] for way in judged.values()})) if judged else {}
    for name, representation in params.representations.items():
        for stage in (
            f"download_weights@{name}",
            f"download_weights_ablation@{name}",
            f"download_weights_prototypes@{name}",
        ):
            if not weights_of(representation) and changed.get(stage) == ["weights"]:
                del changed[stage]  # it tracks all records of weights, and this one needs none
    stale = {}
    for path, way in judged.items():
        if reasons := [f"{stage} ({', '.join(changed[stage])})" for stage in way if stage in changed]:
            stale[str(path)] = f"changed: {', '.join(reasons)}"
    return stale, len(judged)


def changed_stages(targets: Sequence[str]) -> dict[str, list[str]]:
    """Find the changed ones among `targets` and the stages before them, each with what changed: paths or params."""
    command = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", *targets]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own arguments
    if finished.returncode:
        sys.exit(f"`dvc status` failed:\n{finished.stderr}")
    changed: dict[str, list[str]] = {}
    for stage, findings in json.loads(finished.stdout).items():
        changed[stage] = [what for finding in findings for what in _changes(finding)]
    lock = read_lock(Path("dvc.lock"))
    made = {out["path"]: out["md5"] for entry in lock.values() for out in entry.get("outs", [])}
    for stage, entry in lock.items():
        taken = {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}
        others = [path for path, md5 in taken.items() if made.get(path, md5) != md5]
        changed[stage] = list(dict.fromkeys([*changed.get(stage, []), *others]))
    return {stage: what for stage, what in changed.items() if what}


def _changes(finding: Any) -> list[str]:
    """List what one finding of `dvc status` names; data that is merely not here is no change."""
    if isinstance(finding, str):
        return [finding]  # "changed command"
    changes = []
    for state in finding.values():
        for path, how in state.items():
            if isinstance(how, dict):
                changes += list(how)  # entries of params.yaml
            elif how in ("modified", "new"):
                changes.append(path)
    return changes


def main() -> None:
    """Print one line a stale result."""
    stale, judged = stale_results()
    for path, why in stale.items():
        print(f"{path}: stale, {why}")
    count = len(list(SCORES.glob("*/*.json")))
    if not count:
        print(f"no results in {SCORES}: `dvc repro` makes them")
    else:
        print(f"{len(stale)} of {judged} results are stale" if stale else f"all {judged} results are fresh")
    if count > judged:
        print(f"{count - judged} more are not in the grid of params.yaml and were not judged")


if __name__ == "__main__":
    run_stage(main)
