"""beyond-spectrograms segment, as a user calls it: every format, the timeline, and any length."""

import contextlib
import csv
import io
import json
import os
import shlex
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli.conftest import Run, Write
from PIL import Image

from beyond_spectrograms import load_model
from beyond_spectrograms.inference.timeline import Spectrogram
from support.common import noise, tone
from support.models import REPOSITORY, write_model

TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 10
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "label"
        xmin = 0
        xmax = 10
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 4.25
            text = "low"
        intervals [2]:
            xmin = 4.25
"""
BLUE, ORANGE = (0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)


def test_segments_are_written_in_every_format(tmp_path: Path, write: Write, run: Run) -> None:
    file = write("sound.wav", np.concatenate([tone(4.25, 400), tone(3.5, 4000), np.zeros(99_225, np.float32)]))
    labels = "0.000000\t4.250000\tlow\n4.250000\t8.000000\thigh\n8.000000\t10.000000\t(silence)\n"
    assert run("segment", file, "--format", "audacity") == (0, labels, "")
    expected = ["0:00:00.000", "0:00:04.250", "0:00:04.250", "0:00:08.000", "0:00:08.000", "0:00:10.000"]
    table = run("segment", file)[1].splitlines()
    assert [word for line in table[1:] for word in line.split()[:2]] == expected
    rows = list(csv.DictReader(io.StringIO(run("segment", file, "--format", "csv")[1])))
    told = [(row["start_s"], row["end_s"], row["label"]) for row in rows]
    assert told == [("0.0", "4.25", "low"), ("4.25", "8.0", "high"), ("8.0", "10.0", "")]
    told = json.loads(run("segment", file, "--format", "json", "--hop", 1, "--smoothing", "none")[1])
    assert told["classes"] == ["high", "low"]
    assert [window["start_s"] for window in told["windows"]] == [float(start) for start in range(10)]
    assert [window["silent"] for window in told["windows"]] == [False] * 8 + [True] * 2
    assert all(sum(window["probabilities"]) == pytest.approx(1, abs=1e-5) for window in told["windows"])
    grid = tmp_path / "sound.TextGrid"
    assert run("segment", file, "--format", "textgrid", "--out", grid) == (0, "", "")
    assert grid.read_text().startswith(TEXTGRID)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_timeline_shows_spectrogram_segments_and_their_labels(tmp_path: Path, write: Write, run: Run) -> None:
    folder, picture = write_model(tmp_path / "model", classes=["$\\high$", "_low"]), tmp_path / "timeline.png"
    file = write("sound.wav", np.concatenate([tone(4, 400), tone(4, 4000)]))
    assert run("segment", file, "--plot", picture, model=folder)[::2] == (0, "")
    drawn = pixels(picture)
    assert drawn.shape == (720, 1320, 3)
    columns = [np.flatnonzero((drawn == colour).all(axis=2).sum(axis=0) > 20) for colour in (BLUE, ORANGE)]
    assert columns[0].mean() < columns[1].mean()  # the bar: low (first, blue) stands left of high (orange)
    for colour in (BLUE, ORANGE):  # of the first class and the second, in the legend
        assert ((drawn[:, 1100:] == colour).all(axis=2).sum(axis=1) > 10).any(), colour


def test_the_legend_names_what_is_none_and_the_grey_lines(tmp_path: Path, write: Write, run: Run) -> None:
    confidence = {"temperature": 1.0, "thresholds": {"high": 0.9, "low": 0.9}}
    folder, picture = write_model(tmp_path / "unsure", confidence=confidence), tmp_path / "timeline.png"
    file = write("sound.wav", np.concatenate([tone(4, 400), noise(6, 44_100) / 4]))
    assert run("segment", file, "--plot", picture, model=folder)[::2] == (0, "")
    drawn = pixels(picture)
    for colour in (BLUE, ORANGE, (0xCC, 0xCC, 0xCC)):  # of low, of none, and of high, which holds no segment
        assert ((drawn[:, 1100:] == colour).all(axis=2).sum(axis=1) > 10).any(), colour


def test_the_probability_of_one_window_is_drawn(tmp_path: Path, write: Write, run: Run) -> None:
    assert run("segment", write("a.wav", tone(1, 400)), "--plot", tmp_path / "a.png")[0] == 0
    below = pixels(tmp_path / "a.png")[405:, :1230].astype(int)
    assert (below[..., 2] - below[..., 0] > 50).sum(axis=1).max() > 900  # blue from side to side


@pytest.mark.parametrize("hop_s", [0.5, 0.01, 0.03])
def test_columns_of_the_spectrogram_are_where_their_sound_is(hop_s: float, model_folder: Path) -> None:
    spectrogram = Spectrogram(22_050, hop_s)
    sound = load_model(model_folder, device="cpu").cut([np.concatenate([tone(57, 400), tone(3, 6000)])], 44_100, hop_s)
    assert sum(len(batch.windows) for batch in spectrogram.watch(sound)) >= 59 / hop_s
    level = spectrogram.decibels(60.0)
    assert level.shape[1] * spectrogram.column_s == pytest.approx(60, abs=0.05)
    high = np.flatnonzero(level[80:].max(axis=0) > -10)
    assert high[0] * spectrogram.column_s == pytest.approx(57, abs=0.05)


def test_what_cannot_be_done_is_told_before_the_work(tmp_path: Path, write: Write, run: Run) -> None:
    file, picture = write("sound.wav", tone(2, 400)), tmp_path / "a.png"
    before, below = file.read_bytes(), file / "timeline.png"
    same = "two of these are the same file. Choose another name."
    for options, status, told in (
        (["--out", tmp_path / "." / "sound.wav"], 1, f"{file}, {file}: {same}"),
        (["--out", picture, "--plot", picture], 1, f"{file}, {picture}, {picture}: {same}"),
        (["--plot", "a.jpg"], 1, "--plot is a.jpg; a timeline is a PNG. Choose a name that ends in .png."),
        (["--hop", 2], 2, "--hop: hop_s is 2; it must be 0.01 to 1, a window's length"),
        (["--out", tmp_path], 1, f"{tmp_path}: cannot be written: is a directory: {tmp_path}"),
        (["--plot", below], 1, f"{below}: cannot be written: file exists: {file}"),
    ):
        assert run("segment", file, *options) == (status, "", f"{told}\n")
    assert run("segment", tmp_path / "none") == (1, "", f"{tmp_path}/none: no such file or directory\n")
    assert [path.name for path in tmp_path.iterdir()] == ["sound.wav"]
    assert file.read_bytes() == before


def on_a_terminal(command: list[str]) -> tuple[str, str]:
    """Run a command whose stderr is a terminal; give its standard output and what the terminal got."""
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other side is closed
            while more := os.read(ours, 1 << 16):  # while it runs: a terminal holds 4 kB that nobody has read
                shown += more
        output, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 0
    return output, shown.decode()


def test_a_long_file_has_a_progress_bar_on_a_terminal_alone(write: Write, model_folder: Path, run: Run) -> None:
    long = write("long.wav", tone(61, 400, 8000), 8000)
    command = [sys.executable, "-m", "beyond_spectrograms", "segment", "--model", str(model_folder), "--device", "cpu"]
    output, shown = on_a_terminal([*command, str(long)])
    assert (0, output, "") == run("segment", long)
    assert "segment (seconds)" in shown
    assert "61/61" in shown


# Runs a command and says its peak on stderr, in kilobytes: this process has had children before.
WATCHED = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.long
@pytest.mark.parametrize("command", ["classify", "segment"])
def test_ten_hours_of_zeros_fit_in_a_gigabyte(command: str, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "start.au").write_bytes(b".snd" + struct.pack(">5I", 24, 0xFFFF_FFFF, 3, 16_000, 1))  # of any length
    sound = f"(cat start.au; head -c {36_000 * 16_000 * 2} /dev/zero)"
    line = [sys.executable, "-c", WATCHED, sys.executable, "-m", "beyond_spectrograms", command, "-"]
    line = ["sh", "-c", f"{sound} | {shlex.join([*line, '--model', str(model_folder)])}"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    told = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    if command == "classify":
        assert (told.returncode, told.stderr.splitlines()[0][:34]) == (1, "standard input: silent: its peak i")
    else:
        assert told.returncode == 0
        assert told.stdout.splitlines()[1].split() == ["0:00:00.000", "10:00:00.000", "(silence)"]
    assert 1e5 < int(told.stderr.splitlines()[-1]) < 1e6
