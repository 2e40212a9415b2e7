"""The report's pictures: how they look and are saved, Figure 2 (a second as mel and as latents), confusion matrices.

No two lines differ by colour alone, but of a study's own codecs where these are many; PNG and SVG of the same input are
the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120
FLOOR = 1e-10  # power below which a mel band counts as empty: -100 dB, librosa's own default

# Okabe and Ito's colours, told apart by colour-blind readers. Blue, orange and green are the paper's (section 3.2).
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
FURTHER = ("#CC79A7", "#56B4E9", "#D55E00", "#000000", "#888888")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
LATER_DASHES: tuple[Any, ...] = ((0, (9, 2)), (0, (3, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2, 2, 2)))
# The studies' representations, by name: their order in params changes no figure. A new one goes to the end. Every
# fifth name has the same colour; two that a study compares by name have not.
DRAWN = (
    *("log_mel", "log_mel_2048", "soundstream", "encodec_24khz_untrained", "encodec_48khz_untrained"),
    *("log_mel_150hz", "log_mel_2048_50hz", "log_mel_75hz", "soundstream_codes_9200bps", "soundstream_9200bps"),
    *("soundstream_6000bps", "soundstream_3200bps", "log_mel_16khz", "soundstream_codes_3200bps"),
    *(f"encodec_24khz_{rate}bps" for rate in (24000, 12000, 6000, 3000, 1500, "codes_6000")),
    *(f"encodec_48khz_{rate}bps" for rate in (24000, 12000, 6000, 3000)),
    *("log_mel_80hz_16khz", "mfcc", "waveform", "pcen", "mfcc_deltas", "soundstream_lyra_1_2"),
    *("yamnet", "yamnet_scores", "efficientat_mn04"),
    *("ast_inputs", "whisper_inputs", "ast", "wav2vec2", "hubert", "wavlm", "wavlm_layers", "data2vec", "whisper"),
    *("clap", "clap_projected", "encodec_hub_24khz", "encodec_hub_48khz", "mimi", "mimi_8_codebooks"),
    *("codec_16khz", "codec_16khz_untrained"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class Style:
    """How a representation is drawn in every figure."""

    colour: str
    dash: Any
    marker: str


def styles(names: Collection[str]) -> dict[str, Style]:
    """Choose a style for every name, no two alike, whatever their order.

    The paper's inputs are solid in its colours. Those of DRAWN keep their style whatever else there is, and others
    follow by name: only among these a new one can change a style.
    """
    from beyond_spectrograms.evaluation.results import INPUTS  # it needs pandas, which `segment` draws without

    fixed = dict(zip(INPUTS, (BLUE, ORANGE, GREEN), strict=True))
    chosen = {name: Style(fixed[name], DASHES[0], MARKERS[i]) for i, name in enumerate(INPUTS)}
    for count, name in enumerate([*DRAWN, *sorted(set(names) - set(DRAWN) - set(INPUTS))]):
        marker = MARKERS[(3 + count) % 8]
        chosen[name] = Style(FURTHER[count % len(FURTHER)], _dash(count), marker)
    return {name: chosen[name] for name in names}


def _dash(count: int) -> Any:
    """Choose the dash of the name of this number, so that with its marker none is drawn as another.

    Three dashes and eight markers repeat together after 24 names, whatever the colours do. Then lines are solid with
    the five markers that the paper's inputs leave; then each further dash is for eight names.
    """
    if count < 24:
        return DASHES[1 + count % 3]
    return DASHES[0] if count < 29 else LATER_DASHES[(count - 29) // 8 % len(LATER_DASHES)]


@contextmanager
def _style(**more: Any) -> Iterator[None]:
    """Set type that stays legible at a README's width, for drawing and for saving, which still makes ticks."""
    import matplotlib as mpl

    frames = {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    plain = {"text.parse_math": False}  # a class or a file may have $ in its name
    settings: Any = {"font.size": 11, "axes.titlesize": 12, **frames, **plain, **more}
    with mpl.rc_context(settings):
        yield


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """Open a figure of that size in inches."""
    from matplotlib.figure import Figure

    with _style():
        yield Figure(figsize=(width, height), layout="constrained")


def png_of(figure: Figure) -> bytes:
    """Paint a figure in 256 colours, without date and version."""
    from PIL import Image

    with _style():
        drawn, painted = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, dpi=DPI)
        Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(painted, format="PNG")
    return painted.getvalue()


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `name`.png, in 256 colours, and `name`.svg, both without date, version or random ids."""
    (folder / f"{name}.png").write_bytes(png_of(figure))
    with _style(**{"svg.hashsalt": name}):
        figure.savefig(folder / f"{name}.svg", dpi=80, metadata={"Date": None, "Creator": None})


@dataclass(frozen=True)
class Panel:
    """One picture of Figure 2: `values` [bands, frames], `scale` power, db or latent."""

    title: str
    values: NDArray[np.float32]
    scale: str


def choose_window(mel: NDArray[np.float32] | None, scale: str, silent: NDArray[np.bool_]) -> tuple[int, str]:
    """Choose the window Figure 2 shows, and say why: the loudest that is not silent, by the mean of its mel power.

    Args:
        mel: [windows, bands, frames], may be memory-mapped; read in pieces. None: no mel spectrogram was run.
        scale: what `mel` holds, `power` or `db`.
        silent: [windows].
    """
    if silent.all():
        return 0, "every window is silent"
    if mel is None:
        return int(silent.argmin()), "the first window that is not silent"
    pieces = (np.asarray(mel[start : start + 512], dtype=np.float64) for start in range(0, len(mel), 512))
    means = [(10 ** (piece / 10) if scale == "db" else piece).mean(axis=(1, 2)) for piece in pieces]
    return int(np.where(silent, -np.inf, np.concatenate(means)).argmax()), "the loudest window"


def figure_2(panels: Sequence[Panel], seconds: float, caption: str) -> Figure:
    """Draw the same window in every representation. Mel power is shown in dB; each panel has its own scale."""
    from matplotlib import colormaps

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    with drawing(5.0 * columns, 2.7 * rows + 0.5) as figure:
        for place, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(rows, columns, place)
            values = panel.values
            if panel.scale == "power":
                values = 10 * np.log10(np.maximum(values, FLOOR))
            # The rarest percent at each end is clipped: one outlier would leave the rest of the panel flat.
            low, high = (float(np.percentile(values, share)) for share in (1, 99))
            if panel.scale == "latent":
                high = max(abs(low), abs(high))
                low = -high
            bands, frames = values.shape
            image = axes.imshow(
                values,
                origin="lower",
                aspect="auto",
                interpolation="none",
                extent=(0, seconds, -0.5, bands - 0.5),
                cmap=colormaps["RdBu_r" if panel.scale == "latent" else "magma"].resampled(32),
                vmin=low,
                vmax=max(high, low + 1e-6),
            )
            axes.set_title(f"{panel.title}: {bands} x {frames}", loc="left")
            axes.set_xlabel("time (s)")
            axes.set_ylabel("latent channel" if panel.scale == "latent" else "mel band")
            label = "latent value (no unit)" if panel.scale == "latent" else "power (dB)"
            figure.colorbar(image, ax=axes, label=label, extend="both")
        figure.suptitle(caption, fontsize=11)
    return figure


def confusion(classes: Sequence[str], counts: NDArray[np.int64], title: str) -> Figure:
    """Draw a confusion matrix in % of each true class.

    Args:
        classes: names, in the order of `counts`.
        counts: [true class, predicted class], windows.
        title: says data set, protocol and representation.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.maximum(totals, 1)
    many = len(classes) > 12
    side = 9.5 if many else 3.2 + 0.55 * len(classes)
    with drawing(side + 0.6, 0.93 * side) as figure:
        axes = figure.subplots()
        top = max(1.0, float(shares.max()))
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=top)
        size = 7 if many else 10
        axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=size)
        axes.set_yticks(range(len(classes)), classes, fontsize=size)
        if not many:
            for (row, column), share in np.ndenumerate(shares):
                colour = "white" if share > 0.55 * top else "black"
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=9)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        axes.set_title(title, loc="left", fontsize=11)
        figure.colorbar(image, ax=axes, label="share of the class's windows (%)", shrink=0.8)
    return figure
