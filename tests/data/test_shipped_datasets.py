"""The shipped records of data sets: which files of an archive they take, and under which label."""

import re

import pytest

from beyond_spectrograms.params import load_params
from support.repository import REPOSITORY

DATASETS = load_params(root=REPOSITORY).datasets
MATLAB = "musicSpeechRecognitionMatlab-70b6dc20"


@pytest.mark.parametrize(
    ("dataset", "member", "taken"),
    [
        ("tinysol", "TinySOL/Brass/Bass_Tuba/ordinario/BTb-ord-A#3-ff-alt1-T17d.wav", "Bass_Tuba"),
        ("tinysol", "TinySOL/Strings/Violin/ordinario/Vn-ord-D3-mf-4c-N.wav", "Violin"),
        # A neighbour a semitone away, resampled.
        ("tinysol", "TinySOL/Strings/Violin/ordinario/Vn-ord-D3-mf-4c-R100u.wav", None),
        ("tinysol", "TinySOL/Strings/Violin/ordinario/Vn-ord-C4-mf-4c-T22d_R100d.wav", None),
        ("gtzan_music_speech", f"{MATLAB}/music_speech/music_wav/classical1.wav", "music"),
        ("gtzan_music_speech", f"{MATLAB}/other/music_wav/x.wav", None),
        ("gtzan_music_speech", "speech_wav/news.wav", "speech"),  # Kaggle's, whose folders stand at the top
        ("gtzan_music_speech", "dataset/music_wav/classical.wav", None),
        ("esc10", "ESC-10-553c8f17/001 - Dog bark/1-30226-A.ogg", "Dog bark"),
        ("esc50_ogg", "CNN-ESC50Dataset-87b3f95f/Dataset_ESC-50/204 - Sea waves/2-2001-A.ogg", "Sea waves"),
        ("fsdd_speakers", "free-spoken-digit-dataset-1.0.10/recordings/7_theo_12.wav", "theo"),
        ("fsdd_digits", "free-spoken-digit-dataset-1.0.10/recordings/7_theo_12.wav", "7"),
        ("gtzan_genres", "genres/jazz/jazz.00007.au", "jazz"),
        ("librispeech_speakers", "LibriSpeech/dev-clean/84/121123/84-121123-0001.flac", "84"),
        ("librispeech_chapters", "LibriSpeech/dev-clean/84/121123/84-121123-0001.flac", None),  # has too few chapters
        ("librispeech_chapters", "LibriSpeech/dev-clean/1272/128104/1272-128104-0001.flac", "1272"),
        *((dataset, "top/README.txt", None) for dataset, record in DATASETS.items() if record.source.members),
    ],
)
def test_a_record_takes_the_sounds_it_is_about_and_no_others(dataset: str, member: str, taken: str | None) -> None:
    match = re.fullmatch(DATASETS[dataset].source.members or "", member)
    assert (match and match["label"]) == taken
    assert match is None or match["file"] == member.rsplit("/", 1)[1]


@pytest.mark.parametrize("dataset", ["gtzan_music_speech", "esc50_ogg"])
def test_a_set_whose_archive_has_no_stable_bytes_is_known_by_a_digest_of_its_files_and_not_passed_on(
    dataset: str,
) -> None:
    record = DATASETS[dataset]
    assert record.notice is None
    assert record.source.manifest_sha256 is not None
    licences = {archive.licence for archive in record.source.archives or []}
    assert licences == {"none known" if dataset == "gtzan_music_speech" else "CC BY-NC 3.0"}
