"""beyond-spectrograms search: the windows most like a sound, and what was computed of them kept."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli.conftest import Write

from beyond_spectrograms.cli import main
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.inference import search as searching
from beyond_spectrograms.params import load_params
from beyond_spectrograms.representations.mel import MelSpectrogram
from support.common import flip, noise, tone
from support.repository import REPOSITORY, Capture

NAME = "log_mel_2048_50hz"
RECORD = load_params(root=REPOSITORY).representations[NAME]


def chirp(seconds: float, sample_rate: int = 22_050) -> Waveform:
    """Make five rising calls a second, as no other sound here has."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (0.4 * np.sin(2 * np.pi * (2000 + 8000 * (time % 0.2)) * time)).astype(np.float32)


@pytest.fixture
def places(write: Write, project: Path) -> dict[str, float]:
    """Write eight recordings; give where a query's copies are: exact, at a tenth of the level, and shifted by 0.1 s."""
    sounds = {}
    for number in range(8):
        rising = noise(6, 22_050, number) * np.linspace(0.02, 0.1 + number / 9, 132_300, dtype=np.float32)
        sounds[f"field/{number}.wav"] = rising + tone(6, 300 * (1 + number), 22_050, 0.02)
    query = chirp(1)
    sounds["field/2.wav"][44_100:66_150] = query
    sounds["field/5.wav"][11_025:33_075] = 0.1 * query
    sounds["field/6.wav"][68_355:90_405] = query
    sounds |= {"field/silence.wav": np.zeros(44_100, np.float32), "field/query.wav": query}
    for name, sound in sounds.items():
        write(f"project/{name}", sound, 22_050, subtype="FLOAT")
    (project / "field/text.mp3").write_text("this is no sound, but a text of some length")
    return {"field/2.wav": 2.0, "field/5.wav": 0.5, "field/6.wav": 3.0}


def found(capsys: Capture, *options: str) -> tuple[int, list[dict[str, str]], list[str]]:
    status = main(["search", "field/query.wav", "field", "--representation", NAME, "--format", "csv", *options])
    output, errors = capsys.readouterr()
    return status, list(csv.DictReader(io.StringIO(output))), errors.splitlines()


def plain_search(count: int) -> list[tuple[str, float, float]]:
    """Search over everything in memory, as one would by hand."""
    mel, names, starts, rows = MelSpectrogram(NAME, RECORD, ()), [], [], []
    for path in ["field/query.wav", *(f"field/{number}.wav" for number in range(8))]:
        sound, _ = soundfile.read(path, dtype="float32")
        stored = (np.clip(np.rint(sound * 2**23), -(2**23), 2**23 - 1) / 2**23).astype(np.float32)
        for start in range(0, len(sound) - 22_049, 11_025):
            [features] = mel.encode(stored[None, None, start : start + 22_050], 22_050).astype(np.float64)
            names.append(path), starts.append(start / 22_050)
            rows.append([*features.mean(axis=1), *features.std(axis=1)])
    query, table = np.array(rows[0]), np.array(rows[1:])
    scaled, wanted = (table - table.mean(axis=0)) / table.std(axis=0), (query - table.mean(axis=0)) / table.std(axis=0)
    cosine = scaled @ wanted / np.linalg.norm(scaled, axis=1) / np.linalg.norm(wanted)
    order = np.argsort(-cosine, kind="stable")[:count]
    return [(names[1 + index], starts[1 + index], cosine[index]) for index in order]


def test_exact_quieter_and_shifted_copies_are_found_first_as_by_a_plain_search(
    places: dict[str, float], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "BLOCK", 3)
    status, rows, errors = found(capsys, "--count", "20")
    first: dict[str, float] = {}
    for row in rows:
        first.setdefault(row["file"], float(row["start_seconds"]))
    assert list(first)[:3] == ["field/2.wav", "field/6.wav", "field/5.wav"]
    assert {name: first[name] for name in places} == places
    assert float(rows[0]["similarity"]) == pytest.approx(1, abs=1e-6)
    plain = plain_search(20)
    assert [(row["file"], float(row["start_seconds"])) for row in rows] == [(name, start) for name, start, _ in plain]
    np.testing.assert_allclose([float(row["similarity"]) for row in rows], [cosine for *_, cosine in plain], atol=2e-5)
    told = f"data/search/{NAME}: 91 windows of 9 recordings, 9 of them computed now"
    assert (status, errors) == (1, ["field/text.mp3: not decodable as audio: Format not recognised.", told])


