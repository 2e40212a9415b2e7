"""Prototypes made audible: right bands, equal levels, what they do on average, and the stage that writes it all."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from beyond_spectrograms.classifiers.base import last_layer
from beyond_spectrograms.classifiers.prototypes.model import PrototypeLayer
from beyond_spectrograms.classifiers.registry import read_network
from beyond_spectrograms.data.windows import read_windows
from beyond_spectrograms.params import Params, load_params
from beyond_spectrograms.report import figures
from beyond_spectrograms.representations.mel import MelSpectrogram
from beyond_spectrograms.sonification import players
from beyond_spectrograms.sonification.page import figure_prototypes
from beyond_spectrograms.sonification.play import difference_db
from beyond_spectrograms.sonification.trained import Average, averages, choose_windows, render_window
from support import heard
from support.clones import stage
from support.common import noise, refusal
from support.heard import RATE, TONES, tone
from support.repository import REPOSITORY, stage_here

pytestmark = pytest.mark.usefixtures("one_thread")
Project = tuple[Path, Params]
CLASSES = sorted(TONES)
PLAYED = Path("data/heard/prototypes/esc10/log_mel_16khz/prototypes")
DRAWN = Path("studies/prototypes/plots/esc10/log_mel_16khz")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("heard")
    return folder, heard.write(folder)


@pytest.fixture
def synthesizer(project: Project) -> Any:
    return synthesizer_of(project[1], 0)


@pytest.fixture
def layer(project: Project) -> PrototypeLayer:
    model = project[0] / "data/models/prototypes/esc10/log_mel_16khz/prototypes/fold_1-seed_0.safetensors"
    network, _ = read_network(model, project[1].protocols["prototypes"], (128, 32), CLASSES, None)
    return last_layer(network.eval(), PrototypeLayer)


def synthesizer_of(params: Params, seed: int) -> Any:
    return players.create_player("log_mel_16khz", params.representations["log_mel_16khz"], None, seed)


def features_of(folder: Path) -> Any:
    return np.load(folder / "data/features/prototypes/esc10/log_mel_16khz/features.npy")


def decibels(samples: np.ndarray) -> np.ndarray:
    power = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=1024, hop_length=512, n_mels=128)
    return 10 * np.log10(np.maximum(power, 1e-10))


def test_the_bins_found_have_the_mel_bands_given_loud_or_quiet(synthesizer: players.Synthesizer) -> None:
    given = decibels(tone(1000, 0) + tone(5000, 1, level=0.003))
    triangles = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=128)
    found = 10 * np.log10(triangles @ synthesizer.magnitudes(given) ** 2)
    assert np.median(np.abs(found - given)) < 0.001
    assert np.percentile(np.abs(found - given), 95) < 0.5


@pytest.mark.parametrize("hertz", TONES.values())
def test_a_tone_s_spectrum_sounds_at_its_frequency(synthesizer: players.Synthesizer, hertz: float) -> None:
    played = synthesizer.play(decibels(tone(hertz, 0)))
    assert len(played) == 31 * 512  # a hop fewer than frames
    strongest = np.abs(np.fft.rfft(played)).argmax() * RATE / len(played)
    assert strongest == pytest.approx(hertz, abs=16 + 0.02 * hertz)  # a bin, a band


def test_what_is_played_is_what_was_given_but_for_its_level(synthesizer: players.Synthesizer) -> None:
    given = decibels(tone(1000, 0) + tone(3000, 1))
    again = decibels(synthesizer.play(given))
    inner = slice(2, -3)  # of frames that are not at an end
    loud = given[:, inner] > given.max() - 50
    difference = again[:, inner][loud] - given[:, inner][loud]
    assert np.abs(difference - np.median(difference)).mean() < 2.5


def test_the_same_seed_gives_the_same_bits(synthesizer: players.Synthesizer, project: Project) -> None:
    given = decibels(tone(1000, 0))
    played = synthesizer.play(given)
    np.testing.assert_array_equal(synthesizer.play(given), played)
    other = synthesizer_of(project[1], 1)
    assert not np.array_equal(other.play(given), played)


def test_centres_of_bands_are_where_tones_peak(synthesizer: players.Synthesizer) -> None:
    peak = int(decibels(tone(1000, 0)).mean(1).argmax())
    assert synthesizer.frequencies[peak] == pytest.approx(1000, abs=15)


def test_levels_are_those_one_hears() -> None:
    # By A-weighting 1 kHz counts as it is, 100 Hz 19.1 dB less.
    for hertz, factor in ((1000, 1.0), (100, 10 ** (-19.1 / 20))):
        for level in (0.3, 0.001):
            samples = players.match_level(level * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE), RATE)
            wanted = min(players.LOUDNESS / factor, players.PEAK / np.sqrt(2))
            assert np.sqrt(np.mean(samples**2)) == pytest.approx(wanted, rel=0.01)


def test_a_click_is_turned_down_before_it_is_cut_and_silence_stays_silence() -> None:
    click = np.zeros(RATE, dtype=np.float32)
    click[100] = 0.01
    assert np.abs(players.match_level(click, RATE)).max() == pytest.approx(players.PEAK)
    np.testing.assert_array_equal(players.match_level(np.zeros(100, np.float32), RATE), np.zeros(100))


@pytest.mark.parametrize("name", ["mel", "soundstream_codes_9200bps", "encodec_24khz_untrained", "another_codec"])
def test_what_no_player_is_known_for_is_refused(name: str) -> None:
    known: Any = load_params(Path("studies/bitrates"), REPOSITORY).representations
    known["another_codec"] = SimpleNamespace(kind="another", decoder="soundstream_decoder")  # not Lyra's to play
    assert refusal(players.PrototypesError, players.create_player, name, known[name], None, 0) == (
        f"{name}: its prototypes cannot be heard. Choose a representation of kind mel and scale db, or the latents "
        "of a trained codec, not its codes."
    )


def test_means_are_over_the_windows_a_prototype_explains(layer: PrototypeLayer, project: Project) -> None:
    features, targets = features_of(project[0]), torch.tensor([0, 0, 0, 1, 1])
    found = averages(layer, features, np.array([0, 1, 2, 4, 5]), targets)
    assert [each.windows for each in found] == [3, 2, 0]
    low = CLASSES.index("low")
    assert found[low].transformed is not None
    np.testing.assert_allclose(found[low].transformed - found[low].plain, heard.GAIN, atol=0.01)
    np.testing.assert_allclose(found[low].transformed.mean(1), features[4:8].mean((0, 2)), atol=0.01)
    assert found[2].transformed is None
    # Without labels the nearest explains a window, whatever its class.
    layer.settings = layer.settings.model_copy(update={"supervised": False, "cross_entropy": 0.0})
    mixed = averages(layer, features, np.arange(len(features)), torch.zeros(len(features)))
    assert [each.windows for each in mixed] == [4, 4, 4]


def test_a_class_may_be_named_what_reads_like_a_formula(tmp_path: Path) -> None:
    names = ("$\\frac$", "a_b")
    drawn = [Average(0, np.zeros((8, 4), np.float32), None)] * 2
    figure = figure_prototypes(drawn, names, None, 1.0, "prototypes")
    figures.save(figure, tmp_path, "prototypes")
    assert tuple(axes.get_title(loc="left") for axes in figure.axes) == names


def test_windows_are_drawn_of_each_class_no_two_of_a_clip_and_none_silent() -> None:
    clips = ["a/0", "a/1", "a/2", "a/3", "b/0", "b/1", "b/2", "b/3", "a/1"]
    table = pd.DataFrame({"clip": clips, "label": list("aaaabbbba"), "silent": [int(clip[2] == "0") for clip in clips]})
    for seed in range(5):
        chosen = table.iloc[choose_windows(table, np.arange(len(table)), 3, seed)]
        assert sorted(chosen["clip"]) == ["a/1", "a/2", "a/3", "b/1", "b/2", "b/3"]
        assert chosen["label"].tolist() == list("aaabbb")
    assert table.iloc[choose_windows(table, np.array([1, 2, 6]), 1, 0)]["label"].tolist() == ["a", "b"]


def test_each_class_renders_a_window_and_the_nearest_is_first(layer: PrototypeLayer, project: Project) -> None:
    folder, features = project[0], features_of(project[0])
    row = 4 * list(TONES).index("low")
    window = render_window(layer, features, read_windows(folder / "data/splits/esc10"), row, CLASSES, seconds=1.0)
    assert (window.clip, window.label, window.start_s) == ("low/0.wav", "low", 0.0)
    np.testing.assert_allclose(window.features, features[row], atol=1e-4)
    assert next(made.label for made in window.reconstructions) == "low"
    assert sorted(made.label for made in window.reconstructions) == CLASSES
    errors = [made.error for made in window.reconstructions]
    assert errors == sorted(errors)
    own = window.reconstructions[0]
    assert own.error == pytest.approx(float(np.mean((own.features - window.features) ** 2)), rel=1e-4)
    np.testing.assert_allclose(own.curves["gain (dB)"], heard.GAIN, atol=0.001)
    np.testing.assert_allclose(own.curves["pitch (semitones)"], 0, atol=1e-6)
    assert set(own.curves) == {"gain (dB)", "pitch (semitones)", "lowest band (dB)", "highest band (dB)"}


def test_curves_are_in_semitones_and_decibels(layer: PrototypeLayer, project: Project) -> None:
    assert layer.decoders is not None
    bias = layer.decoders.last_bias.data
    bias[:, 1, 0] = float(np.arctanh(np.log(2)))  # an octave
    bias[:, 2, 0] = float(np.arctanh(0.1 / 0.25))  # the slope of high frequencies
    table = read_windows(project[0] / "data/splits/esc10")
    made = render_window(layer, features_of(project[0]), table, 0, CLASSES, seconds=1.0).reconstructions[0]
    np.testing.assert_allclose(made.curves["pitch (semitones)"], 12, atol=1e-4)
    np.testing.assert_allclose(made.curves["highest band (dB)"], 17, atol=0.01)
    np.testing.assert_allclose(made.curves["lowest band (dB)"], 0, atol=0.01)


def listen(folder: Path) -> str:
    return stage(folder, "listen", "--study=prototypes", "esc10", "log_mel_16khz", code=REPOSITORY)


def written_in(folder: Path) -> dict[str, bytes]:
    """Read what the stage leaves of the cell."""
    places = [folder / PLAYED, folder / DRAWN]
    return {str(path.relative_to(place)): path.read_bytes() for place in places for path in place.rglob("*.*")}


@pytest.mark.long
def test_the_stage_writes_the_same_each_time(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project[0]
    printed = listen(folder)
    written = written_in(folder)
    kinds = ("prototype", "transformed")
    sounds = [f"sounds/{place}_{label}-{kind}.wav" for place, label in enumerate(CLASSES, 1) for kind in kinds]
    assert sorted(written) == ["heard.json", "page/index.html", "prototypes.png", "prototypes.svg", *sounds]
    near = json.loads((folder / "studies/prototypes/metrics/esc10/heard/log_mel_16khz.json").read_text())
    assert list(near) == ["prototypes"]
    found = near["prototypes"]
    size = len(written["page/index.html"]) / 1e6
    assert printed.splitlines() == [
        "esc10, log_mel_16khz-prototypes, fold 1, seed 0",
        "30 sounds to make, about 3 s",
        "12 sounds to make, about 1 s",
        f"log_mel_16khz-prototypes: 3 prototypes, 6 clips, a page of {size:.1f} MB",
        f"6 windows: rendered {found['rendered_db']:.1f} dB from the clip, the prototype itself "
        f"{found['prototype_db']:.1f} dB, round trip {found['round_trip_db']:.1f} dB",
    ]
    assert found.items() >= {"fold": 1, "seed": 0, "windows": 6, "windows_without_prototype": 0}.items()
    # The prototypes are means of such tones: nearly as near as the tones' own spectra.
    assert 0 < found["round_trip_db"] < found["rendered_db"] + 1 < 15
    for name in sounds:
        samples, rate = soundfile.read(folder / PLAYED / name)
        assert rate == RATE
        assert 0 < np.abs(samples).max() < 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    listen(folder)
    assert written_in(folder) == written


def test_no_excerpt_is_passed_on_that_its_licence_does_not_let_be(tmp_path: Path) -> None:
    heard.write(tmp_path, "gtzan_genres")
    printed = stage_here(tmp_path, "listen", "--study=prototypes", "gtzan_genres", "log_mel_16khz")
    assert "3 prototypes, 0 clips" in printed
    page = (tmp_path / "data/heard/prototypes/gtzan_genres/log_mel_16khz/prototypes/page/index.html").read_text()
    assert "none of those whose licence is known to let excerpts be passed on" in page
    assert ".wav" not in page


def test_differences_are_in_level_where_the_clip_can_be_heard(project: Project) -> None:
    record = project[1].representations["log_mel_16khz"]
    assert record.kind == "mel"
    sound = noise(1, RATE)
    distance = partial(difference_db, MelSpectrogram("log_mel_16khz", record), sample_rate=RATE)
    assert distance(sound, sound) == 0
    assert distance(sound / 2, sound) == pytest.approx(20 * np.log10(2), abs=0.01)
    assert distance(sound[:8000] / 2, sound) == pytest.approx(20 * np.log10(2), abs=0.01)
    # Below the range nothing counts: silence is as far as the range reaches.
    clicks = np.zeros(RATE, dtype=np.float32)
    assert distance(clicks, sound / 2) == pytest.approx(distance(clicks, sound), abs=0.01)
    assert distance(clicks, sound) < 70
