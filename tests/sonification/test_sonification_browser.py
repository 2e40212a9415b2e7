"""The page of prototypes in a real Chromium: opened from disk, network off; a clip is picked and sounds play."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from test_sonification import listen

from support import heard
from support.looks import COLOURS, PHONE, contrast, opened_offline

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("heard")
    heard.write(folder)
    listen(folder)
    return (folder / "data/heard/prototypes/esc10/log_mel_16khz/prototypes/page/index.html").as_uri()


@pytest.fixture
def opened(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator["Page"]:
    with opened_offline(browser, address, "#reconstructions .card", **getattr(request, "param", {})) as page:
        yield page


def heads(page: "Page") -> list[str]:
    return [text.split("\n")[0] for text in page.locator("#reconstructions h3").all_inner_texts()]


def plays(page: "Page") -> float:
    """Wait until the player has moved on by 0.2 s; gives how long its sound is, in seconds."""
    seconds = page.evaluate(
        """async () => {
            const player = document.getElementById("player");
            const late = performance.now() + 10000;
            while (player.currentTime < 0.2 && performance.now() < late) {
                await new Promise((done) => setTimeout(done, 20));
            }
            return player.currentTime < 0.2 ? -1 : player.duration;
        }"""
    )
    return float(seconds)


def test_a_clip_is_picked_and_rendered_by_each_class_the_nearest_first(opened: "Page") -> None:
    buttons = opened.locator("#choices button")
    assert buttons.count() == 6
    assert opened.locator("#choices .class > span").all_inner_texts() == ["high", "low", "middle"]
    opened.get_by_role("button", name="low: low/2.wav, from 0 s").click()
    assert opened.locator("#choices button[aria-pressed=true]").count() == 1
    assert opened.locator("#chosen h3").inner_text().startswith("low")
    assert sorted(heads(opened)) == ["high", "low", "middle"]
    assert heads(opened)[0] == "low"
    first = opened.locator("#reconstructions .card").first
    assert "the answer, right" in first.inner_text()
    curves = ["gain (dB)", "pitch (semitones)", "lowest band (dB)", "highest band (dB)"]
    assert [text.split("\n")[0] for text in first.locator("figcaption").all_inner_texts()] == curves
    assert first.locator("figcaption").first.inner_text().endswith("±17.0")
    assert first.locator("svg").count() == 4
    pictures = opened.locator("#chosen img, #reconstructions img")
    assert pictures.evaluate_all("all => all.map(one => [one.naturalWidth, one.naturalHeight])") == [[32, 128]] * 4


def test_the_clip_its_rendering_and_the_prototypes_play(opened: "Page") -> None:
    cards = opened.locator("#reconstructions .card").first
    for button, title, seconds in (
        (opened.locator("#chosen").get_by_role("button", name="the clip"), "high/", 1.0),
        (opened.locator("#chosen").get_by_role("button", name="its round trip"), "played from its own features", 0.99),
        (cards.get_by_role("button", name="rendered"), " as high renders it", 0.99),
        (cards.get_by_role("button", name="prototype"), "high, prototype", 0.99),
        (opened.locator("#cards button.play").nth(1), "high, with its mean transformation", 0.99),
    ):
        button.click()
        assert plays(opened) == pytest.approx(seconds, abs=0.12)  # MP3 comes in frames of 36 ms
        assert title in opened.locator("#playing").inner_text()
        assert button.get_attribute("aria-pressed") == "true"
        assert opened.locator("button.play[aria-pressed=true]").count() == 1
        opened.evaluate("document.getElementById('player').currentTime = 0")


def test_a_clip_is_picked_and_played_by_keyboard(opened: "Page") -> None:
    opened.locator("#choices button").nth(2).focus()
    opened.keyboard.press("Enter")
    assert opened.locator("#chosen h3").inner_text().startswith("low")
    opened.locator("#chosen button.play").first.focus()
    opened.keyboard.press("Space")
    assert plays(opened) == pytest.approx(1.0, abs=0.12)


def test_every_prototype_is_drawn_with_its_mean_transformation(opened: "Page") -> None:
    cards = opened.locator("#cards .card")
    assert [text.split("\n")[0] for text in cards.all_inner_texts()] == ["high", "low", "middle"]
    assert cards.locator("svg path.plain").count() == cards.locator("svg path.changed").count() == 3
    assert "explains 2 validation windows" in cards.first.inner_text()


@pytest.mark.parametrize("opened", [{"viewport": PHONE}], indirect=True)
def test_a_phone_need_not_scroll_sideways(opened: "Page") -> None:
    assert opened.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


@pytest.mark.parametrize("opened", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_all_text_stands_out_in_light_and_dark(opened: "Page") -> None:
    found = opened.evaluate(COLOURS)
    assert len(found) > 20
    assert [one for one in found if contrast(one[0], one[1]) < 4.5] == []
