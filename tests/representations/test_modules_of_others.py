"""The modules of docs/modules.md, with tiny stand-ins in place of the packages they need: nobody's trained weights."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from beyond_spectrograms.data.audio import Format
from beyond_spectrograms.params import Hear
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import Representation, RepresentationError
from support.common import refusal, stack
from support.repository import REPOSITORY

PAGE = (REPOSITORY / "docs/modules.md").read_text(encoding="utf-8")
MODULES = dict(re.findall(r"^```python (\w+)\.py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
[HOME_FOLDER] = re.findall(r"^```bash\n(mkdir .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
RECORDS = dict(re.findall(r"^(\w+): \{kind: hear, module: ([\w.]+),", PAGE, re.MULTILINE))


class Cnn14(torch.nn.Module):
    """As panns_inference.models has it, but for its size."""

    def __init__(
        self,
        sample_rate: int,
        *,
        window_size: int,
        hop_size: int,
        mel_bins: int,
        fmin: int,
        fmax: int,
        classes_num: int,
    ) -> None:
        super().__init__()
        self.settings = (sample_rate, window_size, hop_size, mel_bins, fmin, fmax)
        self.fc1 = torch.nn.Linear(1, 2048)
        self.fc_audioset = torch.nn.Linear(2048, classes_num)

    def forward(self, input: torch.Tensor) -> dict[str, torch.Tensor]:
        embedding = self.fc1(input.std(1, keepdim=True))
        return {"clipwise_output": self.fc_audioset(embedding).sigmoid(), "embedding": embedding}


# What panns_inference does when it is imported, where there is no wget.
PANNS_PACKAGE = """
import csv
from pathlib import Path

with open(f"{Path.home()}/panns_data/class_labels_indices.csv", "r") as f:
    lines = list(csv.reader(f))
labels = [line[2] for line in lines[1:]]
"""


class BEATsConfig(SimpleNamespace):
    pass


class Filterbank(torch.nn.Module):
    """Tensors that are computed, and kept as the weights are."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(400))
        self.register_buffer("mel_fb", torch.ones(257, 128))


