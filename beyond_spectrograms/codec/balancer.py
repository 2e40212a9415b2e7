"""The balancer: what share each loss has of the gradient that reaches the codec, whatever the losses' own scales.

Source: Défossez et al., "High Fidelity Neural Audio Compression", 2022, section 3.4: the gradient of each loss at the
decoder's output is divided by the moving average of its norm and multiplied by its weight's share of all weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

TINY = 1e-12  # added to averages of norms


class Balancer:
    """Weighs gradients at the decoder's output so that loss i has weights[i] / sum(weights) of a norm of 1.

    Norms are of each item of a batch, their mean over the batch averaged over steps with `decay`; the average of the
    first steps is not pulled to zero.
    """

    def __init__(self, weights: Mapping[str, float], decay: float = 0.999) -> None:
        self.weights, self._decay = dict(weights), decay
        self._totals = dict.fromkeys(self.weights, 0.0)
        self._weight = 0.0

    def state(self) -> dict[str, object]:
        """Give what a checkpoint keeps."""
        return {"totals": dict(self._totals), "weight": self._weight}

    def load(self, state: Mapping[str, object]) -> None:
        """Go on from what `state` gave."""
        totals, weight = state["totals"], state["weight"]
        assert isinstance(totals, dict)
        assert isinstance(weight, float)
        self._totals, self._weight = dict(totals), weight

    def gradient(self, losses: Mapping[str, torch.Tensor], made: torch.Tensor) -> torch.Tensor:
        """Give the balanced gradient [batch, channels, samples] of `losses` at `made`, of its shape, and take a step.

        Every loss of `weights` is there; a graph behind `made` is not walked.
        """
        gradients = {name: torch.autograd.grad(losses[name], made, retain_graph=True)[0] for name in self.weights}
        self._weight = self._decay * self._weight + 1.0
        total = sum(self.weights.values())
        balanced = torch.zeros_like(made)
        for name, gradient in gradients.items():
            norm = torch.linalg.vector_norm(gradient.flatten(1), dim=1).mean().item()
            self._totals[name] = self._decay * self._totals[name] + norm
            average = self._totals[name] / self._weight
            balanced += gradient * (self.weights[name] / total / (average + TINY))
        return balanced
