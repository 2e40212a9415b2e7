"""Two of everything at once: one is told that the other works there, or both end well, with the same bytes."""

import re
from pathlib import Path

import pytest

from support.staged import ENCODER, SOUNDS, STEPS, Staged, decided, left_over

pytestmark = pytest.mark.long
REFUSED = re.compile(
    r"\S+: another run( \(pid \d+\))? works here\. Wait for it, or end it\.\n"
    r"|(exported|mine): exists already\. Choose another name, or remove it\.\n"
)
CLASSIFY = ("beyond_spectrograms", "classify", "--model", "exported", f"{SOUNDS}/high")
PAIRS = {
    "featurize": [STEPS["featurize"], STEPS["featurize_codec"]],
    "train": [STEPS["train"], ("stages.train", "packed", ENCODER)],
    "search": [CLASSIFY, CLASSIFY],
    "download": [STEPS["download"], ("stages.download", "again")],
}


@pytest.mark.parametrize("step", list(STEPS))
def test_of_two_that_do_the_same_one_is_refused_or_both_end_well(
    project_by_stages: Staged, tmp_path: Path, step: str
) -> None:
    folder = project_by_stages.copy(step, tmp_path / "project")
    both = project_by_stages.process.run_all(folder, [STEPS[step]] * 2)
    refused = [ended.errors for ended in both if ended.status]
    assert len(refused) < len(both), refused
    assert [errors for errors in refused if not REFUSED.fullmatch(errors)] == []
    assert decided(folder) == project_by_stages.after[step]
    assert (left_over(folder), both[0].left) == ([], 0)


@pytest.mark.parametrize("step", list(PAIRS))
def test_two_that_share_what_they_read_do_as_one_after_the_other(
    project_by_stages: Staged, tmp_path: Path, step: str
) -> None:
    together, after_another = (project_by_stages.copy(step, tmp_path / name) for name in ("together", "after"))
    both = project_by_stages.process.run_all(together, PAIRS[step])
    each = [project_by_stages.process.run(after_another, *command) for command in PAIRS[step]]
    assert [ended.status for ended in (*both, *each)] == [0] * 4, [ended.errors for ended in both]
    assert decided(together) == decided(after_another)
    assert left_over(together) == []
    if step == "search":
        assert [ended.output for ended in both] == [ended.output for ended in each]
