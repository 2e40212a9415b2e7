"""A codec hears whole clips of training parts alone, cut and mixed as its recipe says."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from beyond_spectrograms.codec.reverberation import reverberate, room_response
from beyond_spectrograms.codec.sounds import CodecSoundsError, Corpus, Windows, choose_clips
from beyond_spectrograms.data.audio import Format
from beyond_spectrograms.params.codecs import CodecSounds
from support.codec_training import corpus_of
from support.codecs import SMALL, recipe
from support.common import noise, refusal, tone

RATE = 16_000
TABLE = pd.DataFrame(
    {"clip": ["a", "a", "b", "c", "d"], "label": ["rain", "rain", "rain", "rock", "rock"], "group": list("11234")}
)
PARTS = pd.DataFrame(
    {"source_1": ["train", "train", "train", "train", "test"], "source_2": ["train", "test", "validation", "train", ""]}
)
CLIPS = pd.DataFrame({"clip": list("abcd"), "sha256": list("ABCD")})


def chosen(apart: dict[str, set[str]] | None = None, **changed: Any) -> pd.DataFrame:
    values = {"dataset": "pets", "fold": 1, "apart_from": [], "without": [], "music": []} | changed
    return choose_clips(CodecSounds.model_validate(values), CLIPS, TABLE, PARTS, apart or {})


def test_clips_of_the_training_part_are_heard_and_no_clip_with_a_window_elsewhere() -> None:
    assert list(chosen()["clip"]) == ["a", "b", "c"]
    assert list(chosen(fold=2)["clip"]) == ["c"]
    assert list(chosen(fold=None)["clip"]) == ["a", "b", "c", "d"]
    assert list(chosen(music=["rock"])["music"]) == [False, False, True]
    assert list(chosen()["sha256"]) == ["A", "B", "C"]


def test_clips_of_groups_of_another_data_set_are_left_out() -> None:
    assert list(chosen({"esc10": {"1", "3"}})["clip"]) == ["b"]
    assert refusal(CodecSoundsError, chosen, {"esc10": set("1234")}) == "pets: no clip is left to train a codec on"


def test_clips_that_are_named_are_left_out() -> None:
    assert list(chosen(without=["a", "c"])["clip"]) == ["b"]
    assert refusal(CodecSoundsError, chosen, without=["z"]) == "pets: without names 'z', which is no clip of it"


def test_where_labels_are_named_clips_of_others_are_left_out() -> None:
    assert list(chosen(labels=["rock"])["clip"]) == ["c"]
    assert list(chosen(labels=["rock"], fold=None)["label"].unique()) == ["rock"]
    assert list(chosen(labels=["rock", "rain"])["clip"]) == list(chosen()["clip"])


def test_folds_and_labels_that_there_are_not_are_named() -> None:
    assert refusal(CodecSoundsError, chosen, fold=3) == "pets: fold 3 of 2 of the split source"
    for place in ("music", "labels"):
        told = f"pets: {place} 'pop' is no label. Choose from rain, rock."
        assert refusal(CodecSoundsError, chosen, **{place: ["pop"]}) == told


def test_the_same_seed_and_step_draw_the_same_windows_whatever_was_drawn_before() -> None:
    sounds = corpus_of(noise(1, RATE), tone(1, 440, RATE, 0.1))
    windows = Windows(sounds, recipe(), 0)
    first = [windows.batch(step) for step in range(3)]
    assert np.array_equal(Windows(sounds, recipe(), 0).batch(2), first[2])
    assert not np.array_equal(Windows(sounds, recipe(), 1).batch(2), first[2])
    assert first[0].shape == (4, 1, RATE // 5)
    assert first[0].dtype == np.float32


def test_strategies_are_drawn_as_often_as_the_card_says() -> None:
    """Music is +1, the other sound -1, at gains near 1 and of one sample: a window tells what it was mixed of."""
    sounds = corpus_of(np.ones(1, np.float32) * 0.1, -np.ones(1, np.float32) * 0.1, music=(True, False))
    quiet = recipe(gain_db=[-0.001, 0.001], reverberation=0.0, window_s=1 / RATE, batch_size=2000, dead_below=0.0)
    drawn = np.round(Windows(sounds, quiet, 0).batch(0)[:, 0, 0] * 10).astype(int)
    shares = {value: float(np.mean(drawn == value)) for value in (-3, -1, 0, 1)}
    expected = {-3: 0.12, -1: 0.32, 0: 0.24, 1: 0.32}
    assert all(abs(shares[value] - share) < 0.03 for value, share in expected.items()), shares


def test_without_music_the_other_strategies_take_its_share() -> None:
    sounds = corpus_of(np.ones(1, np.float32) * 0.1)
    quiet = recipe(gain_db=[-0.001, 0.001], reverberation=0.0, window_s=1 / RATE, batch_size=2000, dead_below=0.0)
    drawn = np.round(Windows(sounds, quiet, 0).batch(0)[:, 0, 0] * 10).astype(int)
    assert abs(float(np.mean(drawn == 1)) - 0.32 / 0.68) < 0.04


def test_windows_that_clip_are_drawn_anew_and_a_corpus_of_nothing_else_is_named() -> None:
    loud = corpus_of(tone(1, 440, RATE, 0.9))
    assert np.abs(Windows(loud, recipe(reverberation=0.0), 0).batch(0)).max() <= 1
    too_loud = Windows(corpus_of(tone(1, 440, RATE, 8.0)), recipe(mixing=False), 0)
    assert refusal(CodecSoundsError, too_loud.batch, 0) == (
        "level_db -24: 1000 windows drawn one after the other are over full scale. Choose a lower level."
    )


def test_windows_whose_channels_cancel_are_drawn_anew_where_their_mean_has_the_level() -> None:
    one, other = noise(1, RATE), noise(1, RATE, 1)
    plain = recipe(mixing=False, reverberation=0.0, batch_size=40, dead_below=0.0)

    def windows(*pairs: Any, by_level: bool = True) -> Windows:
        network = SMALL.model_copy(update={"channels": 2, "by_level": by_level})
        stereo = Corpus(pairs, np.ones(len(pairs)), np.zeros(len(pairs), np.bool_), Format(RATE, 2))
        return Windows(stereo, plain.model_copy(update={"network": network}), 0)

    for by_level in (True, False):
        drawn = windows(np.stack([one, -one]), np.stack([one, other]), by_level=by_level).batch(0)
        cancelling = np.count_nonzero(np.abs(drawn.mean(axis=1)).max(axis=1) == 0)
        assert cancelling == 0 if by_level else 10 < cancelling < 30
    assert refusal(CodecSoundsError, windows(np.stack([one, -one])).batch, 0) == (
        "level_db -24: 1000 windows drawn one after the other are over full scale, or their channels cancel. "
        "Choose a lower level, or other sounds."
    )
    assert not windows(np.zeros((2, RATE), np.float32)).batch(0).any()  # silence is drawn as it is


def test_a_sound_shorter_than_a_window_lies_whole_in_it() -> None:
    sounds = corpus_of(np.full(100, 0.1, np.float32))
    alone = recipe(mixing=False, reverberation=0.0, gain_db=[0.0, 0.0])
    for window in Windows(sounds, alone, 0).batch(0):
        assert np.count_nonzero(window) == 100


@pytest.mark.parametrize("rt60_s", [0.3, 1.3])
def test_a_room_s_sound_falls_by_60_db_in_its_time(rt60_s: float) -> None:
    """By Schroeder's backward integration, from -5 to -35 dB, as rooms are measured."""
    responses = [room_response(rt60_s, RATE, np.random.default_rng(seed))[RATE // 50 + 1 :] for seed in range(20)]
    energy = np.mean([np.square(each[: min(map(len, responses))]) for each in responses], axis=0)
    level = 10 * np.log10(np.cumsum(energy[::-1])[::-1] / energy.sum())
    first, last = (int(np.argmax(level < below)) for below in (-5, -35))
    assert 2 * (last - first) / RATE == pytest.approx(rt60_s, rel=0.05)


def test_reverberation_keeps_length_and_level() -> None:
    sound = noise(1, RATE)[None]
    played = reverberate(sound, room_response(0.5, RATE, np.random.default_rng(0)))
    assert played.shape == sound.shape
    assert np.square(played).mean() == pytest.approx(np.square(sound).mean(), rel=1e-3)
    assert not reverberate(np.zeros_like(sound), room_response(0.5, RATE, np.random.default_rng(0))).any()
