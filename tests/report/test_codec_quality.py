"""How near a codec's sound is, against steps: numbers of the table, lines of the figure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from beyond_spectrograms.evaluation.records import ResultError
from beyond_spectrograms.report.codec_quality import Quality, figure_quality, read_quality, tabulate_quality
from beyond_spectrograms.report.table import to_markdown
from support import codec_study
from support.codec_study import STEPS
from support.common import refusal
from support.looks import assert_nothing_overlaps_or_is_clipped
from support.repository import stage_here


def judged(seed: int, step: int, bitrate: int, si_snr: float, dataset: str = "demo") -> dict[str, Any]:
    return {
        **{"dataset": dataset, "seed": seed, "step": step, "bitrate": bitrate, "si_snr": si_snr, "mel_distance": 4.0},
        **{"perplexity": [8.0, 16.0], "clips": {"a/1.wav": [si_snr, 4.0], "a/2.wav": [si_snr, 4.0]}},
    }


def quality(*seeds: int) -> Quality:
    results = [
        judged(seed, step, bitrate, -10.0 + step + seed) for seed in seeds for step in STEPS for bitrate in (200, 600)
    ]
    return Quality.model_validate({"codec": "pilot", "results": results})


def lines_of(figure: Figure, place: int) -> dict[str, Sequence[float]]:
    lines = figure.axes[place].get_lines()
    return {str(line.get_label()): list(np.asarray(line.get_ydata())) for line in lines}


def test_the_table_has_the_mean_of_seeds_and_their_range() -> None:
    table = tabulate_quality(quality(0, 1, 2))
    lines = to_markdown(table).splitlines()
    same = "4.00 (4.00 to 4.00) | 12.0 (12.0 to 12.0)      |"
    shown = "| SI-SNR (dB)          | mel distance (dB)   | perplexity of a codebook |"
    assert lines[:3] == ["# The codec pilot by steps of training", "", f"| data set | steps | bits/s | seeds {shown}"]
    assert lines[4:10] == [
        f"| demo     | 0     | 200    | 3     | -9.0 (-10.0 to -8.0) | {same}",
        f"| demo     | 0     | 600    | 3     | -9.0 (-10.0 to -8.0) | {same}",
        f"| demo     | 4     | 200    | 3     | -5.0 (-6.0 to -4.0)  | {same}",
        f"| demo     | 4     | 600    | 3     | -5.0 (-6.0 to -4.0)  | {same}",
        f"| demo     | 20    | 200    | 3     | 11.0 (10.0 to 12.0)  | {same}",
        f"| demo     | 20    | 600    | 3     | 11.0 (10.0 to 12.0)  | {same}",
    ]
    assert table.notes == [
        "Means over clips that its training never heard: 2 of demo. The delay was taken out of each.",
        "Perplexity is the mean over the codebooks that a bitrate takes: how many entries are as good as used alike.",
        "In parentheses: the seeds with the lowest and the highest value; no interval.",
    ]


def test_of_one_seed_no_range_is_told() -> None:
    table = tabulate_quality(quality(0))
    assert [row["seeds"] for row in table.rows] == [1] * 6
    assert table.columns["SI-SNR (dB)"](table.rows[0]) == "-10.0"
    assert len(table.notes) == 2


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_figure_has_a_line_a_bitrate_and_the_seeds_range_as_a_band(seeds: tuple[int, ...]) -> None:
    figure = figure_quality(quality(*seeds))
    middle = np.mean(seeds)
    wanted = [-10 + middle + step for step in STEPS]
    assert lines_of(figure, 0) == {"600 bits/s": wanted, "200 bits/s": wanted}
    assert len(figure.axes) == 3
    assert [len(axes.collections) for axes in figure.axes] == [0 if len(seeds) == 1 else 2] * 3
    told = "one seed" if len(seeds) == 1 else "means of 3 seeds; bands: their range"
    assert figure.get_suptitle() == f"The codec pilot by steps of its training\n{told}"
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0", "4", "20"]
    assert_nothing_overlaps_or_is_clipped(figure)


def test_the_command_writes_tables_and_a_figure(tmp_path: Path) -> None:
    codec_study.write(tmp_path, ["demo"])
    stage_here(tmp_path, "judge_codec", "--study=codec", "pilot")
    said = stage_here(tmp_path, "draw_codecs", "--study=codec")
    plots, tables = "studies/codec/plots/codecs/pilot", "studies/codec/metrics/codecs/pilot/tables"
    assert said == f"{plots}: quality; tables in {tables}\n"
    assert sorted(path.name for path in (tmp_path / plots).iterdir()) == ["quality.png", "quality.svg"]
    assert sorted(path.name for path in (tmp_path / tables).iterdir()) == ["quality.csv", "quality.md"]


def test_where_no_codec_was_judged_nothing_is_drawn(tmp_path: Path) -> None:
    codec_study.write(tmp_path, ["demo"])
    said = stage_here(tmp_path, "draw_codecs", "--study=codec")
    assert said == "studies/codec: no codec was judged or probed: nothing to draw\n"


def test_a_file_without_results_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quality.json"
    path.write_text(json.dumps({"codec": "pilot", "results": []}))
    assert refusal(ResultError, read_quality, path) == f"{path}: no result is there. Run its stage again."
