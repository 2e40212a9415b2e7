"""Which cells a study's pipeline runs: the products of its data sets, representations and protocols."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from beyond_spectrograms.params.protocols import RECONSTRUCTING

if TYPE_CHECKING:
    from beyond_spectrograms.params import Params
    from beyond_spectrograms.params.study import Study

STAGES = ("resample", "split", "featurize", "train")  # those that are foretold; the others take seconds
DEFAULT_CLASSES = 10  # of a data set whose params do not tell


@dataclass(frozen=True)
class Cell:
    """What one stage does for one cell.

    Attributes:
        stage: one of STAGES.
        axes: its data set, and where the stage has them representation and protocol.
        done: whether its output is here; of weights, whether they are of the params and versions that stand now.
    """

    stage: str
    axes: tuple[str, ...]
    done: bool = False

    @property
    def dataset(self) -> str:
        """Name the data set."""
        return self.axes[0]


def list_cells(study: Study) -> Iterator[Cell]:
    """List STAGES for every cell of the study, by data set."""
    from beyond_spectrograms.params.study import CLIPS, SPLITS

    for dataset in study.params.grid.datasets:
        yield Cell("resample", (dataset,), (CLIPS / dataset / "clips.csv").exists())
        yield Cell("split", (dataset,), (SPLITS / dataset / "parts.csv").exists())
        for name in study.params.grid.representations:
            done = (study.features(dataset, name) / "features.npy").exists()
            yield Cell("featurize", (dataset, name), done)
        for name, protocol in study.params.grid.cells():
            yield Cell("train", (dataset, name, protocol), study.is_trained(dataset, name, protocol))


HUNGRY = (*RECONSTRUCTING, "temporal_cnn")  # classifiers that the number of classes matters to


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
    """Find the recipe of a cell of train."""
    dataset, representation, protocol = cell.axes
    record = params.protocols[protocol]
    # Families compare a window with as many prototypes or centres as there are classes, or some times as many.
    classes = (params.datasets[dataset].source.classes or DEFAULT_CLASSES) if record.classifier in HUNGRY else 0
    prototypes: tuple[str, ...] = ()
    if (settings := record.prototypes) is not None:
        prototypes = (f"{settings.per_class} of {settings.frames} frames a class", *settings.transformations)
    return Recipe(representation, record.classifier, classes, prototypes)
