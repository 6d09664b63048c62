"""Weights of rows, masks, reductions and normalizers, in each backend: against each other and against the reference."""

import inspect

import numpy as np
import pytest

from reference import objectives
from reference.catalogue import DIVERGENCES
from reference.grid import draw_logits

NAMES = sorted(DIVERGENCES)
ROWS, CLASSES = 6, 10
LABELS = np.array([0, 3, -100, 9, 3, 1])
WEIGHTS = np.array([0.25, 1.5, 3.0, 0.0, 0.7, 2.0])
BITS = np.array([1, 0, 1, 1, 0, 1])
CLASSIFICATION = ["kd_loss", "dkd_loss", "abdkd_loss", "lsd_loss", "ablsd_loss", "ttm_loss", "abttm_loss", "wttm_loss"]
SEQUENCES = [{}, {"divergence": "ab_divergence", "alpha": 0.8, "beta": 0.2}, {"divergence": "jensen_shannon", "weight": 0.3}]


def parameters(name):
    return dict(DIVERGENCES[name].grid[-1])


def logits(dtype="float32", rows=ROWS):
    return draw_logits(CLASSES, "1", dtype, rows, 5)


def divergence(backend, name, student, teacher, reduction="mean", **options):
    return backend.value_and_gradient(name, student, teacher, parameters(name), reduction=reduction, **options)


def objective(backend, name, student, teacher, labels=LABELS, dtype="float32", **options):
    return backend.named_objective_and_gradient(name, student, teacher, labels, options, dtype)


def abkd(backend, student, teacher, labels=LABELS, **options):
    return backend.objective_and_gradient(student, teacher, labels, alpha=0.8, beta=0.2, temperature=2.0, **options)


def assert_same(got, want):
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_close(got, want, bound=1e-6):
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=bound, atol=bound * np.abs(other).max())


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_zero_and_one_are_the_mask_bit_for_bit(backend, name):
    student, teacher = logits()
    student[1], teacher[4] = np.nan, np.inf  # rows left out may hold anything
    for reduction in ("mean", "sum", "none"):
        masked = divergence(backend, name, student, teacher, reduction, mask=BITS.astype(bool))
        assert np.isfinite(masked[1]).all()
        assert_same(divergence(backend, name, student, teacher, reduction, weights=BITS.astype(np.float32)), masked)
        assert_same(divergence(backend, name, student, teacher, reduction, weights=BITS), masked)


@pytest.mark.parametrize("name", NAMES)
def test_weights_multiply_the_values_of_rows(backend, name):
    student, teacher = logits()
    if name == "alphanet":  # whose mean is the larger of two means, not a mean of rows
        student, teacher = (np.repeat(z[:1], ROWS, 0) for z in (student, teacher))
    values, slopes = divergence(backend, name, student, teacher, "none")
    want = WEIGHTS * values, WEIGHTS[:, None] * slopes
    assert_close(divergence(backend, name, student, teacher, "none", weights=WEIGHTS), want)
    assert_close(divergence(backend, name, student, teacher, "sum", weights=WEIGHTS), (want[0].sum(), want[1]))
    total = WEIGHTS.sum()
    assert_close(divergence(backend, name, student, teacher, weights=WEIGHTS), (want[0].sum() / total, want[1] / total))


def test_weights_and_mask_multiply(backend):
    student, teacher = logits()
    student[1] = np.nan
    both = divergence(backend, "ab_divergence", student, teacher, weights=WEIGHTS, mask=BITS.astype(bool))
    assert_same(divergence(backend, "ab_divergence", student, teacher, weights=WEIGHTS * BITS), both)


def test_small_weights_count_as_their_sum(backend):
    """No clamp at 1: a mean does not change where all weights are divided by the same number."""
    student, teacher = logits()
    want = divergence(backend, "forward_kl", student, teacher, weights=WEIGHTS)
    for scale in (1e-3, 1e-30, 1e30):
        assert_close(divergence(backend, "forward_kl", student, teacher, weights=scale * WEIGHTS), want)


