"""Whole files are read whatever else their headers say, damaged ones are refused, by all three doors alike."""

import io
import json
import shutil
import struct
from pathlib import Path

import pytest
import yaml

from beyond_spectrograms.cli import main
from beyond_spectrograms.data.audio import BadAudioError
from beyond_spectrograms.data.containers import CONTAINERS, check_whole
from beyond_spectrograms.data.folders import shorten
from beyond_spectrograms.data.sound_files import open_sound, read_recording
from beyond_spectrograms.inference.own_sounds import Grouping, prepare_sounds
from support import cells
from support.common import lay_out, noise, refusal
from support.models import PARAMS
from support.odd_sounds import SAMPLES, encode, half, odd_sounds, riff
from support.repository import Capture, Patch, run_here

ODD = odd_sounds()
DAMAGED = sorted(name for name, (_, whole, _) in ODD.items() if not whole)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_read_whole_or_refused(name: str, tmp_path: Path) -> None:
    content, whole, samples = ODD[name]
    (tmp_path / name).write_bytes(content)
    if not whole:
        words = ("truncated: ", "not decodable as audio after ", "peak of ")
        assert refusal(BadAudioError, read_recording, tmp_path / name, (0.1, 10)).startswith(words)
        return
    recording = read_recording(tmp_path / name, (0.1, 10))
    assert len(recording.samples) == (samples or pytest.approx(SAMPLES, rel=0.05))


@pytest.mark.parametrize("kind", ["W64", "CAF"])
@pytest.mark.parametrize("size", [2**63 - 1, 2**62])
def test_a_chunk_that_leads_behind_any_file_is_no_traceback(kind: str, size: int) -> None:
    content, chunks = bytearray(encode(kind, "PCM_16")), CONTAINERS[{"W64": b"riff", "CAF": b"caff"}[kind]]
    place = chunks.first + struct.calcsize(chunks.header) - 8
    content[place : place + 8] = size.to_bytes(8, "little" if kind == "W64" else "big")
    check_whole(io.BytesIO(content))  # whether there is sound in it is for libsndfile to say


