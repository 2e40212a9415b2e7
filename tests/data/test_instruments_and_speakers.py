"""Data sets as their records declare them: small archives of the same tree, downloaded, resampled and split."""

import hashlib
import io
import json
import runpy
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from support.cells import write_params
from support.repository import REPOSITORY
from support.servers import Answer, running_server

WINDOWS = ("window", *(f"window_by_seed_{number}" for number in range(1, 6)))
PITCHES = ("C3", "C#3", "D3", "A#3", "C4", "F#4")
SPEAKERS = {"174": 3, "1272": 3, "84": 1}  # chapters


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def archive(names: list[str], seconds: float, sample_rate: int, form: str) -> bytes:
    """Pack a sound of its own for each name, and what stands beside sounds, as a .tar.gz."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for number, name in enumerate(names):
            sound = io.BytesIO()
            noise = np.random.default_rng(number).normal(0, 0.1, round(seconds * sample_rate))
            soundfile.write(sound, noise, sample_rate, "VORBIS" if form == "OGG" else "PCM_16", format=form)
            add(tar, name, sound.getvalue())
        add(tar, f"{names[0].split('/')[0]}/README.txt", b"sounds")
        add(tar, str(Path(names[0]).with_name("._" + Path(names[0]).name)), b"")
    return packed.getvalue()


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def split(dataset: str, content: bytes, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Run download, resample and split with the shipped entry, whose archive is `content`."""
    write_params(Path())
    file = Path("datasets", f"{dataset}.yaml")
    known = yaml.safe_load(file.read_text(encoding="utf-8"))
    source = known["source"]
    source |= changes
    with running_server() as server:
        record = source["archives"][0]
        record["url"] = server.serves("/sounds.tar.gz", Answer(content))
        if "sha256" in record:
            record |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        elif "md5" in record:
            record["md5"] = hashlib.md5(content).hexdigest()
        file.write_text(yaml.safe_dump(known, sort_keys=False), encoding="utf-8")
        for stage in ("download", "resample", "split"):
            monkeypatch.setattr(sys, "argv", [f"{stage}.py", dataset])
            runpy.run_path(str(REPOSITORY / "stages" / f"{stage}.py"), run_name="__main__")


