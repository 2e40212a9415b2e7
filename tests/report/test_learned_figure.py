"""What codecs learn of classes, drawn and tabulated: numbers of tables, lines and bars of the figure."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from beyond_spectrograms.evaluation.codec_learning import Learned, compare_learned, learned
from beyond_spectrograms.params.study import Study
from beyond_spectrograms.report.codec_learning import figure_learned, tabulate_gains, tabulate_learned
from beyond_spectrograms.report.codec_quality import Quality
from beyond_spectrograms.report.table import to_markdown
from support import cells
from support.codec_study import NAME, PROTOCOL, SPECTROGRAM, STEPS, write_probes
from support.looks import assert_nothing_overlaps_or_is_clipped
from support.repository import stage_here


def read(folder: Path) -> tuple[Study, Learned]:
    study = write_probes(folder, by_seed=1)
    found = learned(cells.read_back(folder, "demo", "codec"), {})
    assert found is not None
    return study, found


def quality() -> Quality:
    results = [
        {"dataset": "demo", "seed": seed, "step": step, "bitrate": bitrate, "si_snr": seed + step / bitrate}
        | {"mel_distance": 4.0, "perplexity": [8.0], "clips": {"a.wav": [0.0, 4.0]}}
        for seed in range(3)
        for step in STEPS
        for bitrate in (200, 600)
    ]
    return Quality.model_validate({"codec": NAME, "results": results})


def figure_of(study: Study, found: Learned) -> Figure:
    return figure_learned(study.params, [found], {NAME: quality()}, [SPECTROGRAM, "soundstream"])


def test_tables_have_the_accuracies_of_all_seeds_together_and_the_tests(tmp_path: Path) -> None:
    study, found = read(tmp_path)
    lines = to_markdown(tabulate_learned(study.params, [found])).splitlines()
    head, *shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (lines[2], *lines[4:8])]
    assert head == ["data set", "latents", "steps", "seeds", "test windows right (%)"]
    assert [row[:4] for row in shown] == [
        ["demo", NAME, "0", "3"], ["demo", NAME, "4", "3"], ["demo", NAME, "20", "3"], ["demo", SPECTROGRAM, "-", "-"]
    ]  # fmt: skip
    assert [row[4].split()[0] for row in shown] == ["41.7", "58.3", "75.0", "66.7"]
    pairs = compare_learned(study.params, [found])
    table = tabulate_gains(study.params, pairs)
    told = [[show(row) for show in table.columns.values()] for row in table.rows]
    assert [row[:3] for row in told] == [
        ["demo", "pilot after 20", "pilot after 0"],
        ["demo", "pilot after 20", SPECTROGRAM],
    ]
    assert [row[3].split()[0] for row in told] == ["+33.3", "+8.3"]
    assert table.notes[0].endswith("corrected by Holm for the 2 tests of this table.")


def test_the_figure_has_accuracies_above_and_sound_below(tmp_path: Path) -> None:
    study, found = read(tmp_path)
    figure = figure_of(study, found)
    above, si_snr, distance = (axes for axes in figure.axes if axes.get_visible())
    (bars,) = above.containers
    np.testing.assert_allclose(bars.lines[0].get_ydata(orig=False), [100 * 5 / 12, 100 * 7 / 12, 75])  # type: ignore[attr-defined]
    ends = [[end[1] for end in segment] for segment in bars.lines[2][0].get_segments()]  # type: ignore[attr-defined]
    limits = [(100 * each.low, 100 * each.high) for each in found.accuracy[NAME].values() if each.low and each.high]
    np.testing.assert_allclose(ends, limits)
    (level,) = (line for line in above.get_lines() if line.get_label() == SPECTROGRAM)
    assert list(np.asarray(level.get_ydata())) == pytest.approx([100 * 2 / 3] * 2)
    np.testing.assert_allclose(si_snr.get_lines()[0].get_ydata(), [1 + step / 600 for step in STEPS])
    assert len(si_snr.collections) == 1
    assert distance.get_ylabel() == "mel distance (dB)"
    assert above.get_title(loc="left") == f"latents, demo, {PROTOCOL}"
    assert [text.get_text() for text in above.get_xticklabels()] == ["0", "4", "20"]
    assert_nothing_overlaps_or_is_clipped(figure)


def test_the_command_takes_references_from_other_studies(tmp_path: Path) -> None:
    write_probes(tmp_path)
    probes_grid = {"datasets": ["demo"], "representations": ["soundstream"], "protocols": [PROTOCOL], "only": {}}
    cells.write_params(tmp_path, "probes", grid=probes_grid, contrasts={"under": [PROTOCOL], "pairs": []})
    cells.write_dataset(tmp_path, "demo", ["soundstream"], [PROTOCOL], study="probes")
    said = stage_here(tmp_path, "draw_codecs", "--study=codec")
    assert said == "studies/codec/plots/learning: learning; tables in studies/codec/metrics/learning/tables\n"
    table = (tmp_path / "studies/codec/metrics/learning/tables/latents.md").read_text()
    assert "| demo     | soundstream  | -     | -     | 75.0 [" in table
    gains = (tmp_path / "studies/codec/metrics/learning/tables/gains.md").read_text()
    assert "soundstream" not in gains
    drawn = tmp_path / "studies/codec/plots/learning"
    assert sorted(path.name for path in drawn.iterdir()) == ["learning.png", "learning.svg"]


def test_a_reference_under_another_recipe_is_not_taken(tmp_path: Path) -> None:
    write_probes(tmp_path)
    probes_grid = {"datasets": ["demo"], "representations": ["soundstream"], "protocols": ["knn_cosine"], "only": {}}
    cells.write_params(tmp_path, "probes", grid=probes_grid, contrasts={"under": ["knn_cosine"], "pairs": []})
    cells.write_dataset(tmp_path, "demo", ["soundstream"], ["knn_cosine"], study="probes")
    stage_here(tmp_path, "draw_codecs", "--study=codec")
    assert "soundstream" not in (tmp_path / "studies/codec/metrics/learning/tables/latents.md").read_text()
