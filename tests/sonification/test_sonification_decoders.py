"""Latents made audible: real clips through Lyra's encoder and decoder, EnCodec's own, and what is refused."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import torch

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.params import load_params
from beyond_spectrograms.params.study import Study
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.encodec import untrained_model
from beyond_spectrograms.representations.mel import MelSpectrogram
from beyond_spectrograms.sonification.listening import fetch_decoder
from beyond_spectrograms.sonification.play import difference_db
from beyond_spectrograms.sonification.players import LOUDNESS, PrototypesError, create_player, match_level
from beyond_spectrograms.util.files import read_sealed
from support import heard
from support.cells import edit_params, write_split_record
from support.common import refusal, stack
from support.heard import RATE, TONES
from support.repository import REPOSITORY, stage_here

PARAMS = load_params(Path("studies/prototypes"), REPOSITORY)
ESC10 = "553c8f1743b9dba6b282e1323c3ca8fa76923448"
CLIPS = ("005 - Clock tick/1-21934-A", "002 - Rain/1-17367-A")
CLIPS += ("006 - Person sneeze/1-26143-A", "010 - Fire crackling/1-17150-A")
MEL, SOUNDSTREAM = (PARAMS.representations[name] for name in ("log_mel_16khz", "soundstream"))


def recording(mirror: Path, name: str) -> Waveform:
    """Read the first second of a clip of ESC-10 at 16 kHz."""
    with zipfile.ZipFile(mirror / f"{ESC10}.zip") as archive:
        samples, rate = soundfile.read(io.BytesIO(archive.read(f"ESC-10-{ESC10}/{name}.ogg")), dtype="float32")
    return match_level(soxr.resample(samples, rate, RATE, quality="HQ")[:RATE], RATE)


def through_soundstream(mirror: Path, clip: Waveform) -> Waveform:
    encoder = create_representation("soundstream", SOUNDSTREAM, [mirror / "soundstream_encoder.tflite"])
    player = create_player("soundstream", SOUNDSTREAM, mirror / "lyragan.tflite", 0)
    return player.play(encoder.encode(clip[None, None], RATE)[0])


@pytest.mark.parametrize("name", CLIPS)
def test_a_real_clip_sounds_like_itself_after_lyras_encoder_and_decoder(mirror: Path, name: str) -> None:
    clip = recording(mirror, name)
    played = through_soundstream(mirror, clip)
    assert played.shape == (RATE,)
    levels = create_representation("log_mel_16khz", MEL, []).encode(np.stack([clip, played])[:, None], RATE)
    floored = np.maximum(levels, levels[0].max() - 70)
    assert np.corrcoef(floored[0].ravel(), floored[1].ravel())[0, 1] > 0.8  # of rain, else 0.94 or more
    # No delay to make up for: a frame or a half later or earlier it fits worse.
    mel = MelSpectrogram("log_mel_16khz", MEL)
    at = {shift: difference_db(mel, np.roll(played, shift), clip, RATE) for shift in (-320, -160, 0, 160, 320)}
    assert min(at, key=at.__getitem__) == 0
    assert at[0] < 5.5


def test_a_sound_is_decoded_the_same_each_time_whatever_was_decoded_before(mirror: Path) -> None:
    latents = np.random.default_rng(0).normal(0, 5, (2, 64, 10)).astype(np.float32)
    player = create_player("soundstream", PARAMS.representations["soundstream"], mirror / "lyragan.tflite", 0)
    first, other = (player.play(each) for each in latents)
    assert first.shape == (3200,)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(player.play(latents[0]), first)


@pytest.mark.parametrize(("name", "channels"), [("encodec_24khz", 1), ("encodec_48khz", 2)])
def test_latents_of_encodec_are_played_by_its_own_decoder(tmp_path: Path, name: str, channels: int) -> None:
    record, weights = PARAMS.representations[name], tmp_path / "encodec.th"
    model = untrained_model(name.removeprefix("encodec_"), 5).eval()
    torch.save(model.state_dict(), weights)
    encoder, player = create_representation(name, record, [weights]), create_player(name, record, weights, 0)
    assert (player.form, player.form.channels) == (encoder.form, channels)
    latents = encoder.encode(stack(1, encoder.form, 0.2), encoder.form.sample_rate)[0]
    with torch.inference_mode():
        expected = model.decoder(torch.from_numpy(latents)[None])[0].mean(0).numpy()
    played = player.play(latents)
    assert played.shape == (latents.shape[1] * 320,)
    np.testing.assert_allclose(played, match_level(expected, encoder.form.sample_rate), atol=1e-5)
    assert np.sqrt(np.mean(played**2)) > LOUDNESS / 10
    np.testing.assert_array_equal(player.play(latents), played)


def test_another_file_than_lyras_decoder_is_refused(mirror: Path, tmp_path: Path) -> None:
    latents = np.zeros((64, 2), dtype=np.float32)
    broken = tmp_path / "lyragan.tflite"
    broken.write_bytes(b"not a model")

    def play(weights: Path) -> Waveform:
        return create_player("soundstream", SOUNDSTREAM, weights, 0).play(latents)

    for weights in (broken, mirror / "soundstream_encoder.tflite"):
        said = refusal(PrototypesError, play, weights)
        assert said.startswith(f"{weights}: not Lyra's SoundStream decoder. ")


def test_a_missing_decoder_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    told = "soundstream: its decoder's weights are missing. Run its listen stage, which fetches them."
    given = ("soundstream", SOUNDSTREAM, tmp_path / "lyragan.tflite", 0)
    assert refusal(PrototypesError, create_player, *given) == told


def test_the_decoder_is_fetched_and_recorded(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MIRROR_VARIABLE, str(mirror))
    study, place = Study("prototypes", PARAMS), Path("data/decoders/soundstream")
    assert fetch_decoder(study, "soundstream") == place / "lyragan.tflite"
    assert sorted(path.name for path in place.iterdir()) == ["lyragan.tflite", "record.json"]
    assert (place / "lyragan.tflite").read_bytes() == (mirror / "lyragan.tflite").read_bytes()
    record = PARAMS.weights["soundstream_decoder"].model_dump(exclude={"md5", "trained_on"})
    assert read_sealed(place / "record.json") == {"files": [{"file": "lyragan.tflite"} | record]}
    assert fetch_decoder(study, "log_mel_16khz") is None


# Heard end to end with trained models: latents, and clusters of which two have one class and a class has none.
LATENTS, CLUSTERS = ("soundstream", "latent_prototypes"), ("log_mel_16khz", "clusters")


def train_and_listen(folder: Path, name: str, protocol: str) -> tuple[str, Any, Any]:
    """Train a protocol for six epochs, with one seed and a clip to test; give its page, the page's data, measures."""
    parts = folder / "data/splits/esc10/parts.csv"
    table = pd.read_csv(parts, dtype=str)
    table.iloc[0] = "test"  # training ends with answers to a test part
    table.to_csv(parts, index=False)
    write_split_record(folder, "esc10", heard.STUDY)

    def few(params: dict[str, Any]) -> None:
        params["protocols"][protocol] |= {"epochs": 6, "seeds": [0]}
        params["protocols"][protocol]["prototypes"] |= {"step_epochs": 1, "warm_up": 0}

    edit_params(folder, few, "studies/prototypes/params.yaml")
    for verb in ("train", "listen"):
        stage_here(folder, verb, "--study=prototypes", "esc10", name)
    page = (folder / f"data/heard/prototypes/esc10/{name}/{protocol}/page/index.html").read_text(encoding="utf-8")
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    near = json.loads((folder / f"studies/prototypes/metrics/esc10/heard/{name}.json").read_text(encoding="utf-8"))
    return page, json.loads(data), near[protocol]


