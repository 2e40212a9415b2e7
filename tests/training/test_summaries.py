"""What is fitted to summaries is scikit-learn's fit; labels dealt by recording score above chance only under a leak."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from beyond_spectrograms.classifiers.base import ClassifierError, last_layer
from beyond_spectrograms.classifiers.registry import read_network
from beyond_spectrograms.classifiers.summaries import Probe, Votes
from beyond_spectrograms.data.windows import deal_labels
from beyond_spectrograms.evaluation.predict import predict
from beyond_spectrograms.params import STUDIES, load_params
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.run import RunConfig, read_history
from beyond_spectrograms.training.trainers import summaries
from support import separable
from support.cells import put_features, study_in, write_rows, write_split_record
from support.common import refusal
from support.models import PARAMS
from support.protocol import write_run
from support.repository import REPOSITORY

PARTS = {"train": slice(0, 90), "validation": slice(90, 120), "test": slice(120, 150)}


def config(folder: Path, protocol: str, classes: int) -> RunConfig:
    """150 windows [6 bands, 9 frames] whose classes overlap, in bands of very different scale; one never changes."""
    generator = np.random.default_rng(0)
    targets = np.arange(150) % classes
    values = generator.normal(0, 1, (150, 6, 9)) * (1 + targets[:, None, None] / 4) + targets[:, None, None] / 3
    values *= np.array([1e-3, 1.0, 50.0, 1.0, 1e4, 0.0])[:, None]
    parts = [part for part, rows in PARTS.items() for _ in range(rows.stop - rows.start)]
    return write_run(folder, values, targets, parts, PARAMS.protocols[protocol])


def probabilities(mine: RunConfig) -> np.ndarray:
    features = np.load(mine.features / "features.npy")
    given = {"rows": np.arange(150), "classes": list(mine.classes), "codebook_size": None}
    return predict(mine.result_files[0], mine.protocol, features, **given, fold=1, seed=0, device="cpu").probabilities


def summary(mine: RunConfig, *, deviation: bool) -> np.ndarray:
    features = np.load(mine.features / "features.npy").astype(np.float64)
    return np.concatenate([features.mean(2), *[features.std(2)] * deviation], 1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("protocol", ["probe_mean", "probe_mean_deviation"])
def test_a_probe_is_scikit_learns_regression_of_the_penalty_that_validates_best(
    protocol: str, classes: int, tmp_path: Path
) -> None:
    mine = config(tmp_path, protocol, classes)
    train(mine)
    values, best = summary(mine, deviation=protocol != "probe_mean"), (0.0, 0.0, 0.0)
    for penalty in summaries.INVERSE_PENALTIES:
        regression = LogisticRegression(C=penalty, max_iter=10_000, tol=1e-8)
        fitted = make_pipeline(StandardScaler(), regression).fit(values[PARTS["train"]], mine.targets[PARTS["train"]])
        held = values[PARTS["validation"]], mine.targets[PARTS["validation"]]
        reached = (fitted.score(*held), -log_loss(held[1], fitted.predict_proba(held[0])), penalty)
        best = max(best, reached, key=lambda found: found[:2]) if best[2] else reached
        if best is reached:
            expected = fitted.predict_proba(values)
    np.testing.assert_allclose(probabilities(mine), expected, atol=1e-4)
    network, _ = read_network(mine.result_files[0], mine.protocol, (6, 9), mine.classes, None)
    assert float(last_layer(network, Probe).inverse_penalty) == pytest.approx(best[2])
    (row,) = read_history(mine)
    assert (row["validation_accuracy"], row["validation_loss"]) == pytest.approx((best[0], -best[1]), abs=2e-4)


def test_a_probe_weighs_rare_classes_as_scikit_learn_does(tmp_path: Path) -> None:
    given = config(tmp_path, "probe_mean", 2)
    changes = {"inverse_penalty": 0.01, "class_weights": "balanced"}
    targets = (np.arange(150) % 6 == 1).astype(np.int64)  # 15 of 90 training windows
    mine = replace(given, protocol=given.protocol.model_copy(update=changes), targets=targets)
    train(mine)
    values = summary(mine, deviation=False)
    regression = LogisticRegression(C=0.01, max_iter=10_000, tol=1e-8, class_weight="balanced")
    expected = make_pipeline(StandardScaler(), regression).fit(values[PARTS["train"]], targets[PARTS["train"]])
    np.testing.assert_allclose(probabilities(mine), expected.predict_proba(values), atol=1e-4)


def test_a_probe_of_several_labels_is_one_of_scikit_learns_for_each_by_the_loss_of_validation(tmp_path: Path) -> None:
    given = config(tmp_path, "probe_mean", 3)
    labels = np.array([[n % 3 == 0, n % 3 > 0, n % 5 < 2] for n in range(150)], np.float32)
    labels[PARTS["test"]] = np.nan
    protocol = given.protocol.model_copy(update={"loss": "binary_cross_entropy"})
    mine = replace(given, protocol=protocol, targets=labels)
    train(mine)
    values, best = summary(mine, deviation=False), (np.inf, 0.0)
    for penalty in summaries.INVERSE_PENALTIES:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=10_000, tol=1e-8))
        fitted = [clone(probe).fit(values[PARTS["train"]], column[PARTS["train"]]) for column in labels.T]
        given_by_each = np.stack([each.predict_proba(values)[:, 1] for each in fitted], axis=1)
        loss = np.mean([log_loss(*held) for held in zip(labels[90:120].T, given_by_each[90:120].T, strict=True)])
        if loss < best[0]:
            best, expected = (loss, penalty), given_by_each
    np.testing.assert_allclose(probabilities(mine), expected, atol=1e-4)
    (row,) = read_history(mine)
    assert row["validation_loss"] == pytest.approx(best[0], abs=2e-4)


def test_of_a_label_that_all_training_windows_have_or_none_a_probe_tells_its_odds_alone(tmp_path: Path) -> None:
    given = config(tmp_path, "probe_mean", 3)
    labels = np.array([[n % 3 == 0, n >= 90, n < 110] for n in range(150)], np.float32)
    labels[PARTS["test"]] = np.nan
    mine = replace(given, targets=labels, protocol=given.protocol.model_copy(update={"loss": "binary_cross_entropy"}))
    train(mine)
    np.testing.assert_allclose(probabilities(mine)[:, 1:], [[1 / 92, 91 / 92]] * 150, rtol=1e-5)
    assert probabilities(mine)[:, 0].std() > 0.01


def test_a_probe_takes_the_penalty_it_is_given_and_all_windows_where_none_validates(tmp_path: Path) -> None:
    given = config(tmp_path, "probe_mean", 3)
    mine = replace(given, protocol=given.protocol.model_copy(update={"inverse_penalty": 0.01}))
    mine = replace(mine, parts=np.full(len(mine.parts), "train"), targets=np.arange(150) % 3, fold=0)
    train(mine)
    network, _ = read_network(mine.result_files[0], mine.protocol, (6, 9), mine.classes, None)
    assert float(last_layer(network, Probe).inverse_penalty) == pytest.approx(0.01)
    values = summary(mine, deviation=False)
    expected = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=10_000, tol=1e-8))
    expected.fit(values, mine.targets)
    features = torch.from_numpy(np.load(mine.features / "features.npy"))
    found = network.eval()(features).softmax(1).detach().numpy()
    np.testing.assert_allclose(found, expected.predict_proba(values), atol=1e-4)


def test_the_nearest_neighbour_is_scikit_learns(tmp_path: Path) -> None:
    mine = config(tmp_path, "nearest_source", 3)
    train(mine)
    nearest = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
    values = summary(mine, deviation=True)
    nearest.fit(values[PARTS["train"]], mine.targets[PARTS["train"]])
    np.testing.assert_array_equal(probabilities(mine).argmax(1), nearest.predict(values))
    assert read_history(mine)[0]["training_accuracy"] == 1.0  # each window is its own neighbour


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_neighbours_that_vote_are_scikit_learns_of_the_k_that_validates_best(metric: str, tmp_path: Path) -> None:
    mine = config(tmp_path, f"knn_{metric}", 3)
    train(mine)
    values = (
        StandardScaler().fit(summary(mine, deviation=True)[PARTS["train"]]).transform(summary(mine, deviation=True))
    )
    best, expected, chosen = (0.0, 0.0), np.empty(0), 0
    for k in summaries.NEIGHBOURS:
        voters = KNeighborsClassifier(k, metric=metric, algorithm="brute")
        voters.fit(values[PARTS["train"]], mine.targets[PARTS["train"]])
        given = (k * voters.predict_proba(values) + 1) / (k + 3)
        held = mine.targets[PARTS["validation"]]
        reached = (np.mean(given[90:120].argmax(1) == held), -log_loss(held, given[90:120], labels=range(3)))
        if reached > best:
            best, expected, chosen = reached, given, k
            np.testing.assert_array_equal(given.argmax(1), voters.predict(values))
    np.testing.assert_allclose(probabilities(mine), expected, atol=1e-6)
    network, _ = read_network(mine.result_files[0], mine.protocol, (6, 9), mine.classes, None)
    assert int(last_layer(network, Votes).k) == chosen > 1
    (row,) = read_history(mine)
    assert (row["validation_accuracy"], row["validation_loss"]) == pytest.approx((best[0], -best[1]), abs=1e-5)


def test_no_more_vote_than_there_are_and_a_given_k_is_taken(tmp_path: Path) -> None:
    given = config(tmp_path, "knn_euclidean", 3)
    chosen = []
    for k, windows in ((7, 90), (100, 12)):
        parts = np.where((np.arange(150) < 90) & (np.arange(150) >= windows), "", given.parts)
        protocol = given.protocol.model_copy(update={"neighbours": k})
        mine = replace(given, protocol=protocol, parts=parts, work=tmp_path / str(k))
        train(mine)
        network, _ = read_network(mine.result_files[0], mine.protocol, (6, 9), mine.classes, None)
        chosen.append(int(last_layer(network, Votes).k))
    assert chosen == [7, 12]


def test_all_that_is_chosen_by_validation_has_as_many_candidates() -> None:
    protocols = load_params(STUDIES / "probes", REPOSITORY).protocols
    tuned = [len(protocols[name].recipes()) for name in ("attention", "conv1d_tuned", "raw_tuned")]
    assert {*tuned, len(summaries.INVERSE_PENALTIES), len(summaries.NEIGHBOURS)} == {7}


@pytest.mark.parametrize("protocol", ["probe_mean", "nearest_source"])
def test_a_class_without_training_windows_is_never_answered(protocol: str, tmp_path: Path) -> None:
    mine = config(tmp_path, protocol, 4)
    mine = replace(mine, parts=np.where((mine.targets == 1) & (mine.parts == "train"), "", mine.parts))
    train(mine)
    assert (probabilities(mine)[:, 1] == 0).all()
    assert np.isfinite(read_history(mine)[0]["validation_loss"])


def test_a_fit_that_does_not_converge_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "MOST_STEPS", 1)
    assert refusal(ClassifierError, train, config(tmp_path, "probe_mean", 3)) == (
        "probe_mean, fold_1-seed_0: lbfgs did not converge in 1 steps at C = 0.0001. Are the features finite?"
    )


TABLE = pd.DataFrame({"clip": np.repeat([f"{number}.wav" for number in range(40)], 3), "label": list("abcd") * 30})


def test_labels_are_dealt_to_recordings_alike_by_name_and_seed_and_not_by_their_own_labels() -> None:
    dealt = deal_labels(TABLE, 1)
    by_clip = dealt.groupby("clip")["label"]
    assert (by_clip.nunique() == 1).all()
    assert by_clip.first().value_counts().to_dict() == dict.fromkeys("abcd", 10)
    turned = TABLE.assign(label=TABLE["label"].to_numpy()[::-1]).sample(frac=1, random_state=0)
    assert dealt.equals(deal_labels(turned, 1).sort_index())
    assert (dealt["label"] != deal_labels(TABLE, 2)["label"]).any()
    assert deal_labels(TABLE, None) is TABLE


def test_dealt_labels_score_chance_by_source_and_more_under_a_leak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    separable.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    recordings, windows = separable.CLASSES * separable.RECORDINGS, separable.WINDOWS
    parts = pd.read_csv("data/splits/demo/parts.csv")
    leaky = ["train", "validation", "test"] * recordings  # a window of every recording in each part
    write_rows(Path("data/splits/demo/parts.csv"), parts.assign(window_by_seed_1=leaky).to_dict("records"))
    write_split_record(tmp_path, "demo")
    generator = np.random.default_rng(0)
    own = generator.normal(0, 1, (recordings, separable.CLASSES, 1)).repeat(windows, 0)  # each sounds like itself
    values = own + generator.normal(0, 0.1, (len(own), separable.CLASSES, separable.FRAMES))
    described = {"dtype": "float32", "frame_rate": float(separable.FRAMES), "engine": "none", "largest_rounding": 0.0}
    described |= {"values_stored_as_zero": 0, "provenance": study_in(tmp_path).feature_provenance("demo", "mel")}
    put_features(Path("data/features/paper/demo/mel"), values.astype(np.float32), **described)
    separable.run_stages("dealt_window", "train", "evaluate")
    assert separable.cell_of("mel-dealt_window")[0]["window_accuracy"] > 0.5
    separable.run_stages("dealt_source", "train", "evaluate")
    scores, tested = separable.cell_of("mel-dealt_source")
    right = binomtest(round(scores["recording_accuracy"] * len(tested)), len(tested)).proportion_ci(0.999)
    assert right.low <= 1 / separable.CLASSES <= right.high
    assert scores["recording_accuracy"] < 0.5
    table = deal_labels(pd.read_csv("data/splits/demo/windows.csv", dtype=str), 1)
    labels = table.drop_duplicates("clip").set_index("clip")["label"]
    assert tested.set_index("clip")["label"].to_dict() == labels[tested["clip"]].to_dict()  # scored against themselves
