"""A long sound is coded piece by piece as it would be at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beyond_spectrograms.codec import streaming
from beyond_spectrograms.codec.files import open_codec
from beyond_spectrograms.codec.streaming import Streamer
from beyond_spectrograms.data.audio import BadAudioError, Waveform
from support.codecs import SMALL, write_codec
from support.coded import melody
from support.common import refusal

NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "recurrent": {"lstm": 2},
    "other strides": {"strides": [5, 3], "entries": 16, "bitrates": [1067 * 4]},
    "by level": {"by_level": True, "causal": False, "norm": "time_group_norm"},
}


@pytest.fixture(params=NETWORKS)
def codec(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    network = SMALL.model_copy(update=NETWORKS[request.param])
    return write_codec(tmp_path / "codec", type(network).model_validate(network.model_dump()))


def in_blocks(sound: Waveform, length: int) -> list[Waveform]:
    return [sound[None, first : first + length] for first in range(0, len(sound), length)]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.numeric
@pytest.mark.parametrize("piece_s", [0.2, 0.73])
def test_in_pieces_a_sound_has_the_codes_and_the_sound_it_has_at_once(
    codec: Path, piece_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, by = melody(3.0)[:44_444], open_codec(codec)
    bitrate = by.codec.network.bitrates[-1]
    whole = Streamer(*by)
    at_once = whole.encode([sound[None]], bitrate)
    expected = np.concatenate(list(whole.decode(at_once)), axis=1)
    assert expected.shape == (1, 44_444)
    monkeypatch.setattr(streaming, "PIECE_S", piece_s)
    parted = Streamer(*by)
    for length in (1000, 30_000):
        found = parted.encode(in_blocks(sound, length), bitrate)
        assert found.samples == at_once.samples
        for one, other in zip(found.codes, at_once.codes, strict=True):
            assert one.shape == other.shape
            assert (one != other).mean() < 0.002  # where two entries are as near as roundings
        made = np.concatenate(list(parted.decode(at_once)), axis=1)
        np.testing.assert_allclose(made, expected, atol=1e-5)


@pytest.mark.usefixtures("one_thread")
def test_what_hears_all_at_once_takes_a_minute_at_most(tmp_path: Path) -> None:
    by = open_codec(write_codec(tmp_path / "codec", SMALL.model_copy(update={"causal": False})))
    sound, streamer = np.tile(melody(2.0), 30)[: 60 * 16_000], Streamer(*by)
    coded = streamer.encode([sound[None]], 600)
    assert next(streamer.decode(coded)).shape == (1, 60 * 16_000)
    told = refusal(BadAudioError, streamer.encode, [sound[None], sound[None, :1]], 600)
    assert told == ("longer than 60 s, which is all that a codec takes that is not causal and does not divide by level")
    longer = coded._replace(samples=60 * 16_000 + 1, codes=[np.pad(coded.codes[0], ((0, 0), (0, 1)))])
    told = refusal(BadAudioError, lambda: list(streamer.decode(longer)))
    assert told == "longer than 60 s, which is all that its codec takes"


def test_more_than_a_day_and_nothing_are_refused(tmp_path: Path) -> None:
    by = open_codec(write_codec(tmp_path / "codec", SMALL.model_copy(update={"by_level": True})))
    assert refusal(BadAudioError, Streamer(*by).encode, [], 600) == "empty: a header but no samples"
    day = np.broadcast_to(np.float32(0), (1, by.layout.most_samples + 1))  # of no memory
    assert refusal(BadAudioError, Streamer(*by).encode, [day], 600) == (
        "longer than a day, which is the most that is coded"
    )


def test_a_codec_that_gives_what_is_not_finite_is_told(tmp_path: Path) -> None:
    by = open_codec(write_codec(tmp_path / "codec", SMALL))
    by.codec.decoder.model[-1].conv.conv.weight_g.data.fill_(3e38)
    coded = Streamer(*by).encode([np.full((1, 1600), 0.1, np.float32)], 600)
    told = "beyond-spectrograms/seeded gives samples that are not finite. Train it again."
    assert refusal(BadAudioError, list, Streamer(*by).decode(coded)) == told
