"""Weights, reductions and normalizers of the reference: what a mask, single rows and parts of a batch say about them."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import objectives
from reference.catalogue import DIVERGENCES

OBJECTIVES = ["kd", "dkd", "abdkd", "lsd", "ablsd", "ttm", "abttm", "wttm", "abkd"]
LOSSES = [*OBJECTIVES, *DIVERGENCES]
IGNORED = -100


class Problem:
    """Logits [3, 4, 5], weights and labels, some rows ignored; what `evaluate` needs."""

    def __init__(self, seed):
        random = np.random.default_rng(seed)
        self.student, self.teacher = random.normal(size=(2, 3, 4, 5)) * random.choice([0.1, 2.0])
        self.labels = np.where(random.random((3, 4)) < 0.2, IGNORED, random.integers(0, 5, (3, 4)))
        self.weights = random.exponential(size=(3, 4)) * (random.random((3, 4)) < 0.8)

    def evaluate(self, name, part=np.s_[:], **options):
        student, teacher = self.student[part], self.teacher[part]
        if name in DIVERGENCES:
            row = DIVERGENCES[name]
            return row.reference(student, teacher, *row.grid[-1].values(), temperature=2.0, **options)
        function = getattr(objectives, f"{name}_loss_and_gradient")
        if "labels" in inspect.signature(function).parameters:
            options["labels"] = self.labels[part]
        if name == "abkd":
            options.update(alpha=0.8, beta=0.3, distill_weight=2.0)
        return function(student, teacher, **options)

    def counted(self, name):
        labelled = name in ("dkd", "abdkd", "abkd")
        return np.where(self.labels == IGNORED, 0.0, self.weights) if labelled else self.weights


PROBLEMS = st.integers(0, 2**32 - 1).map(Problem)
FEW = settings(max_examples=3, deadline=None)


def same(got, want):
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def close(got, want, relative=1e-13):
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=relative, atol=relative * np.abs(theirs).max(initial=1e-300))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", DIVERGENCES)
@FEW
@given(problem=PROBLEMS)
def test_weights_of_0_and_1_are_the_mask_to_the_last_bit(name, reduction, problem):
    mask = problem.weights > 0
    wanted = problem.evaluate(name, mask=mask, reduction=reduction)
    for weights in (mask, mask.astype(int), mask.astype(np.float32)):
        same(problem.evaluate(name, weights=weights, reduction=reduction), wanted)
    same(problem.evaluate(name, mask=mask.astype(float), reduction=reduction), wanted)


@pytest.mark.parametrize("name", LOSSES)
@FEW
@given(problem=PROBLEMS)
def test_weighted_means_and_sums_are_those_of_the_rows(name, problem):
    rows, slopes = problem.evaluate(name, reduction="none")
    counted = problem.counted(name)
    wanted = (counted * rows).sum(), counted[..., None] * slopes
    if name != "alphanet":  # the larger of two means is not the mean of the larger ones
        close(problem.evaluate(name, weights=problem.weights, reduction="sum"), wanted)
        whole = counted.sum() or 1.0
        close(problem.evaluate(name, weights=problem.weights), [part / whole for part in wanted])
    close(problem.evaluate(name, weights=problem.weights, reduction="none"), (counted * rows, wanted[1]))


@pytest.mark.parametrize("name", ["dist", *OBJECTIVES, "forward_kl", "alphanet", "skewed_forward_kl"])
@FEW
@given(problem=PROBLEMS)
def test_rows_of_weight_0_are_absent_whatever_they_hold(name, problem):
    wanted = problem.evaluate(name, weights=problem.weights)
    out = problem.weights == 0
    problem.student[out], problem.teacher[out] = np.nan, np.inf
    same(problem.evaluate(name, weights=problem.weights), wanted)
    assert not np.isnan(wanted[1]).any() and (wanted[1][out] == 0).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", OBJECTIVES)
@FEW
@given(problem=PROBLEMS)
def test_parts_with_one_normalizer_add_up_to_the_whole_batch(name, reduction, problem):
    """Gradient accumulation: the parts may have any number of rows that count, or none."""
    whole = float(problem.counted(name).sum()) or 1.0
    wanted = problem.evaluate(name, weights=problem.weights)
    parts = [
        problem.evaluate(name, part, weights=problem.weights[part], reduction=reduction, normalizer=whole)
        for part in (np.s_[:1], np.s_[1:])
    ]
    close((parts[0][0] + parts[1][0], np.concatenate([parts[0][1], parts[1][1]])), wanted)


def test_a_row_of_weight_2_is_two_rows_for_dist():
    problem = Problem(3)
    student, teacher = problem.student.reshape(-1, 5), problem.teacher.reshape(-1, 5)
    weights = np.arange(12) % 3
    value, gradient = objectives.dist_loss_and_gradient(student, teacher, weights=weights)
    twice, slopes = objectives.dist_loss_and_gradient(np.repeat(student, weights, axis=0), np.repeat(teacher, weights, axis=0))
    assert value == pytest.approx(twice, rel=1e-14)
    np.testing.assert_allclose(gradient[weights == 1], slopes[::3], rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(gradient[weights == 2], slopes[1::3] + slopes[2::3], rtol=1e-10, atol=1e-14)
    for wrong in ({"reduction": "sum"}, {"normalizer": 3}):
        with pytest.raises(ValueError, match="of this loss there is only the mean"):
            objectives.dist_loss_and_gradient(student, teacher, **wrong)


@pytest.mark.parametrize("reduction", ["token_mean", "sequence_mean", "sum"])
@FEW
@given(problem=PROBLEMS)
def test_sequences_weigh_their_tokens(reduction, problem):
    student, teacher, labels, weights = problem.student, problem.teacher, problem.labels, problem.weights
    arguments = {"divergence": "reverse_kl", "weights": weights, "reduction": reduction}
    got = objectives.sequence_loss_and_gradient(student, teacher, labels, **arguments)
    counted = np.where(labels == IGNORED, 0.0, weights)
    rows, slopes = DIVERGENCES["reverse_kl"].reference(student, teacher, reduction="none")
    number = counted.sum()
    if reduction == "sequence_mean":
        lengths = counted.sum(-1, keepdims=True)
        counted, number = counted / np.where(lengths > 0, lengths, 1.0), (lengths > 0).sum()
    divisor = 1.0 if reduction == "sum" else max(number, 1e-300)
    close(got, ((counted * rows).sum() / divisor, counted[..., None] * slopes / divisor))
    close(
        objectives.sequence_loss_and_gradient(student, teacher, labels, **arguments, normalizer=8),
        ((counted * rows).sum() / 8, counted[..., None] * slopes / 8),
    )


@FEW
@given(problem=PROBLEMS)
def test_shifted_labels_belong_to_the_logits_before_them(problem):
    """What Hugging Face does by cutting logits and labels, without cutting."""
    student, teacher, labels, weights = problem.student, problem.teacher, problem.labels, problem.weights
    cut = student[:, :-1], teacher[:, :-1], labels[:, 1:]
    got = objectives.sequence_loss_and_gradient(student, teacher, labels, shift=True, weights=weights)
    want = objectives.sequence_loss_and_gradient(*cut, weights=weights[:, 1:])
    close(got, (want[0], np.pad(want[1], ((0, 0), (0, 1), (0, 0)))))
    got = objectives.abkd_loss_and_gradient(student, teacher, labels, 0.8, 0.2, shift=True, weights=weights, normalizer=7)
    want = objectives.abkd_loss_and_gradient(*cut, 0.8, 0.2, weights=weights[:, 1:], normalizer=7)
    close(got, (want[0], np.pad(want[1], ((0, 0), (0, 1), (0, 0)))))


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"weights": [1.0, -1.0]}, ValueError, "weights holds -1.0; each weight must be finite and at least 0"),
        ({"weights": [1.0, np.inf]}, ValueError, "weights holds inf"),
        ({"weights": [1.0]}, ValueError, r"weights has shape \(1,\)"),
        ({"weights": [1j, 0]}, TypeError, "weights has type complex128"),
        ({"mask": ["a", "b"]}, TypeError, "mask has type <U1; it must be bool"),
        ({"mask": [1.0, 0.5]}, TypeError, "mask holds 0.5.*pass weights="),
        ({"mask": [1.0, np.nan]}, TypeError, "mask holds nan.*pass weights="),
        ({"normalizer": 0}, ValueError, "normalizer is 0"),
        ({"normalizer": 3, "reduction": "none"}, ValueError, 'reduction "none" has none'),
        ({"temperature": 10**400}, ValueError, "temperature is too large for a float"),
    ],
)
def test_what_is_refused_is_named(options, error, sentence):
    with pytest.raises(error, match=sentence):
        DIVERGENCES["ab_divergence"].reference(np.zeros((2, 3)), np.zeros((2, 3)), 0.8, 0.2, **options)


@pytest.mark.parametrize("temperature", [1e200, 1e-200])
@pytest.mark.parametrize("name", ["kd", "dkd", "ablsd", "dist"])
def test_a_temperature_whose_square_is_no_float_is_refused(name, temperature):
    with pytest.raises(ValueError, match="temperature is 1e"):
        Problem(0).evaluate(name, temperature=temperature)
