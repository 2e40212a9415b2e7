"""The wheel in use, where there is no checkout and only the core is installed."""

import csv
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.common import tone

# Runs a command as where only the core's packages are: what extras install cannot be imported.
CORE = """
import sys
if __name__ == "__main__":
    extras = ("PIL", "ai_edge_litert", "dvc", "encodec", "fastapi", "jinja2", "matplotlib", "openvino", "statsmodels")
    for name in (*extras, "torchaudio", "uvicorn", "vl_convert"):
        sys.modules[name] = None
    exec(compile(open(sys.argv.pop(1)).read(), "command", "exec"))
"""
COMMAND = "from beyond_spectrograms.__main__ import run; run()"
HEAR = """
import torch
from beyond_spectrograms import hear
model = hear.load_model("log_mel_2048")
print(list(hear.get_scene_embeddings(torch.rand(2, model.sample_rate) - 0.5, model).shape))
"""


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own, over the packages of this one."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=True)
    python, [wheel] = folder / "bin/python", built.glob("*.whl")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    place = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    here = [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_path("purelib")]
    Path(place.strip(), "packages.pth").write_text("\n".join(here) + "\n")
    return python


@pytest.mark.long
def test_one_trains_classifies_segments_and_embeds_without_a_checkout(python: Path, tmp_path: Path) -> None:
    empty, sounds = tmp_path / "empty", tmp_path / "sounds"
    empty.mkdir()
    for number in range(4):
        for label, hertz in (("low", 300), ("high", 3000)):
            (sounds / label).mkdir(parents=True, exist_ok=True)
            soundfile.write(sounds / label / f"{number}.wav", tone(2, hertz * 1.1**number), 44_100)
    soundfile.write(tmp_path / "sound.wav", np.concatenate([tone(4, 350), tone(4, 3500)]), 44_100)
    for name, text in (("core", CORE), ("command", COMMAND), ("hear", HEAR)):
        (tmp_path / f"{name}.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def ask(script: str, *arguments: object) -> str:
        line = [python, "-P", tmp_path / "core.py", tmp_path / f"{script}.py", *map(str, arguments)]
        told = subprocess.run(line, cwd=empty, env=environment, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        return told.stdout

    options = ["--representation", "log_mel_2048_50hz", "--epochs", 20, "--out", "mine"]
    assert "right: 100.0% of windows" in ask("command", "train", sounds, *options)
    [first, *_] = csv.DictReader(
        ask("command", "classify", tmp_path / "sound.wav", "--model", "mine", "--format", "csv").splitlines()
    )
    assert first["windows"] == "8"
    segments = ask("command", "segment", tmp_path / "sound.wav", "--model", "mine", "--format", "csv").splitlines()
    assert [line.split(",")[2] for line in segments[1:]] == ["low", "high"]
    assert ask("hear") == "[2, 128]\n"
    assert sorted(path.name for path in empty.iterdir()) == ["mine", "mine-report"]
