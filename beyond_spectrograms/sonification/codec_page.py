"""The page of a codec: excerpts as recorded, as the codec gives them back, and through Opus and MP3, to hear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from beyond_spectrograms.data.audio import Waveform
from beyond_spectrograms.params import Notice
from beyond_spectrograms.report.page.html import LARGEST, data_url, render_html, sound_file
from beyond_spectrograms.report.page.html import TEMPLATES as REPORT_TEMPLATES
from beyond_spectrograms.sonification.codec_versions import Excerpt, Version, equally_amplified
from beyond_spectrograms.sonification.players import PEAK, match_level

TEMPLATES = Path(__file__).parent / "templates"
WITHOUT_SOUNDS = 100_000  # bytes of a page, at most


def render_codec_page(
    title: str,
    *,
    facts: Sequence[tuple[str, str]],
    excerpts: Sequence[Excerpt],
    versions: Sequence[Sequence[Version]],
    sample_rate: int,
    notices: Mapping[str, Notice | None],
    usual: str,
) -> str:
    """Build the page. Sounds are FLAC, so that what is heard is what the codecs give.

    Excerpts after the first are left out, the last first, where the page would weigh more than 5 MB.

    Args:
        title: of the page.
        facts: names and values about the codec.
        excerpts: what is heard.
        versions: of each excerpt, itself the first.
        sample_rate: of all sounds, Hz.
        notices: of each data set that judges the codec; None where its excerpts may not be passed on.
        usual: a line on codecs that are heard beside it.
    """
    clips: list[dict[str, Any]] = []
    sounds: list[str] = []
    weight = WITHOUT_SOUNDS
    for excerpt, mine in zip(excerpts, versions, strict=True):
        amplified, turned_down = equally_amplified(mine, _gain(excerpt.sound, sample_rate), PEAK)
        coded = [flac(sound, sample_rate) for sound in amplified]
        weight += sum(map(len, coded))
        if clips and weight > LARGEST:
            break
        rows = [
            _row(version, len(sounds) + place, quieter)
            for place, (version, quieter) in enumerate(zip(mine, turned_down, strict=True))
        ]
        clips.append({"excerpt": excerpt, "seconds": excerpt.sound.shape[1] / sample_rate, "rows": rows})
        sounds += coded
    script = (TEMPLATES / "codec.js").read_text(encoding="utf-8")
    return render_html(
        TEMPLATES / "codec.html.j2",
        scripts=[script],
        styles=[REPORT_TEMPLATES / "report.css", TEMPLATES / "prototypes.css"],
        data={"sounds": sounds},
        title=title,
        facts=facts,
        clips=clips,
        left_out=len(excerpts) - len(clips),
        notices={name: notice for name, notice in notices.items() if notice is not None},
        silent=[name for name, notice in notices.items() if notice is None],
        usual=usual,
        script=script,
    )


def _row(version: Version, sound: int, turned_down: bool) -> dict[str, Any]:
    remarks = [version.remark, "turned down, it would have been cut" if turned_down else ""]
    return {"version": version, "sound": sound, "remark": "; ".join(filter(None, remarks))}


def _gain(sound: Waveform, sample_rate: int) -> float:
    """Give what brings a sound [channels, samples] to the loudness of all pages."""
    mixed = sound.mean(0)
    loudest = float(np.abs(mixed).max(initial=0))
    return float(np.abs(match_level(mixed, sample_rate)).max()) / loudest if loudest else 1.0


def flac(sound: Waveform, sample_rate: int) -> str:
    """Encode a sound [channels, samples] as a data URL of FLAC with 16 bits; the same bytes each time."""
    return data_url("audio/flac", sound_file(sound.T, sample_rate, "FLAC", "PCM_16"))
