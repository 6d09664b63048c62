"""Read a pickle that holds plain data and NumPy arrays, without running anything that it names.

Unpickling an untrusted file runs whatever the file asks for. Here the standard library's unpickler knows the instructions
of plain data alone, and the four names that occur in an array's pickle are words to it. It is the unpickler written in
Python: the one in C lets nobody choose its instructions.
"""

import io
import math
import pickle
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from suites.datasets.dataset import DatasetError, DatasetMissing

# larger than any file read here; CIFAR-100's training file has 155 MB, 224 MB where Python 3 wrote it by protocol 2
LARGEST_FILE = 512 * 2**20
# types of arrays that are read, as pickles name them
ARRAY_TYPES = {"u1": np.uint8, "i4": np.int32, "i8": np.int64}
_NEXT_STEP = "Delete it and get the data set again (`nox -s data -- list` says how)"


def read_pickle(path: Path) -> Any:
    """Contents of a pickle file: dicts, lists, tuples, numbers, strings and arrays (read-only).

    Strings that Python 2 wrote become `str`, byte by byte (latin-1).

    Raises:
        DatasetMissing: there is no such file.
        DatasetError: it cannot be read, is truncated or too large, or holds anything else; nothing of it was run.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise DatasetError(f"{path} has {size:,} bytes; at most {LARGEST_FILE:,} are expected. {_NEXT_STEP}")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DatasetMissing(f"{path} is not there. `nox -s data -- list` says how to get it") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}. Check its owner and rights") from error
    try:
        return _Reader(content).load()
    except _RefusedError as error:
        reason = str(error)
    except Exception as error:  # an unpickler may raise anything where a file's instructions do not fit each other
        reason = f"truncated or damaged ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    raise DatasetError(
        f"{path} ({size:,} bytes) is no pickle of plain data and NumPy arrays: {reason}. Nothing in it was run. {_NEXT_STEP}"
    )


class _RefusedError(Exception):
    """The pickle asks for something that plain data and arrays do not need."""


class _Name(Enum):
    """The names that an array's pickle contains. Here they are words, and nothing that can be called."""

    RECONSTRUCT = "numpy array constructor"
    ARRAY = "numpy.ndarray"
    TYPE = "numpy.dtype"
    ENCODE = "_codecs.encode"


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,  # NumPy 1
    ("numpy._core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,  # NumPy 2
    ("numpy", "ndarray"): _Name.ARRAY,
    ("numpy", "dtype"): _Name.TYPE,
    ("_codecs", "encode"): _Name.ENCODE,  # how Python 3 writes bytes by protocol 2
}


class _Type:
    """A `numpy.dtype` that the pickle describes."""

    def __init__(self, name: Any) -> None:
        if not isinstance(name, str) or name not in ARRAY_TYPES:
            raise _RefusedError(f"it holds an array of another type than {', '.join(ARRAY_TYPES)}")
        self.dtype = np.dtype(ARRAY_TYPES[name])

    def build(self, state: Any) -> None:
        """Take the state, (version, byte order, …)."""
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in ("|", "<", "=")):
            raise _RefusedError("an array's byte order is not little-endian")


class _Array:
    """A `numpy.ndarray` that the pickle describes."""

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """Take the state, (version, shape, type, column-major, bytes)."""
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], _Type)):
            raise _RefusedError("an array is not described by (version, shape, type, order, bytes)")
        _, shape, kind, column_major, raw = state
        if not (isinstance(shape, tuple) and len(shape) <= 4 and all(type(n) is int and n >= 0 for n in shape)):
            raise _RefusedError("an array's shape is not up to four sizes")
        if not isinstance(raw, bytes) or len(raw) != math.prod(shape) * kind.dtype.itemsize:
            content = f"{len(raw):,} bytes" if isinstance(raw, bytes) else type(raw).__name__
            raise _RefusedError(f"an array of shape {shape} and type {kind.dtype} comes with {content}")
        self.array = np.frombuffer(raw, kind.dtype).reshape(shape, order="F" if column_major else "C")


