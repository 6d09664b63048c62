"""Pickles are read as data: what arrays need is built, everything else is refused and nothing is run."""

import os
import pickle
import pickletools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suites.datasets import pickles
from suites.datasets.dataset import DatasetError, DatasetMissing
from suites.datasets.pickles import read_pickle

ARRAY = np.arange(24, dtype=np.uint8).reshape(4, 6)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def _read(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    return read_pickle(path)


def python2_pickle(entries):
    """Protocol 2 as Python 2 writes it: byte strings, and arrays under NumPy 1's names. `entries`: str → str | list | array."""
    out = bytearray(b"\x80\x02}(")
    for key, value in entries.items():
        out += _python2_string(key.encode())
        if isinstance(value, np.ndarray):
            shape = b"".join(b"J" + struct.pack("<i", n) for n in value.shape)
            out += b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01(" + shape + b"t"
            out += b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            out += _python2_string(value.tobytes()) + b"tb"
        elif isinstance(value, list):
            out += (
                b"]("
                + b"".join(_python2_string(v.encode()) if isinstance(v, str) else b"J" + struct.pack("<i", v) for v in value)
                + b"e"
            )
        else:
            out += _python2_string(value.encode())
    return bytes(out + b"u.")


def _python2_string(value):
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value


def test_a_python2_pickle_reads_as_its_data(tmp_path):
    content = python2_pickle({"data": ARRAY, "labels": [3, 70_000], "names": ["a", "b"], "title": "batch 1"})
    assert pickle.loads(content, encoding="bytes")[b"labels"] == [3, 70_000]  # the writer of this test is right
    found = _read(tmp_path, content)
    assert np.array_equal(found.pop("data"), ARRAY)
    assert found == {"labels": [3, 70_000], "names": ["a", "b"], "title": "batch 1"}


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("array", [ARRAY, np.asfortranarray(ARRAY), np.arange(5), np.ones((2, 3), np.int32)])
def test_arrays_of_every_protocol_that_numpy_writes_so(tmp_path, protocol, array):
    found = _read(tmp_path, pickle.dumps({"data": array, b"raw": b"\xff"}, protocol=protocol))
    assert found["data"].dtype == array.dtype and np.array_equal(found["data"], array)


@settings(max_examples=60, deadline=None)
@given(value=PLAIN, protocol=st.integers(0, 5))
def test_plain_data_reads_as_pickle_reads_it(tmp_path_factory, value, protocol):
    assert _read(tmp_path_factory.mktemp("plain"), pickle.dumps(value, protocol=protocol)) == value


class _Evil:
    def __init__(self, called, *arguments):
        self.called, self.arguments = called, arguments

    def __reduce__(self):
        return self.called, self.arguments


def _malicious(mark):
    """Pickles that would make the file `mark`, or take the process down."""
    command = f"touch {mark}"
    doubled = b"".join(b"0h\x00h\x00\x86q\x00" for _ in range(200))
    return {
        "os.system": pickle.dumps(_Evil(os.system, command)),
        "in the data": pickle.dumps({"data": ARRAY, "fine_labels": [_Evil(os.system, command)]}, protocol=2),
        "protocol 0": pickle.dumps(_Evil(os.system, command), protocol=0),
        "eval": pickle.dumps(_Evil(eval, f"open({str(mark)!r}, 'w')")),
        "open": pickle.dumps(_Evil(open, str(mark), "w")),
        "numpy.memmap": b"\x80\x02cnumpy\nmemmap\nX" + struct.pack("<i", len(str(mark))) + str(mark).encode() + b"\x85R.",
        "numpy.load": b"\x80\x02cnumpy\nload\n(X\x01\x00\x00\x00xtR.",
        "INST": f"(S'{command}'\nios\nsystem\n.".encode(),
        "OBJ": f"(cos\nsystem\nS'{command}'\no.".encode(),
        "NEWOBJ": b"\x80\x02cbuiltins\nobject\n)\x81.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent": b"Pevil\n.",
        "attribute of a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile_\x93.",
        "state of a constructor": b"\x80\x02cnumpy\ndtype\n}U\x08__call__K\x01sb.",
        "call of ndarray": b"\x80\x02cnumpy\nndarray\n(J\xff\xff\xff\x7ftR.",
        "object array": pickle.dumps(np.array([1, "a"], dtype=object), protocol=2),
        "another encoding": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00xX\x05\x00\x00\x00rot13\x86R.",
        "a key that takes for ever to hash": b"\x80\x02}(K\x01q\x00" + doubled + b"K\x02u.",
        "a place in memory far away": b"\x80\x02Nr\xff\xff\xff\xff0cos\nsystem\n.",
        "array without bytes": b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87Rs.",
        "array of too few bytes": python2_pickle({"data": ARRAY}).replace(b"J\x06\0\0\0", b"J\xff\xff\xff\x7f"),
    }


@pytest.mark.parametrize("kind", _malicious("x"))
def test_malicious_pickles_are_refused_and_nothing_is_run(tmp_path, kind):
    mark = tmp_path / "ran"
    with pytest.raises(DatasetError, match="Nothing in it was run"):
        _read(tmp_path, _malicious(mark)[kind])
    assert not mark.exists()


def test_the_malicious_pickles_of_this_test_would_run(tmp_path):
    mark = tmp_path / "ran"
    pickle.loads(_malicious(mark)["open"]).close()
    assert mark.exists()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_pickle_is_an_error_or_data_but_never_anything_else(tmp_path_factory, data):
    content = bytearray(
        data.draw(
            st.sampled_from(
                [python2_pickle({"data": ARRAY, "labels": [1, 2]}), pickle.dumps({"data": ARRAY, "l": [1.5, (2,)]}, protocol=4)]
            )
        )
    )
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    try:
        _read(tmp_path_factory.mktemp("damaged"), bytes(content))
    except DatasetError as error:
        assert "Nothing in it was run" in str(error)


def test_every_cut_is_noticed(tmp_path):
    content = python2_pickle({"data": ARRAY, "labels": [1, 2]})
    assert sum(1 for _ in pickletools.genops(content)) > 20
    for end in range(len(content)):
        with pytest.raises(DatasetError, match="truncated or damaged|no pickle"):
            _read(tmp_path, content[:end])


def test_errors_name_the_file_and_the_next_step(tmp_path):
    with pytest.raises(DatasetMissing, match="nowhere is not there.*nox -s data"):
        read_pickle(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no pickle of plain data.*Delete it and get the data set again"):
        _read(tmp_path, b"<html>404</html>")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_pickle(tmp_path)


def test_a_huge_file_is_not_even_read(tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DatasetError, match="1,099,511,627,776 bytes; at most"):
        read_pickle(path)


def test_bytes_that_one_string_is_turned_into_again_and_again_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "LARGEST_FILE", 10_000)
    head, array = b"\x80\x02]", python2_pickle({"data": np.zeros((40, 60), np.uint8)})
    state = array[array.index(b"cnumpy") : -2]
    begin, text = state[: state.rindex(b"\x89") + 1], state[state.rindex(b"\x89") + 1 : -2]
    first = begin + text + b"q\x01tba"
    again = begin + b"h\x01tba"
    assert len(_read(tmp_path, head + first + again * 2 + b".")) == 3
    with pytest.raises(DatasetError, match="it unpacks to more than 10,000 bytes"):
        _read(tmp_path, head + first + again * 4 + b".")
    with pytest.raises(DatasetError, match="it unpacks to more than 10,000 bytes"):
        encoded = b"c_codecs\nencode\nh\x01X\x06\x00\x00\x00latin1\x86Ra"
        _read(tmp_path, head + b"X\xe8\x03\x00\x00" + b"x" * 1000 + b"q\x01a" + encoded * 11 + b".")
