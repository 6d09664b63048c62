"""Bad input to the loss: every error names the argument, its value and what is allowed."""

import re

import numpy as np
import pytest

import backends
from backends.common import methods

LOGITS = np.zeros((2, 3))


def call(backend, student=LOGITS, teacher=LOGITS, alpha=0.5, beta=0.5, **arguments):
    return backend.value_and_gradient("ab_divergence", student, teacher, {"alpha": alpha, "beta": beta}, **arguments)


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_must_be_finite(backend, name, value):
    with pytest.raises(ValueError, match=f"{name}={value}.*finite"):
        call(backend, **{name: value})


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_temperature_must_be_positive(backend, temperature):
    with pytest.raises(ValueError, match="temperature"):
        call(backend, temperature=temperature)


def test_shapes_must_match(backend):
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        call(backend, teacher=np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"mask.*\(3,\)"):
        call(backend, mask=np.ones(3, bool))
    with pytest.raises(ValueError, match="at least one class"):
        call(backend, student=np.zeros((2, 0)), teacher=np.zeros((2, 0)))


def test_unknown_reduction_lists_the_known_ones(backend):
    with pytest.raises(ValueError, match=r"'average'.*mean, sum, none"):
        call(backend, reduction="average")


def test_objective_checks_labels_and_parameters(backend):
    with pytest.raises(ValueError, match="labels"):
        backend.objective_and_gradient(LOGITS, LOGITS, np.zeros(3, int), alpha=1.0, beta=0.0)
    with pytest.raises(ValueError, match="temperature=0"):
        backend.objective_and_gradient(LOGITS, LOGITS, np.zeros(2, int), alpha=1.0, beta=0.0, temperature=0)


def test_unknown_backend_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'pytorch'.*torch, jax, tensorflow"):
        backends.load("pytorch")


def test_methods_refuse_what_they_do_not_have():
    with pytest.raises(ValueError, match=r"'abdk'.*sft, kd, rkld, abkd"):
        methods.resolve("abdk")
    with pytest.raises(ValueError, match="alpha=0.5.*'kd'"):
        methods.resolve("kd", alpha=0.5)
    with pytest.raises(ValueError, match="needs alpha and beta"):
        methods.resolve("abkd")
    with pytest.raises(ValueError, match="temperature=0"):
        methods.resolve("kd", temperature=0)


LABELLED = ["dkd_loss", "abdkd_loss", "sequence_loss"]


def objective(backend, name, labels, **parameters):
    return backend.named_objective_and_gradient(name, LOGITS, LOGITS, labels, parameters, "float32")


@pytest.mark.parametrize("label", [3, -1, -101])
def test_labels_out_of_range_are_named(backend, label):
    labels = np.array([0, label])
    for name in LABELLED:
        with pytest.raises(ValueError, match=f"labels holds {label}; allowed are 0 to 2 and ignore_index=-100"):
            objective(backend, name, labels)
    with pytest.raises(ValueError, match=f"labels holds {label}; allowed are 0 to 2 and ignore_index=-100"):
        backend.objective_and_gradient(LOGITS, LOGITS, labels, alpha=1.0, beta=0.0)


@pytest.mark.parametrize("kind", [np.float32, np.bool_])
def test_labels_are_integers(backend, kind):
    labels = np.array([0, 1], kind)
    for name in LABELLED:
        with pytest.raises(TypeError, match="labels has type .*integers"):
            objective(backend, name, labels)
    with pytest.raises(TypeError, match="labels has type .*integers"):
        backend.objective_and_gradient(LOGITS, LOGITS, labels, alpha=1.0, beta=0.0)


def test_an_ignore_index_among_the_classes_leaves_that_class_out(backend):
    student = np.array([[1.0, 2.0, 0.5], [np.nan, 0.0, 1.0]])
    value, gradient = backend.objective_and_gradient(student, LOGITS, np.array([1, 0]), alpha=0.8, beta=0.2, ignore_index=0)
    assert np.isfinite(value) and np.isfinite(gradient).all() and gradient[0].any() and not gradient[1].any()


@pytest.mark.parametrize("content", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["student", "teacher"])
def test_ignored_rows_reach_nothing_whatever_they_hold(backend, content, side):
    logits = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    student, teacher, labels = logits.copy(), logits[:, ::-1].copy(), np.array([1, -100])
    (student if side == "student" else teacher)[1] = content
    calls = [backend.objective_and_gradient(student, teacher, labels, alpha=0.8, beta=0.2)]
    calls += [backend.named_objective_and_gradient(name, student, teacher, labels, {}, "float32") for name in LABELLED]
    for value, gradient in calls:
        assert np.isfinite(value) and np.isfinite(gradient).all()
        assert gradient[0].any() and not gradient[1].any()


