"""None of these: the temperature and thresholds that --reject finds, what it measures, what a model then answers."""

import json
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
from beyond_spectrograms.inference import Model
from beyond_spectrograms.inference.card import Confidence
from beyond_spectrograms.inference.onnx import export_onnx
from beyond_spectrograms.inference.rejection import Answers, find_confidence, judge_test_parts
from beyond_spectrograms.inference.results import BACKGROUND, find_segments
from support.common import noise, tone
from support.models import write_model
from support.repository import Capture


def answers(labels: list[int], logits: np.ndarray, part: str = "validation", fold: int = 1) -> pd.DataFrame:
    windows = pd.DataFrame({"fold": fold, "seed": 0, "part": part, "clip": [f"{fold}{n}" for n in range(len(labels))]})
    return windows.assign(label=np.array(["a", "b", "c"])[labels], **{f"l{n}": row for n, row in enumerate(logits.T)})


def gathered(*tables: pd.DataFrame) -> Answers:
    table = pd.concat(tables, ignore_index=True)
    return Answers(
        ("a", "b", "c"), table[["fold", "seed", "part", "clip", "label"]], table[["l0", "l1", "l2"]].to_numpy()
    )


def drawn(count: int, scale: float, seed: int = 0) -> tuple[list[int], np.ndarray]:
    """Draw logits, and labels with their probabilities; give the logits `scale` times too large."""
    random = np.random.default_rng(seed)
    logits = 2 * random.standard_normal((count, 3))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return [int(random.choice(3, p=row)) for row in shares], scale * logits


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_logits_too_large_or_too_small(scale: float) -> None:
    labels, logits = drawn(20_000, scale)
    found = find_confidence(gathered(answers(labels, logits)), reject=False)
    assert found.temperature == pytest.approx(scale, rel=0.05)
    assert found.model_dump() == {"temperature": found.temperature}  # nothing is rejected


@pytest.mark.parametrize("count", [8, 80])
def test_a_few_right_answers_make_no_probability_surer_than_they_can_tell(count: int) -> None:
    labels = [number % 3 for number in range(count)]
    validated = gathered(answers(labels, 4 * np.eye(3)[labels]))
    found = find_confidence(validated, reject=False)
    np.testing.assert_allclose(validated.probabilities(found.temperature).max(axis=1), 1 - 1 / (count + 2), atol=1e-4)


def test_a_threshold_is_reached_by_95_percent_of_a_class_s_right_answers_and_by_no_more_than_need_be() -> None:
    labels, logits = drawn(3000, 1.0)
    labels = [label if label != 2 else 0 for label in labels]  # c is never right
    logits[:, 2] = -30
    validated = gathered(answers(labels, logits))
    found = find_confidence(validated, reject=True)
    assert found.thresholds is not None
    assert found.thresholds["c"] == 0
    shares = validated.probabilities(found.temperature)
    for index, label in enumerate("ab"):
        right = shares[(shares.argmax(axis=1) == index) & (np.array(labels) == index), index]
        assert 0.95 <= (right >= found.thresholds[label]).mean() < 0.95 + 1 / len(right)


def test_of_twenty_right_answers_one_may_be_below_the_threshold() -> None:
    logits = np.column_stack([np.linspace(1, 3, 20), np.zeros(20), np.zeros(20)])
    validated = gathered(answers([0] * 20, logits), answers([1], np.array([[0.0, 3.0, 0.0]]), fold=2))
    found = find_confidence(validated, reject=True)
    assert found.thresholds is not None
    shares = np.sort(validated.probabilities(found.temperature)[:20, 0])
    assert found.thresholds["a"] == pytest.approx(shares[1])


def test_a_test_part_is_judged_without_its_own_recordings() -> None:
    """Fold 1 tests what fold 2 validates: what fold 1 is judged by must not change with their labels."""
    labels, logits = drawn(60, 1.0)
    others, other_logits = drawn(60, 1.0, seed=1)

    def judged(own: list[int]) -> pd.DataFrame:
        tested = answers(own, logits, "test", 2).assign(fold=1)
        table = gathered(tested, answers(own, logits, "validation", 2), answers(others, other_logits, "validation", 1))
        found, _ = judge_test_parts(table, reject=True)
        return found[["clip", "score", "passes"]]

    pd.testing.assert_frame_equal(judged(labels), judged(labels[::-1]))


