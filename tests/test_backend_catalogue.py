"""Every divergence of the catalogue in each backend: accuracy, properties that hold for all of them, extremes.

The tests know the divergences by the rows of `reference.catalogue.DIVERGENCES` alone: a new row is tested by being
there.
"""

import functools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reference.catalogue import DIVERGENCES
from reference.golden import compute
from reference.grid import draw_logits, round_to

INF = np.inf
NAMES = list(DIVERGENCES)
# the value of a batch is the larger of two means, so a mean of row values is something else
MAXIMUM_OF_MEANS = ("alphanet",)
# float16's smallest step (an entry may be half of it off) and its largest number
HALF_STEP = {"float16": 2.0**-25}
LARGEST = {"float16": 65504.0}
# one shape for nearly all that has few classes, and one for what has 100: compilers that specialise take most of the time
SHAPE = (6, 6)
ROWS_OF_100 = 200
properties = settings(max_examples=10, deadline=None, derandomize=True, database=None)


def middle(name):
    """One set of parameters of a divergence: the middle of its grid, away from special cases at the ends."""
    grid = DIVERGENCES[name].grid
    return dict(grid[len(grid) // 2])


def reference(name, student, teacher, parameters, **arguments):
    row = DIVERGENCES[name]
    arguments = {"reduction": "none", **arguments}
    return row.reference(student, teacher, *(parameters[key] for key in row.parameters), **arguments)


def errors(got, want, entries=None, dtype="float64"):
    """Largest value error (relative, absolute below 1e-12) and gradient error (max|Δ| / max|g| of its row)."""
    (value, gradient), (want_value, want_gradient) = got, want
    largest = np.abs(want_gradient).max(-1) if entries is None else entries
    limit = LARGEST.get(dtype, INF)
    gradient, want_gradient = np.clip(gradient, -limit, limit), np.clip(want_gradient, -limit, limit)
    with np.errstate(invalid="ignore"):
        value_error = np.where(value == want_value, 0, np.abs(value - want_value))
        value_error = value_error / np.where(np.abs(want_value) < 1e-12, 1.0, want_value)
        apart = np.maximum(np.abs(gradient - want_gradient) - HALF_STEP.get(dtype, 0.0), 0).max(-1)
    return value_error.max(), (apart / np.where(largest < 1e-12, 1.0, largest)).max()


@functools.cache
def switch_distance(name):
    """(student, teacher, parameters, temperature) → how far each row is from where the divergence switches."""

    def probabilities(logits, temperature):
        weights = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
        return weights / weights.sum(-1, keepdims=True)

    def total_variation(p, q, parameters):
        return np.abs(p - q).min(-1)

    def adaptive_kl(p, q, parameters):
        ordered = -np.sort(-p, axis=-1)
        distance = np.abs(ordered.cumsum(-1) - parameters["head"]).min(-1)
        return np.minimum(distance, np.abs(np.diff(ordered, axis=-1)).min(-1, initial=INF))

    def bidirectional_kl(p, q, parameters):
        def entropy(x):
            return -(x * np.log(np.where(x > 0, x, 1))).sum(-1)

        return np.abs(entropy(p) - entropy(q))

    def alphanet(p, q, parameters):
        values = [
            DIVERGENCES["ab_divergence"].reference(np.log(q), np.log(p), a, 1 - a, reduction="none")[0]
            for a in (parameters["alpha_min"], parameters["alpha_max"])
        ]
        return np.full(len(p), min(np.abs(values[0] - values[1]).min(), abs((values[0] - values[1]).mean())))

    rule = {f.__name__: f for f in (total_variation, adaptive_kl, bidirectional_kl, alphanet)}.get(name)

    def distance(student, teacher, parameters, temperature):
        if rule is None:
            return np.full(len(student), INF)
        with np.errstate(all="ignore"):
            return rule(probabilities(teacher, temperature), probabilities(student, temperature), parameters)

    return distance


# ---------------------------------------------------------------------------------------------------------- accuracy


def bounded(parameters):
    """No negative α, β or power: the errors of negative powers grow with the logits."""
    return all(value >= 0 for value in parameters.values())


def evaluate_repeated(backend, name, case, dtype):
    """Values and gradients of a case, its rows repeated to the common shape for the call."""
    student, teacher = case.inputs()
    source = np.arange(ROWS_OF_100) % case.rows
    results = backend.value_and_gradient(
        name, student[source], teacher[source], case.parameters, temperature=case.temperature, dtype=dtype
    )
    return tuple(result[: case.rows] for result in results)


# float16 and rows of 50,257 classes are left to the agreement suite
@pytest.mark.parametrize(
    ("dtype", "value_bound", "gradient_bound"), [("float64", 1e-12, 1e-12), ("float32", 1e-5, 1e-5), ("bfloat16", 1e-5, 8e-3)]
)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "ab_divergence"])  # has tests of its own
def test_golden_cases(backend, name, dtype, value_bound, gradient_bound):
    cases = [case for case in compute.load(name, dtype=dtype, classes=100) if case.spread in ("1", "10", "near")]
    if dtype in ("float64", "float32"):
        # one row in 500 has inputs whose difference rounds in float32; at spread 100 the grid may hold it
        cases += [c for c in compute.load(name, dtype=dtype, classes=100, spread="100") if bounded(c.parameters)]
    assert cases
    for case in cases:
        got = evaluate_repeated(backend, name, case, dtype)
        entries = np.take_along_axis(got[1], case.gradient_index, axis=-1)
        want = case.value, case.gradient_entries
        value_error, gradient_error = errors((got[0], entries), want, case.gradient_max, dtype)
        looser = 10 if case.spread == "100" and dtype == "float32" else 1
        assert value_error <= looser * value_bound, case.name
        assert gradient_error <= looser * gradient_bound, case.name


