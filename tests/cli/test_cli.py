"""beyond-spectrograms classify and segment, as a user calls them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from beyond_spectrograms.cli import main
from beyond_spectrograms.data.audio import Waveform
from support.models import REPOSITORY, tone, write_model

Capture = pytest.CaptureFixture[str]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("cli") / "model")


@pytest.fixture
def run(model: Path, capsys: Capture) -> Run:
    """Call a command with the model; give its status, output and errors."""

    def call(command: str, *arguments: object) -> tuple[int, str, str]:
        status = main([command, "--model", str(model), "--device", "cpu", *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


def write(path: Path, sound: Waveform, sample_rate: int = 44_100, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, sample_rate, **options)
    return path


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Make a folder with three good sounds, four bad ones and a text."""
    folder = tmp_path / "sounds"
    write(folder / "a high.wav", tone(2, 4000))
    write(folder / "deep/low.flac", tone(0.5, 400))
    write(folder / "six.wav", np.stack([tone(2, 400, 96_000)] * 6, axis=1), 96_000, subtype="PCM_24")
    write(folder / "bad/silent.wav", np.zeros(44_100))
    write(folder / "bad/short.wav", tone(0.05, 400))
    (folder / "bad/empty.ogg").touch()
    (folder / "bad/text.mp3").write_text("this is no sound, but a text of some length")
    (folder / "notes.txt").write_text("no audio by its name")
    return folder


REASONS = {
    "bad/empty.ogg": "empty file (0 bytes)",
    "bad/short.wav": "0.050 s long; the shortest that is classified is 0.1 s, a tenth of a window",
    "bad/silent.wav": "silent: its peak is 0, silence is 0.0001 or less",
    "bad/text.mp3": "not decodable as audio: Format not recognised.",
}
LABELS = {"a high.wav": "high", "deep/low.flac": "low", "six.wav": "low"}


def test_bad_files_are_told_and_the_others_done(sounds: Path, run: Run) -> None:
    status, output, errors = run("classify", sounds, "--format", "json", "--top", 1)
    told = {Path(entry["file"]).relative_to(sounds).as_posix(): entry for entry in json.loads(output)}
    assert status == 1
    assert list(told) == sorted([*REASONS, *LABELS], key=lambda name: Path(sounds, name))
    assert {name: entry["error"] for name, entry in told.items() if "error" in entry} == REASONS
    assert {name: entry["labels"][0]["label"] for name, entry in told.items() if "labels" in entry} == LABELS
    assert told["deep/low.flac"]["remarks"] == ["0.500 s long, shorter than a window of 1 s: reflected"]
    assert told["six.wav"]["remarks"] == ["6 channels: mixed to mono by their mean"]
    assert (told["a high.wav"]["seconds"], told["a high.wav"]["windows"]) == (2.0, 2)
    assert errors.splitlines() == [f"{sounds}/{name}: {reason}" for name, reason in REASONS.items()]


def test_all_formats_say_the_same(sounds: Path, run: Run) -> None:
    high, six, bad = sounds / "a high.wav", sounds / "six.wav", sounds / "bad/empty.ogg"
    of_json = json.loads(run("classify", high, six, bad, "--format", "json")[1])
    of_lines = [json.loads(line) for line in run("classify", high, six, bad, "--format", "jsonl")[1].splitlines()]
    assert of_lines == of_json
    rows = list(csv.DictReader(io.StringIO(run("classify", high, six, bad, "--format", "csv")[1])))
    assert [(row["file"], row["rank"], row["label"]) for row in rows] == [
        (str(high), "1", "high"),
        (str(high), "2", "low"),
        (str(six), "1", "low"),
        (str(six), "2", "high"),
        (str(bad), "", ""),
    ]
    assert [float(row["probability"]) for row in rows[:4]] == [
        label["probability"] for entry in of_json[:2] for label in entry["labels"]
    ]
    assert rows[4]["error"] == "empty file (0 bytes)"
    status, table, _ = run("classify", high, bad, "--top", 1)
    p = of_json[0]["labels"][0]["probability"]
    width = max(len(str(high)), len(str(bad)))
    assert table == f"{high!s:<{width}}  {p:6.1%} high\n{bad!s:<{width}}  error: empty file (0 bytes)\n"
    assert status == 1


def test_globs_mean_files(sounds: Path, run: Run) -> None:
    status, output, errors = run("classify", sounds / "*.wav", sounds / "**/*.flac", "--format", "jsonl")
    assert [Path(json.loads(line)["file"]).name for line in output.splitlines()] == [
        "a high.wav",
        "six.wav",
        "low.flac",
    ]
    assert (status, errors) == (0, "")


