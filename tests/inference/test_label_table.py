"""Labels by table: parts of recordings with labels become clips, and all that is wrong in a table is told at once."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from inference.conftest import PROBE

from beyond_spectrograms import load_model
from beyond_spectrograms.cli import main
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.inference.label_table import read_labels, write_clips
from beyond_spectrograms.inference.own_sounds import Grouping, OwnSounds, prepare_sounds
from beyond_spectrograms.util.errors import ProjectError
from support import common
from support.common import noise, tone
from support.models import PARAMS
from support.repository import Capture

ASK = "may sounds have several labels? Then give --multi-label"
refusal = partial(common.refusal, ProjectError)


def day(seed: int) -> Waveform:
    """Make ten seconds: low for four, high for four, and two that no row names."""
    return (
        np.concatenate([tone(4, 300 + seed), tone(4, 4000 + seed), np.zeros(88_200, np.float32)])
        + noise(10, seed=seed) / 9
    )


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """Write four recordings of ten seconds, the last one in a sub-folder, and a sound that is not labelled."""
    folder = tmp_path / "days"
    (folder / "far").mkdir(parents=True)
    for number, name in enumerate(["a.wav", "b.wav", "c.flac", "far/d.wav"]):
        soundfile.write(folder / name, day(number), 44_100, subtype="PCM_16")
    soundfile.write(folder / "unnamed.wav", tone(1), 44_100)
    (folder / "notes.txt").write_text("0.0\t1.0\tnot of any sound\n")
    return folder


def rows_of(*files: str) -> str:
    return "file,label,start,end\n" + "".join(f"{file},low,0.5,3.5\n{file},high,4.5,7.5\n" for file in files)


def prepare(sounds: Path, work: Path, table: Path) -> OwnSounds:
    return prepare_sounds(sounds, work, PARAMS, Grouping(labels=read_labels(table, sounds)), 5)


def test_parts_are_cut_as_the_table_says_and_those_of_a_recording_stay_together(days: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("\ufeff" + rows_of("./a.wav", "b.wav", "c.flac", "far/d.wav"))  # as Excel saves it
    sounds = prepare(days, tmp_path / "work", table)
    clips = sounds.clips.set_index("clip")
    assert sorted(clips.index) == sorted(
        f"{part}"
        for name in ("a", "b", "c", "far__d")
        for part in (f"low/{name}_0.5-3.5s.wav", f"high/{name}_4.5-7.5s.wav")
    )
    assert clips["seconds"].tolist() == [3.0] * 8
    assert sounds.left_out == {"sounds that no row names": 1}
    assert sounds.paths["low/far__d_0.5-3.5s.wav"] == "far/d.wav"
    whole, _ = soundfile.read(days / "b.wav", dtype="int16")
    cut, _ = soundfile.read(tmp_path / "work/raw/high/b_4.5-7.5s.wav", dtype="int16")
    np.testing.assert_array_equal(cut, whole[198_450:330_750])
    assert clips["group"].nunique() == 4
    for column in sounds.parts:
        assert sounds.parts[column].groupby(sounds.table["group"]).nunique().max() == 1
        origin = sounds.table["clip"].map(sounds.paths)
        assert sounds.parts[column].groupby(origin).nunique().max() == 1


def test_a_column_says_other_groups_and_whole_files_need_no_times(days: Path, tmp_path: Path) -> None:
    table = days / "sub" / "labels.csv"  # paths beside the table
    table.parent.mkdir()
    lines = ["file,label,group,start,end"]
    for number in range(4):
        soundfile.write(table.parent / f"{number}.wav", tone(2, 400 + number), 22_050)
        lines.append(f"{number}.wav,low,night {number // 2},,")
    lines += [f"a.wav,high,{number},{number},{number + 1}" for number in range(3)]
    table.write_text("\n".join([*lines, "b.wav,low,,0,4", "b.wav,high,,4,8", ""]))
    labelled = read_labels(table, days).clips
    groups = {clip: row.group for clip, row in labelled.items()}
    assert [groups[f"low/{number}.wav"] for number in range(4)] == ["night 0", "night 0", "night 1", "night 1"]
    assert [groups[f"high/a_{number}-{number + 1}s.wav"] for number in range(3)] == ["0", "1", "2"]
    assert groups["low/b_0-4s.wav"] == groups["high/b_4-8s.wav"] == (days / "b.wav").resolve().as_posix()
    assert write_clips(labelled, tmp_path / "raw") == []
    assert (tmp_path / "raw/low/3.wav").read_bytes() == (table.parent / "3.wav").read_bytes()


def test_label_tracks_of_audacity_are_read(days: Path, tmp_path: Path) -> None:
    tracks = tmp_path / "tracks"
    tracks.mkdir()
    for name in ("a", "b", "c", "d"):
        (tracks / f"{name}.txt").write_text("0.5\t3.5\tlow\n\\\t200.0\t400.0\n4.5\t7.5\thigh\n8.0\t10.0\t(silence)\n\n")
    table = tmp_path / "labels.csv"
    table.write_text(rows_of("a.wav", "b.wav", "c.flac", "far/d.wav"))
    by_track, by_table = read_labels(tracks, days).clips, read_labels(table, days).clips
    assert {clip: (row.path, row.group) for clip, row in by_track.items()} == {
        clip: (row.path, row.group) for clip, row in by_table.items()
    }
    (tracks / "e.txt").write_text("")
    (tracks / "a.txt").write_text("0.5\t3.5\n1.0\t1.0\tlow\n")
    assert refusal(read_labels, tracks, days) == (
        f"{tracks}: 3 of its rows are wrong:\n"
        "  a.txt, line 1: 2 cells; a label has start, end and label, parted by tabs\n"
        "  a.txt, line 2: start 1.0 and end 1.0: an end is after its start, and both are seconds\n"
        f"  e.txt: 0 sounds in {days} are called e; it takes one"
    )


def test_selection_tables_of_raven_are_read(days: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    names = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tAnnotation"
    rows = [f"1\t{view} 1\t1\t0.5\t3.5\t100.0\tlow" for view in ("Waveform", "Spectrogram")]
    rows.append("2\tSpectrogram 1\t1\t4.5\t7.5\t100.0\thigh")
    table = tables / "a.Table.1.selections.txt"
    table.write_text("\n".join([names, *rows]))
    read = read_labels(tables, days).clips
    assert [(clip, row.file, row.where) for clip, row in read.items()] == [
        ("low/a_0.5-3.5s.wav", "a.wav", f"{table.name}, line 2"),
        ("high/a_4.5-7.5s.wav", "a.wav", f"{table.name}, line 4"),
    ]
    table.write_text("\n".join([names, rows[0].replace("low", '"wren?'), *rows[1:]]))
    assert [row.label for row in read_labels(tables, days).clips.values()] == ['"wren?', "high"]
    table.write_text("\n".join([names.replace("Annotation", "Species"), rows[2]]))
    told = "no 'Annotation'; a selection has Begin Time (s), End Time (s), Annotation"
    wrong = f"{tables}: 1 of its rows are wrong:\n  {table.name}, line 2: {told}"
    assert refusal(read_labels, tables, days) == wrong
    table.write_text("\n".join([names, rows[2], rows[2].replace("high", "x" * 200_000)]))
    told = "not a selection table: field larger than field limit (131072)"
    assert refusal(read_labels, tables, days) == f"{tables}: 1 of its rows are wrong:\n  {table.name}, line 3: {told}"


def test_a_table_with_two_columns_of_one_name_is_refused(days: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,label,file\na.wav,low,b.wav\n")
    assert refusal(read_labels, table, days) == f"{table}: has two columns 'file'. Remove or rename one."


def test_all_that_is_wrong_is_told_at_once_with_its_lines(days: Path, tmp_path: Path) -> None:
    table, work = tmp_path / "labels.csv", tmp_path / "work"
    wrong = {
        ",low,0,1": "no file",
        f"{days}/a.wav,low,0,1": f"{days}/a.wav is an absolute path. Give paths below the folder of sounds.",
        "none.wav,low,0,1": "none.wav: no such file",
        "a.wav, ,0,1": "no label",
        "a.wav,../low,0,1": "label '../low': has a / or begins with a dot or is over 200 bytes long",
        "a.wav,low,0,": "start and end go together; give both or none",
        "a.wav,low,2,1": "start 2 and end 1: an end is after its start, and both are seconds",
        "a.wav,low,one,1": "start one and end 1: an end is after its start, and both are seconds",
        "a.wav,low,0,inf": "start 0 and end inf: an end is after its start, and both are seconds",
        "a.wav,low,9,10.1": "end 10.1 is behind the end of a.wav, 10.000 s",
        "b.wav,low,0,1": "",
        "b.wav,low,0.0,1.0": "low/b_0-1s.wav is that of line 12 too",
        "b.wav,low,0.5,2": "",
        "b.wav,high,1.5,3": f"'high' overlaps 'low' of line 14 in b.wav; {ASK}",
        "c.flac,low,,": "",
        "c.flac,high,1,2": f"'high' overlaps 'low' of line 16 in c.flac; {ASK}",
        "b.wav,high,3,10.0004": "",  # rounded by some program
    }
    table.write_text("\n".join(["file,label,start,end", *wrong]))
    told = [f"  line {line}: {reason}" for line, reason in enumerate(wrong.values(), start=2) if reason]
    assert refusal(prepare, days, work, table) == "\n".join([f"{table}: 13 of its rows are wrong:", *told])
    assert not (work / "raw").exists()
    table.write_text("file,label\n" + "none.wav,low\n" * 30)
    assert refusal(prepare, days, work, table).splitlines()[-1] == "  and 10 more"


def test_a_table_that_is_none_or_has_too_little_is_refused(days: Path, tmp_path: Path) -> None:
    table, work = tmp_path / "labels.csv", tmp_path / "work"
    for content, told in {
        "": f"{table}: no column 'file'. Its columns are none.",
        "file;label\na.wav;low\n": f"{table}: its columns are parted by semicolons. Save it with commas.",
        "file,name\na.wav,low\n": f"{table}: no column 'label'. Its columns are file, name.",
        "file,label,from\na.wav,low,1\n": (
            f"{table}: unknown column 'from'. There may be file, label, group, start, end."
        ),
        "file,label,start_seconds\na.wav,low,1\n": (
            f"{table}: unknown column 'start_seconds'. There may be file, label, group, start, end."
        ),
        "file,label\na.wav,low\n\nb.wav,low,1\n": f"{table}: line 4 has not 2 cells, as the first line has",
        "file,label\n": f"{table}: has no row",
        "file,label\na.wav,low\n": f"{table}: one class, 'low'. Give at least two.",
        rows_of("a.wav", "b.wav"): (
            f"{table}: class 'high' has 2 groups of recordings; `train` needs 3: one trains, one validates, one tests. "
            "Add recordings of another origin, or group them otherwise."
        ),
    }.items():
        table.write_text(content)
        assert refusal(prepare, days, work, table) == told
    table.unlink()
    assert refusal(prepare, days, work, table) == f"{table}: no such file"
    assert refusal(prepare, days / "none", work, table) == f"{days}/none: no such folder"
    assert not (work / "raw").exists()


def test_a_recording_that_cannot_be_cut_is_set_aside(days: Path, tmp_path: Path) -> None:
    whole = (days / "a.wav").read_bytes()
    (days / "e.wav").write_bytes(whole[: len(whole) // 2])
    table = tmp_path / "labels.csv"
    table.write_text(rows_of("a.wav", "b.wav", "c.flac", "far/d.wav") + "e.wav,low,0.5,1.5\n")
    sounds = prepare(days, tmp_path / "work", table)
    reason = "truncated: the header promises 882000 bytes of samples, 440978 are there"
    assert sounds.set_aside == {"low/e_0.5-1.5s.wav": reason}
    assert len(sounds.clips) == 8


@pytest.mark.usefixtures("project")
def test_exported_segments_are_a_table_to_train_on(days: Path, model_folder: Path, capsys: Capture) -> None:
    files = [str(path) for path in sorted(days.rglob("*.*")) if path.suffix != ".txt"]
    segment = ["segment", "--model", str(model_folder), "--device", "cpu"]
    assert main([*segment, *files, "--export", "clips"]) == 0
    assert main(["train", "clips", "--labels", "clips/segments.csv", *PROBE, "--out", "mine"]) == 0
    assert load_model("mine", device="cpu").classes == ("high", "low")
    tested = pd.read_csv("mine-report/recordings.csv")
    exported = pd.read_csv("clips/segments.csv")
    assert sorted(tested["file"]) == sorted(exported["file"])
    capsys.readouterr()
    options = ["--labels", "clips/segments.csv", "--group-folders", *PROBE, "--out", "other"]
    assert main(["train", "clips", *options]) == 1
    told = "--labels goes without --group-...: its table says groups in a column `group`.\n"
    assert capsys.readouterr().err == told
