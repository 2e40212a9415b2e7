"""Classes and files whose names would steer a terminal, be computed by a spreadsheet or break out of a format."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
from soundfile import write

from beyond_spectrograms.cli import main
from beyond_spectrograms.inference.label_table import read_table
from support import models
from support.common import sound_file, tone
from support.repository import Capture
from support.serving import serving

HIGH = '=HYPERLINK("http://evil")\x1b]0;title\x07\t</script><img src=x onerror=alert(1)>'
LOW = '+low\u202e\x9b2J\n"xmin = 0'
SHOWN_HIGH = '=HYPERLINK("http://evil")\\x1b]0;title\\x07\\t</script><img src=x onerror=alert(1)>'
SHOWN_LOW = '+low\\u202e\\x9b2J\\n"xmin = 0'


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_model(tmp_path_factory.mktemp("hostile") / "model", classes=[HIGH, LOW])


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    write("=1+1\x1b[2J.wav", np.concatenate([tone(2, 400), tone(2, 4000)]), 44_100)
    return "=1+1\x1b[2J.wav"


def ask(capsys: Capture, hostile: Path, *arguments: str) -> str:
    assert main([*arguments, "--model", str(hostile)]) == 0
    told = capsys.readouterr().out
    assert told.replace("\n", "").replace("\t", "").isprintable()
    return told


def test_tables_show_escapes(hostile: Path, sound: str, capsys: Capture) -> None:
    told = ask(capsys, hostile, "classify", sound)
    assert told.startswith("=1+1\\x1b[2J.wav")
    assert SHOWN_HIGH in told
    assert SHOWN_LOW in told
    assert ask(capsys, hostile, "segment", sound).splitlines()[1].endswith(SHOWN_LOW)


def test_json_holds_names_as_they_are(hostile: Path, sound: str, capsys: Capture) -> None:
    [told] = json.loads(ask(capsys, hostile, "classify", sound, "--format", "json"))
    assert (told["file"], {each["label"] for each in told["labels"]}) == (sound, {HIGH, LOW})
    assert json.loads(ask(capsys, hostile, "classify", sound, "--format", "jsonl")) == told
    assert json.loads(ask(capsys, hostile, "segment", sound, "--format", "json"))["classes"] == [HIGH, LOW]


def test_csv_has_no_cell_that_a_spreadsheet_computes(hostile: Path, sound: str, capsys: Capture) -> None:
    rows = list(csv.DictReader(io.StringIO(ask(capsys, hostile, "classify", sound, "--format", "csv"))))
    assert {row["file"] for row in rows} == {"'=1+1\\x1b[2J.wav"}
    assert {row["label"] for row in rows} == {f"'{SHOWN_HIGH}", f"'{SHOWN_LOW}"}
    rows = list(csv.DictReader(io.StringIO(ask(capsys, hostile, "segment", sound, "--format", "csv"))))
    assert [row["label"] for row in rows] == [f"'{SHOWN_LOW}", f"'{SHOWN_HIGH}"]


def test_the_table_of_cut_clips_is_quoted_and_read_back(hostile: Path, sound: str, tmp_path: Path) -> None:
    assert main(["segment", sound, "--model", str(hostile), "--export", "clips"]) == 0
    table = tmp_path / "clips/segments.csv"
    assert set(pd.read_csv(table)["label"]) == {f"'{HIGH}", f"'{LOW}"}
    assert set(read_table(table, "label", "source")["label"]) == {HIGH, LOW}
    assert set(read_table(table, "label", "source")["source"]) == {sound}


def test_label_tracks_have_a_line_a_label(hostile: Path, sound: str, capsys: Capture) -> None:
    low, high = '+low\\u202e\\x9b2J "xmin = 0', SHOWN_HIGH.replace("\\t", " ")
    told = ask(capsys, hostile, "segment", sound, "--format", "audacity")
    assert told == f"0.000000\t2.250000\t{low}\n2.250000\t4.000000\t{high}\n"
    texts = [line.strip() for line in ask(capsys, hostile, "segment", sound, "--format", "textgrid").splitlines()]
    assert [line for line in texts if line.startswith("text")] == [
        'text = "{}"'.format(label.replace('"', '""')) for label in (low, high)
    ]
    assert texts.count("xmin = 0") == 3  # of the file, the tier and its first interval


def test_the_page_and_its_answer_hold_no_markup_of_a_name(hostile: Path) -> None:
    with serving(hostile) as address:
        page = requests.get(address, timeout=30).text
        answer = requests.post(f"{address}/analyse", data=sound_file(tone(2, 4000)), timeout=30)
    assert "<img src=x" not in page
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["labels"][0]["label"] == HIGH
