"""What a unit of work took in earlier runs: data/rates.json, which stages read when they begin and add to at the end.

Two stages may end at once: the file is read again before it is written, and is replaced as a whole. At worst the rate
of one of them is lost until it runs again.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, TypeAdapter

from beyond_spectrograms.util.files import write_json

RATES = Path("data/rates.json")
MUCH_LESS = 10  # a run of so many times fewer units than the recorded one tells less: its start counts too much


class Rate(BaseModel):
    """What some work of one kind took.

    Attributes:
        units: how much work it was: seconds of sound, or windows trained on times epochs.
        seconds: wall time; of training, that of all its runs added up.
        disk_bytes: what it left on disk.
        memory_bytes: the most that one of its processes held, mapped files included.
        shape: bands and frames of a window, of features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    units: PositiveFloat
    seconds: PositiveFloat
    disk_bytes: NonNegativeInt = 0
    memory_bytes: NonNegativeInt = 0
    shape: tuple[int, int] | None = None


_ADAPTER = TypeAdapter(dict[str, Rate])


def read_rates() -> dict[str, Rate]:
    """Read the rates by kind of work; a file that is damaged is ignored, and a line says so."""
    try:
        return _ADAPTER.validate_json(RATES.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        print(f"{RATES}: damaged and ignored. It is written anew when this ends.", flush=True)
        return {}


def record_rates(new: Mapping[str, Rate]) -> None:
    """Put `new` rates in the place of older ones, but for those of MUCH_LESS work; does nothing outside a project."""
    if not RATES.parent.is_dir():
        return
    rates = read_rates()
    for key, rate in new.items():
        if key not in rates or rate.units * MUCH_LESS >= rates[key].units:
            rates[key] = rate
    write_json(RATES, {key: rates[key].model_dump(exclude_defaults=True) for key in sorted(rates)})
