"""What a process may hold in memory, and what it has mapped. Linux alone."""

import re
import resource
from pathlib import Path


def limit_data(more: float) -> None:
    """Let this process have no more than `more` bytes of data beyond what it has; mapped files are none of it.

    A peak of memory is no measure for a test: a process that was forked counts each page of a library that it touches
    for the first time, and a system may take such pages away and so let them count once more.
    """
    has = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert has
    limit = int(has[1]) * 1024 + int(more)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def mapped_bytes(folder: Path) -> int:
    """Count the bytes of files in `folder` that this process has mapped and touched."""
    total, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counts = f" {folder}/" in line
        elif counts and (told := re.match(r"Rss:\s+(\d+) kB", line)):
            total += int(told[1]) * 1024
    return total
