"""Errors meant for the user: one message without a traceback."""

from __future__ import annotations

import errno
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


MALFORMED = (TypeError, ValueError, LookupError, AttributeError, RuntimeError, ArithmeticError, MemoryError)
"""What it raises to make something of the content of a damaged or foreign file."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` with the word of `known` nearest to `word`, or nothing if none is near."""
    nearest = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


REMEDIES = {
    errno.ENOSPC: "make room there, or choose another folder",
    errno.EDQUOT: "make room there, or choose another folder",
    errno.EFBIG: "files may not be so large there; raise the limit (`ulimit -f`), or choose another folder",
    errno.EROFS: "choose a folder that may be written",
    errno.EACCES: "change its permissions, or choose another one",
    errno.EPERM: "change its permissions, or choose another one",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`), or use fewer workers",
    errno.ENFILE: "close other programs, or use fewer workers",
    errno.EIO: "the disk or the network gave an error; try again, or choose another folder",
    errno.ENOMEM: "close other programs, or ask for less: a smaller batch, fewer workers",
}
"""What to do about an error of the system, by its number."""


def of_the_system(error: OSError) -> UserError | None:
    """The user's error that an error of the system is; None where it may as well be a fault of the program."""
    if error.errno not in REMEDIES:
        return None
    names = " or ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    return UserError(f"{names or 'the system'}: {error.strerror}; {REMEDIES[error.errno]}. What was saved is whole")
