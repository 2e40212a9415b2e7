import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cells import write, write_cell, write_dataset, write_features, write_params

from beyond_spectrograms.plots_page import page

ROOT = Path(__file__).parent.parent


def listed(names: str, *suffixes: str) -> list[str]:
    return [f"{name}.{suffix}" for name in names.split() for suffix in suffixes]


TABLES = listed(
    "advantage bitrates-fair comparisons convergence costs ladder leakage_gap results sizes table_1 table_2",
    "csv",
    "md",
)
FIGURES = listed(
    "bitrates-fair confusion-best_checkpoint confusion-fair confusion-source_split figure_2 figure_4-best_checkpoint "
    "figure_4-fair figure_4-source_split ladder",
    "png",
    "svg",
)
DEMO_TABLES = [
    *listed("advantage", "csv", "md"),
    *listed("claims", "json", "md"),
    *listed("comparisons convergence costs ladder results sizes table_1 table_2", "csv", "md"),
]
PROTOCOLS = ["best_checkpoint", "source_split", "fair"]


def run(folder: Path, *command: str, expect: int = 0) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == expect, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


def stage(folder: Path, name: str, *arguments: str, expect: int = 0) -> str:
    return run(folder, sys.executable, "-m", f"stages.{name}", *arguments, expect=expect)


def grid(*representations: str) -> dict[str, list[str]]:
    needed = dict.fromkeys([*representations, "mel", "log_mel_2048"])  # what codecs are compared with
    return {"datasets": ["esc10"], "representations": list(needed), "protocols": PROTOCOLS}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files but the times stages took, which no two runs share."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent.name != "durations")
    return {str(path): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three representations, reported over two of them, two that were not run, and ablations."""
    folder = tmp_path_factory.mktemp("reported")
    ablations = {"representations": ["soundstream_3200bps", "encodec_24khz_3000bps"], "protocols": ["fair"]}
    demo = {"representations": ["mel"], "protocols": ["fair"]}
    asked_for = grid("mel", "log_mel_2048", "soundstream", "encodec_24khz")
    write_params(folder, grid=asked_for, ablations=ablations, demo=demo)
    write_dataset(folder, "esc10", ["mel", "soundstream", "log_mel"], PROTOCOLS)
    write_features(folder, "esc10", "soundstream_3200bps")
    write_cell(folder, "esc10", "soundstream_3200bps", "fair")
    stage(folder, "report", "esc10")
    return folder


def test_report_writes_every_table_and_figure(reported: Path) -> None:
    assert names(reported / "metrics/tables/esc10") == TABLES
    assert names(reported / "plots/figures/esc10") == FIGURES
    curves = pd.read_csv(reported / "plots/convergence/esc10.csv")
    assert list(curves["representation"].unique()) == ["mel", "soundstream"]
    # Folds of 14, 16 and 18 epochs: the mean runs to the end of the longest.
    fair = curves[curves["protocol"] == "fair"]
    assert fair.groupby("representation")["epoch"].max().tolist() == [18, 18]


def test_results_outside_the_grid_are_not_read(reported: Path) -> None:
    table = pd.read_csv(reported / "metrics/tables/esc10/table_1.csv")
    rows = [("mel", ""), ("log_mel_2048", "not run"), ("soundstream", "")]
    rows += [("encodec_24khz", "not run"), ("encodec_48khz", "not run")]
    few = "Only 12 sources were tested; 30 are needed for an interval."
    expected = [(name, protocol, note or few) for protocol in PROTOCOLS for name, note in rows]
    expected += [("soundstream_3200bps", "fair", few), ("encodec_24khz_3000bps", "fair", "not run")]
    found = table[["representation", "protocol", "note"]].itertuples(index=False, name=None)
    assert list(found) == expected


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
    assert names(tmp_path / "metrics/demo") == DEMO_TABLES
    before = contents(tmp_path)
    printed = stage(tmp_path, "demo", "--show")
    assert re.search(r"\| mel +\| 50.0 +\|", printed)
    assert re.search(r"\| encodec_24khz +\| - +\| not run +\|", printed)
    assert re.search(r"encodec_24khz_untrained \| 41.7 +\| control: untrained encoder, not EnCodec's result", printed)
    shown = [line.strip() for line in printed.splitlines() if line.startswith("  ")]
    assert "metrics/demo/results.md" in shown
    assert "metrics/demo/claims.md" in shown
    assert "plots/demo/figures/figure_4-fair.png" in shown
    assert all((tmp_path / path).exists() for path in shown)
    assert contents(tmp_path) == before


def test_the_demos_claims_are_those_of_its_cells(tmp_path: Path) -> None:
    chosen = ["mel", "encodec_24khz_untrained"]
    write_params(tmp_path, demo={"representations": chosen, "protocols": ["fair"]})
    write_dataset(tmp_path, "demo", chosen, ["fair"])
    stage(tmp_path, "demo")
    judged = json.loads((tmp_path / "metrics/demo/claims.json").read_text(encoding="utf-8"))["verdicts"]
    told = {verdict["claim"]: (verdict["verdict"], verdict["protocol"]) for verdict in judged}
    assert {(verdict["dataset"], verdict["representation"], verdict["baseline"]) for verdict in judged} == {
        ("demo", "encodec_24khz_untrained", "mel")
    }
    assert told == {
        "convergence": ("does not hold", "fair"),
        "convergence_seconds": ("undecided", "fair"),
        "equal_epochs": ("does not hold", "fair"),
        "speed_cached": ("holds", "any"),  # six rounds, each in half of mel's time
        "speed_file": ("holds", "any"),
    }


def test_judge_writes_every_verdict_with_its_rule_for_the_data_sets_that_are_there(
    reported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(reported, folder)
    assert "metrics/claims.md: esc10\n" in stage(folder, "judge")
    claims = json.loads((folder / "metrics/claims.json").read_text(encoding="utf-8"))
    cells = {(v["representation"], v["protocol"]) for v in claims["verdicts"]}
    trained = {("soundstream", protocol) for protocol in PROTOCOLS} | {("soundstream_3200bps", "fair")}
    assert cells == trained | {("soundstream", "any")}
    assert set(claims["rules"]) == {v["claim"] for v in claims["verdicts"]}
    page_text = (folder / "metrics/claims.md").read_text(encoding="utf-8")
    assert page_text.startswith("# The paper's claims, judged\n\nEach codec against each spectrogram; ")
    assert page_text.count("\n## esc10: (") == 5
    assert all(rule in page_text for rule in claims["rules"].values())
    before = contents(folder)
    stage(folder, "judge")
    assert contents(folder) == before


def test_recordings_that_are_gone_stop_the_report_with_one_line(reported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(reported, folder)
    (folder / "plots/recordings/esc10/mel-fair.csv").unlink()
    assert stage(folder, "report", "esc10", expect=1) == (
        "plots/recordings/esc10/mel-fair.csv: missing. Run its evaluate stage.\n"
    )


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
