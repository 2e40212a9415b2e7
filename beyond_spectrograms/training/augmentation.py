"""Training windows changed at random, anew in every epoch: shifted, made louder, with noise, mixed with each other.

All of it happens to stored features that the network's first layer has standardised, batch by batch: what is drawn
comes from torch's generator, whose state is kept with a checkpoint, so that a killed run goes on with the same bits.
"""

import torch
from torch import Tensor

from beyond_spectrograms.classifiers.base import Standardize
from beyond_spectrograms.params.protocols import Augmentation


class Augment:
    """Changes batches of standardised windows [windows, .., bands, frames]; targets become shares of classes."""

    def __init__(self, settings: Augmentation, standardize: Standardize, classes: int) -> None:
        self._settings, self._classes = settings, classes
        self._deviation = standardize.deviation[:, None]  # of each band, dB where the features are decibels

    def __call__(self, windows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Change windows, whose targets are [windows] or [windows, classes]; gives them and the shares of classes."""
        settings, changed = self._settings, windows.float()
        one_each = (len(windows), *[1] * (windows.dim() - 1))
        if settings.time_shift is not None:  # frames that leave the window at one end come in at the other
            frames = windows.shape[-1]
            most = int(settings.time_shift * frames)
            shifts = torch.randint(-most, most + 1, one_each)
            changed = changed.gather(-1, ((torch.arange(frames) - shifts) % frames).expand_as(changed))
        if settings.gain is not None:
            changed = changed + settings.gain * (2 * torch.rand(one_each) - 1) / self._deviation
        if settings.noise is not None:
            changed = changed + settings.noise * torch.randn(changed.shape)
        shares = targets if targets.dim() == 2 else torch.nn.functional.one_hot(targets, self._classes).float()
        if settings.mixup is not None:
            # Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; a window's own share is the larger.
            alpha = torch.tensor(settings.mixup)
            drawn = torch.distributions.Beta(alpha, alpha).sample()
            share, others = torch.maximum(drawn, 1 - drawn), torch.randperm(len(windows))
            changed = share * changed + (1 - share) * changed[others]
            shares = share * shares + (1 - share) * shares[others]
        return changed.to(windows.dtype), shares
