"""NumPy files (.npy) of arrays of numeric arrays, which are pickles, read without unpickling.

`pickletools.genops` parses the pickle's opcodes and runs nothing. This module follows them as far
as numeric arrays need: it imports, looks up and calls nothing. A name is only compared with the
five names that NumPy writes; others are refused.
"""

import pickletools
import struct
import tokenize
from collections.abc import Callable
from io import BufferedIOBase, BytesIO
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnray.errors import UserError

_HEADS = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NAMES = {
    *((module, "_reconstruct") for module in _MODULES),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
_NUMBERS = {"i1", "i2", "i4", "i8", "u1", "u2", "f4", "f8"}
_OBJECTS = "O8"
_MARK = object()
# Errors of NumPy's header parser, of pickletools and of the stack on damaged bytes.
_DAMAGE = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError, OverflowError),
    *(SyntaxError, RecursionError, struct.error, tokenize.TokenError),
)


class _Name(NamedTuple):
    module: str
    name: str


class _Type:
    """An unfinished NumPy dtype: its code, and its byte order."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "|"


class _Array:
    """An unfinished NumPy array."""

    def __init__(self) -> None:
        self.content: npt.NDArray[Any] | list[Any] | None = None


def read(stream: BufferedIOBase) -> list[npt.NDArray[Any]]:
    """Return the numeric arrays of a .npy file of dtype object.

    Raises:
        UserError: it is another kind of file, or has anything else in it; the message names no
            file.
    """
    content = BytesIO(stream.read())
    try:
        version = np.lib.format.read_magic(content)
        shape, _, dtype = _HEADS[version[0]](content)
        if dtype != np.dtype("O"):
            raise UserError(f"an array of {dtype}, not of arrays")
        arrays = _arrays(content)
    except _DAMAGE as error:
        raise UserError(f"a damaged NumPy file ({type(error).__name__}: {error})") from error
    if len(arrays) != prod(shape) or not all(isinstance(each, _Array) for each in arrays):
        raise UserError("an array of something other than arrays of numbers")
    numbers = [each.content for each in arrays]
    if not all(isinstance(each, np.ndarray) for each in numbers):
        raise UserError("nested arrays that are not of numbers")
    return numbers


def _arrays(content: BytesIO) -> list[Any]:
    """Return the elements of the pickle's one array."""
    stack = _Stack()
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name == "STOP":
            break
        if opcode.name not in ("PROTO", "FRAME"):
            stack.follow(opcode.name, argument)
    (outer,) = stack.values
    if not isinstance(outer, _Array) or not isinstance(outer.content, list):
        raise UserError("a pickle of something other than an array of arrays")
    return outer.content


class _Stack:
    """The stack and the memo of an unpickler, as far as arrays need them."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._memo: dict[int, Any] = {}

    def follow(self, opcode: str, argument: Any) -> None:
        """Follow an opcode; raise `UserError` for one that no array of numbers needs."""
        values = self.values
        if opcode in _VALUES:
            values.append(_VALUES[opcode](argument))
        elif opcode in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = values[-1]
        elif opcode == "MEMOIZE":
            self._memo[len(self._memo)] = values[-1]
        elif opcode in ("GET", "BINGET", "LONG_BINGET"):
            values.append(self._memo[argument])
        elif opcode in ("TUPLE", "LIST"):
            values.append((tuple if opcode == "TUPLE" else list)(self._above_mark()))
        elif opcode in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(opcode[-1])
            values[-count:] = [tuple(values[-count:])]
        elif opcode in ("APPEND", "APPENDS"):
            elements = [values.pop()] if opcode == "APPEND" else self._above_mark()
            _list(values[-1]).extend(elements)
        elif opcode in ("STACK_GLOBAL", "REDUCE"):
            make = _named if opcode == "STACK_GLOBAL" else _made
            values[-2:] = [make(values[-2], values[-1])]
        elif opcode == "BUILD":
            state = values.pop()
            _fill(values[-1], state)
        else:
            raise UserError(f"a pickle with the opcode {opcode}, which no array of numbers needs")

    def _above_mark(self) -> list[Any]:
        at = len(self.values) - 1
        while self.values[at] is not _MARK:
            at -= 1
        taken = self.values[at + 1 :]
        del self.values[at:]
        return taken


def _same(value: Any) -> Any:
    return value


_VALUES: dict[str, Callable[[Any], Any]] = {
    "NONE": lambda _: None,
    "MARK": lambda _: _MARK,
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_LIST": lambda _: [],
    "GLOBAL": lambda argument: _named(*argument.split(" ")),
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"), _same),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "UNICODE"), _same),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _same),
    # Python 2's strings are bytes, which pickletools shows as Latin-1.
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _same),
}


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("elements without a list")
    return value


def _named(module: Any, name: Any) -> _Name:
    if (module, name) not in _NAMES:
        raise UserError(f"a pickle that names {module}.{name}; only arrays of numbers are read")
    return _Name(module, name)


def _made(name: Any, arguments: tuple[Any, ...]) -> Any:
    """Return the object that NumPy would make by this call."""
    if name == ("_codecs", "encode"):  # the form of bytes in protocol 2
        text, encoding = arguments
        if encoding != "latin1":
            raise ValueError(f"bytes encoded as {encoding!r}")
        return text.encode("latin1")
    if name == ("numpy", "dtype"):
        code = arguments[0]
        if code not in _NUMBERS and code != _OBJECTS:
            raise UserError(f"arrays of the type {code!r}; only arrays of numbers are read")
        return _Type(code)
    if name[1] == "_reconstruct" and arguments[0] == ("numpy", "ndarray"):
        return _Array()
    raise TypeError(f"a call of {name}")


def _fill(value: Any, state: tuple[Any, ...]) -> None:
    """Complete a dtype with its byte order, or an array with its shape, type and content."""
    if isinstance(value, _Type):
        value.order = state[1] if state[1] in ("<", ">") else "|"
        return
    if not isinstance(value, _Array):
        raise TypeError("a state without an array")
    _, shape, dtype, fortran, content = state
    if dtype.code == _OBJECTS:
        value.content = _list(content)
        return
    data = content.encode("latin1") if isinstance(content, str) else content
    numbers = np.frombuffer(data, dtype.order + dtype.code)
    value.content = numbers.reshape(shape[::-1]).T if fortran else numbers.reshape(shape)
