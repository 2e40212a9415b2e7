"""Store many windows in shards and read them, within little more memory than few take: a process of its own.

Run as `python -m support.many_windows FOLDER PLACE` by test_shards.py. A forked child would not do: it may fill memory
that its parent once freed, unseen by a limit on what it asks the system for.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from beyond_spectrograms.data.windows import open_features, release
from support.envelope import run, windows_of
from support.memory import limit_data, mapped_bytes
from support.sharded import ALL


def store_and_read(clips: Path, count: int, place: str, *, hold: bool = False) -> None:
    """Store so many clips, 1.2 MB of features each, and read them in blocks; `hold` keeps what was read."""
    table = windows_of(*[n % len(ALL) for n in range(count)])
    table["start_s"] += np.repeat(np.arange(count), 3) * 1e-9  # no two have one key
    run(clips, table, place, shard_bytes=5e6, bands=10_000)
    features = open_features(clips / place, len(table))
    blocks: list[Any] = []
    for first in range(0, len(features), 8):
        block = features[first : first + 8]
        assert 0 < mapped_bytes(clips / place) < 20e6
        release(features)
        assert mapped_bytes(clips / place) == 0
        blocks.append(block if hold else block.mean())


def main() -> None:
    """Do it within 60 MB more than ten clips took: 120 MB are stored, then read."""
    clips, place = Path(sys.argv[1]), sys.argv[2]
    store_and_read(clips, 10, f"few_before_{place}")
    limit_data(60e6)
    store_and_read(clips, 100, place, hold=place == "held")


if __name__ == "__main__":
    main()
