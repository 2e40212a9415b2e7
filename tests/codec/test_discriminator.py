"""The discriminator gives what encodec's reference discriminator gives with the same weights."""

import warnings
from itertools import chain

import pytest
import torch

from beyond_spectrograms.codec.discriminator import Discriminator
from support.numeric import assert_same, by_default_float64

N_FFTS = [1024, 2048, 512]


def weights_of_package(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Name the state of encodec.msstftd's MultiScaleSTFTDiscriminator as ours: the older weight norm, no windows."""
    names = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    renamed = {}
    for key, value in state.items():
        place, _, last = key.replace(".conv.", ".").rpartition(".")
        if not place.endswith("spec_transform"):
            renamed[f"{place}.{names.get(last, last)}"] = value
    return renamed


@pytest.mark.numeric
@pytest.mark.parametrize("channels", [1, 2])
def test_logits_and_features_are_the_package_s(channels: int) -> None:
    with warnings.catch_warnings(), by_default_float64():
        warnings.filterwarnings("ignore", ".*weight_norm.* is deprecated", FutureWarning)
        from encodec.msstftd import MultiScaleSTFTDiscriminator

        torch.manual_seed(0)
        theirs = MultiScaleSTFTDiscriminator(4, in_channels=channels)
        ours = Discriminator(N_FFTS, channels, 4, slope=0.2)
        ours.load_state_dict(weights_of_package(theirs.state_dict()))
        sound = torch.randn(2, channels, 6000)
        logits, features = theirs(sound)
        judged = ours(sound)
    assert len(judged.logits) == len(logits) == 3
    for one, other in zip(judged.logits, logits, strict=True):
        assert_same(one, other)
    for one, other in zip(chain(*judged.features), chain(*features), strict=True):
        assert_same(one, other)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
