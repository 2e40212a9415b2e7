"""A probe that learns which frames to look at: attention pooling over time, then a linear layer."""

import torch
from torch import Tensor, nn

HIDDEN = 128  # units of the small network that weighs frames, as in the source


class AttentionPooling(nn.Module):
    """Takes windows [windows, bands, frames], gives logits [windows, classes] of a weighted mean of their frames.

    Source: Ilse et al., "Attention-based deep multiple instance learning", ICML 2018, equations 7 and 8: a frame's
    weight is the softmax over frames of w . tanh(V frame). One layer, so that all of it is computed in fp32.
    """

    def __init__(self, bands: int, frames: int, classes: int) -> None:  # noqa: ARG002  the contract of the others
        super().__init__()
        self.hidden = nn.Linear(bands, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1, bias=False)  # a constant added to all scores would change no weight
        self.linear = nn.Linear(bands, classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Give logits."""
        weights = self.weigh(windows)
        logits: Tensor = self.linear((weights[:, None] * windows).sum(2))
        return logits

    def weigh(self, windows: Tensor) -> Tensor:
        """Give the weight of each frame [windows, frames]; those of a window add up to 1."""
        scores: Tensor = self.score(torch.tanh(self.hidden(windows.transpose(1, 2))))
        return scores[:, :, 0].softmax(1)