@pytest.mark.parametrize("name", NAMES)
def test_far_apart_distributions_give_no_nan(backend, name):
    for spread in ("100", "1000"):
        student, teacher = draw_logits(100, spread, "float32", ROWS_OF_100, 1)
        value, gradient = backend.value_and_gradient(name, student, teacher, middle(name))
        assert not np.isnan(value).any()
        assert not np.isnan(gradient).any()
        assert (value >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_nearly_equal_bfloat16_logits(backend, name):
    """Where published libraries return negative divergences: within 1e-5 of the same rounded inputs here."""
    student, teacher = draw_logits(100, "near", "bfloat16", ROWS_OF_100, 7)
    one_step = teacher.copy()
    one_step[:, 0] *= 1 + 2.0**-7  # one step of bfloat16, or two
    one_step = round_to(one_step, "bfloat16")
    parameters = middle(name)
    for near in (student, one_step):
        clear = switch_distance(name)(near.astype(float), teacher.astype(float), parameters, 1.0)
        clear = np.ones(len(near), bool) if name == "total_variation" else clear > 1e-5
        clear &= (near != teacher).any(-1)
        if not clear.any():
            continue
        value, _ = backend.value_and_gradient(name, near, teacher, parameters, dtype="bfloat16")
        want, _ = reference(name, near, teacher, parameters)
        assert (value >= 0).all()
        assert (np.abs(value - want)[clear] <= 1e-5 * want[clear] + 1e-17).all()


# -------------------------------------------------------------------------------------------------------- properties


# on a lattice, so that adding a constant to the logits is exact
LATTICE = st.integers(-8 * 1024, 8 * 1024).map(lambda n: n / 1024)
logits = arrays.arrays(np.float64, SHAPE, elements=LATTICE)
nearby = arrays.arrays(np.float64, SHAPE, elements=st.sampled_from([0.0, 2.0**-10, -(2.0**-10), 2.0**-6]))
each = pytest.mark.parametrize("name", NAMES)


@each
@properties
@given(teacher=logits, other=logits, step=nearby, near=st.booleans())
def test_never_negative(backend, name, teacher, other, step, near):
    student = teacher + step if near else other
    for dtype in ("float64", "float32"):
        value, gradient = backend.value_and_gradient(name, student, teacher, middle(name), dtype=dtype)
        assert (value >= 0).all()
        assert np.isfinite(gradient).all()


@each
@properties
@given(teacher=logits, step=nearby, constant=LATTICE)
def test_zero_if_and_only_if_equal(backend, name, teacher, step, constant):
    value, gradient = backend.value_and_gradient(name, teacher + constant, teacher, middle(name), dtype="float64")
    assert not value.any()
    assert not gradient.any()
    value, _ = backend.value_and_gradient(name, teacher + step, teacher, middle(name), dtype="float64")
    equal = (step == step[:, :1]).all(-1)
    assert ((value > 0) == ~equal).all()


@each
@properties
@given(student=logits, teacher=logits, constants=arrays.arrays(np.float64, (2, SHAPE[0], 1), elements=LATTICE))
def test_a_constant_added_to_the_logits_changes_nothing(backend, name, student, teacher, constants):
    assume((switch_distance(name)(student, teacher, middle(name), 1.0) > 1e-9).all())
    value, gradient = backend.value_and_gradient(name, student, teacher, middle(name), dtype="float64")
    moved = backend.value_and_gradient(name, student + constants[0], teacher + constants[1], middle(name), dtype="float64")
    np.testing.assert_allclose(moved[0], value, rtol=1e-12, atol=1e-25)
    np.testing.assert_allclose(moved[1], gradient, rtol=0, atol=1e-12 * max(np.abs(gradient).max(), 1e-12))


@each
@properties
@given(student=logits, teacher=logits, order=st.permutations(range(SHAPE[1])))
def test_the_order_of_classes_does_not_matter(backend, name, student, teacher, order):
    assume((switch_distance(name)(student, teacher, middle(name), 1.0) > 1e-9).all())
    value, gradient = backend.value_and_gradient(name, student, teacher, middle(name), dtype="float64")
    permuted = backend.value_and_gradient(name, student[:, order], teacher[:, order], middle(name), dtype="float64")
    np.testing.assert_allclose(permuted[0], value, rtol=1e-12, atol=1e-25)
    np.testing.assert_allclose(permuted[1], gradient[:, order], rtol=0, atol=1e-12 * max(np.abs(gradient).max(), 1e-12))


@each
@properties
@given(student=logits, teacher=logits, row=st.integers(0, SHAPE[0] - 1), reduction=st.sampled_from(["mean", "sum", "none"]))
def test_masked_equals_subset(backend, name, student, teacher, row, reduction):
    """Rows left out hold NaN and +inf; what is left is the same as without them."""
    mask = np.arange(SHAPE[0]) != row
    spoiled_student, spoiled_teacher = student.copy(), teacher.copy()
    spoiled_student[row, 0], spoiled_teacher[row, 1] = np.nan, INF
    value, gradient = backend.value_and_gradient(
        name, spoiled_student, spoiled_teacher, middle(name), mask=mask, reduction=reduction, dtype="float64"
    )
    want_value, want_gradient = reference(name, student[mask], teacher[mask], middle(name), reduction=reduction)
    np.testing.assert_allclose(value[mask] if reduction == "none" else value, want_value, rtol=1e-12, atol=1e-25)
    size = max(np.abs(want_gradient).max(), 1e-12)
    np.testing.assert_allclose(gradient[mask], want_gradient, rtol=0, atol=1e-12 * size)
    assert not gradient[row].any()
    if reduction == "none":
        assert value[row] == 0


@each
@properties
@given(student=logits, teacher=logits)
def test_reductions_are_consistent(backend, name, student, teacher):
    results = {
        how: backend.value_and_gradient(name, student, teacher, middle(name), reduction=how, dtype="float64")
        for how in ("none", "sum", "mean")
    }
    rows, total, mean = (results[how] for how in ("none", "sum", "mean"))
    assert rows[0].shape == SHAPE[:-1]
    np.testing.assert_allclose(total[0], SHAPE[0] * mean[0], rtol=1e-13)
    np.testing.assert_allclose(total[1], SHAPE[0] * mean[1], rtol=1e-12, atol=1e-25)
    if name in MAXIMUM_OF_MEANS:
        assert rows[0].sum() >= total[0] * (1 - 1e-13)
        return
    np.testing.assert_allclose(total[0], rows[0].sum(), rtol=1e-13)
    np.testing.assert_allclose(total[1], rows[1], rtol=1e-12, atol=1e-25)


# ---------------------------------------------------------------------------------------------------------- extremes


@each
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_nothing_selected_is_zero(backend, name, reduction):
    bad = np.full(SHAPE, np.nan)
    value, gradient = backend.value_and_gradient(
        name, bad, np.zeros(SHAPE), middle(name), mask=np.zeros(SHAPE[0], bool), reduction=reduction, dtype="float64"
    )
    assert value == 0
    assert not gradient.any()


@each
def test_one_valid_token(backend, name):
    student, teacher = draw_logits(SHAPE[1], "10", "float64", SHAPE[0], 3)
    mask = np.arange(SHAPE[0]) == 1
    value, gradient = backend.value_and_gradient(
        name, student, teacher, middle(name), mask=mask, reduction="mean", dtype="float64"
    )
    want = reference(name, student[1:2], teacher[1:2], middle(name))
    value_error, gradient_error = errors((np.reshape(value, 1), gradient[1:2]), want)
    assert value_error <= 1e-12
    assert gradient_error <= 1e-12
    assert not gradient[~mask].any()


@each
def test_a_single_class_has_nothing_to_learn(backend, name):
    value, gradient = backend.value_and_gradient(name, [[3.0]], [[-5.0]], middle(name))
    assert value[0] == 0
    assert gradient[0, 0] == 0


@each
def test_a_vocabulary_of_200_000(backend, name):
    student, teacher = draw_logits(200_000, "1", "float32", 1, 5)
    got = backend.value_and_gradient(name, student, teacher, middle(name), temperature=1.5)
    value_error, gradient_error = errors(got, reference(name, student, teacher, middle(name), temperature=1.5))
    assert value_error <= 1e-5
    if switch_distance(name)(student.astype(float), teacher.astype(float), middle(name), 1.5) > 1e-9:
        assert gradient_error <= 1e-5


# rows of (student, teacher), so that one call covers them all; two more classes that both forbid give it the usual shape
FORBIDDEN = np.asarray(
    [
        [[1.0, 0.5, -INF, 2.0], [0.3, 1.5, -INF, 0.1]],  # both forbid a class
        [[1.0, 0.5, -1.0, 2.0], [0.3, 1.5, -INF, 0.1]],  # the teacher alone
        [[1.0, 0.5, -INF, 2.0], [0.3, 1.5, -1.0, 0.1]],  # the student alone
        [[1.0, 0.5, -1.0, 2.0], [0.3, 1.5, -1.0, -INF]],  # the teacher forbids the student's top class
        [[1.0, -INF, -INF, 2.0], [0.3, 1.5, -INF, -INF]],  # all of it at once
        [[-INF, 0.0, -INF, -INF], [0.0, -INF, -INF, -INF]],  # no class in common
    ]
)
FORBIDDEN = np.pad(FORBIDDEN, ((0, 0), (0, 0), (0, SHAPE[1] - FORBIDDEN.shape[2])), constant_values=-INF)


@each
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_forbidden_classes(backend, name, dtype):
    student, teacher = FORBIDDEN[:, 0], FORBIDDEN[:, 1]
    value, gradient = backend.value_and_gradient(name, student, teacher, middle(name), dtype=dtype)
    want_value, want_gradient = reference(name, student, teacher, middle(name))
    tolerance = 1e-12 if dtype == "float64" else 5e-6
    np.testing.assert_allclose(value, want_value, rtol=tolerance)
    np.testing.assert_allclose(gradient, want_gradient, atol=tolerance * np.abs(want_gradient).max())
    assert not gradient[student == -INF].any()


@each
@pytest.mark.parametrize("side", ["student", "teacher"])
def test_bad_rows_are_nan_and_leave_others_alone(backend, name, side):
    good = np.asarray([[0.5, 1.0, -1.0, 0.0, 2.0, 1.5]] * SHAPE[0])
    student, teacher = good.copy(), good[:, ::-1].copy()
    bad = student if side == "student" else teacher
    bad[0, 0], bad[1] = np.nan, -INF
    value, gradient = backend.value_and_gradient(name, student, teacher, middle(name))
    assert np.isnan(value[:2]).all() and np.isnan(gradient[:2]).all()
    assert np.isfinite(value[2]) and np.isfinite(gradient[2]).all()


# --------------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize("name", [name for name in NAMES if "weight" in DIVERGENCES[name].parameters])
@pytest.mark.parametrize("weight", [0.0, 1.0, -0.1, 1.5, np.nan])
def test_weights_lie_between_0_and_1(backend, name, weight):
    with pytest.raises(ValueError, match=f"weight={weight}"):
        backend.value_and_gradient(name, np.zeros(SHAPE), np.zeros(SHAPE), {"weight": weight})


@each
def test_parameters_must_be_finite(backend, name):
    for parameter in DIVERGENCES[name].parameters:
        with pytest.raises(ValueError, match=f"{parameter}=nan"):
            backend.value_and_gradient(name, np.zeros(SHAPE), np.zeros(SHAPE), middle(name) | {parameter: np.nan})
