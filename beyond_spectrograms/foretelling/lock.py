"""Which stages of the pipeline stand as the present code and params would leave them, by dvc.lock alone.

A quick look for estimates: `dvc status` (`make stale`) is the judge, and takes minutes for the whole grid. Data are not
hashed: an output that is there is taken for the one the lock names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

CODE = ("stages/", "beyond_spectrograms/")


def finished_stages(root: Path = Path()) -> set[str]:
    """List the stages of root/dvc.lock that need not run: names as `dvc repro` takes them.

    Such a stage has its outputs in place, was run with the params and the code that stand now, took what the stages
    before it made last, and these need not run either.
    """
    path = root / "dvc.lock"
    if not path.exists():
        return set()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is there
    lock = yaml.load(path.read_text(encoding="utf-8"), loader)["stages"]  # noqa: S506  both are safe loaders
    params = yaml.load((root / "params.yaml").read_text(encoding="utf-8"), loader)  # noqa: S506
    makers = {out["path"]: (stage, out["md5"]) for stage, entry in lock.items() for out in entry.get("outs", [])}
    digests: dict[str, str] = {}

    def stands(entry: Mapping[str, Any]) -> bool:
        return (
            all((root / out["path"]).exists() for out in entry.get("outs", []))
            and all(
                _value(params, key) == value
                for values in entry.get("params", {}).values()
                for key, value in values.items()
            )
            and all(unchanged(dep["path"], dep["md5"]) for dep in entry.get("deps", []))
        )

    def unchanged(dep: str, md5: str) -> bool:
        if dep.startswith(CODE):
            if dep not in digests:
                digests[dep] = _digest(root / dep)
            return digests[dep] == md5
        return dep not in makers or makers[dep][1] == md5

    standing = {stage for stage, entry in lock.items() if stands(entry)}
    before = {
        stage: {maker for dep in entry.get("deps", []) for maker in _makers(dep["path"], makers)}
        for stage, entry in lock.items()
    }
    while dropped := {stage for stage in standing if not before[stage] <= standing}:
        standing -= dropped
    return standing


def _makers(dep: str, makers: Mapping[str, tuple[str, str]]) -> set[str]:
    """Name the stage that makes `dep`, or those that write inside it."""
    if dep in makers:
        return {makers[dep][0]}
    if dep.startswith(CODE):
        return set()
    return {stage for path, (stage, _) in makers.items() if path.startswith(f"{dep}/")}


def _value(params: Any, key: str) -> Any:
    """Look up a dotted key; None where there is none."""
    for part in key.split("."):
        params = params.get(part) if isinstance(params, dict) else None
    return params


def _digest(path: Path) -> str:
    """Give DVC's digest of a file, or of a folder of code: of the list of its files' digests."""
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    entries = [{"md5": _digest(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
