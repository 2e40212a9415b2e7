"""Places and files of a kind that a command does not expect: told in a line, nothing waits, nothing is replaced."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import Run, Write

from beyond_spectrograms.cli import main
from support.common import tone
from support.repository import Capture

ON_MEL = ("--representation", "log_mel_2048_50hz")


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    """Make a link that leads to itself."""
    path = tmp_path / "loop.wav"
    path.symlink_to(path)
    return path


def told(capsys: Capture, *arguments: object) -> tuple[int, str]:
    """Run a command; give its exit status and what it says on stderr."""
    status = main([str(argument) for argument in arguments])
    return status, capsys.readouterr().err


def test_a_link_that_leads_to_itself_is_no_sound(run: Run, loop: Path) -> None:
    status, _, error = run("segment", loop)
    assert (status, error) == (1, f"{loop}: too many levels of symbolic links\n")


def test_a_link_that_leads_to_itself_is_no_folder_of_sounds(capsys: Capture, loop: Path, tmp_path: Path) -> None:
    status, error = told(capsys, "train", loop, *ON_MEL, "--out", tmp_path / "model")
    assert status == 1
    assert error == f"{loop}: no such folder. A data set's path has one sub-folder a class.\n"


@pytest.mark.parametrize("out", [".", "/", "dangling"])
def test_a_model_takes_no_place_that_is_taken_or_has_no_name(
    out: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dangling").symlink_to("nowhere")
    Path("sounds").mkdir()
    status, error = told(capsys, "train", "sounds", *ON_MEL, "--out", out)
    assert (status, error) == (1, f"{out}: exists already. Choose another name, or remove it.\n")


@pytest.mark.parametrize("inside", ["", "/sounds"])
def test_sounds_are_not_worked_on_and_removed_with_the_work(
    inside: str, capsys: Capture, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    work = Path("mine.partial-training")
    sounds = Path(f"{work}{inside}")
    for label in ("high", "low"):
        (sounds / label).mkdir(parents=True)
        write("one.wav", tone(1, 300)).rename(sounds / label / "one.wav")
    status, error = told(capsys, "train", sounds, *ON_MEL, "--out", "mine")
    where = f"{sounds}: lies in {work}, where mine would be worked on and which is then removed"
    assert (status, error) == (1, f"{where}. Choose another --out.\n")
    assert len(list(sounds.rglob("*.wav"))) == 2


def test_a_folder_that_has_the_name_of_the_work_is_left_alone(
    capsys: Capture, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for label in ("high", "low"):
        Path("sounds", label).mkdir(parents=True)
        write("one.wav", tone(1, 300)).rename(Path("sounds", label, "one.wav"))
    Path("mine.partial-training").mkdir()
    Path("mine.partial-training/thesis.txt").write_text("years")
    status, error = told(capsys, "train", "sounds", *ON_MEL, "--out", "mine")
    where = "mine.partial-training: exists already, and is no work of this program"
    assert (status, error) == (1, f"{where}. Move it away, or choose another --out.\n")
    assert Path("mine.partial-training/thesis.txt").read_text() == "years"


def test_a_report_and_a_graph_replace_nothing_of_others_where_work_was_left(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("mine-report/low", "sounds", "mine.partial-training"):
        Path(folder).mkdir(parents=True)
    Path("mine.partial-training/.beyond-spectrograms").touch()
    Path("mine-report/low/one.wav").write_text("a sound")
    for sounds in ("mine-report", "mine-report/low"):
        status, error = told(capsys, "train", sounds, *ON_MEL, "--out", "mine")
        where = f"{sounds}: lies in mine-report, where the report of mine is written"
        assert (status, error) == (1, f"{where}. Choose another --out.\n")
    taken = "{}: exists already. Move it away, or choose another --out.\n"
    assert told(capsys, "train", "sounds", *ON_MEL, "--out", "mine") == (1, taken.format("mine-report"))
    Path("other.onnx").write_text("a graph")
    Path("mine.partial-training").rename("other.partial-training")
    graph = told(capsys, "train", "sounds", *ON_MEL, "--out", "other", "--onnx")
    assert graph == (1, taken.format("other.onnx"))
    assert Path("mine-report/low/one.wav").read_text() == "a sound"


def test_a_result_replaces_no_device_and_no_pipe(run: Run, write: Write, tmp_path: Path) -> None:
    sound, pipe = write("sound.wav", tone(1, 300)), tmp_path / "pipe"
    os.mkfifo(pipe)
    status, _, error = run("segment", sound, "--out", pipe)
    assert (status, error) == (1, f"{pipe}: cannot be written: is no plain file\n")
    assert pipe.is_fifo()


def test_search_reads_files_twice_and_waits_for_no_pipe(capsys: Capture, write: Write, tmp_path: Path) -> None:
    query, pipe = write("query.wav", tone(1, 300)), tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    status, error = told(capsys, "search", query, pipe, *ON_MEL)
    assert status == 1
    assert error == f"{pipe}: is no plain file, and search reads a sound twice\n{pipe}: no sound to search in\n"


def test_a_hop_of_zero_is_not_taken_for_none(capsys: Capture, write: Write) -> None:
    query = write("query.wav", tone(1, 300))
    status, error = told(capsys, "search", query, query.parent, *ON_MEL, "--hop", 0)
    assert (status, error) == (1, "--hop is 0 s; it must be 0.01 to 1 s, a window's length\n")


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_what_cannot_be_a_host_is_told(host: str, capsys: Capture, model_folder: Path) -> None:
    status, error = told(capsys, "serve", "--model", model_folder, "--host", host)
    assert (status, error) == (1, f"{host}, port 8000: not a name of a host. Choose another --host or --port.\n")


def test_a_program_whose_output_was_closed_before_it_began_ends_as_it_would(write: Write, tmp_path: Path) -> None:
    sound, out = write("sound.wav", tone(1, 300)), tmp_path / "again.ecdc"
    words = [sys.executable, "-m", "beyond_spectrograms", "codec", "encode", str(sound), "--out", str(out)]
    ended = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *words], stderr=-1, text=True, check=False)
    assert (ended.returncode, ended.stderr, out.is_file()) == (0, "", True)
