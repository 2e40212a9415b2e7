"""What a program uses of a machine: its device, processor and threads, and the memory it holds.

Memory is measured on Linux with the GNU C library alone.
"""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from threadpoolctl import threadpool_info, threadpool_limits

from beyond_spectrograms.util.errors import ProjectError

PEAK_RESET = Path("/proc/self/clear_refs")  # man 5 proc_pid_clear_refs: writing 5 sets VmHWM to the memory now held


class DeviceError(ProjectError):
    """The device asked for is not there."""


def choose_device(device: str) -> str:
    """Resolve `auto` to cuda where there is one, else cpu.

    Raises:
        DeviceError: cuda was asked for and is not there.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device is cuda in params.yaml, and torch finds no CUDA device. Choose auto or cpu.")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def processor_name() -> str:
    """Name the processor as the system does."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def kernels() -> str:
    """Name the kernels that torch and the BLAS libraries loaded by now compute with; bits of results depend on them.

    As `torch AVX512, oneDNN up to AVX2, openblas SkylakeX`: what oneDNN takes is told where a variable holds it back.
    """
    import torch

    told = [f"torch {torch.backends.cpu.get_cpu_capability()}"]
    if held := os.environ.get("ONEDNN_MAX_CPU_ISA"):
        told.append(f"oneDNN up to {held}")
    blas = {
        f"{each['internal_api']} {each.get('architecture', '')}".strip()
        for each in threadpool_info()
        if each["user_api"] == "blas"
    }
    return ", ".join([*told, *sorted(blas)])


@contextmanager
def one_thread(*, everywhere: bool = False) -> Iterator[None]:
    """Let torch compute on one thread in the block, because the last bits of a sum depend on how many share it.

    With `everywhere` all numerical libraries that are loaded by now are held to one thread: BLAS, OpenMP.
    """
    import torch

    threads = torch.get_num_threads()
    with threadpool_limits(1) if everywhere else nullcontext():
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def compute_alike(device: str) -> None:
    """Let torch give the same bits each time from now on: by one thread, and on the CPU by no kernel that may vary.

    The last bits of a sum depend on how many threads share it, and so on the number of cores.
    """
    import torch

    torch.use_deterministic_algorithms(device == "cpu")
    torch.set_num_threads(1)


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
