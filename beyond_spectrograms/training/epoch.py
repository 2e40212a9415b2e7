"""One epoch of one run: windows prepared once, batches without per-window Python, forward and backward.

Nine tenths of a step are torch's convolutions, which run as fast as a large matrix product: fp32 cannot be faster, and
bf16 is twice as fast where the processor has it (`choose_precision`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from beyond_spectrograms.data.feature_shards import Shards
from beyond_spectrograms.data.windows import release
from beyond_spectrograms.representations.base import Features

Rows = npt.NDArray[np.int64]  # of a table of windows, in some order
Outcome = tuple[float, float]  # accuracy and loss, means over a subset's windows
HELD_BYTES = 2**30  # larger subsets are read batch by batch and not held in memory: of shards in another order
BLOCK = 256  # windows prepared at a time
BUFFER = 8  # shards among which windows of a subset that is not held are shuffled


def choose_precision(precision: str, device: str) -> str:
    """Resolve `auto` to bf16 where the processor multiplies it natively, else to fp32, which is then faster."""
    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


@dataclass(frozen=True)
class Network:
    """A classifier of build_network, split in three."""

    front: nn.Sequential  # leading layers without weights, applied once: their output is the same in every epoch
    body: nn.Sequential  # layers in between, which may compute in bf16
    head: nn.Module  # the last, linear layer; it and the loss are always fp32
    dtype: torch.dtype  # what the body's convolutions compute in

    @classmethod
    def split(cls, network: nn.Sequential, precision: str) -> "Network":
        """Split without copying: the parts share the network's weights."""
        layers = list(network)
        weighty = (index for index, layer in enumerate(layers) if list(layer.parameters()))
        first = next(weighty, len(layers) - 1)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        return cls(nn.Sequential(*layers[:first]), nn.Sequential(*layers[first:-1]), layers[-1], dtype)

    def logits(self, windows: Tensor) -> Tensor:
        """Classify windows that went through `front`; gives fp32 logits [windows, classes]."""
        with torch.autocast(windows.device.type, self.dtype, enabled=self.dtype != torch.float32):
            hidden = self.body(windows)
        logits: Tensor = self.head(hidden.float())
        return logits


def keep_near(order: Tensor, rows: Rows, features: Features) -> Tensor:
    """Change an order of `rows` into one that reads few shards at a time; of one array nothing changes.

    Shards come in the order in which `order` meets them; windows of every BUFFER of them stay as `order` has them among
    each other. So what a run's seed shuffles is still shuffled by that seed alone.
    """
    if not isinstance(features, Shards):
        return order
    shards = features.shards_of(rows[order.numpy()])
    first = np.full(shards.max() + 1, len(shards))
    first[shards[::-1]] = np.arange(len(shards))[::-1]  # of several places the last that is written, which comes first
    buffer = np.argsort(np.argsort(first)) // BUFFER  # of each shard, by where it is met
    return order[torch.from_numpy(np.argsort(buffer[shards], kind="stable"))]


