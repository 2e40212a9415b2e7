import json
import re
import shutil
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from beyond_spectrograms.report.dvc_plots_page import page
from support import clones
from support.cells import CLASSES, grid, write, write_dataset, write_params, write_rows
from support.repository import REPOSITORY


def listed(names: str, *suffixes: str) -> list[str]:
    return [f"{name}.{suffix}" for name in names.split() for suffix in suffixes]


TABLES = [
    *listed("advantage", "csv", "md"),
    *listed("claims", "md"),
    *listed("comparisons convergence costs ladder leakage_gap results sizes table_1 table_2", "csv", "md"),
]
FIGURES = listed(
    "confusion-best_checkpoint confusion-fair confusion-source_split figure_4-best_checkpoint figure_4-fair "
    "figure_4-source_split ladder",
    "png",
    "svg",
)
BITRATE_TABLES = [
    *listed("advantage bitrates-fair", "csv", "md"),
    *listed("claims", "md"),
    *listed("comparisons convergence costs ladder results sizes table_1 table_2", "csv", "md"),
]
BITRATE_FIGURES = listed("bitrates-fair confusion-fair figure_4-fair", "png", "svg")
PROTOCOLS = ["best_checkpoint", "source_split", "fair"]
BITRATES = ["soundstream_3200bps", "encodec_24khz_3000bps"]


