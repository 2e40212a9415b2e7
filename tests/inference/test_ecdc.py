"""EnCodec's files classified and segmented without decoding: parity with the sound, every damage told."""

import json
import os
import shutil
import tracemalloc
from pathlib import Path

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
from support.common import tone
from support.numeric import assert_rounded

Capture = pytest.CaptureFixture[str]


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


def test_codes_are_those_of_the_package(tmp_path: Path, encodec: EncodecModel) -> None:
    for bitrate in (1500, 6000):
        for seconds in (1.0, 1.013):
            sound = melody(seconds)
            found, length_s = read_ecdc(compress(encodec, sound, tmp_path / "a.ecdc", bitrate), bitrate, no_lm)
            with torch.no_grad():
                [(expected, _)] = encodec.encode(torch.from_numpy(sound)[None, None])
            assert np.array_equal(found, expected[0].numpy())
            assert len(np.unique(found)) > 20  # the codebooks are in use
            assert length_s == pytest.approx(seconds)


def of_sound(model: Model, sound: Waveform) -> Features:
    """Encode each second of the sound as the model's representation does, [windows, bands, 75]."""
    return model.representation.encode(sound.reshape(-1, 1, 24_000), 24_000)


def of_file(model: Model, path: Path) -> Features:
    return np.concatenate([batch.windows for batch in model.ecdc.cut(path)])


@pytest.mark.parametrize("name", ["6000", "1500", "codes"])
def test_a_coded_second_is_to_the_model_what_its_sound_is(
    name: str, place: Path, tmp_path: Path, encodec: EncodecModel
) -> None:
    model, sound = load_model(place / name, device="cpu", weights=place / "weights"), melody(1.0)
    for bitrate in (6000, 12000):  # more codebooks than the model takes
        file = compress(encodec, sound, tmp_path / "a.ecdc", bitrate)
        same = (of_file(model, file) == of_sound(model, sound)).all(axis=1)
        assert same.mean() == 1  # of frames
        found = model.classify_ecdc(file)
        of_samples = model.classify(sound, 24_000).probabilities
        assert_rounded(found.probabilities, of_samples, roundings=128 * 5)  # terms of conv1d's longest sum
        assert (found.windows, found.seconds, found.remarks) == (1, 1.0, ())


def test_later_windows_know_what_came_before_and_differ_by_that_alone(
    tmp_path: Path, encodec: EncodecModel, model: Model
) -> None:
    sound = melody(4.0)
    features = of_file(model, compress(encodec, sound, tmp_path / "a.ecdc", 6000))
    with torch.no_grad():  # by the package: the whole is encoded, dequantised and then cut
        encodec.set_target_bandwidth(6.0)
        [(codes, _)] = encodec.encode(torch.from_numpy(sound)[None, None])
        expected = encodec.quantizer.decode(codes.transpose(0, 1))[0].reshape(128, 4, 75).movedim(1, 0).numpy()
    assert np.array_equal(features, expected)
    same = (features == of_sound(model, sound)).all(axis=1).mean(axis=1)
    assert same[0] == 1
    assert (same[1:] < 1).all()


def test_windows_between_frames_and_past_the_end(tmp_path: Path, encodec: EncodecModel, model: Model) -> None:
    sound = melody(2.4)
    file = compress(encodec, sound, tmp_path / "a.ecdc", 6000)
    codes, _ = read_ecdc(file, 6000, no_lm)
    [batch] = model.ecdc.cut(file, 0.5)
    assert batch.starts_s.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert batch.windows.shape == (4, 128, 75)
    latents = model.ecdc.dequantise(codes)
    reflected = np.pad(latents, ((0, 0), (0, 200)), mode="reflect")
    for first, window in zip((0, 38, 75, 112), batch.windows, strict=True):  # 37.5 and 112.5: to the even one
        assert np.array_equal(window, reflected[:, first : first + 75])
    short = model.classify_ecdc(compress(encodec, melody(0.3), tmp_path / "b.ecdc", 6000))
    assert short.remarks == ("0.300 s long, shorter than a window of 1 s: reflected",)


