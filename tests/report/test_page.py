"""The page of all results: one file that asks for nothing, with verdicts first, and what is missing named."""

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.report.page.excerpts import BestCell, Excerpt
from beyond_spectrograms.report.page.html import PageError, embedded
from beyond_spectrograms.report.page.rendering import DatasetPart, Made, render
from support import clones
from support.cells import change_scores, write, write_params
from support.common import refusal
from support.page_files import write_project
from support.repository import REPOSITORY, stage_here

MACHINE = {"processor": "a processor", "cores": "2", "memory": "4 GiB", "system": "a system", "python": "3.11"}
MADE = Made("c0ffee", MACHINE, {"numpy": "2"}, "grid: {}", ["metrics/x.md"])


def part(results: Results, **changes: Any) -> DatasetPart:
    given: dict[str, Any] = {"tables": [], "best": None, "excerpts": [], "origin": [], "durations": []}
    return DatasetPart(results, **{**given, **changes})


@pytest.fixture(scope="module")
def page(page_project: Path) -> str:
    folder = page_project.parent / "written"
    shutil.copytree(page_project, folder)
    printed = stage_here(folder, "page")
    html = (folder / "plots/report/index.html").read_text(encoding="utf-8")
    assert printed == f"plots/report/index.html: {len(html.encode()) / 1e6:.1f} MB, esc10, demo\n"
    return html


def frame(html: str) -> str:
    """The page without what scripts and styles hold."""
    return re.sub(r"(<(script|style)[^>]*>).*?</\2>", r"\1</\2>", html, flags=re.DOTALL)


def test_the_page_asks_for_nothing_from_elsewhere(page: str) -> None:
    addresses = re.findall(r"""\b(?:src|href|srcset|action|data|poster)\s*=\s*["']?([^"'\s>]*)""", frame(page))
    assert {re.match(r"data:|#", address) is not None for address in addresses} == {True}
    assert "<base" not in page
    assert "@import" not in page
    assert "url(" not in re.findall(r"<style>(.*?)</style>", page, re.DOTALL)[0]


def test_the_policy_lets_the_page_s_own_two_scripts_run_and_no_other(page: str) -> None:
    policy = unescape(re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[0])
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(scripts) == 2
    assert policy.startswith("default-src 'none'; ")
    assert re.findall(r"script-src ([^;]+);", policy) == [" ".join(f"'sha256-{digest}'" for digest in digests)]
    assert "unsafe-eval" not in policy


def test_the_answer_comes_first_then_verdicts_tables_and_the_rest(page: str) -> None:
    sections = ["answer", "verdicts", "tables", "curves", "confusion", "classes", "listen", "provenance"]
    assert re.findall(r'<section id="(\w+)"', page) == sections
    assert re.findall(r"<option>(\w+)</option>", page)[:2] == ["esc10", "demo"]  # real sound before synthetic


def test_what_files_hold_is_text_and_never_markup(page: str) -> None:
    assert "<b>not bold</b>" not in page
    assert "&lt;b&gt;not bold&lt;/b&gt; &amp; so" in page
    assert "times &lt;mel&gt;." in page
    hostile = {"name": "</script><script>alert(1)</script>"}  # cannot end the element it stands in
    assert "<" not in embedded(hostile)
    assert json.loads(embedded(hostile)) == hostile


def test_the_page_hears_only_what_its_licence_lets_it(page_results: Results, page: str) -> None:
    assert page.count("<audio") == 8  # the four birds' second windows, in both data sets
    assert "CC BY 3.0" in page
    assert "K. J. Piczak" in page
    best = BestCell("mel", "fair", 0.5)
    others = render("T", [part(replace(page_results, dataset="esc50"), best=best)], None, MADE)
    assert "<audio" not in others
    assert "The licence of esc50 does not let excerpts be passed on: none are in this page." in others


def test_what_is_not_there_is_named_and_not_guessed(page: str) -> None:
    absent = re.findall(r"<li><code>(.*?)</code></li>", page)
    assert "metrics/esc10/tables/ladder.md" in absent
    assert "metrics/demo/audit.md" in absent
    assert "metrics/esc10/claims.json" not in absent


def test_tables_of_costs_and_calibration_are_drawn_below_themselves(page_project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    shutil.copytree(page_project, folder)
    table = "# {}\n\n| representation |\n|----------------|\n| mel            |\n\n- A note.\n"
    for name in ("pareto", "calibration"):
        write(folder / f"metrics/esc10/tables/{name}.md", table.format(name))
    bins = [{"windows": 36, "confidence": 0.7, "accuracy": 0.5}]
    by_run = [{"fold": 1, "seed": 0, "ece": 0.2, "overconfidence": 0.2}]
    known = {"ece": 0.2, "overconfidence": 0.2, "by_run": by_run, "bins": bins}
    change_scores(folder, "esc10", "mel-fair", calibration=known)
    stage_here(folder, "page")
    html = (folder / "plots/report/index.html").read_text(encoding="utf-8")
    drawn = re.findall(r'<img class="picture" src="data:image/png;base64,([^"]+)" alt="([^"]+)">\s*<ul', html)
    assert [alt for _, alt in drawn] == [f"{name}, drawn from the table above" for name in ("calibration", "pareto")]
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture, _ in drawn)


def test_a_page_without_verdicts_says_so(page_results: Results) -> None:
    html = render("T", [part(page_results)], None, MADE)
    assert "The claims were not judged: their file was not there when this page was made." in html
    assert "c0ffee" in html


def test_a_study_s_page_holds_that_study_alone_and_is_the_same_each_time(page_project: Path, tmp_path: Path) -> None:
    folder, file = tmp_path / "both", "studies/demo/plots/report/index.html"
    shutil.copytree(page_project, folder)
    write_project(folder, "demo", study="demo")
    pages = []
    # Also in a process of its own: the order of sets differs from one to the next.
    for make in (stage_here, partial(clones.stage, code=REPOSITORY)):
        assert re.fullmatch(rf"{file}: [\d.]+ MB, demo\n", make(folder, "page", "--study=demo"))
        pages.append((folder / file).read_text(encoding="utf-8"))
        shutil.rmtree(folder / "data/durations")
    assert pages[0] == pages[1]
    assert re.findall(r"<option>(\w+)</option>", pages[0])[0] == "demo"
    assert "esc10" not in frame(pages[0]).split("params.yaml")[0]


def test_without_any_result_there_is_no_page(tmp_path: Path) -> None:
    write_params(tmp_path)
    assert stage_here(tmp_path, "page", expect=1) == (
        "page: no data set of the grid has results. Run its report stage first: dvc repro report@<data set>.\n"
    )
    assert not (tmp_path / "plots").exists()


def test_a_page_over_5_mb_is_refused(page_results: Results, page_project: Path) -> None:
    told = json.loads((page_project / "data/excerpts/paper/esc10/excerpts.json").read_text(encoding="utf-8"))
    excerpt = Excerpt(**told["excerpts"][0])
    heavy = replace(excerpt, sound="A" * 5_000_000)
    parts = [part(page_results, best=BestCell("mel", "fair", 0.5), excerpts=[heavy])]
    too_large = r"page: [56]\.\d MB, and at most 5 MB is allowed\. Name fewer in grid\.datasets\."
    assert re.fullmatch(too_large, refusal(PageError, render, "T", parts, None, MADE))