run, stage = (partial(each, code=REPOSITORY) for each in (clones.run, clones.stage))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files but the times stages took, which no two runs share."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "durations" not in path.parts)
    return {str(path): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three representations, reported over two of them, two that were not run, and codecs at bitrates."""
    folder = tmp_path_factory.mktemp("reported")
    write_params(folder, grid=grid("esc10", ["mel", "log_mel_2048", "soundstream", "encodec_24khz"], PROTOCOLS))
    write_dataset(folder, "esc10", ["mel", "soundstream", "log_mel"], PROTOCOLS)
    beside = ["mel", "log_mel_2048", "soundstream"]
    write_params(folder, "bitrates", grid=grid("esc10", BITRATES, ["fair"], beside=beside))
    write_dataset(folder, "esc10", ["soundstream_3200bps"], ["fair"], study="bitrates")
    (folder / "studies/bitrates/metrics/esc10/splits.json").unlink()  # the sounds are the root's
    for study in ("paper", "bitrates"):
        stage(folder, "report", f"--study={study}", "esc10")
    return folder


@pytest.fixture
def copied(reported: Path, tmp_path: Path) -> Path:
    """Copy that, to change it."""
    shutil.copytree(reported, tmp_path / "copy")
    return tmp_path / "copy"


def test_report_writes_every_table_and_figure(reported: Path) -> None:
    assert names(reported / "metrics/esc10/tables") == TABLES
    assert names(reported / "plots/esc10/figures") == FIGURES
    curves = pd.read_csv(reported / "plots/esc10/convergence.csv")
    assert list(curves["representation"].unique()) == ["mel", "soundstream"]
    # Folds of 14, 16 and 18 epochs: the mean runs to the end of the longest.
    fair = curves[curves["protocol"] == "fair"]
    assert fair.groupby("representation")["epoch"].max().tolist() == [18, 18]


def test_report_of_a_study_stands_in_its_own_folder(reported: Path) -> None:
    folder = reported / "studies/bitrates"
    assert names(folder / "metrics/esc10/tables") == BITRATE_TABLES
    assert names(folder / "plots/esc10/figures") == BITRATE_FIGURES
    curves = pd.read_csv(folder / "plots/esc10/convergence.csv")
    assert list(curves["representation"].unique()) == ["mel", "soundstream"]


def test_every_table_verdict_and_figure_is_made_again_from_results_alone(reported: Path, copied: Path) -> None:
    shutil.rmtree(copied / "data")
    for study in (Path(), Path("studies/bitrates")):
        for path in [*(copied / study / "plots").rglob("*.*"), *(copied / study / "metrics/esc10/tables").iterdir()]:
            path.unlink()
        write(copied / study / "plots/esc10/figures/figure_4-retired.png", "of a protocol that is no longer run")
        write(copied / study / "metrics/esc10/tables/retired.csv", "of a protocol that is no longer run")
        (copied / study / "metrics/esc10/claims.json").unlink()
    assert stage(copied, "tables") == (
        "metrics/esc10/tables: 21 files\nstudies/bitrates/metrics/esc10/tables: 21 files\n"
    )
    made = {path.removeprefix(str(copied)): content for path, content in contents(copied).items()}
    before = {path.removeprefix(str(reported)): content for path, content in contents(reported).items()}
    assert made == {path: content for path, content in before.items() if not path.startswith("/data/")}


def test_stale_results_are_named_with_what_changed(copied: Path) -> None:
    lines = [f"metrics/esc10/scores.json: log_mel-{protocol}: not in the grid of params.yaml" for protocol in PROTOCOLS]
    assert stage(copied, "tables", "--stale").splitlines() == [*lines, "3 of 10 results are stale"]
    versions = copied / "versions.yaml"
    write(versions, versions.read_text(encoding="utf-8").replace("\nevaluation: 1\n", "\nevaluation: 2\n"))
    told = stage(copied, "tables", "--stale")
    assert "metrics/esc10/scores.json: mel-fair: stale, changed: evaluation\n" in told
    assert "studies/bitrates/metrics/esc10/scores.json: soundstream_3200bps-fair: stale, changed: evaluation\n" in told
    assert told.endswith("10 of 10 results are stale\n")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's study, reported."""
    folder, chosen = tmp_path_factory.mktemp("demo"), ["mel", "encodec_24khz_untrained"]
    write_params(folder, "demo", grid=grid("demo", chosen, ["fair"]))
    write_dataset(folder, "demo", chosen, ["fair"], study="demo")
    stage(folder, "report", "--study=demo", "demo")
    return folder


def test_show_prints_the_demo_s_table_and_where_the_pictures_are(demo: Path) -> None:
    before = contents(demo)
    printed = stage(demo, "show", "--study=demo")
    assert re.search(r"\| mel +\| 50.0 +\|", printed)
    assert re.search(r"\| encodec_24khz +\| - +\| not run +\|", printed)
    assert re.search(r"encodec_24khz_untrained \| 41.7 +\| control: untrained encoder, not EnCodec's result", printed)
    shown = [line.strip() for line in printed.splitlines() if line.startswith("  ")]
    assert "studies/demo/metrics/demo/tables/results.md" in shown
    assert "studies/demo/metrics/demo/tables/claims.md" in shown
    assert "studies/demo/plots/demo/figures/figure_4-fair.png" in shown
    assert all((demo / path).exists() for path in shown)
    assert contents(demo) == before


def test_the_demos_claims_are_those_of_its_cells(demo: Path) -> None:
    path = demo / "studies/demo/metrics/demo/claims.json"
    judged = json.loads(path.read_text(encoding="utf-8"))["verdicts"]
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


def test_report_writes_every_verdict_with_its_rule(reported: Path) -> None:
    claims = json.loads((reported / "metrics/esc10/claims.json").read_text(encoding="utf-8"))
    cells = {(v["representation"], v["protocol"]) for v in claims["verdicts"]}
    assert cells == {("soundstream", protocol) for protocol in (*PROTOCOLS, "any")}
    assert set(claims["rules"]) == {v["claim"] for v in claims["verdicts"]}
    page_text = (reported / "metrics/esc10/tables/claims.md").read_text(encoding="utf-8")
    assert page_text.startswith("# The paper's claims, judged\n\nEach codec against each spectrogram; ")
    assert page_text.count("\n## esc10: (") == 5
    assert all(rule in page_text for rule in claims["rules"].values())
    beside = json.loads((reported / "studies/bitrates/metrics/esc10/claims.json").read_text(encoding="utf-8"))
    assert ("soundstream_3200bps", "fair") in {(v["representation"], v["protocol"]) for v in beside["verdicts"]}


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
    shutil.copytree(REPOSITORY / ".dvc/plots", tmp_path / ".dvc/plots")
    write(tmp_path / ".dvc/plots/page.html", page())
    write(tmp_path / "dvc.yaml", DVC_YAML)
    shutil.copy(reported / "plots/esc10/convergence.csv", tmp_path / "curves.csv")
    known = pd.read_csv(reported / "metrics/esc10/curves.csv.gz")
    mel = known[(known["representation"] == "mel") & (known["protocol"] == "fair")]
    mel.to_csv(tmp_path / "history.csv", index=False)
    every = [{"label": label, "predicted": predicted} for label in CLASSES for predicted in CLASSES]
    write_rows(tmp_path / "predictions.csv", every)
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
    assert [chart for chart in texts if "windows by class" in chart and chart.count("33") == 9 and "workspace" in chart]
    assert not [text for chart in texts for text in chart if "undefined" in text]
    assert "not run: not_run_csv" in drawn


@pytest.mark.parametrize("template", ["classes", "convergence", "folds"])
def test_plot_templates_hold_dvc_s_anchors(template: str) -> None:
    text = (REPOSITORY / f".dvc/plots/{template}.json").read_text(encoding="utf-8")
    assert json.loads(text)["data"] == {"values": "<DVC_METRIC_DATA>"}
    for anchor in ("TITLE", "X", "Y", "X_LABEL", "Y_LABEL"):
        assert f"<DVC_METRIC_{anchor}>" in text
