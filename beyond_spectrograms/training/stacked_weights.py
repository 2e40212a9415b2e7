"""Weights of many runs stacked, [runs, ...], and one step of them all: no launch per run.

A run's own initial weights, batches [runs, batch, bands, frames] and optimizer state stay its own; the masks of dropout
alone are drawn for all runs at once. Batches are padded to one size by windows that do not count, and a run none of
whose windows counts stands still.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from beyond_spectrograms.classifiers.base import EmbedCodes
from beyond_spectrograms.classifiers.convolutional import TimeConvolution
from beyond_spectrograms.training.epoch import Network
from beyond_spectrograms.training.run import RunConfig

Weights = dict[str, Tensor]
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam, as torch.optim.Adam's


class ConvolutionAsProduct(nn.Module):
    """TimeConvolution as one matrix product, which stacks over runs as a batched product; same weights."""

    def __init__(self, convolution: TimeConvolution) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, windows: Tensor) -> Tensor:
        """Convolve windows [windows, channels, frames] over time."""
        size, frames = self.weight.shape[2], windows.transpose(1, 2)
        positions = frames.shape[1] - size + 1
        taps = torch.cat([frames[:, tap : tap + positions] for tap in range(size)], 2)
        assert self.bias is not None
        return (taps @ self.weight.permute(2, 1, 0).flatten(0, 1) + self.bias).transpose(1, 2)


class EmbedByLookup(nn.Module):
    """EmbedCodes without EmbeddingBag, which cannot be stacked over runs; same weights, more memory."""

    offsets: Tensor

    def __init__(self, layer: EmbedCodes) -> None:
        super().__init__()
        self.table = layer.table
        self.register_buffer("offsets", layer.offsets, persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Embed as EmbedCodes does."""
        tokens = codes.transpose(1, 2).long() + self.offsets
        return nn.functional.embedding(tokens, self.table.weight).sum(2).transpose(1, 2)


STACKABLE: dict[type, Callable[[Any], nn.Module]] = {TimeConvolution: ConvolutionAsProduct, EmbedCodes: EmbedByLookup}


class Stackable(nn.Module):
    """A classifier of build_network whose layers can be stacked over runs, convolutions in `precision`."""

    def __init__(self, network: nn.Sequential, precision: str) -> None:
        super().__init__()
        stackable = (STACKABLE[type(layer)](layer) if type(layer) in STACKABLE else layer for layer in network)
        self.layers = nn.Sequential(*stackable)
        self._split = Network.split(self.layers, precision)

    def forward(self, windows: Tensor) -> Tensor:
        """Classify windows [windows, bands, frames]; gives fp32 logits."""
        return self._split.logits(self._split.front(windows.float()))


class StackedWeights:
    """Stacked weights and optimizer state of all runs, and one step of them."""

    def __init__(self, networks: list[nn.Sequential], config: RunConfig, class_weights: Tensor) -> None:
        """Stack the networks of runs that differ from `config` in fold and seed; class weights are [runs, classes]."""
        self.protocol, self.device = config.protocol, (device := torch.device(config.device))
        modules = [Stackable(network, config.precision) for network in networks]
        self.module = modules[0].to(device)
        parameters, buffers = stack_module_state([module.to(device) for module in modules])
        self.weights: Weights = {name: value.detach().clone() for name, value in parameters.items()}
        self._buffers: Weights = buffers
        self.best, self.last = ({name: value.clone() for name, value in self.weights.items()} for _ in range(2))
        self.moments = [{name: torch.zeros_like(value) for name, value in self.weights.items()} for _ in BETAS]
        self.steps = torch.zeros(len(networks), device=device)
        self._class_weights = class_weights.to(device)

    def run_step(self, windows: Tensor, targets: Tensor, counted: Tensor, totals: Tensor, *, learn: bool) -> None:
        """Classify windows [runs, batch, bands, frames], add to totals [runs, 2] loss and number right, and learn.

        Targets and counted (1 for a window, 0 for padding) are [runs, batch]; all that changes does so in place.
        """
        batch = (windows, targets, counted, self._class_weights.gather(1, targets))
        if learn:
            compute = vmap(grad_and_value(self._loss, has_aux=True), randomness="different")
            gradients, (losses, right) = compute(self.weights, self._buffers, batch)
            self._update(gradients, counted.any(1))
        else:
            with torch.no_grad():
                compute = vmap(self._loss, randomness="different")
                losses, right = compute(self.weights, self._buffers, batch)
        totals += torch.stack([losses.detach() * counted.sum(1), right.detach()], 1)

    def _loss(
        self, weights: Weights, buffers: Weights, batch: tuple[Tensor, Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Mean loss over one run's counted windows, each times its class' weight, and how many of them are right."""
        windows, targets, counted, weighing = batch
        logits = functional_call(self.module, (weights, buffers), (windows,))
        losses = nn.functional.cross_entropy(logits, targets, reduction="none") * weighing
        # where, not a product: what padding gives may be infinite, and 0 times that is not a number
        losses = torch.where(counted > 0, losses, 0.0)
        right = ((logits.argmax(1) == targets) * counted).sum()
        return losses.sum() / counted.sum().clamp(min=1), right

    def _update(self, gradients: Weights, active: Tensor) -> None:
        """Take a step of torch.optim.SGD or Adam in every active [runs] run; the others stay as they are."""
        self.steps += active
        for name, weight in self.weights.items():
            shape = (-1, *[1] * (weight.dim() - 1))
            moving, gradient = active.view(shape), gradients[name]
            if self.protocol.optimizer == "sgd":
                change = gradient
            else:
                # Kingma and Ba, arXiv:1412.6980, algorithm 1
                for moment, value, beta in zip(self.moments, (gradient, gradient.square()), BETAS, strict=True):
                    moment[name].copy_(torch.where(moving, torch.lerp(value, moment[name], beta), moment[name]))
                first, second = (
                    moment[name] / (1 - beta ** self.steps.view(shape)).clamp(min=1e-12)
                    for moment, beta in zip(self.moments, BETAS, strict=True)
                )
                change = first / (second.sqrt() + EPSILON)
            weight.copy_(torch.where(moving, weight - self.protocol.learning_rate * change, weight))

    def keep(self, chosen: list[bool], going: list[bool]) -> None:
        """Keep the present weights of the chosen runs as their best, and of those still going as their last."""
        for runs, kept in ((chosen, self.best), (going, self.last)):
            mask = torch.tensor(runs, device=self.device)
            for name, value in kept.items():
                value.copy_(torch.where(mask.view(-1, *[1] * (value.dim() - 1)), self.weights[name], value))

    def state(self) -> dict[str, Any]:
        """All that changes from epoch to epoch."""
        kept = {"best": self.best, "last": self.last}
        return {"weights": self.weights, **kept, "moments": self.moments, "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a stored state in place."""
        groups = [(getattr(self, name), state[name]) for name in ("weights", "best", "last")]
        for mine, stored in [*groups, *zip(self.moments, state["moments"], strict=True)]:
            for name, value in mine.items():
                value.copy_(stored[name])
        self.steps.copy_(state["steps"])

    def result_of(self, run: int, weights: Weights) -> Weights:
        """One run of the best or the last weights, keyed as build_network's state_dict."""
        kept = {**self._buffers, **weights}
        names = self.module.state_dict()
        return {name.removeprefix("layers."): kept[name][run].cpu().contiguous() for name in names}
