"""What the page lets one hear: which cell and windows, as they were classified, with a picture."""

import base64
import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from PIL import Image

from beyond_spectrograms.evaluation.predict import Predictions, write_predictions
from beyond_spectrograms.evaluation.results import Cell, Results
from beyond_spectrograms.report.page import excerpts
from beyond_spectrograms.report.page.html import PageError, png
from stages import illustrate
from support.cells import CLASSES, FOLDS, WINDOWS, write
from support.common import refusal, tone
from support.page_files import TONES, curve
from support.repository import Capture, Patch


def test_the_cell_to_listen_to_is_chosen_by_validation_and_never_by_test(page_results: Results) -> None:
    chosen = excerpts.best_cell(page_results)
    accuracy = pytest.approx(0.75 * np.mean([14 / 16, 16 / 18, 18 / 20]))
    assert chosen == excerpts.BestCell("soundstream", "fair", accuracy)
    mel = page_results.cell("mel", "fair")

    def best_with(changed: Cell) -> excerpts.BestCell | None:
        return excerpts.best_cell(replace(page_results, cells={**page_results.cells, ("mel", "fair"): changed}))

    perfect = {"window_accuracy": 1.0, "recording_accuracy": 1.0, "class_accuracy": 1.0}
    assert best_with(replace(mel, scores=mel.scores.model_copy(update=perfect))) == chosen
    # The run of fold 1 is tested at its epoch 14: what it reached before does not count.
    assert best_with(replace(mel, curves=(curve(*[0.99] * 13, 0.1),))) == chosen
    assert best_with(replace(mel, curves=(curve(*[0.1] * 13, 0.99),))) == excerpts.BestCell("mel", "fair", 0.99)


def test_a_control_is_never_the_best_cell(page_results: Results) -> None:
    key = ("encodec_24khz_untrained", "fair")
    cells = {**page_results.cells, key: replace(page_results.cells[key], curves=(curve(*[1.0] * 14),))}
    chosen = excerpts.best_cell(replace(page_results, cells=cells))
    assert chosen.representation == "soundstream"
    assert excerpts.best_cell(replace(page_results, cells={key: cells[key]})) is None


def rows(*told: tuple[int, str, float, int, str, float]) -> pd.DataFrame:
    """Seed, clip, start, silent, predicted, probability; the label is the clip's folder."""
    frame = pd.DataFrame(told, columns=["seed", "clip", "start_s", "silent", "predicted", "probability"])
    return frame.assign(fold=1, label=frame["clip"].str.split("/").str[0])


WRONG = (0, "bird/0.wav", 1.0, 0, "rain", 0.9)


def test_the_most_confident_errors_are_means_over_seeds_one_a_recording() -> None:
    wrong = excerpts.confidently_wrong(
        rows(
            (0, "bird/a", 0.0, 0, "rain", 0.9),  # both seeds: (0.9 + 0.7) / 2 = 0.8
            (1, "bird/a", 0.0, 0, "rain", 0.7),
            (0, "bird/a", 1.0, 0, "rain", 0.6),  # same recording, less sure: left out
            (1, "bird/a", 1.0, 0, "rain", 0.6),
            (0, "bird/b", 0.0, 0, "rain", 0.98),  # one seed alone: 0.49, and the other counts 0
            (1, "bird/b", 0.0, 0, "bird", 0.98),
            (0, "rain/c", 2.0, 0, "bird", 0.4),  # seeds err differently: 0.2 and 0.35
            (1, "rain/c", 2.0, 0, "fire", 0.7),
            (0, "rain/d", 0.0, 1, "bird", 1.0),  # silent
            (1, "rain/d", 0.0, 1, "bird", 1.0),
            (0, "rain/e", 0.0, 0, "rain", 1.0),  # right
            (1, "rain/e", 0.0, 0, "rain", 1.0),
        )
    )
    columns = ["clip", "start_s", "predicted", "agreeing", "seeds"]
    assert wrong[columns].to_numpy().tolist() == [
        ["bird/a", 0.0, "rain", 2, 2],
        ["bird/b", 0.0, "rain", 1, 2],
        ["rain/c", 2.0, "fire", 1, 2],
    ]
    assert wrong["probability"].tolist() == pytest.approx([0.8, 0.49, 0.35])


def test_no_more_excerpts_than_asked_for_and_equals_go_by_name() -> None:
    many = [(0, f"bird/{name}", 0.0, 0, "rain", 0.5) for name in "cadb"]
    assert excerpts.confidently_wrong(rows(*many), count=3)["clip"].tolist() == ["bird/a", "bird/b", "bird/c"]
    assert excerpts.confidently_wrong(rows((0, "bird/a", 0.0, 0, "bird", 0.5))).empty


def test_an_excerpt_is_the_very_window_that_was_classified(page_project: Path, page_results: Results) -> None:
    wrong = excerpts.confidently_wrong(rows(WRONG))
    recordings = page_results.cell("soundstream", "fair").recordings
    (excerpt,) = excerpts.cut_excerpts(wrong, recordings, page_project / "data/clips/esc10", 1.0)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(excerpt.sound)))
    assert (samples.shape, rate) == ((16_000,), 16_000)
    assert np.argmax(np.abs(np.fft.rfft(samples))) == TONES[1]  # one second: a bin a hertz
    assert (excerpt.clip, excerpt.label, excerpt.predicted, excerpt.probability) == ("bird/0.wav", "bird", "rain", 0.9)
    assert excerpt.recording == "2 of 3 windows right, as a whole right"


