"""Errors meant for the user: one message without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something outside the code is wrong: a file, a config, a checkpoint.

    The message names the thing, says what was found and what was expected, and ends with what to do next. The command
    line prints it alone and exits with status 2; a traceback would only hide it.
    """


class DataError(UserError):
    """A source, a store or an archive that is missing, truncated, foreign or malformed."""


class MissingSourceError(DataError):
    """The files that clips are read from are missing; the message says where to get them and where to put them."""


class DownloadError(DataError):
    """A file cannot be downloaded, or has another content than expected; the message says how to get it by hand."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` with the word of `known` nearest to `word`, or nothing if none is near."""
    nearest = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
