"""Residual vector quantisation, with codebooks that follow what they quantise.

Sources: Zeghidour et al., "SoundStream: An End-to-End Neural Audio Codec", 2021 (algorithm 1; exponential moving
averages, k-means at the start, dead entries replaced, quantiser dropout), and Défossez et al., "High Fidelity Neural
Audio Compression", 2022. Codes, latents, commitment and a step of the averages are those of the encodec package
(tests/codec/test_quantizer.py). In training three things differ from the package, whose own code undoes them:

- A dead entry is replaced in the sums, from which a step computes the codebook. The package replaces it in the codebook
  alone, which the same step computes anew from what the sums were. Its count begins at `dead_below`: where fewer
  vectors than that choose it in the step itself, the count falls below, and the next step replaces it again.
- Sums start as k-means' centroids times their counts. The package's start as the centroids, so that the first step
  divides them by the counts.
- The gradient of a later stage's commitment reaches the encoder. In the package each stage passes its residual on
  with a gradient of zero.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

SMOOTHING = 1e-5  # of counts, as if every entry were met so often


class Quantized(NamedTuple):
    """What the quantiser made of latents: `latents` [batch, dim, frames], `codes` [stages, batch, frames].

    `commitment` [stages] is the mean squared distance of each stage's input to its entries.
    """

    latents: torch.Tensor
    codes: torch.Tensor
    commitment: torch.Tensor


class ResidualQuantizer(nn.Module):
    """So many `stages` of codebooks of `entries` vectors [dim]; each quantises what those before it left.

    Entries are means of the vectors they are chosen for, averaged exponentially over steps. One whose average number of
    these is below `dead_below` is dead, and a vector of the batch takes its place.
    """

    codebooks: torch.Tensor  # [stages, entries, dim]
    sums: torch.Tensor  # [stages, entries, dim], averages of the sum of the vectors of an entry
    counts: torch.Tensor  # [stages, entries], averages of their number
    started: torch.Tensor  # whether k-means has made the codebooks

    def __init__(
        self,
        stages: int,
        entries: int,
        dim: int,
        *,
        decay: float = 0.99,
        dead_below: float = 2.0,
        start_iterations: int = 50,
    ) -> None:
        super().__init__()
        self.stages, self.entries, self.dim = stages, entries, dim
        self._decay, self._dead_below, self._start_iterations = decay, dead_below, start_iterations
        self.register_buffer("codebooks", torch.zeros(stages, entries, dim))
        self.register_buffer("sums", torch.zeros(stages, entries, dim))
        self.register_buffer("counts", torch.zeros(stages, entries))
        self.register_buffer("started", torch.tensor(False))

    @torch.no_grad()
    def start(self, latents: torch.Tensor, generator: torch.Generator) -> None:
        """Make every stage's codebook by k-means on what the stages before it leave of `latents` [batch, dim, frames].

        Where they hold fewer vectors than a codebook has entries, some entries are equal and soon die.
        """
        residual = _vectors(latents)
        for stage in range(self.stages):
            drawn = _draw(residual, self.entries, generator)
            centroids, counts = kmeans(residual, drawn, self._start_iterations)
            self.codebooks[stage], self.counts[stage] = centroids, counts.to(centroids.dtype)
            self.sums[stage] = centroids * self.counts[stage][:, None]
            residual = residual - centroids[nearest(residual, centroids)]
        self.started.fill_(True)

    def forward(
        self, latents: torch.Tensor, stages: int | None = None, generator: torch.Generator | None = None
    ) -> Quantized:
        """Quantise `latents` [batch, dim, frames] by the first `stages` (all of them by default).

        While training the codebooks take a step, and the gradient of the result is passed on to `latents` as it is.
        `generator` draws what takes the place of dead entries.
        """
        vectors = _vectors(latents)
        residual, codes, commitment = vectors, [], []
        for stage in range(stages or self.stages):
            chosen = nearest(residual.detach(), self.codebooks[stage])
            quantized = self.codebooks[stage][chosen]  # before the step
            commitment.append(functional.mse_loss(residual, quantized))
            if self.training:
                self._step(stage, residual.detach(), chosen, generator)
            codes.append(chosen)
            residual = residual - quantized
        total = vectors - residual
        if self.training:
            total = vectors + (total - vectors).detach()
        shape = (latents.shape[0], latents.shape[2])
        return Quantized(
            total.view(*shape, self.dim).transpose(1, 2),
            torch.stack(codes).view(-1, *shape),
            torch.stack(commitment),
        )

    @torch.no_grad()
    def _step(self, stage: int, vectors: torch.Tensor, chosen: torch.Tensor, generator: torch.Generator | None) -> None:
        """Let a stage's codebook follow the `vectors` [vectors, dim] and the entries `chosen` [vectors] for them."""
        dead = self.counts[stage] < self._dead_below
        if dead.any():
            drawn = _draw(vectors, self.entries, generator)
            self.sums[stage] = torch.where(dead[:, None], drawn * self._dead_below, self.sums[stage])
            self.counts[stage].masked_fill_(dead, self._dead_below)
        one_hot = functional.one_hot(chosen, self.entries).to(vectors.dtype)
        self.counts[stage].lerp_(one_hot.sum(0), 1 - self._decay)
        self.sums[stage].lerp_(one_hot.T @ vectors, 1 - self._decay)
        counts = self.counts[stage]
        smoothed = (counts + SMOOTHING) / (counts.sum() + self.entries * SMOOTHING) * counts.sum()
        self.codebooks[stage] = self.sums[stage] / smoothed[:, None]


def kmeans(vectors: torch.Tensor, centroids: torch.Tensor, iterations: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Move `centroids` [entries, dim] to the means of the `vectors` [vectors, dim] nearest to them, again and again.

    One that none is nearest to stays where it is.

    Returns:
        the centroids, and how many vectors were nearest to each at the last move [entries].
    """
    counts = torch.zeros(len(centroids), dtype=torch.int64, device=vectors.device)
    for _ in range(iterations):
        one_hot = functional.one_hot(nearest(vectors, centroids), len(centroids))
        counts = one_hot.sum(0)
        means = one_hot.T.to(vectors.dtype) @ vectors / counts.clamp(min=1)[:, None]
        centroids = torch.where(counts[:, None] > 0, means, centroids)
    return centroids, counts


def nearest(vectors: torch.Tensor, entries: torch.Tensor) -> torch.Tensor:
    """Find the nearest of `entries` [entries, dim] for each of the `vectors` [vectors, dim], the first of equals."""
    distance = entries.square().sum(1) - 2 * vectors @ entries.T  # without what is the same for all entries
    return distance.argmin(1)


def _vectors(latents: torch.Tensor) -> torch.Tensor:
    """Lay out latents [batch, dim, frames] as vectors [batch * frames, dim]."""
    return latents.transpose(1, 2).reshape(-1, latents.shape[1])


def _draw(vectors: torch.Tensor, count: int, generator: torch.Generator | None) -> torch.Tensor:
    """Draw `count` of the vectors, each once where there are enough. Drawn on the CPU, the same on every device."""
    if len(vectors) >= count:
        rows = torch.randperm(len(vectors), generator=generator)[:count]
    else:
        rows = torch.randint(0, len(vectors), (count,), generator=generator)
    return vectors[rows.to(vectors.device)]
