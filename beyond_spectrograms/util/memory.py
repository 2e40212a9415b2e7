"""How much memory a process holds, and the most it held since a moment of choice. Linux with the GNU C library."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

PEAK_RESET = Path("/proc/self/clear_refs")  # man 5 proc_pid_clear_refs: writing 5 sets VmHWM to the memory now held


def memory_can_be_measured() -> bool:
    """Say whether this system can forget a process's peak memory (Linux) and give back what was freed (glibc)."""
    return sys.platform == "linux" and PEAK_RESET.exists() and hasattr(ctypes.CDLL(None), "malloc_trim")


def forget_peak() -> int:
    """Give freed memory back, start a new peak and return the bytes held now.

    Without giving it back, what was taken and freed before would count as held, and hide as much of the peak.
    """
    ctypes.CDLL(None).malloc_trim(0)
    held = _resident("VmRSS")
    PEAK_RESET.write_text("5", encoding="ascii")
    return held


def peak_bytes() -> int:
    """Read the most bytes this process held since it began or since `forget_peak`, mapped pages of files included."""
    return _resident("VmHWM")


def _resident(key: str) -> int:
    """Read VmRSS (bytes of memory held) or VmHWM (the most ever held) of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