def test_a_damaged_file_is_refused_by_pipeline_train_and_classify_alike(
    tmp_path: Path, model_folder: Path, project: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    sounds = tmp_path / "pets"
    for label in ("cat", "dog"):
        lay_out(sounds / label, {name: content for name, (content, _, _) in ODD.items()})
    set_aside = {f"{label}/{name}" for label in ("cat", "dog") for name in DAMAGED}

    found = prepare_sounds(sounds, tmp_path / "work", PARAMS, Grouping(), folds=3)
    assert set(found.set_aside) == set_aside
    assert len(found.clips) == 2 * (len(ODD) - len(DAMAGED))

    monkeypatch.setenv("HOME", str(tmp_path))
    record = yaml.safe_load((project / "datasets/pets.yaml").read_text())
    record["source"]["seconds"] = [0.1, 600.0]  # as train has it
    cells.write(project / "datasets/pets.yaml", yaml.safe_dump(record, sort_keys=False))
    run_here("download", "pets")
    run_here("resample", "pets")
    told = json.loads((project / "metrics/pets/clips.json").read_text())
    assert told["set_aside"] == found.set_aside

    capsys.readouterr()
    assert main(["classify", "--model", str(model_folder), str(sounds / "cat"), "--format", "json"]) == 1
    answers = json.loads(capsys.readouterr().out)
    assert {f"cat/{Path(one['file']).name}": one["error"] for one in answers if "error" in one} == {
        name: reason for name, reason in found.set_aside.items() if name.startswith("cat/")
    }


def test_a_promise_that_no_file_could_keep_is_taken_as_left_open() -> None:
    for size in (0x7FFF_FFFF, 0xFFFF_FFFF):
        check_whole(io.BytesIO(riff(b"\1\2" * 500, data=size)))
    missing = riff(b"\1\2" * 500, data=0x7000_0000)
    told = refusal(BadAudioError, check_whole, io.BytesIO(missing))
    assert told == "truncated: the header promises 1879048192 bytes of samples, 1000 are there"


def test_chunks_that_lead_in_a_circle_or_behind_the_end_end_the_search() -> None:
    w64 = bytearray(encode("W64", "PCM_16"))
    w64[40 + 16 : 40 + 24] = bytes(8)  # the first chunk is as long as nothing
    check_whole(io.BytesIO(bytes(w64)))
    check_whole(io.BytesIO(b"RIFF" + b"\xff" * 30))
    check_whole(io.BytesIO(b""))


@pytest.mark.parametrize(("suffix", "codec"), [("m4a", "aac"), ("webm", "libopus"), ("wma", "wmav2"), ("aac", "aac")])
def test_what_libsndfile_does_not_read_ffmpeg_does(suffix: str, codec: str, tmp_path: Path) -> None:
    if (program := shutil.which("ffmpeg")) is None:
        pytest.skip("ffmpeg is not installed")
    import subprocess

    (tmp_path / "a.wav").write_bytes(encode("WAV", "PCM_16"))
    path = tmp_path / f"a.{suffix}"
    subprocess.run([program, "-v", "error", "-i", tmp_path / "a.wav", "-c:a", codec, path], check=True)
    recording = read_recording(path, (0.1, 10))
    assert len(recording.samples) / recording.sample_rate == pytest.approx(1.35, abs=0.15)
    if suffix in ("m4a", "webm"):
        path.write_bytes(half(path.read_bytes()))
        assert refusal(BadAudioError, read_recording, path, (0.1, 10)).startswith("not decodable as audio: ffmpeg: ")
    path.write_bytes(b"#EXTM3U\n#EXTINF:1,\na.wav\n")  # a playlist opens nothing
    assert refusal(BadAudioError, read_recording, path, (0.1, 10)).startswith("not decodable as audio: ffmpeg: ")


def test_without_ffmpeg_its_formats_are_refused_with_what_to_do(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.m4a").write_bytes(b"some sound")
    told = "m4a files are read by ffmpeg, which is not installed. Install it, or convert to FLAC"
    assert refusal(BadAudioError, read_recording, tmp_path / "a.m4a", (0.1, 10)) == told
    (tmp_path / "a.m4a").write_bytes(b"")
    with pytest.raises(BadAudioError, match=r"^empty file \(0 bytes\)$"), open_sound(tmp_path / "a.m4a"):
        pass


def test_a_long_name_is_cut_and_its_path_is_told(tmp_path: Path) -> None:
    long = "ä" * 125  # 250 bytes, and as much again in a folder
    for label in ("cat", "dog"):
        for number in range(3):
            place = tmp_path / "sounds" / label / f"{long}{number}"
            place.mkdir(parents=True)
            sound = noise(1.5, seed=number + 3 * (label == "dog"))
            (place / f"{long}.wav").write_bytes(encode("WAV", "PCM_16", sound))
    found = prepare_sounds(tmp_path / "sounds", tmp_path / "work", PARAMS, Grouping(), folds=3)
    assert len(found.clips) == 6
    assert found.set_aside == {}
    assert sorted(found.paths.values()) == [
        f"{label}/{long}{number}/{long}.wav" for label in ("cat", "dog") for number in range(3)
    ]
    assert all(len(clip.split("/")[1].encode()) <= 200 for clip in found.paths)


def test_names_are_cut_to_names_of_their_own() -> None:
    assert shorten("a" * 196 + ".wav") == "a" * 196 + ".wav"
    cut = [shorten("a" * 300 + f"{number}.wav") for number in range(2)]
    assert len(set(cut)) == 2
    assert all(len(name) == 200 and name.endswith(".wav") for name in cut)


def test_the_pipeline_says_which_file_a_cut_name_is_of(tmp_path: Path, project: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    cats, dogs = ("cat/a.wav", "cat/b.wav", "cat/c.wav"), ("dog/c.wav", "dog/take/b.wav", f"dog/{'b' * 210}.wav")
    for name in (*cats, *dogs):
        cells.write(tmp_path / "pets" / name, name)
    run_here("download", "pets")
    record = json.loads((project / "data/raw/pets/source.json").read_text())
    assert record["shortened"] == {f"dog/{shorten('b' * 210 + '.wav')}": f"dog/{'b' * 210}.wav"}
