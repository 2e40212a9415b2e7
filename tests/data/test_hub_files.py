"""Models of the Hugging Face hub: fetched at their revision, from a mirror or a server, checked and kept."""

import hashlib
import json
from pathlib import Path

import pytest

from beyond_spectrograms.data.downloads import HUB_VARIABLE, MIRROR_VARIABLE, DownloadError, fetch_encoder
from beyond_spectrograms.params import Params, load_params
from support import cells
from support.common import refusal
from support.servers import Answer, Server, running_server
from support.shipped_params import SHIPPED

_server = pytest.fixture(running_server, name="server")


@pytest.fixture(autouse=True)
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, with a mirror folder beside it."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv(MIRROR_VARIABLE, str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("beyond_spectrograms.data.downloads.PAUSE_S", 0)
    return folder


HUB = {"hub": "someone/some-model", "revision": "0" * 40, "licence": "MIT"}
DIGEST = hashlib.sha256(b"tensors").hexdigest()
ENTRIES = [{"name": "config.json"}, {"name": "model.safetensors", "bytes": 7, "sha256": DIGEST}]
MODEL = {"config.json": b"{}", "model.safetensors": b"tensors"}
PLACE = Path("data/weights/some_model")


def write_hub_params(revision: str = "0" * 40) -> Params:
    """Describe a model of the hub that two representations take."""
    record = {"kind": "snac", "weights": "some_model"}
    changed = SHIPPED["representations"] | {"first": record, "second": record | {"quantized": True}}
    hub = {"some_model": HUB | {"revision": revision, "files": ENTRIES}}
    cells.write_params(Path(), representations=changed, hub=hub)
    return load_params()


def test_models_of_the_hub_come_from_the_mirrors_folder_of_theirs_once_for_all_that_take_them(mirror: Path) -> None:
    (mirror / "someone/some-model").mkdir(parents=True)
    for name, content in MODEL.items():
        (mirror / "someone/some-model" / name).write_bytes(content)
        (mirror / name).write_bytes(b"of another model")
    params = write_hub_params()
    paths = fetch_encoder(params, "first")
    assert paths == fetch_encoder(params, "second") == [PLACE / name for name in MODEL]
    assert {path.name: path.read_bytes() for path in paths} == MODEL


def test_models_of_the_hub_are_downloaded_at_their_revision(
    mirror: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HUB_VARIABLE, server.root)
    for revision, config in (("0" * 40, b"{}"), ("1" * 40, b'{"a": 1}')):
        for name, content in (MODEL | {"config.json": config}).items():
            server.serves(f"/someone/some-model/resolve/{revision}/{name}", Answer(content))
        params = write_hub_params(revision)
        for _ in range(2):  # what is there is kept, also where the record has no digest
            assert fetch_encoder(params, "first")[0].read_bytes() == config
        told = json.loads((PLACE / "record.json").read_text(encoding="utf-8"))["files"]
        assert told[0]["url"] == f"{server.root}/someone/some-model/resolve/{revision}/config.json"
        assert set(server.requests.values()) == {1}
    (PLACE / "config.json").write_bytes(b'{"a": 2}')  # damaged
    assert fetch_encoder(params, "first")[0].read_bytes() == b'{"a": 1}'
    server.serves(f"/someone/some-model/resolve/{'2' * 40}/config.json", Answer(b"{}"))
    server.serves(f"/someone/some-model/resolve/{'2' * 40}/model.safetensors", Answer(b"others."))
    assert "has sha256" in refusal(DownloadError, fetch_encoder, write_hub_params("2" * 40), "first")
    assert not list(mirror.iterdir())
