"""What classifying costs, as metrics/<dataset>/costs.json holds it by representation: record, reader and table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError, model_validator

from beyond_spectrograms.evaluation.results import Record, ResultError
from beyond_spectrograms.report.table import Row, Show, Table, number, text

if TYPE_CHECKING:
    from beyond_spectrograms.evaluation.results import Interval

FLOAT32 = 4  # bytes of a cached value
TIMES = ("cached_s_per_s", "file_s_per_s", "encoding_s_per_s", "training_s_per_window")
MEMORY_AND_SIZE = ("_peak_bytes", "_total_bytes", "_bytes_per_s")

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]  # 0: the clock ticks too seldom to see the work
Bytes = Annotated[int, Field(ge=0)]
BytesPerSecond = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RepresentationCosts(Record):
    """What one representation costs. Lists hold one value a round; the rounds of all representations are paired.

    Attributes:
        cached_s_per_s: seconds to classify one second of sound from cached features, as the paper counts.
        file_s_per_s: the same from the audio file on: decode, resample, cut, encode, classify.
        encoding_s_per_s: the representation's share of it.
        training_s_per_window: seconds of one training step, by window of its batch.
        cached_peak_bytes: memory it takes to classify from cached features, above what imports and weights hold; None
            where the system cannot tell, and for baselines, whose own files have it. file_peak_bytes: the same from the
            file on.
        cached_total_bytes: all memory of that process at its peak. file_total_bytes: the same from the file on.
        cached_bytes_per_s: cached features of one second of sound.
        raw_bytes_per_s: the audio files as they are on disk.
        coded_bytes_per_s: the codec's own bit stream, None where nothing is quantised.
        parameters: trainable numbers of the classifier.
    """

    cached_s_per_s: list[Seconds]
    file_s_per_s: list[Seconds]
    encoding_s_per_s: list[Seconds]
    training_s_per_window: list[Seconds]
    cached_peak_bytes: Bytes | None
    file_peak_bytes: Bytes | None
    cached_total_bytes: Bytes | None
    file_total_bytes: Bytes | None
    cached_bytes_per_s: BytesPerSecond
    raw_bytes_per_s: BytesPerSecond
    coded_bytes_per_s: BytesPerSecond | None
    parameters: Bytes


class Costs(Record):
    """What `measure` writes for one representation of a data set, and in the same rounds for the baselines.

    Times are processor time on `threads` threads of `processor`. What was measured is kept while `mark`, the digest of
    all that decides it, is the same.
    """

    mark: str
    dataset: str
    representation: str
    clips: int
    seconds_of_sound: float
    rounds: Annotated[int, Field(ge=1)]
    threads: int
    processor: str
    representations: Annotated[dict[str, RepresentationCosts], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole_rounds(self) -> Costs:
        if self.representation not in self.representations:
            raise ValueError(f"representations has no {self.representation}, the one measured")
        for name, costs in self.representations.items():
            for key in TIMES:
                if (found := len(getattr(costs, key))) != self.rounds:
                    raise ValueError(f"representations.{name}.{key} has {found} values for {self.rounds} rounds")
        return self


def cached_bytes_per_second(bands: int, frames: int, length_s: float, itemsize: int = FLOAT32) -> float:
    """Size of the cached features [windows, bands, frames] of one second of sound, in windows that do not overlap."""
    return bands * frames * itemsize / length_s


def coded_bytes_per_second(bitrate: int | None) -> float | None:
    """Size of a codec's bit stream of `bitrate` bits per second."""
    return None if bitrate is None else bitrate / 8


class CostsFile(Record):
    """costs.json."""

    representations: dict[str, Costs]


def read_costs(path: Path) -> dict[str, Costs]:
    """Read what classifying costs, by representation; nothing where nothing was measured.

    Raises:
        ResultError: a key is missing or out of range, or a representation lacks a round.
    """
    try:
        return CostsFile.model_validate_json(path.read_bytes()).representations
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        problem = error.errors()[0]
        place = "".join(f"{part}." for part in problem["loc"]).removesuffix(".")
        message = problem["msg"].removeprefix("Value error, ")
        raise ResultError(f"{path}: {f'{place}: ' if place else ''}{message}. Run its stage again.") from None


