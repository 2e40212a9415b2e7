"""Several labels a sound: a model tells all labels."""

import io
import json
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import soundfile
from inference.conftest import PROBE

from beyond_spectrograms import load_model
from beyond_spectrograms.cli import main
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.inference.card import read_card
from support.common import tone
from support.repository import Capture

COMMAND = ["train", "chords", "--labels", "labels.csv", "--folds", "3"]
HERTZ = {"low": 300.0, "middle": 1500.0, "high": 6000.0}


def chord(labels: tuple[str, ...], seconds: float, seed: int) -> Waveform:
    random = np.random.default_rng(seed)
    tones = [
        random.uniform(0.3, 1) * tone(seconds, HERTZ[label] * random.uniform(0.9, 1.1), 22_050) for label in labels
    ]
    noise = 0.003 * random.standard_normal(round(seconds * 22_050))
    return np.asarray(sum(tones, noise) / 4, np.float32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Train on 36 sounds of one or two of three tones, half of them with a label a row.

    Gives a folder with the sounds `chords`, `labels.csv` and what `train` wrote, `mine`; and the lines it printed.
    """
    folder = tmp_path_factory.mktemp("trained")
    sets = [("low",), ("middle",), ("high",), ("low", "middle"), ("low", "high"), ("middle", "high")]
    (folder / "chords").mkdir()
    rows = ["file,label"]
    for number in range(36):
        labels = sets[number % 6]
        soundfile.write(folder / f"chords/{number:02d}.wav", chord(labels, 1.5, number), 22_050)
        named = [*labels] if number < 18 else ["|".join(labels)]
        rows += [f"{number:02d}.wav,{label}" for label in named]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.chdir(folder)
        assert main([*COMMAND, *PROBE, "--onnx", "--out", "mine"]) == 0
    return folder, printed.getvalue().splitlines()


@pytest.fixture
def place(trained: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained[0])
    return trained[0]


def test_training_tells_scores_of_the_folds_and_their_median_thresholds(
    place: Path, trained: tuple[Path, list[str]]
) -> None:
    scores = json.loads((place / "mine-report/scores.json").read_text())
    assert "several labels a sound: 36 recordings with 1.50 labels on average, 2 at most" in trained[1]
    ends = "100.0% (high) to 100.0% (high)"  # the first of equals
    assert f"mean average precision 100.0% over classes, {ends}" in trained[1]
    interval = {"value": 1.0, "low": None, "high": None, "remark": None}
    reason = "All folds are alike: there is no spread to judge by."
    assert scores["intervals"]["mean_average_precision"] == interval | {"reason": reason}
    assert (scores["mean_average_precision"], scores["f1"] > 0.9) == (1, True)
    (prevalence,) = scores["plain_ways"]  # the other way is the one that was asked for
    assert prevalence["difference"]["value"] < 0
    assert prevalence["difference"]["reason"] == "Only 3 runs; 5 are needed for an interval."
    tested = pd.read_csv("mine-report/recordings.csv")
    assert len(tested) == 36
    assert (tested["predicted"] == tested["label"]).mean() == pytest.approx(scores["recording_accuracy"])
    card = read_card(place / "mine/card.json")
    assert card.multi_label is not None
    medians = np.median([[*run["thresholds"].values()] for run in scores["by_fold"]], axis=0)
    assert [*card.multi_label.thresholds.values()] == medians.tolist()


def test_the_same_table_gives_the_same_bytes(place: Path) -> None:
    assert main([*COMMAND, *PROBE, "--out", "again"]) == 0
    again, mine = (place / name for name in ("again", "mine"))
    assert (again / "classifier.safetensors").read_bytes() == (mine / "classifier.safetensors").read_bytes()
    cards = [
        json.loads((folder / "card.json").read_text().replace("again-report", "mine-report"))
        for folder in (again, mine)
    ]
    digests = [card.pop("sha256") for card in cards]  # of cards that name their reports
    assert cards[0] == cards[1]
    assert digests[0] != digests[1]


@pytest.mark.usefixtures("place")
def test_classify_names_all_labels_that_pass_and_so_does_the_graph(capsys: Capture) -> None:
    sound = chord(("low", "high"), 2.0, 99)
    soundfile.write("both.wav", sound, 22_050)
    model = load_model("mine", device="cpu")
    found = model.classify_file("both.wav")
    assert sorted(label for label, _ in found.passing) == sorted(found.label.split("|")) == ["high", "low"]
    nothing = replace(found, probabilities=np.zeros(3, np.float32))
    assert (nothing.label, nothing.passing) == ("none", [])
    graph = onnxruntime.InferenceSession("mine.onnx", providers=["CPUExecutionProvider"])
    (of_graph,) = graph.run(None, {"windows": sound[None, :22_050]})
    np.testing.assert_allclose(of_graph[0], model.classify(sound[:22_050], 22_050).probabilities, atol=1e-3)
    named = [{"label": label, "probability": round(share, 6)} for label, share in found.passing]
    told = dict.fromkeys(("table", "json", "jsonl", "csv"), "")
    for form in told:
        assert main(["classify", "--model", "mine", "both.wav", "--top", "1", "--format", form]) == 0
        told[form] = capsys.readouterr().out
    assert json.loads(told["json"])[0]["labels"] == json.loads(told["jsonl"])["labels"] == named
    (first, second) = [each["label"] for each in named]
    assert [line.split(",")[1:3] for line in told["csv"].splitlines()[1:]] == [["1", first], ["2", second]]
    assert told["table"].split()[2::2] == [first, second]


@pytest.mark.usefixtures("place")
def test_segments_of_every_label_are_found_by_themselves_and_may_overlap(capsys: Capture) -> None:
    scene = np.concatenate([chord(("low",), 8, 1), chord(("low", "high"), 8, 2), chord(("high",), 8, 3)])
    soundfile.write("scene.wav", scene, 22_050)
    found = load_model("mine", device="cpu").segment_file("scene.wav")
    parts = {part.label: (part.start_s, part.end_s) for part in found.segments}
    assert parts == {"low": (0.0, pytest.approx(16, abs=0.5)), "high": (pytest.approx(8, abs=0.5), 24.0)}
    told = dict.fromkeys(("textgrid", "audacity", "csv"), "")
    for form in told:
        assert main(["segment", "--model", "mine", "scene.wav", "--format", form]) == 0
        told[form] = capsys.readouterr().out
    grid = [line.strip() for line in told["textgrid"].splitlines()]
    assert [line for line in grid if line.startswith("name")] == [f'name = "{of}"' for of in ("high", "low", "middle")]
    assert [line for line in grid if line.startswith("text")] == [
        *('text = ""', 'text = "high"', 'text = "low"', 'text = ""', 'text = ""')
    ]
    assert [line.split("\t")[2] for line in told["audacity"].splitlines()] == ["low", "high"]
    assert [line.split(",")[2] for line in told["csv"].splitlines()] == ["label", "low", "high"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            ["segment", "x.wav", "--plot", "x.png"],
            "--plot is for one label at a time, and mine gives several. Leave it out.",
        ),
        (
            ["segment", "x.wav", "--export", "x"],
            "--export is for one label at a time, and mine gives several. Leave it out.",
        ),
        (["serve", "--port", "0"], "mine gives several labels a sound, which the page does not show. Use segment."),
    ],
)
@pytest.mark.usefixtures("place")
def test_what_shows_one_label_at_a_time_refuses_the_model(command: list[str], told: str, capsys: Capture) -> None:
    assert main([*command, "--model", "mine"]) == 1
    assert capsys.readouterr().err == f"{told}\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--reject"], "--reject is for one label a sound, and labels.csv gives several. Leave it out."),
        (["--calibrate"], "--calibrate is for one label a sound, and labels.csv gives several. Leave it out."),
        (
            ["--class-weights", "balanced"],
            "--class-weights balanced does not go with --protocol probe_mean_deviation: class_weights balanced is not "
            "for loss binary_cross_entropy",
        ),
        (
            ["--protocol", "nearest_source"],
            "several labels of a sound do not go with --protocol nearest_source: loss binary_cross_entropy is not for "
            "nearest_neighbour; it is for conv1d, conv2d, temporal_cnn, mean_linear, attention_pooling, m5, "
            "probe_mean, probe_mean_deviation",
        ),
        (
            ["--protocol", "shuffled_labels"],
            "several labels of a sound do not go with --protocol shuffled_labels: shuffle_labels, deal_labels, "
            "training_share and examples_per_class are not for loss binary_cross_entropy",
        ),
    ],
)
@pytest.mark.usefixtures("place")
def test_what_is_for_one_label_is_refused_before_any_work(options: list[str], told: str, capsys: Capture) -> None:
    classifier = [] if "--protocol" in options else PROBE[2:]
    assert main([*COMMAND, *PROBE[:2], *classifier, *options, "--out", "other"]) == 1
    assert capsys.readouterr().err == f"{told}\n"
    assert not Path("other.partial-training/clips").exists()


@pytest.mark.usefixtures("place")
def test_folders_have_one_label_a_sound(capsys: Capture) -> None:
    assert main(["train", "chords", "--multi-label", *PROBE, "--out", "other"]) == 1
    told = "--multi-label goes with --labels: in folders every sound has one label.\n"
    assert capsys.readouterr().err == told
