"""Values of every shape where a few are meant: what HEAR modules answer, and what params and cards say."""

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from beyond_spectrograms.inference.card import ModelError, read_card
from beyond_spectrograms.params import Hear
from beyond_spectrograms.representations.base import RepresentationError
from beyond_spectrograms.representations.hear import HearEmbeddings
from beyond_spectrograms.util.yaml_files import YamlError, read_yaml
from support.models import write_model

Factory = pytest.TempPathFactory
MODULE = "module_of_any_answers"
BOUNDED = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SCALARS = some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20)
VALUES = some.recursive(
    SCALARS, lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4)
)
TYPES = some.sampled_from([torch.float32, torch.float32, torch.float64, torch.int64, torch.complex64, torch.bool])
SIZES = some.sampled_from([0, 1, 2, 3, 20])


@some.composite
def tensors(draw: Callable[[Any], Any]) -> torch.Tensor:
    """Make a tensor of any shape and type, or of the shape that is right (no sizes)."""
    made = torch.zeros(draw(some.lists(SIZES, max_size=4)), dtype=draw(TYPES))
    value = draw(some.sampled_from([0, 1, float("nan"), float("inf"), -1]))
    return made.fill_(value) if made.is_floating_point() else made


RIGHT = some.just("right")
PARTS = RIGHT | RIGHT | RIGHT.map(lambda _: "of another type") | RIGHT.map(lambda _: "not finite") | tensors()
ANSWERS = some.tuples(PARTS, PARTS) | tensors() | some.lists(tensors(), max_size=3) | SCALARS
WHOLE = {"sample_rate": 16_000, "timestamp_embedding_size": 3, "scene_embedding_size": 3}
ATTRIBUTES = (
    some.just(WHOLE)
    | some.just(WHOLE)
    | some.fixed_dictionaries(
        {
            "sample_rate": some.sampled_from([16_000, 16_000, 44_100, 0, -1, 1e9, "16000", None, True]),
            "timestamp_embedding_size": SIZES | SCALARS,
            "scene_embedding_size": SIZES | SCALARS,
        }
    )
)


@pytest.mark.long
@BOUNDED
@given(attributes=ATTRIBUTES, answer=ANSWERS, model=some.sampled_from(["module", "module", "no module"]))
def test_any_answer_of_a_hear_module_is_taken_or_refused_in_one_line(
    attributes: dict[str, Any], answer: Any, model: str
) -> None:
    def embed(audio: torch.Tensor, made: Any) -> Any:
        frames = audio.shape[1] // 800
        right = (
            torch.zeros(len(audio), frames, made.timestamp_embedding_size),
            (torch.arange(frames) * 50.0).repeat(len(audio), 1),
        )
        kinds = {"of another type": torch.complex64, "not finite": torch.float32}
        if not isinstance(answer, tuple):
            return answer
        return tuple(
            part if not isinstance(part, str) else due if part == "right" else (due / 0).to(kinds[part])
            for part, due in zip(answer, right, strict=True)
        )

    def load_model(path: str = "") -> Any:  # noqa: ARG001  the API's
        made = torch.nn.Module() if model == "module" else types.SimpleNamespace()
        for name, value in attributes.items():
            setattr(made, name, value)
        return made

    module = types.ModuleType(MODULE)
    module.__file__ = __file__
    module.load_model, module.get_timestamp_embeddings = load_model, embed  # type: ignore[attr-defined]
    module.get_scene_embeddings = embed  # type: ignore[attr-defined]
    sys.modules[MODULE] = module
    told = ""
    try:
        made = HearEmbeddings("any", Hear(kind="hear", module=MODULE, weights=None, model=""), [])
        made.encode(np.zeros((1, 1, made.form.sample_rate), np.float32), made.form.sample_rate)
    except RepresentationError as error:
        told = str(error)
    finally:
        del sys.modules[MODULE]
    assert "\n" not in told


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("card") / "model") / "card.json"


@BOUNDED
@given(data=some.data())
def test_any_value_in_a_card_is_taken_or_refused(card: Path, tmp_path_factory: Factory, data: Any) -> None:
    content = json.loads(card.read_text())
    place = content
    while isinstance(place, dict) and place:
        key = data.draw(some.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or data.draw(some.booleans()):
            place[key] = data.draw(VALUES)
            break
        place = place[key]
    path = tmp_path_factory.getbasetemp() / "card.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    told = ""
    try:
        read_card(path)
    except ModelError as error:
        told = str(error)
    assert all(len(line) < 2000 for line in told.splitlines())


@BOUNDED
@given(value=VALUES)
def test_any_value_written_as_yaml_is_read_back_or_refused(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "value.yaml"
    path.write_text(yaml.safe_dump({"value": value}), encoding="utf-8")
    told, found = "", None
    try:
        found = read_yaml(path)
    except YamlError as error:
        told = str(error)
    assert "\n" not in told
    if not told:
        assert repr(found) == repr(yaml.safe_load(path.read_text(encoding="utf-8")))
