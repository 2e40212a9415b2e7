"""Models of the Hugging Face hub: fetched at their revision, from a mirror or a server, checked and kept."""

import hashlib
import json
from pathlib import Path

import pytest

from beyond_spectrograms.data.downloads import MIRROR_VARIABLE, DownloadError
from beyond_spectrograms.data.weights import HUB_VARIABLE, fetch_encoder
from beyond_spectrograms.params import Params, load_params
from support import cells
from support.common import lay_out, refusal
from support.servers import Answer, Server
from support.shipped_params import SHIPPED

pytestmark = pytest.mark.usefixtures("home")


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
    lay_out(mirror, dict.fromkeys(MODEL, b"of another model"))
    lay_out(mirror / "someone/some-model", MODEL)
    params = write_hub_params()
    paths = fetch_encoder(params, "first")
    assert paths == fetch_encoder(params, "second") == [PLACE / name for name in MODEL]
    assert {path.name: path.read_bytes() for path in paths} == MODEL


def revisions() -> dict[str, str]:
    """Read of each file which commit record.json says it is of."""
    told = json.loads((PLACE / "record.json").read_text(encoding="utf-8"))["files"]
    return {file["file"]: file["revision"] for file in told}


def test_a_mirrors_file_without_a_digest_is_of_no_commit_that_we_know(
    mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out(mirror / "someone/some-model", MODEL)
    for revision in ("0" * 40, "1" * 40):  # the same files for both, which they cannot both be
        fetch_encoder(write_hub_params(revision), "first")
        assert revisions() == {"config.json": "unverified: from a mirror", "model.safetensors": revision}
        told = "weights of some_model: config.json: its record has no digest: that it is of its commit is not known"
        assert capsys.readouterr().out.splitlines().count(told) == 1


def test_what_was_fetched_first_is_asked_of_every_mirror_afterwards(
    mirror: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HUB_VARIABLE, server.root)
    for name, content in MODEL.items():
        server.serves(f"/someone/some-model/resolve/{'0' * 40}/{name}", Answer(content))
    params = write_hub_params()
    fetch_encoder(params, "first")
    assert revisions() == dict.fromkeys(MODEL, "0" * 40)
    (PLACE / "config.json").unlink()
    (mirror / "someone/some-model").mkdir(parents=True)
    there = mirror / "someone/some-model/config.json"
    there.write_bytes(b"[]")
    url = f"{server.root}/someone/some-model/resolve/{'0' * 40}/config.json"
    digests = [hashlib.sha256(content).hexdigest() for content in (b"[]", b"{}")]
    assert refusal(DownloadError, fetch_encoder, params, "first") == (
        f"weights of some_model: {MIRROR_VARIABLE} holds a wrong file.\n"
        f"  {there} is not {url}: has sha256 {digests[0]}, expected sha256 {digests[1]}\n"
        "Replace it or take it away.\n"
        f"{PLACE / 'record.json'} has the digest of what was fetched at first. If another file is meant, delete the "
        f"folder {PLACE}."
    )
    there.write_bytes(b"{}")
    fetch_encoder(params, "first")
    assert revisions() == dict.fromkeys(MODEL, "0" * 40)  # the hub's own digest proves the mirror's file


def test_a_model_without_safetensors_is_told_how_it_is_converted(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HUB_VARIABLE, server.root)
    url = f"{server.root}/someone/some-model/resolve/{'0' * 40}/"
    server.serves(f"/someone/some-model/resolve/{'0' * 40}/config.json", Answer(b"{}"))
    server.serves(f"/someone/some-model/resolve/{'0' * 40}/model.safetensors", Answer(b"", status=404))
    assert refusal(DownloadError, fetch_encoder, write_hub_params(), "first") == (
        "weights of some_model: no URL delivered the file.\n"
        f"  {url}model.safetensors\n"
        f"    file: model.safetensors, 7 bytes, sha256 {DIGEST}\n"
        "    failed: HTTP 404 Not Found\n"
        "    The model may have a pickle alone: docs/adding-a-model.md says how it is converted.\n"
        "If you have the file, put it under that name into a folder of your own, set the environment variable\n"
        f"{MIRROR_VARIABLE} to that folder, and run again."
    )


def test_a_file_that_is_none_of_the_models_does_not_stay_in_its_folder(mirror: Path) -> None:
    lay_out(mirror / "someone/some-model", MODEL)
    params = write_hub_params()
    fetch_encoder(params, "first")
    (PLACE / "adapter_config.json").write_bytes(b"{}")  # transformers would read it
    fetch_encoder(params, "first")
    assert {path.name for path in PLACE.iterdir()} == {*MODEL, "record.json"}


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