@pytest.mark.usefixtures("places")
def test_what_was_computed_is_kept_while_it_is_whole_and_the_sound_the_same(capsys: Capture) -> None:
    before = found(capsys)[1]
    told = f"data/search/{NAME}: {{}} windows of 9 recordings, {{}} of them computed now"
    again = found(capsys)
    assert (again[1], again[2][-1]) == (before, told.format(91, 0))
    for kept in Path("data/search", NAME).glob("*.f32"):
        flip(kept, 100)
    Path("field/0.wav").rename("field/zero.wav")  # a key is of the bytes, not of the name
    damaged = found(capsys)
    assert (damaged[1], damaged[2][-1]) == (before, told.format(91, 9))
    soundfile.write("field/1.wav", noise(6, 22_050, 9), 22_050)
    assert found(capsys)[2][-1] == told.format(91, 1)
    assert found(capsys, "--hop", "1")[2][-1] == told.format(50, 9)


@pytest.mark.usefixtures("places")
def test_all_formats_say_the_same_and_a_model_gives_its_representation(model_folder: Path, capsys: Capture) -> None:
    rows = found(capsys, "--count", "2")[1]
    search = ["search", "field/query.wav", "field/*.wav", "--count", "2"]
    assert main([*search, "--representation", NAME, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"file": row["file"], "start_seconds": float(row["start_seconds"]), "similarity": float(row["similarity"])}
        for row in rows
    ]
    assert main([*search, "--representation", NAME]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "similarity         start  file",
        "    1.0000   0:00:02.000  field/2.wav",
    ]
    assert main([*search, "--model", str(model_folder)]) == 0
    output, errors = capsys.readouterr()
    assert output.splitlines()[1] == "    1.0000   0:00:02.000  field/2.wav"
    assert errors.startswith("data/search/mel_16: 91 windows of 9 recordings, 9 of them")


@pytest.mark.usefixtures("places")
def test_a_name_that_no_file_can_have_stops_no_other(capsys: Capture) -> None:
    long = "a" * 300
    assert main(["search", "field/query.wav", long, "field/2.wav", "--representation", NAME, "--count", "1"]) == 1
    output, errors = capsys.readouterr()
    assert output.splitlines()[1] == "    1.0000   0:00:02.000  field/2.wav"
    assert errors.splitlines()[0] == f"{long}: file name too long"


@pytest.mark.usefixtures("places")
def test_what_cannot_be_searched_is_told_in_a_line(capsys: Capture) -> None:
    by = ["--representation", NAME]
    for arguments, told in (
        (["none.wav", "field", *by], "none.wav: no such file"),
        (["field/text.mp3", "field", *by], "field/text.mp3: not decodable as audio: Format not recognised."),
        (["field/query.wav", "field/query.wav", *by], "field/query.wav: no sound to search in"),
        (["field/silence.wav", "field/1.wav", *by], "field/silence.wav: silent, and silence is not compared"),
        (
            ["field/1.wav", "field/silence.wav", *by],
            "nothing to compare: all windows of the recordings are silent or the same",
        ),
        (["field/1.wav", "field", *by, "--hop", "2"], "--hop is 2 s; it must be 0.01 to 1 s, a window's length"),
        (
            ["field/1.wav", "field", *by, "--weights", "x"],
            "--weights goes with --model; those of a representation are found by its name",
        ),
    ):
        assert main(["search", *arguments]) == 1
        assert capsys.readouterr().err.splitlines()[-1] == told
