"""beyond-spectrograms codec encode and decode, as a user calls them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from cli.conftest import Codec, Write
from encodec.compress import compress

from beyond_spectrograms.codec.files import SHIPPED, open_codec
from beyond_spectrograms.util.files import digest_file
from support.codecs import SMALL, write_codec
from support.coded import melody, seeded_encodec, write_project
from support.repository import REPOSITORY
from support.stopping import kill_in


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return write_codec(tmp_path / "codec.safetensors")


def test_a_sound_goes_into_a_file_and_comes_back(tmp_path: Path, write: Write, ours: Path, codec: Codec) -> None:
    file = write("sound.wav", np.stack([melody(1.5), melody(1.5, 1)], axis=1), 24_000)
    told = f"{file.with_suffix('.ecdc')}: 1.500 s at 600 bits per second, {{}} bytes (24000 samples of 16000 Hz, by "
    coded = codec("encode", file, "--codec", ours)
    assert coded == (0, told.format(221) + "beyond-spectrograms/seeded)\n", "")
    assert file.with_suffix(".ecdc").stat().st_size == 221
    less = codec("encode", file, "--codec", ours, "--bitrate", 200, "--out", tmp_path / "new/less.ecdc")
    assert less[1].startswith(f"{tmp_path}/new/less.ecdc: 1.500 s at 200 bits per second, 146 bytes (")
    out = tmp_path / "back.wav"
    back = codec("decode", file.with_suffix(".ecdc"), "--codec", ours, "--out", out)
    assert back == (0, f"{out}: 1.500 s, 24000 samples of 16000 Hz, 1 channel\n", "")
    assert soundfile.info(out).frames == 24_000
    for rate, form in ((8_000, "wav"), (44_100, "flac"), (48_000, "ogg"), (16_000, "au")):
        file = write(f"{rate}.{form}", np.repeat(melody(1.0)[:rate, None], 2, axis=1)[:4000], rate)
        assert codec("encode", file, "--codec", ours)[0] == 0
        assert (
            codec("decode", file.with_suffix(".ecdc"), "--codec", ours, "--out", tmp_path / f"{rate}.back.wav")[0] == 0
        )
        assert soundfile.info(tmp_path / f"{rate}.back.wav").frames == round(4000 / rate * 16_000)  # fmt: skip


def test_a_stereo_codec_keeps_two_channels_and_doubles_one(tmp_path: Path, write: Write, codec: Codec) -> None:
    network = SMALL.model_validate({**SMALL.model_dump(), "sample_rate": 48_000, "channels": 2, "bitrates": [600]})
    ours = write_codec(tmp_path / "codec.safetensors", network)
    for name, sound in (("two", np.stack([melody(0.5), melody(0.5, 1)], axis=1)), ("one", melody(0.5))):
        codec("encode", write(f"{name}.wav", sound, 48_000), "--codec", ours)
        codec("decode", tmp_path / f"{name}.ecdc", "--codec", ours, "--out", tmp_path / f"{name}.back.wav")
        made, rate = soundfile.read(tmp_path / f"{name}.back.wav")
        assert (rate, made.shape) == (48_000, (12_000, 2))


def test_standard_input_is_coded(tmp_path: Path, write: Write, ours: Path, codec: Codec) -> None:
    file = write("sound.wav", melody(1.0), 24_000)
    codec("encode", file, "--codec", ours)
    line = [sys.executable, "-m", "beyond_spectrograms", "codec", "encode", "-", "--codec", str(ours)]
    given: dict[str, Any] = {"cwd": REPOSITORY, "input": file.read_bytes(), "capture_output": True}
    out = tmp_path / "piped.ecdc"
    assert subprocess.run([*line, "--out", str(out)], check=False, **given).returncode == 0
    assert out.read_bytes() == file.with_suffix(".ecdc").read_bytes()
    nameless = subprocess.run(line, check=False, **given)
    told = b"standard input has no name for the file to have. Give one by --out.\n"
    assert (nameless.returncode, nameless.stderr) == (1, told)


def test_what_a_long_sound_will_take_is_said_before(write: Write, ours: Path, codec: Codec) -> None:
    status, _, said = codec("encode", write("long.wav", melody(61.0), 24_000), "--codec", ours)
    assert status == 0
    assert re.fullmatch(r"61 s of sound will take about \d+ s of one core, and 4575 bytes\n", said)


def test_what_cannot_be_is_told_in_a_line(tmp_path: Path, write: Write, ours: Path, codec: Codec) -> None:
    file, ecdc = write("sound.wav", melody(0.5), 24_000), tmp_path / "sound.ecdc"
    other = write_codec(tmp_path / "other.safetensors", seed=1)
    assert codec("encode", file, "--codec", ours)[0] == 0
    content, digests = ecdc.read_bytes(), [open_codec(each).layout.digest for each in (ours, other)]
    assert digests == [digest_file(each)[:16] for each in (ours, other)]
    exists = "exists already. Choose another name, or remove it."
    cut, clipped, endless = tmp_path / "cut.ecdc", write("loud.wav", melody(0.1), 24_000), tmp_path / "nan.wav"
    cut.write_bytes(content[:-4])
    soundfile.write(clipped, np.full(4000, 30_000.0), 24_000, subtype="FLOAT")
    soundfile.write(endless, np.array([0, 0.1, np.inf, 0]), 24_000, subtype="FLOAT")
    new = ("--out", tmp_path / "new.ecdc")
    by = ("--codec", ours)
    for arguments, message in (
        (("encode", file, *by), f"{ecdc}: {exists}"),
        (("decode", ecdc, *by), f"{file}: {exists}"),
        (("encode", file, *by, "--out", tmp_path / "a.wav"), f"--out is {tmp_path}/a.wav; its name must end in .ecdc"),
        (("decode", ecdc, *by, "--out", tmp_path / "a.mp3"), f"--out is {tmp_path}/a.mp3; its name must end in .wav"),
        (
            ("encode", file, *by, "--bitrate", 400, *new),
            "--bitrate is 400; beyond-spectrograms/seeded has 200, 600",
        ),
        (("encode", tmp_path / "none.wav", *by), f"{tmp_path}/none.wav: no such file or directory"),
        (("encode", ecdc, *by, *new), f"{ecdc}: not decodable as audio: Format not recognised."),
        (("encode", endless, *by), f"{endless}: a sample that is not finite (NaN or infinite) at 0.000 s"),
        (
            ("encode", clipped, *by),
            f"{clipped}: peak of 30000, far above full scale, which is 1: whole numbers as floats? Divide them by "
            "32768",
        ),
        (
            ("encode", file, "--codec", tmp_path / "gone", *new),
            f"{tmp_path}/gone: no such file. --codec takes a codec's file, encodec_24khz or encodec_48khz.",
        ),
        (
            ("decode", ecdc, "--codec", other, "--out", tmp_path / "a.wav"),
            f"{ecdc}: coded by another beyond-spectrograms/seeded, of weights whose SHA-256 begins with {digests[0]!r}"
            f", not with {digests[1]!r}. Name the codec that coded it by --codec.",
        ),
        (("decode", cut, *by), f"{cut}: truncated: the header promises 0.500 s, the codes end after 0.440 s"),
        (
            ("decode", file, *by, "--out", tmp_path / "a.wav"),
            f"{file}: not an .ecdc file: it begins with b'RIFF', not b'ECDC'",
        ),
    ):  # fmt: skip
        assert codec(*arguments) == (1, "", f"{message}\n")
    assert not (tmp_path / "a.wav").exists()
    assert [path.name for path in sorted(tmp_path.glob("*.ecdc"))] == ["cut.ecdc", "sound.ecdc"]


def test_the_package_s_codec_is_taken_where_none_is_named(tmp_path: Path, write: Write, codec: Codec) -> None:
    by = open_codec(SHIPPED)
    told = json.loads((SHIPPED.parent / "card.json").read_text(encoding="utf-8"))
    assert by.layout.digest == told["sha256"][:16]
    file, out = write("sound.wav", melody(1.0), 24_000), tmp_path / "back.wav"
    assert codec("encode", file)[0] == 0
    assert codec("decode", file.with_suffix(".ecdc"), "--out", out)[0] == 0
    assert soundfile.info(out).frames == by.layout.sample_rate


def test_encodec_s_codec_is_had_by_its_record_and_chosen_by_what_a_file_says(
    tmp_path: Path, write: Write, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_project(tmp_path / "project"))
    monkeypatch.setenv("BEYOND_SPECTROGRAMS_MIRROR", str(tmp_path / "project/mirror"))
    file = write("sound.wav", melody(1.0), 24_000, subtype="FLOAT")
    status, said, _ = codec("encode", file, "--codec", "encodec_24khz")
    told = "1.000 s at 6000 bits per second, 816 bytes (24000 samples of 24000 Hz, by encodec_24khz)"
    assert (status, said.splitlines()[-1]) == (0, f"{file.with_suffix('.ecdc')}: {told}")
    theirs = seeded_encodec()
    theirs.set_target_bandwidth(6.0)
    content = file.with_suffix(".ecdc").read_bytes()
    assert content == compress(theirs, torch.from_numpy(melody(1.0))[None])
    assert json.loads(content[9 : 9 + content[8]]) == {"m": "encodec_24khz", "al": 24_000, "nc": 8, "lm": False}
    out = tmp_path / "out.wav"
    told = f"{out}: 1.000 s, 24000 samples of 24000 Hz, 1 channel\n"
    assert codec("decode", file.with_suffix(".ecdc"), "--out", out) == (0, told, "")


def test_a_language_model_of_a_codec_s_codes_is_trained_and_used(
    tmp_path: Path, write: Write, ours: Path, codec: Codec
) -> None:
    for number in range(3):
        write(f"sounds/{number}.wav", melody(1.0, number), 24_000)
    (tmp_path / "sounds/notes.txt").write_text("no sound")
    lm, digest = tmp_path / "lm.safetensors", open_codec(ours).layout.digest
    status, said, aside = codec("train-lm", tmp_path / "sounds", "--codec", ours, "--out", lm, "--steps", 2)
    assert aside == "left out: 1 .txt\n"
    said = re.sub(r"\d+ are left", "some are left", said)
    assert (status, re.sub(r"about \S+ s: .*", "some seconds", said)) == (
        0,
        "trains on 2 sounds of 2.0 s together\n"
        "2 steps of some seconds\n"
        "of 200 bits per second some are left, by 1 sound held out\n"
        "of 600 bits per second some are left, by 1 sound held out\n"
        f"{lm}: {lm.stat().st_size} bytes, for beyond-spectrograms/seeded\n",
    )
    file, by = write("sound.wav", melody(0.5), 24_000), ("--codec", ours)
    assert codec("encode", file, *by, "--lm", lm)[0] == 0
    assert codec("encode", file, *by, "--out", tmp_path / "plain.ecdc")[0] == 0
    coded, out = file.with_suffix(".ecdc"), ("--out", tmp_path / "back.wav")
    assert codec("decode", coded, *by, "--lm", lm, *out)[0] == 0
    assert codec("decode", tmp_path / "plain.ecdc", *by)[0] == 0
    assert (tmp_path / "back.wav").read_bytes() == (tmp_path / "plain.wav").read_bytes()
    other = ("--out", tmp_path / "other.wav")
    told = f"{coded}: coded by what a language model expects. Name that one by --lm.\n"
    assert codec("decode", coded, *by, *other) == (1, "", told)
    codec("train-lm", tmp_path / "sounds", *by, "--out", tmp_path / "lm2", "--steps", 1)
    digests = [digest_file(each)[:16] for each in (lm, tmp_path / "lm2")]
    told = (
        f"{coded}: coded by another language model, whose file's SHA-256 begins with {digests[0]!r}, not with "
        f"{digests[1]!r}. Name that one by --lm.\n"
    )
    assert codec("decode", coded, *by, "--lm", tmp_path / "lm2", *other) == (1, "", told)
    another = write_codec(tmp_path / "another", seed=1)
    told = (
        f"{lm}: the language model of a codec whose file's SHA-256 begins with {digest!r}, not with "
        f"{digest_file(another)[:16]!r}\n"
    )
    assert codec("encode", file, "--codec", another, "--lm", lm, "--out", tmp_path / "n.ecdc") == (1, "", told)
    assert codec("train-lm", tmp_path / "sounds", *by, "--out", lm) == (
        1, "", f"{lm}: exists already. Choose another name, or remove it.\n"
    )  # fmt: skip


@pytest.mark.long
def test_a_language_model_s_training_goes_on_where_it_was_stopped(
    tmp_path: Path, write: Write, ours: Path, codec: Codec
) -> None:
    for number in range(3):
        write(f"sounds/{number}.wav", melody(1.0, number), 24_000)
    arguments = ["train-lm", tmp_path / "sounds", "--codec", ours, "--steps", 6, "--out"]
    assert codec(*arguments, tmp_path / "whole")[0] == 0
    program = (
        "import sys\n"
        "from beyond_spectrograms.cli import main\n"
        "from beyond_spectrograms.codec import language_model\n"
        "language_model.CHECKPOINT_SECONDS = -1\n"
        "main(sys.argv[1:])\n"
    )
    killed = tmp_path / "killed"
    writes = "beyond_spectrograms.codec.language_model:write_checkpoint"
    kill_in(writes, "calls == 3", program, "codec", *map(str, [*arguments, killed]))
    status, said, _ = codec(*arguments, killed)
    assert status == 0
    assert f"\ngoes on after step 3, by the checkpoint in {killed}.partial-training\n3 steps of about " in said
    assert killed.read_bytes() == (tmp_path / "whole").read_bytes()
    assert not killed.with_name("killed.partial-training").exists()


def test_a_path_that_no_file_can_have_is_told_in_a_line(tmp_path: Path, ours: Path, codec: Codec) -> None:
    zero = r": has a zero byte, which no file's name can have"
    for command in ("encode", "decode"):
        suffix = {"encode": ".ecdc", "decode": ".wav"}[command]
        for arguments, message in (
            ((".",), ".: is no name of a file"),
            (("/",), "/: is no name of a file"),
            (("",), ".: is no name of a file"),
            (("a\0.wav",), rf"a\x00.wav{zero}"),
            (("a.wav", "--out", f"b\0{suffix}"), rf"b\x00{suffix}{zero}"),
        ):
            assert codec(command, *arguments, "--codec", ours) == (1, "", f"{message}\n")
    assert codec("train-lm", tmp_path, "--codec", ours, "--out", "") == (1, "", ".: is no name of a file\n")


def test_a_language_model_is_worked_on_in_a_folder_of_its_own(tmp_path: Path, ours: Path, codec: Codec) -> None:
    theirs, by = tmp_path / "lm.partial-training", ("--codec", ours)
    theirs.mkdir()
    soundfile.write(theirs / "bird.wav", melody(1.0), 24_000)
    told = f"{theirs}: lies in {theirs}, where {tmp_path}/lm would be worked on and which is then removed. Choose "
    assert codec("train-lm", theirs, *by, "--out", tmp_path / "lm") == (1, "", f"{told}another --out.\n")
    (tmp_path / "sounds").mkdir()
    told = f"{theirs}: exists already, and is no work of this program. Move it away, or choose another --out.\n"
    assert codec("train-lm", tmp_path / "sounds", *by, "--out", tmp_path / "lm") == (1, "", told)
    assert [path.name for path in theirs.iterdir()] == ["bird.wav"]
    told = f"{tmp_path}/sounds: 0 usable sounds; two are needed, one to train on and one to judge by\n"
    assert codec("train-lm", tmp_path / "sounds", *by, "--out", tmp_path / "lm2") == (1, "", told)
    assert not (tmp_path / "lm2.partial-training").exists()
