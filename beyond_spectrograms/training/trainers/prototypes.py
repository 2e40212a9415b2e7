"""How prototypes are trained: losses, the curriculum, restarts of idle prototypes.

Loiseau et al., ISMIR 2022, sections 3.2 to 3.4, and the authors' released code (bd509c5c). Where the two differ, params
choose: a step ends after 10 epochs without a lower training loss in the text, after 40 in the code. The limit
`step_epochs` is ours.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.base import best_by_class, last_layer, name_clusters
from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
from beyond_spectrograms.representations.base import Features
from beyond_spectrograms.training.epoch import Outcome, Subset
from beyond_spectrograms.training.run import RunConfig
from beyond_spectrograms.training.trainers.base import Trainer
from beyond_spectrograms.training.trainers.clustering import kmeans_plus_plus

PROPOSALS = 2000  # training windows among which the prototypes start
CHUNK = 16  # windows reconstructed at a time: what they take stays in a core's cache
RESTART_NOISE = 0.01  # deviation of the noise added to a restarted prototype


class PrototypeTrainer(Trainer):
    """Minimises error and cross-entropy, step by step of a curriculum.

    Steps: the raw prototypes; each transformation, in the order of the settings; the temperature, if there is
    cross-entropy; a tenth of the learning rate. A step ends when the training loss has not fallen for `step_patience`
    epochs or after `step_epochs`, but not before `warm_up` batches. After the last step the run is over.
    """

    columns = ("training_reconstruction_error", "validation_reconstruction_error", "step")
    takes_codes = False
    moves = True

    def __init__(self, config: RunConfig, features: Features) -> None:
        assert config.protocol.prototypes is not None  # params.Protocol sees to it
        self.settings = config.protocol.prototypes
        super().__init__(config, features)
        self.layer = last_layer(self.network, PrototypeLayer)
        self.steps = ["raw", *self.settings.transformations]
        self.steps += ["temperature"] if self.settings.supervised and self.settings.cross_entropy else []
        self.steps += ["fine"]
        self.batches = self.step = self.epochs = self.waited = 0  # epochs of the present step
        self.best_loss = float("inf")
        self.explained: Tensor | None = None  # training windows of each prototype in the last epoch, without labels
        self._start()
        self.layer.to(config.device)
        self._take_step()

    def _start(self) -> None:
        """Start the prototypes among the training windows."""
        drawn = torch.randperm(len(self._train))[:PROPOSALS]
        windows, targets = self._train.batch(drawn)
        means = nn.functional.adaptive_avg_pool1d(self.layer.scale(windows), self.settings.frames)
        classes = self.layer.class_of if self.settings.supervised else None
        starts = kmeans_plus_plus(means, targets, len(self.layer.class_of), classes)
        self.layer.prototypes.data.copy_(starts)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        layer, rate = last_layer(self.network, PrototypeLayer), self.config.protocol.learning_rate
        others = [parameter for parameter in layer.parameters() if parameter is not layer.tau]
        return torch.optim.AdamW(
            [{"params": others, "lr": rate}, {"params": [layer.tau], "lr": self.settings.tau_learning_rate}],
            weight_decay=self.settings.weight_decay,
            fused=True,
        )

    def _take_step(self) -> None:
        """Set the layer and the learning rates for the present step."""
        assert self.optimizer is not None
        name = self.steps[min(self.step, len(self.steps) - 1)]
        self.layer.used = min(self.step, len(self.settings.transformations))
        self.layer.tau.requires_grad_(self.step > len(self.settings.transformations) and "temperature" in self.steps)
        share = 0.1 if name == "fine" else 1.0
        rates = self.config.protocol.learning_rate, self.settings.tau_learning_rate
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = share * rate

    def losses(self, errors: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and reconstruction error of each window [windows] from errors [windows, prototypes].

        Unsupervised (7): the smallest error. Supervised (9): that of the class's own prototypes, and the cross-entropy
        of the logits times its weight.
        """
        if not self.settings.supervised:
            return (smallest := errors.amin(1)), smallest
        own = best_by_class(errors, self.layer.class_of, self.layer.classes).gather(1, targets[:, None])[:, 0]
        if not self.settings.cross_entropy:
            return own, own
        entropy = nn.functional.cross_entropy(self.layer.logits(errors), targets, reduction="none")
        return own + self.settings.cross_entropy * entropy, own

    def epoch(self) -> tuple[Outcome, Outcome, tuple[float, ...]]:
        """Restart idle clusters, train, name clusters, validate, and see whether the step is done.

        Restarts come first, so that no prototype is kept that was not trained, named and validated afterwards.
        """
        step = self.step
        if self.explained is not None:
            self._restart_idle(self.explained)
        class_of = self.layer.class_of
        clusters, targets, loss, error = self._go_over(self._train, self._order(), learn=True)
        if not self.settings.supervised:
            class_of.copy_(name_clusters(clusters, targets, len(class_of), self.layer.classes))
            self.explained = torch.bincount(clusters, minlength=len(class_of))
        others = torch.arange(len(self._validation))
        nearest, wanted, validation_loss, validation_error = self._go_over(self._validation, others, learn=False)
        right, validated = (
            float(np.mean((class_of.cpu()[found] == truth).numpy()))
            for found, truth in ((clusters, targets), (nearest, wanted))
        )
        self._note(loss)
        return (right, loss), (validated, validation_loss), (error, validation_error, step)

    def _go_over(self, subset: Subset, order: Tensor, *, learn: bool) -> tuple[Tensor, Tensor, float, float]:
        """Go over a subset; gives nearest prototype and target of its windows [windows], mean loss and error."""
        chunks = []
        for places in self._batches(order):
            batch = [value.to(self.config.device) for value in subset.batch(places)]
            with torch.set_grad_enabled(learn):
                for windows, targets in zip(*(torch.split(value, CHUNK) for value in batch), strict=True):
                    errors = self.layer.errors(windows.contiguous())
                    loss, own = self.losses(errors, targets)
                    if learn:
                        torch.autograd.backward(loss.sum() / len(places))
                    chunks.append([value.detach() for value in (errors, targets, loss, own)])
            if learn:
                assert self.optimizer is not None
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
                self.batches += 1
        errors, targets, loss, own = (torch.cat(values).cpu() for values in zip(*chunks, strict=True))
        return errors.argmin(1), targets, loss.double().mean().item(), own.double().mean().item()

    def _note(self, loss: float) -> None:
        if loss < self.best_loss:
            self.best_loss, self.waited = loss, 0
        else:
            self.waited += 1
        self.epochs += 1
        done = self.waited >= self.settings.step_patience or self.epochs >= (self.settings.step_epochs or np.inf)
        if done and self.batches >= self.settings.warm_up:
            self.step, self.epochs, self.waited, self.best_loss = self.step + 1, 0, 0, float("inf")
            self._take_step()

    def _restart_idle(self, counts: Tensor) -> None:
        """Restart prototypes that explain too few training windows (`counts` [prototypes]) as copies of busy ones."""
        assert self.optimizer is not None
        shares = counts / counts.sum() * len(counts)
        for idle in (shares < self.settings.restart_share).nonzero()[:, 0].tolist():
            busy = int(torch.multinomial(shares, 1))
            for name, parameter in self.layer.named_parameters():
                if name == "prototypes" or name.startswith("decoders."):
                    parameter.data[idle] = parameter.data[busy]
                    if name == "prototypes":
                        noise = torch.randn(parameter.shape[1:])
                        parameter.data[idle] += RESTART_NOISE * noise.to(parameter.device)
                    state = self.optimizer.state.get(parameter, {})
                    for moment in state.keys() & {"exp_avg", "exp_avg_sq"}:
                        state[moment][idle] = 0

    def is_over(self) -> bool:
        """Say whether the last step is done."""
        return self.step >= len(self.steps)

    def state(self) -> dict[str, Any]:
        """Add where the curriculum stands."""
        curriculum = (self.step, self.epochs, self.waited, self.batches, self.best_loss)
        return {**super().state(), "curriculum": curriculum, "explained": self.explained}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        self.step, self.epochs, self.waited, self.batches, self.best_loss = state["curriculum"]
        self.explained = state["explained"]
        self._take_step()
        super().load(state)
