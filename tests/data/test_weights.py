"""Weights that lie in place whole are kept; missing or damaged ones are fetched again."""

import hashlib
import json
from pathlib import Path

import pytest

from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.data.weights import fetch_encoder, fetch_weights
from beyond_spectrograms.params import WeightsRecord, load_params
from support.cells import write_params
from support.shipped_params import SHIPPED

FILES = {"encoder.bin": b"an encoder" * 100, "quantizer.bin": b"a quantizer" * 50}
RECORDS = [
    WeightsRecord(
        url=f"https://a.example/{name}",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="CC0",
    )
    for name, content in FILES.items()
]


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the network."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv(MIRROR_VARIABLE, str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def get(records: list[WeightsRecord] = RECORDS) -> list[Path]:
    return fetch_weights("soundstream", records, Path("place"), Path("downloads"), Path("work"))


def contents(paths: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths}


def test_weights_are_fetched_with_a_record_of_what_they_are(published: Path) -> None:
    assert published.is_dir()
    assert contents(get(RECORDS[:1])) == {"encoder.bin": FILES["encoder.bin"]}
    assert contents(get()) == FILES  # in place of an earlier choice of weights
    before = {path: path.stat().st_ino for path in get()}
    assert {path: path.stat().st_ino for path in get()} == before, "fetched again"
    told = json.loads(Path("place/record.json").read_text(encoding="utf-8"))["files"]
    assert told == [
        {"file": name} | record.model_dump(exclude={"md5"}) for name, record in zip(FILES, RECORDS, strict=True)
    ]
    assert not Path("work").exists()
    get(RECORDS[1:])
    assert sorted(path.name for path in Path("place").iterdir()) == ["quantizer.bin", "record.json"]


@pytest.mark.parametrize("name", [*FILES, "record.json"])
@pytest.mark.parametrize("content", [None, b"", b"\0" * 1000, b"\0" * 550])
@pytest.mark.usefixtures("published")
def test_a_missing_or_damaged_file_is_fetched_again(name: str, content: bytes | None) -> None:
    get()
    path, record = Path("place", name), Path("place/record.json").read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert contents(get()) == FILES
    assert Path("place/record.json").read_bytes() == record


@pytest.mark.usefixtures("published")
def test_a_representation_gets_the_files_its_record_names_in_their_order() -> None:
    own = {"soundstream_quantizer": RECORDS[0].model_dump(), "soundstream_encoder": RECORDS[1].model_dump()}
    record = {"kind": "soundstream", "weights": ["soundstream_encoder", "soundstream_quantizer"], "bitrate": 3200}
    write_params(Path(), representations=SHIPPED["representations"] | {"q": record}, weights=SHIPPED["weights"] | own)
    params = load_params()
    assert fetch_encoder(params, "q") == [Path("data/weights/q", name) for name in ("quantizer.bin", "encoder.bin")]
    assert fetch_encoder(params, "mel") == []
    assert json.loads(Path("data/weights/mel/record.json").read_text(encoding="utf-8")) == {"files": []}
