"""Classes known by prompts alone: the stages give what transformers' CLAP gives, and learn nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from beyond_spectrograms.classifiers import zero_shot
from beyond_spectrograms.data.downloads import MIRROR_VARIABLE
from beyond_spectrograms.data.weights import fetch_encoder
from beyond_spectrograms.data.windows import columns_of
from beyond_spectrograms.evaluation.predict import read_predictions
from beyond_spectrograms.params import load_params
from beyond_spectrograms.representations import create_representation
from beyond_spectrograms.representations.base import RepresentationError
from beyond_spectrograms.training.loop import runs_of_protocol
from support.cells import edit_params, grid, put_features, study_in, write_params, write_rows, write_split_record
from support.common import noise, refusal, tone
from support.repository import run_here
from support.shipped_params import SHIPPED
from support.tiny_models import write_tiny

LABELS = ("clock_tick", "dog", "rain")
PROMPTS = ["the sound of {label}", "this is a {label}"]
FILES = ("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")
HUB = {"hub": "someone/tiny-clap", "revision": "0" * 40, "licence": "MIT", "files": [{"name": name} for name in FILES]}
SETTINGS = {"kind": "transformers", "weights": "tiny_clap"}


@pytest.fixture
def sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Lay out a project with a tiny random CLAP in a mirror, and features of 18 seconds, six a class; give these."""
    write_tiny(tmp_path / "mirror/someone/tiny-clap", "clap")
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path / "mirror"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    representations = SHIPPED["representations"] | {"clap": SETTINGS | {"layer": "projected"}, "plain": SETTINGS}
    told = SHIPPED["protocols"]["probe_mean"] | {"classifier": "zero_shot", "prompts": PROMPTS}
    protocols = SHIPPED["protocols"] | {"zero_shot": told}
    hub = {"tiny_clap": HUB}
    write_params(Path(), representations=representations, protocols=protocols, hub=hub, device="cpu")
    edit_params(Path(), lambda params: params.update(grid=grid("demo", ["clap"], ["zero_shot"])))
    rows = [
        {"clip": f"{label}/{take}.wav", "label": label, "start_s": 0.0, "group": "", "fold": 1, "silent": 0}
        for label in LABELS
        for take in range(6)
    ]
    write_rows(Path("data/splits/demo/windows.csv"), rows)
    parts = ["train", "train", "train", "validation", "test", "test"] * 3
    write_rows(Path("data/splits/demo/parts.csv"), [{"window": part, "source_1": part} for part in parts])
    write_split_record(Path(), "demo")
    windows = [tone(1, 200 * (place + 1), 48_000) + noise(1, 48_000, place) for place in range(len(rows))]
    stereo = np.repeat(np.stack(windows)[:, None], 2, axis=1)
    params = load_params()
    made = create_representation("clap", params.representations["clap"], fetch_encoder(params, "clap"))
    described = {"dtype": "float32", "frame_rate": made.frame_rate, "engine": "none", "largest_rounding": 0.0}
    described |= {"values_stored_as_zero": 0, "provenance": study_in(Path()).feature_provenance("demo", "clap")}
    put_features(Path("data/features/paper/demo/clap"), made.encode(stereo, 48_000), **described)
    return stereo


def expected(stereo: np.ndarray, prompts: list[str]) -> np.ndarray:
    """Give the class probabilities [windows, classes] of transformers' own calls; one prompt is logits_per_audio."""
    from transformers import AutoFeatureExtractor, AutoTokenizer, ClapModel

    folder = Path("data/weights/tiny_clap")
    model = ClapModel.from_pretrained(folder).eval()
    extractor, tokenizer = (each.from_pretrained(folder) for each in (AutoFeatureExtractor, AutoTokenizer))
    names = [label.replace("_", " ") for label in LABELS]
    texts = [prompt.format(label=name) for prompt in prompts for name in names]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    found = []
    with torch.no_grad():
        for window in stereo[:, 0]:
            inputs = extractor(window, sampling_rate=48_000, return_tensors="pt")
            output = model(**inputs, **tokens)
            if len(prompts) == 1:
                found.append(output.logits_per_audio[0])
                continue
            mean = output.text_embeds.reshape(len(prompts), len(names), -1).mean(0)
            cosines = torch.nn.functional.cosine_similarity(output.audio_embeds, mean)
            found.append(cosines * model.logit_scale_a.exp())
    return torch.stack(found).softmax(1).numpy()


def answers() -> tuple[np.ndarray, np.ndarray]:
    path = next(Path("data/models/paper/demo/clap/zero_shot").glob("*.predictions.safetensors"))
    found = read_predictions(path, 18)
    return found.rows, found.probabilities


@pytest.mark.numeric
@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS])
def test_stages_answer_as_transformers_own_clap_and_score_it(prompts: list[str], sounds: np.ndarray) -> None:
    edit_params(Path(), lambda params: params["protocols"]["zero_shot"].update(prompts=prompts))
    run_here("train", "demo", "clap")
    rows, found = answers()
    wanted = expected(sounds, prompts)
    assert rows.tolist() == [4, 5, 10, 11, 16, 17]
    np.testing.assert_allclose(found, wanted[rows], atol=1e-5)
    assert wanted.std(0).max() > 1e-4
    run_here("evaluate", "demo")
    scores = json.loads(Path("metrics/demo/scores.json").read_text())["cells"]["clap-zero_shot"]
    truth = np.repeat(np.arange(3), 6)[rows]
    assert scores["window_accuracy"] == pytest.approx((wanted[rows].argmax(1) == truth).mean())
    curve = pd.read_csv("metrics/demo/curves.csv.gz")
    training = [row for row in range(18) if row % 6 < 3]
    right = wanted[training].argmax(1) == np.repeat(np.arange(3), 6)[training]
    assert curve["training_accuracy"].tolist() == [pytest.approx(right.mean())]


def test_prompts_are_part_of_what_decides_a_run(sounds: np.ndarray) -> None:
    assert len(sounds) == 18

    def fingerprint(prompts: list[str], representation: str = "clap") -> Any:
        edit_params(Path(), lambda params: params["protocols"]["zero_shot"].update(prompts=prompts))
        params, splits = load_params(), Path("data/splits/demo")
        table, parts = (pd.read_csv(splits / name, dtype=str) for name in ("windows.csv", "parts.csv"))
        assert len(columns_of("source", parts)) == 1
        place = Path("data/features/paper/demo/clap")
        settings = {"features": place, "table": table, "parts": parts, "max_epochs": None, "work": Path("work")}
        return runs_of_protocol(params, ("demo", representation, "zero_shot"), **settings)[0]

    one, other = fingerprint(PROMPTS[:1]), fingerprint(PROMPTS)
    assert one.fingerprint() == fingerprint(PROMPTS[:1]).fingerprint()
    vectors = replace(one, class_vectors=other.class_vectors)
    assert len({each.fingerprint() for each in (one, other, vectors, replace(one, stacked=2))}) == 4
    assert refusal(RepresentationError, fingerprint, PROMPTS, "plain") == (
        "plain: has no text tower, which classifier: zero_shot needs. Choose a CLAP model with layer: projected."
    )
    params = load_params()
    mel = create_representation("mel", params.representations["mel"], [])
    assert refusal(RepresentationError, zero_shot.class_vectors, mel, ["a"], PROMPTS) == (
        "mel: has no text tower, which classifier: zero_shot needs. Choose a CLAP model with layer: projected."
    )
