"""What /openapi.json says of the server: a real answer is as described, and no request that it allows meets a flaw."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests

from beyond_spectrograms.serving.answers import Analysis
from support.common import sound_file, tone
from support.serving import serving

# The one check that is left out expects every body of the described type to be taken: most bytes are no sound.
COMMAND = "from schemathesis.cli import schemathesis; schemathesis()"
CHECKS = ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--continue-on-failure", "--seed", "0"]


def test_the_answer_to_a_sound_is_as_described(model_folder: Path) -> None:
    sound = sound_file(np.concatenate([tone(2, 400), np.zeros(44_100, np.float32)]))
    with serving(model_folder) as address:
        told = requests.post(f"{address}/analyse", data=sound, timeout=30).json()
        described = requests.get(f"{address}/openapi.json", timeout=30).json()
    assert Analysis.model_validate(told, strict=True).model_dump() == told
    assert {path: list(does) for path, does in described["paths"].items()} == {"/": ["get"], "/analyse": ["post"]}
    assert list(described["paths"]["/analyse"]["post"]["responses"]) == ["200", "403", "408", "413", "422", "503"]


@pytest.mark.long
def test_requests_made_from_the_description_find_no_flaw(model_folder: Path, tmp_path: Path) -> None:
    with serving(model_folder) as address:
        command = [sys.executable, "-c", COMMAND, "run", f"{address}/openapi.json", *CHECKS, "--max-examples", "300"]
        told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    assert "Tested: 2" in told.stdout
    assert " generated, " in told.stdout
