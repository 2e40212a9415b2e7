"""`train` and `classify` as a classifier of scikit-learn: files in, labels out."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from beyond_spectrograms.data.folders import is_hidden
from beyond_spectrograms.inference import own_model, own_sounds
from beyond_spectrograms.inference.batch import classify_files
from beyond_spectrograms.inference.folder import load_model, new_folder
from beyond_spectrograms.inference.label_table import problem_of_label
from beyond_spectrograms.params import Hear, load_all_params
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.progress import quiet

if TYPE_CHECKING:
    from beyond_spectrograms.inference.model import Model

Paths = Sequence[str | Path]


class SoundClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier of sound files: `fit` does what the command `train` does, with its options of the same names.

    Args:
        representation: its name in params.yaml.
        protocol: likewise; how it is trained.
        classifier: in place of the protocol's.
        epochs: at most; the folds decide.
        folds: at most, at least 3. A network is trained in each, for the epochs and `scores_`, then one on all files.
        window: seconds of a window; None is that of params.yaml.
        hop: seconds from one window to the next; None is a window.
        min_seconds: shorter sounds are set aside; None is a tenth of a window.

    Attributes:
        classes_: the labels [classes], sorted.
        scores_: how the folds' classifiers answered to sounds of origins they had not heard, as in scores.json.
        set_aside_: by its path, why a file could not be trained on.
    """

    def __init__(
        self,
        representation: str = "log_mel_2048",
        *,
        protocol: str = "fair",
        classifier: str | None = None,
        epochs: int = 50,
        folds: int = 5,
        window: float | None = None,
        hop: float | None = None,
        min_seconds: float | None = None,
    ) -> None:
        self.representation = representation
        self.protocol = protocol
        self.classifier = classifier
        self.epochs = epochs
        self.folds = folds
        self.window = window
        self.hop = hop
        self.min_seconds = min_seconds

    def fit(self, paths: Paths, labels: Sequence[Any], groups: Sequence[Any] | None = None) -> Self:
        """Train on files. Those of one group (a speaker, a place, an animal) are kept in one fold.

        Files that cannot be trained on are set aside, and a warning says so.

        Raises:
            ValueError: paths are no paths, or not as many as labels and groups.
            ProjectError: a parameter is not known, or the sounds are none that `train` takes.
        """
        if labels is None:
            raise ValueError("fit requires y to be passed, but the target y is None: give a label a file")
        labels = column_or_1d(labels)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        files = _check_paths(paths)
        check_consistent_length(files, labels, groups)
        classes, numbers = np.unique(labels, return_inverse=True)
        names = [_check_name(label) for label in classes.tolist()]
        params = load_all_params()
        for what, name, known in (
            ("representation", self.representation, params.representations),
            ("protocol", self.protocol, params.protocols),
        ):
            if name not in known:
                raise ProjectError(f"{what} is {name!r}. Choose from {', '.join(known)}.")
        seconds = {"window": self.window, "hop": self.hop, "min_seconds": self.min_seconds}
        own_sounds.check_settings(self.folds, self.epochs, seconds)
        params, protocol = own_sounds.choose_classifier(params, self.protocol, self.representation, self.classifier)
        params = own_sounds.adapt_params(params, protocol, window_s=self.window, hop_s=self.hop)
        grouping = own_sounds.Grouping(by_folder=groups is not None)
        with tempfile.TemporaryDirectory() as place, redirect_stdout(io.StringIO()), quiet():
            sounds, work, out, report = (Path(place, name) for name in ("sounds", "work", "model", "report"))
            links = _link(sounds, files, [names[number] for number in numbers], groups)
            record = params.representations[self.representation]
            self._modules = (record.module,) if isinstance(record, Hear) else ()
            prepared = own_sounds.prepare_sounds(
                sounds, work, params, grouping, self.folds, shortest_s=self.min_seconds
            )
            asked = own_model.Asked(self.representation, protocol, self.epochs)
            own_model.train_model(params, asked, sounds=prepared, work=work, out=out, report=report)
            self.scores_ = json.loads((report / "scores.json").read_text(encoding="utf-8"))
            self._files = {path.name: path.read_bytes() for path in out.iterdir()}
        self._model: Model | None = None
        self.classes_, self._columns = classes, [sorted(names).index(name) for name in names]
        self.set_aside_ = {str(links[clip]): reason for clip, reason in prepared.set_aside.items()}
        for path, reason in self.set_aside_.items():
            warnings.warn(f"set aside {path}: {reason}", stacklevel=2)
        return self

    def predict(self, paths: Paths) -> npt.NDArray[Any]:
        """Give the most probable label of each file [files].

        Raises:
            ProjectError: some cannot be classified; all of them are named with the reason.
        """
        probabilities = self.predict_proba(paths)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def predict_proba(self, paths: Paths) -> npt.NDArray[np.float32]:
        """Give the probabilities [files, classes] of each file, the mean over its windows, in the order of `classes_`.

        Raises:
            ProjectError: as `predict`.
        """
        check_is_fitted(self)
        found = list(classify_files(self.model(), _check_paths(paths)))
        if bad := [f"{named.path}: {named.reason}" for named in found if named.reason]:
            raise ProjectError("\n".join(bad))
        return np.stack([named.found.probabilities for named in found if named.found])[:, self._columns]

    def model(self) -> Model:
        """Give the trained model, which also segments (`load_model` gives such)."""
        check_is_fitted(self)
        if self._model is None:
            with tempfile.TemporaryDirectory() as place:
                self._write(Path(place))
                self._model = load_model(place, allowed_modules=self._modules)
        return self._model

    def save(self, folder: str | Path) -> None:
        """Write the trained model as a folder, as `train` does.

        Raises:
            ModelError: the place is taken.
        """
        check_is_fitted(self)
        with new_folder(Path(folder)) as beside:
            self._write(beside)

    def _write(self, folder: Path) -> None:
        for name, content in self._files.items():
            (folder / name).write_bytes(content)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the model's files alone, which are loaded again when they are needed."""
        state: dict[str, Any] = super().__getstate__()
        return state | {"_model": None} if "_model" in state else state

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that inputs are one path a sample."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array, tags.input_tags.string = True, False, True
        return tags