@pytest.mark.long
def test_trained_prototypes_of_latents_sound_as_their_classes(tmp_path: Path, mirror: Path) -> None:
    heard.write(tmp_path, cell=LATENTS)
    heard.write_latents(tmp_path, mirror)
    page, data, measured = train_and_listen(tmp_path, *LATENTS)
    for number, label in enumerate(sorted(TONES), 1):
        sounds = tmp_path / "data/heard/prototypes/esc10/soundstream/latent_prototypes/sounds"
        samples, rate = soundfile.read(sounds / f"{number}_{label}-prototype.wav")
        assert (rate, len(samples)) == (RATE, RATE)
        strongest = np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)
        assert strongest == pytest.approx(TONES[label], rel=0.1)
    assert (measured["windows"], data["frequencies"]) == (6, None)
    for clip in data["clips"]:
        assert clip["reconstructions"][0]["label"] == clip["label"]
        curves = clip["reconstructions"][0]["curves"]
        assert set(curves) == {"factor of the distance from rest", "read later by (ms)"}
        assert min(curves["factor of the distance from rest"]) > 0
    assert "the codec's own decoder" in page.replace("&#39;", "'")


@pytest.mark.long
def test_clusters_of_one_class_and_a_class_without_any_are_heard(tmp_path: Path) -> None:
    heard.write(tmp_path, cell=CLUSTERS)
    heard.relabel(tmp_path)
    _, data, measured = train_and_listen(tmp_path, *CLUSTERS)
    numbers, names = zip(*(one["name"].split(": ") for one in data["prototypes"]), strict=True)
    assert (numbers, sorted(names)) == (("1", "2", "3"), ["middle", "outer", "outer"])
    for clip in data["clips"]:
        assert sorted(made["label"] for made in clip["reconstructions"]) == ["middle", "outer"]
    assert "rare" in {clip["label"] for clip in data["clips"]}
    assert measured["windows_without_prototype"] == 1
    assert measured["rendered_db"] > 0
