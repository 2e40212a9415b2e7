"""File-level cues: level, band limit, length and sample rate of a recording.

A classifier on these alone shows how far classes can be told by how they were recorded. It is trained on the train
recordings of a split and scored on its validation recordings: the test part is left to `evaluate`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import cpu_count

from beyond_spectrograms.data.audio import FORMATS, SILENCE_PEAK, Waveform, read_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.params import Audit
from beyond_spectrograms.util.progress import track

FORMAT = FORMATS[-1]  # 48 kHz: the widest band
FRAME = 4096  # samples, 85 ms: bins of 12 Hz
LEAST_DB = -120.0  # below the noise of 16 bits; in place of minus infinity
CUES = {
    "loudness": ("peak_dbfs", "rms_dbfs", "silent_share"),
    "band_limit": ("hz_of_99_percent", "hz_of_99_9_percent", "db_above_8_khz", "db_above_10_khz"),
    "duration": ("seconds", "source_sample_rate"),
}


def measure_cues(folder: Path, clips: pd.DataFrame) -> pd.DataFrame:
    """Measure every clip of a table (clip, seconds, source_sample_rate); `folder` is data/clips/<dataset>.

    Returns:
        rows as in `clips`, the columns of CUES.
    """

    def measure(clip: str) -> dict[str, float]:
        return measure_sound(read_clip(clip_path(folder, FORMAT, clip), FORMAT)[0], FORMAT.sample_rate)

    with ThreadPoolExecutor(cpu_count()) as pool:
        sounds = list(track(pool.map(measure, clips["clip"]), "measure cues", len(clips)))
    table = pd.DataFrame(sounds, index=clips.index).join(clips[["seconds", "source_sample_rate"]])
    return table[[name for names in CUES.values() for name in names]]


def measure_sound(samples: Waveform, sample_rate: int) -> dict[str, float]:
    """Level and band limit of a clip [samples] that is not silent throughout.

    peak_dbfs, rms_dbfs: relative to full scale, so a sine of peak 1 has -3 dB RMS. silent_share: of stretches of 20 ms,
    those without a sample above SILENCE_PEAK. hz_of_..._percent: the frequency below which that much of the power is.
    db_above_...: power above that frequency, relative to all power.
    """
    length = round(0.02 * sample_rate)
    runs = np.abs(np.pad(samples, (0, -len(samples) % length))).reshape(-1, length).max(axis=1)
    frames = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME)
    window = np.hanning(FRAME).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames * window, axis=1))).sum(axis=0, dtype=np.float64)
    hertz = np.arange(len(power)) * sample_rate / FRAME
    share = np.cumsum(power) / power.sum()
    return {
        "peak_dbfs": _decibels(float(np.abs(samples).max()) ** 2),
        "rms_dbfs": _decibels(float(np.square(samples, dtype=np.float64).mean())),
        "silent_share": float((runs <= SILENCE_PEAK).mean()),
        "hz_of_99_percent": float(hertz[np.searchsorted(share, 0.99)]),
        "hz_of_99_9_percent": float(hertz[np.searchsorted(share, 0.999)]),
        "db_above_8_khz": _decibels(float(power[hertz > 8_000].sum() / power.sum())),
        "db_above_10_khz": _decibels(float(power[hertz > 10_000].sum() / power.sum())),
    }


def _decibels(power: float) -> float:
    return max(LEAST_DB, 10 * float(np.log10(max(power, 1e-30))))


def score_cues(
    cues: pd.DataFrame, labels: pd.Series[str], groups: pd.Series[str], parts: pd.DataFrame, audit: Audit
) -> list[dict[str, Any]]:
    """Score a random forest on each set of cues, and on all of them, over the folds of one split.

    All tables have a row a recording, `parts` a column a fold; what is neither train nor validation is not used.

    Returns:
        a row a set of cues: accuracy over the validation recordings of all folds and by fold; chance, which is always
        naming their commonest class. The 95 % interval is Wilson's with groups as trials, because recordings of one
        source are not independent.
    """
    from sklearn.ensemble import RandomForestClassifier

    rows = []
    for name, columns in {**CUES, "all": tuple(cues.columns)}.items():
        right: list[Any] = []
        by_fold = {}
        for fold in parts:
            train, scored = parts[fold] == "train", parts[fold] == "validation"
            forest = RandomForestClassifier(audit.trees, random_state=audit.seed, n_jobs=1)
            forest.fit(cues.loc[train, list(columns)].to_numpy(), labels[train].to_numpy())
            guesses = forest.predict(cues.loc[scored, list(columns)].to_numpy())
            right.append(pd.Series(guesses == labels[scored], index=labels[scored].index))
            by_fold[str(fold)] = float(right[-1].mean())
        pooled = pd.concat(right)
        accuracy = float(pooled.mean())
        low, high = wilson_interval(accuracy, groups[pooled.index].nunique())
        chance = float(labels[pooled.index].value_counts(normalize=True).max())
        row = {"cues": name, "recordings": len(pooled), "accuracy": accuracy, "low": low, "high": high}
        rows.append(row | {"chance": chance, "by_fold": by_fold})
    return rows


def wilson_interval(share: float, trials: int) -> tuple[float, float]:
    """95 % interval of a share of `trials` (Wilson 1927, Journal of the American Statistical Association 22, 209)."""
    z = 1.959963984540054  # the normal distribution's 97.5 % quantile
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * float(np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)))
    return max(0.0, centre - half), min(1.0, centre + half)
