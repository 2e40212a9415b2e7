"""None of these: probabilities that mean what they say, from which one on an answer counts, and how well that tells.

Temperature and thresholds are found by the answers of the folds' classifiers to their validation parts; test parts have
no say. A fold's test part is measured with what the validation answers to all other recordings give.

- **temperature**: the number by which logits are divided so that the cross-entropy of the pooled validation windows is
  least (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2). Of n recordings, labels are
  doubted by 1 in n + 2 (Platt 1999, "Probabilistic outputs for support vector machines"): else a few that are all right
  would make every probability 1.
- **threshold** of a class: the highest that KEPT of its validation recordings that are answered right reach with their
  calibrated probability, the mean over windows.
- **held out**: each class in turn is kept from training and validation. Its tested recordings are out, those of the
  other classes in; the area under the ROC curve (AUROC) of the highest probability of a class is the chance that a
  recording that is in scores higher than one that is out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.data.clips import DatasetError
from beyond_spectrograms.data.windows import open_features
from beyond_spectrograms.estimates.training import timed_training
from beyond_spectrograms.evaluation.calibration import calibrate, has_probabilities
from beyond_spectrograms.evaluation.predict import predict
from beyond_spectrograms.inference.card import Confidence
from beyond_spectrograms.inference.own_sounds import OwnSounds
from beyond_spectrograms.inference.results import BACKGROUND, NONE, are_none
from beyond_spectrograms.params import Params
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.util.errors import ProjectError

KEPT = 0.95
TEMPERATURES = (0.05, 20.0)  # among which one is looked for
LEAST = 1e-30  # no probability counts as less: float32 has none below 1e-45
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What the classifiers of the folds answer to windows of their validation and test parts."""

    classes: tuple[str, ...]
    windows: pd.DataFrame  # a row a window and fold: fold, seed, part, clip, label
    logits: Floats  # [rows, classes], but for a constant of each row

    def where(self, rows: pd.Series[bool]) -> Answers:
        """Keep some of the rows."""
        return replace(self, windows=self.windows[rows], logits=self.logits[rows.to_numpy()])

    def tested(self, fold: int) -> Answers:
        """Keep those to the test part of a fold."""
        return self.where((self.windows["fold"] == fold) & (self.windows["part"] == "test"))

    def probabilities(self, temperature: float) -> Floats:
        """Give the calibrated probabilities [rows, classes]."""
        from scipy.special import softmax

        return np.asarray(softmax(self.logits / temperature, axis=1))

    def loss(self, temperature: float, doubt: float = 0.0) -> float:
        """Give the cross-entropy of the rows' labels, of which `doubt` is spread over other classes; mean over rows."""
        own = np.searchsorted(self.classes, self.windows["label"].to_numpy(str))
        logs = np.log(np.maximum(self.probabilities(temperature), LEAST))
        right = logs[np.arange(len(own)), own]
        others = (logs.sum(axis=1) - right) / (len(self.classes) - 1)
        return float(-((1 - doubt) * right + doubt * others).mean())

    def recordings(self, temperature: float) -> tuple[pd.DataFrame, Floats]:
        """Give a row a recording and fold (fold, part, clip, label), and its probabilities [recordings, classes]."""
        keys = ["fold", "part", "clip", "label"]
        means = pd.DataFrame(self.probabilities(temperature), self.windows.index).groupby(
            [self.windows[key] for key in keys]
        )
        found = means.mean()
        return found.index.to_frame(index=False), found.to_numpy()


def predict_parts(runs: Sequence[RunConfig], sounds: OwnSounds) -> tuple[pd.DataFrame, Floats]:
    """Let finished runs answer the windows of their validation and test parts.

    Returns:
        a row a window and fold (clip, label, fold, seed, part, epoch), and its probabilities [rows, classes].
    """
    features = open_features(runs[0].features, len(sounds.table))
    tables, probabilities = [], []
    for run in runs:
        rows = np.flatnonzero(np.isin(run.parts, ("validation", "test")))
        found = predict(
            run.result_files[0], run.protocol, features, rows=rows, classes=list(run.classes),
            codebook_size=run.codebook_size, fold=run.fold, seed=run.seed, device=run.device, stacked=run.stacked,
        )  # fmt: skip
        table = sounds.table[["clip", "label"]].iloc[rows]
        tables.append(table.assign(fold=run.fold, seed=run.seed, part=run.parts[rows], epoch=found.epoch))
        probabilities.append(found.probabilities.astype(np.float64))
    return pd.concat(tables, ignore_index=True), np.concatenate(probabilities)


