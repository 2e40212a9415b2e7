"""A byte that is flipped in a shard or its index is found and named, and costs the rows that it is of."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import parquet

from beyond_spectrograms.data.shard_files import read_clips
from beyond_spectrograms.data.shard_index import read_listing
from beyond_spectrograms.data.windows import FeaturesError, check_content, open_features
from support.common import contents, flip, refusal
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
