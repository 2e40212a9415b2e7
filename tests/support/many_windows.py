"""Store many windows in shards and read them, within little more memory than few take: a process of its own.

Run as `python -m support.many_windows FOLDER` by test_shards.py. A forked child would not do: it may fill memory that
its parent once freed, unseen by a limit on what it asks the system for.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from beyond_spectrograms.data.windows import open_features, release
from support.envelope import run, windows_of
from support.memory import limit_data, mapped_bytes
from support.sharded import ALL


def store(clips: Path, count: int, place: str) -> Path:
    """Store so many clips, 1.2 MB of features each."""
    table = windows_of(*[n % len(ALL) for n in range(count)])
    table["start_s"] += np.repeat(np.arange(count), 3) * 1e-9  # no two have one key
    run(clips, table, place, shard_bytes=5e6, bands=10_000)
    return clips / place


def read(place: Path, count: int, *, hold: bool = False) -> None:
    """Read the features of so many clips in blocks; `hold` keeps what was read."""
    features = open_features(place, 3 * count)
    blocks: list[Any] = []
    for first in range(0, len(features), 8):
        block = features[first : first + 8]
        assert 0 < mapped_bytes(place) < 20e6
        release(features)
        assert mapped_bytes(place) == 0
        blocks.append(block if hold else block.mean())


def main() -> None:
    """Store and read 120 MB within 60 MB more than ten clips took; then there is no room to hold what is read."""
    clips = Path(sys.argv[1])
    read(store(clips, 10, "few"), 10)
    limit_data(60e6)
    many = store(clips, 100, "many")
    read(many, 100)
    print("read in blocks", flush=True)
    read(many, 100, hold=True)


if __name__ == "__main__":
    main()
