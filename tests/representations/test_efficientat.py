"""EfficientAT's mn04 with its real weights: against figures that the authors' own code gave, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchaudio.compliance.kaldi import get_mel_banks

from beyond_spectrograms.data.audio import Format
from beyond_spectrograms.params import EfficientAT, load_params
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import CheckpointError
from beyond_spectrograms.representations.efficientat import EfficientATEncoder
from support.common import refusal, stack
from support.repository import REPOSITORY

RECORD = load_params(root=REPOSITORY).representations["efficientat_mn04"]


@pytest.fixture(scope="module")
def weights(mirror: Path) -> Path:
    return mirror / "mn04_as_mAP_432.pt"


def make(weights: Path, **changed: str) -> EfficientATEncoder:
    made = create_representation("mn04", RECORD.model_copy(update=changed), [weights])
    assert isinstance(made, EfficientATEncoder)
    return made


def sweep(samples: int) -> np.ndarray:
    """Noise and a tone that rises from 200 to 4000 Hz, at 32 kHz."""
    tone = np.sin(2 * np.pi * np.cumsum(np.linspace(200, 4000, samples)) / 32_000).astype(np.float32) * 0.3
    drawn = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    return (drawn + tone).astype(np.float32)


# From models/mn/model.py and models/preprocess.py of fschmid56/EfficientAT at a425fdc, run on `sweep` with these
# weights: the first four values of the embedding, and the three highest scores with their classes.
TOLD = {
    32_000: ([-0.2814, 0.1969877, -0.1264929, 0.2915275], [0.2206, 0.0429, 0.0384], [137, 501, 504]),
    160_000: ([-0.2760855, -0.1181968, -0.1237666, 0.1404128], [0.1045, 0.0691, 0.0581], [137, 501, 396]),
    48_000: ([-0.2861701, 0.0887905, -0.1953624, 0.176512], [0.3273, 0.061, 0.0545], [137, 158, 138]),
}


@pytest.mark.numeric
@pytest.mark.parametrize("samples", TOLD)
def test_embedding_and_scores_are_those_of_the_authors_code(weights: Path, samples: int) -> None:
    embedding, scores, classes = TOLD[samples]
    sound = sweep(samples)
    features, given = make(weights)._forward(sound), make(weights, layer="scores")._forward(sound)[:, 0]
    assert len(features) == 384
    np.testing.assert_allclose(features.mean(1)[:4], embedding, atol=1e-4)
    assert np.argsort(-given)[:3].tolist() == classes
    np.testing.assert_allclose(np.sort(given)[:-4:-1], scores, atol=1e-4)


@pytest.mark.numeric
def test_mel_filters_are_kaldis(weights: Path) -> None:
    expected, _ = get_mel_banks(128, 1024, 32_000.0, 0.0, 15_000.0, 100.0, -500.0, 1.0)
    np.testing.assert_allclose(make(weights)._filters[:, :-1], expected, atol=1e-3)  # kaldi's are of float32
    assert make(weights)._filters[:, -1].abs().max() == 0


@pytest.mark.parametrize("seconds", [0.1, 1.0, 2.37])
def test_windows_of_stored_clips_are_resampled_and_have_the_promised_frames(weights: Path, seconds: float) -> None:
    made, scores = make(weights), make(weights, layer="scores")
    form = Format(48_000, 2)
    windows = stack(2, form, seconds)
    assert (made.form, made.bands, made.frame_rate) == (form, 384, 3.125)
    assert made.encode(windows, 48_000).shape == (2, 384, made.frames(windows.shape[2]))
    probabilities = scores.encode(windows, 48_000)
    assert probabilities.shape == (2, 527, 1)
    assert (probabilities >= 0).all()
    assert (probabilities <= 1).all()


def test_other_files_are_refused(weights: Path, tmp_path: Path) -> None:
    other, pickled = tmp_path / "other.pt", tmp_path / "pickled.pt"
    state = torch.load(weights, weights_only=True)
    torch.save({key: value for key, value in state.items() if "features.9." not in key}, other)
    torch.save({"model": RECORD}, pickled)
    more, flat, narrow = (tmp_path / f"{name}.pt" for name in ("more", "flat", "narrow"))
    torch.save(state | {"features.1.block.x.weight": torch.zeros(1)}, more)
    torch.save(state | {"features.0.0.weight": torch.zeros(8)}, flat)
    torch.save(state | {"features.0.0.weight": torch.zeros(8, 0, 3, 3)}, narrow)
    name = "not the weights of one of EfficientAT's mn models, from mn01 to mn40: "
    for path in (other, pickled, more, flat, narrow):
        assert refusal(CheckpointError, make, path).startswith(f"{path}: {name}")
    told = "mn04: its weights file is missing. Run its featurize stage, which fetches it."
    assert refusal(CheckpointError, make, tmp_path / "gone.pt") == told
    assert isinstance(RECORD, EfficientAT)
