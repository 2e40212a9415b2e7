"""Files of EnCodec's codecs are the encodec program's, those of ours say whose they are, and every damage is told."""

import io
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from encodec.binary import BitPacker
from encodec.compress import compress, decompress

from beyond_spectrograms.codec.ecdc import (
    Coded,
    Header,
    Layout,
    check_lengths,
    layout_of,
    read_beginning,
    read_codes,
    read_content,
    read_header,
    write_ecdc,
)
from beyond_spectrograms.codec.files import ENCODEC, OpenCodec, decode_file, open_codec, open_encodec
from beyond_spectrograms.codec.network import CodecFileError
from beyond_spectrograms.codec.streaming import Streamer
from beyond_spectrograms.data.audio import BadAudioError, Waveform
from support.codecs import SMALL, write_codec
from support.coded import melody, publish, seeded_encodec
from support.common import refusal

BY_LEVEL = SMALL.model_copy(update={"by_level": True})
CHECKPOINTS = {"encodec_24khz": "encodec_24khz-d7cc33bc.th", "encodec_48khz": "encodec_48khz-7e698e3e.th"}


def no_lm() -> torch.nn.Module:
    raise AssertionError("no language model is needed")


def read(content: bytes, layout: Layout) -> Coded:
    header = read_header(content)
    check_lengths(header, layout)
    return read_codes(content, header, layout, no_lm)


def coded(by: OpenCodec, sound: Waveform, bitrate: int, place: Path) -> bytes:
    """Write sound [samples] or [channels, samples] as a file, and read it."""
    size = write_ecdc(place, Streamer(*by).encode([np.atleast_2d(sound)], bitrate), by.layout)
    content = place.read_bytes()
    assert size == len(content)
    return content


