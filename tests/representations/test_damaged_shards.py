"""Shards that were damaged or left by a killed run: nothing wrong is read, and what is whole is kept."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import parquet

from beyond_spectrograms.data import shard_files, shard_index
from beyond_spectrograms.data.shard_files import read_clips
from beyond_spectrograms.data.shard_index import read_listing
from beyond_spectrograms.data.windows import FeaturesError, check_content, open_features
from beyond_spectrograms.representations import feature_cache, shard_cache
from beyond_spectrograms.util import files
from support.common import contents, flip, refusal
from support.envelope import killed_at, run, windows_of
from support.repository import Capture
from support.sharded import store

AGAIN = "Run its featurize stage again (dvc repro -f)."


def some_shard(place: Path, number: int = 1) -> Path:
    return place / "shards" / f"{read_listing(place).shards[number][0]}.safetensors"


def test_rows_that_were_flipped_are_named_by_clip_and_computed_again(clips: Path, capsys: Capture) -> None:
    place = clips / "place"
    store(clips)
    whole, shard = contents(place), some_shard(place)
    first, offset = read_listing(place).shards[1][1], read_clips(shard)[0].offset
    flip(shard, offset + 120 * 4)  # the second clip of the shard
    clip = f"cat/{first // 3 + 1:02d}.wav"
    told = f"{place}: rows of 1 clips of pets as mel are not what was written, {clip} first. {AGAIN}"
    assert refusal(FeaturesError, check_content, place, "pets as mel") == told
    capsys.readouterr()
    assert store(clips).computed == 3
    assert capsys.readouterr().out == f"{place}: rows of 1 clip were damaged and are computed again: {clip}\n"
    assert contents(place) == whole
    check_content(place, "pets as mel")


NOT_WHOLE = "is cut short or damaged"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda shard: shard.unlink(), "missing"),
        (lambda shard: os.truncate(shard, shard.stat().st_size - 1), NOT_WHOLE),
        (lambda shard: os.truncate(shard, 0), "is no shard: not a safetensors file: its head is not JSON"),
        (lambda shard: flip(shard, read_clips(shard)[0].offset - 5), NOT_WHOLE),  # the seal
        (lambda shard: flip(shard, read_clips(shard)[0].offset - 100), NOT_WHOLE),  # a digest
        (lambda shard: flip(shard, 7), "is no shard: not a safetensors file: its head would be longer than itself"),
    ],
    ids=["missing", "cut", "empty", "seal", "digests", "head"],
)
def test_a_damaged_file_is_named_and_its_rows_are_computed_again(
    clips: Path, damage: Callable[[Path], None], told: str
) -> None:
    place = clips / "place"
    store(clips)
    whole, shard, count = contents(place), some_shard(place), read_listing(place).shards[1][2]
    damage(shard)
    assert refusal(FeaturesError, check_content, place, "pets as mel") == f"{shard}: {told}. {AGAIN}"
    assert store(clips).computed == count
    assert contents(place) == whole


def test_no_flipped_byte_of_a_shards_head_is_believed(clips: Path) -> None:
    place = clips / "place"
    store(clips)
    whole, shard = contents(place), some_shard(place)
    for offset in range(0, read_clips(shard)[0].offset, 3):
        flip(shard, offset)
        with pytest.raises(FeaturesError):
            check_content(place, "pets as mel")
        flip(shard, offset)
    assert contents(place) == whole
    check_content(place, "pets as mel")


def test_no_flipped_byte_of_the_index_is_believed(clips: Path) -> None:
    place = clips / "place"
    store(clips)
    index, whole = place / "index.parquet", contents(place)
    rows, listing, noticed = parquet.read_table(index), read_listing(place), 0
    for offset in range(0, index.stat().st_size, 41):
        flip(index, offset)
        try:
            check_content(place, "pets as mel")
        except FeaturesError as error:
            assert str(error) == f"{index}: damaged. {AGAIN}"  # noqa: PT017  it need not be raised
            noticed += 1
        else:  # a byte that says nothing of the features
            assert parquet.read_table(index).equals(rows)
            assert read_listing(place) == listing
        flip(index, offset)
    assert noticed > 0.5 * index.stat().st_size / 41
    index.write_bytes(b"")
    assert refusal(FeaturesError, open_features, place, 72) == f"{index}: damaged. {AGAIN}"
    assert store(clips).computed == 0  # the shards are whole
    assert contents(place) == whole


WATCHED = (feature_cache, shard_cache, shard_files, shard_index, files)  # modules that handle files


@pytest.mark.long
@pytest.mark.parametrize("step", [67, 5])
def test_killed_at_any_line_readers_have_the_old_rows_or_the_new_ones(clips: Path, step: int) -> None:
    few, more = windows_of(0, 1, 2, 4, 5), windows_of(*range(6))
    options = {"shard_bytes": 720.0}
    run(clips, more, "undisturbed", **options)
    whole, place, line, killed = contents(clips / "undisturbed"), clips / "place", 0, True
    run(clips, few, "before", **options)
    before = contents(clips / "before")
    computed = set()
    while killed:
        line += step
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(clips / "before", place)
        (clips / "diary").write_text("")
        killed = killed_at(line, WATCHED, clips, more, **options)
        check_content(place, "pets as mel")
        listed = {"index.parquet", *(f"shards/{name}.safetensors" for name, *_ in read_listing(place).shards)}
        found = {name: content for name, content in contents(place).items() if name in listed}
        assert found in (before, whole), f"killed at line {line}"
        computed.add(run(clips, more, **options).computed)
        assert contents(place) == whole, f"killed at line {line}"
    assert computed == {0, 3}
    assert line > 300
