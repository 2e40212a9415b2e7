"""The latent ladder: accuracy of latents before the quantiser, through it at each bitrate, and of the codes."""

from dataclasses import dataclass

from beyond_spectrograms.evaluation.records import Interval
from beyond_spectrograms.evaluation.results import Results
from beyond_spectrograms.params import Codec

LATENTS, DEQUANTIZED, CODES = "latents before the quantiser", "dequantised latents", "codes as tokens"


@dataclass(frozen=True)
class Point:
    """One representation of a codec. `bitrate` in bit/s, None before the quantiser."""

    codec: str
    representation: str
    form: str
    bitrate: int | None
    interval: Interval | None


def points(results: Results, protocol: str) -> list[Point]:
    """List what is known of every trained codec that has a bitrate under ablations, by codec, form and bitrate."""
    records, found = results.params.representations, []
    names = [*results.rows, *results.ablations]
    for name in names:
        record = records.get(name)
        if not isinstance(record, Codec) or results.is_control(name):
            continue
        form = CODES if record.codes else LATENTS if record.bitrate is None else DEQUANTIZED
        interval = results.cell(name, protocol).window_interval
        found.append(Point(_codec(results, name), name, form, record.bitrate, interval))
    quantized = {point.codec for point in found if point.bitrate}
    order = {form: place for place, form in enumerate((LATENTS, DEQUANTIZED, CODES))}
    kept = [point for point in found if point.codec in quantized]
    places = list(records)
    return sorted(kept, key=lambda point: (places.index(point.codec), order[point.form], -(point.bitrate or 0)))


def _codec(results: Results, name: str) -> str:
    """Find the representation of the same encoder before its quantiser; the name itself where there is none."""
    records = results.params.representations
    plain = records[name].model_dump() | {"bitrate": None, "codes": False}
    first = plain["weights"][0] if isinstance(plain["weights"], list) else plain["weights"]
    same = (other for other, record in records.items() if record.model_dump() == plain | {"weights": first})
    return next(same, name)
