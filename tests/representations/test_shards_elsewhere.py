"""Shards of features in an object store on 127.0.0.1: read as one array, sent once, found out where damaged."""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beyond_spectrograms.data import shard_places
from beyond_spectrograms.data.shard_files import read_clips
from beyond_spectrograms.data.shard_index import read_listing
from beyond_spectrograms.data.shard_places import CACHE_VARIABLE, read_note
from beyond_spectrograms.data.windows import AGAIN, check_content, content_of, open_features
from beyond_spectrograms.params import load_params
from beyond_spectrograms.representations.feature_cache import Extraction
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.storage.places import ContentError, NotThereError, StorageError, place_at
from support import cells
from support.common import contents, refusal
from support.envelope import add_clips, run, windows_of
from support.repository import stage_here
from support.stopping import kill_stage_in
from support.stores import Relay, delete, forget, names, put, relayed, use

ALL = tuple(range(12))
URL = "s3://sounds/features"


@pytest.fixture
def relay(relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """Run in a folder with clips of three seconds, a relay before an empty server."""
    monkeypatch.chdir(tmp_path)
    add_clips(tmp_path / "clips", *ALL)
    return relay


def store(*numbers: int, place: str = "place", at: str | None = URL, **options: Any) -> Extraction:
    return run(Path(), windows_of(*(numbers or ALL)), place, shard_bytes=1500.0, shards_at=at, **options)


def sent() -> dict[str, bytes]:
    return {name: place_at(URL).read(name) for name in names(place_at(URL))}


def here(place: str = "place") -> set[str]:
    return {path.suffix for path in Path(place, "shards").iterdir()}


def cached() -> list[Path]:
    return [path for path in Path("data/cache/shards").iterdir() if path.is_file()]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.usefixtures("relay")
def test_shards_elsewhere_are_read_as_those_that_are_here(dtype: Any) -> None:
    made = store(place="near", at=None, dtype=dtype)
    assert store(dtype=dtype) == made
    assert here() == {".elsewhere"}
    assert sorted(sent().values()) == sorted(contents(Path("near/shards")).values())
    assert Path("place/index.parquet").read_bytes() == Path("near/index.parquet").read_bytes()
    for name, *_ in read_listing(Path("place")).shards:
        ours, theirs = (read_clips(Path(folder, "shards", f"{name}.safetensors")) for folder in ("place", "near"))
        assert ours[0] == theirs[0]
        assert vars(ours[1]).keys() == vars(theirs[1]).keys()
        for key, table in vars(ours[1]).items():
            np.testing.assert_array_equal(table, vars(theirs[1])[key])
    features, array = open_features(Path("place"), 36), open_features(Path("near"), 36)
    np.testing.assert_array_equal(features[::-1], array[::-1])
    assert content_of(Path("place")) == content_of(Path("near"))
    check_content(Path("place"), "made")


def test_what_is_there_is_neither_computed_nor_sent_nor_fetched_again(relay: Relay) -> None:
    store()
    asked = {what: count for what, count in relay.told.items() if not what.startswith("HEAD")}
    again = store()
    assert (again.computed, again.encoded) == (0, 0)
    assert {what: count for what, count in relay.told.items() if not what.startswith(("HEAD", "GET /sounds"))} == {
        what: count for what, count in asked.items() if not what.startswith("GET /sounds")
    }
    assert not Path("data/cache").exists()
    assert store(*range(11)).computed == 0  # rows of the shard that changed are copied from where it lies
    assert len(open_features(Path("place"), 33)) == 33


@pytest.mark.usefixtures("relay")
def test_shards_that_are_here_are_sent_once_a_place_is_named() -> None:
    store(at=None)
    assert here() == {".safetensors"}
    assert store().computed == 0
    assert here() == {".elsewhere"}
    before = sent()
    store(place="another")
    assert sent() == before, "one shard under two names"


def test_copies_are_bounded_and_the_features_are_the_same(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    store()
    monkeypatch.setenv(CACHE_VARIABLE, "0.000003")
    features = open_features(Path("place"), 36)
    order = np.random.default_rng(0).permutation(36)
    monkeypatch.setattr("beyond_spectrograms.data.feature_shards.OPEN", 1)
    found = np.stack([features[row] for row in order])
    assert sum(path.stat().st_size for path in cached()) <= 3000
    assert max(relay.told[f"GET /sounds/features/{name}"] for name in names(place_at(URL))) > 1
    run(Path(), windows_of(*ALL), "array")
    np.testing.assert_array_equal(found, open_features(Path("array"), 36)[order])


def test_a_shard_that_was_damaged_there_is_found_out_and_made_anew(s3: int, relay: Relay) -> None:
    store()
    name, content = next(iter(sent().items()))
    put(s3, f"features/{name}", content[:-5])
    features = open_features(Path("place"), 36)
    told = (
        f"{URL}/{name}: has {len(content) - 5} bytes, expected {len(content)}: written by half, or another file. "
        f"Remove it there. {AGAIN}"
    )
    assert refusal(ContentError, features.__getitem__, slice(None)) == told
    assert refusal(ContentError, check_content, Path("place"), "made") == told
    assert 0 < store().computed < 36
    assert sent()[name] == content
    assert features[:].shape[0] == 36
    delete(s3, f"features/{name}")
    for copy in cached():
        copy.unlink()
    told = f"{URL}/{name}: no such file. {AGAIN}"
    assert refusal(NotThereError, open_features(Path("place"), 36).__getitem__, slice(None)) == told
    assert 0 < store().computed < 36
    assert sent()[name] == content
    assert relay.met[""]


def test_a_copy_that_was_damaged_here_is_fetched_anew(relay: Relay) -> None:
    store()
    expected = open_features(Path("place"), 36)[:]
    for copy in cached():
        content = bytearray(copy.read_bytes())
        content[-1] ^= 1
        copy.write_bytes(content)
    check_content(Path("place"), "made")
    np.testing.assert_array_equal(open_features(Path("place"), 36)[:], expected)
    assert {relay.told[f"GET /sounds/features/{name}"] for name in sent()} == {3}  # the last by sent()


def test_a_shard_of_the_same_size_and_other_bytes_is_told(s3: int, relay: Relay) -> None:
    store()
    name, content = next(iter(sent().items()))
    other = content[:-1] + bytes([content[-1] ^ 1])
    put(s3, f"features/{name}", other)
    told = (
        f"{URL}/{name}: has sha256 {hashlib.sha256(other).hexdigest()}, expected {name.partition('.')[0]}: damaged, or "
        f"another file. Remove it there. {AGAIN}"
    )
    assert refusal(ContentError, check_content, Path("place"), "made") == told
    delete(s3, f"features/{name}")
    assert 0 < store().computed < 36
    assert sent()[name] == content
    assert relay.met[""]


def test_storage_that_fails_one_call_in_ten_gives_the_same_features(
    s3: int, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    store()
    expected, stubs = sent(), contents(Path("place/shards"))
    forget(s3)
    with relayed(s3, every=5, seed=2) as failing:
        use(monkeypatch, failing.url)
        store(place="again")
        assert contents(Path("again/shards")) == stubs
        found = open_features(Path("again"), 36)[:]
        assert sum(count for fault, count in failing.met.items() if fault) > 1
    use(monkeypatch, relay.url)
    assert sent() == expected
    np.testing.assert_array_equal(found, open_features(Path("place"), 36)[:])


@pytest.mark.usefixtures("relay")
def test_a_place_that_takes_nothing_is_told() -> None:
    told = store_to("s3://nowhere/features")
    assert told.startswith("s3://nowhere/features/")
    assert told.endswith(".safetensors: no such bucket. Make it, or correct the path.")
    assert 0 < store().computed < 36, "what was whole here was computed again"


@pytest.mark.usefixtures("relay")
def test_what_is_no_place_is_told_before_anything_is_encoded() -> None:
    assert store_to("s3:///features") == "s3:///features: names no bucket. Write s3://bucket/folder."
    assert not Path("place").exists()


def store_to(url: str) -> str:
    return refusal(StorageError, store, at=url)


def test_a_damaged_stub_is_no_shard(relay: Relay) -> None:
    store()
    stub = next(Path("place/shards").iterdir())
    layout, _ = read_clips(stub.with_suffix(".safetensors"))
    note = read_note(stub, layout.offset)
    assert (note.at, note.size) == (URL, len(sent()[note.name]))
    head, led_away = stub.read_bytes()[: layout.offset], {**asdict(note), "sha256": "a/../../b"}
    for changed in (stub.read_bytes()[:-3], *(head + json.dumps(told).encode() for told in ({"at": 1}, led_away))):
        stub.write_bytes(changed)
        assert 0 < store().computed < 36
        assert read_note(stub, layout.offset) == note
    assert relay.met[""]


def test_the_size_of_the_cache_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("much", "-1", "nan"):
        monkeypatch.setenv(CACHE_VARIABLE, value)
        told = f"{CACHE_VARIABLE} is {value!r}. Set it to gigabytes, such as 20, or unset it."
        assert refusal(ProjectError, shard_places.shard_cache) == told
    monkeypatch.delenv(CACHE_VARIABLE)
    assert shard_places.shard_cache().most_bytes == 20_000_000_000


def test_where_shards_lie_is_in_no_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dumps = []
    for at in ({}, {"shards_at": URL}):
        cells.write_params(Path(), features={"dtype": "float32", "shards_mb": 1.0} | at)
        params = load_params()
        dumps.append(params.features.model_dump())
    assert params.features.shards_at == URL
    assert dumps[0] == dumps[1] == {"dtype": "float32", "shards_mb": 1.0}


@pytest.mark.long
def test_a_killed_featurize_goes_on_and_sends_no_shard_again(
    project: Path, pets: Path, s3: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells.edit_params(project, lambda params: params.update(features={"dtype": "float16", "shards_mb": 1}))
    stage_here(project, "featurize", "pets", "mel")
    near = contents(pets)
    shutil.rmtree(pets)
    forget(s3)
    with relayed(s3, every=20, seed=1) as relay:
        use(monkeypatch, relay.url)
        cells.edit_params(project, lambda params: params["features"].update(shards_at=URL))
        kill_stage_in(
            "beyond_spectrograms.data.shard_places:send_shard", "calls == 3", "featurize", "pets", "mel", folder=project
        )
        assert len(list((pets / "shards").glob("*.elsewhere"))) == 3
        stage_here(project, "featurize", "pets", "mel")
        shards = [name for name in near if name.startswith("shards/")]
        assert len(shards) > 4
        assert sorted(sent().values()) == sorted(near[name] for name in shards)
        assert {what: count for what, count in relay.whole.items() if what.startswith("PUT") and count > 1} == {}
    found = contents(pets)
    assert len([name for name in found if name.endswith(".elsewhere")]) == len(shards)
    assert {name for name in found if not name.startswith("shards/")} == {"index.parquet", "features.json"}
    assert found["index.parquet"] == near["index.parquet"]
    told, before = (json.loads(files["features.json"]) for files in (found, near))
    assert told == before
