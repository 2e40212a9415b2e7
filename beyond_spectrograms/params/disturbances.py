"""Sections of params.yaml about what is done to sounds that test: a disturbance by name, each of a kind."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from beyond_spectrograms.params.base import AboveZero, Positive, Real, Section


class Noise(Section):
    """White noise, added so that the recording's mean square is `snr_db` decibels above the noise's."""

    kind: Literal["noise"]
    snr_db: Real


class Mp3(Section):
    """Through MP3 at a constant bitrate (kbit/s), one that MPEG-1 and MPEG-2 both have.

    None is below 64: LAME then finds no room in a frame to note its delay, and what is decoded stands too late.
    """

    kind: Literal["mp3"]
    bitrate_kbps: Literal[64, 80, 96, 112, 128, 160]


class Gain(Section):
    """Louder or, below 0, quieter by so many decibels; what is then above full scale is clipped."""

    kind: Literal["gain"]
    db: Real


class LowPass(Section):
    """Without what is above `cutoff_hz`: a Butterworth filter of `order`, run forwards and backwards."""

    kind: Literal["low_pass"]
    cutoff_hz: AboveZero
    order: Positive


AnyDisturbance = Noise | Mp3 | Gain | LowPass
Disturbance = Annotated[AnyDisturbance, Field(discriminator="kind")]
DISTURBANCES = {get_args(record.model_fields["kind"].annotation)[0]: record for record in get_args(AnyDisturbance)}
