"""What tests of every package use: sounds, YAML, what a folder holds, bytes flipped, and what an error says."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from beyond_spectrograms.data.audio import Format, Waveform, write_clip
from beyond_spectrograms.data.clips import clip_path


def read_yaml(text: str) -> Any:
    """Read YAML by libyaml, which is several times as fast as PyYAML's own code, where it is installed."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def dump_yaml(values: Any) -> str:
    """Write YAML in the order of the values, by libyaml where it is installed."""
    return str(yaml.dump(values, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))


def noise(seconds: float, sample_rate: int = 44_100, seed: int = 0) -> Waveform:
    """Make white noise at about -20 dBFS, [samples]; another seed is another sound."""
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * sample_rate)).astype(np.float32)


def tone(seconds: float, hertz: float = 1000, sample_rate: int = 44_100, peak: float = 0.5) -> Waveform:
    """Make a sine, [samples]."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (peak * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def sound_file(sound: Waveform, sample_rate: int = 44_100, form: str = "WAV", subtype: str | None = None) -> bytes:
    """Give the bytes of a file with a sound."""
    file = io.BytesIO()
    soundfile.write(file, sound, sample_rate, format=form, subtype=subtype)
    return file.getvalue()


def stack(count: int, form: Format, seconds: float = 1.0) -> Waveform:
    """Make windows [count, channels, samples] of noise, each of another loudness; both channels are the same."""
    windows = [noise(seconds, form.sample_rate, seed) * 10.0**-seed for seed in range(count)]
    return np.repeat(np.stack(windows).astype(np.float32)[:, None], form.channels, axis=1)


def store_clip(folder: Path, form: Format, clip: str, sound: Waveform) -> None:
    """Store a sound [samples] as resampling would, in one format; all channels are the same."""
    path = clip_path(folder, form, clip)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, np.repeat(sound[:, None], form.channels, axis=1), form.sample_rate)


def contents(folder: Path) -> dict[str, bytes]:
    """Read the files of a folder by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lay_out(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder by name, as `contents` reads them."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def flip(path: Path, *offsets: int) -> None:
    """Flip a bit of each of these bytes of a file."""
    content = bytearray(path.read_bytes())
    for offset in offsets:
        content[offset] ^= 1 << offset % 8
    path.write_bytes(content)


def refusal(kind: Any, work: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """Call what must raise this error, and give what it says."""
    with pytest.raises(kind) as caught:
        work(*arguments, **options)
    return str(caught.value)
