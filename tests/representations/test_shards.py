"""Features in shards: cut where clips say so, never computed twice, and read as one array."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pyarrow import parquet

from beyond_spectrograms.data import feature_shards
from beyond_spectrograms.data.feature_shards import Shards
from beyond_spectrograms.data.shard_files import read_clips
from beyond_spectrograms.data.shard_index import read_listing
from beyond_spectrograms.data.windows import FeaturesError, content_of, open_features, release
from beyond_spectrograms.representations import shard_cache
from beyond_spectrograms.representations.base import RepresentationError
from beyond_spectrograms.representations.feature_cache import Extraction
from beyond_spectrograms.representations.shard_cache import cut_clips
from beyond_spectrograms.representations.stored_rows import Rounding, Rows
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.files import locked
from support.common import contents, refusal
from support.envelope import run, windows_of
from support.repository import REPOSITORY, Patch, stage_here
from support.sharded import ALL, MEAN, names_in, store
from support.stopping import kill_stage_in

CLIPS = len(ALL)
AGAIN = "Run its featurize stage again (dvc repro -f)."


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_shards_are_read_as_the_array_they_stand_for(clips: Path, dtype: Any, monkeypatch: Patch) -> None:
    monkeypatch.setattr(feature_shards, "OPEN", 2)
    whole = run(clips, windows_of(*ALL), "array", dtype=dtype)
    assert store(clips, dtype=dtype) == whole
    array, found = open_features(clips / "array", 72), open_features(clips / "place", 72)
    assert isinstance(found, Shards)
    assert len(names_in(clips / "place")) > 3
    assert (found.shape, found.dtype, found.ndim) == (array.shape, array.dtype, 3)
    assert (found.nbytes, len(found)) == (array.nbytes, 72)
    shuffled = np.random.default_rng(0).permutation(72)
    for asked in (
        *(slice(None), slice(10, 50), slice(50, 10, -3), slice(70, 99), slice(5, 5), 0, -1, np.int64(71), shuffled),
        *([3, 3, -2], shuffled.reshape(8, 9), shuffled > 40, np.zeros(0, np.int64)),
    ):
        np.testing.assert_array_equal(found[asked], array[asked])
        assert found[asked].dtype == array.dtype
        assert len(found._mapped) <= 2
    release(found)
    np.testing.assert_array_equal(found[shuffled], array[shuffled])
    assert refusal(IndexError, found.__getitem__, [3, 72]) == "rows 3 to 72 are asked for, and there are 72"
    told = f"{clips / 'place'}: 72 rows for 71 windows. {AGAIN}"
    assert refusal(FeaturesError, open_features, clips / "place", 71) == told


def test_shards_are_read_by_windows_alone(clips: Path) -> None:
    store(clips)
    told = "(0, 1) is asked for, and shards are read by windows alone"
    assert refusal(IndexError, Shards(clips / "place").__getitem__, (0, 1)) == told


def test_the_index_has_a_row_a_clip_and_lists_the_shards(clips: Path) -> None:
    lost = store(clips, dtype="float16").rounding
    table = parquet.read_table(clips / "place/index.parquet").to_pandas()
    assert list(table["clip"]) == [f"cat/{number:02d}.wav" for number in ALL]
    assert list(table["first"]) == list(range(0, 72, 3))
    assert set(table["count"]) == {3}
    assert lost == Rounding(table["largest_rounding"].max(), table["values_stored_as_zero"].sum())
    assert lost.largest > 0
    listed = read_listing(clips / "place").shards
    assert list(dict.fromkeys(table["shard"])) == [name for name, *_ in listed]
    assert {f"{name}.safetensors" for name, *_ in listed} == names_in(clips / "place")
    for name, first, count, _ in listed:
        mine = table[table["shard"] == name]
        layout, known = read_clips(clips / f"place/shards/{name}.safetensors")
        assert (mine["first"].iloc[0], mine["count"].sum(), layout.shape[0]) == (first, count, count)
        assert list(mine["row"]) == known.firsts.tolist()
        assert list(mine["sha256"]) == [digest.tobytes() for digest in known.sha256]


def test_a_shard_is_a_file_that_safetensors_reads(clips: Path) -> None:
    from safetensors import safe_open

    store(clips)
    name, first, count, _ = read_listing(clips / "place").shards[1]
    with safe_open(clips / f"place/shards/{name}.safetensors", framework="np") as stored:
        rows = stored.get_tensor("rows")
    np.testing.assert_array_equal(rows, open_features(clips / "place", 72)[first : first + count])


def rows_of(count: int, windows: int = 1) -> list[Rows]:
    keys = np.random.default_rng(0).bytes(32 * count)
    return [Rows(f"{n}", windows * n, windows, keys[32 * n :][:32].hex()) for n in range(count)]


@pytest.mark.parametrize("windows", [1, 7])
def test_shards_are_about_as_large_as_is_wanted(windows: int) -> None:
    sizes = [sum(part.count for part in cut) for cut in cut_clips(rows_of(20_000, windows), 1, 100 * windows)]
    assert sum(sizes) == 20_000 * windows
    assert 80 * windows < np.mean(sizes) < 110 * windows
    assert 50 * windows <= min(sizes[:-1]) < max(sizes) <= 200 * windows


def test_a_clip_that_is_longer_than_the_largest_shard_is_one_by_itself() -> None:
    rows = rows_of(5)
    rows[2] = Rows("long", 2, 1000, rows[2].key)
    assert [len(cut) for cut in cut_clips(rows, 1, 100)] == [2, 1, 2]


def test_a_clip_more_or_less_changes_the_shards_beside_it_alone() -> None:
    rows = rows_of(2000)

    def cuts(kept: list[Rows]) -> set[tuple[str, ...]]:
        return {tuple(part.key for part in cut) for cut in cut_clips(kept, 1, 50)}

    whole = cuts(rows)
    changed = [len(cuts(rows[:n] + rows[n + 1 :]) - whole) for n in range(0, 2000, 40)]
    assert np.mean(changed) < 2
    assert max(changed) < 12  # of 45 or so


def test_only_rows_of_clips_that_are_new_are_computed(clips: Path) -> None:
    diary = clips / "diary"
    for left in (7, 0, CLIPS - 1):
        fewer = [number for number in ALL if number != left]
        assert store(clips, *fewer, diary=diary).computed in (69, 0)
        before, place = names_in(clips / "place"), clips / "place"
        mark = {path.name: path.stat().st_ino for path in (place / "shards").iterdir()}
        assert store(clips, diary=diary) == Extraction(72, 3, 3, Rounding())
        kept = {path.name for path in (place / "shards").iterdir() if path.stat().st_ino == mark.get(path.name)}
        assert kept == before & names_in(place)
        assert len(kept) >= 2
        assert store(clips, diary=diary).computed == 0
        store(clips, place="fresh")
        assert contents(place) == contents(clips / "fresh")
    assert store(clips, fingerprint="other").computed == 72
    assert store(clips, dtype="float16").computed == 72
    assert store(clips, bands=4).computed == 72


def test_other_sizes_and_one_array_take_the_place_of_shards(clips: Path) -> None:
    store(clips)
    first = content_of(clips / "place")
    assert store(clips, mean=3 * MEAN).computed == 0  # rows are copied
    assert content_of(clips / "place") != first  # they lie otherwise, which an order of training may follow
    assert run(clips, windows_of(*ALL)).computed == 72
    assert sorted(contents(clips / "place")) == ["features.npy", "index.json"]
    (clips / "place/features.json").write_text("{}")
    store(clips)
    assert content_of(clips / "place") == first
    assert {path.name for path in (clips / "place").iterdir()} == {"index.parquet", "shards"}


def test_clips_of_one_key_are_encoded_once_a_shard(clips: Path) -> None:
    for number in (3, 5):
        shutil.copytree(clips / "clips", clips / f"{number}", dirs_exist_ok=True)
    [one] = (clips / "clips").rglob("03.wav*")
    for number in (4, 6):
        shutil.copyfile(one, one.with_name(one.name.replace("03", f"{number:02d}")))
    assert store(clips, 3, 4, 5, 6, mean=1e6) == Extraction(12, 12, 6, Rounding())
    rows = open_features(clips / "place", 12)
    np.testing.assert_array_equal(rows[[3, 4, 5, 9, 10, 11]], rows[[0, 1, 2, 0, 1, 2]])


def test_two_runs_at_once_are_refused(clips: Path) -> None:
    with locked(clips / "work"):
        told = f"{clips / 'work'}: another run (pid {os.getpid()}) works here. Wait for it, or end it."
        assert refusal(ProjectError, store, clips) == told
    assert store(clips).computed == 72


def test_a_shard_that_another_worker_stored_meanwhile_is_left_as_it_is(clips: Path, monkeypatch: Patch) -> None:
    stored = shard_cache.store_shard
    monkeypatch.setattr(shard_cache, "store_shard", lambda piece: (stored(piece), stored(piece))[1])
    assert store(clips).encoded == 0  # as the second of both tells
    monkeypatch.undo()
    assert store(clips).computed == 0


@pytest.fixture
def sharded_pets(project: Path, pets: Path) -> Path:
    """Let features be stored in shards; give the place of those of `pets`."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["features"] = {"dtype": "float16", "shards_mb": 2}
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return pets


