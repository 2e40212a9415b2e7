"""A codec's quality and what probes know by its latents, against steps: numbers of tables, lines of the figure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from beyond_spectrograms.evaluation import result_files
from beyond_spectrograms.evaluation.records import ResultError
from beyond_spectrograms.params.study import Study, load_study
from beyond_spectrograms.report.codec_quality import (
    Quality,
    figure_quality,
    read_quality,
    tabulate_probes,
    tabulate_quality,
)
from beyond_spectrograms.report.table import to_markdown
from stages.draw_codec import read_probes
from support import cells, codec_study
from support.codec_study import PROTOCOL, STEPS
from support.common import refusal
from support.looks import assert_nothing_overlaps_or_is_clipped
from support.repository import stage_here

QUALITY = Path("studies/codec/metrics/codecs/pilot/quality.json")


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


def write_probes(folder: Path, dataset: str = "demo") -> Study:
    """Score probes of all latents of the study, the later the better, and of the reference in the study of probes."""
    cells.edit_params(folder, lambda params: params["statistics"].update(minimum_runs=3, minimum_sources=12))
    study = cells.study_in(folder, "codec")

    def make(known: Study, of: str, name: str, protocol: str) -> result_files.Evaluation:
        cells.WHOLLY_RIGHT[name] = 2 + 2 * STEPS.index(int(name.rpartition("_")[2]))
        return cells.make_cell(known, of, name, protocol)

    cells.write_dataset(folder, dataset, study.params.grid.representations, [PROTOCOL], study="codec", make=make)
    return study


def read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(folder)
    return read_probes(load_study("codec"), "pilot")


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
    figure = figure_quality(quality(*seeds), [])
    middle = np.mean(seeds)
    wanted = [-10 + middle + step for step in STEPS]
    assert lines_of(figure, 0) == {"sound at 600 bits/s": wanted, "sound at 200 bits/s": wanted}
    assert len(figure.axes) == 3
    assert [len(axes.collections) for axes in figure.axes] == [0 if len(seeds) == 1 else 2] * 3
    told = "one seed" if len(seeds) == 1 else "sound: means of 3 seeds; bands: their range"
    assert figure.get_suptitle() == f"The codec pilot by steps of its training\n{told}"
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0", "4", "20"]
    assert_nothing_overlaps_or_is_clipped(figure)


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_probes_stand_below_by_seed_beside_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: tuple[int, ...]
) -> None:
    codec_study.write(tmp_path, ["demo"], seeds)
    write_probes(tmp_path)
    probes_grid = {"datasets": ["demo"], "representations": ["soundstream"], "protocols": [PROTOCOL], "only": {}}
    cells.write_params(tmp_path, "probes", grid=probes_grid, contrasts={"under": [PROTOCOL], "pairs": []})
    cells.write_dataset(tmp_path, "demo", ["soundstream"], [PROTOCOL], study="probes")
    (found,) = known = read(tmp_path, monkeypatch)
    assert list(found.by_seed) == list(seeds)
    assert list(found.by_seed[0]) == STEPS
    figure = figure_quality(quality(*seeds), known)
    lines = lines_of(figure, 3)
    assert lines["soundstream"] == pytest.approx([75.0, 75.0])
    drawn = [container.lines[0].get_ydata(orig=False) for container in figure.axes[3].containers]  # type: ignore[attr-defined]
    assert len(drawn) == len(seeds)
    np.testing.assert_allclose(drawn[0], [100 * 12 / 36, 100 * 18 / 36, 100 * 24 / 36])
    assert figure.get_suptitle().endswith("\nlatents: bars: 95% interval over sources and runs")
    assert_nothing_overlaps_or_is_clipped(figure)
    table = tabulate_probes("pilot", known)
    assert table is not None
    assert len(table.rows) == 3 * len(seeds) + 1
    shown = [show(table.rows[-1]) for show in table.columns.values()]
    assert shown[:4] == ["demo", PROTOCOL, "soundstream", "-"]
    interval = found.reference
    assert shown[4:] == [f"75.0 [{100 * interval.low:.1f}, {100 * interval.high:.1f}]", ""]
    bars = figure.axes[3].containers[0].lines[2][0].get_segments()  # type: ignore[attr-defined]
    mine = found.by_seed[0][4]
    assert [end[1] for end in bars[1]] == pytest.approx([100 * mine.low, 100 * mine.high])


def test_a_reference_under_another_recipe_is_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec_study.write(tmp_path, ["demo"])
    write_probes(tmp_path)
    probes_grid = {"datasets": ["demo"], "representations": ["soundstream"], "protocols": ["knn_cosine"], "only": {}}
    cells.write_params(tmp_path, "probes", grid=probes_grid, contrasts={"under": ["knn_cosine"], "pairs": []})
    cells.write_dataset(tmp_path, "demo", ["soundstream"], ["knn_cosine"], study="probes")
    (found,) = read(tmp_path, monkeypatch)
    assert found.reference is None


def test_the_command_writes_tables_and_a_figure(tmp_path: Path) -> None:
    codec_study.write(tmp_path, ["demo"])
    stage_here(tmp_path, "judge_codec", "--study=codec", "pilot")
    said = stage_here(tmp_path, "draw_codec", "--study=codec", "pilot")
    plots, tables = "studies/codec/plots/codecs/pilot", "studies/codec/metrics/codecs/pilot/tables"
    assert said == f"{plots}: a figure of quality; tables in {tables}\n"
    assert sorted(path.name for path in (tmp_path / plots).iterdir()) == ["quality.png", "quality.svg"]
    assert sorted(path.name for path in (tmp_path / tables).iterdir()) == ["quality.csv", "quality.md"]


def test_a_codec_that_was_not_judged_is_refused(tmp_path: Path) -> None:
    codec_study.write(tmp_path, ["demo"])
    said = stage_here(tmp_path, "draw_codec", "--study=codec", "pilot", expect=1)
    assert said == f"{QUALITY}: missing. Run its stage again, or restore it from git.\n"


def test_a_file_without_results_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quality.json"
    path.write_text(json.dumps({"codec": "pilot", "results": []}))
    assert refusal(ResultError, read_quality, path) == f"{path}: no result is there. Run its stage again."
