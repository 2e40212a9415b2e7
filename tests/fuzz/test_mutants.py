"""Damaged and hostile files of every kind that is read: an answer, or one line; `make fuzz` tries more of them."""

from pathlib import Path

import pytest

from support.fuzz_targets import TARGETS
from support.fuzzing import Target, broken, fuzz
from support.mutation import mutant

MUTANTS = 100  # of each target


@pytest.mark.long
@pytest.mark.parametrize("name", TARGETS)
def test_every_mutant_is_read_or_refused_in_one_line(name: str) -> None:
    assert fuzz(name, MUTANTS) == []


def test_a_mutant_is_the_same_whenever_it_is_made() -> None:
    seeds = [bytes(range(256)), b"short", b""]
    made = [mutant(seeds, number) for number in range(300)]
    assert made == [mutant(seeds, number) for number in range(300)]
    assert len(set(made)) > 200


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no line of ours"), "ValueError at {place}: 'no line of ours'"),
        (TARGETS["ecdc"].kinds[0]("one\ntwo"), "more than a line: 'one\\ntwo'"),
        (TARGETS["ecdc"].kinds[0]("x" * 4001), "a line of 4001 signs"),
        (MemoryError(), "more than 1073741824 bytes of memory"),
        (TARGETS["ecdc"].kinds[0]("one"), ""),
    ],
)
def test_what_counts_as_survived(tmp_path: Path, error: Exception, told: str) -> None:
    def read(*_: object) -> None:
        raise error

    place = f"{__file__}:{read.__code__.co_firstlineno + 1}"
    assert broken(Target(list, read), b"", tmp_path) == told.format(place=place)
