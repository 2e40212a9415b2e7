"""`classify --scheduler`: workers of Dask share the files, and what is told is the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from support.common import noise, tone
from support.dask_clusters import cluster_in
from support.repository import REPOSITORY


@pytest.mark.long
def test_what_workers_find_in_files_is_what_is_found_here(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project/sounds").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    for number in range(40):
        sound = tone(1.5, 200.0 + 150 * number, 22_050) if number % 2 else noise(1.5, 22_050, seed=number)
        soundfile.write(f"sounds/{number:02d}.wav", 0.5 * sound, 22_050)
    Path("sounds/broken.wav").write_bytes(b"RIFF")

    def classify(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "beyond_spectrograms", "classify", "--model", str(model_folder), *options]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)

    here = classify("--format", "jsonl", "sounds")
    assert here.returncode == 1  # of the one that is broken
    assert len(here.stdout.splitlines()) == 41
    with cluster_in(tmp_path, 2) as cluster:
        there = classify("--format", "jsonl", "--scheduler", str(cluster.file), "sounds")
        refused = classify("--scheduler", str(cluster.file), "-")
    assert there.stdout == here.stdout
    told = [line for line in there.stderr.splitlines(keepends=True) if not line.startswith("engine: dask at tcp://")]
    assert "".join(told) == here.stderr
    assert (refused.returncode, refused.stdout, refused.stderr) == (
        1,
        "",
        "-: standard input is here alone, and --scheduler takes files that all machines see.\n",
    )
