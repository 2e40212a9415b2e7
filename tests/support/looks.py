"""How a page in a browser looks, light or dark, and what it says and asks for; and how a figure is laid out."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import Browser, Page

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


def watch(page: Page) -> tuple[list[str], list[str]]:
    """Collect what the page says on its console or as errors, and the addresses it asks for."""
    said, asked = list[str](), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda sent: asked.append(sent.url))
    return said, asked


@contextmanager
def opened_offline(browser: Browser, address: str, ready: str, **settings: Any) -> Iterator[Page]:
    """Open a page with the network off until `ready`; it may say nothing on its console and ask for nothing."""
    context = browser.new_context(offline=True, **{"viewport": DESK, "color_scheme": "light", **settings})
    page = context.new_page()
    said, asked = watch(page)
    page.set_default_timeout(10_000)
    page.goto(address)
    page.wait_for_selector(ready)
    yield page
    context.close()
    assert said == []
    assert [url for url in asked if url != address and not url.startswith("data:")] == []


def brightness(page: Page) -> float:
    return float(np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L")).mean())


def contrast(first: str, second: str) -> float:
    """WCAG 2.1's contrast ratio of two `rgb(r, g, b)` colours."""

    def luminance(colour: str) -> float:
        parts = np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)


def assert_text_stands_out(page: Page, least: int) -> None:
    """See that the page shows at least so many texts, each in a contrast that WCAG 2.1 asks for."""
    found = page.evaluate(COLOURS)
    assert len(found) > least
    assert [one for one in found if contrast(one[0], one[1]) < 4.5] == []


def assert_nothing_overlaps_or_is_clipped(figure: Figure) -> None:
    """See that no axes reach under the figure's legend, and all of them and it stand within the figure."""
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    boxes = [box for axes in figure.axes if (box := axes.get_tightbbox())]
    assert not any(box.overlaps(legend) for box in boxes)
    for box in (legend, *boxes):
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1


COLOURS = """() => [...document.querySelectorAll("p, th, td, button, summary, a, dd, label, small, caption, select")]
    .filter((one) => one.offsetParent && one.textContent.trim())
    .map((one) => {
        let behind = one;
        const clear = (place) => getComputedStyle(place).backgroundColor === "rgba(0, 0, 0, 0)";
        while (behind && clear(behind)) behind = behind.parentElement;
        const box = getComputedStyle(behind ?? document.body).backgroundColor;
        return [getComputedStyle(one).color, box, one.textContent.trim().slice(0, 40)];
    })
    .filter(([, box]) => box.startsWith("rgb("))"""
