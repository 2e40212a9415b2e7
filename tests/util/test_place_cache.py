"""Copies of files that are elsewhere: fetched once, whole, and removed in the order of their use."""

import hashlib
import mmap
import os
import threading
from pathlib import Path

import pytest

from beyond_spectrograms.util.storage.place_cache import LOCKS, PlaceCache
from beyond_spectrograms.util.storage.places import ContentError, NotThereError, Place, place_at
from support.common import refusal
from support.stores import Relay, delete, write

FILES = {name: name.encode() * 1000 for name in "abcde"}
URL = "s3://sounds/shards"


@pytest.fixture
def relay(relay: Relay) -> Relay:
    """Stand before a server that has the files."""
    for name, content in FILES.items():
        write(place_at(URL), name, content)
    return relay


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read(cache: PlaceCache, place: Place, name: str) -> bytes:
    with cache.held(place, name, size=1000, sha256=digest(FILES[name])) as path:
        return path.read_bytes()


def kept(cache: PlaceCache) -> str:
    names = {digest(content): name for name, content in FILES.items()}
    return "".join(sorted(names[path.name] for path in cache.folder.iterdir() if path.name != LOCKS))


def use_at(cache: PlaceCache, times: str) -> None:
    """Say that files were last used in this order: clocks of file systems are coarse."""
    for second, name in enumerate(times):
        os.utime(cache.folder / digest(FILES[name]), (second, second))


def test_a_file_is_fetched_once_and_the_longest_unused_goes_first(relay: Relay, tmp_path: Path) -> None:
    cache, place = PlaceCache(tmp_path / "cache", 3000), place_at(URL)
    for name in "abcacb":
        assert read(cache, place, name) == FILES[name]
    assert [relay.told[f"GET /sounds/shards/{name}"] for name in "abc"] == [1, 1, 1]
    assert kept(cache) == "abc"
    use_at(cache, "bac")
    assert read(cache, place, "b") == FILES["b"]  # so that a is now the longest unused
    assert read(cache, place, "d") == FILES["d"]
    assert kept(cache) == "bcd"
    read(cache, place, "a")
    assert relay.told["GET /sounds/shards/a"] == 2


def test_a_file_in_use_is_not_removed_and_what_is_mapped_stays(relay: Relay, tmp_path: Path) -> None:
    cache, place = PlaceCache(tmp_path / "cache", 1000), place_at(URL)
    with cache.held(place, "a", size=1000, sha256=digest(FILES["a"])) as path:
        assert read(cache, place, "b") == FILES["b"]
        assert kept(cache) == "ab"
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    use_at(cache, "ab")
    read(cache, place, "c")
    assert kept(cache) == "c"
    assert mapped[:] == FILES["a"]
    mapped.close()
    assert relay.told["GET /sounds/shards/a"] == 1


def test_threads_that_want_one_file_fetch_it_once(relay: Relay, tmp_path: Path) -> None:
    cache, found = PlaceCache(tmp_path / "cache", 10_000), list[bytes]()
    threads = [threading.Thread(target=lambda: found.append(read(cache, place_at(URL), "a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [FILES["a"]] * 8
    assert relay.told["GET /sounds/shards/a"] == 1


@pytest.mark.usefixtures("relay")
def test_what_is_damaged_or_gone_is_no_copy(s3: int, tmp_path: Path) -> None:
    cache, place = PlaceCache(tmp_path / "cache", 10_000), place_at(URL)
    read(cache, place, "a")
    (cache.folder / digest(FILES["a"])).write_bytes(b"half")  # as a full disk leaves it
    assert read(cache, place, "a") == FILES["a"]
    write(place, "b", FILES["b"][:-1])
    told = f"{URL}/b: has 999 bytes, expected 1000: written by half, or another file."
    assert refusal(ContentError, read, cache, place, "b") == told
    write(place, "b", FILES["c"])
    told = f"{URL}/b: has sha256 {digest(FILES['c'])}, expected {digest(FILES['b'])}: damaged, or another file."
    assert refusal(ContentError, read, cache, place, "b") == told
    delete(s3, "shards/c")
    told = f"{URL}/c: no such file. Make it, or correct the path."
    assert refusal(NotThereError, read, cache, place, "c") == told
    assert kept(cache) == "a"