# the instructions that plain data and arrays are made of
_INSTRUCTIONS = [
    getattr(pickle, name)
    for name in (
        *("PROTO", "FRAME", "STOP", "MARK", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
        *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    )
]


class _Reader(pickle._Unpickler):
    """The standard library's unpickler for the instructions of plain data, with limits on what they make."""

    dispatch: ClassVar = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in _INSTRUCTIONS}

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.encoded = 0

    def load(self) -> Any:
        """What the pickle holds."""
        return _finished(super().load())

    def find_class(self, module: str, name: str) -> Any:
        """One of the names that arrays need."""
        if (module, name) not in _NAMES:
            raise _RefusedError(f"it asks for {f'{module}.{name}'[:100]}, which no array needs")
        return _NAMES[module, name]

    def encode(self, text: Any) -> bytes:
        """Text that stands for bytes; one string may be named again and again, so what it makes is counted."""
        if not isinstance(text, str):
            raise _RefusedError("it encodes something that is no text")
        self.encoded += len(text)
        if self.encoded > LARGEST_FILE:
            raise _RefusedError(f"it unpacks to more than {LARGEST_FILE:,} bytes")
        return text.encode("latin1")

    def reduce(self) -> None:
        """What would be a call: begin an array, name a type, or turn text into bytes."""
        called, arguments = self.stack[-2:]
        if not isinstance(called, _Name) or not isinstance(arguments, tuple) or not arguments:
            raise _RefusedError("it calls something that no array needs")
        del self.stack[-1]
        if called is _Name.RECONSTRUCT:
            self.stack[-1] = _Array()
        elif called is _Name.TYPE:
            self.stack[-1] = _Type(arguments[0])
        elif called is _Name.ENCODE and arguments[1:] in ((), ("latin1",)):
            self.stack[-1] = self.encode(arguments[0])
        else:
            raise _RefusedError(f"it calls {called.value} as no array needs it")

    def build(self) -> None:
        """Give an array or a type its state; an array's bytes are a `str` where Python 2 wrote them."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (_Array, _Type)):
            raise _RefusedError(f"it alters a {type(self.stack[-1]).__name__}")
        if isinstance(self.stack[-1], _Array) and isinstance(state, tuple) and isinstance(state[-1], str):
            state = (*state[:-1], self.encode(state[-1]))
        self.stack[-1].build(state)

    def set_items(self, values: list[Any]) -> None:
        """Set keys and values, in turns, of the dict on top. Other keys may take for ever to hash."""
        if not isinstance(self.stack[-1], dict):
            raise _RefusedError(f"it sets entries of a {type(self.stack[-1]).__name__}")
        keys = [key.decode("latin1") if isinstance(key, bytes) else key for key in values[::2]]
        if not all(isinstance(key, (str, int)) for key in keys):
            raise _RefusedError("a key is neither a string nor a number")
        self.stack[-1].update(zip(keys, map(_finished, values[1::2]), strict=True))

    def set_item(self) -> None:
        """One key and its value."""
        values = self.stack[-2:]
        del self.stack[-2:]
        self.set_items(values)

    def dictionary(self) -> None:
        """A dict of all that lies above the last mark."""
        values = self.pop_mark()
        self.stack.append({})
        self.set_items(values)

    dispatch |= {
        pickle.REDUCE[0]: reduce,
        pickle.BUILD[0]: build,
        pickle.SETITEM[0]: set_item,
        pickle.SETITEMS[0]: lambda self: self.set_items(self.pop_mark()),
        pickle.DICT[0]: dictionary,
    }


def _finished(value: Any) -> Any:
    """`value`, or the array that it describes."""
    if isinstance(value, _Array):
        if value.array is None:
            raise _RefusedError("an array comes without its bytes")
        return value.array
    if isinstance(value, (_Type, _Name)):
        raise _RefusedError("a type or a name stands where data is expected")
    return value