def decoded(by: OpenCodec, content: bytes) -> Waveform:
    return np.concatenate(list(Streamer(*by).decode(read(content, by.layout))), axis=1)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")  # encodec's
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("name", "lengths", "bitrate"), [("encodec_24khz", (24_000, 10_001), 6000), ("encodec_48khz", (48_000, 9001), 3000)]
)
def test_files_of_encodec_are_the_program_s_both_ways(
    name: str, lengths: tuple[int, ...], bitrate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = seeded_encodec(name.removeprefix("encodec_"))
    by = open_encodec(name, publish(theirs, CHECKPOINTS[name], tmp_path, monkeypatch))
    theirs.set_target_bandwidth(bitrate / 1000)
    for length in lengths:
        sound = np.stack([melody(2.0, seed)[:length] for seed in range(theirs.channels)])
        content = coded(by, sound, bitrate, tmp_path / f"{length}.ecdc")
        assert content == compress(theirs, torch.from_numpy(sound))
        made, rate = decompress(content)
        assert rate == by.layout.sample_rate
        assert torch.equal(torch.from_numpy(decoded(by, content)), made)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")  # encodec's
@pytest.mark.usefixtures("one_thread")
def test_a_length_at_which_the_program_asks_for_a_frame_too_many_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It computes 6720 / 24000 * 75 as 21.000000000000004, and so cannot read what it has written."""
    theirs = seeded_encodec()
    kept = publish(theirs, CHECKPOINTS["encodec_24khz"], tmp_path, monkeypatch)
    theirs.set_target_bandwidth(3.0)
    content = compress(theirs, torch.from_numpy(melody(1.0)[None, :6720]))
    with pytest.raises(EOFError, match="The stream ended sooner than expected"):
        decompress(content)
    by = open_encodec("encodec_24khz", kept)
    assert decoded(by, content).shape == (1, 6720)


@pytest.mark.parametrize("bits", [1, 4, 7, 10, 14])
@pytest.mark.parametrize("count", [1, 5, 16, 262_147])
def test_codes_are_packed_as_the_package_packs_them(bits: int, count: int, tmp_path: Path) -> None:
    layout = Layout("some", "", 16_000, 320, bits, 1, by_level=False)
    codes = np.random.default_rng(bits).integers(0, 1 << bits, (1, count)).astype(np.int16)
    write_ecdc(tmp_path / "a.ecdc", Coded(count * 320, [codes], []), layout)
    content = (tmp_path / "a.ecdc").read_bytes()
    packed = io.BytesIO()
    packer = BitPacker(bits, packed)
    for code in codes[0].tolist():
        packer.push(code)
    packer.flush()
    assert content.endswith(packed.getvalue())
    assert read_header(content).end + len(packed.getvalue()) == len(content)
    assert np.array_equal(read(content, layout).codes[0], codes)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("network", [SMALL, BY_LEVEL])
@pytest.mark.parametrize("samples", [1, 319, 320, 321, 6720, 16_000, 16_001, 40_000])
def test_as_many_samples_come_back_as_went_in(network: object, samples: int, tmp_path: Path) -> None:
    by = open_codec(write_codec(tmp_path / "codec", network))  # type: ignore[arg-type]
    content = coded(by, melody(2.0)[:samples], 600, tmp_path / "a.ecdc")
    assert decoded(by, content).shape == (1, samples)
    assert json.loads(content[9 : read_header(content).end]) == {
        "m": "beyond-spectrograms/seeded", "al": samples, "nc": 3, "lm": False, "codec": by.layout.digest
    }  # fmt: skip


def with_header(content: bytes, **changes: object) -> bytes:
    end = 9 + int.from_bytes(content[5:9])
    header = json.dumps(json.loads(content[9:end]) | changes).encode()
    return content[:5] + len(header).to_bytes(4) + header + content[end:]


def test_damage_is_told(tmp_path: Path) -> None:
    by = open_codec(write_codec(tmp_path / "codec", BY_LEVEL))
    content, end = coded(by, melody(2.0)[:24_000], 600, tmp_path / "a.ecdc"), 0
    end = read_header(content).end
    name, first = by.layout.name, math_bytes(50, 3, 4)

    def told(changed: bytes) -> str:
        header = refusal_or_header(changed)
        if isinstance(header, str):
            return header
        return refusal(BadAudioError, decode_file, changed, header, by, tmp_path / "a.wav")

    def level(value: float) -> bytes:
        return content[:end] + struct.pack("!f", value) + content[end + 4 :]

    expected = "expected m (text), al, nc (numbers) and lm (true or false)"
    for changed, message in (
        (b"", "empty file (0 bytes)"),
        (b"RIFF" + content[4:], "not an .ecdc file: it begins with b'RIFF', not b'ECDC'"),
        (content[:8], "truncated: its header is not whole after 8 bytes"),
        (content[:5] + b"\xff" + content[6:], f"truncated: its header is not whole after {len(content)} bytes"),
        (content[:4] + b"\x07" + content[5:], "version 7 of .ecdc; this program reads 0"),
        (content[:5] + (4).to_bytes(4) + b"null" + content[end:], f"damaged: its header is None; {expected}"),
        (content[:-1], "truncated: the header promises 1.500 s, the codes end after 1.490 s"),
        (content[: end + 2], "truncated: the header promises 1.500 s, the codes end after 0.000 s"),
        (content[: end + 4 + first + 3], "truncated: the header promises 1.500 s, the codes end after 0.990 s"),
        (content + b"?", f"damaged: the codes end at byte {len(content)}, the file at byte {len(content) + 1}"),
        (level(np.nan), "damaged: the level of the sound at 0.000 s is nan; expected 0 to 8"),
        (level(-1.0), "damaged: the level of the sound at 0.000 s is -1; expected 0 to 8"),
        (level(1e30), "damaged: the level of the sound at 0.000 s is 1e+30; expected 0 to 8"),
        (with_header(content, nc=0), f"damaged: its header says 0 codebooks; {name} has 1 to 3"),
        (with_header(content, nc=4), f"damaged: its header says 4 codebooks; {name} has 1 to 3"),
        (with_header(content, al=0), "empty: its header says 0 samples"),
        (with_header(content, al=-5), "empty: its header says -5 samples"),
        (
            with_header(content, al=16_000 * 86_400),
            "truncated: the header promises 86400.000 s, the codes end after 1.510 s",
        ),
        (
            with_header(content, al=16_000 * 86_400 + 1),
            "damaged: its header says 1382400001 samples, more than the 1382400000 of a day",
        ),
        (
            with_header(content, m="encodec_24khz"),
            f"coded by 'encodec_24khz', not by {name}. Name the codec that coded it by --codec.",
        ),
        (
            with_header(content, codec="0123"),
            f"coded by another {name}, of weights whose SHA-256 begins with '0123', not with {by.layout.digest!r}. "
            "Name the codec that coded it by --codec.",
        ),
        (
            with_header(content, lm=True),
            "coded by what a language model expects. Name that one by --lm.",
        ),
    ):  # fmt: skip
        assert told(changed) == message
    for wrong in (
        {"al": "1"},
        {"al": 1.5},
        {"nc": None},
        {"nc": True},
        {"lm": 0},
        {"m": 7},
        {"codec": 7},
        {"coder": 7},
    ):
        assert told(with_header(content, **wrong)).endswith(expected)
    long = told(with_header(content, m="x" * 500))
    assert long.endswith(f"x... (502 signs), not by {name}. Name the codec that coded it by --codec.")
    assert not (tmp_path / "a.wav").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ecdc", "codec"]


def math_bytes(frames: int, codebooks: int, bits: int) -> int:
    return -(-frames * codebooks * bits // 8)


def refusal_or_header(content: bytes) -> Header | str:
    try:
        return read_header(content)
    except BadAudioError as error:
        return str(error)


def test_a_day_of_the_most_bits_is_read_and_not_more(tmp_path: Path) -> None:
    layout, place = layout_of(ENCODEC["encodec_48khz"], "encodec_48khz"), tmp_path / "day.ecdc"
    write_ecdc(place, Coded(layout.most_samples, [np.zeros((16, 1), np.int16)], [0.0]), layout)
    header, size = read_header(read_beginning(place)), 87_272 * (4 + math_bytes(150, 16, 10))
    os.truncate(place, size)  # all of it holes
    assert len(read_content(place, header, layout)) == size > 260e6
    os.truncate(place, 2 * size)
    assert refusal(BadAudioError, read_content, place, header, layout) == (
        "larger than 263215828 bytes, more than a day of encodec_48khz takes"
    )
    assert layout.most_bytes(arithmetic=True) > 2 * size


def test_mutants_are_read_or_refused_in_a_line(tmp_path: Path) -> None:
    random, refused = np.random.default_rng(0), list[str]()
    for network in (SMALL, BY_LEVEL):
        by = open_codec(write_codec(tmp_path / "codec", network))
        content = coded(by, melody(2.0)[:20_000], 600, tmp_path / "a.ecdc")
        read_well = 0
        for _ in range(500):
            mutant = bytearray(content)
            for place in random.integers(0, len(content), random.integers(1, 4)):
                mutant[place] = random.integers(256)
            try:
                read(bytes(mutant[: random.integers(1, 3 * len(content))]), by.layout)
                read_well += 1
            except BadAudioError as error:
                refused.append(str(error))
        assert read_well > 50
    assert not [told for told in refused if "\n" in told or len(told) > 500]


def test_what_is_no_codec_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none"
    told = f"{path}: no such file. --codec takes a codec's file, encodec_24khz or encodec_48khz."
    assert refusal(CodecFileError, open_codec, path) == told
    path.write_bytes(b"nothing")
    assert refusal(CodecFileError, open_encodec, "encodec_24khz", path).startswith(f"{path}: not the weights of ")
    torch.save({"encoder": torch.zeros(1)}, path)
    assert refusal(CodecFileError, open_encodec, "encodec_24khz", path).startswith(f"{path}: not the weights of ")
    assert refusal(BadAudioError, read_beginning, tmp_path) == "is a directory"


def test_a_decoded_file_is_wav_of_16_bits_and_what_is_too_loud_is_limited(tmp_path: Path) -> None:
    by = open_codec(write_codec(tmp_path / "codec", BY_LEVEL))
    content = coded(by, melody(2.0)[:20_000], 600, tmp_path / "a.ecdc")
    place, end = tmp_path / "a.wav", read_header(content).end
    assert decode_file(content, read_header(content), by, place) == 0
    made, rate = soundfile.read(place, dtype="float32")
    assert (rate, made.shape, soundfile.info(place).subtype) == (16_000, (20_000,), "PCM_16")
    np.testing.assert_allclose(made, decoded(by, content)[0], atol=2**-15)
    loud = content[:end] + struct.pack("!f", 8.0) + content[end + 4 :]
    limited = decode_file(loud, read_header(loud), by, place)
    assert limited == int((np.abs(decoded(by, loud)) > 1).sum()) > 0
    assert np.abs(soundfile.read(place)[0]).max() <= 1


def test_encodec_s_networks_are_those_of_the_study() -> None:
    from beyond_spectrograms.params.study import load_study

    recipes = load_study("codec").params.codecs
    assert {name: recipes[name].network for name in ENCODEC} == ENCODEC
