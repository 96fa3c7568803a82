"""Hostile input, and what it may provoke."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def expect_only(error: type[Exception], *, match: str) -> Iterator[None]:
    """What damages a file may leave it readable, or else provoke this one error, whose message names the file."""
    try:
        yield
    except error as raised:
        if not re.search(re.escape(match), str(raised)):
            raise AssertionError(f"{match!r} is not in {str(raised)!r}") from raised
