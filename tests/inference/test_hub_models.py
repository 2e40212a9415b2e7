"""A model of one's own sounds may stand on a model of the hub: `train`, then `classify` by its folder."""

import json
from pathlib import Path

import pytest
import soundfile

from beyond_spectrograms import load_model
from beyond_spectrograms.cli import main
from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from support.cells import write_params
from support.common import noise, tone
from support.repository import Patch
from support.shipped_params import SHIPPED
from support.tiny_models import write_tiny

FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
HUB = {"hub": "someone/tiny", "revision": "0" * 40, "licence": "MIT", "files": [{"name": name} for name in FILES]}


@pytest.mark.parametrize("layers", [{}, {"layers": [0, 1, 2], "join": "stack"}])
def test_a_model_on_the_hubs_files_is_trained_and_read_back(
    layers: dict[str, object], tmp_path: Path, monkeypatch: Patch
) -> None:
    write_tiny(tmp_path / "mirror/someone/tiny", "hubert")
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path / "mirror"))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    for number in range(6):
        for label, sound in (("noise", noise(2, 16_000, number)), ("tone", tone(2, 300 + 50 * number, 16_000))):
            path = tmp_path / f"sounds/{label}/{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound, 16_000)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    records = SHIPPED["representations"] | {"mine": {"kind": "transformers", "weights": "tiny_hubert", **layers}}
    write_params(Path(), representations=records, hub={"tiny_hubert": HUB})
    options = ["--representation", "mine", "--epochs", "3", "--out", "model"]
    assert main(["train", str(tmp_path / "sounds"), *options]) == 0
    model = load_model("model")
    assert model.classes == ("noise", "tone")
    assert sorted(path.name for path in Path("data/weights/tiny_hubert").iterdir()) == sorted([*FILES, "record.json"])
    card = json.loads(Path("model/card.json").read_text(encoding="utf-8"))
    assert {file["revision"] for file in card["encoder_files"]} == {"unverified: from a mirror"}
    assert main(["classify", "--model", "model", str(tmp_path / "sounds/tone/0.wav")]) == 0
