"""Text from outside neither steers a terminal nor is computed by a spreadsheet, and nothing of it is lost."""

import json
from pathlib import Path

import pytest

from beyond_spectrograms.util.text import as_cell, from_cell, printable, printable_json, shorten_value, some_of

STEERING = "a\x1b[2J\x07\x7f\x9b1m\u202eb\u2028\ud800\r\n"


def test_signs_that_steer_a_terminal_are_shown_as_escapes() -> None:
    assert printable(STEERING) == r"a\x1b[2J\x07\x7f\x9b1m\u202eb\u2028\ud800\r\n"
    assert printable(STEERING, kept="\n").endswith("\\r\n")
    assert printable(Path("é 犬 🐕")) == "é 犬 🐕"


def test_json_has_its_own_escapes_and_reads_back_the_same() -> None:
    value = {"é 犬 🐕": [STEERING, "\U000e0041"]}
    for indent in (None, 2):
        text = printable_json(value, indent)
        assert json.loads(text) == value
        assert text.replace("\n", "").isprintable()
    assert printable_json("é 犬 🐕") == '"é 犬 🐕"'


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        *((f"{sign}1+1", f"'{sign}1+1") for sign in "=+-@\t\r＝＋－＠"),  # noqa: RUF001  the wide forms are meant
        ("'=1", "''=1"),
        ("''=1", "'''=1"),
        ("-", "-"),
        ("'n dog", "'n dog"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_cell_that_a_spreadsheet_would_compute_is_quoted_and_read_back(text: str, cell: str) -> None:
    assert as_cell(text) == cell
    assert from_cell(cell) == text


def test_numbers_are_cells_as_they_are() -> None:
    assert [as_cell(value) for value in (-1.5, None, 3)] == [-1.5, None, 3]


def test_long_values_and_many_names_are_cut() -> None:
    assert shorten_value("x" * 200) == "x" * 200
    assert shorten_value("x" * 201) == "x" * 200 + "... (201 signs)"
    assert some_of(list("abcde")) == "a, b, c, d, e"
    assert some_of(list("abcdefg")) == "a, b, c, d, e and 2 more"
