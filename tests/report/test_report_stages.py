"""report, tables, show and the page of plots, as stages: what they write, and that git holds enough to do it again."""

import json
import re
import shutil
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser

from beyond_spectrograms.report.dvc_plots_page import page
from support import clones, common
from support.cells import CLASSES, change_scores, grid, write, write_dataset, write_params, write_rows
from support.looks import watch
from support.repository import REPOSITORY, stage_here
from support.serving import until


def listed(names: str, *suffixes: str) -> list[str]:
    return [f"{name}.{suffix}" for name in names.split() for suffix in suffixes]


PROTOCOLS = ["best_checkpoint", "source_split", "fair"]
EVERY = (
    "advantage calibration classes comparisons contrasts convergence costs ladder pareto results sizes table_1 table_2"
)
TABLES = sorted([*listed(f"{EVERY} leakage_gap", "csv", "md"), "claims.md"])
BITRATE_TABLES = sorted([*listed(f"{EVERY} bitrates-fair", "csv", "md"), "claims.md"])
OF_PROTOCOLS = " ".join(f"confusion-{protocol} figure_4-{protocol}" for protocol in PROTOCOLS)
FIGURES = sorted(listed(f"{OF_PROTOCOLS} ladder pareto reliability-fair", "png", "svg"))
BITRATE_FIGURES = listed("bitrates-fair confusion-fair figure_4-fair pareto reliability-fair", "png", "svg")
CALIBRATION = {
    "ece": 0.2,
    "overconfidence": 0.2,
    "by_run": [{"fold": fold, "seed": 0, "ece": 0.2, "overconfidence": 0.2} for fold in (1, 2, 3)],
    "bins": [{"windows": 36, "confidence": 0.7, "accuracy": 0.5}],
}
BITRATES = ["soundstream_3200bps", "encodec_24khz_3000bps"]


run = partial(clones.run, code=REPOSITORY)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files but the times stages took, which no two runs share."""
    return {name: content for name, content in common.contents(folder).items() if "durations" not in name}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three representations, reported over two of them, two that were not run, and codecs at bitrates."""
    folder = tmp_path_factory.mktemp("reported")
    write_params(folder, grid=grid("esc10", ["mel", "log_mel_2048", "soundstream", "encodec_24khz"], PROTOCOLS))
    write_dataset(folder, "esc10", ["mel", "soundstream", "log_mel"], PROTOCOLS)
    change_scores(folder, "esc10", "mel-fair", calibration=CALIBRATION)  # of the others from before it was measured
    beside = ["mel", "log_mel_2048", "soundstream"]
    write_params(folder, "bitrates", grid=grid("esc10", BITRATES, ["fair"], beside=beside))
    write_dataset(folder, "esc10", ["soundstream_3200bps"], ["fair"], study="bitrates")
    (folder / "studies/bitrates/metrics/esc10/splits.json").unlink()  # the sounds are the root's
    for study in ("paper", "bitrates"):
        stage_here(folder, "report", f"--study={study}", "esc10")
    return folder


@pytest.fixture
def copied(reported: Path, tmp_path: Path) -> Path:
    """Copy that, to change it."""
    shutil.copytree(reported, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("study", "tables", "figures"),
    [("", TABLES, FIGURES), ("studies/bitrates", BITRATE_TABLES, BITRATE_FIGURES)],
)
def test_report_writes_every_table_and_figure(
    study: str, tables: list[str], figures: list[str], reported: Path
) -> None:
    assert names(reported / study / "metrics/esc10/tables") == tables
    assert names(reported / study / "plots/esc10/figures") == figures
    curves = pd.read_csv(reported / study / "plots/esc10/convergence.csv")
    assert list(curves["representation"].unique()) == ["mel", "soundstream"]
    # Folds of 14, 16 and 18 epochs: the mean runs to the end of the longest.
    fair = curves[curves["protocol"] == "fair"]
    assert fair.groupby("representation")["epoch"].max().tolist() == [18, 18]


@pytest.mark.long
def test_every_table_verdict_and_figure_is_made_again_from_results_alone(reported: Path, copied: Path) -> None:
    shutil.rmtree(copied / "data")
    for study in (Path(), Path("studies/bitrates")):
        for path in [*(copied / study / "plots").rglob("*.*"), *(copied / study / "metrics/esc10/tables").iterdir()]:
            path.unlink()
        write(copied / study / "plots/esc10/figures/figure_4-retired.png", "of a protocol that is no longer run")
        write(copied / study / "metrics/esc10/tables/retired.csv", "of a protocol that is no longer run")
        (copied / study / "metrics/esc10/claims.json").unlink()
    assert stage_here(copied, "tables") == (
        "metrics/esc10/tables: 29 files\nstudies/bitrates/metrics/esc10/tables: 29 files\n"
    )
    before = contents(reported)
    assert contents(copied) == {path: content for path, content in before.items() if not path.startswith("data/")}


