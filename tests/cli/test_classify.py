"""beyond-spectrograms classify, as a user calls it; and what all commands share."""

import csv
import errno
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli.conftest import Run, Start, Write

from beyond_spectrograms import load_model
from beyond_spectrograms.cli import main
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.representations.base import Features, RepresentationError
from beyond_spectrograms.representations.mel import MelSpectrogram
from support.common import noise, sound_file, tone
from support.models import write_model
from support.repository import Capture

REASONS = {
    "bad/empty.ogg": "empty file (0 bytes)",
    "bad/short.wav": "0.050 s long; the shortest that is classified is 0.1 s, a tenth of a window",
    "bad/silent.wav": "silent: its peak is 0, silence is 0.0001 or less",
    "bad/text.mp3": "not decodable as audio: Format not recognised.",
}
LABELS = {"a high.wav": "high", "deep/low.flac": "low", "six.wav": "low"}


@pytest.fixture
def sounds(tmp_path: Path, write: Write) -> Path:
    """Make a folder with three good sounds, four bad ones and a text."""
    write("sounds/a high.wav", tone(2, 4000))
    write("sounds/deep/low.flac", tone(0.5, 400))
    write("sounds/six.wav", np.stack([tone(2, 400, 96_000)] * 6, axis=1), 96_000, subtype="PCM_24")
    write("sounds/bad/silent.wav", np.zeros(44_100))
    write("sounds/bad/short.wav", tone(0.05, 400))
    (tmp_path / "sounds/bad/empty.ogg").touch()
    (tmp_path / "sounds/bad/text.mp3").write_text("this is no sound, but a text of some length")
    (tmp_path / "sounds/notes.txt").write_text("no audio by its name")
    return tmp_path / "sounds"


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
    told = [f"{sounds}/{name}: {reason}" for name, reason in REASONS.items()]
    assert errors.splitlines() == ["left out: 1 .txt", *told]


