"""Training windows changed at random: what each change is, by known windows; the same bits again, and after a kill."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from beyond_spectrograms.classifiers.base import ClassifierError, Standardize
from beyond_spectrograms.params.protocols import Augmentation
from beyond_spectrograms.training.augmentation import Augment
from beyond_spectrograms.training.loop import train
from beyond_spectrograms.training.run import RunConfig, read_history
from support.common import refusal
from support.protocol import PROTOCOL, write_run
from support.stopping import results_of, train_in_two

ALL = Augmentation(mixup=0.4, gain=6.0, time_shift=0.25, noise=0.1)
DEVIATION = torch.tensor([2.0, 4.0, 8.0])


def changed(windows: torch.Tensor, **settings: float) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    layer = Standardize(torch.zeros(3), DEVIATION)
    return Augment(Augmentation(**settings), layer, 2)(windows, torch.arange(len(windows)) % 2)


def test_a_shift_rolls_frames_by_up_to_its_share_and_all_bands_alike() -> None:
    windows = torch.arange(40.0).expand(200, 3, 40)
    found, shares = changed(windows, time_shift=0.25)
    shifts = found[:, 0, 0].long()  # the frame that now stands first
    for window, shift in zip(found, shifts, strict=True):
        assert torch.equal(window, windows[0].roll(-int(shift), 1))
    assert {(int(shift) + 20) % 40 - 20 for shift in shifts} == set(range(-10, 11))
    assert torch.equal(shares, torch.eye(2).repeat(100, 1))


def test_gain_adds_the_same_decibels_to_every_band() -> None:
    found, _ = changed(torch.zeros(500, 3, 5), gain=6.0)
    decibels = found * DEVIATION[:, None]
    torch.testing.assert_close(decibels, decibels[:, :1, :1].expand_as(decibels))
    assert (decibels.min() < -5.5, decibels.max() > 5.5, bool(decibels.abs().max() <= 6.0)) == (True, True, True)


def test_noise_has_its_deviation_in_standardised_features() -> None:
    found, _ = changed(torch.ones(100, 3, 50), noise=0.1)
    assert found.mean() == pytest.approx(1, abs=0.005)
    assert found.std() == pytest.approx(0.1, rel=0.05)


def test_mixup_mixes_windows_and_their_classes_alike_the_window_itself_most() -> None:
    windows = (torch.arange(64) % 2).float()[:, None, None].expand(64, 3, 5)
    found, shares = changed(windows, mixup=1.0)
    torch.testing.assert_close(found[:, 0, 0], shares[:, 1])
    torch.testing.assert_close(shares.sum(1), torch.ones(64))
    assert torch.equal(shares.argmax(1), torch.arange(64) % 2)
    assert 0 < (shares.amax(1) < 1).sum() < 64  # some are mixed with their like


def config(folder: Path, classifier: str = "conv1d", augment: Augmentation | None = ALL, **changes: Any) -> RunConfig:
    rng, targets = np.random.default_rng(0), np.arange(60) % 2
    features = rng.standard_normal((60, 10, 49)).astype(np.float32) + targets[:, None, None]
    protocol = PROTOCOL.model_copy(update={"classifier": classifier, "augment": augment, "class_weights": "balanced"})
    parts = ["train"] * 36 + ["validation"] * 12 + ["test"] * 12
    return write_run(folder, features, targets, parts, protocol, **changes)


@pytest.mark.parametrize(("classifier", "precision"), [("conv1d", "fp32"), ("conv1d", "bf16"), ("conv2d", "fp32")])
def test_the_same_seed_gives_the_same_bytes_also_after_a_stop(
    classifier: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = config(tmp_path, classifier, precision=precision)
    stopped = replace(first, work=tmp_path / "stopped")
    plain = replace(first, protocol=first.protocol.model_copy(update={"augment": None}), work=tmp_path / "plain")
    for each in (first, plain):
        train(each)
    train_in_two(stopped, 3, monkeypatch)
    one, other, resumed = results_of(first, plain, stopped)
    assert one == resumed != other


def test_several_labels_are_mixed_and_resumed_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = config(tmp_path, augment=Augmentation(mixup=0.4))
    recipe = given.protocol.model_copy(update={"loss": "binary_cross_entropy", "class_weights": "none"})
    labels = np.stack([np.arange(60) % 2, np.arange(60) % 2 == 0, np.arange(60) % 3 == 0], axis=1).astype(np.float32)
    labels[48:] = np.nan
    first = replace(given, protocol=recipe, targets=labels, classes=("a", "b", "c"))
    stopped = replace(first, work=tmp_path / "stopped")
    train(first)
    train_in_two(stopped, 3, monkeypatch)
    one, resumed = results_of(first, stopped)
    assert one == resumed
    assert read_history(first)[-1]["validation_loss"] < read_history(first)[0]["validation_loss"]


def test_codes_are_refused(tmp_path: Path) -> None:
    told = "augment of conv1d needs spectra or latents: numbers of codes cannot be mixed"
    assert refusal(ClassifierError, train, config(tmp_path, codebook_size=1024)) == told
