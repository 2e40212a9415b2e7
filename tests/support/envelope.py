"""A representation quick enough to extract hundreds of times, and clips for it."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np
import pandas as pd

from beyond_spectrograms.data.audio import Format, Waveform
from beyond_spectrograms.representations.base import Features, Representation
from beyond_spectrograms.representations.feature_cache import Extraction, FeatureRequest, extract
from beyond_spectrograms.representations.stored_rows import DType
from support.common import noise, store_clip

FORM = Format(22_050, 1)


class Envelope(Representation):
    """A quick representation: the peak of every tenth of a second, times each band's number."""

    def __init__(self, bands: int = 3, diary: Path | None = None, encodes: int | None = None) -> None:
        self.name = "envelope"
        self.form = FORM
        self.bands = bands
        self.hop_length = 2_205
        self.diary = diary  # gets a line for each call: how many windows
        self.encodes = encodes  # calls after which the user presses Ctrl-C

    def frames(self, samples: int) -> int:
        return samples // self.hop_length

    def _encode(self, windows: Waveform) -> Features:
        if self.diary:
            with self.diary.open("a") as diary:
                diary.write(f"{len(windows)}\n")
        if self.encodes is not None:
            if self.encodes == 0:
                raise KeyboardInterrupt
            self.encodes -= 1
        peaks: Features = np.abs(windows).reshape(len(windows), 1, -1, self.hop_length).max(axis=3)
        return np.arange(1, self.bands + 1, dtype=np.float32)[None, :, None] * peaks


def add_clips(folder: Path, *numbers: int, seconds: float = 3.0) -> None:
    """Store clips of noise as resampling would, in the one format that is read here."""
    for number in numbers:
        store_clip(folder, FORM, f"cat/{number:02d}.wav", noise(seconds, 22_050, number))


def windows_of(*numbers: int, windows: int = 3) -> pd.DataFrame:
    rows = [(f"cat/{number:02d}.wav", float(start)) for number in numbers for start in range(windows)]
    return pd.DataFrame(rows, columns=["clip", "start_s"])


def run(
    folder: Path,
    table: pd.DataFrame,
    place: str = "place",
    *,
    fingerprint: str = "f",
    dtype: DType = "float32",
    made: Representation | None = None,
    shard_bytes: float | None = None,
    shards_at: str | None = None,
    **options: Any,
) -> Extraction:
    """Extract the clips of folder/clips into folder/<place>, as one array or in shards of about `shard_bytes`."""
    encoder = made or Envelope(**options)
    request = FeatureRequest(
        encoder, table, folder / "clips", 1.0, fingerprint, dtype,
        shard_bytes=shard_bytes, make=lambda: encoder, shards_at=shards_at,
    )  # fmt: skip
    return extract(request, folder / place, folder / "work")


def status_of_child(work: Callable[[], None]) -> int:
    """Do `work` in a child process and return its status as os.waitpid gives it: 0 where nothing was raised."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def killed_at(line: int, modules: Sequence[ModuleType], folder: Path, table: pd.DataFrame, **options: Any) -> bool:
    """Extract in a child process that kills itself at the `line`-th line of modules that handle files.

    Folder/diary gets a line for each call of the encoder. Say whether the child came so far.
    """
    watched, executed = {module.__file__ for module in modules}, 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal executed
        if frame.f_code.co_filename not in watched and frame.f_code.co_name not in ("write_text", "open_memmap"):
            return None
        executed += event == "line"
        if executed == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def extract_until_then() -> None:
        sys.settrace(trace)
        run(folder, table, diary=folder / "diary", **options)

    status = status_of_child(extract_until_then)
    assert status in (0, signal.SIGKILL)
    return bool(status)
