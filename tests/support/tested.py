"""Tested recordings to put intervals around."""

import numpy as np
from numpy.typing import ArrayLike

from beyond_spectrograms.evaluation.clip_results import Recordings
from beyond_spectrograms.params import Statistics

SETTINGS = Statistics(confidence=0.95, resamples=9999, seed=0, minimum_sources=30, minimum_runs=5)


def cell(windows_right: ArrayLike, windows: int = 5, folds: int = 5, name: str = "mel-fair") -> Recordings:
    """Make a cell from its right windows [seeds, recordings]; a recording is right where most of its windows are."""
    counts = np.atleast_2d(np.asarray(windows_right))
    seeds, recordings = counts.shape
    return Recordings(
        cell=name,
        clips=tuple(f"{number:05d}.wav" for number in range(recordings)),
        labels=("bird",) * recordings,
        sources=tuple(f"{number:05d}" for number in range(recordings)),
        seeds=tuple(range(seeds)),
        folds=np.arange(recordings) % folds + 1,
        windows=np.full(recordings, windows),
        windows_right=counts,
        right=2 * counts > windows,
        right_by_seeds=2 * counts.mean(0) > windows,
    )


def clustered(seeds: int, recordings: int, chance: float = 0.7, seed: int = 0) -> np.ndarray:
    """Draw right windows of 5 [seeds, recordings]; some recordings are far easier than others."""
    generator = np.random.default_rng(seed)
    easy = generator.beta(2 * chance, 2 * (1 - chance), recordings)
    return generator.binomial(5, easy, size=(seeds, recordings))