def test_of_folders_is_told_what_is_left_out_and_which_gave_nothing(
    tmp_path: Path, write: Write, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("good/a.wav", "good/.trash/b.wav", "good/__MACOSX/c.wav", "shut/d.wav", "else/e.wav"):
        write(name, tone(1, 4000))
    (tmp_path / "good/linked").symlink_to(tmp_path / "else")
    (tmp_path / "empty").mkdir()
    scandir = os.scandir

    def refuse(place: str) -> Any:
        if str(place).endswith("shut"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)  # whoever tests may be root, whom no folder is shut to
    monkeypatch.chdir(tmp_path)
    status, output, errors = run("classify", "empty", "shut", "good", "--format", "jsonl")
    assert [json.loads(line)["file"] for line in output.splitlines()] == ["good/a.wav"]
    assert (status, errors.splitlines()) == (
        1,
        [
            "left out: 2 dot-files, 1 linked folders",
            "empty: no audio file",
            "shut: permission denied; of shut nothing is read",
        ],
    )


def test_a_file_that_the_encoder_refuses_stops_no_other(
    write: Write, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = MelSpectrogram.encode

    def refuse(mel: MelSpectrogram, windows: Waveform, sample_rate: int) -> Features:
        if abs(windows).max() > 0.7:
            raise RepresentationError("mel_16 gives values that are not finite.")
        return encode(mel, windows, sample_rate)

    monkeypatch.setattr(MelSpectrogram, "encode", refuse)
    for name, loud in (("a", 0.1), ("b", 0.9), ("c", 0.1)):  # of b, four batches
        write(f"sounds/{name}.wav", np.concatenate([tone(1, 4000, peak=loud), tone(99, 4000, peak=0.1)]))
    status, output, errors = run("classify", tmp_path / "sounds", "--format", "json")
    told = [(Path(each["file"]).name, each.get("error", "")) for each in json.loads(output)]
    reason = "mel_16 gives values that are not finite."
    assert (status, told) == (1, [("a.wav", ""), ("b.wav", reason), ("c.wav", "")])
    assert errors == f"{tmp_path}/sounds/b.wav: {reason}\n"
    status, output, again = run("segment", tmp_path / "sounds", "--export", tmp_path / "clips")
    assert (status, again) == (1, errors)
    assert output == f"{tmp_path}/clips: 2 clips of 2 files, and segments.csv, which names them\n"


def test_all_formats_say_the_same(sounds: Path, run: Run) -> None:
    high, bad = sounds / "a high.wav", sounds / "bad/empty.ogg"
    of_json = json.loads(run("classify", high, bad, "--format", "json")[1])
    assert [json.loads(line) for line in run("classify", high, bad, "--format", "jsonl")[1].splitlines()] == of_json
    rows = list(csv.DictReader(io.StringIO(run("classify", high, bad, "--format", "csv")[1])))
    probabilities = [label["probability"] for label in of_json[0]["labels"]]
    assert [(row["file"], row["rank"], row["label"], row["probability"], row["error"]) for row in rows] == [
        (str(high), "1", "high", str(probabilities[0]), ""),
        (str(high), "2", "low", str(probabilities[1]), ""),
        (str(bad), "", "", "", "empty file (0 bytes)"),
    ]
    width, of_high = len(str(bad)), f"  {probabilities[0]:6.1%} high\n"
    table = f"{high!s:<{width}}{of_high}{bad!s:<{width}}  error: empty file (0 bytes)\n"
    assert run("classify", high, bad, "--top", 1)[:2] == (1, table)


def test_globs_mean_files_and_a_name_that_matches_nothing_is_told(sounds: Path, run: Run) -> None:
    status, output, errors = run("classify", sounds / "*.wav", sounds / "**/*.flac", "--format", "jsonl")
    names = [Path(json.loads(line)["file"]).name for line in output.splitlines()]
    assert (status, names, errors) == (0, ["a high.wav", "six.wav", "low.flac"], "")
    none, long = sounds / "none*.wav", "a" * 300
    status, output, errors = run("classify", none, sounds / "six.wav", long, "--format", "jsonl")
    assert (status, errors) == (1, f"{none}: no such file or directory\n{long}: file name too long\n")
    assert ["labels" in json.loads(line) for line in output.splitlines()] == [False, True, False]
    (sounds / "empty").mkdir()
    assert run("classify", sounds / "empty") == (1, "", f"{sounds}/empty: no audio file\n")


def test_standard_input_is_classified_and_segmented(start: Start) -> None:
    sound = sound_file(np.concatenate([tone(4.25, 400), tone(4, 4000)]))
    for name, expected in (("classify", ["-,1,", "-,2,"]), ("segment", ["0.0,4.25,low", "4.25,8.25,high"])):
        told = start(name, "-", "--format", "csv", input=sound, capture_output=True)
        lines = told.stdout.decode().splitlines()[1:]
        assert all(line.startswith(beginning) for line, beginning in zip(lines, expected, strict=True))
        assert (told.returncode, told.stderr) == (0, b"")


def test_a_model_that_is_not_whole_is_told_in_a_line(tmp_path: Path, run: Run) -> None:
    folder = write_model(tmp_path / "model")
    (folder / "classifier.safetensors").unlink()
    told = f"{folder}: classifier.safetensors is missing. Copy the whole folder, or export the model again.\n"
    assert run("classify", "any.wav", model=folder) == (1, "", told)


@pytest.mark.parametrize("text", ["0", "-1", "x"])
def test_a_number_of_labels_is_checked(text: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["classify", "any.wav", "--model", "any", f"--top={text}"])
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"beyond-spectrograms classify: error: argument --top: {text!r} is no whole number above 0"
    )


def test_names_and_labels_cannot_break_a_line_or_steer_the_terminal(tmp_path: Path, write: Write, run: Run) -> None:
    folder = write_model(tmp_path / "model", classes=["\x1b[2Jhi\ngh", "low"])
    file = write("a\n\x1b[2Jb.wav", tone(1, 4000))
    for command in ("classify", "segment"):
        output = run(command, file, model=folder)[1]
        assert r" \x1b[2Jhi\ngh" in output
        assert "\x1b" not in output
    assert run("classify", file)[1].startswith(rf"{tmp_path}/a\n\x1b[2Jb.wav  ")
    (tmp_path / "c\n.wav").touch()
    assert run("segment", tmp_path / "c\n.wav")[2] == rf"{tmp_path}/c\n.wav: empty file (0 bytes)" + "\n"


def test_output_is_utf_8_on_any_terminal(write: Write, start: Start) -> None:
    file = write("schön.wav", tone(1, 4000))
    assert "schön" in start("classify", file, capture_output=True).stdout.decode("utf-8")  # `start` names ascii


def test_whoever_stops_reading_ends_it_quietly(write: Write, start: Start) -> None:
    files = [write(f"{number}.wav", tone(0.2, 400)) for number in range(3)]
    reading, writing = os.pipe()
    os.close(reading)
    told = start("classify", *files, "--format", "jsonl", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (told.returncode, told.stderr) == (1, b"")


def test_a_sound_between_the_classes_is_none_in_every_format(tmp_path: Path, write: Write, run: Run) -> None:
    confidence = {"temperature": 1.0, "thresholds": {"high": 0.9, "low": 0.9}}
    folder = write_model(tmp_path / "unsure", confidence=confidence)
    file = write("noise.wav", noise(3, 44_100) / 4)
    [told] = json.loads(run("classify", file, "--format", "json", model=folder)[1])
    first, second, _ = told["labels"]
    assert first == {"label": "none", "probability": None}
    assert second["probability"] < 0.9
    rows = run("classify", file, "--format", "csv", model=folder)[1].splitlines()
    assert rows[1].startswith(f"{file},1,none,,3.0,3,")
    assert run("classify", file, "--top", 1, model=folder)[1] == f"{file}         none\n"
    assert run("segment", file, "--format", "csv", model=folder)[1].splitlines()[1:] == ["0.0,3.0,none,"]
    assert run("segment", file, "--format", "audacity", model=folder)[1] == "0.000000\t3.000000\t(none)\n"
    assert run("segment", file, "--plot", tmp_path / "a.png", model=folder)[0] == 0
    model = load_model(folder, device="cpu")
    assert model.classify(noise(3, 44_100) / 4, 44_100).label == "none"
    assert model.classify(tone(3, 4000), 44_100).label == "high"
