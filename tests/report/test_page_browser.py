"""The report page in a real Chromium: opened from disk, network off, by mouse and by keyboard."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from support.looks import PHONE, assert_text_stands_out, brightness, opened_offline
from support.page_files import complete_cell, write_project
from support.repository import stage_here

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write the page over two data sets, one of whose cells lost a run."""
    folder = tmp_path_factory.mktemp("browser")
    write_project(folder, "demo", "esc10")
    complete_cell(folder, "esc10", "mel", "fair", diverged=[2])
    stage_here(folder, "page")
    return (folder / "plots/report/index.html").as_uri()


@pytest.fixture
def opened(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    with opened_offline(browser, address, "#chart svg.marks", **getattr(request, "param", {})) as page:
        yield page


def visible_reasons(page: Page) -> list[str]:
    return page.locator(".reason:visible").all_inner_texts()


def test_curves_follow_what_is_chosen(opened: Page) -> None:
    assert opened.locator("#curves-protocol").input_value() == "fair"
    assert opened.locator("#chart .mark-line path").count() == 4
    assert "mel: 1 of 3 runs diverged, left out." in opened.locator("#curves-note").inner_text()
    opened.get_by_label("soundstream", exact=True).uncheck()
    opened.wait_for_function("document.querySelectorAll('#chart .mark-line path').length === 3")
    figures = opened.locator("#curves-table tbody tr")
    assert figures.count() == 3
    # Validation accuracy of fold f at epoch e is 0.5 e / (e + 2); folds 1 and 3 are left, of 14 and 18 epochs.
    last = 100 * np.array([0.5 * 14 / 16, 0.5 * 18 / 20])
    expected = f"mel\t2\t{last.mean():.1f}\t18\t{last.mean():.1f} ({last.min():.1f} to {last.max():.1f})"
    assert figures.nth(0).inner_text() == expected
    opened.locator("#curves-measure").select_option("training_loss")
    opened.wait_for_function("document.querySelector('#chart').textContent.includes('cross-entropy')")
    opened.locator("#curves-protocol").select_option("paper")
    opened.get_by_role("button", name="None").click()
    opened.wait_for_selector("#chart .notice")
    assert opened.locator("#chart").inner_text() == "No representation is chosen."
    opened.get_by_role("button", name="All").click()
    opened.wait_for_function("document.querySelectorAll('#chart .mark-line path').length === 4")


def test_a_verdict_tells_its_reason_by_mouse_and_by_keyboard(opened: Page) -> None:
    table = opened.locator("table.verdicts:visible")
    assert table.count() == 1
    assert table.locator("caption").inner_text() == "esc10, fair: codecs against mel"
    first = table.locator("tbody tr").nth(0).locator("td").all_inner_texts()
    assert [re.sub(r"\s+", " ", text) for text in first] == [
        "✓ holds 0.25 times [0.12, 0.50]",
        "? undecided +2.1 points [+1.1, +4.2]",
        "✗ does not hold 1.50 times [0.75, 3.00]",
    ]
    table.locator("button").nth(0).click()
    reason = "soundstream, fewer epochs to a common level: soundstream fair 0.25 times <mel>."
    assert visible_reasons(opened) == [reason]
    opened.keyboard.press("Tab")
    assert visible_reasons(opened) == ["soundstream, better at equal epochs: soundstream fair 0.021 times <mel>."]
    opened.locator("[data-filter=protocol]:visible").select_option("paper")
    assert table.locator("caption").inner_text() == "esc10, paper: codecs against mel"


def test_confusion_and_classes_are_those_of_the_cell_chosen(opened: Page) -> None:
    assert opened.locator("#confusion-name").input_value() == "soundstream"
    opened.locator("#confusion-name").select_option("mel")
    rows = [row.split("\t") for row in opened.locator("#confusion-table tbody tr").all_inner_texts()]
    # Counts are 10 2 0, 3 9 0, 0 0 12.
    assert rows == [["bird", "83", "17", "", "12"], ["engine", "25", "75", "", "12"], ["rain", "", "", "100", "12"]]
    title = opened.locator("#confusion-table td").nth(1).get_attribute("title")
    assert title == "2 of 12 windows of bird were called engine"
    opened.locator("#confusion-protocol").select_option("paper")
    assert opened.locator("#confusion-name").input_value() == "mel"
    opened.locator("#classes-name").select_option("log_mel_2048")
    compared = [row.split("\t") for row in opened.locator("#classes-table tbody tr").all_inner_texts()]
    assert [row[0] for row in compared] == ["bird", "engine", "rain"]
    assert {row[1] for row in compared} == {"0.0"}


def test_another_data_set_changes_every_section(opened: Page) -> None:
    assert opened.locator("#tables summary:visible").all_inner_texts() == ["esc10: window accuracy"]
    opened.locator("#dataset").select_option("demo")
    assert opened.locator("#tables summary:visible").all_inner_texts() == ["demo: window accuracy"]
    assert opened.locator("table.verdicts:visible caption").inner_text() == "demo, fair: codecs against mel"
    assert opened.locator("#listen audio:visible").count() == 4
    assert "diverged" not in opened.locator("#curves-note").inner_text()


def test_an_excerpt_plays(opened: Page) -> None:
    seconds = opened.evaluate(
        """async () => {
            const sound = document.querySelector("audio");
            sound.muted = true;
            await sound.play();
            await new Promise((done) => sound.addEventListener("ended", done));
            return sound.duration;
        }"""
    )
    assert seconds == 1.0
    pictures = opened.locator(".card img").evaluate_all("all => all.map(one => [one.naturalWidth, one.naturalHeight])")
    assert pictures == [[126, 80]] * 8


@pytest.mark.parametrize("opened", [{"viewport": PHONE}], indirect=True)
def test_on_a_phone_only_boxes_of_tables_scroll_sideways(opened: Page) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    box = opened.locator("#verdicts .scroll:visible")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    for name in ("dataset", "curves-protocol", "confusion-name", "classes-baseline"):
        place = opened.locator(f"#{name}").bounding_box()
        assert 0 <= place["x"] <= PHONE["width"] - place["width"]


@pytest.mark.parametrize("opened", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_all_text_stands_out_in_light_and_dark_and_the_button_changes_over(opened: Page) -> None:
    was_dark = opened.locator("#theme").get_attribute("aria-pressed") == "true"
    assert (brightness(opened) < 100) == was_dark
    for _ in range(2):
        assert_text_stands_out(opened, 100)
        opened.locator("#theme").focus()
        opened.keyboard.press("Enter")
    opened.locator("#theme").click()
    assert (brightness(opened) < 100) != was_dark
    opened.wait_for_selector("#chart svg.marks")


def test_every_control_is_reached_by_tab_in_order(opened: Page) -> None:
    reached = []
    for _ in range(60):
        opened.keyboard.press("Tab")
        reached.append(opened.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    wanted = ["Skip to the answer", "Answer", "dataset", "theme", "curves-protocol", "curves-measure", "curves-all"]
    wanted += ["confusion-protocol", "confusion-name", "classes-protocol", "classes-name", "classes-baseline"]
    assert [name for name in reached if name in wanted] == wanted


def test_a_page_whose_script_was_changed_runs_none_of_it(browser: Browser, address: str, tmp_path: Path) -> None:
    html = Path(address.removeprefix("file://")).read_text(encoding="utf-8")
    changed = tmp_path / "changed.html"
    assert html.count("// What the reader chooses") == 1
    changed.write_text(html.replace("// What the reader chooses", 'document.title = "x"; //'), encoding="utf-8")
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(changed.as_uri())
    assert page.title() == "Beyond Spectrograms: report"
    assert page.locator("#chart svg").count() == 0
    context.close()
