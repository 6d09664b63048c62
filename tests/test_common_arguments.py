"""What a user may pass to a loss, checked without a framework: each refusal names the argument, its value and the next step."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from backends.common import arguments, methods

LOGITS = (2, 5, 3)


@pytest.mark.parametrize("value", [10**400, -(10**5000)], ids=["400", "5000"])
def test_numbers_too_large_for_a_float_are_named(value):
    with pytest.raises(ValueError, match=r"alpha is too large for a float.*1.8e\+308"):
        arguments.check_number("alpha", value)


@pytest.mark.parametrize("temperature", [1e200, 1e-200])
def test_a_temperature_whose_square_is_no_float_is_named(temperature):
    assert arguments.check_temperature(temperature) == temperature
    with pytest.raises(ValueError, match=r"temperature=1e[+-]200.*between 1.5e-154 and 1.3e\+154"):
        arguments.check_squared_temperature(temperature)
    limits = np.finfo(np.float32)
    assert arguments.check_squared_temperature(1e10, float(limits.tiny), float(limits.max)) == 1e10
    with pytest.raises(ValueError, match="temperature=1e"):
        arguments.check_squared_temperature(1e20, float(limits.tiny), float(limits.max))


def test_a_method_names_the_temperature_whose_square_it_cannot_have():
    with pytest.raises(ValueError, match=r"temperature=1e\+200.*square"):
        methods.resolve("kd", temperature=1e200)


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_weights_are_finite_and_not_negative(wrong):
    arguments.check_weights("float32", np.array([0.0, 2.5]))
    arguments.check_weights("bool", None)
    with pytest.raises(ValueError, match=f"weights holds {wrong}; each weight must be finite and at least 0"):
        arguments.check_weights("float32", np.array([[1.0, wrong]]))
    with pytest.raises(TypeError, match="weights has type complex64"):
        arguments.check_weights("complex64", None)


@pytest.mark.parametrize("wrong", [0.5, np.nan, 2.0])
def test_a_floating_mask_is_one_of_zeros_and_ones(wrong):
    arguments.check_mask("float32", np.array([0.0, 1.0]))
    arguments.check_mask("int64", None)
    with pytest.raises(TypeError, match=f"mask holds {wrong}.*pass weights="):
        arguments.check_mask("bfloat16", np.array([1.0, wrong]))
    with pytest.raises(TypeError, match=r"float32.*mask.astype\(bool\).*pass weights="):
        arguments.check_mask("float32", None)


@pytest.mark.parametrize("name", ["mask", "weights", "labels"])
def test_shapes_of_rows_name_classes_that_are_not_last(name):
    def check(shape):
        if name == "labels":
            arguments.check_label_shape(LOGITS, shape)
        else:
            arguments.check_shapes(LOGITS, LOGITS, **{f"{name}_shape": shape})

    check((2, 5))
    with pytest.raises(ValueError, match=rf"{name} has shape \(2, 3\).*Classes must be the last axis.*movedim\(1, -1\)"):
        check((2, 3))
    with pytest.raises(ValueError, match=rf"{name} has shape \(2,\).*\(2, 5\)") as caught:
        check((2,))
    assert "last axis" not in str(caught.value)


def test_labels_are_classes_or_ignored():
    arguments.check_label_type("int64", True)
    with pytest.raises(TypeError, match="labels has type float32; class indices must be integers"):
        arguments.check_label_type("float32", False)
    arguments.check_label_values(np.array([0, 2, -100]), 3, -100)
    for label in (3, -1):
        with pytest.raises(ValueError, match=f"labels holds {label}; allowed are 0 to 2 and ignore_index=-100"):
            arguments.check_label_values(np.array([[0, label]]), 3, -100)


class CausalLMOutput(dict):
    """An output object as transformers has it: a mapping with attributes."""

    logits = np.zeros(3)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (CausalLMOutput(), "student_logits is a CausalLMOutput; pass its .logits"),
        (SimpleNamespace(logits=1), "student_logits is a SimpleNamespace; pass its .logits"),
        ({"logits": np.zeros(3)}, r'student_logits is a dict; pass the array of logits that it holds, such as \["logits"\]'),
        ((np.zeros(3), None), r"student_logits is a tuple of 2; pass the array of logits that it holds, such as \[0\]"),
    ],
)
def test_what_models_return_around_logits_is_named(value, sentence):
    with pytest.raises(TypeError, match=sentence):
        arguments.check_no_output("student_logits", value)


def test_arrays_and_tuples_of_numbers_are_no_outputs():
    for value in (np.zeros(3), [[0.0, 1.0]], ((0.0, 1.0), (1.0, 0.0))):
        arguments.check_no_output("student_logits", value)


def test_the_normalizer_is_one_positive_number_of_a_sum():
    for shape in ((), (1,)):
        arguments.check_normalizer(shape, 3, "mean")
    arguments.check_normalizer((), None, "sum")
    for value in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"normalizer={value}"):
            arguments.check_normalizer((), value, "mean")
    with pytest.raises(ValueError, match=r"normalizer has shape \(2,\)"):
        arguments.check_normalizer((2,), None, "mean")
    with pytest.raises(ValueError, match='reduction="none" has none'):
        arguments.check_normalizer((), 3, "none")


def test_a_loss_of_the_whole_batch_has_no_parts():
    arguments.check_whole_batch("mean", None)
    for reduction, normalizer in (("sum", None), ("mean", 4)):
        with pytest.raises(ValueError, match="columns correlate over the whole batch"):
            arguments.check_whole_batch(reduction, normalizer)


def test_swapped_teacher_and_student_are_said_once_a_line():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            arguments.warn_of_swapped(False, True)
        arguments.warn_of_swapped(False, True)
        for learns in ((True, True), (True, False), (False, False)):
            arguments.warn_of_swapped(*learns)
    assert len(seen) == 2 and {warning.filename for warning in seen} == {__file__}
    assert "student_logits comes first" in str(seen[0].message)