@pytest.mark.parametrize("large", [10**400, -(10**400)])
def test_numbers_too_large_for_a_float_are_named(backend, large):
    with pytest.raises(ValueError, match="alpha is too large for a float"):
        call(backend, alpha=large)
    with pytest.raises(ValueError, match="temperature is too large for a float"):
        call(backend, temperature=abs(large))


@pytest.mark.parametrize("name", ["kd_loss", "dkd_loss", "lsd_loss", "dist_loss"])
def test_temperatures_whose_square_is_no_number_are_named(backend, name):
    for temperature in (1e200, 1e-200):
        with pytest.raises(ValueError, match=re.escape(f"temperature={temperature!r} is not allowed")):
            objective(backend, name, np.array([0, 1]), temperature=temperature)


@pytest.mark.parametrize("temperature", ["four", None])
def test_temperatures_are_numbers(backend, temperature):
    with pytest.raises(ValueError, match=f"temperature={temperature!r} is not a number"):
        objective(backend, "kd_loss", np.array([0, 1]), temperature=temperature)


def test_classes_must_be_last(backend):
    student = np.zeros((2, 3, 5))  # classes second, as images have them
    with pytest.raises(ValueError, match="last axis"):
        backend.objective_and_gradient(student, student, np.zeros((2, 5), int), alpha=1.0, beta=0.0)
    with pytest.raises(ValueError, match="last axis"):
        call(backend, student=student, teacher=student, mask=np.ones((2, 5), bool))


@pytest.mark.parametrize("name", ["kd_loss", "dkd_loss", "lsd_loss", "ttm_loss", "wttm_loss", "dist_loss", "sequence_loss"])
def test_no_rows_give_zero(backend, name):
    empty = np.zeros((0, 3))
    value, gradient = backend.named_objective_and_gradient(name, empty, empty, np.zeros(0, int), {}, "float32")
    assert value == 0
    assert gradient.shape == (0, 3)


def test_one_class_gives_zero(backend):
    one = np.array([[1.0], [2.0]])
    for name in ("kd_loss", "dkd_loss", "abdkd_loss", "wttm_loss"):
        value, gradient = backend.named_objective_and_gradient(name, one, one[::-1].copy(), np.zeros(2, int), {}, "float32")
        assert value == 0 and not gradient.any()


def test_a_label_that_has_everything_leaves_no_rest(backend):
    """DKD: the terms of (target, rest) alone; no NaN where nothing is left to compare."""
    certain, open_row = np.array([[0.0, -np.inf, -np.inf]]), np.array([[1.0, 0.5, 2.0]])
    for name in ("dkd_loss", "abdkd_loss"):
        value, gradient = backend.named_objective_and_gradient(name, open_row, certain, np.array([0]), {}, "float64")
        want = np.log(np.exp(open_row / 4).sum()) - open_row[0, 0] / 4
        assert value == pytest.approx(16 * want, rel=1e-6) and np.isfinite(gradient).all()
        value, gradient = backend.named_objective_and_gradient(name, certain, certain, np.array([0]), {}, "float64")
        assert value == 0 and not gradient.any()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("parameters", [(0.8, 0.2), (0.8, 0.3), (1.0, 1.0), (1.0, 0.5), (0.5, 0.5), (1.0, 0.0), (0.0, 1.0)])
def test_classes_masked_by_the_least_number_are_as_absent(backend, dtype, parameters):
    """As many libraries mask them: the results are those of −inf."""
    least = float(np.finfo(np.float32 if dtype == "bfloat16" else dtype).min)
    least = float(np.float32(np.uint32(0xFF7F0000).view(np.float32))) if dtype == "bfloat16" else least
    random = np.random.RandomState(0)
    student, teacher = (np.round(random.normal(size=(4, 6)) * 16) / 16 for _ in range(2))
    for masks in ([(0, 2)], [(1, 2)], [(0, 2), (1, 2)], [(0, 1), (1, 3)]):
        results = []
        for value in (least, -np.inf):
            pair = [student.copy(), teacher.copy()]
            for side, column in masks:
                pair[side][:, column] = value
            for temperature in (0.5, 1.0, 2.0):
                names = dict(zip(("alpha", "beta"), parameters, strict=True))
                results.append(backend.value_and_gradient("ab_divergence", *pair, names, temperature=temperature, dtype=dtype))
        for got, want in zip(results[:3], results[3:], strict=True):
            for one, other in zip(got, want, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
