"""Regular expressions that a user writes: one may backtrack for longer than anybody waits."""

import regex

from beyond_spectrograms.util.errors import ProjectError
from beyond_spectrograms.util.text import quoted

LONGEST_S = 5.0  # for one text; a name takes microseconds


class PatternError(ProjectError):
    """A regular expression takes too long; the message names it and the text."""


def groups_of(pattern: str) -> frozenset[str]:
    """Give the names of a regular expression's groups.

    Raises:
        ValueError: it is none; the message is the reason.
    """
    try:
        return frozenset(regex.compile(pattern).groupindex)
    except regex.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None


def match_whole(key: str, pattern: str, text: str) -> regex.Match[str] | None:
    """Match a text as a whole; `key` says where the expression stands.

    Raises:
        PatternError: it takes over LONGEST_S seconds, so it tries more ways to match than ever end.
    """
    try:
        return regex.fullmatch(pattern, text, timeout=LONGEST_S)
    except TimeoutError:
        raise PatternError(
            f"{key}: {quoted(pattern)} was not done with {quoted(text)} after {LONGEST_S:g} s. Write it so that each "
            "part can match in one way alone: (a|b)+, not (a+|b+)+."
        ) from None
