"""Sections of params.yaml about evidence: statistics, costs, the leakage audit, the rules of the claims."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from beyond_spectrograms.params.base import Name, Positive, Real, Section, Seed


class Statistics(Section):
    """How sure we are: intervals by bootstrap, and the fewest recordings and runs for which one is given."""

    confidence: Annotated[Real, Field(gt=0, lt=1)]
    resamples: Annotated[int, Field(ge=999)]
    seed: Seed
    minimum_sources: Annotated[int, Field(ge=2)]
    minimum_runs: Annotated[int, Field(ge=2)]


class CostSettings(Section):
    """What `measure` times: so many clips drawn by `seed`, in so many rounds, in an order drawn by `seed` too."""

    clips: Positive
    rounds: Positive
    seed: Seed


class Audit(Section):
    """When two clips count as the same sound, and the forest that is shown file-level cues."""

    near_strength: Annotated[Real, Field(gt=0, le=1)]
    trees: Positive
    seed: Seed


class Claims(Section):
    """The rules by which the paper's claims are judged, fixed before the run."""

    target: Annotated[Real, Field(gt=0, le=1)]
    baselines: Annotated[list[Name], Field(min_length=2, max_length=2)]  # dvc.yaml names them by place
    ladder: Annotated[list[Name], Field(min_length=2)]
