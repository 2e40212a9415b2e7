import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beyond_spectrograms.data import splits
from beyond_spectrograms.data.audio import FORMATS
from beyond_spectrograms.data.clips import DatasetError
from beyond_spectrograms.data.windows import columns_of, read_parts, read_windows
from beyond_spectrograms.params import Source, Split, Windows
from support.common import noise, refusal, store_clip
from support.models import PARAMS
from support.repository import stage_here

SPLITS = {"window": Split(kind="window", fractions=(0.6, 0.2, 0.2), seed=0), "source": Split(kind="source")}
STRADDLING = ["131943", "134049", "209698", "234879"]  # the four sources of ESC-50 that stand in two folds
ESC10 = [  # fold-source-take: every source gives two takes, all in one fold
    f"{label}/{fold}-{1000 * fold + 10 * source + number}-{take}.ogg"
    for number, label in enumerate(("dog", "rain", "sneeze"))
    for fold, source, take in product(range(1, 6), range(4), "AB")
]
ESC50 = [f"{clip[:-4]}-{'drs'.index(clip[0])}.wav" for clip in ESC10]  # -target, and sources that stand in two folds
for fold, source in enumerate(STRADDLING, start=1):
    ESC50 += [f"dog/{fold}-{source}-A-0.wav", *(f"rain/{fold + 1}-{source}-{take}-1.wav" for take in "AB")]
STEMS = {
    "music": "classical jazz rock bagpipe ballad gravity guitar",
    "speech": "teachers voices news conv relig sleep",
}
MUSIC_SPEECH = [
    f"{label}/{stem}{number}.wav" for label in STEMS for stem in STEMS[label].split() for number in ("", 1, 2, 13)
]
GENRES = [f"{genre}/{genre}.{number:05d}.au" for genre in ("blues", "jazz", "pop") for number in range(50, 70)]
SPOKEN = list(product(range(10), ("george", "jackson", "lucas", "nicolas", "theo", "yweweler"), (0, 1)))
PLAYED = product(("Violin", "Flute"), ("A", "A#", "C#", "F"), (3, 4, 5), ("pp-4c-N", "ff-3c-T17d"))
COMMANDED = list(product(("yes", "no", "stop"), range(49, 68), (0, 1)))  # word, speaker, take
INTERVIEWED = product((10270, 10271), ("5r0dWxy17C8", "x6uYqmx31kE", "-l5Iuq_ZW8k"), (1, 2))  # speaker, video, cut
LIBRISPEECH = [
    f"{speaker}/{speaker}-{speaker * 10 + chapter}-{utterance:04d}.flac"
    for speaker, chapter, utterance in product((174, 8842), range(4), range(5))
]
DEMO = [f"{label}/{label}_{number:02d}.wav" for label in ("rain", "bird") for number in range(12)]
# Clips of each data set, and where in its name is what must not stand in two parts; the whole name unless said.
CLIPS = {
    "esc10": (ESC10, r"-(\d+)-"),
    "esc50": (ESC50, r"-(\d+)-"),
    "esc50_ogg": (ESC10, r"-(\d+)-"),
    "gtzan_music_speech": (MUSIC_SPEECH, r"/([a-z]+)"),
    "gtzan_genres": (GENRES, "(.*)"),
    "fsdd_speakers": ([f"{who}/{word}_{who}_{take}.wav" for word, who, take in SPOKEN], r"/(\d)"),
    "fsdd_digits": ([f"{word}/{word}_{who}_{take}.wav" for word, who, take in SPOKEN], "_([a-z]+)_"),
    "tinysol": (
        [f"{name}/{name[:2]}-ord-{note}{octave}-{take}.wav" for name, note, octave, take in PLAYED],
        "-ord-([^-]+)-",
    ),
    "librispeech_speakers": (LIBRISPEECH, "(.*)"),
    "librispeech_chapters": (LIBRISPEECH, r"/(\d+-\d+)"),
    "demo": (DEMO, "(.*)"),
    "speech_commands": ([f"{word}/{who:08x}_nohash_{take}.wav" for word, who, take in COMMANDED], "/([^_]+)_"),
    "voxceleb1": ([f"id{who}/{video}__{cut:05d}.wav" for who, video, cut in INTERVIEWED], "/(.{11})__"),
}


