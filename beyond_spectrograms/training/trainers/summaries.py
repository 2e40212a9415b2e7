"""Fits classifiers/summaries.py: converged logistic regression, and the nearest training windows."""

import warnings

import numpy as np
import torch
from torch import Tensor

from beyond_spectrograms.classifiers.base import ClassifierError, last_layer
from beyond_spectrograms.classifiers.summaries import FARTHEST, Neighbours, Probe, SummaryLayer, Votes
from beyond_spectrograms.training.trainers.base import FittingTrainer

# scikit-learn's C, of which the run's own validation part chooses one: by accuracy, if equal by loss, then the smaller.
INVERSE_PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
NEIGHBOURS = (1, 3, 5, 9, 15, 25, 45)  # k of k-NN, chosen likewise: as many candidates as penalties
MOST_STEPS = 10_000  # of lbfgs, which converges long before
GRADIENT = 1e-6  # largest element at which it has converged


class SummaryTrainer(FittingTrainer):
    """Standardises the training part's summaries, and fits to these."""

    def fit(self) -> None:
        """Find the statistics, then what is classified by."""
        summaries, targets = self._train.batch(torch.arange(len(self._train)))
        layer, exact = last_layer(self.network, SummaryLayer), summaries.double()
        deviation = exact.std(0, correction=0)
        layer.mean = exact.mean(0).float()
        layer.deviation = torch.where(deviation > 0, deviation, 1.0).float()
        self.fit_points(layer.standardize(summaries), targets)

    def fit_points(self, points: Tensor, targets: Tensor) -> None:
        """Fit the last layer to the training part's standardised summaries [windows, values]."""
        raise NotImplementedError


class ProbeTrainer(SummaryTrainer):
    """Logistic regression by scikit-learn, to convergence, for each of INVERSE_PENALTIES, or the protocol's one."""

    def fit_points(self, points: Tensor, targets: Tensor) -> None:
        """Keep the fit of the best penalty by the validation part.

        Raises:
            ClassifierError: lbfgs did not converge.
        """
        layer, fitted = last_layer(self.network, Probe), []
        fixed = self.config.protocol.inverse_penalty
        for inverse_penalty in INVERSE_PENALTIES if fixed is None else (fixed,):
            layer.inverse_penalty = torch.tensor(inverse_penalty)
            self._fit(layer, points, targets, inverse_penalty)
            accuracy, loss = self._score(self._validation)
            accuracy = accuracy if targets.dim() == 1 else 0.0  # of several labels the loss alone decides
            fitted.append((accuracy, -loss, {key: value.clone() for key, value in layer.state_dict().items()}))
        layer.load_state_dict(max(fitted, key=lambda found: found[:2])[2])  # the first of equally good ones

    def _fit(self, layer: Probe, points: Tensor, targets: Tensor, inverse_penalty: float) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier
        from threadpoolctl import threadpool_limits

        weights = None if self.config.protocol.class_weights == "none" else self.config.protocol.class_weights
        varying = (points != points[:1]).any(0)  # of YAMNet's values two thirds are constant, and only cost time
        if not varying.any():
            varying[:] = True
        # One thread, since the last bits of a sum depend on how many share it.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes")  # few windows of many, as in a pilot
            warnings.filterwarnings("ignore", "Label .* is present in all training examples")
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                probe = LogisticRegression(
                    C=inverse_penalty, solver="lbfgs", max_iter=MOST_STEPS, tol=GRADIENT, class_weight=weights
                )
                several = targets.dim() == 2  # then a probe for each label
                found = (OneVsRestClassifier(probe) if several else probe).fit(
                    points[:, varying].double().numpy(), targets.numpy()
                )
            except ConvergenceWarning as error:
                name = f"{self.config.protocol.classifier}, {self.config.name}"
                raise ClassifierError(
                    f"{name}: lbfgs did not converge in {MOST_STEPS} steps at "
                    f"C = {inverse_penalty:g}. Are the features finite?"
                ) from error
        if several:
            # Of a label that all windows have, or none, scikit-learn fits nothing: its odds are Laplace's, finite.
            odds = (targets.sum(0, dtype=torch.float64) + 1) / ((1 - targets).sum(0, dtype=torch.float64) + 1)
            constant = [(np.zeros((1, int(varying.sum()))), each.log().numpy()[None]) for each in odds]
            fitted = [
                (each.coef_, each.intercept_) if hasattr(each, "coef_") else alike
                for each, alike in zip(found.estimators_, constant, strict=True)
            ]
            coefficients, intercepts = map(np.concatenate, zip(*fitted, strict=True))
        else:
            coefficients, intercepts = found.coef_, found.intercept_
        weight, bias = torch.zeros(len(coefficients), len(varying)), torch.from_numpy(intercepts).float()
        weight[:, varying] = torch.from_numpy(coefficients).float()
        if len(weight) == 1:  # of two classes scikit-learn gives the second one's logit alone
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        with torch.no_grad():
            layer.linear.weight.zero_()
            layer.linear.bias.fill_(-FARTHEST)
            layer.linear.weight[found.classes_], layer.linear.bias[found.classes_] = weight, bias


class NeighbourTrainer(SummaryTrainer):
    """Keeps the training part; of k-NN with each k of NEIGHBOURS, or the protocol's one."""

    def fit_points(self, points: Tensor, targets: Tensor) -> None:
        """Keep the points and their classes as weights, and the k of the best accuracy on the validation part.

        If equal, that of the lower loss, then the smaller. No more vote than there are training windows.
        """
        layer = last_layer(self.network, Neighbours)
        layer.neighbours, layer.neighbour_classes = points.clone(), targets.clone()
        if not isinstance(layer, Votes):
            return
        fixed, reached = self.config.protocol.neighbours, {}
        for k in NEIGHBOURS if fixed is None else (fixed,):
            layer.choose(min(k, len(points)))
            accuracy, loss = self._score(self._validation)
            reached[min(k, len(points))] = (accuracy, -loss)
        layer.choose(max(reached, key=lambda k: reached[k]))  # the first of equally good ones
