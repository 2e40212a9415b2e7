"""Whole files or none, one run in a folder, and what is left of runs that were killed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from beyond_spectrograms.cli import main
from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.util import files
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import (
    claim_work,
    fresh_work,
    locked,
    partial_beside,
    put_back,
    replace_folder,
    write_text,
    written_beside,
)
from support.cells import write_params
from support.common import contents, lay_out, refusal
from support.repository import REPOSITORY, Capture, Patch, Start, stage_here

HOLD = """
import sys
from pathlib import Path
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.files import locked

def main():
    with locked(Path(sys.argv[1])):
        print("in", flush=True)
        sys.stdin.read()

run(main)
"""


@pytest.fixture
def start(start_python: Start) -> Start:
    """Start a process that works in a folder until its standard input ends."""
    return lambda folder: start_python("-c", HOLD, str(folder))


def waited(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def test_a_second_process_is_told_who_works_in_a_folder(tmp_path: Path, start: Start) -> None:
    folder = tmp_path / "work/esc10-mel"
    holder = waited(start(folder))
    second = start(folder)
    told = f"{folder}: another run (pid {holder.pid}) works here. Wait for it, or end it.\n"
    assert (*second.communicate(), second.returncode) == ("", told, 1)
    waited(start(tmp_path / "work/esc10-mfcc"))
    assert (*holder.communicate(), holder.returncode) == ("", "", 0)
    assert not folder.with_name("esc10-mel.lock").exists()
    third = waited(start(folder))
    third.kill()  # its lock ends with it
    assert third.wait() == -signal.SIGKILL
    assert folder.with_name("esc10-mel.lock").exists()
    waited(start(folder))


def test_fresh_work_is_empty_at_first_is_ours_alone_and_is_removed_once_all_went_well(tmp_path: Path) -> None:
    work = tmp_path / "work"
    lay_out(work, {"in/left": b"by a run that was stopped"})
    with suppress(KeyboardInterrupt), fresh_work(work):
        assert list(work.iterdir()) == []
        told = f"{work}: another run (pid {os.getpid()}) works here. Wait for it, or end it."
        assert refusal(ProjectError, fresh_work(work).__enter__) == told
        lay_out(work, {"mine": b""})
        raise KeyboardInterrupt
    assert contents(tmp_path) == {"work/mine": b""}
    with fresh_work(work):
        lay_out(work, {"mine": b""})
    assert list(tmp_path.iterdir()) == []


def test_of_many_processes_that_come_and_go_one_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    inside, entered, refused = [], [], []

    def visit() -> None:
        for _ in range(60):
            try:
                with locked(tmp_path / "work"):
                    inside.append(1)
                    entered.append(len(inside))
                    time.sleep(0.001)
                    inside.pop()
            except ProjectError as error:
                refused.append(str(error))

    # flock is held by what was opened: threads that open the file keep each other out as processes do.
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(visit)
    whos = ("", f" (pid {os.getpid()})")
    assert (set(entered), len(entered) + len(refused)) == ({1}, 240)
    assert set(refused) <= {f"{tmp_path}/work: another run{who} works here. Wait for it, or end it." for who in whos}


def test_what_a_killed_run_left_half_written_is_removed_when_its_folder_is_taken(tmp_path: Path) -> None:
    work = tmp_path / "work"
    for name in ("index.json.4711-0a1b2c3d.partial", "in/a.flac.4711-0a1b2c3d.partial", "in/old.1-0a1b2c3d.partial/x"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("half")
    for name in ("journal.jsonl", "clips.partial", "in/0a1b2c3d.partial"):
        (work / name).write_text("whole")
    for _ in range(2):  # an error inside frees it
        with suppress(KeyboardInterrupt), locked(work):
            assert sorted(contents(work)) == ["clips.partial", "in/0a1b2c3d.partial", "journal.jsonl"]
            assert (tmp_path / "work.lock").read_text() == str(os.getpid())
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [work]


def test_two_at_once_write_one_file_and_each_writes_it_whole(tmp_path: Path) -> None:
    place = tmp_path / "scores.json"
    with written_beside(place) as first, written_beside(place) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert contents(tmp_path) == {"scores.json": b"first"}  # renamed last


def test_a_file_that_fails_leaves_the_one_of_before_and_nothing_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "before")
    with pytest.raises(FileNotFoundError), written_beside(tmp_path / "a") as beside:
        assert beside.write_text("half") + len((tmp_path / "missing").read_text())
    assert contents(tmp_path) == {"a": b"before"}


def test_a_partial_name_says_whose_it_is_and_fits_where_the_name_does(tmp_path: Path) -> None:
    beside = partial_beside(tmp_path / "scores.json")
    assert files.PARTIAL.fullmatch(beside.name)
    assert beside.name.startswith(f"scores.json.{os.getpid()}-")
    for name in ("x" * 255, "ü" * 127, "日" * 85):
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"


def test_files_are_flushed_to_disk_before_they_are_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, str]] = []
    fsync, rename = os.fsync, Path.replace

    def note(opened: int) -> None:
        done.append(("flush", files.PARTIAL.sub("partial", Path(f"/proc/self/fd/{opened}").readlink().name)))
        fsync(opened)

    def note_rename(path: Path, place: Path) -> Path:
        done.append(("rename", place.name))
        return rename(path, place)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "replace", note_rename)
    write_text(tmp_path / "here/a", "text")
    assert done == [("flush", "partial"), ("rename", "a"), ("flush", "here")]
    done.clear()
    (tmp_path / "work/in").mkdir(parents=True)
    (tmp_path / "work/in/b").write_text("text")
    replace_folder(tmp_path / "work", tmp_path / "there/place")
    assert sorted(done[:3]) == [("flush", "b"), ("flush", "in"), ("flush", "work")]
    assert done[3:] == [("rename", "place"), ("flush", "there"), ("flush", tmp_path.name)]


def test_what_dead_runs_left_half_written_is_removed_an_hour_later(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    now = time.time()
    for name, written in {
        f"old.{dead.pid}-0a1b2c3d.partial": now - 3700,
        f"young.{dead.pid}-0a1b2c3d.partial": now - 3500,  # it may run in a container, where it cannot be seen
        f"mine.{os.getpid()}-0a1b2c3d.partial": now - 3700,
        "of_the_user.partial": now - 3700,
    }.items():
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (written, written))
    write_text(tmp_path / "new", "")
    left = [f"mine.{os.getpid()}-0a1b2c3d.partial", "new", "of_the_user.partial", f"young.{dead.pid}-0a1b2c3d.partial"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


OLD = {"features.npy": b"old", "index.json": b"old"}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A finished folder and the place where an older one stands."""
    finished, place = tmp_path / "work", tmp_path / "data/place"
    for folder, text in ((finished, "new"), (place, "old")):
        folder.mkdir(parents=True)
        for name in OLD:
            (folder / name).write_text(text)
    return finished, place


