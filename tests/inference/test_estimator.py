"""The classifier of scikit-learn trains and classifies as the commands do, and keeps scikit-learn's rules."""

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from inference.conftest import PROBE
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from beyond_spectrograms import SoundClassifier, load_model
from beyond_spectrograms.inference.card import ModelError
from beyond_spectrograms.util.errors import ProjectError
from support.common import refusal, tone
from support.repository import REPOSITORY

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")
DOCUMENTED = REPOSITORY / "docs/own-sounds.md"
SECONDS = "it must be above 0 and at most 600 s"
SETTINGS: dict[str, Any] = {"representation": "mfcc", "classifier": "probe_mean_deviation", "folds": 3}


def write(folder: Path, labels: list[Any], each: int) -> tuple[list[Path], list[Any], list[str]]:
    """Write `each` sounds of a label, tones an octave apart from label to label, of three speakers."""
    folder.mkdir(exist_ok=True)
    paths, named, groups = [], [], []
    for place, label in enumerate(labels):
        for number in range(each):
            path = folder / f"{place}-{number}.wav"
            rng = np.random.default_rng(len(paths))
            sound = tone(1, 300 * 4**place * rng.uniform(0.9, 1.1), 22_050) + rng.normal(0, 0.01, 22_050)
            soundfile.write(path, sound, 22_050)
            paths.append(path)
            named.append(label)
            groups.append(f"speaker {number % 3}")
    return paths, named, groups


def test_files_and_labels_are_fitted_classified_pickled_and_saved(tmp_path: Path) -> None:
    paths, labels, groups = write(tmp_path / "sounds", [10, 9], 3)  # as text 10 comes before 9
    (tmp_path / "sounds/broken.wav").write_text("no sound")
    estimator = SoundClassifier(**SETTINGS)
    with pytest.warns(UserWarning, match="set aside") as warned:
        estimator.fit([*paths, tmp_path / "sounds/broken.wav"], [*labels, 9], [*groups, "speaker 0"])
    reason = "not decodable as audio: Format not recognised."
    assert [str(one.message) for one in warned] == [f"set aside {tmp_path}/sounds/broken.wav: {reason}"]
    assert estimator.set_aside_ == {f"{tmp_path}/sounds/broken.wav": reason}
    assert (estimator.classes_.tolist(), estimator.scores_["folds"]) == ([9, 10], 3)
    assert estimator.predict(paths).tolist() == labels
    assert estimator.score(list(map(str, paths)), labels) == 1
    probabilities = estimator.predict_proba(paths)
    assert probabilities.shape == (6, 2)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), [1, 1, 1, 0, 0, 0])
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.predict_proba(paths), probabilities)
    estimator.save("mine")
    assert load_model("mine").classify_file(paths[0]).label == "10"
    Path("leads_nowhere").symlink_to("gone")
    for taken in ("mine", "leads_nowhere"):
        told = refusal(ModelError, estimator.save, taken)
        assert told == f"{taken}: exists already. Choose another name, or remove it."
    bad = [paths[0], tmp_path / "sounds/broken.wav", tmp_path / "none.wav"]
    assert refusal(ProjectError, estimator.predict, bad) == (
        f"{tmp_path}/sounds/broken.wav: {reason}\n{tmp_path}/none.wav: no such file or directory"
    )


def test_fit_is_what_the_command_train_does(tmp_path: Path) -> None:
    from beyond_spectrograms.cli import main

    paths, labels, groups = write(tmp_path / "sounds", ["high", "low"], 3)
    SoundClassifier(**SETTINGS).fit(paths, labels, groups).save("by_estimator")
    for path, label, group in zip(paths, labels, groups, strict=True):
        (tmp_path / "folders" / label / group).mkdir(parents=True, exist_ok=True)
        path.rename(tmp_path / "folders" / label / group / path.name)
    options = ["--group-folders", *PROBE, "--folds", "3", "--out", "by_command"]
    assert main(["train", str(tmp_path / "folders"), *options]) == 0
    one, other = (Path(name, "classifier.safetensors").read_bytes() for name in ("by_estimator", "by_command"))
    assert one == other


