"""The page of a codec in a real Chromium: opened from disk, network off; versions of an excerpt play."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from support import codec_study
from support.looks import PHONE, assert_text_stands_out, opened_offline
from support.repository import stage_here

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("heard_codec")
    codec_study.write(folder)
    stage_here(folder, "listen_codec", "--study=codec", "pilot")
    return (folder / "data/heard/codec/codecs/pilot/index.html").as_uri()


@pytest.fixture
def opened(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator["Page"]:
    with opened_offline(browser, address, "#clips table", **getattr(request, "param", {})) as page:
        yield page


def plays(page: "Page") -> float:
    """Wait until the player's sound is over; gives how long it was, in seconds, or -1 where it did not end."""
    seconds = page.evaluate(
        """async () => {
            const player = document.getElementById("player");
            const late = performance.now() + 10000;
            while (!player.ended && performance.now() < late) await new Promise((done) => setTimeout(done, 20));
            return player.ended ? player.duration : -1;
        }"""
    )
    return float(seconds)


def test_versions_play_and_the_page_says_which(opened: "Page") -> None:
    buttons = opened.locator("button.play")
    for number, title in ((0, "the recording"), (1, "after 20 steps, 600 bits/s"), (4, "untrained, 600 bits/s")):
        buttons.nth(number).click()
        assert plays(opened) == pytest.approx(0.5, abs=0.01)
        assert opened.locator("#playing").inner_text().endswith(f", {title}")
        assert opened.locator("button.play[aria-pressed=true]").count() == 1
        assert buttons.nth(number).get_attribute("aria-pressed") == "true"


def test_another_version_of_the_excerpt_goes_on_where_the_last_one_was(opened: "Page") -> None:
    opened.locator("button.play").first.focus()
    opened.keyboard.press("Enter")
    left_and_begun = opened.evaluate(
        """async () => {
            const player = document.getElementById("player");
            const late = performance.now() + 10000;
            while (player.currentTime < 0.1 && performance.now() < late) {
                await new Promise((done) => setTimeout(done, 5));
            }
            const left = player.currentTime;
            document.querySelectorAll("button.play")[1].click();
            return [left, player.currentTime];
        }"""
    )
    left, begun = left_and_begun
    assert 0.1 <= left < 0.5
    assert begun == pytest.approx(left, abs=0.02)  # it has moved on while the button was pressed


@pytest.mark.parametrize("opened", [{"viewport": PHONE}], indirect=True)
def test_a_phone_need_not_scroll_a_codec_s_page_sideways(opened: "Page") -> None:
    assert opened.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


@pytest.mark.parametrize("opened", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_all_text_of_a_codec_s_page_stands_out(opened: "Page") -> None:
    assert_text_stands_out(opened, 40)