# Of the pets' shards, since a pilot of a few clips stores some elsewhere.
STORED = "len(list(Path('data/features/paper/pets/mel/shards').glob('*.safetensors')))"
POINTS = {
    "between two shards": ("representations.shard_cache:write_shard", f"{STORED} == 3"),
    "within a shard": ("representations.shard_cache:_convert", f"{STORED} == 2"),
    "as the index is written": ("data.shard_index:_columns", f"{STORED} > 3"),
    "when it is written": ("representations.feature_cache:write_index", f"{STORED} > 3"),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_featurize_goes_on_and_ends_with_the_same_bytes(project: Path, sharded_pets: Path, point: str) -> None:
    function, when = POINTS[point]
    kill_stage_in(f"beyond_spectrograms.{function}", when, "featurize", "pets", "mel", folder=project)
    assert not (sharded_pets / "features.json").exists()
    assert (sharded_pets / "index.parquet").exists() == (point == "when it is written")
    left = {path: path.stat().st_ino for path in (sharded_pets / "shards").glob("*.safetensors")}
    assert len(left) == {"between two shards": 3, "within a shard": 2}.get(point, len(left)) > 1
    output = stage_here(project, "featurize", "pets", "mel")
    stored = sum(read_clips(path)[0].shape[0] for path in left)
    assert f"computed {400 - stored} of 400 windows by " in output
    assert (stored == 400) == ("index" in point or "when" in point)
    assert all(path.stat().st_ino == inode for path, inode in left.items())
    resumed = contents(sharded_pets)
    told = json.loads(resumed["features.json"])
    assert (told["dtype"], told["windows"]) == ("float16", 400)
    assert not [name for name in resumed if name.endswith(".partial")]
    shutil.rmtree(sharded_pets)
    stage_here(project, "featurize", "pets", "mel")  # undisturbed
    assert contents(sharded_pets) == resumed


@pytest.mark.long
def test_workers_of_dask_store_the_same_bytes(project: Path, sharded_pets: Path) -> None:
    stage_here(project, "featurize", "pets", "mel")
    here = contents(sharded_pets)
    shutil.rmtree(sharded_pets)
    (project / "engine.yaml").write_text("{engine: dask, cluster: local, workers: 2}")
    assert "computed 400 of 400 windows by " in stage_here(project, "featurize", "pets", "mel")
    assert contents(sharded_pets) == here
    assert "computed 0 of 400 windows by " in stage_here(project, "featurize", "pets", "mel")
    assert contents(sharded_pets) == here


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone limits data and tells what is mapped")
def test_ten_times_as_many_windows_need_no_more_memory(clips: Path) -> None:
    paths = {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}"}
    command = [sys.executable, "-m", "support.many_windows", str(clips)]
    ended = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
    assert ended.stdout == "read in blocks\n", ended.stderr
    assert sum(path.stat().st_size for path in (clips / "many/shards").iterdir()) > 120e6
    assert ended.returncode == 1
    assert "MemoryError" in ended.stderr.splitlines()[-1]  # the limit is one


def test_codes_of_what_has_none_are_refused(clips: Path) -> None:
    assert refusal(RepresentationError, store, clips, dtype="codes") == (
        "envelope: features.dtype codes is for what codes alone give: kind encodec or soundstream with a bitrate, and "
        "kind transformers of architecture encodec or xcodec with codebooks. Choose float32 or float16."
    )
