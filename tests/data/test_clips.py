import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from beyond_spectrograms.data import clips
from beyond_spectrograms.data.audio import FORMATS, BadAudioError, Recording, Waveform, read_clip
from beyond_spectrograms.data.clips import DatasetError, Outcome, clip_path
from beyond_spectrograms.params import Source
from support import cells
from support.common import contents, noise, refusal
from support.repository import Start, stage_here
from support.stopping import kill_stage_in

PLAUSIBLE = (1.0, 600.0)
EMPTY, NOT_AUDIO = "empty file (0 bytes)", "not decodable as audio: Format not recognised."


def expecting(clips: int | None, classes: int | None, known_bad: list[str]) -> Source:
    counts: dict[str, Any] = {"clips": clips, "classes": classes, "known_bad": known_bad}
    return Source(path="pets", seconds=PLAUSIBLE, folds=3, fold_seed=0, **counts)


def write(path: Path, sound: Waveform, sample_rate: int = 44_100, subtype: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, sample_rate, subtype=subtype)


def store(raw: Path, work: Path, place: Path) -> list[Outcome]:
    outcomes = clips.prepare_clips(raw, work, PLAUSIBLE)
    clips.publish_clips(outcomes, work, place)
    return outcomes


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A data set of two classes with three clips each; one is 8-bit, one of another rate."""
    raw = tmp_path / "raw"
    for number in range(6):
        label, form = ("cat", "wav") if number < 3 else ("dog", "flac")
        rate = 22_050 if number == 5 else 44_100
        sound = noise(1 + number / 10, rate, number)
        write(raw / label / f"{number}.{form}", sound, rate, "PCM_U8" if number == 0 else None)
    return raw


def usable(label: str, count: int) -> list[Outcome]:
    return [Outcome(f"{label}/{number}.wav", "", seconds=1.0) for number in range(count)]


def test_every_usable_file_is_stored_in_every_format_and_in_the_table(tmp_path: Path, pets: Path) -> None:
    store(pets, tmp_path / "work", tmp_path / "clips")
    names = [f"{'cat' if n < 3 else 'dog'}/{n}.{'wav' if n < 3 else 'flac'}" for n in range(6)]
    table = pd.read_csv(tmp_path / "clips" / "clips.csv")
    assert list(table.columns) == ["clip", "label", "seconds", "source_sample_rate", "sha256"]
    assert list(table["clip"]) == names
    assert list(table["label"]) == ["cat"] * 3 + ["dog"] * 3
    assert list(table["seconds"]) == [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    assert list(table["source_sample_rate"]) == [44_100] * 5 + [22_050]
    for form in FORMATS:
        for name, seconds in zip(names, table["seconds"], strict=True):
            clip = read_clip(clip_path(tmp_path / "clips", form, name), form)
            assert clip.shape == (form.channels, round(seconds * form.sample_rate))
    assert sum(path.is_file() for path in (tmp_path / "clips").rglob("*")) == 6 * len(FORMATS) + 1
    assert not (tmp_path / "work").exists()


def test_bad_files_are_set_aside_with_their_reasons_and_counted(tmp_path: Path, pets: Path) -> None:
    (pets / "cat" / "empty.wav").touch()
    (pets / "cat" / "text.wav").write_text("miaow")
    write(pets / "dog" / "short.wav", noise(0.2))
    write(pets / "dog" / "silent.wav", np.zeros(44_100, np.float32))
    outcomes = store(pets, tmp_path / "work", tmp_path / "clips")
    assert clips.describe_clips("pets", outcomes) == {
        **{"dataset": "pets", "files": 10, "clips": 6, "classes": 2, "limited_samples": 0, "set_aside_count": 4},
        **{"seconds": 7.5, "shortest_seconds": 1.0, "longest_seconds": 1.5},
        "clips_by_sample_rate": {"22050": 1, "44100": 5},
        "clips_by_class": {"cat": 3, "dog": 3},
        "set_aside": {
            "cat/empty.wav": EMPTY,
            "cat/text.wav": NOT_AUDIO,
            "dog/short.wav": "0.200 s long; plausible is 1 to 600 s",
            "dog/silent.wav": "silent: its peak is 0, silence is 0.0001 or less",
        },
        "remarks": {"cat/0.wav": ["8-bit samples: quantisation noise at about -50 dBFS is part of the sound"]},
    }
    stored = {path.name for path in (tmp_path / "clips" / FORMATS[0].name).rglob("*.flac")}
    assert stored == {"0.wav.flac", "1.wav.flac", "2.wav.flac", "3.flac.flac", "4.flac.flac", "5.flac.flac"}


@pytest.mark.parametrize(
    ("outcomes", "wanted", "message"),
    [
        ([], (None, None, []), "no audio file found"),
        ([*usable("cat", 3), Outcome("dog/a.wav", "", EMPTY), Outcome("dog/b.wav", "", NOT_AUDIO)], (None, None, []),
         f"class 'dog' has no usable file:\n  dog/a.wav: {EMPTY}\n  dog/b.wav: {NOT_AUDIO}"),
        ([*usable("cat", 3), Outcome("cat/x.wav", "", EMPTY)], (4, 1, []),
         f"expected 4 usable clips, found 3\n  cat/x.wav: {EMPTY}"),
        (usable("cat", 3), (4, 1, []), "expected 4 usable clips, found 3"),
        (usable("cat", 3), (2, 1, []), "expected 2 usable clips, found 3"),
        ([*usable("cat", 2), *usable("dog", 2)], (4, 3, []), "expected 3 classes, found 2: cat, dog"),
        (usable("cat", 9), (10, 1, ["cat/9.wav"]), "expected 10 usable clips, found 9"),  # known bad, but missing
    ],
)  # fmt: skip
def test_a_data_set_that_is_not_what_is_expected_stops(outcomes: list[Outcome], wanted: Any, message: str) -> None:
    assert refusal(DatasetError, clips.check_clips, "pets", outcomes, expecting(*wanted)) == f"pets: {message}"


@pytest.mark.parametrize("suffix", ["wav", "au"])
def test_a_file_known_to_be_bad_may_be_bad_or_good_in_any_form(suffix: str) -> None:
    source = expecting(10, 1, ["cat/9.wav"])
    clips.check_clips("g", [*usable("cat", 9), Outcome(f"cat/9.{suffix}", "", NOT_AUDIO)], source)
    clips.check_clips("g", usable("cat", 10), source)
    clips.check_clips("g", [*usable("cat", 3), Outcome("cat/x.wav", "", NOT_AUDIO)], expecting(None, None, []))


def written(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def changed(before: dict[Path, int], folder: Path) -> set[Path]:
    return {path for path, time in written(folder).items() if time != before.get(path, time)}


def test_after_a_kill_only_what_changed_is_done_again(tmp_path: Path, pets: Path) -> None:
    work = tmp_path / "work"
    clips.prepare_clips(pets, work, PLAUSIBLE)
    before = written(work)
    write(pets / "cat/1.wav", noise(2, seed=99))
    clips.prepare_clips(pets, work, PLAUSIBLE)
    anew = {clip_path(work / "finished", form, "cat/1.wav") for form in FORMATS} | {work / "records/cat/1.wav.json"}
    assert changed(before, work) == anew
    (pets / "cat/2.wav").write_text("miaow")
    half = clip_path(work / "finished", FORMATS[0], "cat/removed.wav")
    half.with_name(f"{half.name}.partial").write_bytes(b"fLaC")
    resumed = store(pets, work, tmp_path / "resumed")
    assert {outcome.clip: outcome.reason for outcome in resumed if outcome.reason} == {"cat/2.wav": NOT_AUDIO}
    assert resumed == store(pets, tmp_path / "fresh_work", tmp_path / "fresh")
    assert contents(tmp_path / "resumed") == contents(tmp_path / "fresh")


def test_a_file_that_was_set_aside_is_tried_again_once_what_reads_it_is_installed(
    tmp_path: Path, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, read = tmp_path / "work", clips.read_recording
    missing = "m4a files are read by ffmpeg, which is not installed. Install it, or convert to FLAC"

    def read_without_ffmpeg(path: Path, seconds: tuple[float, float]) -> Recording:
        if path.name == "1.wav":
            raise BadAudioError(missing)
        return read(path, seconds)

    monkeypatch.setattr(clips, "read_recording", read_without_ffmpeg)
    outcomes = clips.prepare_clips(pets, work, PLAUSIBLE)
    assert {outcome.clip: outcome.reason for outcome in outcomes if outcome.reason} == {"cat/1.wav": missing}
    monkeypatch.undo()
    assert [outcome for outcome in clips.prepare_clips(pets, work, PLAUSIBLE) if outcome.reason] == []


@pytest.mark.parametrize("damage", ["a flipped byte", "a cut clip", "a missing clip", "an emptied record"])
def test_a_clip_that_is_not_what_a_killed_run_wrote_is_written_anew(tmp_path: Path, pets: Path, damage: str) -> None:
    work = tmp_path / "work"
    clips.prepare_clips(pets, work, PLAUSIBLE)
    clip = clip_path(work / "finished", FORMATS[1], "cat/1.wav")
    content = bytearray(clip.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "an emptied record":  # as a power cut may leave it
        (work / "records/cat/1.wav.json").write_bytes(b"")
    elif damage == "a missing clip":
        clip.unlink()
    else:
        clip.write_bytes(content if damage == "a flipped byte" else content[: len(content) // 2])
    store(pets, work, tmp_path / "resumed")
    store(pets, tmp_path / "fresh_work", tmp_path / "fresh")
    assert contents(tmp_path / "resumed") == contents(tmp_path / "fresh")


def test_other_versions_or_limits_of_length_prepare_every_clip_again(tmp_path: Path, pets: Path) -> None:
    work = tmp_path / "work"
    clips.prepare_clips(pets, work, PLAUSIBLE, {"data": 1})
    before = written(work)
    clips.prepare_clips(pets, work, PLAUSIBLE, {"data": 1})
    assert changed(before, work) == set()
    clips.prepare_clips(pets, work, PLAUSIBLE, {"data": 2})
    assert changed(before, work) == {*before}
    outcomes = clips.prepare_clips(pets, work, (1.15, 600.0), {"data": 2})
    assert [outcome.clip for outcome in outcomes if outcome.reason] == ["cat/0.wav", "cat/1.wav"]


def test_a_killed_resample_goes_on_and_ends_with_the_same_bytes(project: Path, tmp_path: Path) -> None:
    raw, work, place = (project / "data" / part for part in ("raw/pets/audio", "partial/clips/pets", "clips/pets"))
    for number in range(20):
        write(raw / ("cat" if number % 2 else "dog") / f"{number}.wav", noise(6, seed=number))
    (project / "data/raw/pets/source.json").write_text(json.dumps({"kind": "path"}))
    records = work / "records"
    recorded = f"len(list(Path({str(records)!r}).glob('*/*.json'))) >= 4"
    kill_stage_in("beyond_spectrograms.data.clips:write_sealed", recorded, "resample", "pets", folder=project)
    removed, *kept = [str(path.relative_to(records).with_suffix("")) for path in sorted(records.glob("*/*.json"))]
    assert 3 <= len(kept) < 19
    (raw / removed).unlink()
    finished = {(form, clip): clip_path(work / "finished", form, clip) for form in FORMATS for clip in kept}
    times = {key: path.stat().st_mtime_ns for key, path in finished.items()}
    stage_here(project, "resample", "pets")
    assert {key: clip_path(place, *key).stat().st_mtime_ns for key in times} == times, "a clip was written again"
    store(raw, tmp_path / "work", tmp_path / "undisturbed")
    assert contents(place) == contents(tmp_path / "undisturbed")
    assert len(contents(place)) == 19 * len(FORMATS) + 1
    assert not work.exists()
    told = json.loads((project / "metrics/pets/clips.json").read_text())
    assert (told["clips"], told["source"]) == (19, {"kind": "path"})


def test_a_stage_that_stops_says_why_and_leaves_the_clips_of_before(project: Path, start_stage: Start) -> None:
    write(project / "data/raw/pets/audio/cat/a.wav", noise(1))
    cells.write(project / "data/raw/pets/audio/dog/b.wav", "woof")
    cells.write(project / "data/clips/pets/clips.csv", "of before")
    process = start_stage("resample", "pets")
    output, error = process.communicate()
    assert (process.returncode, error) == (1, f"pets: class 'dog' has no usable file:\n  dog/b.wav: {NOT_AUDIO}\n")
    estimate, took, last = output.splitlines()
    said = r"pets: 2 files, 1 s of sound, to check and resample; will take about .* s, 296 kB of disk"
    assert re.fullmatch(said, estimate)
    assert took.startswith("took ")
    assert last == f"set aside dog/b.wav: {NOT_AUDIO}"
    assert contents(project / "data/clips/pets") == {"clips.csv": b"of before"}
    assert not (project / "metrics").exists()
