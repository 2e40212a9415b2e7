"""Codes that a language model foretells take fewer bits, and come back; EnCodec's files with --lm are its program's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from encodec.compress import compress
from encodec.model import LMModel
from safetensors.torch import save_file

from beyond_spectrograms.codec import language_model
from beyond_spectrograms.codec.ecdc import Coded, Layout, layout_of, read_codes, read_header, write_ecdc
from beyond_spectrograms.codec.entropy import LanguageModel
from beyond_spectrograms.codec.files import open_encodec
from beyond_spectrograms.codec.language_model import (
    LanguageModelError,
    LmTrainer,
    bits_left,
    open_lm,
    save_lm,
    take_up_lm,
    train_lm,
)
from beyond_spectrograms.codec.streaming import Streamer
from beyond_spectrograms.util.machine import one_thread
from support.codecs import SMALL
from support.coded import melody, publish, seeded_encodec
from support.common import refusal
from support.stopping import stop_at_checkpoint

PUBLISHED = {
    "encodec_24khz": ("encodec_24khz-d7cc33bc.th", "encodec_lm_24khz-1608e3c0.th", 32, 262),
    "encodec_48khz": ("encodec_48khz-7e698e3e.th", "encodec_lm_48khz-7add9fc3.th", 16, 525),
}
LAYOUT = layout_of(SMALL, "beyond-spectrograms/some", "0123456789abcdef")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("name", "bitrate", "samples"), [("encodec_24khz", 1500, 7000), ("encodec_48khz", 3000, 52_000)]
)
def test_files_with_encodec_s_language_model_are_the_program_s(
    name: str, bitrate: int, samples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, lm_file, codebooks, context = PUBLISHED[name]
    theirs = seeded_encodec(name.removeprefix("encodec_"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        language = LMModel(codebooks, 1024, num_layers=5, dim=200, past_context=context)
    by = open_encodec(name, publish(theirs, checkpoint, tmp_path, monkeypatch))
    lm = open_lm(publish(language, lm_file, tmp_path, monkeypatch), by.layout)
    sound = np.stack([melody(3.0, seed)[:samples] for seed in range(theirs.channels)])
    coded = Streamer(*by).encode([sound], bitrate)
    write_ecdc(tmp_path / "a.ecdc", coded, by.layout, lm)
    content = (tmp_path / "a.ecdc").read_bytes()
    theirs.set_target_bandwidth(bitrate / 1000)
    with torch.random.fork_rng():  # the package seeds torch's generator
        assert content == compress(theirs, torch.from_numpy(sound), use_lm=True)
    again = read_codes(content, read_header(content), by.layout, lambda: lm.lm)
    assert again.levels == coded.levels
    assert all(np.array_equal(one, other) for one, other in zip(again.codes, coded.codes, strict=True))


def repeated(seed: int) -> np.ndarray:
    """Make codes [codebooks, frames] that repeat themselves after seven frames, begun somewhere."""
    pattern = np.random.default_rng(0).integers(0, 16, (3, 7)).astype(np.int16)
    return np.tile(np.roll(pattern, seed, axis=1), 30)


def train(folder: Path, steps: int, seed: int = 1) -> LmTrainer:
    heard = [repeated(number) for number in range(5)]
    trainer = LmTrainer(heard, SMALL, codec=LAYOUT.digest, steps=steps, seed=seed)
    with one_thread():
        take_up_lm(trainer, folder / "checkpoint.pt")
        train_lm(trainer, folder / "checkpoint.pt")
    return trainer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> LmTrainer:
    return train(tmp_path_factory.mktemp("lm"), 60)


@pytest.mark.usefixtures("one_thread")
def test_what_repeats_is_foretold_and_takes_few_bits(trained: LmTrainer, tmp_path: Path) -> None:
    found = bits_left(trained.lm, [repeated(6)], SMALL)
    assert all(left < 0.3 * bitrate for bitrate, left in found.items()), found
    coded, sizes = Coded(210 * 320, [repeated(6)], []), []
    save_lm(tmp_path / "lm", trained.lm, trained.size)
    lm = open_lm(tmp_path / "lm", LAYOUT)
    for by in (None, lm):
        write_ecdc(tmp_path / "a.ecdc", coded, LAYOUT, by)
        content = (tmp_path / "a.ecdc").read_bytes()
        header = read_header(content)
        assert (header.arithmetic, header.coder) == (by is not None, "" if by is None else lm.digest)
        assert np.array_equal(read_codes(content, header, LAYOUT, lambda: lm.lm).codes[0], repeated(6))
        sizes.append(len(content) - header.end)
    bits = found[600] * 210 / 50
    assert sizes == [210 * 3 * 4 / 8, pytest.approx(bits / 8, abs=8)]


def saved(path: Path, trainer: LmTrainer) -> bytes:
    save_lm(path, trainer.lm, trainer.size)
    return path.read_bytes()


def test_the_same_seed_gives_the_same_bytes_however_often_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = saved(tmp_path / "whole", train(tmp_path / "none", 4))
    assert saved(tmp_path / "other", train(tmp_path / "none", 4, seed=2)) != whole
    for _ in range(3):
        stop_at_checkpoint(language_model, lambda: train(tmp_path, 4), monkeypatch)
    taken, step = list[int](), LmTrainer.train_step
    monkeypatch.setattr(LmTrainer, "train_step", lambda self: (taken.append(self.step), step(self)))
    assert saved(tmp_path / "stopped", train(tmp_path, 4)) == whole
    assert taken == [3]
    train(tmp_path, 4, seed=2)  # the checkpoint is of other work
    assert taken == [3, 0, 1, 2, 3]


def test_what_is_no_language_model_of_the_codec_is_refused(trained: LmTrainer, tmp_path: Path) -> None:
    def told(layout: Layout = LAYOUT) -> str:
        return refusal(LanguageModelError, open_lm, path, layout)

    path = tmp_path / "lm"
    assert told() == f"{path}: no such file. --lm takes a language model, as `codec train-lm` writes it."
    path.write_bytes(b"nothing")
    assert told().startswith(f"{path}: no language model of ours. ")
    assert told(layout_of(SMALL, "encodec_24khz")).startswith(f"{path}: no checkpoint of EnCodec's language model. ")
    save_file({"one": torch.zeros(1)}, path)
    assert told() == f"{path}: no language model of ours. KeyError: 'language_model'"
    save_lm(path, trained.lm, trained.size)
    assert isinstance(open_lm(path, LAYOUT), LanguageModel)
    other = layout_of(SMALL, "beyond-spectrograms/other", "fedcba9876543210")
    assert told(other) == (
        f"{path}: the language model of a codec whose file's SHA-256 begins with '0123456789abcdef', not with "
        "'fedcba9876543210'"
    )
    save_lm(path, trained.lm, trained.size.model_copy(update={"codebooks": 7}))
    assert told().startswith(f"{path}: damaged: its network is {{'codec': '0123456789abcdef', 'codebooks': 7, ")
    save_lm(path, trained.lm, trained.size.model_copy(update={"dim": 72}))
    assert told().startswith(f"{path}: not the language model of beyond-spectrograms/some. Error(s) in loading ")
    save_lm(path, trained.lm, trained.size.model_copy(update={"dim": 1 << 30}))
    assert told().startswith(f"{path}: no language model of ours. 1 validation error for _Size dim ")
