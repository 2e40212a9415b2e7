"""What is in two parts of a split at once: recordings, groups, and pairs of clips that are the same sound.

A split of kind `source` promises that nothing is; `window`, the paper's, promises nothing. All clips are compared, also
those of the test part, but only as sound: no classifier reads that part here.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import cpu_count

from beyond_spectrograms.data.audio import Waveform, read_clip
from beyond_spectrograms.data.clips import clip_path, stem
from beyond_spectrograms.data.splits import count_straddling
from beyond_spectrograms.data.windows import columns_of
from beyond_spectrograms.leakage.fingerprints import FORMAT, Cells, Match, find_matches, fingerprint
from beyond_spectrograms.params import Split
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.progress import track

Places = Mapping[str, Sequence[set[str]]]  # column of parts -> for each clip the parts in which it has windows
Groups = Sequence[Sequence[str]]  # of clips that belong together
KINDS = ("same bytes", "same samples", "near")
OF_NOTHING = hashlib.sha256(b"").hexdigest()  # of samples that are all zero: what sounds above 8 kHz leave here
SHOWN = 5  # pairs in an error; the files of the audit list them all


class LeakageError(ProjectError):
    """A split that promises no leak has one, or an acknowledged pair does not exist; the message says which."""


@dataclass(frozen=True)
class Sound:
    """What is compared of a clip: a digest of its samples, and its fingerprint [frames, bands]."""

    digest: str
    cells: Cells


@dataclass(frozen=True)
class Pair:
    """Two clips that are the same sound, in whole or in part."""

    first: str
    second: str
    labels: tuple[str, str]
    groups: tuple[str, str]
    kind: str  # of KINDS
    match: Match | None  # of their fingerprints; None where these do not match, as of sounds that are too short
    across: tuple[str, ...]  # columns of parts in which they are in different parts
    known: bool  # acknowledged in params

    def __str__(self) -> str:
        sure = f" of strength {self.match.strength:.2f}" if self.match and self.kind == "near" else ""
        return f"{self.first} and {self.second}, {self.kind}{sure}"


def fingerprint_clips(folder: Path, clips: Sequence[str]) -> list[Sound]:
    """Digest and fingerprint every clip; `folder` is data/clips/<dataset>."""

    def read(clip: str) -> Sound:
        samples = read_clip(clip_path(folder, FORMAT, clip), FORMAT)[0]
        return Sound(digest_samples(samples), fingerprint(samples))

    with ThreadPoolExecutor(cpu_count()) as pool:
        return list(track(pool.map(read, clips), "fingerprint", len(clips)))


def digest_samples(samples: Waveform) -> str:
    """SHA-256 of a clip [samples] as 16-bit integers, without the zeros around it.

    It is the same in another container, and where digital silence was added at the ends.
    """
    integers = np.round(samples * 32767).astype("<i2")
    return hashlib.sha256(np.trim_zeros(integers).tobytes()).hexdigest()


def parts_of_clips(table: pd.DataFrame, parts: pd.DataFrame, clips: Sequence[str]) -> dict[str, list[set[str]]]:
    """Find the parts in which each clip has windows, by column; `table` and `parts` have a row a window."""
    grouped = parts.groupby(table["clip"]).agg(lambda values: set(values) - {""})
    return {str(column): list(grouped[column].loc[list(clips)]) for column in parts}


def find_pairs(
    clips: pd.DataFrame, sounds: Sequence[Sound], parts: Places, strength: float, known_pairs: Groups, *, apart: int = 0
) -> list[Pair]:
    """Find all pairs of clips (clip, label, group, sha256) that are the same sound, the surest first.

    Rows of `sounds` (fingerprint_clips) and `parts` (parts_of_clips) are those of `clips`. Two fingerprints that agree
    with at least `strength` are near. `known_pairs` names clips that are acknowledged to be near. `apart` is that of
    find_matches.
    """
    of_nothing = {row for row, sound in enumerate(sounds) if sound.digest == OF_NOTHING}
    same_samples = _pairs_of_equals([sound.digest for sound in sounds])
    kinds = dict.fromkeys((pair for pair in same_samples if pair[0] not in of_nothing), "same samples")
    kinds |= dict.fromkeys(_pairs_of_equals(list(clips["sha256"])), "same bytes")
    matches: dict[tuple[int, int], Match | None] = dict.fromkeys(kinds)
    matches |= {
        (match.first, match.second): match for match in find_matches([s.cells for s in sounds], strength, apart)
    }
    known = {frozenset(map(stem, pair)) for pair in known_pairs}
    names, labels, groups = (list(clips[column]) for column in ("clip", "label", "group"))
    return [
        Pair(
            names[first],
            names[second],
            (labels[first], labels[second]),
            (groups[first], groups[second]),
            kinds.get((first, second), "near"),
            match,
            tuple(name for name, of in parts.items() if of[first] and of[second] and len(of[first] | of[second]) > 1),
            frozenset((stem(names[first]), stem(names[second]))) in known,
        )
        for (first, second), match in matches.items()
    ]


def _pairs_of_equals(digests: Sequence[str]) -> list[tuple[int, int]]:
    rows = pd.Series(range(len(digests))).groupby(list(digests), sort=False)
    return [pair for _, same in rows for pair in combinations(same.tolist(), 2)]


def check_known_pairs(dataset: str, clips: Sequence[str], known_pairs: Groups) -> None:
    """Check that acknowledged pairs name clips.

    Raises:
        LeakageError: a name is not a clip.
    """
    stems = set(map(stem, clips))
    for clip in chain.from_iterable(known_pairs):
        if stem(clip) not in stems:
            raise LeakageError(
                f"datasets/{dataset}.yaml: known_pairs name {clip}, which is not a clip of {dataset}. "
                "Write <label>/<file name>, as in clips.csv."
            )


def describe_repetitions(
    clips: pd.DataFrame, pairs: Sequence[Pair], parts: Places, repetitions: Mapping[str, Groups]
) -> dict[str, Any]:
    """Check the repetitions that params list by name (kind -> groups of clips).

    Of groups with two clips or more in the data set it counts pairs, and pairs found to be the same, and lists those
    that splits do not keep together and, by column, those in two parts.
    """
    rows = {stem(clip): row for row, clip in enumerate(clips["clip"])}
    groups = list(clips["group"])
    heard = {frozenset((stem(pair.first), stem(pair.second))) for pair in pairs}
    described: dict[str, Any] = {}
    for kind, known in repetitions.items():
        found = ([name for name in map(stem, names) if name in rows] for names in known)
        present = [group for group in found if len(group) > 1]
        couples = [frozenset(couple) for group in present for couple in combinations(group, 2)]
        described[kind] = {
            "groups": len(known),
            "groups_present": len(present),
            "pairs_present": len(couples),
            "pairs_heard": sum(couple in heard for couple in couples),
            "not_one_group": [group for group in present if len({groups[rows[name]] for name in group}) > 1],
            "in_two_parts": {
                column: [group for group in present if len(set().union(*(of[rows[name]] for name in group))) > 1]
                for column, of in parts.items()
            },
        }
    return described


def describe_splits(
    table: pd.DataFrame, parts: pd.DataFrame, splits: Mapping[str, Split], pairs: Sequence[Pair], repetitions: Any
) -> dict[str, Any]:
    """Count for every split and column what is in two parts; `table` and `parts` have a row a window.

    `repetitions` are what describe_repetitions gives. `leaks` is the sum without acknowledged pairs, which must be 0
    where a split promises no leak.
    """
    described: dict[str, Any] = {}
    for name, split in splits.items():
        columns = {}
        for column in columns_of(name, parts):
            across = [pair for pair in pairs if column in pair.across]
            figures = {
                "recordings_in_two_parts": count_straddling(table["clip"], parts[column]),
                "groups_in_two_parts": count_straddling(table["group"], parts[column]),
                "known_repetitions_in_two_parts": sum(len(of["in_two_parts"][column]) for of in repetitions.values()),
            }
            columns[column] = {
                **figures,
                "pairs_across": {kind: sum(pair.kind == kind for pair in across) for kind in KINDS},
                "known_pairs_across": sum(pair.known for pair in across),
                "leaks": sum(figures.values()) + sum(not pair.known for pair in across),
            }
        described[name] = {"promises_no_leak": split.kind == "source", "columns": columns}
    return described


def check_no_leak(dataset: str, described: Mapping[str, Any], pairs: Sequence[Pair]) -> None:
    """Check that splits that promise no leak have none that is not acknowledged.

    Raises:
        LeakageError: one has; the message lists columns and the first pairs, and says what to do.
    """
    lines = []
    for name, split in described.items():
        if not split["promises_no_leak"] or not any(column["leaks"] for column in split["columns"].values()):
            continue
        lines.append(f"{dataset}: split {name} promises no leak and has one")
        for column, figures in split["columns"].items():
            found = {key.replace("_", " "): count for key, count in figures.items() if key.endswith("in_two_parts")}
            lines += [f"  {column}: {count} {what}" for what, count in found.items() if count]
        leaking = [pair for pair in pairs if not pair.known and set(pair.across) & set(split["columns"])]
        for pair in leaking[:SHOWN]:
            columns = ", ".join(column for column in pair.across if column in split["columns"])
            lines.append(f"  {columns}: {pair}")
        if len(leaking) > SHOWN:
            lines.append(f"  and {len(leaking) - SHOWN} more pairs, all in metrics/{dataset}/audit.md")
    if lines:
        raise LeakageError(
            "\n".join(lines)
            + f"\nGive such clips one group (datasets/{dataset}.yaml: source.name or source.known_repetitions), "
            "or acknowledge a pair there under known_pairs."
        )


def describe_pair(pair: Pair) -> dict[str, Any]:
    """Lay out a pair for metrics/<dataset>/audit.json."""
    measures = ("similarity", "strength", "offset_s", "overlap_s")
    return {
        **{key: getattr(pair, key) for key in ("first", "second", "kind", "known")},
        **{key: None if pair.match is None else round(getattr(pair.match, key), 4) for key in measures},
        **{key: list(getattr(pair, key)) for key in ("labels", "groups", "across")},
    }
