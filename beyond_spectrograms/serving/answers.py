"""What the server answers, as /openapi.json says it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """A JSON object with these keys and no other."""

    model_config = ConfigDict(extra="forbid")


class Refusal(Answer):
    """Why there is no other answer, and what to do."""

    error: str


class Label(Answer):
    """A class and its mean probability over the windows; none for `none of these`."""

    label: str
    probability: float | None


class Segment(Answer):
    """A part of the sound, in seconds; silence has no label."""

    start_s: float
    end_s: float
    label: str | None
    probability: float | None


class Window(Answer):
    """A window's probabilities, in the order of `classes`, before smoothing."""

    start_s: float
    silent: bool
    probabilities: list[float]


class Picture(Answer):
    """Bytes [bands, columns] in base64, the lowest band first; a column is `column_s` seconds wide."""

    bands: int
    columns: int
    levels: str
    column_s: float


class SpectrogramPicture(Picture):
    """One whose bands are of a logarithmic scale of frequencies."""

    lowest_hz: float
    highest_hz: float


class Analysis(Answer):
    """What the model says of a sound."""

    seconds: float
    window_s: float
    smoothing: str
    remarks: list[str]
    segments: list[Segment]
    classes: list[str]
    windows: list[Window]
    labels: list[Label]
    spectrogram: SpectrogramPicture
    features: Picture


SOUND = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
REFUSALS: dict[int, str] = {
    403: "The Host or Origin header is of another site.",
    408: "The request was not whole in time.",
    413: "The sound is too large.",
    422: "The sound cannot be analysed.",
    503: "There is too much to do; Retry-After says when to ask again.",
}


def refusals(*statuses: Literal[403, 408, 413, 422, 503]) -> dict[int | str, dict[str, Any]]:
    """Describe these refusals for FastAPI: JSON, also where a page would be the answer."""
    content = {"application/json": {"schema": Refusal.model_json_schema()}}
    return {status: {"description": REFUSALS[status], "content": content} for status in statuses}