def answer_parts(runs: Sequence[RunConfig], sounds: OwnSounds) -> Answers:
    """Let finished runs answer the windows of their validation and test parts."""
    windows, probabilities = predict_parts(runs, sounds)
    return Answers(runs[0].classes, windows, np.log(np.maximum(probabilities, LEAST)))


def find_confidence(validated: Answers, *, reject: bool) -> Confidence:
    """Find the temperature and, to reject, the thresholds by answers to validation parts.

    A class of which no recording is answered right gets the threshold 0: nothing is known of its right answers.
    """
    from scipy.optimize import minimize_scalar

    doubt = 1 / (validated.windows["clip"].nunique() + 2)

    def loss(log_temperature: float) -> float:
        return validated.loss(np.exp(log_temperature), doubt)

    temperature = float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded").x))
    if not reject:
        return Confidence(temperature=temperature)
    recordings, probabilities = validated.recordings(temperature)
    answered, thresholds = np.asarray(validated.classes)[probabilities.argmax(axis=1)], {}
    for label in validated.classes:
        right = probabilities.max(axis=1)[(answered == label) & (recordings["label"] == label)]
        if label != BACKGROUND:
            thresholds[label] = float(np.sort(right)[int((1 - KEPT) * len(right))]) if len(right) else 0.0
    return Confidence(temperature=temperature, thresholds=thresholds)


def judge_test_parts(answers: Answers, *, reject: bool) -> tuple[pd.DataFrame, dict[int, float]]:
    """Judge the test part of every fold with what the validation answers to all other recordings give.

    Returns:
        a row a tested recording: label, predicted, score (the highest calibrated probability of a class but BACKGROUND)
        and passes (not NONE); and the temperature of each fold.
    """
    classes = np.asarray(answers.classes)
    judged, temperatures = [], {}
    for fold in answers.windows["fold"].unique().tolist():
        tested = answers.tested(fold)
        others = (answers.windows["part"] == "validation") & ~answers.windows["clip"].isin(tested.windows["clip"])
        confidence = find_confidence(answers.where(others), reject=reject)
        recordings, probabilities = tested.recordings(confidence.temperature)
        scores = probabilities[:, classes != BACKGROUND].max(axis=1)
        found = recordings.assign(predicted=classes[probabilities.argmax(axis=1)], score=scores)
        if confidence.thresholds is not None:
            limits = np.array([confidence.thresholds.get(label, np.inf) for label in classes])
            found["passes"] = ~are_none(probabilities, limits)
        judged.append(found)
        temperatures[fold] = confidence.temperature
    return pd.concat(judged, ignore_index=True), temperatures


def measure_errors(answers: Answers, temperatures: Mapping[int, float]) -> dict[str, float]:
    """Measure the expected calibration error and the mean loss of tested windows under a temperature a fold."""
    windows, losses = [], []
    for fold, temperature in temperatures.items():
        tested = answers.tested(fold)
        each = tested.probabilities(temperature)
        answered = np.asarray(answers.classes)[each.argmax(axis=1)]
        windows.append(tested.windows.assign(predicted=answered, probability=each.max(axis=1)))
        losses.append(tested.loss(temperature) * len(each))
    together = pd.concat(windows)
    return {"ece": float(calibrate(together)["ece"]), "loss": sum(losses) / len(together)}


def without_class(runs: Sequence[RunConfig], sounds: OwnSounds, label: str) -> list[RunConfig]:
    """Give the runs anew, with nothing of a class in training and validation; the network does not know it."""
    labels = sounds.table["label"].to_numpy(str)
    classes = tuple(each for each in runs[0].classes if each != label)
    held_out = []
    for run in runs:
        parts = np.where((labels == label) & (run.parts != "test"), "", run.parts)
        known = np.isin(parts, ("train", "validation"))
        targets = np.where(known, np.searchsorted(classes, labels), -1).astype(np.int64)
        work = run.work / "held_out" / str(runs[0].classes.index(label))
        held_out.append(replace(run, classes=classes, parts=parts, targets=targets, work=work))
    return held_out