def lists_of_genres(folder: Path) -> dict[str, str] | None:
    """Write the three lists as they are published: of .wav files, without all clips, with one that is not usable."""
    return written(folder, lambda n: [f"{genre}/{genre}.{n:05d}.wav" for genre in ("blues", "jazz", "pop")])


def lists_of_commands(folder: Path) -> dict[str, str] | None:
    """Write three lists in which each speaker is in one part."""
    return written(
        folder, lambda n: [f"{word}/{who:08x}_nohash_{take}.wav" for word, who, take in COMMANDED if who == n]
    )


def written(folder: Path, names: Callable[[int], list[str]]) -> dict[str, str] | None:
    folder.mkdir()
    for part, numbers in (("train", range(49, 62)), ("validation", range(62, 65)), ("test", range(65, 68))):
        lines = [f"{name}\n" for number in numbers for name in names(number)]
        (folder / f"{part}.txt").write_text("".join(lines))
    return splits.read_lists(folder)


def clips_of(names: list[str]) -> pd.DataFrame:
    labels = [name.split("/")[0] for name in names]
    return pd.DataFrame({"clip": names, "label": labels, "seconds": 5.0, "sha256": names})


def windows_of(clips: pd.DataFrame, windows: int = 5) -> pd.DataFrame:
    """Make the table of `windows` windows a clip."""
    table = clips.loc[clips.index.repeat(windows)].reset_index(drop=True)
    return table.assign(start_s=list(range(windows)) * len(clips), silent=0)


def grouped(dataset: str, names: list[str]) -> tuple[pd.DataFrame, list[str]]:
    return splits.assign_groups(dataset, clips_of(names), PARAMS.datasets[dataset].source)


@pytest.mark.parametrize("dataset", CLIPS)  # of others a table tells labels: test_told_labels.py
def test_no_source_is_in_two_parts_and_by_window_most_recordings_are(dataset: str, tmp_path: Path) -> None:
    names, origin = CLIPS[dataset]
    published = {"gtzan_genres": lists_of_genres, "speech_commands": lists_of_commands}
    lists = published[dataset](tmp_path / "lists") if dataset in published else None
    assert PARAMS.datasets[dataset].source.has_lists is (lists is not None)
    clips, straddling = grouped(dataset, names)
    table = windows_of(clips)
    parts = splits.assign_parts(table, PARAMS.splits, lists)
    splits.check_sources_apart(dataset, table, parts, PARAMS.splits)
    described = splits.describe_splits(dataset, table, parts, PARAMS.splits, straddling)["splits"]
    origins = table["clip"].str.extract(origin, expand=False)
    columns = columns_of("source", parts)
    assert len(columns) == (1 if lists else PARAMS.datasets[dataset].source.folds or 5)
    for column in columns:
        used = parts[column] != ""
        assert set(parts[column][used]) == {"train", "validation", "test"}
        assert parts[column][used].groupby(origins[used]).nunique().max() == 1
        assert described["source"][column]["recordings_in_two_parts"] == 0
        assert described["source"][column]["groups_in_two_parts"] == 0
    if not lists:
        assert ((parts[columns] == "test").sum(axis=1) == 1).all(), "every window is tested once"
        assert ((parts[columns] == "validation").sum(axis=1) == 1).all()
        assert ((parts[columns] == "train").sum(axis=1) == len(columns) - 2).all()
    straddlers = int((parts["window"].groupby(table["clip"]).nunique() > 1).sum())
    assert described["window"]["window"]["recordings_in_two_parts"] == straddlers > len(clips) / 2


def test_the_published_folds_of_esc_are_the_folds() -> None:
    clips, straddling = grouped("esc10", ESC10)
    assert straddling == []
    assert list(clips["fold"]) == [int(clip.split("/")[1][0]) for clip in clips["clip"]]
    table = windows_of(clips)
    folds = table["fold"].groupby(splits.assign_parts(table, SPLITS)["source_5"]).unique().map(sorted)
    assert folds.to_dict() == {"test": [5], "validation": [1], "train": [2, 3, 4]}


def test_esc_50_sources_in_two_folds_move_to_the_fold_that_holds_most_of_their_clips() -> None:
    clips, straddling = grouped("esc50", ESC50)
    assert straddling == STRADDLING
    folds = clips.groupby("group")["fold"].unique().map(list)
    assert folds[STRADDLING].tolist() == [[2], [3], [4], [5]]
    tied, _ = grouped("esc50", ["dog/4-7-A-0.wav", "rain/2-7-A-1.wav"])
    assert list(tied["fold"]) == [2, 2]