def test_a_name_that_means_nothing_is_told(tmp_path: Path, run: Run) -> None:
    status, output, errors = run("classify", tmp_path / "none*.wav", "--format", "jsonl")
    assert (status, errors) == (1, f"{tmp_path}/none*.wav: no such file or directory\n")
    assert json.loads(output) == {"file": f"{tmp_path}/none*.wav", "error": "no such file or directory"}
    assert run("classify", tmp_path) == (1, "", f"{tmp_path}: no audio file\n")
    high, long = write(tmp_path / "high.wav", tone(1, 4000)), "a" * 300
    status, output, errors = run("classify", high, long, "--format", "jsonl")
    assert (status, errors) == (1, f"{long}: file name too long\n")
    assert ["labels" in json.loads(line) for line in output.splitlines()] == [True, False]


def test_standard_input_is_classified_and_segmented(model: Path) -> None:
    sound = io.BytesIO()
    soundfile.write(sound, np.concatenate([tone(4.25, 400), tone(4, 4000)]), 44_100, format="WAV")
    command = [sys.executable, "-m", "beyond_spectrograms"]
    options = ["-", "--model", str(model), "--format", "csv"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    for name, expected in (("classify", ["-,1,", "-,2,"]), ("segment", ["0.0,4.25,low", "4.25,8.25,high"])):
        told = subprocess.run(
            [*command, name, *options], input=sound.getvalue(), capture_output=True, check=True, env=environment
        )
        lines = told.stdout.decode().splitlines()[1:]
        assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))
        assert told.stderr == b""


def test_a_pipe_that_is_closed_half_way_is_told(tmp_path: Path, run: Run) -> None:
    import threading

    sound = io.BytesIO()
    soundfile.write(sound, tone(10, 400), 44_100, format="WAV")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(sound.getvalue()[:441_044]), daemon=True).start()
    reason = "truncated: the header promises 441000 samples, 220500 could be decoded"
    assert run("classify", pipe) == (1, f"{pipe}  error: {reason}\n", f"{pipe}: {reason}\n")


def test_a_model_that_is_not_whole_is_told_in_a_line(tmp_path: Path, capsys: Capture) -> None:
    folder = write_model(tmp_path / "model")
    (folder / "classifier.safetensors").unlink()
    assert main(["classify", "--model", str(folder), "any.wav"]) == 1
    told = f"{folder}: classifier.safetensors is missing. Copy the whole folder, or export the model again.\n"
    assert capsys.readouterr() == ("", told)


def test_segments_are_written_in_every_format(tmp_path: Path, run: Run) -> None:
    parts = [tone(4.25, 400), tone(3.5, 4000), np.zeros(99_225, np.float32)]
    file = write(tmp_path / "sound.wav", np.concatenate(parts))
    assert run("segment", file, "--format", "audacity") == (
        0,
        "0.000000\t4.250000\tlow\n4.250000\t8.000000\thigh\n8.000000\t10.000000\t(silence)\n",
        "",
    )
    expected = ["0:00:00.000", "0:00:04.250", "0:00:04.250", "0:00:08.000", "0:00:08.000", "0:00:10.000"]
    table = run("segment", file)[1].splitlines()
    assert [word for line in table[1:] for word in line.split()[:2]] == expected
    rows = list(csv.DictReader(io.StringIO(run("segment", file, "--format", "csv")[1])))
    assert [(row["start_s"], row["end_s"], row["label"]) for row in rows] == [
        ("0.0", "4.25", "low"),
        ("4.25", "8.0", "high"),
        ("8.0", "10.0", ""),
    ]
    told = json.loads(run("segment", file, "--format", "json", "--hop", 1, "--smoothing", "none")[1])
    assert told["classes"] == ["high", "low"]
    assert [window["start_s"] for window in told["windows"]] == [float(start) for start in range(10)]
    assert [window["silent"] for window in told["windows"]] == [False] * 8 + [True] * 2
    assert all(sum(window["probabilities"]) == pytest.approx(1, abs=1e-5) for window in told["windows"])
    grid = tmp_path / "sound.TextGrid"
    assert run("segment", file, "--format", "textgrid", "--out", grid) == (0, "", "")
    assert grid.read_text().splitlines()[:20] == [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        "xmax = 10",
        "tiers? <exists>",
        "size = 1",
        "item []:",
        "    item [1]:",
        '        class = "IntervalTier"',
        '        name = "label"',
        "        xmin = 0",
        "        xmax = 10",
        "        intervals: size = 3",
        "        intervals [1]:",
        "            xmin = 0",
        "            xmax = 4.25",
        '            text = "low"',
        "        intervals [2]:",
        "            xmin = 4.25",
    ]


