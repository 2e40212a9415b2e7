"""Work that is stopped in between, by Ctrl-C or by SIGKILL, and then goes on.

Who is to be killed at a certain point kills itself there: whoever watches from outside may come too late.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.training import loop, run
from beyond_spectrograms.training.run import Checkpoint, RunConfig
from support.repository import REPOSITORY


def signalled_in(function: str, when: str, name: str = "SIGKILL") -> str:
    """Write the head of a Python program that sends itself a signal after a call of module:function.

    It comes at the end of each call after which `when` holds: a Python expression, of `calls`, the number of calls so
    far, and of files. Other threads are wherever they are.
    """
    module, called = function.split(":")
    return (
        "import importlib, os, signal, threading\n"
        "from pathlib import Path\n"
        f"module = importlib.import_module({module!r})\n"
        f"original, calls, lock = module.{called}, 0, threading.Lock()\n"
        "def counted(*arguments, **options):\n"
        "    global calls\n"
        "    result = original(*arguments, **options)\n"
        "    with lock:\n"
        "        calls += 1\n"
        f"        if {when}:\n"
        f"            os.kill(os.getpid(), signal.{name})\n"
        "    return result\n"
        f"module.{called} = counted\n"
    )


def running(stage: str) -> str:
    """Write the rest of a program that runs a stage."""
    return f"import runpy\nrunpy.run_module('stages.{stage}', run_name='__main__')\n"


def kill_in(function: str, when: str, program: str, *arguments: str, folder: Path | None = None) -> None:
    """Run a Python program that SIGKILL ends at the first call of the function that `signalled_in` tells of."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run(
        [sys.executable, "-c", signalled_in(function, when) + program, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def kill_stage_in(function: str, when: str, stage: str, *arguments: str, folder: Path) -> None:
    """Run a stage in `folder` that SIGKILL ends as `kill_in` says."""
    kill_in(function, when, running(stage), *arguments, folder=folder)


def kill_training_in(function: str, call: int, train: str, work: Any, folder: Path) -> None:
    """Train `work` by beyond_spectrograms.<train>, with checkpoints after all epochs, until a call of the function."""
    module, _, name = train.rpartition(".")
    (folder / "work.pickle").write_bytes(pickle.dumps(work))
    program = (
        "import pickle, sys\n"
        "from beyond_spectrograms.training import run\n"
        f"run.CHECKPOINT_SECONDS = 0\nmodule.{name}(pickle.load(open(sys.argv[1], 'rb')))\n"
    )
    assert function.startswith(f"beyond_spectrograms.{module}:")
    kill_in(function, f"calls == {call}", program, str(folder / "work.pickle"))


def stop_at_checkpoint(module: Any, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do work that Ctrl-C ends right after the first checkpoint that `module` writes, which is due at once."""
    write = module.write_checkpoint

    def stop(path: Path, values: Any) -> None:
        write(path, values)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "CHECKPOINT_SECONDS", -1)
        patch.setattr(module, "write_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            work()


def interrupt_after(config: RunConfig, epochs: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stop the run right after its checkpoint of `epochs`; give that checkpoint."""
    save = Checkpoint.save

    def stop(self: Checkpoint, learned: Any, states: Any) -> None:
        save(self, learned, states)
        if len(states[0].history) == epochs:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "CHECKPOINT_SECONDS", 0)
        patch.setattr(Checkpoint, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            loop.train(config)
    return config.work / f"{config.name}.checkpoint.pt"


def train_in_two(config: RunConfig, epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the run right after its checkpoint of `epochs`, then let it go on to its end."""
    interrupt_after(config, epochs, monkeypatch)
    loop.train(config)


def results_of(*configs: RunConfig) -> list[bytes]:
    """Give the weights' files of trained runs."""
    return [(config.work / f"{config.name}.safetensors").read_bytes() for config in configs]