def test_music_speech_takes_of_one_source_are_one_group() -> None:
    clips, _ = grouped("gtzan_music_speech", MUSIC_SPEECH)
    assert list(clips["group"][:5]) == ["classical", "classical", "classical", "classical", "jazz"]
    assert clips["group"].nunique() == 13
    takes, _ = grouped("gtzan_music_speech", [f"speech/{name}.wav" for name in ("nj105", "nj105a", "a", "b", "c", "d")])
    assert list(takes["group"]) == ["nj", "nj", "a", "b", "c", "d"]


def test_lists_that_name_clips_which_are_not_there_stop(tmp_path: Path) -> None:
    lists = lists_of_genres(tmp_path / "lists")
    assert lists is not None
    clips = clips_of(GENRES)
    bad = ["blues/blues.00049.wav", "jazz/jazz.00049.wav", "pop/pop.00049.wav"]
    splits.check_lists("g", clips, lists, bad)
    told = "g: its lists name 55 usable clips, found 54; missing: pop/pop.00049"
    assert refusal(DatasetError, splits.check_lists, "g", clips, lists, bad[:2]) == told
    assert refusal(DatasetError, splits.check_lists, "g", clips[clips["label"] != "pop"], lists, bad) == (
        "g: its lists name 54 usable clips, found 36; "
        "missing: pop/pop.00050, pop/pop.00051, pop/pop.00052, pop/pop.00053, pop/pop.00054, ..."
    )


def test_published_lists_decide_the_parts_and_leave_the_rest_out(tmp_path: Path) -> None:
    assert splits.read_lists(tmp_path / "lists") is None
    table = windows_of(grouped("gtzan_genres", GENRES)[0], 2)
    parts = splits.assign_parts(table, SPLITS, lists_of_genres(tmp_path / "lists"))
    assert list(parts.columns) == ["window", "source_1"]
    by_clip = dict(zip(table["clip"], parts["source_1"], strict=True))
    assert [by_clip[f"jazz/jazz.000{n}.au"] for n in (50, 61, 62, 64, 65, 67, 68)] == [
        "train", "train", "validation", "validation", "test", "test", "",
    ]  # fmt: skip
    figures = splits.describe_splits("g", table, parts, SPLITS, [])["splits"]["source"]["source_1"]
    assert figures == {
        "train": 72, "validation": 18, "test": 18, "unused": 12, "recordings_in_two_parts": 0, "groups_in_two_parts": 0,
    }  # fmt: skip


@pytest.mark.parametrize(("count", "sizes"), [(2000, (1200, 400, 400)), (100, (60, 20, 20)), (7, (4, 2, 1))])
def test_window_splits_are_60_20_20_shuffled_by_their_seeds(count: int, sizes: tuple[int, int, int]) -> None:
    table = windows_of(clips_of([f"a/{n}.wav" for n in range(count)]).assign(group="", fold=1), 1)
    by_seed = Split(kind="window", fractions=(0.6, 0.2, 0.2), seeds=[1, 0])
    dealt = splits.assign_parts(table, {"dealt": by_seed, "window": SPLITS["window"]})
    assert list(dealt) == ["dealt_1", "dealt_2", "window"]
    assert columns_of("dealt", dealt) == ["dealt_1", "dealt_2"]
    for parts in dealt.to_numpy().T.tolist():
        assert tuple(parts.count(part) for part in ("train", "validation", "test")) == sizes
        assert parts != sorted(parts)
    assert list(dealt["dealt_2"]) == list(dealt["window"]) != list(dealt["dealt_1"])


def test_dealt_folds_keep_classes_balanced_and_repeat() -> None:
    clips, _ = grouped("demo", DEMO)
    assert clips.groupby(["label", "fold"]).size().unique().tolist() == [3]
    assert list(clips["fold"]) == list(grouped("demo", DEMO)[0]["fold"])
    assert list(clips["group"]) == list(clips["clip"])


def test_a_class_with_fewer_recordings_than_folds_stops() -> None:
    source = Source(path="~/pets", seconds=(1, 600), folds=5, fold_seed=0)
    names = [f"cat/{n}.wav" for n in range(5)] + [f"dog/{n}.wav" for n in range(4)]
    assert refusal(DatasetError, splits.assign_groups, "pets", clips_of(names), source) == (
        "pets: class 'dog' has 4 recordings or sources, too few for 5 folds. "
        "Add recordings, or deal fewer folds (source.folds, at least 3)."
    )