def test_a_timeline_is_drawn(tmp_path: Path, run: Run) -> None:
    from PIL import Image

    file = write(tmp_path / "sound.wav", np.concatenate([tone(4, 400), tone(4, 4000)]))
    status, _, errors = run("segment", file, "--plot", tmp_path / "timeline.png")
    assert (status, errors) == (0, "")
    picture = np.asarray(Image.open(tmp_path / "timeline.png").convert("RGB"))
    assert picture.shape == (720, 1320, 3)
    blue, orange = np.array([0x00, 0x72, 0xB2]), np.array([0xE6, 0x9F, 0x00])
    columns = [np.flatnonzero((picture == colour).all(axis=2).sum(axis=0) > 20) for colour in (blue, orange)]
    assert columns[0].mean() < columns[1].mean()  # the bar: low (first, blue) stands left of high (orange)


def test_the_probability_of_one_window_is_drawn(tmp_path: Path, run: Run) -> None:
    from PIL import Image

    assert run("segment", write(tmp_path / "a.wav", tone(1, 400)), "--plot", tmp_path / "a.png")[0] == 0
    with Image.open(tmp_path / "a.png") as drawn:
        below = np.asarray(drawn.convert("RGB"))[405:, :1230].astype(int)
    assert (below[..., 2] - below[..., 0] > 50).sum(axis=1).max() > 900  # blue from side to side


def test_labels_of_any_signs_are_drawn(tmp_path: Path) -> None:
    from PIL import Image

    folder = write_model(tmp_path / "model", classes=["$\\high$", "_low"])
    file = write(tmp_path / "sound.wav", np.concatenate([tone(4, 400), tone(4, 4000)]))
    picture = tmp_path / "timeline.png"
    assert main(["segment", str(file), "--model", str(folder), "--device", "cpu", "--plot", str(picture)]) == 0
    with Image.open(picture) as drawn:
        right = np.asarray(drawn.convert("RGB"))[:, 1100:]
    for colour in ((0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)):  # of the first class and the second, in the legend
        rows = np.flatnonzero((right == colour).all(axis=2).sum(axis=1) > 10)
        assert len(rows), colour


@pytest.mark.parametrize("hop_s", [0.5, 0.01, 0.03])
def test_columns_of_the_spectrogram_are_where_their_sound_is(hop_s: float, model: Path) -> None:
    from beyond_spectrograms import load_model
    from beyond_spectrograms.inference.timeline import Spectrogram

    spectrogram = Spectrogram(22_050, hop_s)
    sound = load_model(model, device="cpu").cut([np.concatenate([tone(57, 400), tone(3, 6000)])], 44_100, hop_s)
    assert sum(len(batch.windows) for batch in spectrogram.watch(sound)) >= 59 / hop_s
    level = spectrogram.decibels(60.0)
    assert level.shape[1] * spectrogram.column_s == pytest.approx(60, abs=0.05)
    high = np.flatnonzero(level[80:].max(axis=0) > -10)
    assert high[0] * spectrogram.column_s == pytest.approx(57, abs=0.05)


def test_results_replace_neither_the_sound_nor_each_other(tmp_path: Path, run: Run) -> None:
    file = write(tmp_path / "sound.wav", tone(2, 400))
    before, picture = file.read_bytes(), tmp_path / "a.png"
    assert run("segment", file, "--out", tmp_path / "." / "sound.wav") == (
        1,
        "",
        f"{file}, {file}: one place is named twice. Choose another name.\n",
    )
    assert run("segment", file, "--out", picture, "--plot", picture)[0] == 1
    assert run("segment", file, "--plot", tmp_path / "a.jpg") == (
        1,
        "",
        f"--plot is {tmp_path}/a.jpg; a timeline is a PNG. Choose a name that ends in .png.\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["sound.wav"]
    assert file.read_bytes() == before


def test_segment_refuses_what_it_cannot_do(tmp_path: Path, run: Run) -> None:
    file = write(tmp_path / "sound.wav", tone(2, 400))
    assert run("segment", file, "--hop", 2) == (2, "", "--hop: hop_s is 2; it must be 0.01 to 1, a window's length\n")
    assert run("segment", tmp_path / "none") == (1, "", f"{tmp_path}/none: no such file or directory\n")


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").touch()
    file = tmp_path / "none.wav"
    assert run("segment", file, "--out", tmp_path) == (
        1,
        "",
        f"{tmp_path}: cannot be written: is a directory: {tmp_path}\n",
    )
    place = tmp_path / "file/timeline.png"
    told = f"{place}: cannot be written: file exists: {tmp_path}/file\n"
    assert run("segment", file, "--plot", place) == (1, "", told)


def test_a_number_of_labels_is_checked(run: Run, capsys: Capture) -> None:
    for text in ("0", "-1", "x"):
        with pytest.raises(SystemExit) as left:
            run("classify", "any.wav", f"--top={text}")
        assert left.value.code == 2
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"beyond-spectrograms classify: error: argument --top: {text!r} is no whole number above 0"
        )


