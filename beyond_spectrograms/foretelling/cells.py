"""Which cells `dvc repro` runs: the products of data sets, representations and protocols that dvc.yaml lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from beyond_spectrograms.params.protocols import FAMILIES

if TYPE_CHECKING:
    from beyond_spectrograms.params import Params

PIPELINE = Path("dvc.yaml")
STAGES = ("resample", "split", "featurize", "train", "evaluate")  # those that are foretold
DEFAULT_CLASSES = 10  # of a data set whose params do not tell


@dataclass(frozen=True)
class Cell:
    """One stage of one cell.

    Attributes:
        stage: one of STAGES.
        target: name for `dvc repro`.
        axes: its data set, and where the stage has them representation and protocol, in the order of its arguments.
    """

    stage: str
    target: str
    axes: tuple[str, ...]

    @property
    def dataset(self) -> str:
        """Name the data set."""
        return self.axes[0]


def list_cells(params: Params, pipeline: Path = PIPELINE) -> list[Cell]:
    """List STAGES for every cell of the pipeline, in the order in which dvc.yaml has them."""
    stages = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"]
    return [cell for name, stage in stages.items() if "matrix" in stage for cell in _cells(params, name, stage)]


def _cells(params: Params, name: str, stage: dict[str, Any]) -> Iterator[Cell]:
    module = stage["cmd"].split()[2].removeprefix("stages.")
    if module not in STAGES:
        return
    for axes in product(*(_values(params, axis) for axis in stage["matrix"].values())):
        yield Cell(module, f"{name}@{'-'.join(axes)}", axes)


def _values(params: Params, axis: str) -> list[str]:
    """Look up a list that dvc.yaml names as ${section.key}."""
    section, key = axis.removeprefix("${").removesuffix("}").split(".")
    values: list[str] = getattr(getattr(params, section), key)
    return values


@dataclass(frozen=True)
class Recipe:
    """What decides how long a window takes to be trained on and tested.

    Attributes:
        classes: 0 for classifiers it hardly matters to.
        prototypes: transformations, and prototypes per class and their frames; empty for other classifiers.
    """

    representation: str
    classifier: str
    classes: int
    prototypes: tuple[str, ...]

    def __str__(self) -> str:
        more = [*self.prototypes, *([f"{self.classes} classes"] if self.classes else [])]
        return self.classifier + (f" ({', '.join(more)})" if more else "")


def recipe_of(params: Params, cell: Cell) -> Recipe:
    """Find the recipe of a cell of train or evaluate."""
    dataset, representation, protocol = cell.axes
    record = params.protocols[protocol]
    # Families compare a window with as many prototypes or centres as there are classes, or some times as many.
    classes = (params.datasets[dataset].source.classes or DEFAULT_CLASSES) if record.classifier in FAMILIES else 0
    prototypes: tuple[str, ...] = ()
    if (settings := record.prototypes) is not None:
        prototypes = (f"{settings.per_class} of {settings.frames} frames a class", *settings.transformations)
    return Recipe(representation, record.classifier, classes, prototypes)
