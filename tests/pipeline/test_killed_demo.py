"""A demo that is killed in the middle goes on, and ends with the bytes of one that was left alone."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.clones import DEMO, commit, contents, dvc, environment, ran, run, stage, tiny


@pytest.mark.long
def test_a_demo_that_was_killed_three_times_ends_with_the_same_bytes(project: Path, tmp_path: Path) -> None:
    demo, folder = project, tmp_path / "killed"
    random = np.random.default_rng(0)
    folder.mkdir()
    tiny(folder)
    for _ in range(3):
        kill_midway(folder, int(random.integers(1, 5)), random.uniform(0, 5))
        stage(folder, "locks")
    dvc(folder, "repro", DEMO)
    commit(folder, "results")
    assert lines_of(run(folder, "git", "diff", "--name-only", "HEAD~1")) == lines_of(
        run(demo, "git", "diff", "--name-only", "HEAD~1")
    )
    ended, undisturbed = (decided(each) for each in (folder, demo))
    assert sorted(ended) == sorted(undisturbed)
    assert [name for name in ended if ended[name] != undisturbed[name]] == []
    assert ran(dvc(folder, "repro", DEMO)) == []


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if "plots/" not in line]


def kill_midway(folder: Path, stages_begun: int, seconds: float) -> None:
    """Kill DVC and its stage some time after it began so many stages, unless it is through by then."""
    command = [sys.executable, "-u", "-m", "dvc", "repro", DEMO]
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        begun = 0
        for line in process.stdout:
            begun += line.startswith("Running stage")
            if begun == stages_begun:
                break
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(seconds)
        os.killpg(process.pid, signal.SIGKILL)


TIMED = ("costs.json", "scores.json", "claims.json", "dvc.lock")  # hold seconds, or digests of what does


def decided(folder: Path) -> dict[str, bytes]:
    """Read what a finished demo left that holds no times: sounds, features, weights, answers, results."""
    places = ["data/raw", "data/clips", "data/splits", "data/params", "data/features", "data/models"]
    found = contents(folder, [*places, "studies/demo/metrics"])
    return {
        name: content
        for name, content in found.items()
        if not name.endswith(TIMED)
        and not ("/models/" in name and re.search(r"seed_\d+\.json$", name))
        and "/tables/" not in name
    }