class BEATs(torch.nn.Module):
    """As avex.models.beats has it, but for its size: patches of 160 ms, eight for each."""

    def __init__(self, cfg: BEATsConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.fbank = Filterbank()
        self.layer = torch.nn.Linear(320, cfg.encoder_embed_dim)

    def forward(self, source: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.layer(source.unfold(1, 2560, 2560).reshape(len(source), -1, 320)), None


class Passt(torch.nn.Module):
    """As hear21passt.wrapper has it, but for its size."""

    sample_rate, scene_embedding_size, timestamp_embedding_size = 32_000, 1295, 1295


def embed_passt(audio: torch.Tensor, model: Passt) -> tuple[torch.Tensor, torch.Tensor]:
    padded = torch.nn.functional.pad(audio[:, None], (2560, 2560), mode="reflect")[:, 0]
    frames = padded.unfold(1, 5120, 1600).std(2, keepdim=True).expand(-1, -1, model.timestamp_embedding_size)
    return frames.contiguous(), (50.0 * torch.arange(frames.shape[1])).expand(len(audio), -1)


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-ins where the packages would be, and the page's modules into a folder to run in."""
    packages: dict[str, dict[str, Any]] = {
        "stand_in_for_panns": {"Cnn14": Cnn14},
        "avex": {}, "avex.models": {}, "avex.models.beats": {"BEATs": BEATs, "BEATsConfig": BEATsConfig},
        "hear21passt": {}, "hear21passt.base": {
            "load_model": lambda model_path="", mode="all": Passt(),  # noqa: ARG005  as there
            "get_timestamp_embeddings": embed_passt,
            "get_scene_embeddings": lambda audio, model: embed_passt(audio, model)[0].mean(1),
        },
    }  # fmt: skip
    for name, content in packages.items():
        module = ModuleType(name)
        module.__dict__.update(content, __file__=__file__, __package__="")
        monkeypatch.setitem(sys.modules, name, module)
    (tmp_path / "panns_inference").mkdir()
    (tmp_path / "panns_inference/__init__.py").write_text(PANNS_PACKAGE)
    (tmp_path / "panns_inference/models.py").write_text("from stand_in_for_panns import Cnn14\n")
    for name in ("panns_inference", "panns_inference.models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def make(name: str, weights: Path | None = None) -> Representation:
    record = Hear(kind="hear", module=RECORDS[name], weights=None if weights is None else name)
    return create_representation(name, record, [] if weights is None else [weights])


def test_the_page_has_the_three() -> None:
    assert set(RECORDS) == {"passt", "panns_cnn14", "beats"}
    assert set(MODULES) == {"panns_cnn14", "beats_module"}


@pytest.mark.usefixtures("stand_ins")
def test_passt_is_a_module_as_it_is() -> None:
    made = make("passt")
    assert (made.form, made.frame_rate) == (Format(48_000, 2), 20.0)
    assert made.encode(stack(2, made.form), 48_000).shape == (2, 1295, 21)


def write_panns(path: Path) -> None:
    """Save a checkpoint as that of 2020: in torch's first format, with arrays under numpy's names of then."""
    sizes = {"window_size": 1024, "hop_size": 320, "mel_bins": 64, "fmin": 50, "fmax": 14_000}
    network = Cnn14(32_000, classes_num=527, **sizes)
    sampler = {"indexes_per_class": [np.arange(3), np.arange(2)], "queue": [np.int64(1), 0], "weights": np.ones(2)}
    content = {"iteration": 1, "model": network.state_dict(), "sampler": sampler}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    written = path.read_bytes()
    assert written.count(b"numpy._core.multiarray") == 2
    path.write_bytes(written.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def test_panns_gives_one_embedding_a_window(stand_ins: Path) -> None:
    write_panns(stand_ins / "cnn14.pth")
    assert refusal(RepresentationError, make, "panns_cnn14", stand_ins / "cnn14.pth") == (
        "panns_cnn14: module panns_cnn14 failed when it was imported: FileNotFoundError: [Errno 2] No such file or "
        f"directory: '{stand_ins}/panns_data/class_labels_indices.csv'"
    )
    subprocess.run(["bash", "-euc", HOME_FOLDER], check=True)  # as the page says
    made = make("panns_cnn14", stand_ins / "cnn14.pth")
    given = made.encode(stack(2, made.form), 48_000)
    assert given.shape == (2, 2048, 1)
    assert np.ptp(given[0]) > 0


def test_beats_gives_a_frame_for_160_ms(stand_ins: Path) -> None:
    config = {"encoder_embed_dim": 12, "predictor_class": 527}
    network = BEATs(BEATsConfig(**config))
    weights = {key: value for key, value in network.state_dict().items() if not key.startswith("fbank.")}
    torch.save({"cfg": config, "model": weights}, stand_ins / "beats.pt")
    windows = stack(2, Format(16_000, 1))
    with torch.inference_mode():
        patches, _ = network(torch.from_numpy(windows[:, 0]))
    expected = patches.reshape(2, 6, 8, 12).mean(2).transpose(1, 2).numpy()
    with pytest.warns(UserWarning, match="frames are 160 ms apart; the API suggests 50 or less"):
        made = make("beats", stand_ins / "beats.pt")
    given = made.encode(windows, 16_000)
    np.testing.assert_allclose(given, expected, atol=1e-6)
    assert made.bands == 12
    weights["layer.scale"] = weights.pop("layer.bias")
    torch.save({"cfg": config, "model": weights}, stand_ins / "beats.pt")
    assert refusal(RepresentationError, make, "beats", stand_ins / "beats.pt") == (
        "beats: module beats_module: load_model failed: ValueError: not the network's weights: they lack "
        "['layer.bias'] and have ['layer.scale'] besides"
    )
