"""What codecs learn of classes, drawn and tabulated: numbers of the table, lines and bands of the figure."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from beyond_spectrograms.params import ParamsError
from beyond_spectrograms.params.study import load_study
from beyond_spectrograms.report.codec_learning import (
    Learned,
    by_networks,
    compare_networks,
    figure_learned,
    learned,
    tabulate_learned,
    tabulate_networks,
)
from beyond_spectrograms.report.codec_quality import Quality
from beyond_spectrograms.report.table import to_markdown
from stages import draw_codecs
from support import cells
from support.codec_study import NAME, PROTOCOL, SPECTROGRAM, STEPS, write_probes
from support.common import refusal
from support.looks import assert_nothing_overlaps_or_is_clipped
from support.repository import stage_here


def read(folder: Path) -> Learned:
    found = learned(cells.read_back(folder, "demo", "codec"), PROTOCOL, {"soundstream": 0.75}, {})
    assert found is not None
    return found


def quality() -> Quality:
    results = [
        {"dataset": "demo", "seed": seed, "step": step, "bitrate": bitrate, "si_snr": seed + step / bitrate}
        | {"mel_distance": 4.0, "perplexity": [8.0], "clips": {"a.wav": [0.0, 4.0]}}
        for seed in range(3)
        for step in STEPS
        for bitrate in (200, 600)
    ]
    return Quality.model_validate({"codec": NAME, "results": results})


def test_the_table_has_means_over_trainings_and_their_range(tmp_path: Path) -> None:
    write_probes(tmp_path, by_seed=1, leave=["seed_1_4"])
    lines = to_markdown(tabulate_learned([read(tmp_path)])).splitlines()
    head, *shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (lines[2], *lines[4:9])]
    assert head == ["data set", "latents", "steps", "seeds", "test windows right (%)"]
    assert shown == [
        ["demo", NAME, "0", "3", "41.7 (33.3 to 50.0)"],
        ["demo", NAME, "4", "2", "58.3 (50.0 to 66.7)"],
        ["demo", NAME, "20", "3", "75.0 (66.7 to 83.3)"],
        ["demo", SPECTROGRAM, "-", "-", "66.7"],
        ["demo", "soundstream", "-", "-", "75.0"],
    ]


def test_networks_are_compared_with_latents_of_the_same_training_as_drawn(tmp_path: Path) -> None:
    write_probes(tmp_path, (0, 1), leave=["seed_1_0"], by_seed=1, protocols=[PROTOCOL, "fair", "shuffled_labels"])
    results = cells.read_back(tmp_path, "demo", "codec")
    assert by_networks(results) == ["fair"]
    lines = to_markdown(tabulate_networks(compare_networks(results, {NAME: "mine"}))).splitlines()
    head, *shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (lines[2], *lines[4:10])]
    assert head == ["data set", "protocol", "latents", "steps", "test windows right (%)", "minus as drawn, points"]
    assert shown == [
        ["demo", "fair", SPECTROGRAM, "-", "66.7", "-"],
        ["demo", "fair", "mine, seed 0", "0", "33.3", "-"],
        ["demo", "fair", "mine, seed 0", "4", "50.0", "+16.7"],
        ["demo", "fair", "mine, seed 0", "20", "66.7", "+33.3"],
        ["demo", "fair", "mine, seed 1", "4", "58.3", "-"],
        ["demo", "fair", "mine, seed 1", "20", "75.0", "-"],
    ]
    assert lines[10] == ""


def test_the_figure_has_networks_between_probes_and_sound(tmp_path: Path) -> None:
    write_probes(tmp_path, (0, 1), protocols=[PROTOCOL, "fair"])
    results = cells.read_back(tmp_path, "demo", "codec")
    networks, here = learned(results, "fair", {}, {}), read(tmp_path)
    assert networks is not None
    probed = Learned("demo", PROTOCOL, here.right, dict(reversed(here.others.items())))
    figure = figure_learned([probed], {NAME: quality()}, [networks])
    above, middle, below, *_ = (axes for axes in figure.axes if axes.get_visible())
    titles = [axes.get_title(loc="left") for axes in (above, middle)]
    assert titles == [f"latents, demo, {PROTOCOL}", "latents, demo, fair"]
    assert below.get_title(loc="left").startswith("sound, ")
    known = {str(line.get_label()): line.get_linestyle() for line in above.get_lines()}
    drawn = {str(line.get_label()): line.get_linestyle() for line in middle.get_lines()}
    assert drawn == {name: known[name] for name in (SPECTROGRAM, f"codec {NAME}")}
    assert_nothing_overlaps_or_is_clipped(figure)


def test_nothing_is_known_where_no_latents_were_probed(tmp_path: Path) -> None:
    write_probes(tmp_path, (0,), leave=[f"seed_0_{step}" for step in STEPS])
    assert learned(cells.read_back(tmp_path, "demo", "codec"), PROTOCOL, {}, {}) is None


def test_the_figure_has_accuracies_above_and_sound_below(tmp_path: Path) -> None:
    write_probes(tmp_path, by_seed=1)
    figure = figure_learned([read(tmp_path)], {NAME: quality()})
    above, si_snr, distance = (axes for axes in figure.axes if axes.get_visible())
    lines = {str(line.get_label()): np.asarray(line.get_ydata(), dtype=np.float64) for line in above.get_lines()}
    assert lines[SPECTROGRAM] == pytest.approx([100 * 2 / 3] * 2)
    assert lines["soundstream"] == pytest.approx([75.0] * 2)
    np.testing.assert_allclose(lines[f"codec {NAME}"], [100 * 5 / 12, 100 * 7 / 12, 75])
    (band,) = (each.get_paths()[0].vertices for each in above.collections)
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((100 * 4 / 12, 100 * 10 / 12))
    np.testing.assert_allclose(si_snr.get_lines()[0].get_ydata(), [1 + step / 600 for step in STEPS])
    assert len(si_snr.collections) == 1
    assert distance.get_ylabel() == "mel distance (dB)"
    assert above.get_title(loc="left") == f"latents, demo, {PROTOCOL}"
    assert [text.get_text() for text in above.get_xticklabels()] == ["0", "4", "20"]
    assert figure.get_suptitle().endswith("\nmeans of 3 trainings, where so many were run; bands: range")
    assert_nothing_overlaps_or_is_clipped(figure)


def test_the_legend_names_what_only_one_data_set_has(tmp_path: Path) -> None:
    write_probes(tmp_path, (0,))
    here = read(tmp_path)
    other = Learned("other", PROTOCOL, {"later": here.right[NAME]}, {"yamnet": 0.9})
    (legend,) = figure_learned([here, other], {}).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        SPECTROGRAM, "soundstream", f"codec {NAME}", "yamnet", "codec later"
    ]  # fmt: skip


def test_of_one_training_there_is_no_band(tmp_path: Path) -> None:
    write_probes(tmp_path, (0,))
    figure = figure_learned([read(tmp_path)], {})
    (above,) = (axes for axes in figure.axes if axes.get_visible())
    assert len(above.collections) == 0
    assert figure.get_suptitle().endswith("\none training each")


def test_the_command_takes_references_from_other_studies(tmp_path: Path) -> None:
    write_probes(tmp_path)
    probes_grid = {"datasets": ["demo"], "representations": ["soundstream"], "protocols": [PROTOCOL], "only": {}}
    cells.write_params(tmp_path, "probes", grid=probes_grid, contrasts={"under": [PROTOCOL], "pairs": []})
    cells.write_dataset(tmp_path, "demo", ["soundstream"], [PROTOCOL], study="probes")
    said = stage_here(tmp_path, "draw_codecs", "--study=codec")
    assert said == "studies/codec/plots/learning: learning; tables in studies/codec/metrics/learning/tables\n"
    table = (tmp_path / "studies/codec/metrics/learning/tables/learning.md").read_text()
    assert "| demo     | soundstream  | -     | -     | 75.0 " in table
    drawn = tmp_path / "studies/codec/plots/learning"
    assert sorted(path.name for path in drawn.iterdir()) == ["learning.png", "learning.svg"]


def test_data_sets_of_another_study_stand_beside_its_own_under_the_names_it_gives_their_codecs(tmp_path: Path) -> None:
    write_probes(tmp_path, learning={"later": {"other": NAME}})
    shutil.copytree(tmp_path / "studies/codec", tmp_path / "studies/later")
    params = tmp_path / "studies/later/params.yaml"
    params.write_text(params.read_text().replace(NAME, "other"))
    stage_here(tmp_path, "draw_codecs", "--study=codec")
    table = (tmp_path / "studies/codec/metrics/learning/tables/learning.md").read_text()
    rows = [
        [cell.strip() for cell in line.split("|")[2:4]] for line in table.splitlines() if line.startswith("| demo ")
    ]
    assert [row for row in rows if row[0] != SPECTROGRAM] == [[NAME, str(step)] for step in STEPS] * 2
    assert f"demo: {NAME} is the codec other." in table


def test_a_codec_that_the_other_study_does_not_have_is_named(tmp_path: Path) -> None:
    write_probes(tmp_path, learning={"later": {"othr": NAME}})
    shutil.copytree(tmp_path / "studies/codec", tmp_path / "studies/later")
    with contextlib.chdir(tmp_path):
        told = refusal(ParamsError, draw_codecs.read_learned, load_study("codec"))
    assert told == f"grid.learning.later: 'othr' is no codec of that study. Choose from {NAME}."


def test_a_reference_under_another_recipe_is_not_taken(tmp_path: Path) -> None:
    write_probes(tmp_path)
    probes_grid = {"datasets": ["demo"], "representations": ["soundstream"], "protocols": ["knn_cosine"], "only": {}}
    cells.write_params(tmp_path, "probes", grid=probes_grid, contrasts={"under": ["knn_cosine"], "pairs": []})
    cells.write_dataset(tmp_path, "demo", ["soundstream"], ["knn_cosine"], study="probes")
    stage_here(tmp_path, "draw_codecs", "--study=codec")
    assert "soundstream" not in (tmp_path / "studies/codec/metrics/learning/tables/learning.md").read_text()