def test_weights_that_are_all_zero_give_zero(backend):
    student, teacher = logits()
    value, gradient = divergence(backend, "forward_kl", student, teacher, weights=np.zeros(ROWS))
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_come_before_the_gradient_is_rounded(backend, dtype):
    student, teacher = draw_logits(CLASSES, "1", dtype, ROWS, 5)
    _, exact = divergence(backend, "ab_divergence", student, teacher, "sum", weights=1.01 * WEIGHTS)
    _, got = divergence(backend, "ab_divergence", student, teacher, "sum", weights=1.01 * WEIGHTS, dtype=dtype)
    step = {"bfloat16": 2.0**-9, "float16": 2.0**-12}[dtype]
    tiny = {"bfloat16": 0.0, "float16": 2.0**-25}[dtype]
    assert (np.abs(got - exact) <= 2.02 * step * np.abs(exact) / (1 + step) + tiny + 1e-6 * np.abs(exact).max() * step).all()


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_wrong_weights_are_named(backend, wrong):
    student, teacher = logits()
    weights = np.array([1, 1, wrong, 1, 1, 1])
    with pytest.raises(ValueError, match=f"weights holds {wrong}"):
        divergence(backend, "forward_kl", student, teacher, weights=weights)
    with pytest.raises(ValueError, match=f"weights holds {wrong}"):
        abkd(backend, student, teacher, weights=weights)
    with pytest.raises(ValueError, match=r"weights has shape \(2,\)"):
        divergence(backend, "jensen_shannon", student, teacher, weights=np.ones(2))
    with pytest.raises(ValueError, match=r"weights has shape \(2,\)"):
        objective(backend, "kd_loss", student, teacher, weights=np.ones(2))


@pytest.mark.parametrize("wrong", [0.5, np.nan])
def test_a_mask_is_no_weight(backend, wrong):
    student, teacher = logits()
    with pytest.raises(TypeError, match=f"mask holds {wrong}.*pass weights="):
        divergence(backend, "forward_kl", student, teacher, mask=np.array([1, 0, wrong, 1, 1, 1]))
    want = divergence(backend, "forward_kl", student, teacher, mask=BITS.astype(bool))
    assert_same(divergence(backend, "forward_kl", student, teacher, mask=BITS.astype(np.float32)), want)
    assert_same(divergence(backend, "forward_kl", student, teacher, mask=7 * BITS), want)


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_objectives_have_weights_reductions_and_a_normalizer(backend, name):
    student, teacher = logits()
    student[3] = np.nan  # of weight 0
    values, slopes = objective(backend, name, student, teacher, weights=WEIGHTS, reduction="none")
    assert values.shape == (ROWS,)
    assert values[3] == 0 and not slopes[3].any()
    counted = WEIGHTS * (LABELS != -100) if "dkd" in name else WEIGHTS
    for total, options in (
        (1.0, {"reduction": "sum"}),
        (counted.sum(), {}),
        (7.0, {"normalizer": 7}),
        (7.0, {"normalizer": np.array(7), "reduction": "sum"}),
        (2.5, {"normalizer": np.array(2.5, np.float32)}),
    ):
        got = objective(backend, name, student, teacher, weights=WEIGHTS, **options)
        assert_close(got, (values.sum() / total, slopes / total), 2e-6)


