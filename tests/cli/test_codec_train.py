"""beyond-spectrograms codec train, as a user calls it: from nothing, further, and after it was killed."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli.conftest import Codec

from beyond_spectrograms.codec.files import open_codec
from beyond_spectrograms.codec.network import load_codec, save_codec
from beyond_spectrograms.util.files import digest_file
from support.codecs import write_codec
from support.coded import melody, write_project
from support.common import contents
from support.stopping import kill_in

pytestmark = pytest.mark.usefixtures("torch_as_it_was")


@pytest.fixture
def train(codec: Codec) -> Codec:
    """Call `codec train` with arguments."""
    return partial(codec, "train")


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(4):
        soundfile.write(folder / f"{number}.wav", melody(1.5, number), 24_000)
    return folder


@pytest.fixture
def begin(tmp_path: Path) -> Path:
    return write_codec(tmp_path / "begin.safetensors")


def told(output: str) -> list[str]:
    """Give the lines of an output without what differs from run to run: times, and values of an untrained codec."""
    return [re.sub(r"(?<=about )[\d.]+ s: .*|(?<=SI-SNR ).*", "...", line) for line in output.splitlines()]


def test_a_codec_is_trained_further_on_a_folder_outside_a_checkout(
    tmp_path: Path, sounds: Path, begin: Path, train: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (sounds / "bad.wav").write_bytes((sounds / "0.wav").read_bytes()[:5000])
    (sounds / "notes.txt").write_text("of them")
    status, output, errors = train(sounds, "--out", tmp_path / "new/mine", "--from", begin, "--steps", 6, "--seed", 3)
    assert (status, told(output)) == (
        0,
        [
            "trains on 3 sounds of 4.5 s together; 1 is held out; 1 set aside",
            "6 steps of about ...",
            "after 0 steps, at 600 bits per second: SI-SNR ...",
            "after 6 steps, at 600 bits per second: SI-SNR ...",
            f"{tmp_path}/new/mine: codec.safetensors of {(tmp_path / 'new/mine/codec.safetensors').stat().st_size} "
            "bytes, and card.json",
        ],
    )
    assert errors == (
        "left out: 1 .txt\nset aside bad.wav: truncated: the header promises 72000 bytes of samples, 4956 are there\n"
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine"]
    assert sorted(contents(tmp_path / "new/mine")) == ["card.json", "codec.safetensors"]
    card = json.loads((tmp_path / "new/mine/card.json").read_text(encoding="utf-8"))
    by = open_codec(tmp_path / "new/mine/codec.safetensors")
    assert card["sha256"] == digest_file(tmp_path / "new/mine/codec.safetensors")
    assert by.layout.name == "beyond-spectrograms/mine"
    name, digest = "beyond-spectrograms/seeded", digest_file(begin)[:16]
    assert card["began_with"] == {"name": name, "sha256": digest, "licence": None}
    chosen = {key: card[key] for key in ("name", "seed", "steps", "heard", "held_out", "set_aside")}
    assert chosen == {
        "name": "mine", "seed": 3, "steps": 6, "heard": {"sounds": 3, "seconds": 4.5}, "held_out": 1, "set_aside": 1
    }  # fmt: skip
    assert [(each["steps"], each["bitrate"]) for each in card["quality"]] == [(0, 600), (6, 600)]
    before, after = load_codec(begin)[0], by.codec
    changed = [(one - other).abs().max() for one, other in zip(before.parameters(), after.parameters(), strict=True)]
    assert 0 < max(changed) < 0.1  # some steps away, not drawn anew
    # Entries move by a hundredth of a step's mean; few of them die and jump.
    moved = (before.quantizer.codebooks - after.quantizer.codebooks).norm(dim=2)
    assert (moved < 0.2 * before.quantizer.codebooks.norm(dim=2)).float().mean() > 0.6


@pytest.mark.long
def test_training_further_brings_sound_nearer(tmp_path: Path, sounds: Path, begin: Path, train: Codec) -> None:
    train(sounds, "--out", tmp_path / "mine", "--from", begin, "--steps", 60, "--learning-rate", 0.003)
    first, last = json.loads((tmp_path / "mine/card.json").read_text(encoding="utf-8"))["quality"]
    assert last["mel_distance"] < 0.95 * first["mel_distance"]


@pytest.mark.long
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, sounds: Path, begin: Path, train: Codec) -> None:
    options = (sounds, "--from", begin, "--steps", 8, "--out")
    assert train(*options, tmp_path / "whole/mine")[0] == 0
    arguments = json.dumps(["codec", "train", *map(str, (*options, tmp_path / "killed/mine"))])
    program = (
        "import json, sys\n"
        "from beyond_spectrograms.cli import main\n"
        "from beyond_spectrograms.codec import training\n"
        "training.CHECKPOINT_SECONDS = -1\n"
        "main(json.loads(sys.argv[1]))\n"
    )
    for function in (
        "codec.own_sounds:_store", "codec.training:write_checkpoint", "codec.trainer:_take_step",
        "codec.own_training:write_card", "codec.own_training:replace_folder",
    ):  # fmt: skip
        calls = {"codec.trainer:_take_step": 6, "codec.training:write_checkpoint": 2}.get(function, 1)
        kill_in(f"beyond_spectrograms.{function}", f"calls == {calls}", program, arguments)
    status, output, _ = train(*options, tmp_path / "killed/mine")
    assert (status, output) == (0, f"{tmp_path}/killed/mine: was written by the run before\n")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.long
def test_from_nothing_by_the_recipe_of_the_shipped_codec(tmp_path: Path, sounds: Path, train: Codec) -> None:
    status, output, _ = train(sounds, "--out", tmp_path / "mine", "--steps", 3)
    assert (status, told(output)[:2]) == (
        0, ["trains on 3 sounds of 4.5 s together; 1 is held out", "3 steps of about ..."]
    )  # fmt: skip
    card = json.loads((tmp_path / "mine/card.json").read_text(encoding="utf-8"))
    assert (card["recipe"]["network"]["filters"], card["recipe"]["start"], card["began_with"]) == (6, "linear", None)


@pytest.mark.long
def test_encodec_is_trained_further(
    tmp_path: Path, sounds: Path, train: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_project(tmp_path / "project"))
    monkeypatch.setenv("BEYOND_SPECTROGRAMS_MIRROR", str(tmp_path / "project/mirror"))
    status, output, _ = train(sounds, "--out", tmp_path / "mine", "--from", "encodec_24khz", "--steps", 1)
    assert status == 0
    assert "after 1 steps, at 24000 bits per second: SI-SNR" in output
    card = json.loads((tmp_path / "mine/card.json").read_text(encoding="utf-8"))
    assert card["began_with"] == {"name": "encodec_24khz", "sha256": "", "licence": "CC BY-NC 4.0"}
    first, last = card["quality"]
    assert last["mel_distance"] != first["mel_distance"]
    assert open_codec(tmp_path / "mine/codec.safetensors").layout.name == "beyond-spectrograms/mine"


def test_the_licence_of_weights_stays_with_them(tmp_path: Path, sounds: Path, begin: Path, train: Codec) -> None:
    codec, _ = load_codec(begin)
    licensed = tmp_path / "licensed.safetensors"
    save_codec(licensed, codec, codec.state_dict(), {"name": "theirs", "licence": "CC BY-NC 4.0"})
    train(sounds, "--out", tmp_path / "one", "--from", licensed, "--steps", 1)
    train(sounds, "--out", tmp_path / "two", "--from", tmp_path / "one", "--steps", 1)
    card = json.loads((tmp_path / "two/card.json").read_text(encoding="utf-8"))
    assert card["began_with"]["licence"] == "CC BY-NC 4.0"
    assert load_codec(tmp_path / "two/codec.safetensors")[1]["licence"] == "CC BY-NC 4.0"


def test_what_cannot_be_is_told_in_a_line(tmp_path: Path, sounds: Path, begin: Path, train: Codec) -> None:
    (tmp_path / "there").mkdir()
    out = ("--out", tmp_path / "mine")
    for arguments, message in (
        (
            (sounds, "--out", tmp_path / "there"),
            f"{tmp_path}/there: exists already. Choose another name, or remove it.",
        ),
        (
            (sounds, "--out", sounds / "mine"),
            f"{sounds}/mine: lies in the folder of sounds, {sounds}. Choose a place outside of it.",
        ),
        ((sounds, *out, "--seed", -1), "--seed is -1; it must be 0 to 4294967295"),
        ((sounds, *out, "--learning-rate", 2), "--learning-rate is 2; it must be above 0 and at most 1"),
        (
            (sounds, *out, "--recipe", "none"),
            "--recipe is none; choose from environment, speech, both, environment_log_mel, shipped, pilot, "
            "encodec_24khz, encodec_48khz",
        ),
        (
            (sounds, *out, "--from", tmp_path / "gone"),
            f"{tmp_path}/gone: no such file. --codec takes a codec's file, encodec_24khz or encodec_48khz.",
        ),
        (
            (tmp_path / "gone", *out, "--from", begin),
            f"{tmp_path}/gone: no such folder. Put the files of the data set there, or change source.path.",
        ),
        (
            (tmp_path / "there", *out, "--from", begin),
            f"{tmp_path}/there: 0 usable sounds; two are needed, one to train on and one to judge by",
        ),
        (
            (sounds, *out, "--recipe", "encodec_24khz", "--device", "cpu"),
            "precision: bf16 is for a GPU: choose fp32, or device: cuda",
        ),
    ):  # fmt: skip
        status, _, errors = train(*arguments)
        assert (status, errors) == (1, f"{message}\n")
    assert not (tmp_path / "mine").exists()
    assert not np.any([path.name.endswith(".lock") for path in tmp_path.iterdir()])
    assert not (tmp_path / "mine.partial-training").exists()  # nothing was trained


def test_a_folder_that_is_not_its_own_is_neither_used_nor_removed(
    tmp_path: Path, sounds: Path, begin: Path, train: Codec
) -> None:
    options = ("--from", begin, "--steps", 1, "--out", tmp_path / "birds")
    theirs = sounds.rename(tmp_path / "birds.partial-training")
    before = contents(theirs)
    for folder in (theirs, theirs / "more"):
        told = f"{folder}: lies in {theirs}, where {tmp_path}/birds would be worked on and which is then removed"
        assert train(folder, *options) == (1, "", f"{told}. Choose another --out.\n")
    told = f"{tmp_path}/birds: lies in the folder of sounds, {tmp_path}. Choose a place outside of it.\n"
    assert train(tmp_path, *options) == (1, "", told)
    (tmp_path / "others").mkdir()
    told = f"{theirs}: exists already, and is no work of this program. Move it away, or choose another --out.\n"
    assert train(tmp_path / "others", *options) == (1, "", told)
    assert contents(theirs) == before


def test_a_codec_that_another_run_wrote_is_not_taken_for_this_one_s(
    tmp_path: Path, sounds: Path, begin: Path, train: Codec
) -> None:
    options = (sounds, "--from", begin, "--out", tmp_path / "mine", "--steps")
    arguments = json.dumps(["codec", "train", *map(str, (*options, 2))])
    program = "import json, sys\nfrom beyond_spectrograms.cli import main\nmain(json.loads(sys.argv[1]))\n"
    kill_in("beyond_spectrograms.codec.own_training:replace_folder", "calls == 1", program, arguments)
    written = contents(tmp_path / "mine")
    assert sorted(written) == ["card.json", "codec.safetensors"]
    others = tmp_path / "others"
    others.mkdir()
    for number in range(3):
        soundfile.write(others / f"{number}.wav", melody(1.5, 7 + number), 24_000)
    for other in ((*options, 3), (*options, 2, "--seed", 1), (others, *options[1:], 2)):
        told = f"{tmp_path}/mine: exists already. Choose another name, or remove it.\n"
        status, _, errors = train(*other)
        assert (status, errors) == (1, told)
    assert contents(tmp_path / "mine") == written
    assert train(*options, 2) == (0, f"{tmp_path}/mine: was written by the run before\n", "")
    assert not (tmp_path / "mine.partial-training").exists()


def test_a_name_that_no_codec_can_have_is_refused_before_the_work(tmp_path: Path, sounds: Path, train: Codec) -> None:
    for name, shown in (("my codec", "my codec"), ("\x1b[31m", r"\x1b[31m"), ("n" * 65, "n" * 65)):
        told = (
            f"--out is {tmp_path}/{shown}, by whose last part the codec is named; a name has 1 to 64 letters of a to "
            "z, digits, dots, dashes and underscores\n"
        )
        assert train(sounds, "--out", tmp_path / name) == (1, "", told)
