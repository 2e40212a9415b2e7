"""Ways to classify are compared that say the same of a file; of .ecdc files from their codes and decoded."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from benchmarks import ecdc
from benchmarks.classifying import _begin_alone, classifying_table, main, summarise
from benchmarks.harness import Round, Spent
from benchmarks.plain_classifying import PlainClassifier
from beyond_spectrograms import load_model
from beyond_spectrograms.classifiers.registry import build_network
from beyond_spectrograms.inference import ModelError
from beyond_spectrograms.params import weights_of
from beyond_spectrograms.report.table import to_markdown
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.util.errors import ProjectError
from support import models
from support.coded import CHECKPOINT, compress, melody, seeded_encodec, write_model
from support.common import refusal
from support.numeric import assert_rounded
from support.repository import Capture

# Of librosa.load, on first use: modules it tries are to go from Python 3.13.
pytestmark = pytest.mark.filterwarnings("ignore:.*slated for removal in Python 3.13:DeprecationWarning")


def write_random(folder: Path, name: str, weights: list[Path]) -> Path:
    """Write a model on a representation of params.yaml, its classifier conv1d, standardised and untrained."""
    record, recipe = models.PARAMS.representations[name], models.PARAMS.protocols["fair"]
    made = create_representation(name, record, weights)
    torch.manual_seed(0)
    network = build_network(recipe, made.bands, made.frames(made.form.sample_rate), 2, None)
    network[0].mean, network[0].deviation = torch.rand(made.bands), 1 + torch.rand(made.bands)
    changes = {"representation": models.encoder(made, record), "untrained_encoder": record.weights == "untrained"}
    return models.keep(folder, network, recipe, weights, **changes)


QUICK = ("mel", "log_mel", "log_mel_2048_50hz", "soundstream")
NUMERIC = [pytest.param(name, marks=pytest.mark.numeric) for name in QUICK]


@pytest.mark.parametrize("name", [*NUMERIC, "encodec_24khz_untrained"])
@pytest.mark.filterwarnings("ignore:.*is untrained:UserWarning")
def test_both_ways_say_the_same(name: str, mirror: Path, tmp_path: Path) -> None:
    weights = [mirror / f"{file}.tflite" for file in weights_of(models.PARAMS.representations[name])]
    folder = write_random(tmp_path / "model", name, weights)
    sound = np.random.default_rng(0).normal(0, 0.1, (88_200, 2))
    soundfile.write(tmp_path / "sound.wav", sound, 44_100)
    decoded, rate = soundfile.read(tmp_path / "sound.wav", dtype="float32")
    ours = load_model(folder, device="cpu").classify(decoded, rate)
    assert ours.windows == 2
    plain = PlainClassifier(folder).classify(tmp_path / "sound.wav")
    assert_rounded(plain, ours.probabilities, roundings=128 * 5)  # terms of conv1d's longest sum


def test_figures_are_those_of_the_rounds() -> None:
    rounds: list[Round] = [
        {"ours": Spent(ours, 9), "plain": Spent(plain, 9)} for ours, plain in [(1.0, 2.0), (2.0, 3.0), (1.0, 8.0)]
    ]
    summary = summarise(10.0, rounds)
    assert summary["real_time_factor"] == {"ours": 0.1, "plain": 0.3}
    results = {"model": "m", "processor": "p", "cores": 2, "tasks": {"one file, warm": summary}, "notes": ["n"]}
    assert to_markdown(classifying_table(results)).splitlines()[2:5:2] == [
        "| classify       | sound, s | plain, s | ours, s | times as fast     | real-time factor, plain | ours    |",
        "| one file, warm | 10       | 3.000    | 1.000   | 2.00 [1.50, 8.00] | 0.30000                 | 0.10000 |",
    ]


def cores_and_threads() -> tuple[set[int], set[int]]:
    """Say on which cores this process's threads may run, and how many each numerical library uses."""
    from threadpoolctl import threadpool_info

    tasks = [int(task.name) for task in Path("/proc/self/task").iterdir()]
    cores = set().union(*(os.sched_getaffinity(task) for task in tasks))
    return cores, {library["num_threads"] for library in threadpool_info()}


def test_one_core_is_one_core(tmp_path: Path) -> None:
    folder = write_random(tmp_path / "model", "log_mel", [])
    core = min(os.sched_getaffinity(0))
    with ProcessPoolExecutor(1, get_context("spawn"), _begin_alone, (core, folder)) as alone:
        assert alone.submit(cores_and_threads).result() == ({core}, {1})


@pytest.mark.long
def test_every_task_is_timed(tmp_path: Path, capsys: Capture) -> None:
    folder = write_random(tmp_path / "model", "log_mel", [])
    out = tmp_path / "bench.json"
    main(["--model", str(folder), "--files", "2", "--rounds", "1", "--out", str(out)])
    printed = capsys.readouterr().out
    tasks = json.loads(out.read_text())["tasks"]
    assert list(tasks) == ["one file, cold", "one file, warm", "2 files", "one core", "2 small files, one core"]
    assert all(len(of) == 1 for task in tasks.values() for of in task["seconds"]["wall"].values())
    assert printed.splitlines()[2].startswith("| classify")


def test_a_model_without_a_plain_way_is_refused(tmp_path: Path) -> None:
    folder = models.write_model(tmp_path / "model")
    assert refusal(ProjectError, PlainClassifier, folder) == (
        f"{folder}: the plain way is written for conv1d on mel spectrograms, SoundStream's latents before the "
        "quantiser and EnCodec's untrained encoder. Choose such a model."
    )


@pytest.mark.long
def test_coded_files_are_classified_both_ways_and_their_steps_are_told(tmp_path: Path, capsys: Capture) -> None:
    encodec, weights, model = seeded_encodec(), tmp_path / "weights", tmp_path / "6000"
    weights.mkdir()
    torch.save(encodec.state_dict(), weights / CHECKPOINT)
    write_model(model, weights, 6000)
    files = [str(compress(encodec, melody(1.0, seed), tmp_path / f"{seed}.ecdc", 6000)) for seed in (1, 2)]
    options = ["--model", str(model), "--weights", str(weights), "--device", "cpu"]
    options += ["--against", str(models.write_model(tmp_path / "mel"))]
    ecdc.main([*files, *options, "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 files, 2.0 s of sound; milliseconds of processor time a second of sound, median of 1 rounds"
    assert [line.partition(": ")[0] for line in lines[1:3]] == ["from the codes", "from the sound"]
    assert [line.partition("(")[2].count(", ") for line in lines[1:3]] == [2, 3]
    loaded = load_model(model, device="cpu", weights=weights)
    told = refusal(ModelError, ecdc.measure, loaded, loaded, [Path(files[0])], 1)
    assert told == "--against is a model of kind encodec; the usual way needs one of kind mel"
    bad = tmp_path / "bad.ecdc"
    bad.write_bytes(b"ECDC")
    told = refusal(ProjectError, ecdc.main, [str(bad), *options])
    assert told == f"{bad}: truncated: its header is not whole after 4 bytes"