def test_arithmetic_coding_gives_the_same_codes(
    tmp_path: Path, place: Path, encodec: EncodecModel, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the package keeps its language model: it downloads what is not there.
    kept = tmp_path / "torch/hub/checkpoints/encodec_lm_24khz-1608e3c0.th"
    kept.parent.mkdir(parents=True)
    [lm] = (place / "weights").glob("encodec_lm_24khz-*.th")
    shutil.copyfile(lm, kept)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    sound = melody(0.5)
    with torch.random.fork_rng():  # the package seeds torch's generator
        coded = compress(encodec, sound, tmp_path / "lm.ecdc", 6000, lm=True)
    plain = compress(encodec, sound, tmp_path / "plain.ecdc", 6000)
    assert model.classify_ecdc(coded).probabilities.tolist() == model.classify_ecdc(plain).probabilities.tolist()
    content, broken = coded.read_bytes(), tmp_path / "broken.ecdc"
    broken.write_bytes(content[: len(content) // 2])
    assert refusal(model, broken).startswith("truncated: the header promises 0.500 s, the codes end after 0.")
    broken.write_bytes(content + b"?")
    assert (
        refusal(model, broken) == f"damaged: the codes end at byte {len(content)}, the file at byte {len(content) + 1}"
    )


def refusal(model: Model, path: Path) -> str:
    with pytest.raises(BadAudioError) as caught:
        model.classify_ecdc(path)
    return str(caught.value)


def with_header(path: Path, content: bytes, **changes: object) -> Path:
    end = 9 + int.from_bytes(content[5:9])
    header = json.dumps(json.loads(content[9:end]) | changes).encode()
    path.write_bytes(content[:5] + len(header).to_bytes(4) + header + content[end:])
    return path


def test_damage_is_told(tmp_path: Path, encodec: EncodecModel, model: Model) -> None:
    content = compress(encodec, melody(1.0), tmp_path / "whole.ecdc", 6000).read_bytes()
    path = tmp_path / "damaged.ecdc"

    def told(changed: bytes) -> str:
        path.write_bytes(changed)
        return refusal(model, path)

    assert refusal(model, tmp_path / "none.ecdc") == "no such file or directory"
    assert told(b"") == "empty file (0 bytes)"
    assert told(b"RIFF" + content[4:]) == "not an .ecdc file: it begins with b'RIFF', not b'ECDC'"
    assert told(content[:3]) == "truncated: its header is not whole after 3 bytes"
    assert told(content[:30]) == "truncated: its header is not whole after 30 bytes"
    assert told(content[:4] + b"\x01" + content[5:]) == "version 1 of .ecdc; this program reads 0"
    assert told(content.replace(b'{"m"', b'{"m!')).startswith("damaged: its header is no JSON: b'{\"m!: ")
    assert told(content[:-100]) == "truncated: the header promises 1.000 s, the codes end after 0.867 s"
    assert told(content + b"??").startswith("damaged: the codes end at byte ")
    expected = "expected m (text), al, nc (numbers) and lm (true or false)"
    assert refusal(model, with_header(path, content, al="1")).endswith(expected)
    too_long = "damaged: its header says {al} samples, more than the 2073600000 of a day"
    for changes, message in (
        ({"nc": 64}, "damaged: its header says 64 codebooks; encodec_24khz has 1 to 32"),
        ({"al": 0}, "empty: its header says 0 samples"),
        ({"al": 2_073_600_000}, "truncated: the header promises 86400.000 s, the codes end after 1.000 s"),
        ({"al": 2_073_600_001}, too_long),
        ({"al": 10**400}, too_long),
    ):
        assert refusal(model, with_header(path, content, **changes)) == message.format(**changes)
    nested = b"[" * 100_000
    assert told(content[:5] + len(nested).to_bytes(4) + nested).startswith("damaged: its header is no JSON: b'[[[")
    assert refusal(model, with_header(path, content, m="encodec_48khz")) == (
        "coded by 'encodec_48khz', whose codes no model here takes (encodec_48khz divides sound by its level before "
        "coding, which is not what models here learn from). Decode the file with `encodec FILE.ecdc FILE.wav`."
    )
    short = compress(encodec, melody(0.05), tmp_path / "short.ecdc", 6000)
    assert refusal(model, short) == "0.050 s long; the shortest that is classified is 0.1 s, a tenth of a window"
    few = compress(encodec, melody(1.0), tmp_path / "few.ecdc", 3000)
    assert refusal(model, few) == (
        "coded at 3000 bits per second; the model takes 6000 or more. Use a model trained at 3000, or decode the file "
        "with `encodec FILE.ecdc FILE.wav`."
    )


def test_a_file_of_more_than_a_day_is_refused_before_it_fills_the_memory(
    tmp_path: Path, encodec: EncodecModel, model: Model
) -> None:
    file = compress(encodec, melody(1.0), tmp_path / "a.ecdc", 6000)
    os.truncate(file, 500_000_000)  # all of it holes
    tracemalloc.start()
    assert refusal(model, file) == "larger than 260000000 bytes, more than a day takes at 24 kbps"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6


def test_three_hours_take_no_more_memory_than_their_codes(tmp_path: Path, encodec: EncodecModel) -> None:
    content = compress(encodec, melody(16.0), tmp_path / "a.ecdc", 24_000).read_bytes()
    end = 9 + int.from_bytes(content[5:9])
    file = with_header(tmp_path / "long.ecdc", content + 674 * content[end:], al=675 * 16 * 24_000)
    tracemalloc.start()
    codes, _ = read_ecdc(file, 24_000, no_lm)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert codes.shape == (32, 810_000)
    assert np.array_equal(codes[:, :1200], codes[:, -1200:])
    assert peak < 450e6  # 52 MB of codes in 32 MB of bytes; a byte for each bit would be 259 MB, as int16 518 MB


def test_a_language_model_that_is_missing_or_another_is_told(
    tmp_path: Path, place: Path, encodec: EncodecModel, capsys: Capture
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    shutil.copyfile(place / "weights" / CHECKPOINT, weights / CHECKPOINT)
    model = load_model(place / "6000", device="cpu", weights=weights)
    content = compress(encodec, melody(1.0), tmp_path / "a.ecdc", 6000).read_bytes()
    coded = with_header(tmp_path / "lm.ecdc", content, lm=True)
    url = "https://dl.fbaipublicfiles.com/encodec/v0/encodec_lm_24khz-1608e3c0.th"
    remedy = f"Download {url} into {weights}, or write the file without --lm."
    with pytest.raises(ModelError) as caught:
        model.classify_ecdc(coded)
    plain = compress(encodec, melody(1.0), tmp_path / "plain.ecdc", 6000)
    options = ["--model", str(place / "6000"), "--weights", str(weights), "--format", "json"]
    assert main(["classify", str(coded), str(plain), *options]) == 1  # the rest is done
    assert [entry.get("error") for entry in json.loads(capsys.readouterr().out)] == [str(caught.value), None]
    missing = weights / "encodec_lm_24khz-1608e3c0.th"
    assert str(caught.value) == (f"{missing}: no such file; it is needed for an .ecdc file coded with --lm. {remedy}")
    missing.write_bytes(b"another")
    with pytest.raises(ModelError) as caught:
        model.classify_ecdc(coded)
    digest = "ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5"
    assert str(caught.value) == f"{missing}: its sha256 is {digest}, which is not what its name says. {remedy}"


def test_models_that_take_no_codes_refuse_them_and_sounds_beside_are_classified(
    tmp_path: Path, encodec: EncodecModel, capsys: Capture
) -> None:
    mel = models.write_model(tmp_path / "mel")
    file = compress(encodec, melody(1.0), tmp_path / "a.ecdc", 6000)
    soundfile.write(tmp_path / "b.wav", tone(1.0, 4000), 44_100)
    assert main(["classify", "--model", str(mel), str(file), str(tmp_path / "b.wav"), "--top", "1"]) == 1
    reason = (
        "EnCodec's codes, which the model's representation mel_16 is not made of. Use a model of kind encodec, model "
        "24khz, with a bitrate (as encodec_24khz_6000bps), or decode the file with `encodec FILE.ecdc FILE.wav`."
    )
    output, errors = capsys.readouterr()
    assert errors == f"{file}: {reason}\n"
    assert output.splitlines()[1].endswith(" high")


def test_the_command_line_takes_ecdc(tmp_path: Path, place: Path, encodec: EncodecModel, capsys: Capture) -> None:
    file = compress(encodec, melody(3.0), tmp_path / "a.ecdc", 6000)
    options = ["--model", str(place / "6000"), "--weights", str(place / "weights"), "--device", "cpu"]
    assert main(["classify", str(tmp_path), *options, "--format", "json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert (told["file"], told["seconds"], told["windows"]) == (str(file), 3.0, 3)
    assert main(["segment", str(file), *options, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["segments"][-1]["end_s"] == 3.0
    assert main(["segment", str(file), *options, "--plot", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1320, 396)  # no spectrogram: nothing was decoded
