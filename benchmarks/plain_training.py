"""Training the plain way, as a competent user of torch would write it: the yardstick for `training`, never a result.

A DataLoader over a list of (window, target), torch's own layers in the order of the paper, its default threads, fp32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from beyond_spectrograms.params import Protocol
    from beyond_spectrograms.representations.base import Features


def plain_network(bands: int, frames: int, classes: int) -> nn.Sequential:
    """Build the released code's network from torch's layers; windows [windows, bands, frames] give logits."""
    pooled = ((frames - 4) // 5 - 4) // 5
    return nn.Sequential(
        nn.Conv1d(bands, 128, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool1d(5),
        nn.Conv1d(128, 256, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool1d(5),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(256 * pooled, classes),
    )


class PlainTraining:
    """One run of a protocol on conv1d, for as many epochs as `epoch` is called; draws from torch's global generator.

    Attributes:
        network: what is trained.
    """

    def __init__(
        self,
        protocol: Protocol,
        features: Features,
        targets: npt.NDArray[np.int64],
        rows: dict[str, npt.NDArray[np.int64]],
        classes: int,
    ) -> None:
        """Load the windows of rows["train"] and rows["validation"] of features [windows, bands, frames]."""
        train = torch.from_numpy(features[rows["train"]])
        mean, deviation = torch.zeros(features.shape[1], 1), torch.ones(features.shape[1], 1)
        if protocol.standardize:
            mean, deviation = (measure(train, (0, 2), keepdim=True)[0] for measure in (torch.mean, torch.std))
        self._loaders: dict[str, DataLoader[tuple[Tensor, Tensor]]] = {}
        for part, mine in rows.items():
            windows = (torch.from_numpy(features[mine]) - mean) / deviation
            data = list(zip(windows, torch.from_numpy(targets[mine]), strict=True))
            shuffle = part == "train" and protocol.shuffle_each_epoch
            self._loaders[part] = DataLoader(cast("Any", data), batch_size=protocol.batch_size, shuffle=shuffle)
        self._dropout_at_evaluation = protocol.dropout_at_evaluation
        self.network = plain_network(features.shape[1], features.shape[2], classes)
        optimizer = torch.optim.Adam if protocol.optimizer == "adam" else torch.optim.SGD
        self._optimizer = optimizer(self.network.parameters(), lr=protocol.learning_rate)

    def epoch(self) -> tuple[float, float, float, float]:
        """Train once over all windows, then validate: accuracy and loss of training, then of validation."""
        self.network.train()
        training = self._go_over("train")
        self.network.train(self._dropout_at_evaluation)
        with torch.no_grad():
            return *training, *self._go_over("validation")

    def _go_over(self, part: str) -> tuple[float, float]:
        right, loss_sum, count = 0, 0.0, 0
        for windows, targets in self._loaders[part]:
            logits = self.network(windows)
            loss = nn.functional.cross_entropy(logits, targets)
            if torch.is_grad_enabled():
                self._optimizer.zero_grad()
                torch.autograd.backward(loss)
                self._optimizer.step()
            loss_sum += loss.item() * len(targets)
            right += int((logits.argmax(1) == targets).sum())
            count += len(targets)
        return right / count, loss_sum / count