def test_show_prints_the_demo_s_table_and_where_the_pictures_are(tmp_path: Path) -> None:
    demo, chosen = tmp_path, ["mel", "encodec_24khz_untrained"]
    write_params(demo, "demo", grid=grid("demo", chosen, ["fair"]))
    write_dataset(demo, "demo", chosen, ["fair"], study="demo")
    stage_here(demo, "report", "--study=demo", "demo")
    before = contents(demo)
    printed = stage_here(demo, "show", "--study=demo")
    assert re.search(r"\| mel +\| 50.0 +\|", printed)
    assert re.search(r"\| encodec_24khz +\| - +\| not run +\|", printed)
    assert re.search(r"encodec_24khz_untrained \| 41.7 +\| control: untrained encoder, not EnCodec's result", printed)
    shown = [line.strip() for line in printed.splitlines() if line.startswith("  ")]
    assert "studies/demo/metrics/demo/tables/results.md" in shown
    assert "studies/demo/metrics/demo/tables/claims.md" in shown
    assert "studies/demo/plots/demo/figures/figure_4-fair.png" in shown
    assert all((demo / path).exists() for path in shown)
    assert contents(demo) == before


def test_report_writes_every_verdict_with_its_rule(reported: Path) -> None:
    claims = json.loads((reported / "metrics/esc10/claims.json").read_text(encoding="utf-8"))
    cells = {(v["representation"], v["protocol"]) for v in claims["verdicts"]}
    assert cells == {("soundstream", protocol) for protocol in (*PROTOCOLS, "any")}
    assert set(claims["rules"]) == {v["claim"] for v in claims["verdicts"]}
    page_text = (reported / "metrics/esc10/tables/claims.md").read_text(encoding="utf-8")
    assert page_text.startswith("# The paper's claims, judged\n\nEach codec against each spectrogram; ")
    assert page_text.count("\n## esc10: (") == 6
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
def test_plots_are_drawn_by_a_browser_without_a_network(reported: Path, tmp_path: Path, browser: Browser) -> None:
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
    address, context = (tmp_path / "dvc_plots/index.html").as_uri(), browser.new_context(offline=True)
    opened = context.new_page()
    _, asked = watch(opened)  # on its console Vega warns
    opened.goto(address)
    until(opened, "document.querySelectorAll('svg.marks').length === 3")
    drawn = opened.content()
    context.close()
    assert [url for url in asked if url != address and not url.startswith("data:")] == []
    charts = re.findall(r"<svg[^>]*marks.*?</svg>", drawn, re.DOTALL)
    texts = [re.findall(r"<text[^>]*>([^<]+)</text>", chart) for chart in charts]
    for title, legend in (("esc10 curves", "soundstream"), ("every fold", "workspace: mel, fair")):
        assert [chart for chart in texts if title in chart and legend in chart]
    assert [chart for chart in texts if "windows by class" in chart and chart.count("33") == 9 and "workspace" in chart]
    assert not [text for chart in texts for text in chart if "undefined" in text]
    assert "not run: not_run_csv" in drawn


@pytest.mark.long
def test_a_bare_clone_makes_the_same_tables_and_verdicts_again(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(REPOSITORY), str(clone))
    assert not (clone / "data").exists()
    made = [*clone.glob("metrics/*/tables/*"), *clone.glob("studies/*/metrics/*/tables/*")]
    made += [*clone.glob("metrics/*/claims.json"), *clone.glob("studies/*/metrics/*/claims.json")]
    assert len(made) > 50
    for path in made:
        path.unlink()
    clones.stage(clone, "tables")
    # Pictures are left out: their bytes depend on the processor's instructions.
    changed = [line[3:] for line in run(clone, "git", "status", "--porcelain").splitlines()]
    assert [path for path in changed if path.endswith((".md", ".csv", ".json"))] == []


def test_a_stage_that_ends_well_leaves_its_duration_and_one_that_fails_does_not(project: Path) -> None:
    stage_here(project, "resample", "pets", expect=1)
    assert not (project / "data/durations").exists()
    stage_here(project, "resolve")
    kept = json.loads((project / "data/durations/paper/resolve.json").read_text(encoding="utf-8"))
    assert kept["seconds"] > 0
