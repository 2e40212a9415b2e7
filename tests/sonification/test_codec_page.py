"""The page of a codec: all its versions with the figures that judge it, sounds as decoded, and Opus and MP3 beside."""

import base64
import html
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from beyond_spectrograms.codec.measures import Coder, compare_sounds
from beyond_spectrograms.codec.network import load_codec
from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.sonification.codec_page import render_codec_page
from beyond_spectrograms.sonification.codec_versions import (
    Excerpt,
    Version,
    choose_excerpts,
    equally_amplified,
    make_versions,
)
from beyond_spectrograms.sonification.usual_codecs import MP3, OPUS, UsualCodec, UsualCodecError, recode, usual_codecs
from support import codec_study
from support.common import noise, refusal, tone
from support.repository import stage_here

pytestmark = pytest.mark.usefixtures("one_thread")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg here")
PAGE = Path("data/heard/codec/codecs/pilot/index.html")
RATE = 16_000
Cells = list[str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heard_codec")
    codec_study.write(folder, ["demo", "esc50"])  # of the latter nothing may be passed on
    return folder


@pytest.fixture(scope="module")
def page(project: Path) -> str:
    stage_here(project, "listen_codec", "--study=codec", "pilot")
    return (project / PAGE).read_text(encoding="utf-8")


def rows_of(page: str) -> dict[str, list[Cells]]:
    """Read the tables: what heads each -> the texts of its rows' cells."""
    found: dict[str, list[Cells]] = {}
    for part in page.split("<h3 ")[1:]:
        head = text_of(part[part.index(">") + 1 : part.index("</h3>")])
        rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", part, re.DOTALL)
        found[head] = [[text_of(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]
    return found


def clip_of(head: str) -> str:
    """Find the clip that a table's head names."""
    return next(f"{label}/{n}.wav" for label in codec_study.LABELS for n in range(2) if f"{label}/{n}.wav" in head)


def text_of(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", markup)).strip()


def sounds_in(page: str) -> list[Waveform]:
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    contents = [base64.b64decode(url.partition("base64,")[2]) for url in json.loads(data)["sounds"]]
    return [soundfile.read(io.BytesIO(content), dtype="float32")[0] for content in contents]


def test_each_class_has_an_excerpt_and_it_every_version(page: str) -> None:
    tables = rows_of(page)
    assert sorted(clip_of(head).split("/")[0] for head in tables) == sorted(codec_study.LABELS)
    assert {head.partition(" of demo")[2] for head in tables} == {", 0.5 s"}
    ours = [
        ["the recording", "-"], ["after 20 steps", "600"], ["after 20 steps", "200"], ["after 4 steps", "600"],
        ["untrained", "600"],
    ]  # fmt: skip
    for rows in tables.values():
        assert [[row[0], row[2]] for row in rows][:5] == ours
        assert [row[3] for row in rows][:5] == ["-", "600", "200", "600", "600"]


def test_the_figures_are_those_that_judge_the_codec(project: Path, page: str) -> None:
    stage_here(project, "judge_codec", "--study=codec", "pilot")
    told = json.loads((project / "studies/codec/metrics/codecs/pilot/quality.json").read_text())["results"]
    judged = {
        (each["step"], each["bitrate"], clip): [f"{si_snr:.1f}", f"{distance:.2f}"]
        for each in told
        if each["dataset"] == "demo"
        for clip, (si_snr, distance) in each["clips"].items()
    }
    names = {"after 20 steps": 20, "after 4 steps": 4, "untrained": 0}
    for head, rows in rows_of(page).items():
        for row in rows[1:5]:
            assert row[4:6] == judged[names[row[0]], int(row[2]), clip_of(head)]


def test_sounds_are_those_the_codec_gives_amplified_alike(project: Path, page: str) -> None:
    sounds = sounds_in(page)
    excerpt, highest = sounds[:2]
    codec, _ = load_codec(project / "data/codecs/pilot/seed_0/step_20.safetensors")
    clip = clip_of(next(iter(rows_of(page))))
    stored, _ = soundfile.read(project / f"data/clips/demo/mono_16000/{clip}.flac", dtype="float32")
    recorded = stored[: RATE // 2]
    gain = float(np.abs(excerpt).max() / np.abs(recorded).max())
    np.testing.assert_allclose(excerpt, gain * recorded, atol=1e-4)
    made, _ = Coder(codec).code(recorded[None], 600)
    np.testing.assert_allclose(highest, gain * made[0], atol=1e-4)


def test_names_are_escaped_and_nothing_is_asked_of_the_network(page: str) -> None:
    assert "<b>low" not in page
    assert "&lt;b&gt;low &amp; &#34;high&#34;" in page
    assert "default-src &#39;none&#39;" in page
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)""", page) == []


def test_what_may_not_be_passed_on_is_not_heard(tmp_path: Path, page: str) -> None:
    assert "of esc50" not in page
    assert "Of esc50 nothing is heard: nobody is known to let excerpts be passed on." in page
    codec_study.write(tmp_path, ["esc50"])
    stage_here(tmp_path, "listen_codec", "--study=codec", "pilot")
    alone = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert "No data set that judges this codec is known to let excerpts be passed on: there is no sound" in alone
    assert sounds_in(alone) == []


def test_without_ffmpeg_the_page_says_so(
    project: Path, tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = stage_here(project, "listen_codec", "--study=codec", "pilot")
    told = "ffmpeg is not installed where this page was made: Opus and MP3 are not in it."
    assert f"\n{told}\n" in said
    written = (project / PAGE).read_text(encoding="utf-8")
    assert told in written
    assert {len(rows) for rows in rows_of(written).values()} == {5}
    (project / PAGE).write_text(page, encoding="utf-8")


@needs_ffmpeg
def test_opus_and_mp3_stand_beside_it_at_their_lowest_bitrates(page: str) -> None:
    codecs, told = usual_codecs()
    assert re.fullmatch(r"Opus and MP3 by ffmpeg version \S+, at constant bitrates\.", told)
    assert told in page
    assert codecs == [OPUS, MP3]
    for rows in rows_of(page).values():
        assert [[row[0], row[2], row[6]] for row in rows[5:]] == [
            ["Opus", "6000", "its lowest bitrate"],
            ["MP3", "8000", "its lowest bitrate"],
        ]


@needs_ffmpeg
@pytest.mark.parametrize(("codec", "extra"), [(OPUS, 0.02), (MP3, 0.1)])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_bits_of_packets_are_counted_and_the_sound_comes_back(
    codec: UsualCodec, extra: float, channels: int
) -> None:
    """MP3 pads a sound of a second by up to two frames."""
    sound = np.stack([tone(1, 440, 48_000), tone(1, 620, 48_000)][:channels])
    made, bits = recode(codec, sound, 48_000, 64_000)
    assert 64_000 <= bits <= 64_000 * (1 + extra)
    assert made.shape == sound.shape
    assert compare_sounds(made, sound, 48_000).si_snr > 15


@pytest.mark.parametrize(
    ("codec", "rate", "asked", "nearest"),
    [
        (OPUS, 16_000, [1200, 2400, 4800], [6000]),
        (OPUS, 24_000, [1500, 6000, 24_000], [6000, 24_000]),
        (MP3, 16_000, [1200, 4800], [8000]),
        (MP3, 24_000, [12_000, 24_000], [16_000, 24_000]),
        (MP3, 48_000, [3000, 24_000, 50_000], [32_000, 48_000]),
    ],
)
def test_the_bitrates_nearest_to_ours_are_taken_once(
    codec: UsualCodec, rate: int, asked: list[int], nearest: list[int]
) -> None:
    assert codec.rates_near(asked, rate) == nearest


def test_what_ffmpeg_says_when_it_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho 'no such  encoder' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    told = refusal(UsualCodecError, recode, OPUS, tone(0.1, 440, RATE)[None], RATE, 6000)
    assert told == "Opus at 6000 bits/s: ffmpeg ended with 3: no such encoder"


def excerpt(dataset: str, label: str, number: int = 0, seconds: float = 0.1) -> Excerpt:
    return Excerpt(dataset, f"{label}/{number}.wav", label, noise(seconds, RATE, number)[None])


def test_each_class_is_chosen_once_data_sets_taking_turns() -> None:
    judged = {
        "one": [excerpt("one", "b"), excerpt("one", "b", 1), excerpt("one", "a"), excerpt("one", "c")],
        "other": [excerpt("other", "b", 5), excerpt("other", "c", 6), excerpt("other", "d", 7)],
        "third": [excerpt("third", "b", 8)],
    }
    chosen = [(each.dataset, each.clip) for each in choose_excerpts(judged)]
    assert chosen == [("one", "b/0.wav"), ("other", "c/6.wav"), ("one", "a/0.wav"), ("other", "d/7.wav")]
    assert len(choose_excerpts({"one": [excerpt("one", str(n)) for n in range(9)]})) == 6


def test_a_version_that_would_be_cut_is_turned_down() -> None:
    quiet, loud = tone(0.1, 440, RATE, 0.1)[None], tone(0.1, 440, RATE, 0.5)[None]
    amplified, turned_down = equally_amplified([Version("a", quiet), Version("b", loud)], 4.0, 0.9)
    assert turned_down == [False, True]
    assert [round(float(np.abs(sound).max()), 3) for sound in amplified] == [0.4, 0.9]


def test_a_step_that_is_no_training_is_untrained(project: Path) -> None:
    def load(step: int):  # type: ignore[no-untyped-def]
        return load_codec(project / f"data/codecs/pilot/seed_0/step_{step}.safetensors")[0]

    (versions,) = make_versions([excerpt("demo", "a")], load, [0], [])
    assert [(each.name, each.asked) for each in versions] == [
        ("the recording", None),
        ("untrained", 600),
        ("untrained", 200),
    ]


def test_excerpts_that_would_make_the_page_too_heavy_are_left_out() -> None:
    excerpts = [excerpt("demo", "rain", number, seconds=60) for number in range(4)]
    page = render_codec_page(
        "Heavy",
        facts=[],
        excerpts=excerpts,
        versions=[[Version("the recording", each.sound)] for each in excerpts],
        sample_rate=RATE,
        notices={"demo": None},
        usual="",
    )
    assert len(sounds_in(page)) == 2
    assert "2 more excerpts were left out: the page would weigh more than 5 MB." in page
    assert len(page.encode()) < 5_000_000
