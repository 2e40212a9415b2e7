"""Which stages stand, by dvc.lock: outputs, params, code and what came before."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from beyond_spectrograms.foretelling.lock import finished_stages

CODE = "stages/train.py"


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def lock(tmp_path: Path) -> dict[str, Any]:
    """Two stages that were run: featurize@x, then train@x, which takes what the first made."""
    for path in ("data/features/x/features.npy", "data/models/x/a.safetensors", "data/features/x/index.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("any")
    (tmp_path / "stages").mkdir()
    (tmp_path / CODE).write_text("code")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"protocols": {"fair": {"epochs": 3}}}))
    return {
        "featurize@x": {"cmd": "", "outs": [{"path": "data/features/x/features.npy", "md5": "f1"}]},
        "train@x": {
            "cmd": "",
            "deps": [{"path": CODE, "md5": md5("code")}, {"path": "data/features/x/features.npy", "md5": "f1"}],
            "params": {"params.yaml": {"protocols.fair": {"epochs": 3}}},
            "outs": [{"path": "data/models/x", "md5": "m1.dir"}],
        },
    }


def finished(folder: Path, lock: dict[str, Any]) -> set[str]:
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": lock}))
    return finished_stages(folder)


def test_stages_that_were_run_with_what_stands_now_are_finished(tmp_path: Path, lock: dict[str, Any]) -> None:
    assert finished(tmp_path, lock) == {"featurize@x", "train@x"}


def test_without_a_lock_nothing_is(tmp_path: Path) -> None:
    assert finished_stages(tmp_path) == set()


def test_another_param_is_found(tmp_path: Path, lock: dict[str, Any]) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"protocols": {"fair": {"epochs": 4}}}))
    assert finished(tmp_path, lock) == {"featurize@x"}


def test_other_code_is_found_in_a_file_and_in_a_folder(tmp_path: Path, lock: dict[str, Any]) -> None:
    (tmp_path / CODE).write_text("other code")
    assert finished(tmp_path, lock) == {"featurize@x"}
    listed = f'[{{"md5": "{md5("other code")}", "relpath": "train.py"}}]'
    lock["train@x"]["deps"][0] = {"path": "stages/", "md5": md5(listed) + ".dir"}
    assert finished(tmp_path, lock) == {"featurize@x", "train@x"}


def test_an_output_that_is_gone_leaves_the_stages_after_it_to_do_too(tmp_path: Path, lock: dict[str, Any]) -> None:
    (tmp_path / "data/features/x/features.npy").unlink()
    assert finished(tmp_path, lock) == set()


def test_what_an_earlier_stage_made_anew_is_to_be_read_again(tmp_path: Path, lock: dict[str, Any]) -> None:
    lock["featurize@x"]["outs"][0]["md5"] = "f2"
    assert finished(tmp_path, lock) == {"featurize@x"}


def test_the_makers_of_a_folders_files_come_before_its_reader(tmp_path: Path, lock: dict[str, Any]) -> None:
    lock["train@x"]["deps"][1] = {"path": "data/features", "md5": "d1.dir"}
    assert finished(tmp_path, lock) == {"featurize@x", "train@x"}
    (tmp_path / "data/features/x/features.npy").unlink()
    assert finished(tmp_path, lock) == set()