@pytest.mark.parametrize(
    ("lost", "required", "what"),
    [
        (["features.npy"], tuple(OLD), "lacks features.npy"),
        ([*OLD], tuple(OLD), "lacks features.npy and index.json"),
        ([*OLD], (), "holds no file"),
    ],
)
def test_less_does_not_take_the_place_of_more(
    folders: tuple[Path, Path], lost: list[str], required: tuple[str, ...], what: str
) -> None:
    finished, place = folders
    for name in lost:
        (finished / name).unlink()
    (finished / "empty").mkdir()
    told = f"{finished}: {what}, so it is not put in the place of {place}. Run the stage again."
    assert refusal(ProjectError, replace_folder, finished, place, required=required) == told
    assert contents(place) == OLD


@pytest.mark.parametrize("error", [OSError("no space"), KeyboardInterrupt()])
def test_a_folder_that_cannot_be_renamed_in_leaves_the_old_one(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    finished, place = folders
    rename = Path.replace

    def fail(path: Path, where: Path) -> Path:
        if path == finished:
            raise error
        return rename(path, where)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(type(error)):
        replace_folder(finished, place)
    assert contents(place) == OLD
    assert contents(finished) == {"features.npy": b"new", "index.json": b"new"}


def test_a_folder_takes_anothers_place_or_the_old_is_put_back(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    finished, place = folders
    place.replace(tmp_path / "work.replaced")
    put_back(finished, place)
    assert contents(place) == OLD
    place.replace(tmp_path / "work.replaced")
    replace_folder(finished, place, required=tuple(OLD))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    assert contents(tmp_path) == {"data/place/features.npy": b"new", "data/place/index.json": b"new"}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk than `tmp_path`."""
    for disk in map(Path, ("/dev/shm", "/tmp", REPOSITORY)):
        if disk.is_dir() and disk.stat().st_dev != tmp_path.stat().st_dev:
            with tempfile.TemporaryDirectory(dir=disk) as folder:
                yield Path(folder)
            return
    pytest.skip("takes two disks")


def test_a_folder_takes_anothers_place_on_another_disk_and_nothing_half_does(
    tmp_path: Path, folders: tuple[Path, Path], elsewhere: Path, monkeypatch: Patch
) -> None:
    finished, place = folders[0], elsewhere / "metrics/tables"
    folders[1].parent.rename(tmp_path / "unused")
    lay_out(place, OLD)
    copy, copied = shutil.copyfile, list[Path]()

    def stop(path: Path, to: Path) -> None:
        if copied:
            raise KeyboardInterrupt
        copied.append(copy(path, to))

    monkeypatch.setattr(shutil, "copyfile", stop)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(finished, place)
    new = contents(finished)
    assert contents(elsewhere) == {f"metrics/tables/{name}": content for name, content in OLD.items()}
    monkeypatch.undo()
    lay_out(place.with_name(".tables.partial"), {"features.npy": b"half"})  # as a kill leaves it
    place.rename(place.with_name(".tables.partial.replaced"))
    put_back(finished, place)
    assert contents(place) == OLD
    replace_folder(finished, place, required=tuple(OLD))
    assert contents(elsewhere) == {f"metrics/tables/{name}": content for name, content in new.items()}
    assert sorted(path.name for path in place.parent.iterdir()) == ["tables"]
    assert not finished.exists()


def test_stages_that_keep_work_and_train_are_told_who_works_there(project: Path, capsys: Capture) -> None:
    for study in ("prototypes", "codec"):
        write_params(Path(), study=study)
    played = load_study("prototypes").params.grid
    heard = [played.datasets[0], played.representations[0]]
    stages = {
        "data/partial/raw/pets": ["download", "pets"],
        "data/partial/clips/pets": ["resample", "pets"],
        "data/partial/models/paper-pets-mel": ["train", "pets", "mel"],
        f"data/partial/listen/prototypes-{'-'.join(heard)}": ["listen", "--study=prototypes", *heard],
        "data/partial/exported_codecs/codec-environment": ["export_codec", "--study=codec", "environment"],
        "data/partial/run/paper-esc10-mel-fair": ["run"],
    }
    who = f"another run (pid {os.getpid()}) works here. Wait for it, or end it.\n"
    for folder, command in stages.items():
        with locked(Path(folder)):
            assert stage_here(project, *command, expect=1) == f"{folder}: {who}"
    Path("sounds").mkdir()
    with locked(Path("mine.partial-training")):
        assert main(["train", "sounds", "--representation", "mel", "--out", "mine"]) == 1
    assert capsys.readouterr() == ("", f"mine.partial-training: {who}")


def test_a_folder_of_work_is_claimed_where_it_is_new_empty_or_was_claimed_before(tmp_path: Path) -> None:
    for name in ("new", "empty"):
        if name == "empty":
            (tmp_path / name).mkdir()
        for _ in range(2):
            claim_work(tmp_path / name)
            (tmp_path / name / "checkpoint").write_text("mine")
    theirs, link, file = (tmp_path / name for name in ("theirs", "link", "file"))
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years")
    link.symlink_to("nowhere")
    file.write_text("")
    for place in (theirs, link, file):
        told = f"{place}: exists already, and is no work of this program. Move it away, or choose another --out."
        assert refusal(ProjectError, claim_work, place) == told
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]
