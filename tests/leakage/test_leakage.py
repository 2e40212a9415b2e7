"""Planted copies are found, strangers are not, and file-level cues are scored without the test part."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soxr

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.leakage import audit
from beyond_spectrograms.leakage.audit import LeakageError, Pair, Sound
from beyond_spectrograms.leakage.cues import CUES, measure_cues, measure_sound, score_cues, wilson_interval
from beyond_spectrograms.leakage.fingerprints import Match, fingerprint
from beyond_spectrograms.leakage.tables import print_audit
from beyond_spectrograms.params import load_params
from beyond_spectrograms.params.representations import Hear
from support.cells import edit_params
from support.common import noise, refusal, tone
from support.models import PARAMS
from support.scenes import RATE, scene, write_clips

HALF = Match(0, 1, similarity=0.5, strength=0.5, offset_s=0.0, overlap_s=1.0)
NEAR = 0.3  # audit.near_strength
Sounds = tuple[pd.DataFrame, list[Sound]]
SPLITS: Any = {"window": SimpleNamespace(kind="window"), "source": SimpleNamespace(kind="source")}


GROUPS = {"dog/a.wav": "1", "dog/b.wav": "2", "dog/c.wav": "3", "rain/d.wav": "4", "rain/e.wav": "4"}
CLIPS = pd.DataFrame(GROUPS.items(), columns=["clip", "group"]).assign(
    label=["dog", "dog", "dog", "rain", "rain"], sha256=["a", "b", "c", "de", "de"]
)
PARTS = {"source_1": ["train", "test", "validation", "train", "train"], "source_2": ["train"] * 2 + ["test"] * 3}


@pytest.fixture
def planted(tmp_path: Path) -> Sounds:
    """Five clips: b has a's samples, c is a at another level, d has e's bytes."""
    tones = [np.asarray(soxr.resample(scene(seed), RATE, 48_000), np.float32) for seed in range(2)]
    stored = {"dog/a.wav": tones[0], "dog/b.wav": tones[0], "dog/c.wav": 0.3 * tones[0]}
    write_clips(tmp_path, stored | {"rain/d.wav": tones[1], "rain/e.wav": tones[1]})
    return CLIPS, audit.fingerprint_clips(tmp_path, list(GROUPS))


def places() -> dict[str, list[set[str]]]:
    return {column: [{part} for part in parts] for column, parts in PARTS.items()}


def test_planted_pairs_of_every_kind_are_listed_with_where_they_stand(planted: Sounds) -> None:
    pairs = audit.find_pairs(*planted, places(), NEAR, [["dog/c.wav", "dog/b.wav"]])
    found = {(pair.first, pair.second): (pair.kind, pair.across, pair.known) for pair in pairs}
    assert found == {
        ("rain/d.wav", "rain/e.wav"): ("same bytes", (), False),
        ("dog/a.wav", "dog/b.wav"): ("same samples", ("source_1",), False),
        ("dog/a.wav", "dog/c.wav"): ("near", ("source_1", "source_2"), False),
        ("dog/b.wav", "dog/c.wav"): ("near", ("source_1", "source_2"), True),
    }


def test_clips_without_any_sound_at_16_khz_are_not_told_to_be_the_same() -> None:
    nothing = np.zeros(RATE, np.float32)
    sounds = [Sound(audit.digest_samples(nothing), fingerprint(nothing)) for _ in GROUPS]
    pairs = audit.find_pairs(CLIPS, sounds, places(), NEAR, [])
    assert [(pair.first, pair.second, pair.kind) for pair in pairs] == [("rain/d.wav", "rain/e.wav", "same bytes")]


def audited(sounds: Sounds, known: list[list[str]], column: str = "source_1") -> Any:
    pairs = audit.find_pairs(*sounds, places(), NEAR, known)
    table, parts = CLIPS, pd.DataFrame({column: PARTS["source_1"]})
    pairs = [Pair(**{**pair.__dict__, "across": (column,) if "source_1" in pair.across else ()}) for pair in pairs]
    return audit.describe_splits(table, parts, SPLITS, pairs, {}), pairs


def test_a_split_that_promises_no_leak_fails_with_the_pairs(planted: Sounds) -> None:
    described, pairs = audited(planted, [])
    assert described["source"]["columns"]["source_1"] == {
        **dict.fromkeys(("recordings_in_two_parts", "groups_in_two_parts", "known_repetitions_in_two_parts"), 0),
        "pairs_across": {"same bytes": 0, "same samples": 1, "near": 2},
        **{"known_pairs_across": 0, "leaks": 3},
    }
    assert refusal(LeakageError, audit.check_no_leak, "pets", described, pairs) == (
        "pets: split source promises no leak and has one\n"
        "  source_1: dog/a.wav and dog/b.wav, same samples\n"
        "  source_1: dog/a.wav and dog/c.wav, near of strength 1.00\n"
        "  source_1: dog/b.wav and dog/c.wav, near of strength 1.00\n"
        "Give such clips one group (datasets/pets.yaml: source.name or source.known_repetitions), "
        "or acknowledge a pair there under known_pairs."
    )


def test_acknowledged_pairs_and_splits_that_promise_nothing_pass_and_are_counted(planted: Sounds) -> None:
    acknowledged = [["dog/b.wav", "dog/a.wav"], ["dog/a.wav", "dog/c.wav"], ["dog/b.flac", "dog/c.flac"]]
    described, pairs = audited(planted, acknowledged)
    audit.check_no_leak("pets", described, pairs)
    counted = described["source"]["columns"]["source_1"]
    assert (counted["known_pairs_across"], counted["leaks"]) == (3, 0)
    described, pairs = audited(planted, [], "window")  # which promises nothing
    assert described["window"]["columns"]["window"]["leaks"] == 3
    audit.check_no_leak("pets", described, pairs)


def test_a_group_in_two_parts_fails_even_where_its_clips_sound_unlike() -> None:
    table, parts = CLIPS, pd.DataFrame({"source_1": ["train", "train", "train", "validation", "test"]})
    told = refusal(LeakageError, audit.check_no_leak, "pets", audit.describe_splits(table, parts, SPLITS, [], {}), [])
    assert "\n  source_1: 1 groups in two parts\n" in told


def test_only_the_first_pairs_stand_in_the_error() -> None:
    pair = Pair("a", "b", ("x", "x"), ("1", "2"), "near", HALF, ("source_1",), False)
    table, parts = CLIPS, pd.DataFrame({"source_1": PARTS["source_1"]})
    described = audit.describe_splits(table, parts, SPLITS, [pair] * 8, {})
    told = refusal(LeakageError, audit.check_no_leak, "pets", described, [pair] * 8)
    assert told.count("a and b, near of strength 0.50") == 5
    assert "\n  and 3 more pairs, all in metrics/pets/audit.md\n" in told


def test_an_acknowledged_pair_names_clips_that_exist() -> None:
    audit.check_known_pairs("pets", list(GROUPS), [["dog/a.au", "dog/b.wav"]])
    assert refusal(LeakageError, audit.check_known_pairs, "pets", list(GROUPS), [["dog/a.wav", "dog/x.wav"]]) == (
        "datasets/pets.yaml: known_pairs name dog/x.wav, which is not a clip of pets. "
        "Write <label>/<file name>, as in clips.csv."
    )


def test_parts_of_clips_are_those_of_their_windows() -> None:
    table = pd.DataFrame({"clip": ["a", "a", "b", "b"]})
    parts = pd.DataFrame({"window": ["train", "test", "", "test"], "source_1": ["", "", "train", "train"]})
    assert audit.parts_of_clips(table, parts, ["b", "a"]) == {
        "window": [{"test"}, {"train", "test"}],
        "source_1": [{"train"}, set()],
    }


def test_known_repetitions_are_followed_by_name() -> None:
    pair = Pair("dog/b.wav", "dog/a.wav", ("dog",) * 2, ("2", "1"), "near", HALF, (), False)
    known = {"exact": [["dog/a", "dog/b", "dog/gone"], ["rain/d.au", "rain/e.au"], ["dog/c", "dog/missing"]]}
    described = audit.describe_repetitions(CLIPS, [pair], {"source_1": places()["source_1"]}, known)
    expected = {"groups": 3, "groups_present": 2, "pairs_present": 2, "pairs_heard": 1}
    expected |= {"not_one_group": [["dog/a", "dog/b"]], "in_two_parts": {"source_1": [["dog/a", "dog/b"]]}}
    assert described == {"exact": expected}
    table, parts = CLIPS, pd.DataFrame({"source_1": PARTS["source_1"]})
    split = audit.describe_splits(table, parts, SPLITS, [pair], described)
    told = refusal(LeakageError, audit.check_no_leak, "pets", split, [pair])
    assert "\n  source_1: 1 known repetitions in two parts\n" in told


def test_sources_moved_to_one_fold_are_named_on_the_page() -> None:
    moved = ["131943", "134049", "209698", "234879"]
    told = {"dataset": "esc50", "clips": 2000, "groups": 1524, "near_strength": NEAR, "clips_too_quiet_to_compare": 3}
    told |= {
        "splits": {},
        "cues": {},
        "pairs": [],
        "known_errors": {"moved": moved, "repetitions": {}},
        "heard_before": {},
    }
    page = print_audit(told)
    for group in moved:
        assert f"| group in two published folds, moved to one | {group} | -     |" in page
    assert "- 3 clips have too little audible sound to be found near to another." in page


def test_level_and_band_limit_of_a_sine() -> None:
    cues = measure_sound(tone(2.0, 9_000, 48_000), 48_000)
    assert cues["peak_dbfs"] == pytest.approx(-6.02, abs=0.01)
    assert cues["rms_dbfs"] == pytest.approx(-9.03, abs=0.01)
    assert cues["silent_share"] == 0
    assert cues["hz_of_99_percent"] == pytest.approx(9_000, abs=24)
    assert cues["db_above_8_khz"] == pytest.approx(0.0, abs=0.01)
    assert cues["db_above_10_khz"] < -40


def test_level_and_band_limit_of_noise_and_silence() -> None:
    white = noise(2.0, 48_000)
    cues = measure_sound(np.concatenate([white, np.zeros_like(white)]), 48_000)
    assert cues["silent_share"] == pytest.approx(0.5, abs=0.01)
    assert cues["rms_dbfs"] == pytest.approx(-23.0, abs=0.1)
    assert cues["hz_of_99_percent"] == pytest.approx(0.99 * 24_000, rel=0.01)
    assert cues["db_above_8_khz"] == pytest.approx(10 * np.log10(2 / 3), abs=0.1)


def test_wilson_interval_is_that_of_statsmodels() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for right, trials in ((0, 7), (7, 7), (130, 304), (5, 10)):
        expected = proportion.proportion_confint(right, trials, method="wilson")
        assert wilson_interval(right / trials, trials) == pytest.approx(expected, abs=1e-9)


def cue_set(folder: Path, sounds: dict[str, Waveform]) -> pd.DataFrame:
    write_clips(folder, sounds)
    return measure_cues(folder, pd.DataFrame({"clip": list(sounds), "seconds": 0.5, "source_sample_rate": 44_100}))


def scored(cues: pd.DataFrame, labels: list[str]) -> dict[str, dict[str, Any]]:
    groups, settings = pd.Series(range(len(labels))).astype(str), SimpleNamespace(trees=50, seed=0)
    rows = score_cues(cues, pd.Series(labels), groups, pd.DataFrame({"source_1": DEALT}), settings)
    return {row["cues"]: row for row in rows}


def half_second(seed: int, level: float = 1.0, limit: int | None = None) -> Waveform:
    sound = noise(0.5, 48_000, seed) / 2
    if limit is not None:
        sound = soxr.resample(soxr.resample(sound, 48_000, 2 * limit), 2 * limit, 48_000)
    return (level * sound).astype(np.float32)


LABELS = ["dog", "rain"] * 24
DEALT = ["train"] * 24 + ["validation"] * 12 + ["test"] * 12


def test_classes_that_differ_in_level_are_told_by_loudness_and_not_by_the_rest(tmp_path: Path) -> None:
    sounds = {f"{label}/{n}.wav": half_second(n, 0.2 if label == "dog" else 1.0) for n, label in enumerate(LABELS)}
    rows = scored(cue_set(tmp_path, sounds), LABELS)
    assert rows["loudness"]["accuracy"] == rows["all"]["accuracy"] == 1
    assert rows["loudness"]["recordings"] == 12
    assert rows["loudness"]["chance"] == rows["duration"]["accuracy"] == 0.5
    assert rows["band_limit"]["low"] < 0.5 < rows["band_limit"]["high"]
    assert rows["loudness"]["by_fold"] == {"source_1": 1.0}


def test_classes_that_differ_in_band_limit_are_told_by_it(tmp_path: Path) -> None:
    limits = [11_025 if label == "dog" else None for label in LABELS]
    sounds = {f"{label}/{n}.wav": half_second(n, 1.0, limits[n]) for n, label in enumerate(LABELS)}
    assert scored(cue_set(tmp_path, sounds), LABELS)["band_limit"]["accuracy"] == 1


def test_nonsense_in_the_test_part_changes_no_score() -> None:
    random = np.random.default_rng(0)
    names = [name for names in CUES.values() for name in names]
    cues = pd.DataFrame(random.normal(size=(48, len(names))), columns=names)
    before = scored(cues, LABELS)
    cues.loc[[part == "test" for part in DEALT]] = np.nan
    nonsense = ["nonsense" if part == "test" else label for label, part in zip(LABELS, DEALT, strict=True)]
    assert scored(cues, nonsense) == before


@pytest.mark.parametrize(
    ("corpus", "editions"),
    [
        ("esc50", ["esc10", "esc10_mixtures", "esc50", "esc50_ogg", "esc50_ogg_mixtures"]),
        (
            "freesound",
            ["esc10", "esc10_mixtures", "esc50", "esc50_ogg", "esc50_ogg_mixtures", "fsd50k", "urbansound8k"],
        ),
        ("fsdd", ["fsdd_digits", "fsdd_speakers"]),
        ("gtzan", ["gtzan_genres", "gtzan_music_speech"]),
        ("librivox", ["librispeech_chapters", "librispeech_speakers"]),
    ],
)
def test_weights_trained_on_a_corpus_are_flagged_on_every_edition_of_it(corpus: str, editions: list[str]) -> None:
    module = Hear(kind="hear", module="a_module", weights=None, trained_on=[corpus])
    params = PARAMS.model_copy(update={"representations": {"a_model": module}})
    assert [name for name in sorted(params.datasets) if params.shared_corpora(name, "a_model")] == editions
    assert "trained_on" not in module.model_dump()  # which decides no feature


def test_weights_trained_on_what_a_data_set_was_drawn_from_are_flagged(project: Path) -> None:
    edit_params(project, lambda record: record.update(drawn_from=["freesound"]), "datasets/pets.yaml")
    weights = {"url": "https://a.example/w.bin", "bytes": 1, "sha256": "0" * 64, "licence": "MIT"}
    heard = {"heard": weights | {"trained_on": ["audioset", "freesound", "pets"]}}
    strange = {"strange": weights | {"trained_on": ["audioset"]}, "unknown": weights}
    takes = {name: {"kind": "efficientat", "weights": name} for name in ("heard", "strange", "unknown")}

    def plant(values: dict[str, Any]) -> None:
        values["weights"].update(heard, **strange)
        values["representations"].update(takes)

    edit_params(project, plant)
    params = load_params()
    shared = {name: params.shared_corpora("pets", name) for name in (*takes, "mel")}
    assert shared == {"heard": ["freesound", "pets"], "strange": [], "unknown": [], "mel": []}
    told = {"dataset": "pets", "clips": 2, "groups": 2, "near_strength": NEAR, "clips_too_quiet_to_compare": 0}
    told |= {"splits": {}, "cues": {}, "pairs": [], "known_errors": {"moved": [], "repetitions": {}}}
    page = print_audit(told | {"heard_before": {"heard": ["freesound", "pets"]}})
    assert "| heard          | freesound, pets |" in page
    assert "- None that says what it was trained on." in print_audit(told | {"heard_before": {}})
