"""YAML that is small on disk and endless in memory, or holds what no params have, is refused in one line."""

import os
from pathlib import Path

import pytest

from beyond_spectrograms.util import yaml_files
from beyond_spectrograms.util.yaml_files import YamlError, read_yaml
from support.common import refusal
from support.repository import Patch

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{place}: &a{place} [{', '.join([f'*a{place - 1}'] * 10)}]\n" for place in range(1, 10)
)
MERGED = "a0: &a0 {x: 1}\n" + "".join(
    f"a{place}: &a{place} {{<<: [{', '.join([f'*a{place - 1}'] * 10)}]}}\n" for place in range(1, 10)
)


def refused(folder: Path, content: str | bytes) -> str:
    path = folder / "params.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return refusal(YamlError, read_yaml, path).removeprefix(f"{path}: ")


def test_plain_values_and_anchors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: &a {x: 1, y: [0.5, true, null]}\nb: {<<: *a, x: text}\n")
    both = {"x": 1, "y": [0.5, True, None]}
    assert read_yaml(path) == {"a": both, "b": both | {"x": "text"}}
    path.write_text("")
    assert read_yaml(path) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LAUGHS, "line 6: stands for over 300000 values"),
        (MERGED, "line 6: stands for over 300000 values"),
        ("x: " + "[" * 100_000, "line 1: over 50 mappings and lists within one another"),
        ("".join(" " * depth + "-\n" for depth in range(99)), "line 51: over 50 mappings and lists within one another"),
        ("x: &x [*x]", "line 1: *x stands inside what it stands for"),
        ("x: 2020-01-01", "2020-01-01 is read as a date; write it in quotes"),
        ("2020-01-01: x", "2020-01-01 is read as a date; write it in quotes"),
        ("x: 2020-13-41", "a value is none: month must be in 1..12"),
        ("x: 0x" + "f" * 5000, "a whole number takes 20000 bits; at most 64 are read"),
        ("x: 1" + ":59" * 5000, "a whole number takes 29536 bits; at most 64 are read"),
        ("hub:\n  a: 1\ngrid: 2\nhub:\n  b: 1", "line 4: 'hub' stands in line 1 of this mapping too. Make them one."),
        ("a: [{x: {y: 1, 'y': 1}}]", "line 1: 'y' stands in line 1 of this mapping too. Make them one."),
        ("a: &a {x: 1}\nb: {<<: *a, x: 1}\nb: 1", "line 3: 'b' stands in line 2 of this mapping too. Make them one."),
        ("x: !!int ''", "a value is none: string index out of range"),
        ("x: !!bool maybe", "a value is none: 'maybe'"),
        ("x: !!set {a}", "{'a'} is no mapping, list, text, number, true, false or null"),
        ("x: !!binary aGk=", "b'hi' is no mapping, list, text, number, true, false or null"),
        (b"x: \xff", "'utf-8' codec can't decode byte 0xff in position 3: invalid start byte"),
    ],
)  # fmt: skip
def test_what_is_too_much_or_no_value_of_params_is_refused(tmp_path: Path, content: str | bytes, reason: str) -> None:
    assert refused(tmp_path, content) == f"not YAML: {reason}"


def test_digits_that_python_does_not_turn_into_a_number_are_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, "x: " + "1" * 5000)
    assert told.startswith("not YAML: a value is none: Exceeds the limit (4300 ")
    assert "\n" not in told


def test_a_file_of_any_size_is_not_read(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(yaml_files, "MOST_BYTES", 7)
    assert refused(tmp_path, "x: 12345") == "larger than 7 bytes"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "params.yaml")
    assert refusal(YamlError, read_yaml, tmp_path / "params.yaml") == f"{tmp_path}/params.yaml: is no plain file"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert refusal(YamlError, read_yaml, tmp_path) == f"{tmp_path}: is a directory"
