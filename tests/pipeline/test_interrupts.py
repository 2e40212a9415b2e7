"""SIGINT and SIGTERM at any point: a line, the status a shell expects, no process, lock or half file left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.clones import dvc, edit, environment, run
from support.repository import REPOSITORY
from support.staged import STEPS, Staged, decided, half_written, left_over
from support.warmed import Ended, Fault, warmed

SIGNALS = ("SIGINT", "SIGTERM")
GOES_ON = "; the same command goes on where it was, by what is in mine.partial-training"
WAITING = """
import time
from pathlib import Path
from beyond_spectrograms.util.commands import run_stage

def main() -> None:
    Path("begun").touch()
    for _ in range(0 if Path("at once").exists() else 6000):
        time.sleep(0.1)  # no longer: Python hears of a signal that comes right before a sleep after it
    Path("made").write_text("made")

run_stage(main)
"""


def assert_stopped(ended: Ended, name: str) -> None:
    """Check how it ended; that `train` goes on is told where it has begun."""
    assert ended.errors.splitlines()[-1].removesuffix(GOES_ON) == f"stopped by {name}"
    assert "Traceback" not in ended.errors
    assert (ended.status, ended.left, left_over(ended.folder)) == (128 + signal.Signals[name], 0, [])


def is_made(folder: Path, step: str) -> bool:
    """Say whether a step has written its model, which is not made again, and has nothing more to do."""
    model = folder / STEPS[step][-1]
    return model.is_dir() and not model.with_name(f"{model.name}.partial-training").exists()


@pytest.mark.long
@pytest.mark.parametrize("step", list(STEPS))
def test_who_is_stopped_at_any_points_says_so_in_a_line_and_ends_with_the_same_at_last(
    project_by_stages: Staged, tmp_path: Path, step: str
) -> None:
    staged = project_by_stages
    folder, before, after = staged.copy(step, tmp_path / "project"), decided(staged.before(step)), staged.after[step]
    for name in SIGNALS:
        for point in staged.points(step, name):
            if is_made(folder, step):
                break
            ended = staged.process.run(folder, *STEPS[step], fault=Fault(name, point))
            if ended.status == 0:  # it had less to do than the first time
                break
            assert_stopped(ended, name)
            found = decided(folder)
            assert half_written(found, before, after) == set(), point
    if not is_made(folder, step):
        last = staged.process.run(folder, *STEPS[step])
        assert (last.status, "Traceback" in last.errors) == (0, False), last.errors
    assert decided(folder) == after


@pytest.mark.long
@pytest.mark.parametrize("name", SIGNALS)
def test_processes_that_train_end_at_once_with_the_one_that_is_stopped(
    project_by_stages: Staged, tmp_path: Path, name: str
) -> None:
    folder = project_by_stages.copy("train", tmp_path / "project")
    endless = {f"protocols.{each}.epochs": 10**6 for each in ("fair", "mean_linear")} | {
        "protocols.fair.patience": None
    }
    edit(folder, "params.yaml", endless)
    edit(folder, "datasets/packed.yaml", {"max_epochs": None})
    ended = project_by_stages.process.run(folder, *STEPS["train"], fault=Fault(name, after=1))
    assert ended.errors == f"stopped by {name}\n"
    assert_stopped(ended, name)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_stage_that_is_stopped_while_it_imports_says_so_in_a_line(tmp_path: Path, name: str) -> None:
    with warmed() as cold:
        ended = cold.run(tmp_path, "stages.split", "esc10", fault=Fault(name, importing="pandas"))
    assert ended.errors == f"stopped by {name}\n"
    assert_stopped(ended, name)


def test_a_server_that_is_ended_says_so_in_a_line(model_folder: Path) -> None:
    """By SIGINT every server of these tests ends."""
    command = [sys.executable, "-m", "beyond_spectrograms", "serve", "--model", str(model_folder), "--port", "0"]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().endswith(" (Ctrl+C ends it)\n")
        process.terminate()
        output, errors = process.communicate()
    assert (output, errors, process.returncode) == ("", "stopped by SIGTERM\n", 128 + signal.SIGTERM)


@pytest.mark.long
@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])  # Debian's sh stays between DVC and the stage
@pytest.mark.parametrize("name", SIGNALS)
def test_a_stage_ends_with_the_dvc_that_runs_it(tmp_path: Path, name: str, shell: str) -> None:
    dvc(tmp_path, "init", "-q", "--no-scm")
    (tmp_path / "waiting.py").write_text(WAITING)
    stage = {"cmd": f"{sys.executable} waiting.py", "outs": ["made"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"wait": stage}}))
    surroundings = environment(REPOSITORY) | {"SHELL": shell}
    command = [sys.executable, "-m", "dvc", "repro", "-q"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=surroundings, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            os.sched_yield()
        # A terminal's Ctrl+C comes to all of them, `kill` to one.
        (os.killpg if name == "SIGINT" else os.kill)(process.pid, signal.Signals[name])
        _, errors = process.communicate()  # until the last process that has its stderr has ended
    assert f"stopped by {name}\n" in errors
    assert "Traceback" not in errors
    (tmp_path / "at once").touch()
    run(tmp_path, *command, code=REPOSITORY)
    assert (tmp_path / "made").read_text() == "made"
