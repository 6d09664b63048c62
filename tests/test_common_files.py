"""Files that are replaced as a whole by several at once, and checkpoints whose header someone else wrote."""

import json
import multiprocessing

import numpy as np
import pytest
from safetensors.numpy import save_file

from backends.common.files import replacing
from backends.common.training import checkpoints
from backends.common.training.checkpoints import Checkpoint

CHECKPOINT = Checkpoint({"weight": np.arange(6.0).reshape(2, 3)}, {"epoch": 1}, {"method": "kd"}, {"threads": "1"})


def test_what_lies_where_another_wrote_is_neither_followed_nor_touched(tmp_path):
    (tmp_path / "victim").write_text("untouched")
    names = []
    for _ in range(2):
        with replacing(tmp_path / "file") as first, replacing(tmp_path / "file") as second:
            names += [first.name, second.name]
            first.write_text("first")
            second.write_text("second")
        assert (tmp_path / "file").read_text() == "first"  # which was put in place last
    assert len(set(names)) == 4  # a link that lies in wait would have to know the name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "victim"]


def write_often(path):
    for _ in range(40):
        checkpoints.write(path, CHECKPOINT)


def test_several_write_the_same_checkpoint_and_none_breaks_off(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(tmp_path / "c.safetensors",)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert checkpoints.read(tmp_path / "c.safetensors").state == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


def header(**changed):
    digest = checkpoints.digest(CHECKPOINT.arrays)
    fields = {"format": checkpoints.FORMAT, "digest": digest, "types": {"weight": ["float64", [2, 3]]}}
    return json.dumps({**fields, "state": {}, "settings": {}, "surroundings": {}, **changed})


ODD = {
    "nested deep": "[" * 100_000,
    "a type of nobody": header(types={"weight": ["float7", [2, 3]]}),
    "a type that is a module": header(types={"weight": ["finfo", [2, 3]]}),
    "a type that is a number": header(types={"weight": [1, [2, 3]]}),
    "a shape that is text": header(types={"weight": ["float64", "2"]}),
    "a shape beyond all": header(types={"weight": ["float64", [2**70]]}),
    "types that are a list": header(types=[1]),
    "a type without its shape": header(types={"weight": ["float64"]}),
    "no types of this array": header(types={}),
    "state that is a list": header(state=[]),
    "settings that are text": header(settings="kd"),
    "surroundings that are a number": header(surroundings=1),
    "no digest": header(digest=None),
    "a number": "5",
    "no JSON": "{",
}


@pytest.mark.parametrize("kind", ODD)
def test_a_checkpoint_with_an_odd_header_is_an_error_that_names_the_file(tmp_path, kind):
    path = tmp_path / "c.safetensors"
    save_file(dict(CHECKPOINT.arrays), path, {"training": ODD[kind]})
    with pytest.raises(ValueError, match="c.safetensors.*cannot be read.*Delete the file"):
        checkpoints.read(path)
    assert path.is_file()


def test_a_header_of_this_version_is_read(tmp_path):
    save_file(dict(CHECKPOINT.arrays), tmp_path / "c", {"training": header()})
    np.testing.assert_array_equal(checkpoints.read(tmp_path / "c").arrays["weight"], CHECKPOINT.arrays["weight"])