def test_windows_of_all_seeds_are_counted_for_a_recording(page_results: Results) -> None:
    recordings = page_results.cell("mel", "fair").recordings
    right = np.vstack([recordings.windows_right, 0 * recordings.windows_right])
    runs, windows = (*recordings.runs, *((fold, 1) for fold, _ in recordings.runs)), np.tile(recordings.windows, (2, 1))
    answers = {"windows_right": right, "right_by_seeds": ~recordings.right_by_seeds}
    twice = replace(recordings, runs=runs, windows=windows, **answers)
    assert excerpts.describe_recording(twice, "bird/1.wav") == "2 of 6 windows right over 2 seeds, as a whole wrong"


def test_a_tested_clip_that_is_gone_stops_the_page(tmp_path: Path, page_results: Results) -> None:
    recordings = page_results.cell("mel", "fair").recordings
    wrong, path = excerpts.confidently_wrong(rows(WRONG)), tmp_path / "mono_16000/bird/0.wav.flac"
    told = refusal(PageError, excerpts.cut_excerpts, wrong, recordings, tmp_path, 1.0)
    assert told == f"{path}: no such clip, though it was tested. Run the resample stage again."


def write_answers(folder: Path, dataset: str) -> None:
    """Write the answers of SoundStream's runs under fair, as train leaves them: every bird's second window is rain."""
    rows = np.arange(WINDOWS)
    labels = rows // (WINDOWS // len(CLASSES))
    sure = np.full((WINDOWS, len(CLASSES)), 0.05, np.float32)
    guesses = np.where((labels == 0) & (rows % 3 == 1), CLASSES.index("rain"), labels)
    sure[rows, guesses] = 0.9 - rows / 100
    for fold in range(1, FOLDS + 1):
        mine = rows[rows // 3 % 4 % FOLDS + 1 == fold]
        place = folder / f"data/models/paper/{dataset}/soundstream/fair/fold_{fold}-seed_0.predictions.safetensors"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_predictions(place, Predictions(fold, 0, 14, None, "", mine, sure[mine]))


@pytest.fixture
def in_a_copy(page_project: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    """Stand in a copy of the project, about to run illustrate."""
    shutil.copytree(page_project, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(sys, "argv", ["illustrate.py", "esc10"])


@pytest.mark.usefixtures("in_a_copy")
def test_illustrate_writes_figure_2_and_what_the_best_cell_got_wrong(capsys: Capture) -> None:
    told = Path("data/excerpts/paper/esc10/excerpts.json")
    told.unlink()
    write_answers(Path(), "esc10")
    illustrate.main()
    assert capsys.readouterr().out == "esc10: plots/esc10/figure_2, 4 excerpts\n"
    assert sorted(path.name for path in Path("plots/esc10/figure_2").iterdir()) == ["figure_2.png", "figure_2.svg"]
    written = json.loads(told.read_text(encoding="utf-8"))
    assert (written["best"]["representation"], written["best"]["protocol"]) == ("soundstream", "fair")
    told_of = [(one["clip"], one["start_s"]) for one in written["excerpts"]]
    assert told_of == [(f"bird/{number}.wav", 1.0) for number in range(4)]
    first = written["excerpts"][0]
    assert (first["predicted"], first["recording"]) == ("rain", "2 of 3 windows right, as a whole right")
    assert first["probability"] == pytest.approx(0.89)
    again = told.read_bytes()
    illustrate.main()
    assert told.read_bytes() == again


@pytest.mark.usefixtures("in_a_copy")
def test_nothing_is_heard_without_weights_or_a_licence(capsys: Capture) -> None:
    illustrate.main()
    assert capsys.readouterr().out == (
        "esc10: the weights of soundstream-fair are not here: nothing to hear\n"
        "esc10: plots/esc10/figure_2, 0 excerpts\n"
    )
    write_answers(Path(), "esc10")
    record = yaml.safe_load(Path("datasets/esc10.yaml").read_text(encoding="utf-8"))
    write(Path("datasets/esc10.yaml"), yaml.safe_dump(record | {"notice": None}))
    illustrate.main()
    assert capsys.readouterr().out == "esc10: plots/esc10/figure_2, 0 excerpts\n"
    assert json.loads(Path("data/excerpts/paper/esc10/excerpts.json").read_text(encoding="utf-8"))["excerpts"] == []


def test_sound_goes_through_wav_within_half_a_step() -> None:
    samples = np.random.default_rng(0).uniform(-0.99, 0.99, 16_000).astype(np.float32)
    back, _ = soundfile.read(io.BytesIO(excerpts.wav(samples)), dtype="float32")
    assert np.abs(back - samples).max() <= 1 / 32_768


def test_a_tone_is_one_bright_line_at_its_height() -> None:
    sound = tone(1.0, 1000, 16_000)
    decibels = excerpts.log_mel(sound)
    assert decibels.shape == (80, 126)
    image = Image.open(io.BytesIO(png(decibels)))
    assert image.size == (126, 80)
    brightness = np.asarray(image.convert("RGB")).sum(axis=2)[:, 20:100].mean(axis=1)
    # Bands' centres as librosa defines them; the picture's first row is the highest band.
    centres = librosa.mel_frequencies(n_mels=82, fmin=0, fmax=8000)[1:-1]
    assert abs((79 - int(brightness.argmax())) - int(np.abs(centres - 1000).argmin())) <= 1
    silence = png(excerpts.log_mel(0 * sound))  # has a picture, too
    assert Image.open(io.BytesIO(silence)).size == (126, 80)