# Of scikit-learn's checks, those that fit numbers: inputs are paths. Each is expected to fail.
FIT_NUMBERS = """
check_fit_score_takes_y check_estimators_overwrite_params check_dont_overwrite_parameters check_readonly_memmap_input
check_estimators_fit_returns_self check_n_features_in_after_fitting check_positive_only_tag_during_fit
check_estimators_dtypes check_dtype_object check_estimators_empty_data_messages check_pipeline_consistency
check_estimators_nan_inf check_estimator_sparse_tag check_estimator_sparse_array check_estimator_sparse_matrix
check_estimators_pickle check_f_contiguous_array_estimator check_classifier_data_not_an_array check_supervised_y_2d
check_classifiers_one_label check_classifiers_classes check_classifiers_train check_methods_sample_order_invariance
check_methods_subset_invariance check_fit2d_1sample check_fit2d_1feature check_dict_unchanged check_fit_idempotent
check_fit_check_is_fitted check_n_features_in check_fit2d_predict1d
"""


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_checks_pass_but_for_those_that_fit_numbers() -> None:
    class OfNumbers(SoundClassifier):  # of others than these scikit-learn checks nothing at all
        def __sklearn_tags__(self) -> Any:
            tags = super().__sklearn_tags__()
            tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, True
            return tags

    expected = dict.fromkeys(FIT_NUMBERS.split(), "it fits numbers; inputs are paths")
    done = check_estimator(OfNumbers(**SETTINGS), expected_failed_checks=expected, on_fail=None)
    outcomes = {(one["check_name"], one["status"]) for one in done}
    assert {name for name, status in outcomes if status == "xfail"} == set(expected)
    assert {name for name, status in outcomes if status == "failed"} == set()
    passed = {name for name, status in outcomes if status == "passed"}
    assert {"check_estimator_cloneable", "check_set_params", "check_estimators_unfitted"} <= passed
    assert {"check_requires_y_none", "check_classifiers_regression_target"} <= passed


@pytest.mark.long
def test_the_lines_of_the_documentation_run_and_parameters_are_searched(tmp_path: Path) -> None:
    paths, labels, groups = write(tmp_path / "sounds", ["high", "low"], 9)
    for number, (path, label, group) in enumerate(zip(paths, labels, groups, strict=True)):
        place = tmp_path / "my_sounds" / label / f"{group}_{number}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENTED.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (lines,) = [block for block in blocks if "SoundClassifier" in block]
    told: dict[str, Any] = {}
    exec(lines, told)
    assert told["scores"].tolist() == [1, 1, 1]
    assert load_model("mine").classes == ("high", "low")
    search = GridSearchCV(told["classifier"], {"representation": ["mfcc", "log_mel_2048"]}, cv=2)
    search.fit(told["paths"], labels)
    assert search.best_score_ == 1
    assert search.best_estimator_.classes_.tolist() == ["high", "low"]
    assert search.predict(told["paths"][:1]) == ["high"]


@pytest.mark.parametrize(
    ("settings", "paths", "labels", "error", "message"),
    [
        ({}, "a.wav", ["a"], ValueError, "paths is 'a.wav', one path; give a list of them"),
        ({}, [], [], ValueError, "paths are none; give one at least"),
        ({}, ["a.wav", 1], ["a", "b"], ValueError, "paths are str or Path; one is of int"),
        (
            *({}, ["a.wav"], ["a", "b"], ValueError),
            "Found input variables with inconsistent numbers of samples: [1, 2]",
        ),
        (
            {},
            ["a.wav"],
            ["a/b"],
            ValueError,
            "label 'a/b': has a / or begins with a dot or is over 200 bytes long",
        ),
        ({}, ["a.wav"], ["a"], ProjectError, "a.wav: no such file"),
        ({"folds": 2}, ["a.wav"], ["a"], ProjectError, "folds is 2; it must be at least 3"),
        ({"epochs": 0}, ["a.wav"], ["a"], ProjectError, "epochs is 0; it must be at least 1"),
        ({}, ["a.wav"], [""], ValueError, "no label"),
        (
            {},
            ["a.wav"],
            ["a" * 300],
            ValueError,
            f"label {'a' * 300!r}: has a / or <...>",
        ),
        (
            *({}, ["a.wav"], ["__MACOSX"], ValueError),
            "label '__MACOSX': a folder of that name is left out, for systems make it. Choose another.",
        ),
        ({"min_seconds": 700}, ["a.wav"], ["a"], ProjectError, f"min_seconds is 700 s; {SECONDS}"),
        ({"min_seconds": float("nan")}, ["a.wav"], ["a"], ProjectError, f"min_seconds is nan s; {SECONDS}"),
        ({"min_seconds": -5}, ["a.wav"], ["a"], ProjectError, f"min_seconds is -5 s; {SECONDS}"),
        ({"hop": 0}, ["a.wav"], ["a"], ProjectError, f"hop is 0 s; {SECONDS}"),
        ({"protocol": "mine"}, ["a.wav"], ["a"], ProjectError, "protocol is 'mine'. Choose from paper, <...>"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    settings: dict[str, Any], paths: Any, labels: list[str], error: type[Exception], message: str
) -> None:
    told = refusal(error, SoundClassifier(**SETTINGS | settings).fit, paths, labels)
    whole = message.removesuffix("<...>")
    assert told.startswith(whole) if whole != message else told == message