def paired_ratios(costs: Costs, baseline: str, key: str) -> list[float]:
    """Divide the representation's time by the baseline's, round by round: [rounds]."""
    ours, theirs = (getattr(costs.representations[name], key) for name in (costs.representation, baseline))
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def cost_table(
    measured: Sequence[Costs],
    baseline: str,
    interval: Callable[[Sequence[float]], Interval],
    notes: Mapping[str, str],
) -> Table:
    """Tabulate one data set's costs: medians over rounds, each time's ratio to `baseline`, memory and bytes.

    `interval` gives the median of a list of ratios and its limits; `notes` says what a reader must know of a
    representation. Rows keep all digits, in seconds and bytes.

    Raises:
        ResultError: nothing was measured.
    """
    if not measured:
        raise ResultError("no costs to tabulate. Run the measure stages first.")
    rows: list[Row] = []
    reasons: dict[str, None] = {}
    for costs in measured:
        one = costs.representations[costs.representation]
        row: Row = {"representation": costs.representation, "parameters": one.parameters}
        for key in TIMES:
            row[key] = median(getattr(one, key))
            row |= dict.fromkeys((f"{key}_ratio", f"{key}_ratio_low", f"{key}_ratio_high"))
            if baseline in costs.representations and costs.representation != baseline:
                found = interval(paired_ratios(costs, baseline, key))
                row |= {f"{key}_ratio": found.value, f"{key}_ratio_low": found.low, f"{key}_ratio_high": found.high}
                reasons |= dict.fromkeys([found.reason] if found.reason else [])
        row["encoding_percent"] = 100 * median(one.encoding_s_per_s) / median(one.file_s_per_s)
        row |= {key: getattr(one, key) for key in RepresentationCosts.model_fields if key.endswith(MEMORY_AND_SIZE)}
        row["note"] = notes.get(costs.representation, "")
        rows.append(row)
    against = f"against {baseline}"
    columns: dict[str, Show] = {
        "representation": text("representation"),
        "cached, ms per s": _milli("cached_s_per_s"),
        f"cached {against}": _ratio("cached_s_per_s"),
        "from file, ms per s": _milli("file_s_per_s"),
        f"from file {against}": _ratio("file_s_per_s"),
        "of it encoding %": number("encoding_percent", 0),
        "training, ms per window": _milli("training_s_per_window"),
        f"training {against}": _ratio("training_s_per_window"),
        "memory cached, MB": _mega("cached_peak_bytes"),
        "memory from file, MB": _mega("file_peak_bytes"),
        "cached, bytes per s": number("cached_bytes_per_s", 0),
        "as coded, bytes per s": number("coded_bytes_per_s", 0),
        "parameters": text("parameters"),
        "note": text("note"),
    }
    title = f"Costs: {measured[0].dataset}, to classify one second of sound"
    return Table(title, rows, columns, [*_notes(measured, baseline), *reasons])


def _notes(measured: Sequence[Costs], baseline: str) -> list[str]:
    def distinct(values: Iterable[object]) -> str:
        return " or ".join(dict.fromkeys(str(value) for value in values))

    return [
        f"Processor time on one thread of a CPU ({distinct(one.processor for one in measured)}); median of "
        f"{distinct(one.rounds for one in measured)} rounds over {distinct(one.clips for one in measured)} clips, "
        f"{distinct(f'{one.seconds_of_sound:.1f}' for one in measured)} s of sound. No GPU is measured.",
        f"Against {baseline}: median of the ratios within a round, with its interval over rounds on this one machine.",
        "cached: read features and classify, in batches of 256. From file: decode, resample, cut, encode and classify.",
        "Memory: peak above what imports, weights and a first window hold. From file a clip's windows are encoded at "
        "once.",
        "The audio files have "
        f"{distinct(round(one.representations[one.representation].raw_bytes_per_s) for one in measured)} "
        "bytes per second.",
    ]


def _milli(key: str) -> Show:
    """Show seconds as milliseconds with three digits."""
    return lambda row: "-" if row[key] is None else f"{1000 * float(row[key] or 0):#.3g}"


def _mega(key: str) -> Show:
    return lambda row: "-" if row[key] is None else f"{float(row[key] or 0) / 1e6:.1f}"


def _ratio(key: str) -> Show:
    """Show `0.43 [0.42, 0.45]`, without limits where there are none."""

    def show(row: Row) -> str:
        value, low, high = (row[f"{key}_ratio{part}"] for part in ("", "_low", "_high"))
        if value is None:
            return "-"
        limits = "" if low is None or high is None else f" [{float(low):#.3g}, {float(high):#.3g}]"
        return f"{float(value):#.3g}{limits}"

    return show
