"""EnCodec's files classified and segmented without decoding: parity with the sound, every damage told."""

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from encodec.model import EncodecModel
from PIL import Image

from beyond_spectrograms import load_model
from beyond_spectrograms.cli import main
from beyond_spectrograms.data.audio import BadAudioError, Waveform
from beyond_spectrograms.inference import Model, ModelError
from beyond_spectrograms.inference.ecdc import read_ecdc
from beyond_spectrograms.representations.base import Features
from support import models
from support.coded import CHECKPOINT, compress, melody, seeded_encodec, write_language_model, write_model
from support.common import refusal, tone
from support.numeric import assert_rounded
from support.repository import Capture, Patch

Code = Callable[..., Path]


def no_lm() -> torch.nn.Module:
    raise AssertionError("no language model is needed")


@pytest.fixture(scope="module")
def encodec() -> EncodecModel:
    return seeded_encodec()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, encodec: EncodecModel) -> Path:
    """Write the checkpoint, the language model, and models of 6,000 and 1,500 bits per second and on codes."""
    folder = tmp_path_factory.mktemp("ecdc")
    (folder / "weights").mkdir()
    torch.save(encodec.state_dict(), folder / "weights" / CHECKPOINT)
    write_language_model(folder / "weights")
    for name, bitrate, codes in (("6000", 6000, False), ("1500", 1500, False), ("codes", 1500, True)):
        write_model(folder / name, folder / "weights", bitrate, codes=codes)
    return folder


@pytest.fixture(scope="module")
def model(place: Path) -> Model:
    return load_model(place / "6000", device="cpu", weights=place / "weights")


@pytest.fixture
def code(encodec: EncodecModel, tmp_path: Path) -> Code:
    """Write a sound, or a melody of so many seconds, as .ecdc."""

    def write(sound: Waveform | float = 1.0, bitrate: int = 6000, name: str = "a", **options: Any) -> Path:
        samples = melody(sound) if isinstance(sound, float) else sound
        return compress(encodec, samples, tmp_path / f"{name}.ecdc", bitrate, **options)

    return write


def test_codes_are_those_of_the_package(code: Code, encodec: EncodecModel) -> None:
    for bitrate in (1500, 6000):
        for seconds in (1.0, 1.013):
            found, length_s = read_ecdc(code(seconds, bitrate), bitrate, no_lm)
            with torch.no_grad():
                [(expected, _)] = encodec.encode(torch.from_numpy(melody(seconds))[None, None])
            assert np.array_equal(found, expected[0].numpy())
            assert len(np.unique(found)) > 20  # the codebooks are in use
            assert length_s == pytest.approx(seconds)


def of_sound(model: Model, sound: Waveform) -> Features:
    """Encode each second of the sound as the model's representation does, [windows, bands, 75]."""
    return model.representation.encode(sound.reshape(-1, 1, 24_000), 24_000)


def of_file(model: Model, path: Path) -> Features:
    return np.concatenate([batch.windows for batch in model.ecdc.cut(path)])


@pytest.mark.parametrize("name", ["6000", "1500", "codes"])
def test_a_coded_second_is_to_the_model_what_its_sound_is(name: str, place: Path, code: Code) -> None:
    model, sound = load_model(place / name, device="cpu", weights=place / "weights"), melody(1.0)
    for bitrate in (6000, 12000):  # more codebooks than the model takes
        file = code(sound, bitrate)
        assert np.array_equal(of_file(model, file), of_sound(model, sound))
        found = model.classify_file(file)
        of_samples = model.classify(sound, 24_000).probabilities
        assert_rounded(found.probabilities, of_samples, roundings=128 * 5)  # terms of conv1d's longest sum
        assert (found.windows, found.seconds, found.remarks) == (1, 1.0, ())


def test_later_windows_know_what_came_before_and_differ_by_that_alone(
    code: Code, encodec: EncodecModel, model: Model
) -> None:
    sound = melody(4.0)
    features = of_file(model, code(sound))
    with torch.no_grad():  # by the package: the whole is encoded, dequantised and then cut
        encodec.set_target_bandwidth(6.0)
        [(codes, _)] = encodec.encode(torch.from_numpy(sound)[None, None])
        expected = encodec.quantizer.decode(codes.transpose(0, 1))[0].reshape(128, 4, 75).movedim(1, 0).numpy()
    assert np.array_equal(features, expected)
    same = (features == of_sound(model, sound)).all(axis=1).mean(axis=1)
    assert same[0] == 1
    assert (same[1:] < 1).all()


