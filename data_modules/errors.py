"""Errors meant for the person at the keyboard: one message, no traceback."""


class UserError(Exception):
    """Something outside the code is wrong: a file, a config, a checkpoint.

    The message names the thing, says what was found and what was expected, and ends with what to do next. The command
    line prints it alone and exits with status 2; a traceback would only hide it.
    """


class DataError(UserError):
    """A source, a store or an archive that is missing, truncated, foreign or malformed."""


class MissingSourceError(DataError):
    """The files that clips are read from are not there; the message says where to get them and where to put them."""


class DownloadError(DataError):
    """A file cannot be downloaded, or is not what it should be; the message says how to get it by hand."""
