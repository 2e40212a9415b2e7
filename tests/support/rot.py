"""One bit of a stored file flipped, as a disk does it: at a seeded place, and without a trace in its times."""

import os
from pathlib import Path

import numpy as np


def rot(path: Path, seed: int = 0) -> None:
    """Flip one bit somewhere in a file; its size and times stay, and so do they of what is linked to it."""
    stat, mode = path.stat(), path.stat().st_mode
    random = np.random.default_rng([seed, stat.st_size])
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(place := int(random.integers(stat.st_size)))
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << int(random.integers(8))]))
    path.chmod(mode)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
