"""Whatever stands in metadata, or beside a sound in a shard, is taken or refused in one line."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from beyond_spectrograms.data.elsewhere import take_elsewhere
from beyond_spectrograms.data.folders import RawDataError
from beyond_spectrograms.data.tar_shards import list_shards
from beyond_spectrograms.params.datasets import Source
from beyond_spectrograms.util.errors import ProjectError
from support.common import contents

BOUNDED = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SCALARS = some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20)
VALUES = some.recursive(
    SCALARS,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4),
    max_leaves=8,
)
LABELS = some.sampled_from(["dog", "Dog", "cat", "ow l|x", "", " ", "a;b", "x" * 300, "\0", 7, ["a", "b"]]) | VALUES
FILES = some.sampled_from(["1.wav", "in/2.wav", "./1.wav", "in/../1.wav", "/1.wav", "9.wav", "", None]) | VALUES
ROWS = some.fixed_dictionaries({}, optional={"file_name": FILES, "label": LABELS, "who": LABELS}) | VALUES
TOLD = some.sampled_from([{}, {"group": "who"}, {"fold": "who"}, {"part": "who"}, {"separator": ";"}])


def source(path: Path, kind: str, label: str, told: dict[str, str]) -> Source:
    dealt: dict[str, Any] = {} if {"fold", "part"} & set(told) else {"folds": 3, "fold_seed": 0}
    layout = {"kind": kind, "label": label} | told
    return Source.model_validate({"path": str(path), "layout": layout, "seconds": [1, 600], **dealt})


def take(described: Source, folder: Path) -> None:
    """Take a source, and see that nothing is written but sounds in their places; or that it is refused in one line."""
    audio = folder / "raw/audio"
    try:
        take_elsewhere(described, folder / "work", audio, lambda _: None)
    except RawDataError as error:
        assert "\n" not in str(error)  # noqa: PT017  it need not be raised
        assert len(str(error)) < 3000  # noqa: PT017
    else:
        assert all(len(Path(name).parts) == 2 for name in contents(audio))
        assert contents(audio)
    assert {path.name for path in folder.iterdir()} <= {"raw", "work", "there"}


@pytest.mark.long
@BOUNDED
@given(
    rows=some.lists(ROWS, max_size=4), told=TOLD, cut=some.integers(0, 400), kind=some.sampled_from(["csv", "jsonl"])
)
def test_any_metadata(
    rows: list[Any], told: dict[str, str], cut: int, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "there/in").mkdir(parents=True)
    for name in ("1.wav", "in/2.wav"):
        (folder / "there" / name).write_bytes(name.encode())
    lines = [json.dumps(row) for row in rows]
    if kind == "csv":
        cells = [row if isinstance(row, dict) else {"file_name": row} for row in rows]
        lines = [
            "file_name,label,who",
            *(",".join(str(row.get(c, "")) for c in ("file_name", "label", "who")) for row in cells),
        ]
    text = "\n".join(lines)[: None if cut > 300 else cut]
    (folder / f"there/metadata.{kind}").write_bytes(text.encode("utf-8", "surrogatepass"))
    take(source(folder / "there", "audio_folder", "label", told), folder)


NAMES = some.sampled_from(
    ["0.wav", "0.flac", "1.wav", "in/0.wav", "in__0.wav", ".0.wav", "0.json", "0.cls", "1.json", "x"]
)


@pytest.mark.long
@BOUNDED
@given(
    members=some.lists(some.tuples(NAMES, LABELS, some.binary(max_size=30)), max_size=6),
    told=TOLD,
    label=some.sampled_from(["cls", "json.label", "json.label.of"]),
)
def test_any_shard(
    members: list[tuple[str, Any, bytes]], told: dict[str, str], label: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "there").mkdir()
    with tarfile.open(folder / "there/0.tar", "w") as archive:
        for name, value, content in members:
            if name.endswith("json") and len(content) % 2:
                content = json.dumps({"label": value, "who": value}).encode()  # noqa: PLW2901
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    told = {key: value if key == "separator" else f"json.{value}" for key, value in told.items()}
    take(source(folder / "there", "shards", label, told), folder)


@pytest.mark.long
@BOUNDED
@given(pattern=some.text("{}.,0123ab/~:", max_size=30))
def test_any_pattern_of_shards(pattern: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        list_shards(f"{tmp_path_factory.getbasetemp()}/nothing/{pattern}")
    except ProjectError as error:
        assert "\n" not in str(error)  # noqa: PT017  it need not be raised
    else:
        raise AssertionError("there are none")