@pytest.mark.parametrize("name", [*CLASSIFICATION, "dist_loss"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weighted_objectives_agree_with_the_reference(backend, name, dtype):
    student, teacher = logits(dtype)
    student[3] = np.nan
    function = getattr(objectives, f"{name}_and_gradient")
    labelled = (LABELS,) if "labels" in inspect.signature(function).parameters else ()
    choices = [{}] if name == "dist_loss" else [{}, {"reduction": "sum"}, {"normalizer": 3}, {"reduction": "none"}]
    for options in choices:
        want = function(student, teacher, *labelled, weights=WEIGHTS, **options)
        got = objective(backend, name, student, teacher, dtype=dtype, weights=WEIGHTS, **options)
        assert_close(got, want, 2e-5 if dtype == "float32" else 1e-9)


def test_dist_loss_has_no_parts(backend):
    student, teacher = logits()
    for options in ({"reduction": "sum"}, {"normalizer": 3}):
        with pytest.raises(ValueError, match="columns correlate over the whole batch"):
            objective(backend, "dist_loss", student, teacher, **options)


def test_rows_of_weight_zero_are_absent_from_dist_loss(backend):
    student, teacher = logits()
    few = BITS.astype(bool)
    want, slopes = objective(backend, "dist_loss", student[few], teacher[few])
    student[~few] = np.inf
    got, all_slopes = objective(backend, "dist_loss", student, teacher, weights=BITS)
    assert_close((got, all_slopes[few]), (want, slopes), 2e-6)
    assert not all_slopes[~few].any()


@pytest.mark.parametrize("hard_weight", [0.0, 0.5])
def test_abkd_loss_has_weights_reductions_and_a_normalizer(backend, hard_weight):
    student, teacher = logits()
    student[2], student[3] = np.nan, -np.inf  # label -100, weight 0
    options = {"weights": WEIGHTS, "hard_weight": hard_weight, "distill_weight": 2.0}
    values, slopes = abkd(backend, student, teacher, reduction="none", **options)
    assert values.shape == (ROWS,)
    assert np.isfinite(slopes).all() and not slopes[2:4].any()
    counted = (WEIGHTS * (LABELS != -100)).sum()
    assert_close(abkd(backend, student, teacher, **options), (values.sum() / counted, slopes / counted))
    assert_close(abkd(backend, student, teacher, reduction="sum", **options), (values.sum(), slopes))
    assert_close(abkd(backend, student, teacher, normalizer=5, **options), (values.sum() / 5, slopes / 5))


@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf])
def test_a_normalizer_is_a_positive_number_of_a_sum(backend, wrong):
    student, teacher = logits()
    for call in (
        lambda **options: objective(backend, "kd_loss", student, teacher, **options),
        lambda **options: abkd(backend, student, teacher, **options),
    ):
        with pytest.raises(ValueError, match=f"normalizer={wrong}"):
            call(normalizer=wrong)
        with pytest.raises(ValueError, match='reduction="none"'):
            call(normalizer=3, reduction="none")
        with pytest.raises(ValueError, match=r"normalizer has shape \(2,\)"):
            call(normalizer=np.ones(2))


@pytest.mark.parametrize("options", SEQUENCES, ids=str)
def test_tokens_have_weights(backend, options):
    student, teacher = (z.reshape(2, 3, CLASSES) for z in logits())
    labels, weights = LABELS.reshape(2, 3), WEIGHTS.reshape(2, 3)
    counted = weights * (labels != -100)
    one = np.ones_like(counted)

    def loss(reduction, weights, **further):
        given = {**options, "reduction": reduction, "weights": weights, **further}
        return backend.named_objective_and_gradient("sequence_loss", student, teacher, labels, given, "float32")

    def of_token(place):
        chosen = np.zeros_like(weights)
        chosen[place] = 1
        return loss("sum", chosen)[0]

    values = np.array([[of_token((i, j)) for j in range(3)] for i in range(2)])
    _, slopes = loss("sum", one)
    total = (values * counted).sum()
    assert_close(loss("sum", weights), (total, slopes * counted[..., None]), 2e-6)
    assert_close(loss("token_mean", weights), (total / counted.sum(), slopes * counted[..., None] / counted.sum()), 2e-6)
    assert_close(loss("token_mean", weights, normalizer=9), (total / 9, slopes * counted[..., None] / 9), 2e-6)
    assert_close(loss("sum", weights, normalizer=np.array(9)), (total / 9, slopes * counted[..., None] / 9), 2e-6)
    shares = counted / counted.sum(-1, keepdims=True)
    means = loss("sequence_mean", weights), loss("sequence_mean", weights, normalizer=4)
    for got, sequences in zip(means, (2, 4), strict=True):
        assert_close(got, ((values * shares).sum() / sequences, slopes * shares[..., None] / sequences), 2e-6)
