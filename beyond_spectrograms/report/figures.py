"""The report's pictures: Figure 2 (a second as mel and as latents), Figure 4 (learning curves), confusion matrices.

No two lines differ by colour alone; PNG and SVG of the same input are the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from beyond_spectrograms.evaluation.convergence import MeanCurve

DPI = 120
SMOOTHING = 0.8  # Figure 4: s_t = 0.8 s_(t-1) + 0.2 x_t, starting at x_1, as the released code draws it
LOSS_SHOWN = 20  # nats; guessing among 1000 classes costs 7, and a run that diverges would flatten all others
FLOOR = 1e-10  # power below which a mel band counts as empty: -100 dB, librosa's own default

# Okabe and Ito's colours, told apart by colour-blind readers. Blue, orange and green are the paper's (section 3.2).
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
FURTHER = ("#CC79A7", "#56B4E9", "#D55E00", "#000000", "#888888")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
# The studies' representations, by name: their order in params changes no figure. A new one goes to the end.
DRAWN = (
    *("log_mel", "log_mel_2048", "soundstream", "encodec_24khz_untrained", "encodec_48khz_untrained"),
    *("log_mel_150hz", "log_mel_75hz", "log_mel_2048_50hz", "log_mel_16khz"),
    *(f"soundstream_{rate}" for rate in ("9200bps", "6000bps", "3200bps", "codes_9200bps", "codes_3200bps")),
    *(f"encodec_24khz_{rate}bps" for rate in (24000, 12000, 6000, 3000, 1500, "codes_6000")),
    *(f"encodec_48khz_{rate}bps" for rate in (24000, 12000, 6000, 3000)),
    "log_mel_80hz_16khz",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class Style:
    """How a representation is drawn in every figure."""

    colour: str
    dash: Any
    marker: str


def styles(names: Sequence[str]) -> dict[str, Style]:
    """Choose a style for every name, no two alike, whatever their order.

    The paper's inputs are solid in its colours. Those of DRAWN keep their style whatever else there is, and others
    follow by name: only among these a new one can change a style.
    """
    from beyond_spectrograms.evaluation.results import INPUTS  # it needs pandas, which `segment` draws without

    fixed = dict(zip(INPUTS, (BLUE, ORANGE, GREEN), strict=True))
    chosen = {name: Style(fixed[name], DASHES[0], MARKERS[i]) for i, name in enumerate(INPUTS)}
    for count, name in enumerate([*DRAWN, *sorted(set(names) - set(DRAWN) - set(INPUTS))]):
        # 3 dashes and 8 markers repeat together after 24 names, whatever the colours do; then lines are solid.
        dash, marker = DASHES[1 + count % 3 if count < 24 else 0], MARKERS[(3 + count) % 8]
        chosen[name] = Style(FURTHER[count % len(FURTHER)], dash, marker)
    return {name: chosen[name] for name in names}


@contextmanager
def _style(**more: Any) -> Iterator[None]:
    """Set type that stays legible at a README's width, for drawing and for saving, which still makes ticks."""
    import matplotlib as mpl

    frames = {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    settings: Any = {"font.size": 11, "axes.titlesize": 12, **frames, **more}
    with mpl.rc_context(settings):
        yield


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """Open a figure of that size in inches."""
    from matplotlib.figure import Figure

    with _style():
        yield Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `name`.png, in 256 colours, and `name`.svg, both without date, version or random ids."""
    from PIL import Image

    with _style(**{"svg.hashsalt": name}):
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=DPI)
        Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(folder / f"{name}.png")
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


def figure_4(
    curves: Mapping[str, MeanCurve], chosen: Mapping[str, Style], labels: Mapping[str, str], title: str
) -> Figure:
    """Draw accuracy and loss per epoch, validation above and training below; smoothed lines over paler raw ones.

    Args:
        curves: representation -> its curve, drawn in this order.
        chosen: a style for each.
        labels: what the legend calls each.
        title: says data set and protocol.
    """
    with drawing(11.0, 8.6) as figure:
        grid = figure.subplots(2, 2, sharex=True)
        panels = (
            (grid[0, 0], "validation_accuracy", "(a) validation accuracy"),
            (grid[0, 1], "validation_loss", "(b) validation loss"),
            (grid[1, 0], "training_accuracy", "(c) training accuracy"),
            (grid[1, 1], "training_loss", "(d) training loss"),
        )
        for axes, measure, heading in panels:
            in_percent, cut = measure.endswith("accuracy"), ""
            for turn, (name, curve) in enumerate(curves.items()):
                values = getattr(curve, measure) * (100 if in_percent else 1)
                _draw_curve(axes, values, chosen[name], labels[name], turn / len(curves))
            axes.grid(color="0.9", linewidth=0.8)
            if in_percent:
                axes.set_ylabel("accuracy (%)")
            else:
                axes.set_ylabel("cross-entropy (nats, log scale)")
                # Every curve keeps its lowest part, however high that is.
                losses = [getattr(curve, measure) for curve in curves.values()]
                top = max(LOSS_SHOWN, *(2 * float(loss.min()) for loss in losses))
                axes.set_yscale("log")
                if max(loss.max() for loss in losses) > top:
                    axes.set_ylim(0.9 * min(float(loss.min()) for loss in losses), top)
                    cut = f", cut at {top:.3g}"
                _label_plainly(axes)
            axes.set_title(heading + cut, loc="left")
        for axes in grid[1]:
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        figure.align_ylabels()
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3, handlelength=3.5)
        figure.suptitle(f"{title}\n{_describe(curves)}", fontsize=11)
    return figure


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth the values of epochs as the paper's Figure 4 does."""
    smoothed = values.copy()
    for epoch in range(1, len(values)):
        smoothed[epoch] = SMOOTHING * smoothed[epoch - 1] + (1 - SMOOTHING) * values[epoch]
    return smoothed


def _draw_curve(axes: Axes, values: NDArray[np.float64], style: Style, label: str, offset: float) -> None:
    """Draw the raw values, pale, and the smoothed line; `offset` 0..1 staggers the markers of lines that coincide."""
    epochs = np.arange(1, len(values) + 1)
    # Noise of a thousand epochs is far larger as vectors than as an image (one image: zorder puts all of it below
    # the lines), and no page shows more than 200 points of a smooth line.
    axes.plot(epochs, values, color=style.colour, linewidth=1, alpha=0.25, rasterized=True, zorder=1.5)
    shown = np.unique(np.linspace(0, len(values) - 1, min(len(values), 200)).astype(int))
    every = max(1, len(shown) // 7)
    axes.plot(
        epochs[shown],
        smooth(values)[shown],
        color=style.colour,
        linestyle=style.dash,
        linewidth=1.8,
        marker=style.marker,
        markersize=6,
        markevery=(int(offset * every), every),
        label=label,
    )


def _label_plainly(axes: Axes) -> None:
    """Label a log scale in plain numbers, more of them where it spans less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if high > 10 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _describe(curves: Mapping[str, MeanCurve]) -> str:
    """Say what the lines are, so that the picture can stand alone."""
    runs = sorted({curve.runs for curve in curves.values()})
    mean = "one run each" if runs == [1] else f"mean of {' or '.join(map(str, runs))} runs (folds x seeds)"
    held = any(curve.shortest < len(curve.validation_loss) for curve in curves.values())
    stopped = "; a run stopped early holds its last value" if held else ""
    return f"{mean}, smoothed (0.8) over the raw values (paler){stopped}"


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
