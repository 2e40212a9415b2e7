"""The stages on a made data set of any number of windows."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.scale import STAGES, Run, ScaleError, describe_scale, make_project, run_stage, scale_figure, scale_table
from benchmarks.watching import Watched
from beyond_spectrograms.data.splits import tabulate_windows
from beyond_spectrograms.params import load_params
from beyond_spectrograms.report.table import to_markdown
from support.repository import REPOSITORY


def test_time_is_linear_where_a_further_window_takes_the_same_at_all_sizes() -> None:
    sizes = [(1000, 3.0), (10_000, 12.0), (100_000, 102.0)]
    runs = [Run("split", windows, Watched(0, seconds, seconds, 2_000_000, 3_000_000)) for windows, seconds in sizes]
    described = describe_scale(runs)
    assert described["processor_seconds_per_further_window"] == {"split": [pytest.approx(0.001), pytest.approx(0.001)]}
    assert described["window"]["bytes"] == 6528
    assert described["runs"][0]["own_bytes"] == 2_000_000
    assert "| split | 100,000 | 1.7 min | 1.7 min" in " ".join(to_markdown(scale_table(runs)).split())
    assert len(scale_figure(runs).axes) == 2


def test_the_made_data_set_has_as_many_windows_as_asked(tmp_path: Path) -> None:
    make_project(tmp_path, 1000, REPOSITORY)
    clips = pd.read_csv(tmp_path / "data/clips/scale/clips.csv").assign(group="", fold=1)
    table = tabulate_windows(clips, tmp_path / "data/clips/scale", load_params(root=tmp_path).windows)
    assert (len(table), table["label"].nunique(), table["silent"].sum()) == (1000, 10, 0)


@pytest.mark.long
def test_the_real_stages_run_on_the_made_data_set(tmp_path: Path) -> None:
    make_project(tmp_path, 1000, REPOSITORY)
    for stage in STAGES:
        run = run_stage(tmp_path, stage, 1000)
        assert (run.stage, run.windows, run.watched.status) == (stage, 1000, 0)
        assert run.watched.own_bytes > 10e6


def test_a_stage_that_fails_on_the_made_data_set_is_named_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(ScaleError) as error:
        run_stage(tmp_path, "split", 20)
    assert str(error.value) == (
        "stage split failed on 20 windows:\nparams.yaml: no such file. Run stages from the folder that holds it.\n"
    )
