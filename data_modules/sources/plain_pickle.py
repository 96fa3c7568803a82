"""Pickles of plain data that are not trusted.

A pickle is a program for a small machine. It is read twice. First as text: every operation must be one that plain data
need, and their number is limited, which bounds the memory. Then it runs on a machine that knows four functions, all of
them in this file: they make arrays and numbers out of bytes that they count first. NumPy's own functions are not
called, because they trust the state that they are given: a forged dtype makes them read memory that they do not own.
"""

from __future__ import annotations

import math
import pickle
import pickletools
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import IO, Any

import numpy as np

MAX_OPERATIONS = 1_000_000
"""A pickled array takes about 30 operations."""

OPERATIONS = frozenset(
    """
    PROTO FRAME STOP MARK POP POP_MARK
    NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT
    SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS
    BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET
    GLOBAL STACK_GLOBAL REDUCE BUILD
    """.split()  # noqa: SIM905
)
PLAIN_DTYPE = re.compile(r"[<>|=]?(?:[biufc][0-9]{1,2}|\?|[SU][0-9]{1,4}|O8?)")
MAX_DIMENSIONS = 8


class RefusedError(Exception):
    """The data request something that is not admitted; the message says what."""


def load_plain(stream: IO[bytes]) -> Any:
    """The object that the pickle at the stream's position describes.

    Args: stream: seekable. It must end with the pickle.
    Raises: RefusedError naming what it requests that plain data do not need; any Exception where it is malformed.
    """
    start = stream.tell()
    _check_operations(stream)
    if stream.read(1):
        raise RefusedError("data follow the end of its pickle")
    stream.seek(start)
    return _PlainUnpickler(stream).load()


def _check_operations(stream: IO[bytes]) -> None:
    for count, (operation, argument, _) in enumerate(pickletools.genops(stream), start=1):
        if operation.name not in OPERATIONS:
            raise RefusedError(f"its pickle uses {operation.name}, which plain data do not need")
        # The machine allocates a slot for every number up to the highest under which a value is remembered.
        remembered = isinstance(argument, int) and operation.name.endswith("PUT") and argument > MAX_OPERATIONS
        if count > MAX_OPERATIONS or remembered:
            raise RefusedError(f"its pickle has more than {MAX_OPERATIONS} operations")


def checked_dtype(text: object) -> np.dtype:
    """The dtype of numbers, strings or objects that `text` names.  Raises: RefusedError for any other."""
    if not (isinstance(text, str) and PLAIN_DTYPE.fullmatch(text)):
        raise RefusedError(f"it holds an array of type {_brief(text)}")
    return np.dtype(text)


def checked_shape(shape: object) -> tuple[int, ...]:
    """`shape`, if it is an array's shape.  Raises: RefusedError otherwise."""
    if not (
        isinstance(shape, tuple) and len(shape) <= MAX_DIMENSIONS and all(type(n) is int and n >= 0 for n in shape)
    ):
        raise RefusedError("it holds an array of an impossible shape")
    return shape


def _brief(value: object) -> str:
    # Not all of it: the text of an object that contains itself has no end.
    return repr(value[:80]) if isinstance(value, str) else type(value).__name__


class _DType:
    """Stands for a dtype while a pickle is read."""

    __slots__ = ("dtype",)

    def __init__(self, text: object = None, *_: object) -> None:
        self.dtype = checked_dtype(text)

    def __setstate__(self, state: object) -> None:
        # (version, byte order, subdtype, names, fields, size, alignment, flags); metadata would follow.
        if not (isinstance(state, tuple) and len(state) == 8 and all(entry is None for entry in state[2:5])):
            raise RefusedError("it holds an array with fields")
        # With foreign byte order NumPy copies the data, so that one string could become many arrays.
        if state[1] not in ("<", "|", "="):
            raise RefusedError(f"it holds an array of byte order {_brief(state[1])}")


class _Array(np.ndarray):
    """An array that counts the bytes before it accepts a state."""

    def __setstate__(self, state: Any, /) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], _DType)):
            raise RefusedError("it holds an array with a state of another form")
        shape, dtype, data = checked_shape(state[1]), state[2].dtype, state[4]
        if dtype.hasobject:
            fits = type(data) is list and len(data) == math.prod(shape)
        else:
            fits = type(data) is bytes and len(data) == math.prod(shape) * dtype.itemsize
        if not fits:
            raise RefusedError(f"it holds an array {shape} {dtype} whose data do not have that size")
        # The stub asks for numpy.bool, which NumPy refuses.
        super().__setstate__((1, shape, dtype, state[3] is True, data))  # pyright: ignore[reportArgumentType]


_NDARRAY = object()


def _reconstruct(kind: object = None, *_: object) -> np.ndarray:
    # An empty array whose state follows; the shape and type that the pickle names here are placeholders.
    if kind is not _NDARRAY:
        raise RefusedError(f"it makes an array out of {_brief(kind)}")
    return _Array(0, dtype=np.int8)


def _scalar(dtype: object = None, data: object = None) -> Any:
    if not (isinstance(dtype, _DType) and not dtype.dtype.hasobject and type(data) is bytes):
        raise RefusedError("it makes a number out of something else than bytes")
    if len(data) != dtype.dtype.itemsize:
        raise RefusedError(f"it makes a {dtype.dtype} out of {len(data)} bytes")
    return np.frombuffer(data, dtype=dtype.dtype)[0]


def _encode(text: object = None, encoding: object = None) -> bytes:
    # Pickle protocols before 3 write bytes like this.
    if not (isinstance(text, str) and encoding == "latin1"):
        raise RefusedError("it encodes text other than as latin1")
    return text.encode("latin1")


class _Sealed:
    """A function that a pickle can call but not change: BUILD could set attributes of a plain function."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: object) -> Any:
        return self._function(*args)

    def __setstate__(self, state: object) -> None:
        raise RefusedError("its pickle tries to change a function")


ADMITTED: Mapping[tuple[str, str], object] = MappingProxyType(
    {
        ("numpy", "ndarray"): _NDARRAY,
        ("numpy", "dtype"): _Sealed(_DType),
        ("_codecs", "encode"): _Sealed(_encode),
        # NumPy 1 and 2 write different module names.
        ("numpy.core.multiarray", "_reconstruct"): _Sealed(_reconstruct),
        ("numpy._core.multiarray", "_reconstruct"): _Sealed(_reconstruct),
        ("numpy.core.multiarray", "scalar"): _Sealed(_scalar),
        ("numpy._core.multiarray", "scalar"): _Sealed(_scalar),
    }
)


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        """What replaces a pickle's global.  Raises: RefusedError naming a global that is not in `ADMITTED`."""
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise RefusedError(f"its pickle asks for {_brief(f'{module}.{name}')}, which is not plain data") from None
