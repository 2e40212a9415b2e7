"""The page of `serve` in a real Chromium: a real sound chosen, dropped, recorded, played; by mouse and by keyboard."""

import base64
import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from playwright.sync_api import Browser, Page

from beyond_spectrograms.cli import main
from support.common import tone
from support.looks import assert_text_stands_out, brightness, watch
from support.repository import Capture
from support.serving import give, serving, shown_segments, until

ARCHIVE = "553c8f1743b9dba6b282e1323c3ca8fa76923448.zip"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def address(model_folder: Path) -> Iterator[str]:
    with serving(model_folder) as address:
        yield address


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 4.25 s low, 3.5 s high and 2.25 s of silence."""
    file = tmp_path_factory.mktemp("sound") / "three parts.wav"
    soundfile.write(file, np.concatenate([tone(4.25, 400), tone(3.5, 4000), np.zeros(99_225, np.float32)]), 44_100)
    return file


@pytest.fixture
def opened(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Open the page; it may complain of nothing but refused sounds, and ask nobody but its server."""
    settings: dict[str, Any] = {"viewport": DESK, "color_scheme": "light", **getattr(request, "param", {})}
    context = browser.new_context(permissions=["microphone"], **settings)
    page = context.new_page()
    said, asked = watch(page)
    page.set_default_timeout(20_000)
    page.goto(address)
    yield page
    context.close()
    assert [text for text in said if "status of 422" not in text] == []
    own = (f"{address}/", f"{address}/analyse")
    assert [url for url in asked if url not in own and not url.startswith(("data:", "blob:"))] == []


def test_a_real_sound_is_shown_as_the_commands_tell_it(
    opened: Page, model_folder: Path, mirror: Path, tmp_path: Path, capsys: Capture
) -> None:
    with zipfile.ZipFile(mirror / ARCHIVE) as archive:
        name = next(name for name in sorted(archive.namelist()) if "Rooster/" in name and name.endswith(".ogg"))
        file = tmp_path / "rooster.ogg"
        file.write_bytes(archive.read(name))
    give(opened, file)

    def rows_of(command: str) -> list[dict[str, str]]:
        assert main([command, str(file), "--model", str(model_folder), "--format", "csv"]) == 0
        return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    assert shown_segments(opened) == [
        (
            row["label"] or "(silence)",
            f"0:{float(row['start_s']):05.2f}",
            f"0:{float(row['end_s']):05.2f}",
            f"{100 * float(row['probability']):.1f} %" if row["probability"] else "",
        )
        for row in rows_of("segment")
    ]
    assert [line.split() for line in opened.locator("#labels li").all_inner_texts()] == [
        [row["label"], f"{100 * float(row['probability']):.1f}", "%"] for row in rows_of("classify")
    ]
    assert opened.locator("#name").inner_text() == "rooster.ogg"
    assert opened.locator("#error").is_hidden()


def test_both_pictures_are_drawn_from_low_below_to_high_above(opened: Page, parts: Path) -> None:
    give(opened, parts)
    for name in ("spectrogram", "features"):
        picture = opened.evaluate(f"document.getElementById('{name}').toDataURL().split(',')[1]")
        grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("L"), dtype=float)
        rows, columns = grey.shape
        low, high = grey[:, : int(0.4 * columns)].mean(axis=1), grey[:, int(0.45 * columns) : int(0.75 * columns)]
        assert low.argmax() > 0.3 * rows
        assert high.mean(axis=1).argmax() < 0.3 * rows
    assert opened.locator("#probabilities path").count() == 2
    assert opened.locator("#probabilities path[stroke]").count() == 2


