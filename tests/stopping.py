"""A training that is stopped in between, as by Ctrl-C, and then goes on."""

import pytest

from beyond_spectrograms import training
from beyond_spectrograms.runs import Job


def train_in_two(job: Job, epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the run right after its checkpoint of `epochs`, then let it go on to its end."""
    save = training._save_checkpoint

    def stop(mine: Job, state: training.State, mark: str) -> None:
        save(mine, state, mark)
        if len(state.course.history) == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(training, "_save_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        training.train(job)
    monkeypatch.setattr(training, "_save_checkpoint", save)
    training.train(job)


def results_of(*jobs: Job) -> list[bytes]:
    """Give the weights' files of trained runs."""
    return [(job.work / f"{job.name}.safetensors").read_bytes() for job in jobs]
