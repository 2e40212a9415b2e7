"""The codec that the package carries: whole, small, heard of in its card, and better than before it was trained."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from beyond_spectrograms.codec.card import CARD, CODEC, UNTRAINED
from beyond_spectrograms.codec.files import SHIPPED, choose_bitrate
from beyond_spectrograms.codec.measures import judge_codec
from beyond_spectrograms.codec.network import load_codec
from beyond_spectrograms.data import downloads
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.data.downloads import DownloadError, fetch
from beyond_spectrograms.data.synthesis import synthesise
from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.params import CodecFile
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import CheckpointError
from support.common import noise, refusal
from support.models import PARAMS
from support.repository import Patch

CARD_TOLD = json.loads((SHIPPED.parent / CARD).read_text(encoding="utf-8"))
NAMES = {"codec_16khz": CODEC, "codec_16khz_untrained": UNTRAINED}


def at_16_khz(path: Path) -> Waveform:
    """Read a sound as mono [1, samples]."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(sound.mean(axis=1), rate, 16_000)[None], dtype=np.float32)


@pytest.mark.parametrize("name", list(NAMES))
def test_files_params_and_card_tell_of_the_same_bytes(name: str) -> None:
    content, record = (SHIPPED.parent / NAMES[name]).read_bytes(), PARAMS.weights[name]
    told = CARD_TOLD if NAMES[name] == CODEC else CARD_TOLD["untrained"]
    found = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert {"bytes": record.bytes, "sha256": record.sha256} == found
    assert {key: told[key] for key in found} == found
    assert len(content) < 1_000_000


def test_its_card_says_what_it_heard_and_the_audit_what_it_did_not() -> None:
    assert [each["dataset"] for each in CARD_TOLD["sounds"]] == ["synthesised", "esc10"]
    assert PARAMS.weights["codec_16khz"].trained_on == ["freesound"]  # whence ESC-10 is
    assert PARAMS.shared_corpora("esc10", "codec_16khz") == ["freesound"]
    assert PARAMS.shared_corpora("esc10", "codec_16khz_untrained") == []


@pytest.mark.usefixtures("one_thread", "in_an_empty_folder")
@pytest.mark.parametrize("name", list(NAMES))
def test_its_latents_are_a_representation_without_any_download(name: str) -> None:
    weights = fetch_encoder(PARAMS, name)
    assert weights == [Path("data/weights", name, NAMES[name])]
    made, (codec, _) = create_representation(name, PARAMS.representations[name], weights), load_codec(weights[0])
    windows = np.stack([noise(1.0, 16_000, seed)[None] for seed in range(3)])
    features = made.encode(windows, 16_000)
    with torch.inference_mode():
        expected = np.concatenate([codec.latents(torch.from_numpy(each[None])).numpy() for each in windows])
    assert np.array_equal(features, expected)
    assert (made.bands, made.frames(16_000)) == (64, 100)


@pytest.mark.usefixtures("one_thread")
def test_it_gives_sounds_back_that_it_never_heard_and_before_its_training_it_does_not(tmp_path: Path) -> None:
    synthesise(tmp_path, 20_261_130, 2, 2.0)  # another seed than the demo's and than that of what it heard
    sounds = [at_16_khz(path) for path in sorted(tmp_path.rglob("*.wav"))]
    nearness = {}
    for name in NAMES.values():
        codec, _ = load_codec(SHIPPED.parent / name)
        qualities, _ = judge_codec(codec, sounds, choose_bitrate(codec.network))
        of_each = zip(*((each.si_snr, -each.mel_distance) for each in qualities), strict=True)
        nearness[name] = [float(np.median(each)) for each in of_each]
    assert all(trained - untrained > 5 for trained, untrained in zip(nearness[CODEC], nearness[UNTRAINED], strict=True))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no such file or directory"), (b"", f"has 0 bytes, expected {PARAMS.weights['codec_16khz'].bytes}")],
)
def test_an_installation_without_it_is_told_to_be_damaged(
    tmp_path: Path, monkeypatch: Patch, content: bytes | None, reason: str
) -> None:
    monkeypatch.setattr(downloads, "PACKAGE", tmp_path)
    place = tmp_path / "codec/shipped/codec.safetensors"
    place.parent.mkdir(parents=True)
    if content is not None:
        place.write_bytes(content)
    told = refusal(DownloadError, fetch, "weights of codec_16khz", [PARAMS.weights["codec_16khz"]], tmp_path / "kept")
    assert told == f"weights of codec_16khz: {place}: {reason}. Install the package again."


def test_a_file_that_is_no_codec_is_no_representation(tmp_path: Path) -> None:
    record, path = CodecFile(kind="codec_file", weights="mine"), tmp_path / "mine.safetensors"
    told = "mine: its weights file is missing. Run its featurize stage, which fetches it."
    assert refusal(CheckpointError, create_representation, "mine", record, [path]) == told
    path.write_bytes(b"")
    told = refusal(CheckpointError, create_representation, "mine", record, [path])
    assert told.startswith(f"mine: {path}: no codec of ours. ")