def test_files_of_the_same_bytes_are_one_group_with_all_that_shares_theirs() -> None:
    clips = clips_of([f"{label}/{number}.wav" for label in ("cat", "dog") for number in range(6)])
    clips.loc[clips["clip"].isin(["cat/4.wav", "cat/5.wav", "dog/0.wav"]), "sha256"] = "twin"
    pets, _ = splits.assign_groups("pets", clips, Source(path="~/pets", seconds=(1, 600), folds=4, fold_seed=0))
    twins = pets[pets["sha256"] == "twin"]
    assert twins["group"].unique().tolist() == ["cat/4.wav"]
    assert twins["fold"].nunique() == 1
    assert pets["group"].nunique() == 10
    # Copies chain sources: 1 and 2 share a file, 2 and 3 another.
    names = ["dog/1-1-A.ogg", "dog/1-2-A.ogg", "dog/2-2-B.ogg", "dog/2-3-A.ogg", "dog/3-4-A.ogg"]
    chained = clips_of(names).assign(sha256=["x", "x", "y", "y", "z"])
    esc, straddling = splits.assign_groups("esc10", chained, PARAMS.datasets["esc10"].source)
    assert esc["group"].tolist() == ["1", "1", "1", "1", "4"]
    assert straddling == ["1"]
    assert esc["fold"].tolist() == [1, 1, 1, 1, 3]


def test_a_file_listed_twice_or_a_name_that_does_not_match_stops(tmp_path: Path) -> None:
    for part, clip in (("train", "jazz/1.wav"), ("validation", "jazz/2.wav"), ("test", "jazz/1.wav")):
        (tmp_path / f"{part}.txt").write_text(f"{clip}\n")
    told = f"{tmp_path}: jazz/1.wav is listed for train and again for test"
    assert refusal(DatasetError, splits.read_lists, tmp_path) == told
    assert refusal(DatasetError, grouped, "esc10", ["dog/1-100032-A.ogg", "dog/bark.ogg"]) == (
        r"esc10: the name of dog/bark.ogg does not match source.name, '(?P<fold>\\d)-(?P<group>\\d+)-[A-Z]'"
    )


@pytest.mark.parametrize("fold", ["", "fold1", "1.0", "-1"])
def test_a_fold_that_is_no_number_stops_and_is_not_dealt_as_one_more(fold: str) -> None:
    names = [f"dog/{number}.wav" for number in range(6)]
    clips = clips_of(names).assign(fold=["1", "2", "3", "4", "5", fold])
    source = PARAMS.datasets["urbansound8k"].source.model_copy(update={"name": None})
    told = f"urbansound8k: dog/5.wav has fold {fold!r}. A fold is a whole number, as 1"
    assert refusal(DatasetError, splits.assign_groups, "urbansound8k", clips, source) == told
    dealt, _ = splits.assign_groups("urbansound8k", clips[:5], source)
    assert list(dealt["fold"]) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (r"(?P<fold>\d)?(?P<group>[a-z]+)", "the name of dog/b.wav matches source.name, {pattern!r}, without its fold"),
        (r"(?P<fold>\d?)(?P<group>a)?b?", "the name of dog/b.wav matches source.name, {pattern!r}, without its group"),
        (r"(?P<fold>[a-z0-9]?)(?P<group>[a-z]?)", "dog/b.wav has fold 'b'. A fold is a whole number, as 1"),
    ],
)
def test_a_name_that_leaves_out_its_fold_or_group_stops(pattern: str, told: str) -> None:
    source = PARAMS.datasets["esc10"].source.model_copy(update={"name": pattern})
    problem = refusal(DatasetError, splits.assign_groups, "esc10", clips_of(["dog/1a.wav", "dog/b.wav"]), source)
    assert problem == f"esc10: {told.format(pattern=pattern)}"