def _check_paths(paths: Iterable[Any]) -> list[Path]:
    if isinstance(paths, str | Path):
        raise ValueError(f"paths is {str(paths)!r}, one path; give a list of them")
    files = list(paths)
    if strange := [path for path in files if not isinstance(path, str | Path)]:
        raise ValueError(f"paths are str or Path; one is of {type(strange[0]).__name__}")
    if not files:
        raise ValueError("paths are none; give one at least")
    return list(map(Path, files))


def _check_name(label: Any) -> str:
    """Give a label as the name of a class, which is that of a folder."""
    name = str(label)
    if problem := problem_of_label(name):
        raise ValueError(problem)
    if is_hidden(name):
        raise ValueError(f"label {name!r}: a folder of that name is left out, for systems make it. Choose another.")
    return name


def _link(folder: Path, files: Sequence[Path], names: Sequence[str], groups: Sequence[Any] | None) -> dict[str, Path]:
    """Lay files out as `train` takes them, folder/<class>/ or folder/<class>/<group>/, by links.

    Returns:
        clip, as prepare_sounds names it -> its file.

    Raises:
        ProjectError: a file is not there, or not named like a sound.
    """
    _, numbers = np.unique(np.arange(len(files)) if groups is None else column_or_1d(groups), return_inverse=True)
    links = {}
    for index, (file, name, group) in enumerate(zip(files, names, numbers.tolist(), strict=True)):
        if not file.is_file():
            raise ProjectError(f"{file}: no such file")
        place = folder / name / str(group) / f"{index:07d}{file.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file.resolve())
        links[f"{name}/{group}__{place.name}"] = file
    return links
