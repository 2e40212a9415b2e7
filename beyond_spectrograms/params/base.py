"""What every section of params.yaml is made of: strict, typed mappings and checked numbers and names."""

import math
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.patterns import groups_of

NAME = r"^[A-Za-z0-9_]+$"  # names become stage names, file names and DVC parameter paths: no dots, dashes or slashes


class ParamsError(ProjectError):
    """params.yaml holds a key or a value the project does not know; the message names it and the choices."""


class Section(BaseModel):
    """A mapping of params.yaml. Unknown keys are errors and values do not change type on the way in."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _tuple(value: Any) -> Any:
    """YAML has lists only; fixed-length ones are tuples here."""
    return tuple(value) if isinstance(value, list) else value


def _number(value: Any) -> Any:
    """`5` is as good as `5.0` where a real number is meant (but true is not)."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:  # over 308 digits
        return math.inf


def _pattern(value: str) -> str:
    groups_of(value)
    return value


Real = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Pair = Annotated[tuple[Real, Real], BeforeValidator(_tuple)]
Triple = Annotated[tuple[Real, Real, Real], BeforeValidator(_tuple)]
AboveZero = Annotated[Real, Field(gt=0)]
Name = Annotated[str, Field(pattern=NAME)]
Pattern = Annotated[str, AfterValidator(_pattern)]  # a regular expression


def is_unset(value: object) -> bool:
    """Keep a field that says nothing out of a dump: digests of what was made before it was there stay as they are."""
    return value is None


Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]


class Record(Section):
    """What records of representations have, of every kind."""

    # Distributions of this kind alone that decide its features, beside study.FEATURES_BY; dvc.yaml has the same.
    packages: ClassVar[tuple[str, ...]] = ()
    is_codec: ClassVar[bool] = False  # whether it is made of a codec's latents or codes

    @property
    def is_untrained(self) -> bool:
        """Whether its weights are as they were drawn: a control."""
        return getattr(self, "weights", None) == "untrained"

    @property
    def codebook_size(self) -> int | None:
        """Entries of a codebook, where the array holds codes; None elsewhere."""
        return None

    @property
    def has_codes(self) -> bool:
        """Whether its features follow from the numbers of a codec's codebook entries, and may be stored as these."""
        return False

    @property
    def stacked(self) -> int | None:
        """How many layers of a model the bands are of, where a classifier is to weigh these; None elsewhere."""
        return None

    @property
    def decoder(self) -> str | None:
        """The record under `weights` that turns latents into sound; None where there is none."""
        return None

    @property
    def in_decibels(self) -> bool:
        """Whether a louder sound is a constant added to every value."""
        return False

    @property
    def hears_clips(self) -> bool:
        """Whether a window's values depend on the clip it was cut from."""
        return False
