"""Classes known by texts alone: a window is of the class whose prompts its embedding is nearest to.

Source: CLIP (Radford et al. 2021), section 3.1, with sound in place of images as in CLAP (Wu et al. 2023).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from beyond_spectrograms.classifiers.summaries import Summary
from beyond_spectrograms.params.protocols import LABEL
from beyond_spectrograms.representations.base import Features, Representation


class Similarity(nn.Module):
    """Takes embeddings [windows, values]; logits are their cosines with the classes' texts, scaled."""

    class_vectors: Tensor  # [classes, values], each as long as the scale: none is learned, `class_vectors` has them

    def __init__(self, values: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("class_vectors", torch.zeros(classes, values))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Give logits [windows, classes]."""
        return nn.functional.normalize(embeddings) @ self.class_vectors.T


def build(bands: int, frames: int, classes: int) -> nn.Sequential:  # noqa: ARG001  the contract of the others
    """Build the network: windows [windows, bands, frames] -> logits [windows, classes]."""
    return nn.Sequential(Summary(deviation=False), Similarity(bands, classes))


def class_vectors(tower: Representation, classes: Sequence[str], prompts: Sequence[str]) -> Features:
    """Embed classes as [classes, bands]: the mean of a class's prompts, brought to the length of the model's scale.

    A prompt holds {label}, in whose place stands the class's name, `_` read as a space.

    Raises:
        RepresentationError: the representation has no text tower.
    """
    vectors = []
    for label in classes:
        texts = [prompt.replace(LABEL, label.replace("_", " ")) for prompt in prompts]
        embedded, scale = tower.embed_text(texts)
        mean = embedded.mean(axis=0, dtype=np.float64)
        vectors.append(scale * mean / np.linalg.norm(mean))
    return np.stack(vectors).astype(np.float32)
