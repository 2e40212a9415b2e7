"""Sounds of the report page: the most confidently wrong windows of the best cell, to be heard and seen."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from beyond_spectrograms.data.audio import Format, Waveform, cut_windows, read_clip
from beyond_spectrograms.data.clips import clip_path
from beyond_spectrograms.evaluation.clip_results import Recordings
from beyond_spectrograms.evaluation.metrics import tabulate_predictions
from beyond_spectrograms.evaluation.predict import read_predictions
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.page.curves import last_rung
from beyond_spectrograms.report.page.html import RANGE_DB, PageError, png, sound_file

EXCERPTS = 12
HEARD = Format(16_000, 1)  # 32 kB a second as 16-bit WAV, which every browser plays
BANDS, N_FFT, HOP_LENGTH = 80, 512, 128  # 32 ms windows, 8 ms frames: for the eye, no representation of the study


@dataclass(frozen=True)
class BestCell:
    """The cell whose errors are heard: the trained representation with the highest validation accuracy, 0 to 1."""

    representation: str
    protocol: str
    validation_accuracy: float


@dataclass(frozen=True)
class Excerpt:
    """One wrong window: base64 of its sound (WAV) and its spectrogram (PNG); `probability` 0 to 1, mean over seeds."""

    clip: str
    start_s: float
    label: str
    predicted: str
    probability: float
    agreeing: int
    seeds: int
    recording: str
    sound: str
    picture: str


def best_cell(results: Results) -> BestCell | None:
    """Choose by validation alone (Cell.validation_accuracy), on the ladder's last rung that was run.

    Controls are left out; of equals the first in params.yaml is taken. None where nothing was run.
    """
    protocol = last_rung(results)
    found = [
        BestCell(name, protocol, accuracy)
        for name in results.names()
        if protocol and not results.is_control(name)
        if (accuracy := results.cell(name, protocol).validation_accuracy()) is not None
    ]
    return max(found, key=lambda cell: cell.validation_accuracy, default=None)


def excerpts_of(results: Results, best: BestCell, models: Path, windows: pd.DataFrame, clips: Path) -> list[Excerpt]:
    """Cut what the best cell got wrong, where the data set's licence lets excerpts be passed on.

    Args:
        results: of the data set.
        best: its best cell.
        models: the cell's folder of trained classifiers and their answers.
        windows: the data set's table of windows.
        clips: data/clips/<dataset>.
    """
    dataset, cell = results.dataset, results.cell(best.representation, best.protocol)
    if results.params.datasets[dataset].notice is None or cell.recordings is None:
        return []
    if not models.is_dir():
        print(f"{dataset}: the weights of {best.representation}-{best.protocol} are not here: nothing to hear")
        return []
    answers = [read_predictions(path, len(windows)) for path in sorted(models.glob("*.predictions.safetensors"))]
    wrong = confidently_wrong(tabulate_predictions(answers, windows, sorted(windows["label"].unique())))
    return cut_excerpts(wrong, cell.recordings, clips, results.params.windows.length_s)


def confidently_wrong(predictions: pd.DataFrame, count: int = EXCERPTS) -> pd.DataFrame:
    """Choose the wrong windows with the highest probability of the wrong class, one a recording, silent ones left out.

    With several seeds the probability is the mean over them, 0 for a seed that said another class (its probability of
    this one is not kept): a lower bound. Rows: clip, start_s, label, predicted, probability, agreeing, seeds.
    """
    seeds = predictions["seed"].nunique()
    wrong = predictions[(predictions["predicted"] != predictions["label"]) & (predictions["silent"] == 0)]
    windows = wrong.groupby(["clip", "start_s", "label", "predicted"], as_index=False).agg(
        total=("probability", "sum"), agreeing=("seed", "nunique")
    )
    windows["probability"] = windows["total"] / seeds
    windows["seeds"] = seeds
    ranked = windows.sort_values(["probability", "clip", "start_s"], ascending=[False, True, True], kind="stable")
    return ranked.drop(columns="total").drop_duplicates("clip").head(count).reset_index(drop=True)


def describe_recording(recordings: Recordings, clip: str) -> str:
    """Say how the whole recording fared: `2 of 10 windows right over 2 seeds, as a whole wrong`."""
    row = recordings.clips.index(clip)
    right, windows = recordings.windows_right[:, row].sum(), recordings.windows[:, row]
    seeds = np.count_nonzero(windows)
    over = f" over {seeds} seeds" if seeds > 1 else ""
    whole = "right" if recordings.right_by_seeds[row] else "wrong"
    return f"{right} of {windows.sum()} windows right{over}, as a whole {whole}"


def cut_excerpts(wrong: pd.DataFrame, recordings: Recordings, clips: Path, length_s: float) -> list[Excerpt]:
    """Cut the chosen windows out of their stored clips.

    Args:
        wrong: as `confidently_wrong` chose them.
        recordings: the cell's.
        clips: data/clips/<dataset>.
        length_s: of a window, seconds.

    Raises:
        PageError: a clip is not there.
    """
    excerpts = []
    for row in wrong.to_dict("records"):
        path = clip_path(clips, HEARD, row["clip"])
        if not path.exists():
            raise PageError(f"{path}: no such clip, though it was tested. Run the resample stage again.")
        samples = cut_windows(read_clip(path, HEARD), [float(row["start_s"])], length_s, HEARD.sample_rate)[0, 0]
        told = describe_recording(recordings, row["clip"])
        sound, picture = (base64.b64encode(each).decode("ascii") for each in (wav(samples), png(log_mel(samples))))
        excerpts.append(Excerpt(**row, recording=told, sound=sound, picture=picture))
    return excerpts


def wav(samples: Waveform) -> bytes:
    """Encode samples [samples] in [-1, 1] as 16-bit mono WAV."""
    return sound_file(samples, HEARD.sample_rate, "WAV", "PCM_16")


def log_mel(samples: Waveform) -> npt.NDArray[np.float32]:
    """Compute the picture's spectrogram [bands, frames] in dB below its loudest point, at most 70."""
    import librosa

    power = librosa.feature.melspectrogram(
        y=samples, sr=HEARD.sample_rate, n_fft=N_FFT, hop_length=HOP_LENGTH, n_mels=BANDS
    )
    decibels = librosa.power_to_db(power, ref=float(max(power.max(), 1e-10)), top_db=RANGE_DB)
    return np.asarray(decibels, dtype=np.float32)
