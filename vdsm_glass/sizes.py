"""Fields of the dataclasses that hold a network's sizes. Each field says how small and how large its numbers may be.

Sizes come from recipes, and from files of strangers: a bound keeps such a file from asking for endless time or memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, TypeVar

T = TypeVar("T")

LARGEST_WIDTH = 1 << 14
MOST_LAYERS = 1 << 7


def width(default: T, *, least: int = 1, most: int = LARGEST_WIDTH) -> T:
    """A field of one whole number or of a tuple of them, such as channels, each from `least` to `most`."""
    return field(default=default, metadata={"least": least, "most": most})


def layers(default: int, *, least: int = 1) -> int:
    """A field that counts layers. Each takes time to make, so that there may be fewer of them than channels."""
    return width(default, least=least, most=MOST_LAYERS)


def check_widths(sizes: Any) -> None:
    """Checks the fields made by `width` and `layers`; to be called by `__post_init__`.

    Raises: ValueError, a number is out of its bounds, or there are too many numbers.
    """
    for each in fields(sizes):
        if "least" not in each.metadata:
            continue
        value, least, most = getattr(sizes, each.name), each.metadata["least"], each.metadata["most"]
        numbers = value if isinstance(value, tuple | list) else (value,)
        if len(numbers) > MOST_LAYERS or not all(type(number) is int and least <= number <= most for number in numbers):
            kind = "whole numbers" if isinstance(each.default, tuple) else "a whole number"
            raise ValueError(f"{each.name} is {str(value)[:60]}, expected {kind} from {least} to {most}")


def as_sizes(value: T | Mapping[str, Any], kind: type[T]) -> T:
    """Sizes given as `kind`, or as the plain values that hyper-parameters and JSON hold.

    Raises: TypeError, a name is not a field; ValueError, a value is out of its bounds.
    """
    if isinstance(value, kind):
        return value
    return kind(**{name: tuple(part) if isinstance(part, list) else part for name, part in value.items()})  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]


def check_counts(sizes: Any) -> None:
    """Raises: ValueError, a tuple has another number of widths than its network has levels."""
    for each in fields(sizes):
        value = getattr(sizes, each.name)
        if isinstance(each.default, tuple) and len(value) != len(each.default):
            raise ValueError(
                f"{each.name} is {value!r}: {len(value)} widths, expected {len(each.default)}, as in {each.default}"
            )


def check_option(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raises: ValueError, `value` is none of `known`."""
    if value not in known:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(known)}")
