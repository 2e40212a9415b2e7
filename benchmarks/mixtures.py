"""Mixtures of two sounds with both labels, to try `train --labels` on: clips of ESC-10, mixed in pairs.

Every source is paired at random with one of another class, so that no source stands in two groups. Each clip is mixed
with a clip of its source's partner, which is -10 to 10 dB louder. Writes FOLDER/mixtures/ and FOLDER/labels.csv, from
what `dvc repro download@esc10` laid out.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.params.protocols import SEVERAL
from beyond_spectrograms.params.study import RAW
from beyond_spectrograms.util.commands import run
from beyond_spectrograms.util.errors import ProjectError

SOUNDS = RAW / "esc10" / "audio"
SAME = {"151085": "151080"}  # one recording under two numbers of Freesound
LOUDER_DB = 10.0
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write; must not exist")
    folder = parser.parse_args().folder
    if not SOUNDS.is_dir():
        raise ProjectError(f"{SOUNDS}: missing. Run dvc repro download@esc10.")
    (folder / "mixtures").mkdir(parents=True)
    random, rows = np.random.default_rng(SEED), []
    clips_of: dict[str, list[Path]] = {}
    for path in sorted(SOUNDS.glob("*/*")):
        source = path.stem.split("-")[1]
        clips_of.setdefault(SAME.get(source, source), []).append(path)
    for number, pair in enumerate(pair_sources(clips_of, random)):
        mixed: set[frozenset[Path]] = set()
        for source, partner in (pair, pair[::-1]):
            for clip in clips_of[source]:
                other = clips_of[partner][random.integers(len(clips_of[partner]))]
                if frozenset((clip, other)) not in mixed:
                    mixed.add(frozenset((clip, other)))
                    file = f"mixtures/{number:03d}_{len(mixed)}.flac"
                    soundfile.write(folder / file, *mix(clip, other, random.uniform(-LOUDER_DB, LOUDER_DB)))
                    rows.append((file, SEVERAL.join((clip.parent.name, other.parent.name)), f"pair {number}"))
    pd.DataFrame(rows, columns=["file", "label", "group"]).to_csv(folder / "labels.csv", index=False)
    print(f"{folder}: {len(rows)} mixtures of {number + 1} pairs of sources")


def pair_sources(clips_of: dict[str, list[Path]], random: np.random.Generator) -> list[tuple[str, str]]:
    """Pair each source with one of another class, as long as there is one."""
    left = random.permutation(sorted(clips_of)).tolist()
    pairs = []
    while left:
        source = left.pop()
        label = clips_of[source][0].parent.name
        if partner := next((other for other in left if clips_of[other][0].parent.name != label), None):
            left.remove(partner)
            pairs.append((source, partner))
    return pairs


def mix(first: Path, second: Path, louder_db: float) -> tuple[Waveform, int]:
    """Add the second clip, whose power is brought to so many dB above the first's; gives samples and their rate."""
    (one, rate), (two, _) = (soundfile.read(path, dtype="float32", always_2d=True) for path in (first, second))
    length = min(len(one), len(two))
    one, two = (samples[:length].mean(axis=1) for samples in (one, two))
    gain = 10 ** (louder_db / 20) * np.sqrt(np.square(one).mean() / np.square(two).mean())
    mixed = one + gain * two
    return 0.9 * mixed / np.abs(mixed).max(), rate


if __name__ == "__main__":
    run(main)
