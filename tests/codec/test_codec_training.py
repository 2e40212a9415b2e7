"""A training gives the same bytes for the same seed, however often it was killed, and learns."""

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from beyond_spectrograms.codec import trainer, training
from beyond_spectrograms.codec.network import load_codec
from beyond_spectrograms.codec.training import CodecTrainingError, train_codec
from beyond_spectrograms.data.audio import Format
from support.codec_training import HEARD, corpus, corpus_of, run_in, trained
from support.codecs import ENCODEC_24, ENCODEC_48
from support.common import refusal, tone
from support.stopping import kill_in, stop_at_checkpoint

pytestmark = pytest.mark.usefixtures("torch_as_it_was")

KILLED = (("training:write_checkpoint", 3), ("trainer:_take_step", 4), ("training:save_codec", 1))
ALONE = {"discriminator": None, "mixing": False, "reverberation": 0.0, "batch_size": 2}


def test_another_seed_gives_another_training(tmp_path: Path) -> None:
    one = trained(tmp_path / "one")
    assert sorted(one) == ["curve.csv", "heard.csv", "step_0.safetensors", "step_4.safetensors"]
    assert trained(tmp_path / "other", seeds=[1])["step_0.safetensors"] != one["step_0.safetensors"]


@pytest.mark.parametrize("more", [{}, {"log_mel_weight": 1.0, "start": "linear", "weights": {"si_snr": 5.0}}])
def test_a_training_that_is_stopped_after_every_step_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    changed = {"steps": [0, 2, 6], **more}
    expected = trained(tmp_path / "whole", **changed)
    run = run_in(tmp_path / "stopped", **changed)
    for _ in range(6):
        stop_at_checkpoint(training, lambda: train_codec(run, corpus()), monkeypatch)
    assert trained(tmp_path / "stopped", **changed) == expected


