"""What a killed training leaves behind, so that the next one goes on from there with the same bits."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from beyond_spectrograms.training.run import TrainingState
from beyond_spectrograms.util.checkpoints import take_up, write_checkpoint

CHECKPOINT_SECONDS = 30.0  # what a killed training loses at most


class Checkpoint:
    """One file for runs that are trained at once: weights, optimizers and random state, and how far each run is.

    It belongs to runs of these fingerprints, and is ignored where they are others.
    """

    def __init__(self, path: Path, fingerprints: Sequence[str]) -> None:
        self.path, self._fingerprints = path, list(fingerprints)
        self._saved = time.perf_counter()

    def is_due(self) -> bool:
        """Say whether it is time to save."""
        return time.perf_counter() - self._saved > CHECKPOINT_SECONDS

    def save(self, learned: Mapping[str, Any], states: Sequence[TrainingState]) -> None:
        """Write what was learned (tensors and plain values) and the state of each run."""
        values = {
            "fingerprints": self._fingerprints,
            "learned": dict(learned),
            "states": [asdict(state) for state in states],
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        }
        write_checkpoint(self.path, values)
        self._saved = time.perf_counter()

    def load(self) -> tuple[dict[str, Any], list[TrainingState]] | None:
        """Read what was saved and restore the random state; None where there is nothing, or it is not of these runs."""
        saved = take_up(self.path)
        if saved is None or saved["fingerprints"] != self._fingerprints:
            return None
        torch.set_rng_state(saved["random"])
        if saved["cuda_random"] is not None:
            torch.cuda.set_rng_state(saved["cuda_random"])
        return saved["learned"], [TrainingState(**state) for state in saved["states"]]

    def remove(self) -> None:
        """Delete the file, once results are written."""
        self.path.unlink(missing_ok=True)