def test_a_name_cannot_break_a_line_or_steer_the_terminal(tmp_path: Path, run: Run) -> None:
    file = write(tmp_path / "a\n\x1b[2Jb.wav", tone(1, 400))
    assert run("classify", file, "--top", 1)[1].startswith(rf"{tmp_path}/a\n\x1b[2Jb.wav  ")
    (tmp_path / "c\n.wav").touch()
    assert run("segment", tmp_path / "c\n.wav")[2] == rf"{tmp_path}/c\n.wav: empty file (0 bytes)" + "\n"


def test_a_label_cannot_break_a_line_or_steer_the_terminal(tmp_path: Path, capsys: Capture) -> None:
    folder = write_model(tmp_path / "model", classes=["\x1b[2Jhi\ngh", "low"])
    file = write(tmp_path / "high.wav", tone(1, 4000))
    for command in ("classify", "segment"):
        assert main([command, str(file), "--model", str(folder), "--device", "cpu"]) == 0
        output = capsys.readouterr().out
        assert r" \x1b[2Jhi\ngh" in output
        assert "\x1b" not in output


def test_labels_are_written_as_utf_8_on_any_terminal(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", classes=["schön", "low"])
    file = write(tmp_path / "high.wav", tone(1, 4000))
    command = [sys.executable, "-m", "beyond_spectrograms", "classify", "--model", str(folder), str(file)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "ascii"}
    told = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert "schön" in told.stdout.decode("utf-8")


def on_a_terminal(command: list[str]) -> tuple[str, str]:
    """Run a command whose stderr is a terminal; give its standard output and what the terminal got."""
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "100"}
    told = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=True, env=environment)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other side is closed
        while more := os.read(ours, 1 << 16):
            shown += more
    os.close(ours)
    return told.stdout.decode(), shown.decode()


def test_a_long_file_has_a_progress_bar_on_a_terminal_alone(tmp_path: Path, model: Path, run: Run) -> None:
    long, short = write(tmp_path / "long.wav", tone(61, 400, 8000), 8000), write(tmp_path / "short.wav", tone(2, 400))
    command = [sys.executable, "-m", "beyond_spectrograms", "segment", "--model", str(model), "--device", "cpu"]
    output, shown = on_a_terminal([*command, str(long)])
    assert (0, output, "") == run("segment", long)
    assert "segment (seconds)" in shown
    assert "61/61" in shown
    assert on_a_terminal([*command, str(short)])[1] == ""


def test_whoever_stops_reading_ends_it_quietly(tmp_path: Path, model: Path) -> None:
    files = [str(write(tmp_path / f"{number}.wav", tone(0.2, 400))) for number in range(3)]
    command = [
        sys.executable,
        "-m",
        "beyond_spectrograms",
        "classify",
        "--model",
        str(model),
        "--format",
        "jsonl",
        *files,
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    reading, writing = os.pipe()
    os.close(reading)
    told = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, env=environment)
    os.close(writing)
    assert (told.returncode, told.stderr) == (1, b"")


# Runs a command and says its peak on stderr, in kilobytes: this process has had children before.
WATCHED = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.long
@pytest.mark.parametrize(("command", "reason"), [("classify", b"-: silent: its peak is 0"), ("segment", b"")])
def test_ten_hours_of_zeros_fit_in_a_gigabyte(command: str, reason: bytes, model: Path) -> None:
    rate, seconds = 16_000, 36_000
    header = io.BytesIO()
    soundfile.write(header, np.zeros(0), rate, format="WAV", subtype="PCM_16")
    size = seconds * rate * 2
    start = bytearray(header.getvalue()[:44])
    start[4:8], start[40:44] = (size + 36).to_bytes(4, "little"), size.to_bytes(4, "little")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    line = [sys.executable, "-m", "beyond_spectrograms", command, "-", "--model", str(model)]
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED, *line],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(start)
        for _ in range(seconds // 10):
            process.stdin.write(bytes(rate * 2 * 10))
        output, errors = process.communicate()
    assert reason in errors.replace(b"standard input", b"-")
    assert process.returncode == (1 if command == "classify" else 0)
    if command == "segment":
        assert output.decode().splitlines()[1].split() == ["0:00:00.000", "10:00:00.000", "(silence)"]
    assert 1e5 < int(errors.splitlines()[-1]) < 1e6
