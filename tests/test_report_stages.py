import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cells import write, write_dataset, write_params

from beyond_spectrograms.plots_page import page

ROOT = Path(__file__).parent.parent
TABLES = [
    f"{table}.{suffix}"
    for table in ("convergence", "results", "sizes", "table_1", "table_2", "times")
    for suffix in ("csv", "md")
]
FIGURES = [f"{name}.{suffix}" for name in ("confusion-fair", "figure_2", "figure_4-fair") for suffix in ("png", "svg")]


def run(folder: Path, *command: str, expect: int = 0) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == expect, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


def stage(folder: Path, name: str, *arguments: str, expect: int = 0) -> str:
    return run(folder, sys.executable, "-m", f"stages.{name}", *arguments, expect=expect)


def grid(*representations: str) -> dict[str, list[str]]:
    return {"datasets": ["esc10"], "representations": list(representations), "protocols": ["fair"]}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three representations, reported over two of them and one that was not run."""
    folder = tmp_path_factory.mktemp("reported")
    write_params(folder, grid=grid("mel", "soundstream", "encodec_24khz"))
    write_dataset(folder, "esc10", ["mel", "soundstream", "log_mel"], ["fair"])
    stage(folder, "report", "esc10")
    return folder


def test_report_writes_every_table_and_figure(reported: Path) -> None:
    assert names(reported / "metrics/tables/esc10") == TABLES
    assert names(reported / "plots/figures/esc10") == FIGURES
    curves = pd.read_csv(reported / "plots/convergence/esc10.csv")
    assert list(curves["representation"].unique()) == ["mel", "soundstream"]
    # Folds of 14, 16 and 18 epochs: the mean runs to the end of the longest.
    assert curves.groupby("representation")["epoch"].max().tolist() == [18, 18]


def test_results_outside_the_grid_are_not_read(reported: Path) -> None:
    table = pd.read_csv(reported / "metrics/tables/esc10/table_1.csv")
    assert list(table["representation"]) == ["mel", "soundstream", "encodec_24khz", "encodec_48khz"]
    assert table["note"].tolist()[2:] == ["not run", "not run"]


def test_the_same_results_give_the_same_bytes_and_what_is_no_longer_run_goes(reported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(reported, folder)
    stray = folder / "plots/figures/esc10/figure_4-retired.png"
    write(stray, "of a protocol that is no longer run")
    stage(folder, "report", "esc10")
    assert not stray.exists()
    assert {path.removeprefix(str(folder)): content for path, content in contents(folder).items()} == {
        path.removeprefix(str(reported)): content for path, content in contents(reported).items()
    }


def test_scores_without_their_history_stop_the_report_with_one_line(reported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(reported, folder)
    (folder / "plots/history/esc10/mel-fair.csv").unlink()
    assert stage(folder, "report", "esc10", expect=1) == (
        "plots/history/esc10/mel-fair.csv: missing, though its scores are there. Run its train stage again.\n"
    )


def test_demo_shows_its_table_and_where_the_pictures_are(tmp_path: Path) -> None:
    chosen = ["mel", "encodec_24khz_untrained"]
    write_params(tmp_path, demo={"representations": chosen, "protocols": ["fair"]})
    write_dataset(tmp_path, "demo", chosen, ["fair"])
    stage(tmp_path, "demo")
    assert names(tmp_path / "metrics/demo") == TABLES
    before = contents(tmp_path)
    printed = stage(tmp_path, "demo", "--show")
    assert re.search(r"\| mel +\| 50.0 / 62.5 +\|", printed)
    assert re.search(r"\| encodec_24khz +\| not run +\|", printed)
    assert re.search(
        r"encodec_24khz_untrained \| 40.0 / 52.5 .*control: untrained encoder, not EnCodec's result", printed
    )
    listed = [line.strip() for line in printed.splitlines() if line.startswith("  ")]
    assert "metrics/demo/results.md" in listed
    assert "plots/demo/figures/figure_4-fair.png" in listed
    assert all((tmp_path / path).exists() for path in listed)
    assert contents(tmp_path) == before


def test_demo_without_a_cell_it_promises_stops(tmp_path: Path) -> None:
    write_params(tmp_path, demo={"representations": ["mel", "log_mel"], "protocols": ["fair"]})
    write_dataset(tmp_path, "demo", ["mel"], ["fair"])
    assert stage(tmp_path, "demo", expect=1) == (
        "demo: no scores of log_mel under fair. List its files under the deps of stage demo in dvc.yaml.\n"
    )


def test_run_publishes_the_one_variant_under_fixed_names(tmp_path: Path) -> None:
    write_params(tmp_path, run={"dataset": "esc10", "representation": "soundstream", "protocol": "fair"})
    write_dataset(tmp_path, "esc10", ["mel", "soundstream"], ["fair"])
    stage(tmp_path, "run")
    for place, source in (
        ("metrics/run.json", "metrics/scores/esc10/soundstream-fair.json"),
        ("plots/run/history.csv", "plots/history/esc10/soundstream-fair.csv"),
        ("plots/run/predictions.csv", "plots/predictions/esc10/soundstream-fair.csv"),
    ):
        assert (tmp_path / place).read_bytes() == (tmp_path / source).read_bytes()


def test_the_page_of_plots_loads_nothing_from_elsewhere() -> None:
    html = page()
    frame = re.sub(r"<script>.*?</script>", "<script></script>", html, flags=re.DOTALL)
    assert re.findall(r"<[^>]*\b(?:src|href)=", frame) == []
    assert "{scripts}" not in html
    assert html.count("{plot_divs}") == html.count("{refresh_tag}") == 1


DVC_YAML = """
plots:
  - curves.csv: {template: convergence, x: epoch, y: validation_accuracy, title: esc10 curves}
  - history.csv: {template: folds, x: epoch, y: validation_accuracy, title: every fold}
  - predictions.csv: {template: classes, x: predicted, y: label, title: windows by class}
  - not_run.csv: {template: folds, x: epoch, y: validation_accuracy, title: nothing}
