"""Trials are read from a published list, each wrong line told, or drawn: the same ones always, none twice."""

from pathlib import Path

import pandas as pd
import pytest

from beyond_spectrograms.data import trials
from beyond_spectrograms.params import MadeTrials
from support.common import refusal

# Three speakers of two videos with two cuts each, as a folder of VoxCeleb1 is copied.
RECORDINGS = pd.DataFrame(
    [
        {"clip": f"{speaker}/{video}{speaker[-1]}__{cut:05d}.wav", "label": speaker, "group": f"{video}{speaker[-1]}"}
        for speaker in ("id10270", "id10271", "id10272")
        for video in ("5r0dWxy17C", "x6uYqmx31k")
        for cut in (1, 2)
    ]
)
GOOD = [
    "1 id10270/5r0dWxy17C0/00001.wav id10270/x6uYqmx31k0/00002.wav",
    "0 id10270/5r0dWxy17C0/00001.wav id10271/x6uYqmx31k1/00002.wav",
    "",
    "0 id10272/5r0dWxy17C2/00001.wav id10271/x6uYqmx31k1/00002.wav",
]
BAD = {
    "2 id10270/5r0dWxy17C0/00001.wav id10270/x6uYqmx31k0/00002.wav": (
        "'2 id10270/5r0dWxy17C0/00001.wav id10270/x6uYqmx31k0/00002.wav' is not 0 or 1 and two files"
    ),
    "1 id10270/5r0dWxy17C0/00001.wav": "'1 id10270/5r0dWxy17C0/00001.wav' is not 0 or 1 and two files",
    "1 id10270/5r0dWxy17C0/00009.wav id10270/x6uYqmx31k0/00002.wav": (
        "id10270/5r0dWxy17C0/00009.wav not in the data set"
    ),
    "0 id10273/a.wav 00001.wav": "id10273/a.wav and 00001.wav not in the data set",
    "1 id10270/5r0dWxy17C0/00001.wav id10270/5r0dWxy17C0/00001.wav": "id10270/5r0dWxy17C0/00001.wav with itself",
    "1 id10270/5r0dWxy17C0/00001.wav id10272/x6uYqmx31k2/00002.wav": "labelled 1, but of id10270 and id10272",
    "0 id10270/5r0dWxy17C0/00001.wav id10270/5r0dWxy17C0/00002.wav": "labelled 0, but of id10270 and id10270",
}


def written(folder: Path, lines: list[str]) -> Path:
    path = folder / "veri_test2.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_a_published_list_names_the_copies_of_its_files(tmp_path: Path) -> None:
    found = trials.read_trials(written(tmp_path, GOOD), RECORDINGS)
    assert found.to_dict("list") == {
        "fold": [1, 1, 1],
        "target": [True, False, False],
        "first": ["id10270/5r0dWxy17C0__00001.wav"] * 2 + ["id10272/5r0dWxy17C2__00001.wav"],
        "second": ["id10270/x6uYqmx31k0__00002.wav"] + ["id10271/x6uYqmx31k1__00002.wav"] * 2,
    }


def test_a_pair_that_stands_in_both_orders_counts_twice(tmp_path: Path) -> None:
    turned = "1 id10270/x6uYqmx31k0/00002.wav id10270/5r0dWxy17C0/00001.wav"
    found = trials.read_trials(written(tmp_path, [*GOOD, turned, GOOD[0]]), RECORDINGS)
    assert found["target"].tolist() == [True, False, False, True, True]
    assert set(found.loc[3, ["first", "second"]]) == set(found.loc[0, ["first", "second"]])
    assert found.loc[4].equals(found.loc[0])


def test_each_wrong_line_of_a_list_is_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, [*GOOD, *BAD])
    told = "".join(f"\n  line {number}: {why}" for number, why in enumerate(BAD.values(), start=5))
    assert refusal(trials.TrialsError, trials.read_trials, path, RECORDINGS) == (
        f"{path}: 7 lines are no trials of this data set{told}"
    )
    many = written(tmp_path, [f"1 a/{number}.wav b/{number}.wav" for number in range(22)])
    told = refusal(trials.TrialsError, trials.read_trials, many, RECORDINGS)
    assert told.startswith(f"{path}: 22 lines are no trials of this data set\n  line 1: a/0.wav and b/0.wav not in")
    assert told.endswith("\n  line 20: a/19.wav and b/19.wav not in the data set\n  and 2 more")


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        (GOOD[:1], "no pairs of two speakers among its trials"),
        (GOOD[1:], "no pairs of one speaker among its trials"),
        ([], "none among its trials"),
    ],
)
def test_a_list_without_both_kinds_is_refused(tmp_path: Path, lines: list[str], missing: str) -> None:
    path = written(tmp_path, lines)
    told = f"{path}: {missing}; error rates take both kinds"
    assert refusal(trials.TrialsError, trials.read_trials, path, RECORDINGS) == told


