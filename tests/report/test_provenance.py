import json
import subprocess
from pathlib import Path

import pytest

from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.page.provenance import clock, commit, durations, lock_digests, origin
from support.cells import write


def test_seconds_are_told_as_people_tell_them() -> None:
    told = [clock(seconds) for seconds in (None, 4.24, 59.94, 192, 3599.6, 3960)]
    assert told == ["-", "4.2 s", "59.9 s", "3 min 12 s", "1 h 00 min", "1 h 06 min"]


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    finished = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return finished.stdout.strip()


def test_the_commit_is_named_and_so_is_what_is_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == "not known"
    git(tmp_path, "init", "-q")
    assert commit() == "not known"  # no commit yet
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit() == head
    write(tmp_path / "new.txt", "new")
    assert commit() == f"{head} + uncommitted changes"


def test_digests_of_data_are_those_of_the_lock(tmp_path: Path) -> None:
    assert lock_digests(tmp_path / "dvc.lock") == {}
    outs = "outs:\n    - {path: data/raw/esc10, hash: md5, md5: ab.dir, size: 41494148, nfiles: 401}\n"
    write(tmp_path / "dvc.lock", f"schema: '2.0'\nstages:\n  download@esc10:\n    cmd: x\n    {outs}")
    digests = lock_digests(tmp_path / "dvc.lock")
    assert digests == {"data/raw/esc10": "md5 ab.dir, 41,494,148 bytes in 401 files"}
    source = {"kind": "archive", "url": "https://a.org/b.zip", "bytes": None}
    write(tmp_path / "clips.json", json.dumps({"clips": 2000, "set_aside_count": 0, "source": source}))
    assert origin("esc10", tmp_path / "clips.json", digests) == [
        ("kind", "archive"),
        ("URL", "https://a.org/b.zip"),
        ("usable clips", "2,000"),
        ("files set aside", "0"),
        ("data/raw (dvc.lock)", "md5 ab.dir, 41,494,148 bytes in 401 files"),
        ("data/clips (dvc.lock)", "not known"),
    ]


def test_durations_are_those_of_the_stages_last_runs_here(
    page_results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for run, seconds in (("download-esc10", 2.5), ("train-esc10-mel", 60), ("train-esc10-soundstream", 30)):
        write(tmp_path / f"data/durations/paper/{run}.json", json.dumps({"seconds": seconds}))
    write(tmp_path / "data/durations/demo/featurize-esc10-mel.json", json.dumps({"seconds": 7}))  # another study's
    told = {duration.stage: (duration.seconds, duration.what) for duration in durations(page_results, "paper")}
    assert told["download"] == (2.5, "1 of 1 runs; the others were not run here")
    assert told["train"] == (90, "2 of 4 runs; the others were not run here")
    assert told["featurize"] == (None, "not run here")
    assert told["training alone"][0] == pytest.approx(4 * 30 * (1 + 3))  # paper has one fold, fair three
