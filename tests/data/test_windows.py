"""A few training recordings of each class, and as few that validate."""

import numpy as np
import pandas as pd
import pytest

from beyond_spectrograms.data.windows import ExamplesError, keep_examples, keep_share, parts_of_run
from support.common import refusal
from support.models import PARAMS

TABLE = pd.DataFrame({"clip": np.repeat([f"{number}.wav" for number in range(60)], 3)})
TABLE["label"] = np.repeat(["a"] * 40 + ["b"] * 20, 3)
PARTS = np.repeat(
    ["train"] * 30 + ["validation"] * 5 + ["test"] * 5 + ["train"] * 13 + ["validation"] * 2 + ["test"] * 5, 3
)


def kept(count: int, seed: int = 0) -> pd.Series:
    """Count the recordings of each class and part that stay."""
    left = TABLE.assign(part=keep_examples(PARTS, TABLE, count, seed))
    assert (left.groupby("clip")["part"].nunique() == 1).all()  # whole recordings
    return left[left["part"] != ""].groupby(["part", "label"])["clip"].nunique()


@pytest.mark.parametrize("count", [1, 2, 4, 8, 13])
def test_so_many_train_at_most_as_many_validate_and_all_are_tested(count: int) -> None:
    assert kept(count).to_dict() == {
        ("train", "a"): count,
        ("train", "b"): count,
        ("validation", "a"): min(count, 5),
        ("validation", "b"): min(count, 2),
        ("test", "a"): 5,
        ("test", "b"): 5,
    }


def test_fewer_lie_within_more_and_within_shares_and_another_seed_takes_others() -> None:
    def trained(parts: np.ndarray) -> set[str]:
        return set(TABLE["clip"][parts == "train"])

    one, four = (trained(keep_examples(PARTS, TABLE, count, 0)) for count in (1, 4))
    assert one < four
    assert four < trained(keep_share(PARTS, TABLE, 0.5, 0))  # 15 of a, 6 of b
    assert four != trained(keep_examples(PARTS, TABLE, 4, 1))


def test_a_class_with_too_few_recordings_is_named() -> None:
    assert refusal(ExamplesError, keep_examples, PARTS, TABLE, 14, 0) == (
        "examples_per_class is 14, and class 'b' has 13 training recordings: take 13 or fewer"
    )


def test_a_run_has_the_parts_that_its_protocol_and_seed_say() -> None:
    protocol, parts = PARAMS.protocols["probe_4_a_class"], pd.DataFrame({"source_1": PARTS})
    for seed in protocol.seeds:
        found = parts_of_run(protocol, parts, TABLE, 1, seed)
        np.testing.assert_array_equal(found, keep_examples(PARTS, TABLE, 4, seed))