def test_windows_between_frames_and_past_the_end(code: Code, model: Model) -> None:
    file = code(2.4)
    [batch] = model.ecdc.cut(file, 0.5)
    assert batch.starts_s.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert batch.windows.shape == (4, 128, 75)
    latents = model.ecdc.dequantise(read_ecdc(file, 6000, no_lm)[0])
    reflected = np.pad(latents, ((0, 0), (0, 200)), mode="reflect")
    for first, window in zip((0, 38, 75, 112), batch.windows, strict=True):  # 37.5 and 112.5: to the even one
        assert np.array_equal(window, reflected[:, first : first + 75])
    assert model.classify_file(code(0.3)).remarks == ("0.300 s long, shorter than a window of 1 s: reflected",)


def told(model: Model, path: Path, content: bytes | None = None) -> str:
    """Give why a file is refused, in which `content` is written before."""
    if content is not None:
        path.write_bytes(content)
    return refusal(BadAudioError, model.classify_file, path)


def with_header(content: bytes, **changes: object) -> bytes:
    end = 9 + int.from_bytes(content[5:9])
    header = json.dumps(json.loads(content[9:end]) | changes).encode()
    return content[:5] + len(header).to_bytes(4) + header + content[end:]


def test_arithmetic_coding_gives_the_same_codes(
    tmp_path: Path, place: Path, code: Code, model: Model, monkeypatch: Patch
) -> None:
    # Where the package keeps its language model: it downloads what is not there.
    kept = tmp_path / "torch/hub/checkpoints/encodec_lm_24khz-1608e3c0.th"
    kept.parent.mkdir(parents=True)
    [lm] = (place / "weights").glob("encodec_lm_24khz-*.th")
    shutil.copyfile(lm, kept)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with torch.random.fork_rng():  # the package seeds torch's generator
        coded = code(0.5, name="lm", lm=True)
    plain = code(0.5)
    assert model.classify_file(coded).probabilities.tolist() == model.classify_file(plain).probabilities.tolist()
    content = coded.read_bytes()
    cut = told(model, coded, content[: len(content) // 2])
    assert cut.startswith("truncated: the header promises 0.500 s, the codes end after 0.")
    end = len(content)
    assert told(model, coded, content + b"?") == f"damaged: the codes end at byte {end}, the file at byte {end + 1}"


def test_damage_is_told(tmp_path: Path, code: Code, model: Model) -> None:
    path = code()
    content, nested = path.read_bytes(), b"[" * 100_000
    too_long = "damaged: its header says {al} samples, more than the 2073600000 of a day"
    for changed, message in (
        (b"", "empty file (0 bytes)"),
        (b"RIFF" + content[4:], "not an .ecdc file: it begins with b'RIFF', not b'ECDC'"),
        (content[:3], "truncated: its header is not whole after 3 bytes"),
        (content[:30], "truncated: its header is not whole after 30 bytes"),
        (content[:4] + b"\x01" + content[5:], "version 1 of .ecdc; this program reads 0"),
        (content[:-100], "truncated: the header promises 1.000 s, the codes end after 0.867 s"),
    ):
        assert told(model, path, changed) == message
    for changes, message in (
        ({"nc": 64}, "damaged: its header says 64 codebooks; encodec_24khz has 1 to 32"),
        ({"al": 0}, "empty: its header says 0 samples"),
        ({"al": 2_073_600_000}, "truncated: the header promises 86400.000 s, the codes end after 1.000 s"),
        ({"al": 2_073_600_001}, too_long),
        ({"al": 10**400}, too_long),
    ):
        assert told(model, path, with_header(content, **changes)) == message.format(**changes)
    assert told(model, path, content.replace(b'{"m"', b'{"m!')).startswith("damaged: its header is no JSON: b'{\"m!: ")
    deep = content[:5] + len(nested).to_bytes(4) + nested
    assert told(model, path, deep).startswith("damaged: its header is no JSON: b'[[[")
    assert told(model, path, content + b"??").startswith("damaged: the codes end at byte ")
    expected = "expected m (text), al, nc (numbers) and lm (true or false)"
    assert told(model, path, with_header(content, al="1")).endswith(expected)
    assert told(model, path, with_header(content, m="encodec_48khz")) == (
        "coded by 'encodec_48khz', whose codes no model here takes (encodec_48khz divides sound by its level before "
        "coding, which is not what models here learn from). Decode the file with `encodec FILE.ecdc FILE.wav`."
    )
    assert told(model, tmp_path / "none.ecdc") == "no such file or directory"
    short = "0.050 s long; the shortest that is classified is 0.1 s, a tenth of a window"
    assert told(model, code(0.05)) == short
    assert told(model, code(bitrate=3000)) == (
        "coded at 3000 bits per second; the model takes 6000 or more. Use a model trained at 3000, or decode the file "
        "with `encodec FILE.ecdc FILE.wav`."
    )


def test_a_file_of_more_than_a_day_is_refused_before_it_fills_the_memory(code: Code, model: Model) -> None:
    file = code()
    os.truncate(file, 500_000_000)  # all of it holes
    tracemalloc.start()
    assert told(model, file) == "larger than 260248576 bytes, more than a day of encodec_24khz takes"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6


def test_three_hours_take_no_more_memory_than_their_codes(code: Code) -> None:
    file = code(16.0, 24_000)
    content = file.read_bytes()
    end = 9 + int.from_bytes(content[5:9])
    file.write_bytes(with_header(content + 674 * content[end:], al=675 * 16 * 24_000))
    tracemalloc.start()
    codes, _ = read_ecdc(file, 24_000, no_lm)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert codes.shape == (32, 810_000)
    assert np.array_equal(codes[:, :1200], codes[:, -1200:])
    assert peak < 450e6  # 52 MB of codes in 32 MB of bytes; a byte for each bit would be 259 MB, as int16 518 MB


def test_a_language_model_that_is_missing_or_another_is_told(
    tmp_path: Path, place: Path, code: Code, capsys: Capture
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    shutil.copyfile(place / "weights" / CHECKPOINT, weights / CHECKPOINT)
    model = load_model(place / "6000", device="cpu", weights=weights)
    plain, coded = code(), tmp_path / "lm.ecdc"
    coded.write_bytes(with_header(plain.read_bytes(), lm=True))
    missing = weights / "encodec_lm_24khz-1608e3c0.th"
    url = f"https://dl.fbaipublicfiles.com/encodec/v0/{missing.name}"
    remedy = f"Download {url} into {weights}, or write the file without --lm."
    why = f"{missing}: no such file; it is needed for an .ecdc file coded with --lm. {remedy}"
    assert refusal(ModelError, model.classify_file, coded) == why
    options = ["--model", str(place / "6000"), "--weights", str(weights), "--format", "json"]
    assert main(["classify", str(coded), str(plain), *options]) == 1  # the rest is done
    assert [entry.get("error") for entry in json.loads(capsys.readouterr().out)] == [why, None]
    missing.write_bytes(b"another")
    digest = "ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5"
    why = f"{missing}: its sha256 is {digest}, which is not what its name says. {remedy}"
    assert refusal(ModelError, model.classify_file, coded) == why


def test_models_that_take_no_codes_refuse_them_and_sounds_beside_are_classified(
    tmp_path: Path, code: Code, capsys: Capture
) -> None:
    mel, file = models.write_model(tmp_path / "mel"), code()
    soundfile.write(tmp_path / "b.wav", tone(1.0, 4000), 44_100)
    assert main(["classify", "--model", str(mel), str(file), str(tmp_path / "b.wav"), "--top", "1"]) == 1
    output, errors = capsys.readouterr()
    assert errors == (
        f"{file}: EnCodec's codes, which the model's representation mel_16 is not made of. Use a model of kind "
        "encodec, model 24khz, with a bitrate (as encodec_24khz_6000bps), or decode the file with `encodec FILE.ecdc "
        "FILE.wav`.\n"
    )
    assert output.splitlines()[1].endswith(" high")


def test_the_command_line_takes_ecdc(tmp_path: Path, place: Path, code: Code, capsys: Capture) -> None:
    file = code(3.0)
    options = ["--model", str(place / "6000"), "--weights", str(place / "weights"), "--device", "cpu"]
    assert main(["classify", str(tmp_path), *options, "--format", "json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert (told["file"], told["seconds"], told["windows"]) == (str(file), 3.0, 3)
    assert main(["segment", str(file), *options, "--format", "json", "--plot", str(tmp_path / "a.png")]) == 0
    assert json.loads(capsys.readouterr().out)["segments"][-1]["end_s"] == 3.0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1320, 396)  # no spectrogram: nothing was decoded