def test_segments_between_known_sounds_are_none_and_silence_stays_silence() -> None:
    shares = np.array([[0.95, 0.05]] * 6 + [[0.6, 0.4]] * 10 + [[0.05, 0.95]] * 6 + [[0.5, 0.5]] * 4, np.float32)
    silent, starts = np.arange(26) >= 22, np.arange(26.0)
    told = {"starts_s": starts, "length_s": 1.0, "hop_s": 1.0, "seconds": 26.0}
    for smoothing in ("none", "median", "viterbi"):
        found = find_segments(
            shares, silent, classes=("a", "b"), smoothing=smoothing, thresholds=np.float32([0.8, 0.8]), **told
        )
        assert [(part.label, part.start_s) for part in found] == [("a", 0), ("none", 6), ("b", 16), (None, 22)], (
            smoothing
        )
        assert [part.probability is None for part in found] == [False, True, False, True]
        background = find_segments(
            shares, silent, classes=(BACKGROUND, "b"), smoothing=smoothing, thresholds=np.float32([np.inf, 0.8]), **told
        )
        assert [(part.label, part.start_s) for part in background] == [("none", 0), ("b", 16), (None, 22)], smoothing


def test_the_temperature_flattens_answers_in_the_library_and_in_onnx(model_folder: Path, tmp_path: Path) -> None:
    confidence = Confidence(temperature=2.0).model_dump()
    plain = load_model(model_folder, device="cpu")
    flat = load_model(write_model(tmp_path / "flat", confidence=confidence), device="cpu")
    sound = noise(1, 22_050)[None, None]

    def logit(model: Model) -> float:
        [[high, low]] = model.judge_features(model.representation.encode(sound, 22_050))
        return float(np.log(high / low))

    assert logit(flat) == pytest.approx(logit(plain) / 2, rel=1e-5)
    export_onnx(flat, tmp_path / "flat.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "flat.onnx", providers=["CPUExecutionProvider"])
    [[high, low]] = session.run(None, {"windows": sound[:, 0]})[0]
    assert np.log(high / low) == pytest.approx(logit(flat), rel=1e-3)


def sounds(number: int) -> dict[str, Waveform]:
    """Make a low sound and a high one with a little noise."""
    hiss = noise(1.0, 22_050, 100 + number) / 100
    return {label: tone(1.0, hertz + 10 * number, 22_050) + hiss for label, hertz in (("low", 300), ("high", 4000))}


def write(path: Path, sound: Waveform) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, 22_050)


@pytest.mark.long
@pytest.mark.usefixtures("project")
def test_train_finds_what_is_none_and_measures_it(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "sounds"
    for number in range(6):
        for label, sound in {**sounds(number), BACKGROUND: noise(1.0, 22_050, number)}.items():
            write(folder / f"{label}/{number}.wav", sound)
    assert main(["train", str(folder), *PROBE, "--folds", "3", "--reject", "--out", "mine"]) == 0
    output = capsys.readouterr().out
    assert "--reject: 2 classes held out in turn are 6 more runs, 1.3 times the work of the folds\n" in output
    known = json.loads(Path("mine-report/scores.json").read_text())["confidence"]
    assert set(known["held_out"]["by_class"]) == set(known["thresholds"]) == {"high", "low"}
    assert known["held_out"]["by_class"]["low"] | {"auroc": 0, "passing": 0} == {
        "auroc": 0,
        "passing": 0,
        "in": 6,
        "out": 6,
    }
    assert known[BACKGROUND] == {"auroc": 1.0, "in": 12, "out": 6, "passing": 0.0}
    assert f"{BACKGROUND}: AUROC 1.00; 0.0% of its recordings pass\n" in output
    model = load_model("mine", device="cpu")
    assert model.card.confidence is not None
    assert model.card.confidence.thresholds == known["thresholds"]
    assert model.classify(noise(1.0, 22_050, 40), 22_050).label == "none"
    assert model.classify(sounds(7)["low"], 22_050).label == "low"


@pytest.mark.usefixtures("project")
def test_what_cannot_be_rejected_is_told(tmp_path: Path, capsys: Capture) -> None:
    for number in range(3):
        write(tmp_path / f"sounds/low/{number}.wav", sounds(number)["low"])
        write(tmp_path / f"sounds/none/{number}.wav", sounds(number)["high"])
    line = ["train", str(tmp_path / "sounds"), "--representation", "mfcc", "--out", "mine", "--reject"]
    assert main([*line, "--protocol", "nearest_source"]) == 1
    told = "--reject needs probabilities; nearest_neighbour of --protocol nearest_source answers by distances. "
    assert capsys.readouterr().err == f"{told}Choose another.\n"
    assert main(line) == 1
    told = "class 'none': with --reject this is what stands for none of the classes. Rename it.\n"
    assert capsys.readouterr().err.endswith(told)