def test_a_split_that_cannot_be_trained_or_leaks_stops() -> None:
    table = windows_of(clips_of(["cat/a.wav", "dog/b.wav"]).assign(group=["x", "y"], fold=[1, 2]), 3)
    only_source = {"source": SPLITS["source"]}
    for parts, problem in (
        (["train", "validation", "test", "", "", ""], "has no train window of dog"),
        (["train", "test", "test", "train", "test", "test"], "has no validation window"),
        (["train", "validation", "test", "train", "train", "train"], "has a source in two parts"),
    ):
        given = ("pets", table, pd.DataFrame({"source_1": parts}), only_source)
        assert refusal(DatasetError, splits.check_sources_apart, *given) == f"pets: split source_1 {problem}"
    told = "pets: split source has no fold"
    without = ("pets", table, pd.DataFrame({"source_fold1": ["train"] * 6}), only_source)
    assert refusal(DatasetError, splits.check_sources_apart, *without) == told
    splits.check_sources_apart(*given, lists={"cat/a.wav": "train"})  # published: the audit tells of the last one


@pytest.fixture
def pets(project: Path) -> Path:
    """data/clips/pets: three clips of each of two classes, 2.4 s; the second second of dog/0.wav is silent."""
    folder = project / "data/clips/pets"
    names = [f"{label}/{number}.wav" for label in ("cat", "dog") for number in range(3)]
    for number, name in enumerate(names):
        sound = noise(2.4, 16_000, number)
        if name == "dog/0.wav":
            sound[16_000:32_000] = np.linspace(-1e-4, 1e-4, 16_000) * 0.99
        store_clip(folder, FORMATS[0], name, sound)
    clips_of(names).assign(seconds=2.4).to_csv(folder / "clips.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("windows", "starts", "silent"),
    [
        (Windows(length_s=1, hop_s=1, tail="drop"), [0, 1], [0, 1]),
        (Windows(length_s=1, hop_s=1, tail="reflect"), [0, 1, 2], [0, 1, 0]),
        (Windows(length_s=2, hop_s=1, tail="drop"), [0], [0]),
        (Windows(length_s=2, hop_s=1, tail="reflect"), [0, 1], [0, 0]),
    ],
)
def test_windows_are_tabulated_and_silent_ones_found(
    pets: Path, windows: Windows, starts: list[float], silent: list[int]
) -> None:
    clips = pd.read_csv(pets / "clips.csv").assign(group="g", fold=1)
    table = splits.tabulate_windows(clips, pets, windows)
    assert list(table.columns) == ["clip", "label", "start_s", "group", "fold", "silent"]
    assert list(table["clip"]) == [clip for clip in clips["clip"] for _ in starts]
    assert list(table["start_s"]) == starts * 6
    assert list(table["silent"][table["clip"] == "dog/0.wav"]) == silent
    assert table["silent"].sum() == sum(silent)


def test_windows_longer_than_every_clip_stop(pets: Path) -> None:
    clips = pd.read_csv(pets / "clips.csv").assign(group="g", fold=1)
    assert refusal(DatasetError, splits.tabulate_windows, clips, pets, Windows(length_s=3, hop_s=1, tail="drop")) == (
        f"{pets}: no clip is as long as a window, 3 s. Lower windows.length_s or set windows.tail to reflect."
    )


def test_the_stage_writes_tables_that_agree_row_by_row(pets: Path) -> None:
    project = pets.parents[2]
    by_seed = ", ".join(f"window_by_seed_{number}" for number in range(1, 6))
    names = f"window, {by_seed}, source_1, source_2, source_3"
    assert stage_here(project, "split", "pets") == f"pets: 12 windows, 1 silent; splits {names}\n"
    table, parts = (read(project / "data/splits/pets") for read in (read_windows, read_parts))
    assert len(table) == len(parts) == 12
    assert (parts.filter(like="source") == "test").sum(axis=1).tolist() == [1] * 12
    metrics = json.loads((project / "metrics/pets/splits.json").read_text())
    assert (metrics["windows"], metrics["silent_windows"], metrics["recordings"], metrics["groups"]) == (12, 1, 6, 6)
    assert metrics["splits"]["window"]["window"]["recordings_in_two_parts"] > 0
    assert [metrics["splits"]["source"][f"source_{fold}"]["groups_in_two_parts"] for fold in (1, 2, 3)] == [0, 0, 0]


def test_a_class_may_be_called_what_pandas_takes_for_missing(pets: Path) -> None:
    (pets / FORMATS[0].name / "cat").rename(pets / FORMATS[0].name / "NA")
    table = pets / "clips.csv"
    table.write_text(table.read_text().replace("cat", "NA"))
    stage_here(pets.parents[2], "split", "pets")
