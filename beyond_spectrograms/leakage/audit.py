"""What stands in two parts of a split: recordings, groups, and pairs of clips that are the same sound.

A split of kind `source` promises that nothing does; `window`, the paper's, promises nothing. All clips are compared,
those of the test part too, but as sound: no classifier reads that part here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from joblib import cpu_count

from beyond_spectrograms.data.audio import Waveform, read_clip
from beyond_spectrograms.data.clips import clip_path, stem
from beyond_spectrograms.data.splits import count_straddling
from beyond_spectrograms.data.windows import columns_of
from beyond_spectrograms.leakage.fingerprints import FORMAT, Cells, Match, find_matches, fingerprint
from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.progress import track

if TYPE_CHECKING:
    from beyond_spectrograms.params import Split

KINDS = ("same bytes", "same samples", "near")
SHOWN = 5  # pairs in an error; all of them stand in the files of the audit


class LeakageError(ProjectError):
    """A split that promises no leak has one, or a pair is acknowledged that cannot be; the message says which."""


@dataclass(frozen=True)
class Sound:
    """A clip as it is compared: a digest of its samples, and its fingerprint, signs [frames, bands]."""

    digest: str
    cells: Cells


@dataclass(frozen=True)
class Pair:
    """Two clips that are the same sound, in whole or in part.

    kind: same bytes, same samples or near. match: of their fingerprints, None where they do not match, as sounds too
    short to tell. across: the columns of parts in which they stand in different parts. known: acknowledged in params.
    """

    first: str
    second: str
    labels: tuple[str, str]
    groups: tuple[str, str]
    kind: str
    match: Match | None
    across: tuple[str, ...]
    known: bool


def listen(folder: Path, clips: Sequence[str]) -> list[Sound]:
    """Digest and fingerprint every clip; `folder` is data/clips/<dataset>."""

    def hear(clip: str) -> Sound:
        samples = read_clip(clip_path(folder, FORMAT, clip), FORMAT)[0]
        return Sound(digest_samples(samples), fingerprint(samples))

    with ThreadPoolExecutor(cpu_count()) as pool:
        return list(track(pool.map(hear, clips), "listen", len(clips)))


def digest_samples(samples: Waveform) -> str:
    """SHA-256 of a clip [samples] as 16-bit integers without the zeros around it.

    Finds one sound in two containers, and in one that pads it with digital silence.
    """
    integers = np.round(samples * 32767).astype("<i2")
    return hashlib.sha256(np.trim_zeros(integers).tobytes()).hexdigest()


def parts_of_clips(table: pd.DataFrame, parts: pd.DataFrame, clips: Sequence[str]) -> dict[str, list[set[str]]]:
    """For each column of parts the parts in which each clip has windows; `table` and `parts` have a row a window."""
    found = {}
    for column in parts:
        sets = parts[column].groupby(table["clip"]).agg(lambda values: set(values) - {""})
        found[str(column)] = [sets[clip] for clip in clips]
    return found


def find_pairs(
    clips: pd.DataFrame,
    sounds: Sequence[Sound],
    parts: Mapping[str, Sequence[set[str]]],
    strength: float,
    known_pairs: Sequence[Sequence[str]],
) -> list[Pair]:
    """Find all pairs of clips (clip, label, group, sha256) that are the same sound, the surest first.

    Args:
        clips: the table; sounds and the values of parts (parts_of_clips) have its rows.
        sounds: what `listen` heard.
        parts: where the clips stand.
        strength: of two fingerprints' agreement, from which on they are near.
        known_pairs: names of clips acknowledged to be near.
    """
    kinds = dict.fromkeys(_pairs_of_equals([sound.digest for sound in sounds]), "same samples")
    kinds |= dict.fromkeys(_pairs_of_equals(list(clips["sha256"])), "same bytes")
    matches: dict[tuple[int, int], Match | None] = dict.fromkeys(kinds)
    matches |= {(match.first, match.second): match for match in find_matches([s.cells for s in sounds], strength)}
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
            tuple(column for column, of in parts.items() if _apart(of[first], of[second])),
            frozenset((stem(names[first]), stem(names[second]))) in known,
        )
        for (first, second), match in matches.items()
    ]


def _pairs_of_equals(digests: Sequence[str]) -> list[tuple[int, int]]:
    rows: dict[str, list[int]] = {}
    for row, digest in enumerate(digests):
        rows.setdefault(digest, []).append(row)
    return [pair for same in rows.values() for pair in combinations(same, 2)]


def _apart(first: set[str], second: set[str]) -> bool:
    return bool(first and second) and len(first | second) > 1


def check_known_pairs(dataset: str, clips: Sequence[str], known_pairs: Sequence[Sequence[str]]) -> None:
    """Stop where an acknowledged pair names what is not a clip.

    Raises:
        LeakageError: naming it.
    """
    stems = {stem(clip) for clip in clips}
    for clip in (clip for pair in known_pairs for clip in pair):
        if stem(clip) not in stems:
            raise LeakageError(
                f"datasets/{dataset}.yaml: known_pairs name {clip}, which is not a clip of {dataset}. "
                "Write <label>/<file name>, as in clips.csv."
            )


def describe_repetitions(
    clips: pd.DataFrame,
    pairs: Sequence[Pair],
    parts: Mapping[str, Sequence[set[str]]],
    repetitions: Mapping[str, Sequence[Sequence[str]]],
) -> dict[str, Any]:
    """Follow the repetitions that params know by name (kind -> groups of clips).

    Returns:
        for each kind: the groups known, those of which two clips or more are in the data set, their pairs, how many of
        these were heard to be the same, the groups not kept as one, and for each column those in two parts.
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
    table: pd.DataFrame,
    parts: pd.DataFrame,
    splits: Mapping[str, Split],
    pairs: Sequence[Pair],
    repetitions: Mapping[str, Any],
) -> dict[str, Any]:
    """For every split and column what stands in two parts; `table` and `parts` have a row a window.

    `leaks` counts what a split that promises no leak must not have: acknowledged pairs are not in it.
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
    """Stop where a split that promises no leak has one that is not acknowledged.

    Raises:
        LeakageError: with the splits, their columns, the first pairs, and what to do.
    """
    lines = []
    for name, split in described.items():
        if not split["promises_no_leak"] or not any(column["leaks"] for column in split["columns"].values()):
            continue
        lines.append(f"{dataset}: split {name} promises no leak and has one")
        for column, figures in split["columns"].items():
            lines += [
                f"  {column}: {figures[key]} {key.replace('_', ' ')}"
                for key in ("recordings_in_two_parts", "groups_in_two_parts", "known_repetitions_in_two_parts")
                if figures[key]
            ]
        leaking = [pair for pair in pairs if not pair.known and set(pair.across) & set(split["columns"])]
        for pair in leaking[:SHOWN]:
            sure = f" of strength {pair.match.strength:.2f}" if pair.match and pair.kind == "near" else ""
            columns = ", ".join(column for column in pair.across if column in split["columns"])
            lines.append(f"  {columns}: {pair.first} and {pair.second}, {pair.kind}{sure}")
        if len(leaking) > SHOWN:
            lines.append(f"  and {len(leaking) - SHOWN} more pairs, all in metrics/{dataset}/audit.md")
    if lines:
        raise LeakageError(
            "\n".join(lines)
            + f"\nGive such clips one group (datasets/{dataset}.yaml: source.name or source.known_repetitions), "
            "or acknowledge a pair there under known_pairs."
        )


def describe_pair(pair: Pair) -> dict[str, Any]:
    """Lay out a pair as it stands in metrics/<dataset>/audit.json."""
    measures = ("similarity", "strength", "offset_s", "overlap_s")
    return {
        **{key: getattr(pair, key) for key in ("first", "second", "kind", "known")},
        **{key: None if pair.match is None else round(getattr(pair.match, key), 4) for key in measures},
        **{key: list(getattr(pair, key)) for key in ("labels", "groups", "across")},
    }
