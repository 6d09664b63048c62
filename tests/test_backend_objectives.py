"""Objectives for classification and for sequences in each backend, against the NumPy reference in float64."""

import inspect

import numpy as np
import pytest

from reference import objectives
from reference.grid import draw_logits

AB = {"alpha": 0.8, "beta": 0.3}
# (name, parameters that differ from the defaults)
CASES = [
    ("kd_loss", {}),
    ("kd_loss", {"temperature": 2.0}),
    ("dkd_loss", {}),
    ("dkd_loss", {"temperature": 2.0, "target_weight": 0.5, "non_target_weight": 6.0}),
    ("lsd_loss", {}),
    ("lsd_loss", {"temperature": 4.0}),
    ("ttm_loss", {}),
    ("ttm_loss", {"gamma": 0.4}),
    ("wttm_loss", {}),
    ("wttm_loss", {"gamma": 0.4}),
    ("dist_loss", {}),
    ("dist_loss", {"temperature": 1.0}),
    ("abdkd_loss", AB),
    ("abdkd_loss", {**AB, "temperature": 2.0, "non_target_weight": 6.0}),
    ("ablsd_loss", AB),
    ("ablsd_loss", {"alpha": 0.2, "beta": 0.7, "temperature": 4.0}),
    ("abttm_loss", AB),
    ("abttm_loss", {"alpha": 1.0, "beta": 0.0, "gamma": 0.4}),
]
SEQUENCE_CASES = [
    ("sequence_loss", {"divergence": "forward_kl", "reduction": "token_mean"}),
    ("sequence_loss", {"divergence": "forward_kl", "reduction": "sequence_mean"}),
    ("sequence_loss", {"divergence": "ab_divergence", **AB, "reduction": "sequence_mean", "temperature": 2.0}),
    ("sequence_loss", {"divergence": "jensen_shannon", "weight": 0.1, "reduction": "token_mean"}),
]


def reference(name, student, teacher, labels, parameters):
    """`<name>_and_gradient` of the reference, with labels where it takes them."""
    function = getattr(objectives, f"{name}_and_gradient")
    labelled = (labels,) if "labels" in inspect.signature(function).parameters else ()
    return function(student, teacher, *labelled, **parameters)


def compare(backend, name, student, teacher, labels, parameters, dtype="float32"):
    value, gradient = backend.named_objective_and_gradient(name, student, teacher, labels, parameters, dtype)
    want_value, want_gradient = reference(name, student, teacher, labels, parameters)
    value_bound, gradient_bound = (1e-5, 1e-4) if dtype == "float32" else (1e-10, 1e-9)
    assert value == pytest.approx(want_value, rel=value_bound)
    assert np.abs(gradient - want_gradient).max() <= gradient_bound * np.abs(want_gradient).max()


def identifier(case):
    return case if isinstance(case, str) else ",".join(f"{key}={value}" for key, value in case.items())


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=identifier)
@pytest.mark.parametrize("spread", ["1", "10"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_classification(backend, name, parameters, spread, dtype):
    student, teacher = draw_logits(20, spread, dtype, 16, 11)
    labels = np.random.RandomState(0).randint(0, 20, 16)
    compare(backend, name, student, teacher, labels, parameters, dtype)


@pytest.mark.parametrize(("name", "parameters"), CASES[::2], ids=identifier)
def test_student_close_to_the_teacher(backend, name, parameters):
    """Where a value is a small difference, what a framework's softmax loses would show."""
    _, teacher = draw_logits(20, "1", "float32", 16, 11)
    student = (teacher + 0.3 * draw_logits(20, "1", "float32", 16, 12)[0]).astype(np.float32)
    compare(backend, name, student, teacher, np.arange(16), parameters)


@pytest.mark.parametrize(("name", "parameters"), SEQUENCE_CASES, ids=identifier)
def test_sequences(backend, name, parameters):
    student, teacher = draw_logits(30, "10", "float32", 4 * 7, 13)
    labels = np.random.RandomState(0).randint(0, 30, (4, 7))
    labels[0, 3:], labels[1, :6], labels[2] = -100, -100, -100  # the third sequence has no valid token
    shape = (4, 7, 30)
    compare(backend, name, student.reshape(shape), teacher.reshape(shape), labels, parameters)


@pytest.mark.parametrize(("name", "parameters"), SEQUENCE_CASES[:2], ids=identifier)
def test_sequences_without_any_valid_token_give_zero(backend, name, parameters):
    logits = np.full((2, 3, 4), np.nan)
    value, gradient = backend.named_objective_and_gradient(name, logits, logits, np.full((2, 3), -100), parameters, "float32")
    assert value == 0
    assert not gradient.any()


def test_reductions_of_sequences_differ_where_lengths_do(backend):
    """Two tokens against one: the token mean weighs them alike, the sequence mean weighs the sequences alike."""
    teacher = np.zeros((2, 2, 2))
    student = np.zeros((2, 2, 2))
    student[0, :, 0] = 4.0
    labels = np.asarray([[0, 0], [0, -100]])

    def value(reduction):
        parameters = {"divergence": "forward_kl", "reduction": reduction}
        return backend.named_objective_and_gradient("sequence_loss", student, teacher, labels, parameters, "float64")[0]

    assert value("token_mean") == pytest.approx(4 / 3 * value("sequence_mean"), rel=1e-12)


def test_unknown_sequence_reduction_lists_the_known_ones(backend):
    parameters = {"divergence": "forward_kl", "reduction": "mean"}
    with pytest.raises(ValueError, match="'mean'.*token_mean.*sequence_mean"):
        backend.named_objective_and_gradient(
            "sequence_loss", np.zeros((1, 2, 3)), np.zeros((1, 2, 3)), np.zeros((1, 2), int), parameters, "float32"
        )