def read(dataset: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read windows.csv and parts.csv."""
    folder = Path("data/splits", dataset)
    return pd.read_csv(folder / "windows.csv", dtype=str), pd.read_csv(folder / "parts.csv", dtype=str)


def straddling(origins: "pd.Series[str]", parts: "pd.Series[str]") -> int:
    return int((parts.groupby(origins).nunique() > 1).sum())


def utterances() -> list[str]:
    return [
        f"LibriSpeech/dev-clean/{speaker}/{chapter}/{speaker}-{chapter}-{utterance:04}.flac"
        for speaker, chapters in SPEAKERS.items()
        for chapter in range(100, 100 + chapters)
        for utterance in range(6 // chapters)
    ]


def test_no_pitch_of_tinysol_is_in_two_parts_and_resampled_notes_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"Strings/Violin": "Vn", "Brass/Bass_Tuba": "BTb", "Keyboards/Accordion": "Acc"}
    names = [
        f"TinySOL/{place}/ordinario/{short}-ord-{pitch}-{ending}.wav"
        for place, short in places.items()
        for pitch in PITCHES
        for ending in ("pp-4c-N", "ff-alt1-T17d")
    ]
    resampled = ["Vn-ord-D3-mf-4c-R100u", "Vn-ord-C4-mf-4c-T22d_R100d"]
    names += [f"TinySOL/Strings/Violin/ordinario/{name}.wav" for name in resampled]
    split("tinysol", archive(names, 1.2, 44_100, "WAV"), monkeypatch, clips=36, classes=3)
    table, parts = read("tinysol")
    assert sorted(table["label"].unique()) == ["accordion", "bass_tuba", "violin"]
    assert sorted(table["group"].unique()) == sorted(PITCHES)
    assert not set(table["clip"]) & {f"violin/{name}.wav" for name in resampled}
    folds = [f"source_{fold}" for fold in range(1, 6)]
    assert list(parts) == [*WINDOWS, *folds]
    assert [straddling(table["group"], parts[fold]) for fold in folds] == [0] * 5
    for fold in folds:
        assert set(table["label"][parts[fold] == "train"]) == set(table["label"])
    assert json.loads(Path("data/raw/tinysol/source.json").read_text())["left_out"] == {
        ".txt": 1, ".wav": 2, "dot-files": 1,
    }  # fmt: skip


MUSIC_SPEECH = [
    f"music_speech/{label}_wav/{stem}{number}.wav"
    for label, stems in {"music": "classical jazz rock", "speech": "teachers news voices"}.items()
    for stem in stems.split()
    for number in ("", 1, 2)
]


@pytest.mark.parametrize(
    ("above", "beside"),
    [
        ("musicSpeechRecognitionMatlab-70b6dc20/", "musicSpeechRecognitionMatlab-70b6dc20/other/music_wav/x.wav"),
        ("", "dataset/music_wav/classical.wav"),  # Kaggle's, whose folders stand at the top
    ],
)
def test_both_archives_of_music_speech_give_the_same_files_and_no_stem_is_in_two_parts(
    above: str, beside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [above + (name if above else name.removeprefix("music_speech/")) for name in MUSIC_SPEECH]
    counts = {"clips": 18, "folds": 3, "seconds": [1, 31], "manifest_sha256": None}
    split("gtzan_music_speech", archive([*names, beside], 1.2, 22_050, "WAV"), monkeypatch, **counts)
    table, parts = read("gtzan_music_speech")
    assert sorted(table["clip"]) == sorted(
        name.removeprefix("music_speech/").replace("_wav", "") for name in MUSIC_SPEECH
    )
    assert table["group"].nunique() == 6
    assert [straddling(table["group"], parts[f"source_{fold}"]) for fold in (1, 2, 3)] == [0] * 3
    assert json.loads(Path("data/raw/gtzan_music_speech/source.json").read_text())["left_out"][".wav"] == 1


def test_esc_50_as_ogg_is_split_by_the_folds_in_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        f"CNN-ESC50Dataset-87b3f95f/Dataset_ESC-50/{label}/{fold}-{1000 * fold + number}-A.ogg"
        for number, label in enumerate(("101 - Dog", "204 - Sea waves"))
        for fold in range(1, 6)
    ]
    split("esc50_ogg", archive(names, 3.6, 44_100, "OGG"), monkeypatch, clips=10, classes=2, manifest_sha256=None)
    table, parts = read("esc50_ogg")
    assert sorted(table["label"].unique()) == ["dog", "sea_waves"]
    assert len(table) == 10 * 3
    assert set(table["clip"][parts["source_2"] == "test"]) == {"dog/2-2000-A.ogg", "sea_waves/2-2001-A.ogg"}


@pytest.mark.parametrize("dataset", ["gtzan_music_speech", "esc50_ogg"])
def test_neither_set_is_passed_on_and_both_are_known_by_a_digest_of_their_files(dataset: str) -> None:
    known = yaml.safe_load((REPOSITORY / "datasets" / f"{dataset}.yaml").read_text(encoding="utf-8"))
    assert known["notice"] is None
    assert len(known["source"]["manifest_sha256"]) == 64
    licences = {archive["licence"] for archive in known["source"]["archives"]}
    assert licences == {"none known" if dataset == "gtzan_music_speech" else "CC BY-NC 3.0"}


def test_no_chapter_is_in_two_parts_and_speakers_with_few_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    split("librispeech_chapters", archive(utterances(), 3.4, 16_000, "FLAC"), monkeypatch, classes=2)
    table, parts = read("librispeech_chapters")
    assert sorted(table["label"].unique()) == ["1272", "174"]
    assert sorted(table["group"].unique()) == [
        f"{name}-{number}" for name in ("1272", "174") for number in range(100, 103)
    ]
    folds = ["source_1", "source_2", "source_3"]
    assert list(parts) == [*WINDOWS, *folds]
    for fold in folds:
        assert straddling(table["group"], parts[fold]) == 0
        for part in ("train", "validation", "test"):
            assert set(table["label"][parts[fold] == part]) == {"1272", "174"}