def test_a_dropped_sound_is_told(opened: Page, parts: Path) -> None:
    content = base64.b64encode(parts.read_bytes()).decode()
    drop = """([content, count]) => {
        const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
        const data = new DataTransfer();
        for (let number = 0; number < count; number += 1) data.items.add(new File([bytes], `dropped ${number}.wav`));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    opened.evaluate(drop, [content, 1])
    opened.wait_for_selector("#result:visible")
    assert [row[:3] for row in shown_segments(opened)] == [
        ("low", "0:00.00", "0:04.25"),
        ("high", "0:04.25", "0:08.00"),
        ("(silence)", "0:08.00", "0:10.00"),
    ]
    assert opened.locator("#sounds").is_hidden()
    opened.evaluate(drop, [content, 2])
    until(opened, "!busy")
    assert opened.locator("#sounds button").all_inner_texts() == ["dropped 0.wav low", "dropped 1.wav low"]


def test_labels_of_several_sounds_are_corrected_and_downloaded(opened: Page, parts: Path, tmp_path: Path) -> None:
    odd, text = tmp_path / 'odd, "name".wav', tmp_path / "text.wav"
    soundfile.write(odd, tone(2, 4000), 44_100)
    text.write_text("this is no sound, but a text of some length")
    give(opened, parts, text, odd)
    assert opened.locator("#status").inner_text() == "2 sounds."
    assert opened.locator("#error").inner_text() == "text.wav: not decodable as audio: Format not recognised."
    assert opened.locator("#name").inner_text() == "three parts.wav"
    fields = opened.locator("#table input")
    assert [field.input_value() for field in fields.all()] == ["low", "high", ""]
    fields.nth(0).fill("")
    fields.nth(2).fill("=rain")
    opened.locator("#sounds button").nth(1).click()
    assert opened.locator("#name").inner_text() == odd.name
    opened.locator("#sounds button").nth(0).click()
    opened.locator("#theme").click()  # draws all anew
    assert [field.input_value() for field in fields.all()] == ["", "high", "=rain"]
    with opened.expect_download() as download:
        opened.locator("#download").click()
    assert download.value.suggested_filename == "labels.csv"
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert rows == [
        {"file": "three parts.wav", "label": "high", "start": "4.25", "end": "8"},
        {"file": "three parts.wav", "label": "'=rain", "start": "8", "end": "10"},
        {"file": odd.name, "label": "high", "start": "0", "end": "2"},
    ]


def test_the_legend_names_grey_classes_beside_what_is_none(opened: Page) -> None:
    named = opened.evaluate("""() => {
        const segments = [{ label: "low" }, { label: "none" }];
        drawLegend(find("legend"), { classes: ["high", "low"], segments }, coloursOf(segments));
        return [...find("legend").children].map((item) => item.textContent);
    }""")
    assert named == ["low", "none", "other classes"]


def test_what_is_none_of_the_classes_has_no_label_to_train_on(opened: Page) -> None:
    told = opened.evaluate("""() => {
        const part = (start_s, label, probability) => ({ start_s, end_s: start_s + 1, label, probability });
        const segments = [part(0, "none", null), part(1, null, null), part(2, "none", 0.9)]; // the last is a class
        return csvOf([keep("a.wav", new Blob(), { segments })]);
    }""")
    assert told == "file,label,start,end\na.wav,none,2,3\n"


def test_what_the_browser_alone_decodes_is_told(opened: Page) -> None:
    opened.evaluate("""async () => {  // Opus in WebM, which libsndfile does not read
        const context = new AudioContext();
        const [tone, into] = [new OscillatorNode(context, { frequency: 4000 }), context.createMediaStreamDestination()];
        tone.connect(into);
        tone.start();
        const [recorder, parts] = [new MediaRecorder(into.stream, { mimeType: "audio/webm" }), []];
        recorder.ondataavailable = ({ data }) => parts.push(data);
        recorder.start();
        await new Promise((done) => setTimeout(done, 2500));
        await new Promise((done) => { recorder.onstop = done; recorder.stop(); });
        await context.close();
        analyse([{ sound: new File(parts, "phone.webm"), name: "phone.webm" }]);
    }""")
    until(opened, "!busy")
    assert opened.locator("#error").is_hidden()
    assert "high" in {row[0] for row in shown_segments(opened)}
    assert opened.evaluate("found.seconds") == pytest.approx(2.5, abs=1)


def test_what_the_microphone_hears_is_told(opened: Page) -> None:
    record = opened.locator("#record")
    record.click()
    until(opened, "document.getElementById('record').textContent === 'Stop (0:02)'")
    assert record.get_attribute("aria-pressed") == "true"
    assert opened.locator("#file").is_disabled()
    opened.evaluate("for (let turn = 0; turn < 2; turn += 1) find('record').click()")  # the second one ends nothing
    opened.wait_for_selector("#result:visible")
    assert {row[0] for row in shown_segments(opened)} == {"high"}
    assert opened.locator("#name").inner_text() == "recording 1.wav"
    assert opened.locator("#save").get_attribute("download") == "recording 1.wav"
    assert opened.locator("#save").is_visible()
    assert opened.evaluate("player.duration") > 1.5
    assert record.inner_text() == "Record"
    assert record.is_enabled()
    assert opened.locator("#file").is_enabled()


def test_a_recording_that_the_server_refuses_can_be_saved(opened: Page) -> None:
    opened.evaluate("""() => {
        ask = async () => { throw new Error("silent"); };
        recording = { end: async () => new Blob(["heard"]), timer: 0 };
        return record();
    }""")
    assert opened.locator("#error").inner_text() == "recording 1.wav: silent"
    assert opened.locator("#save").inner_text() == "Save recording 1.wav"
    with opened.expect_download() as download:
        opened.locator("#save").click()
    assert download.value.suggested_filename == "recording 1.wav"
    assert Path(download.value.path()).read_text() == "heard"


def test_sounds_of_one_name_given_together_are_told_apart(opened: Page, parts: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / parts.name
    other.parent.mkdir()
    soundfile.write(other, tone(2, 4000), 44_100)
    content = [base64.b64encode(path.read_bytes()).decode() for path in (parts, other)]
    opened.evaluate(
        """([contents, name]) => analyse(contents.map((text) => {
            const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
            return { sound: new File([bytes], name), name };
        }))""",
        [content, parts.name],
    )
    assert opened.locator("#sounds button").all_inner_texts() == ["three parts.wav low", "three parts (2).wav high"]
    opened.locator("#table input").first.fill("rain")
    opened.evaluate("redraw()")
    assert opened.evaluate("csvOf(sounds)").splitlines() == [
        "file,label,start,end",
        "three parts.wav,rain,0,4.25",
        "three parts.wav,high,4.25,8",
        "three parts (2).wav,high,0,2",
    ]


def test_a_segment_plays_from_its_start_to_its_end(opened: Page, parts: Path) -> None:
    give(opened, parts)
    opened.evaluate("player.muted = true; player.playbackRate = 0.25")  # it plays as long as is looked at it
    second = opened.locator("#segments button").nth(1)
    second.click()
    until(opened, "!player.paused && player.currentTime > 4.25")
    assert second.get_attribute("aria-pressed") == "true"
    assert opened.locator("#table tr.playing").inner_text().split()[1] == "high"
    assert opened.locator("#now").is_visible()
    opened.evaluate("player.playbackRate = 4")
    until(opened, "player.paused")
    assert opened.evaluate("player.currentTime") == pytest.approx(8, abs=0.5)
    assert second.get_attribute("aria-pressed") == "false"
    opened.locator("#spectrogram").click(position={"x": 1, "y": 5})
    until(opened, "player.currentTime < 0.1")


def test_segments_are_reached_and_played_by_keyboard(opened: Page, parts: Path) -> None:
    give(opened, parts)
    assert opened.evaluate("document.activeElement.id") == "name"
    opened.evaluate("player.muted = true")
    first = opened.locator("#segments button").first
    first.focus()
    opened.keyboard.press("ArrowRight")
    assert opened.evaluate("document.activeElement.getAttribute('aria-label')") == "Play high, 0:04.25 to 0:08.00"
    opened.keyboard.press("Enter")
    until(opened, "!player.paused && player.currentTime >= 4.25")
    opened.keyboard.press("Enter")
    until(opened, "player.paused")
    reached = []
    opened.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    for _ in range(14):
        opened.keyboard.press("Tab")
        reached.append(opened.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
    assert [name for name in ("theme", "file", "record", "player", "Play low, 0:00.00 to 0:04.25") if name in reached]


def test_what_cannot_be_told_is_said_why(opened: Page, parts: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("this is no sound, but a text of some length")
    give(opened, parts)
    give(opened, text)
    assert opened.locator("#error").inner_text() == "text.wav: not decodable as audio: Format not recognised."
    assert opened.locator("#result").is_hidden()
    opened.evaluate("settings.maxBytes = 1000")
    give(opened, parts)
    assert opened.locator("#error").inner_text() == (
        "three parts.wav: larger than 100 MB, the most this page takes. Use `beyond-spectrograms segment`, which takes "
        "any size."
    )


def test_a_format_the_browser_cannot_play_is_told_all_the_same(opened: Page, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "sound.au", tone(2, 400), 44_100)
    give(opened, tmp_path / "sound.au")
    opened.wait_for_selector("#unplayable:visible")
    assert [row[0] for row in shown_segments(opened)] == ["low"]


def test_a_server_that_is_gone_is_told(browser: Browser, model_folder: Path, parts: Path) -> None:
    page = browser.new_context().new_page()
    with serving(model_folder) as address:
        page.goto(address)
    give(page, parts)
    told = "three parts.wav: The server does not answer. Is `beyond-spectrograms serve` still running?"
    assert page.locator("#error").inner_text() == told
    page.context.close()


@pytest.mark.parametrize("opened", [{"viewport": PHONE}], indirect=True)
def test_a_phone_scrolls_no_way_but_down(opened: Page, parts: Path) -> None:
    give(opened, parts)
    assert opened.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    for name in ("record", "player", "segments", "spectrogram", "table"):
        place = opened.locator(f"#{name}").bounding_box()
        assert 0 <= place["x"] < place["x"] + place["width"] <= PHONE["width"]


@pytest.mark.parametrize("opened", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_text_stands_out_in_both_themes_and_the_button_changes_over(opened: Page, parts: Path, tmp_path: Path) -> None:
    was_dark = opened.locator("#theme").get_attribute("aria-pressed") == "true"
    (tmp_path / "empty").touch()
    for _ in range(2):
        for sound in (parts, tmp_path / "empty"):
            give(opened, sound)
            assert_text_stands_out(opened, 5)
        opened.locator("#theme").click()
    opened.evaluate("scrollTo(0, 0)")
    assert (brightness(opened) < 110) == was_dark
