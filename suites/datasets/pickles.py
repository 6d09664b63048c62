"""Read a pickle that holds plain data and NumPy arrays, without running anything that it names.

Unpickling an untrusted file runs whatever the file asks for. Here the pickle is only a language: the standard library
splits it into instructions (`pickletools.genops`, which runs none), and the small machine below carries out those that
build lists, dicts, numbers, strings and arrays. It has no way to import or to call anything; the four names that occur
in an array's pickle are plain words to it.
"""

import math
import pickletools
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

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
        return _Machine().run(content)
    except _RefusedError as error:
        reason = str(error)
    # what `genops` and a stack that the instructions do not fit can raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        reason = f"truncated or damaged ({' '.join(str(error).split())[:200]})"
    raise DatasetError(
        f"{path} ({size:,} bytes) is no pickle of plain data and NumPy arrays: {reason}. Nothing in it was run. " + _NEXT_STEP
    )


class _RefusedError(Exception):
    """The pickle asks for something that plain data and arrays do not need."""


class _Name(Enum):
    """The names that an array's pickle contains. To the machine they are words."""

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
        raw = raw.encode("latin1") if isinstance(raw, str) else raw  # a str where Python 2 wrote it
        if not isinstance(raw, bytes) or len(raw) != math.prod(shape) * kind.dtype.itemsize:
            found = f"{len(raw):,} bytes" if isinstance(raw, bytes) else type(raw).__name__
            raise _RefusedError(f"an array of shape {shape} and type {kind.dtype} comes with {found}")
        self.array = np.frombuffer(raw, kind.dtype).reshape(shape, order="F" if column_major else "C")


class _Machine:
    """Stack, marks and memory of the pickle language, for the instructions that build plain data."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}
        self.encoded = 0

    def run(self, content: bytes) -> Any:
        """Carry out a pickle's instructions; returns what it holds."""
        for opcode, argument, position in pickletools.genops(content):
            name = opcode.name
            if name in _PUSHING:
                self.stack.append(argument)
            elif name in _STORING:
                self.memory[argument] = self.stack[-1]
            elif name in _FETCHING:
                self.stack.append(self.memory[argument])
            elif name in _OTHERS:
                _OTHERS[name](self, argument)
            elif name not in _SKIPPED:
                raise _RefusedError(f"the instruction {name} at byte {position} is not allowed")
        return _finished(self.stack.pop())

    def since_mark(self) -> list[Any]:
        """Take what lies above the last mark."""
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def last(self, count: int) -> list[Any]:
        """Take the last `count` values."""
        if len(self.stack) < count:
            raise IndexError("an instruction lacks its values")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def extend(self, values: list[Any]) -> None:
        """Append values to the list on top."""
        if not isinstance(self.stack[-1], list):
            raise _RefusedError(f"it appends to a {type(self.stack[-1]).__name__}")
        self.stack[-1].extend(values)

    def update(self, values: list[Any]) -> None:
        """Set keys and values, in turns, of the dict on top."""
        if not isinstance(self.stack[-1], dict):
            raise _RefusedError(f"it sets entries of a {type(self.stack[-1]).__name__}")
        keys = [key.decode("latin1") if isinstance(key, bytes) else key for key in values[::2]]
        if not all(isinstance(key, (str, int)) for key in keys):
            raise _RefusedError("a key is neither a string nor a number")
        self.stack[-1].update(zip(keys, map(_finished, values[1::2]), strict=True))

    def name(self, module: Any, name: Any) -> None:
        """Push one of the names that arrays need."""
        if not (isinstance(module, str) and isinstance(name, str)) or (module, name) not in _NAMES:
            asked = f"{module}.{name}"[:100] if isinstance(module, str) and isinstance(name, str) else "no name"
            raise _RefusedError(f"it asks for {asked}, which no array needs")
        self.stack.append(_NAMES[module, name])

    def reduce(self) -> None:
        """What would be a call: begin an array, name a type, or turn text into bytes."""
        called, arguments = self.last(2)
        if not isinstance(called, _Name) or not isinstance(arguments, tuple) or not arguments:
            raise _RefusedError("it calls something that no array needs")
        if called is _Name.RECONSTRUCT:
            self.stack.append(_Array())
        elif called is _Name.TYPE:
            self.stack.append(_Type(arguments[0]))
        elif called is _Name.ENCODE and isinstance(arguments[0], str) and arguments[1:] in ((), ("latin1",)):
            self.encoded += len(arguments[0])
            if self.encoded > LARGEST_FILE:
                raise _RefusedError(f"it unpacks to more than {LARGEST_FILE:,} bytes")
            self.stack.append(arguments[0].encode("latin1"))
        else:
            raise _RefusedError(f"it calls {called.value} as no array needs it")

    def build(self) -> None:
        """Give an array or a type its state."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (_Array, _Type)):
            raise _RefusedError(f"it alters a {type(self.stack[-1]).__name__}")
        self.stack[-1].build(state)


def _finished(value: Any) -> Any:
    """`value`, or the array that it describes."""
    if isinstance(value, _Array):
        if value.array is None:
            raise _RefusedError("an array comes without its bytes")
        return value.array
    if isinstance(value, (_Type, _Name)):
        raise _RefusedError("a type or a name stands where data is expected")
    return value


def _dict_of(values: list[Any], machine: _Machine) -> None:
    machine.stack.append({})
    machine.update(values)


_SKIPPED = frozenset(("PROTO", "FRAME", "STOP"))
_PUSHING = frozenset(
    (
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
    )
)
_STORING = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_FETCHING = frozenset(("GET", "BINGET", "LONG_BINGET"))
_OTHERS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "LIST": lambda m, _: m.stack.append(m.since_mark()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.since_mark())),
    "DICT": lambda m, _: _dict_of(m.since_mark(), m),
    "TUPLE1": lambda m, _: m.stack.append(tuple(m.last(1))),
    "TUPLE2": lambda m, _: m.stack.append(tuple(m.last(2))),
    "TUPLE3": lambda m, _: m.stack.append(tuple(m.last(3))),
    "APPEND": lambda m, _: m.extend(m.last(1)),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "SETITEM": lambda m, _: m.update(m.last(2)),
    "SETITEMS": lambda m, _: m.update(m.since_mark()),
    "MEMOIZE": lambda m, _: m.memory.update({len(m.memory): m.stack[-1]}),
    "GLOBAL": lambda m, argument: m.name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(*m.last(2)),
    "REDUCE": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
}