"""


@pytest.mark.long
def test_plots_are_drawn_by_a_browser_without_a_network(reported: Path, tmp_path: Path) -> None:
    dvc = [sys.executable, "-m", "dvc"]
    run(tmp_path, *dvc, "init", "--no-scm", "-q")
    run(tmp_path, *dvc, "config", "plots.html_template", "plots/page.html")
    shutil.copytree(ROOT / ".dvc/plots", tmp_path / ".dvc/plots")
    write(tmp_path / ".dvc/plots/page.html", page())
    write(tmp_path / "dvc.yaml", DVC_YAML)
    for name, source in (
        ("curves", "plots/convergence/esc10"),
        ("history", "plots/history/esc10/mel-fair"),
        ("predictions", "plots/predictions/esc10/mel-fair"),
    ):
        shutil.copy(reported / f"{source}.csv", tmp_path / f"{name}.csv")
    run(tmp_path, *dvc, "plots", "show")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium to draw the page with; CI has one")
    browser = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    browser += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    browser += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'browser'}"]
    drawn = run(tmp_path, *browser, "--virtual-time-budget=20000", "--dump-dom", "dvc_plots/index.html")
    charts = re.findall(r"<svg[^>]*marks.*?</svg>", drawn, re.DOTALL)
    assert len(charts) == 3
    texts = [re.findall(r"<text[^>]*>([^<]+)</text>", chart) for chart in charts]
    for title, legend in (("esc10 curves", "soundstream"), ("every fold", "workspace: mel, fair")):
        assert [chart for chart in texts if title in chart and legend in chart]
    assert [chart for chart in texts if "windows by class" in chart and chart.count("33") == 9]
    assert "not run: not_run_csv" in drawn


@pytest.mark.parametrize("template", ["classes", "convergence", "folds"])
def test_plot_templates_hold_dvc_s_anchors(template: str) -> None:
    text = (ROOT / f".dvc/plots/{template}.json").read_text(encoding="utf-8")
    assert json.loads(text)["data"] == {"values": "<DVC_METRIC_DATA>"}
    for anchor in ("TITLE", "X", "Y", "X_LABEL", "Y_LABEL"):
        assert f"<DVC_METRIC_{anchor}>" in text
