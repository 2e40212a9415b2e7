"""Small disks: file systems in memory, which only root may mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LARGE = 2**30  # bytes of a disk with room for all


def mount(place: Path, size: int, *options: str) -> int:
    """Mount a file system in memory of so many bytes, or with `remount` as first option give it another size."""
    how = ",".join([*options, f"size={size}"])
    return subprocess.run(
        ["mount", "-t", "tmpfs", "-o", how, "small", place], check=False, capture_output=True
    ).returncode


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """Mount one that is large at first. Its files end with it."""
    place.mkdir()
    assert mount(place, LARGE) == 0
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def used(place: Path) -> int:
    """Count the bytes that a file system holds."""
    told = os.statvfs(place)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


def may_mount(place: Path) -> bool:
    place.mkdir()
    if mounted := mount(place, LARGE) == 0:
        subprocess.run(["umount", place], check=True)
    return mounted