SPEAKERS = ("a", "b", "c", "d", "e", "f")
SPOKEN = pd.DataFrame(
    [
        {"clip": f"{speaker}/{word}_{take}.wav", "label": speaker, "group": str(word)}
        for speaker in SPEAKERS
        for word in range(4)
        for take in range(5)
    ]
)
MADE = MadeTrials(seed=0, pairs=301, folds=2)


def test_drawn_trials_are_of_other_words_spread_evenly_and_within_a_fold() -> None:
    drawn = trials.make_trials("spoken", SPOKEN, MADE)
    assert list(drawn.columns) == trials.COLUMNS
    by_clip = SPOKEN.set_index("clip")
    sides = {side: by_clip.loc[drawn[side]].reset_index(drop=True) for side in ("first", "second")}
    assert (sides["first"]["group"] != sides["second"]["group"]).all()
    assert ((sides["first"]["label"] == sides["second"]["label"]) == drawn["target"]).all()
    pairs = [frozenset(pair) for pair in zip(drawn["first"], drawn["second"], strict=True)]
    assert len(set(pairs)) == len(pairs) == 602
    speakers = [frozenset(pair) for pair in zip(sides["first"]["label"], sides["second"]["label"], strict=True)]
    counts = drawn.assign(speakers=speakers).groupby(["target", "speakers"]).size()
    assert sorted(counts[True]) == sorted(counts[False]) == [50] * 5 + [51]
    members = {
        fold: frozenset().union(*(speakers[row] for row in mine)) for fold, mine in drawn.groupby("fold").groups.items()
    }
    assert [len(of) for of in members.values()] == [3, 3]
    assert members[1] | members[2] == set(SPEAKERS)


def test_the_seed_alone_decides_the_draw() -> None:
    first, again = (trials.make_trials("spoken", SPOKEN, MADE) for _ in range(2))
    assert first.equals(again)
    other = trials.make_trials("spoken", SPOKEN, MADE.model_copy(update={"seed": 1}))
    assert not first.equals(other)
    # As when results were committed: another draw would make them scores of other trials.
    assert first.iloc[0].tolist() == [1, True, "d/0_0.wav", "d/1_1.wav"]
    assert first.iloc[-1].tolist() == [2, False, "e/0_1.wav", "b/1_3.wav"]


def test_speakers_aside_are_in_no_trial_of_the_fold() -> None:
    drawn = trials.make_trials("spoken", SPOKEN, MADE)
    aside = trials.speakers_aside(SPOKEN, drawn)
    assert set(aside) == {1, 2}
    for fold, rows in aside.items():
        mine = drawn[drawn["fold"] == fold]
        tested = {clip.split("/")[0] for clip in (*mine["first"], *mine["second"])}
        assert set(SPOKEN["label"][rows]) == set(SPEAKERS) - tested
        assert len(tested) == 3


@pytest.mark.parametrize(
    ("recordings", "changes", "message"),
    [
        (SPOKEN, {"folds": 4}, "spoken: 6 speakers are too few for 4 folds of two or more "
                               "(datasets/spoken.yaml: trials.made.folds)"),
        (SPOKEN, {"pairs": 2000}, "spoken: 150 pairs of recordings of d are of two groups, 333 are asked for "
                                  "(datasets/spoken.yaml: trials.made.pairs)"),
        (SPOKEN[SPOKEN["group"] == "0"], {}, "spoken: 0 pairs of recordings of d are of two groups, 50 are asked for "
                                             "(datasets/spoken.yaml: trials.made.pairs)"),
    ],
)  # fmt: skip
def test_more_than_can_be_drawn_is_refused(recordings: pd.DataFrame, changes: dict[str, int], message: str) -> None:
    made = MADE.model_copy(update=changes)
    assert refusal(trials.TrialsError, trials.make_trials, "spoken", recordings.reset_index(drop=True), made) == message
