"""beyond-spectrograms segment --export: segments become clips that lead back to their recordings."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from cli.conftest import Run, Write

from beyond_spectrograms.data.sound_files import open_sound
from beyond_spectrograms.inference.cut_clips import write_part
from beyond_spectrograms.inference.label_table import read_labels
from support.common import contents, noise, tone
from support.models import write_model


def test_segments_become_clips_of_the_recordings_own_samples(tmp_path: Path, write: Write, run: Run) -> None:
    silent = np.zeros(99_225, np.float32)
    one = write("a/day.wav", np.concatenate([tone(4.25, 400), tone(3.5, 4000), silent]), subtype="PCM_24")
    two = write("b/day.wav", np.stack([tone(3, 3000, 8000)] * 2, axis=1), 8000)
    write("b/void.flac", np.zeros(20_000))
    (tmp_path / "b/text.wav").write_text("no sound")
    clips = tmp_path / "clips"
    status, output, errors = run("segment", one, tmp_path / "b", "--export", clips)
    assert (status, output) == (1, f"{clips}: 3 clips of 3 files, and segments.csv, which names them\n")
    assert errors == f"{tmp_path}/b/text.wav: not decodable as audio: Format not recognised.\n"
    rows = pd.read_csv(clips / "segments.csv")
    columns = ["source", "start_seconds", "end_seconds", "label"]
    assert rows[columns].to_numpy().tolist() == [
        [str(one), 0.0, 4.25, "low"],
        [str(one), 4.25, 8.0, "high"],
        [str(two), 0.0, 3.0, "high"],
    ]
    assert rows["probability"].between(0.5, 1).all()
    assert sorted(path.name for path in clips.iterdir()) == sorted([*rows["file"], "segments.csv"])
    names = rows["file"].str.replace(r"~\w{8}", "~", regex=True).tolist()
    of_one = ["day~_0001_0.000-4.250s_low.wav", "day~_0002_4.250-8.000s_high.wav"]
    assert names == [*of_one, "day~_0001_0.000-3.000s_high.wav"]
    for row in rows.itertuples():
        whole, sample_rate = soundfile.read(row.source, dtype="int32", always_2d=True)
        clip, of_clip = soundfile.read(clips / row.file, dtype="int32", always_2d=True)
        assert of_clip == sample_rate
        first, end = round(row.start_seconds * sample_rate), round(row.end_seconds * sample_rate)
        np.testing.assert_array_equal(clip, whole[first:end])
        assert soundfile.info(clips / row.file).subtype == soundfile.info(row.source).subtype
    before = contents(clips)
    told = f"{clips}: exists already. Choose another name, or remove it.\n"
    assert run("segment", one, "--export", clips) == (1, "", told)
    assert contents(clips) == before
    (leads_nowhere := tmp_path / "leads_nowhere").symlink_to("gone")
    told = f"{leads_nowhere}: exists already. Choose another name, or remove it.\n"
    assert run("segment", one, "--export", leads_nowhere) == (1, "", told)
    assert run("segment", one, two, "--export", tmp_path / "again")[0] == 0
    again = contents(tmp_path / "again")
    assert {name: again[name] for name in rows["file"]} == {name: before[name] for name in rows["file"]}


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("a.wav", {"subtype": "PCM_16"}),
        ("a.aiff", {"subtype": "PCM_S8"}),
        ("a.wav", {"subtype": "FLOAT"}),
        ("a.mp3", {}),
        ("a.ogg", {}),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
    ],
)
def test_a_part_is_what_the_whole_holds_there(name: str, stored: dict[str, str], tmp_path: Path, write: Write) -> None:
    path = write(name, noise(4, 48_000), 48_000, **stored)
    with open_sound(path) as sound:
        whole = np.concatenate(list(sound.blocks()))
    with open_sound(path) as sound:
        for part, (first, end) in enumerate([(100_001, 170_002), (0, 5), (5, 70_000)]):
            write_part(sound, first, end, tmp_path / f"{part}.wav")
            read, _ = soundfile.read(tmp_path / f"{part}.wav", dtype="float32", always_2d=True)
            # What an MP3's decoder gives hangs in the last bit on where it began.
            np.testing.assert_allclose(read, whole[first:end], rtol=0, atol=1e-7 if name == "a.mp3" else 0)
            assert b"PEAK" not in (tmp_path / f"{part}.wav").read_bytes()  # which holds the time of day


def test_what_cannot_be_exported_is_told_and_nothing_is_left(tmp_path: Path, write: Write, run: Run) -> None:
    silent, clips = write("silent.wav", np.zeros(44_100)), tmp_path / "clips"
    with_format = "--format does not go with --export, which writes a table of its own. Leave one out."
    for arguments, told in (
        ([silent, "--export", clips], f"{silent}: no segment of a class in 1 files"),
        ([silent, "--export", clips, "--format", "csv"], with_format),
        ([silent, silent], "2 files: `segment` takes one, and several with --export FOLDER alone."),
        (["-", "--export", clips], "-: no segment of a class in 0 files"),
    ):
        status, output, errors = run("segment", *arguments)
        assert (status, output, errors.splitlines()[-1]) == (1, "", told)
    assert [path.name for path in tmp_path.iterdir()] == ["silent.wav"]


def test_what_is_none_of_the_classes_becomes_no_clip_and_no_label(tmp_path: Path, write: Write, run: Run) -> None:
    confidence = {"temperature": 1.0, "thresholds": {"high": 0.9, "low": 0.9}}
    unsure = write_model(tmp_path / "unsure", confidence=confidence)
    file = write("day.wav", np.concatenate([tone(4, 400), noise(6, 44_100) / 4]))
    assert run("segment", file, "--export", tmp_path / "clips", model=unsure)[0] == 0
    assert pd.read_csv(tmp_path / "clips/segments.csv")["label"].tolist() == ["low"]
    track = tmp_path / "tracks/day.txt"
    track.parent.mkdir()
    assert run("segment", file, "--format", "audacity", "--out", track, model=unsure) == (0, "", "")
    assert [line.split("\t")[2] for line in track.read_text().splitlines()] == ["low", "(none)"]
    assert [row.label for row in read_labels(track.parent, tmp_path).clips.values()] == ["low"]
