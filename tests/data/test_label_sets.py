"""Several labels a sound: which parts have which, by a table; folds that keep groups whole and have each label."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from beyond_spectrograms.data.label_sets import deal_folds, one_row_a_label
from beyond_spectrograms.inference.label_table import read_labels
from beyond_spectrograms.inference.own_sounds import Grouping, prepare_sounds
from beyond_spectrograms.util.errors import ProjectError
from support import common
from support.common import tone
from support.models import PARAMS

refusal = partial(common.refusal, ProjectError)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Write nine recordings of four seconds."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for name in "abcdefghi":
        soundfile.write(folder / f"{name}.wav", tone(4, 200 + 50 * ord(name), 22_050), 22_050)
    return folder


def read(sounds: Path, *rows: str, multi_label: bool = False) -> dict[str, str]:
    table = sounds.parent / "labels.csv"
    table.write_text("\n".join(["file,label,start,end,group", *rows, ""]))
    found = read_labels(table, sounds, multi_label=multi_label)
    assert found.multi_label
    return {clip: row.label for clip, row in found.clips.items()}


def test_labels_of_one_sound_are_gathered_from_bars_and_from_rows(sounds: Path) -> None:
    rows = [
        "a.wav,rain | owl,,,",
        "b.wav,owl,,,",
        "./b.wav,fox,,,",
        "b.wav,owl,,,",
        "c.wav,owl,1,2,",
        "c.wav,fox,1.0,2,",
    ]
    assert read(sounds, *rows) == {
        "sounds/a.wav": "owl|rain",
        "sounds/b.wav": "fox|owl",
        "sounds/c_1-2s.wav": "fox|owl",
    }


def test_overlapping_rows_are_cut_where_labels_change_if_sounds_may_have_several(sounds: Path) -> None:
    rows = ["a.wav,rain,0,3,", "a.wav,owl,1,1.5,", "a.wav,owl,1.5,2,", "a.wav,fox,3.5,4,", "b.wav,rain,0,1,"]
    assert read(sounds, *rows, multi_label=True) == {
        "sounds/a_0-1s.wav": "rain",
        "sounds/a_1-2s.wav": "owl|rain",
        "sounds/a_2-3s.wav": "rain",
        "sounds/a_3.5-4s.wav": "fox",
        "sounds/b_0-1s.wav": "rain",
    }


def test_rows_that_contradict_each_other_are_told_with_their_lines(sounds: Path) -> None:
    rows = ["a.wav,owl|fox,,,", "a.wav,rain,1,2,", "b.wav,owl,,,here", "b.wav,fox,,,there", "c.wav,owl||fox,,,"]
    told = [
        "  line 6: no label",
        "  line 7: label 'none' stands for no label at all. Rename it.",
        "  line 3: a.wav has labels as a whole too, in line 2. Give one of both.",
        "  line 5: group 'there', where line 4 says 'here' of the same sound",
    ]
    table = sounds.parent / "labels.csv"
    assert refusal(read, sounds, *rows, "d.wav,owl|none,,,") == "\n".join([f"{table}: 4 of its rows are wrong:", *told])


def dealt(sets: list[str], clips_of_a_group: int = 2, most: int = 5) -> pd.DataFrame:
    clips = pd.DataFrame({"label": np.repeat(sets, clips_of_a_group)})
    clips["group"] = [f"g{row // clips_of_a_group}" for row in range(len(clips))]
    return clips.assign(fold=deal_folds(Path("labels.csv"), clips, most))


def test_folds_keep_groups_whole_and_share_every_label_out_the_rarest_first() -> None:
    random = np.random.default_rng(0)
    sets = ["|".join(sorted(random.choice(list("abcd"), random.integers(1, 4), replace=False))) for _ in range(60)]
    clips = dealt([f"{label}|rare" if place % 12 == 0 else label for place, label in enumerate(sets)])
    assert clips.groupby("group")["fold"].nunique().max() == 1
    groups = one_row_a_label(clips).drop_duplicates(["group", "label"])
    counts = groups.groupby(["label", "fold"]).size().unstack(fill_value=0)
    assert counts.loc["rare"].tolist() == [1] * 5
    assert ((counts.max(axis=1) - counts.min(axis=1)) <= 3).all()
    assert clips.groupby("fold").size().tolist() == pytest.approx([24] * 5, abs=4)
    pd.testing.assert_frame_equal(clips, dealt(clips["label"].iloc[::2].tolist()))  # the same again


def test_fewer_folds_are_dealt_where_a_label_has_fewer_groups_and_none_where_they_cannot() -> None:
    assert dealt(["a", "b", "a|b", "c", "c", "c|a", "b", "c"])["fold"].max() == 3
    rare = ["a|b", "a|b", "a", "a", "c", "c", "c", "c"]
    assert refusal(dealt, rare) == (
        "labels.csv: groups cannot be dealt so that each of 3 folds has recordings with and without 'b'. Add "
        "recordings of another origin, or group them otherwise."
    )


@pytest.mark.filterwarnings("error")
def test_no_fold_is_empty() -> None:
    clips = pd.DataFrame({"label": ["a|b", "a", "b"], "group": ["x", "y", "z"]})
    assert refusal(deal_folds, "pets", clips, 5, 5) == (
        "pets: groups cannot be dealt so that each of 5 folds has recordings with and without 'a', 'b'. Add "
        "recordings of another origin, or group them otherwise."
    )
    assert refusal(deal_folds, "pets", clips, 2) == "pets: 2 folds are too few. Deal at least 3."


def test_a_label_of_too_few_or_too_many_groups_is_told_before_any_work(sounds: Path, tmp_path: Path) -> None:
    end = "`train` needs 3: one trains, one validates, one tests. Add recordings of another origin, or group them "
    end += "otherwise."
    table = tmp_path / "labels.csv"
    for sets, told in {
        ("a|b", "a|b", "a", "c", "c", "c"): "class 'b' has 2 groups of recordings",
        ("a|b", "a|b", "b|c", "b|c", "a|c", "a|c"): "class 'a' is absent from 2 groups of recordings",
    }.items():
        rows = [f"{name}.wav,{labels}" for name, labels in zip("abcdef", sets, strict=True)]
        table.write_text("\n".join(["file,label", *rows]))
        grouping = Grouping(labels=read_labels(table, sounds))
        assert refusal(prepare_sounds, sounds, tmp_path / "work", PARAMS, grouping, 5) == f"{table}: {told}; {end}"
    assert not (tmp_path / "work/clips").exists()


def test_a_label_whose_sounds_cannot_be_used_is_told(sounds: Path, tmp_path: Path) -> None:
    for name in "ghi":
        (sounds / f"{name}.wav").write_bytes(b"no sound")
    table = tmp_path / "labels.csv"
    sets = ["a|b", "a|b", "a|b", "c", "c", "c", "d", "d", "d"]
    table.write_text("\n".join(["file,label", *map("{}.wav,{}".format, "abcdefghi", sets)]))
    grouping = Grouping(labels=read_labels(table, sounds))
    told = f"{table}: class 'd' has no usable sound"
    assert refusal(prepare_sounds, sounds, tmp_path / "work", PARAMS, grouping, 5) == told
