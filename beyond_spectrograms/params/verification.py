"""Section of a study's params.yaml about verifying speakers: what a recording is reduced to, and how it is scored."""

from typing import Annotated, Literal

from pydantic import Field

from beyond_spectrograms.params.base import Name, Positive, Real, Section, Seed


class Embedding(Section):
    """How the features of a recording become one vector.

    Attributes:
        summary: of each band over all frames of all windows: its mean, or that and its standard deviation.
        normalize: by recordings of speakers that are not tested: subtract their mean, divide by their deviation too, or
            neither. Cosines take the length out of what is left.
    """

    summary: Literal["mean", "mean_deviation"]
    normalize: Literal["none", "centre", "standardize"]


class Verification(Section):
    """How speakers are verified.

    Attributes:
        embeddings: those that are tried with every representation of the grid.
        resamples: of the bootstrap over speakers, drawn by `seed`.
        target_prior: the share of trials of one speaker for which the least detection cost is given, 0 to 1.
    """

    embeddings: Annotated[dict[Name, Embedding], Field(min_length=1)]
    resamples: Annotated[Positive, Field(ge=100)]
    seed: Seed
    target_prior: Annotated[Real, Field(gt=0, lt=1)]