def held_out_classes(classes: Sequence[str]) -> list[str]:
    """List the classes that can be held out in turn: two must be left to tell apart."""
    return [label for label in classes if label != BACKGROUND] if len(classes) > 2 else []


def check_calibrated(option: str, protocol: str, params: Params) -> None:
    """Check that a protocol's answers are probabilities.

    Raises:
        ProjectError: they are distances, which no temperature makes probabilities.
    """
    if not has_probabilities(params.protocols[protocol]):
        classifier = params.protocols[protocol].classifier
        raise ProjectError(
            f"{option} needs probabilities; {classifier} of --protocol {protocol} answers by distances. Choose another."
        )


def announce(sounds: OwnSounds) -> str:
    """Say what it costs to measure, and check that no class is named NONE.

    Raises:
        DatasetError: one is.
    """
    classes = sorted(sounds.clips["label"].unique())
    if NONE in classes:
        raise DatasetError(f"class {NONE!r}: with --reject this is what stands for none of the classes. Rename it.")
    labels, folds = held_out_classes(classes), len(sounds.parts.columns)
    if not labels:
        return "--reject: no class is held out to measure it, for only one would be left"
    runs = f"{len(labels)} classes held out in turn are {len(labels) * folds} more runs"
    return f"--reject: {runs}, {len(labels) * (len(classes) - 1) / len(classes):.1f} times the work of the folds"


def find_and_measure(
    runs: Sequence[RunConfig], sounds: OwnSounds, *, reject: bool
) -> tuple[Confidence, dict[str, Any]]:
    """Find how sure answers are, and measure on the test parts what that is worth.

    Returns:
        what the model's card gets, and what stands in scores.json. Shares are of recordings; `passing`: not none.
    """
    answers = answer_parts(runs, sounds)
    confidence = find_confidence(answers.where(answers.windows["part"] == "validation"), reject=reject)
    tested, temperatures = judge_test_parts(answers, reject=reject)
    errors = {"before": measure_errors(answers, dict.fromkeys(temperatures, 1.0))}
    errors |= {"after": measure_errors(answers, temperatures)}
    told: dict[str, Any] = {**confidence.model_dump(), **errors}
    if not reject:
        return confidence, told
    inside = tested[tested["label"] != BACKGROUND]
    right = inside["predicted"] == inside["label"]
    told |= {"kept": KEPT, "passing": _share(inside["passes"])}
    told |= {"right": _share(right), "right_of_passing": _share(right[inside["passes"]])}
    labels = held_out_classes(runs[0].classes)
    absent = {label: without_class(runs, sounds, label) for label in labels}
    if labels:
        timed_training("held out", [run for of_class in absent.values() for run in of_class], f"{len(labels)} classes")
    by_class = {
        label: _tell_apart(judge_test_parts(answer_parts(of_class, sounds), reject=True)[0], label)
        for label, of_class in absent.items()
    }
    aurocs = [each["auroc"] for each in by_class.values()]
    passing = float(np.mean([each["passing"] for each in by_class.values()])) if by_class else None
    told["held_out"] = {"auroc": float(np.mean(aurocs)), "passing": passing, "by_class": by_class} if by_class else None
    if BACKGROUND in runs[0].classes:
        told[BACKGROUND] = _tell_apart(tested, BACKGROUND)
    return confidence, told


def _tell_apart(tested: pd.DataFrame, label: str) -> dict[str, Any]:
    """Measure how tested recordings of a class (out) differ from all others (in)."""
    from sklearn.metrics import roc_auc_score

    out = tested["label"] == label
    inside = ~out & (tested["label"] != BACKGROUND)
    scored = tested[inside | out]
    auroc = float(roc_auc_score(~out[scored.index], scored["score"]))
    return {"auroc": auroc, "in": int(inside.sum()), "out": int(out.sum()), "passing": _share(tested["passes"][out])}


def _share(values: pd.Series[bool]) -> float | None:
    return float(values.mean()) if len(values) else None