@pytest.mark.long
def test_a_training_that_is_killed_ten_times_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL in turn right after a checkpoint, right after a step and right after the codec was written."""
    steps = [0, 5, 30]
    expected = trained(tmp_path / "whole", steps=steps)
    (tmp_path / "work.pickle").write_bytes(pickle.dumps((run_in(tmp_path / "killed", steps=steps), corpus())))
    program = (
        "import pickle, sys\n"
        "from beyond_spectrograms.codec import training\n"
        "training.CHECKPOINT_SECONDS = -1\n"
        "training.train_codec(*pickle.load(open(sys.argv[1], 'rb')))\n"
    )
    module = "beyond_spectrograms.codec."
    for kill in range(10):
        function, calls = KILLED[kill % 3]
        if function == "training:save_codec" and kill > 2:
            function, calls = "training:write_checkpoint", 1
        kill_in(module + function, f"calls == {calls}", program, str(tmp_path / "work.pickle"))
    assert trained(tmp_path / "killed", steps=steps) == expected


def test_a_checkpoint_of_another_recipe_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trained(tmp_path / "whole", losses="released")
    run = run_in(tmp_path / "other")
    stop_at_checkpoint(training, lambda: train_codec(run, corpus()), monkeypatch)
    assert trained(tmp_path / "other", losses="released") == expected


def test_a_training_goes_on_from_a_shorter_one_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, taken = trained(tmp_path / "whole", steps=[0, 2, 6]), list[int]()
    trained(tmp_path / "longer", steps=[0, 2])
    step = trainer.CodecTrainer.train_step
    monkeypatch.setattr(trainer.CodecTrainer, "train_step", lambda self: (taken.append(self.step), step(self)))
    assert trained(tmp_path / "longer", steps=[0, 2, 6]) == expected
    assert taken == [2, 3, 4, 5]
    taken.clear()
    assert trained(tmp_path / "longer", steps=[0, 3, 6]).keys() > {"step_3.safetensors"}
    assert taken == list(range(6))  # what is kept after 3 steps was not there: from the beginning


def test_a_step_that_another_training_kept_is_not_taken_for_one_s_own(tmp_path: Path) -> None:
    expected = trained(tmp_path / "alone", steps=[0, 1, 2], learning_rate=0.001)
    trained(tmp_path / "shared", steps=[0, 1, 2], learning_rate=0.01)
    assert "step_1.safetensors" not in trained(tmp_path / "shared", steps=[0, 2], learning_rate=0.001)
    assert not run_in(tmp_path / "shared", steps=[0, 1, 2], learning_rate=0.001).is_finished()
    assert trained(tmp_path / "shared", steps=[0, 1, 2], learning_rate=0.001) == expected


def test_a_training_does_not_go_on_behind_a_step_that_was_damaged(tmp_path: Path) -> None:
    expected = trained(tmp_path / "whole", steps=[0, 2, 4])
    trained(tmp_path / "damaged", steps=[0, 2])
    kept = run_in(tmp_path / "damaged").kept(2)
    kept.write_bytes(kept.read_bytes() + b"!")
    assert trained(tmp_path / "damaged", steps=[0, 2, 4]) == expected


def test_what_was_kept_and_then_damaged_is_not_finished(tmp_path: Path) -> None:
    trained(tmp_path)
    run = run_in(tmp_path)
    assert not replace(run, seed=1).is_finished()
    kept = run.kept(4)
    kept.write_bytes(kept.read_bytes() + b"!")
    assert not run.is_finished()


@pytest.mark.parametrize("name", ["card", "card_48khz", "released"])
def test_every_setting_of_losses_trains_with_a_discriminator_and_without(tmp_path: Path, name: str) -> None:
    trained(tmp_path / "with", losses=name)
    trained(tmp_path / "without", losses=name, discriminator=None)
    columns = [(tmp_path / each / "seed_0/curve.csv").read_text().splitlines()[0] for each in ("with", "without")]
    assert columns == [
        "step,time,spectral,adversarial,features,commitment,discriminator", "step,time,spectral,commitment"
    ]  # fmt: skip


def test_training_brings_spectra_nearer(tmp_path: Path) -> None:
    """One tone, without a discriminator."""
    run = run_in(tmp_path, **ALONE, steps=[0, 100], learning_rate=0.003)
    train_codec(run, corpus_of(tone(1, 440, 16_000, 0.1)))
    curve = pd.read_csv(run.place / "curve.csv")
    assert list(curve["step"]) == [50, 100]
    assert curve["spectral"][1] < 0.7 * curve["spectral"][0], curve


def test_latents_that_are_to_tell_log_mel_learn_it_from_the_same_start(tmp_path: Path) -> None:
    changed = {**ALONE, "learning_rate": 0.003, "start": "scaled"}
    plain = trained(tmp_path / "plain", **changed, steps=[0, 1])
    told = trained(tmp_path / "told", **changed, steps=[0, 1, 100], log_mel_weight=1.0)
    assert plain["step_0.safetensors"] == told["step_0.safetensors"]
    assert plain["step_1.safetensors"] != told["step_1.safetensors"]
    curve = pd.read_csv(tmp_path / "told/seed_0/curve.csv")
    assert list(curve) == ["step", "time", "spectral", "commitment", "log_mel"]
    assert curve["log_mel"][1] < 0.7 * curve["log_mel"][0], curve


def test_a_setting_that_came_later_leaves_earlier_trainings_finished(tmp_path: Path) -> None:
    """The mark of a recipe before log_mel_weight and labels were settings."""
    changed = run_in(tmp_path, log_mel_weight=1.0)
    plain = run_in(tmp_path)
    recipe = plain.recipe.model_dump(exclude={"seeds", "judged", "steps", "log_mel_weight"})
    before = hashlib.sha256((repr([recipe, 0, "cpu", [("codec", 1)]]) + HEARD.to_csv(index=False)).encode())
    assert plain.fingerprint() == before.hexdigest()
    assert changed.fingerprint() != plain.fingerprint()


def test_bf16_on_a_cpu_is_refused(tmp_path: Path) -> None:
    told = refusal(CodecTrainingError, train_codec, run_in(tmp_path, precision="bf16"), corpus())
    assert told == "precision: bf16 is for a GPU: choose fp32, or device: cuda"


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    sounds = corpus()
    broken = replace(sounds, waveforms=[np.full_like(each, np.nan) for each in sounds.waveforms])
    told = refusal(Exception, train_codec, run_in(tmp_path, reverberation=0.0), broken)
    assert told.startswith("level_db -24: 1000 windows")  # no comparison with nan holds: it is taken for clipping
    fast = run_in(tmp_path, learning_rate=1e30, steps=[0, 8])
    assert "is nan at step" in (told := refusal(CodecTrainingError, train_codec, fast, corpus())) or "inf" in told


@pytest.mark.long
@pytest.mark.parametrize(("network", "setting"), [(ENCODEC_24, "card"), (ENCODEC_48, "card_48khz")])
def test_encodec_at_full_size_trains_for_two_steps(tmp_path: Path, network: Any, setting: str) -> None:
    size = {"filters": 32, "n_ffts": [2048, 1024, 512, 256, 128], "share": 1.0}
    form = Format(network.sample_rate, network.channels)
    run = run_in(
        tmp_path, network=network, losses=setting, discriminator=size, window_s=1.0, batch_size=1, dead_below=0.0,
        steps=[0, 2], start_iterations=2,
    )  # fmt: skip
    train_codec(run, corpus(form))
    assert run.is_finished()
    weights = [load_codec(run.kept(step))[0].encoder.state_dict() for step in (0, 2)]
    assert any(not torch.equal(value, weights[1][key]) for key, value in weights[0].items())