class Subset:
    """Windows of one part of a split, in the order of `rows`, and their targets, as the network's `body` takes them.

    Where they are in shards and are not held in memory, each epoch goes through them by `keep_near`: another order
    than that of one array or of windows that are held, with other weights in the end.
    """

    def __init__(self, network: Network, features: Features, targets: npt.NDArray[Any], rows: Rows) -> None:
        self._network, self._features, self._rows = network, features, rows
        self._targets = torch.from_numpy(targets[rows])
        one = self._ready(rows[:1])
        self._held: Tensor | None = None
        if one.nbytes * len(rows) <= HELD_BYTES:
            self._held = one.new_empty((len(rows), *one.shape[1:]))
            # In the table's order where they are in shards: each is read once.
            places = np.argsort(rows) if isinstance(features, Shards) else np.arange(len(rows))
            for block in np.split(places, range(BLOCK, len(places), BLOCK)):
                self._held[torch.from_numpy(block)] = self._ready(rows[block])

    def __len__(self) -> int:
        """Count its windows."""
        return len(self._rows)

    def order(self, *, shuffle: bool) -> Tensor:
        """Give the order [windows] of an epoch, shuffled by torch's generator or always the same."""
        order = torch.randperm(len(self)) if shuffle else torch.arange(len(self))
        return order if self._held is not None else keep_near(order, self._rows, self._features)

    def _ready(self, rows: Rows) -> Tensor:
        """Read windows and apply `front`; channels come last, in memory side by side, as convolutions want them."""
        windows = torch.from_numpy(self._features[rows]).to(torch.float32)
        release(self._features)
        with torch.no_grad():
            ready: Tensor = self._network.front(windows).movedim(1, -1)
        # In the convolutions' dtype where one comes first; the numbers of codes stay exact.
        convolves = isinstance(next(iter(self._network.body), None), nn.Conv1d | nn.Conv2d)
        return torch.empty(ready.shape, dtype=self._network.dtype if convolves else torch.float32).copy_(ready)

    def batch(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Give the windows at `places` [batch] of this subset's order and their targets [batch, ..]."""
        windows = self._ready(self._rows[places.numpy()]) if self._held is None else self._held[places]
        return windows.movedim(-1, 1), self._targets[places]


def run_epoch(
    network: Network,
    subset: Subset,
    order: Tensor,
    batch_size: int,
    optimizer: torch.optim.Optimizer | None,
    *,
    class_weights: Tensor | None = None,
    augment: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
) -> Outcome:
    """Go once over `order` [windows] of the subset, training where there is an optimizer.

    Dropout is as the layers' mode says. Gives accuracy and loss as means over all windows; where there are class
    weights [classes], the loss of a window times that of its class. `augment` changes windows and targets, which become
    shares of classes; what is right is judged by the windows' own. Where windows have several classes, the loss is
    binary cross-entropy, the mean over classes, and the accuracy the share of classes of windows that are told right.
    """
    right, loss_sum = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    with torch.set_grad_enabled(optimizer is not None):
        for places in torch.split(order, batch_size):
            windows, targets = subset.batch(places)
            wanted = targets
            if augment is not None:
                windows, wanted = augment(windows, targets)
            logits = network.logits(windows)
            if targets.dim() == 2:
                loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted.to(logits.dtype))
            elif class_weights is None:
                loss = nn.functional.cross_entropy(logits, wanted)
            else:  # not torch's weighted mean, which would depend on how the windows fall into batches
                loss = nn.functional.cross_entropy(logits, wanted, class_weights, reduction="sum") / len(targets)
            if optimizer is not None:
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimizer.step()
            loss_sum += loss.detach() * len(targets)
            if targets.dim() == 2:
                right += ((logits.detach() > 0) == targets.bool()).double().mean(1).sum()
            else:
                right += (logits.detach().argmax(1) == targets).sum()
    return right.item() / len(order), loss_sum.item() / len(order)


def band_statistics(features: Features, rows: Rows) -> tuple[Features, Features]:
    """Mean and standard deviation of each band over `rows` of features [windows, bands, frames], each [bands].

    A band that never changes gets deviation 1, so that it stays zero. Of shards that are larger than memory rows are
    read in the table's order, which may change the last bits of the sums.
    """
    if isinstance(features, Shards) and len(rows) * features[:1].nbytes > HELD_BYTES:
        rows = np.sort(rows)

    def blocks() -> Iterator[Features]:
        for first in range(0, len(rows), BLOCK):
            release(features)
            yield features[rows[first : first + BLOCK]]

    count = len(rows) * features.shape[2]
    mean = sum(block.sum(axis=(0, 2), dtype=np.float64) for block in blocks()) / count
    squares = (np.square(block - mean[:, None], dtype=np.float64).sum(axis=(0, 2)) for block in blocks())
    deviation = np.sqrt(sum(squares) / count)
    return mean.astype(np.float32), np.where(deviation > 0, deviation, 1.0).astype(np.float32)
