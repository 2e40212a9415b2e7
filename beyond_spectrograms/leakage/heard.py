"""Whether a codec that is trained here heard what it or a probe of it is tested on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from beyond_spectrograms.leakage.audit import SHOWN, LeakageError, Pair, find_pairs, fingerprint_clips
from beyond_spectrograms.leakage.fingerprints import evidence

HEARD, TESTED = "heard", "tested"


def find_heard(
    heard: pd.DataFrame, tested: pd.DataFrame, clips: Path, strength: float, apart_from: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[Pair], int]:
    """Find what stands among the clips that a codec hears and those that are tested.

    Both are tables (dataset, clip, label, group, sha256), of clips of `clips` (data/clips). Groups are compared within
    a data set, and with those of the data sets that `apart_from` names for it. All clips are compared as sounds:
    `strength` is that from which two are near.

    Returns:
        a line for each clip or group that stands in both, the pairs that are the same sound, and how many clips are
        too quiet to be compared by fingerprint.
    """
    lines = [
        f"{row.dataset}: {row.clip}, which tests"
        for row in heard.merge(tested[["dataset", "clip"]], on=["dataset", "clip"]).itertuples()
    ]
    for dataset, of_dataset in heard.groupby("dataset"):
        for other in dict.fromkeys([str(dataset), *apart_from.get(str(dataset), [])]):
            testing = tested[tested["dataset"] == other]
            shared = sorted(set(of_dataset["group"]) & set(testing["group"]))
            lines += [f"{dataset}: group {group}, which tests in {other}" for group in shared]
    named = [
        table.assign(clip=[f"{kind} {row.dataset}/{row.clip}" for row in table.itertuples()])
        for kind, table in ((HEARD, heard), (TESTED, tested))
    ]
    both = pd.concat(named, ignore_index=True)
    known = {
        (dataset, clip): sound
        for table in (heard, tested)
        for dataset, of_dataset in table.groupby("dataset")
        for clip, sound in zip(
            of_dataset["clip"], fingerprint_clips(clips / str(dataset), list(of_dataset["clip"])), strict=True
        )
    }
    sounds = [known[row.dataset, row.clip] for table in (heard, tested) for row in table.itertuples()]
    places = {"": [{name.split()[0]} for name in both["clip"]]}
    pairs = [pair for pair in find_pairs(both, sounds, places, strength, [], apart=len(heard)) if pair.across]
    return lines, pairs, sum(evidence(sound.cells) < strength for sound in sounds)


def check_unheard(codec: str, lines: Sequence[str], pairs: Sequence[Pair]) -> None:
    """Refuse a codec that would hear what is tested.

    Raises:
        LeakageError: it would; the message lists the first clips, groups and pairs.
    """
    if found := [*lines, *map(str, pairs)]:
        more = [f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        raise LeakageError(
            "\n".join([f"{codec}: would hear what is tested", *(f"  {line}" for line in found[:SHOWN]), *more])
            + f"\nName data sets of the same recordings under codecs.{codec}.sounds.apart_from, or clips under without."
        )
