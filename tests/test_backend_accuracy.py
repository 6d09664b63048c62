"""Value and gradient of each backend against the reference, by type, (α, β), temperature, classes and spread."""

import numpy as np
import pytest

from reference.divergences import ab_divergence_and_gradient
from reference.golden import compute
from reference.grid import AB_GRID, TEMPERATURES, draw_logits, round_to

NON_NEGATIVE = [pair for pair in AB_GRID if min(pair) >= 0]
# float16's smallest step, nearer than half of which no stored gradient entry can be, and its largest number
SMALLEST_STEP = {"float16": 2.0**-24}
LARGEST = {"float16": 65504.0}


def row_errors(got, want, dtype="float64"):
    """Value error (relative; absolute below 1e-12) and gradient error (max|Δ| / max|g|) of each row."""
    value, gradient = got
    want_value, want_gradient = want
    value_error = np.abs(value - want_value) / np.where(want_value < 1e-12, 1.0, want_value)
    largest = np.abs(want_gradient).max(-1)
    step = SMALLEST_STEP.get(dtype, 0.0) / 2
    difference = np.maximum(np.abs(gradient - want_gradient) - step, 0).max(-1)
    return value_error, difference / np.where(largest < 1e-12, 1.0, largest)


def golden_errors(backend, case):
    student, teacher = case.inputs()
    value, gradient = backend.value_and_gradient(
        case.divergence, student, teacher, case.parameters, temperature=case.temperature, dtype=case.dtype
    )
    largest = LARGEST.get(case.dtype, np.inf)
    entries = np.clip(np.take_along_axis(gradient, case.gradient_index, axis=-1), -largest, largest)
    want_entries = np.clip(case.gradient_entries, -largest, largest)
    value_error = np.abs(value - case.value) / np.where(case.value < 1e-12, 1.0, case.value)
    step = SMALLEST_STEP.get(case.dtype, 0.0) / 2
    difference = np.maximum(np.abs(entries - want_entries) - step, 0).max(-1)
    return value_error.max(), (difference / np.where(case.gradient_max < 1e-12, 1.0, case.gradient_max)).max()


def in_small_region(case):
    return case.spread in ("1", "10", "near")


def in_wide_region(case):
    return min(case.parameters.values()) >= 0 and case.spread in ("1", "10", "100", "near")


def worst(backend, cases):
    errors = {case.name: golden_errors(backend, case) for case in cases}
    by_value = max(errors, key=lambda name: errors[name][0])
    by_gradient = max(errors, key=lambda name: errors[name][1])
    return (errors[by_value][0], by_value), (errors[by_gradient][1], by_gradient)


@pytest.mark.parametrize("classes", [10, 100, 50257])
@pytest.mark.parametrize(
    ("dtype", "region", "value_bound", "gradient_bound"),
    [
        ("float64", in_small_region, 1e-12, 1e-12),
        ("float64", in_wide_region, 1e-12, 1e-12),
        ("float32", in_small_region, 1e-5, 1e-5),
        # grid points are harder than random rows: one of them may be the one row in 500 whose inputs' difference rounds
        ("float32", in_wide_region, 1e-4, 1e-4),
        ("bfloat16", in_small_region, 1e-5, 8e-3),
        ("float16", in_small_region, 1e-5, 1e-3),
    ],
)
def test_golden_cases(backend, dtype, region, value_bound, gradient_bound, classes):
    cases = [case for case in compute.load(dtype=dtype, classes=classes) if region(case)]
    assert cases
    cases = cases if classes < 50257 else cases[::5]  # the agreement suite goes through all of them
    (value_error, at_value), (gradient_error, at_gradient) = worst(backend, cases)
    assert value_error <= value_bound, at_value
    assert gradient_error <= gradient_bound, at_gradient


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_whole_golden_grid_is_never_nan(backend, dtype):
    for case in compute.load(dtype=dtype, classes=100):
        student, teacher = case.inputs()
        value, gradient = backend.value_and_gradient(
            case.divergence, student, teacher, case.parameters, temperature=case.temperature, dtype=dtype
        )
        assert not np.isnan(value).any(), case.name
        assert not np.isnan(gradient).any(), case.name


def random_rows(count, seed):
    """Rows of 10 classes of many spreads, a third of them nearly equal, as float32 values."""
    random = np.random.RandomState(seed)
    spread = np.exp(random.uniform(np.log(0.1), np.log(100), (count, 1)))
    teacher = round_to(random.standard_normal((count, 10)) * spread, "float32")
    near = teacher + 0.01 * random.standard_normal((count, 10))
    apart = random.standard_normal((count, 10)) * spread
    student = np.where(np.arange(count)[:, None] % 3 == 0, near, apart)
    return round_to(student, "float32"), teacher


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_ten_thousand_random_rows_in_float32(backend, temperature):
    student, teacher = random_rows(10_000, seed=int(10 * temperature))
    value_errors, gradient_errors = [], []
    for part, (alpha, beta) in zip(np.array_split(np.arange(10_000), len(NON_NEGATIVE)), NON_NEGATIVE, strict=True):
        parameters = {"alpha": alpha, "beta": beta}
        got = backend.value_and_gradient("ab_divergence", student[part], teacher[part], parameters, temperature=temperature)
        want = ab_divergence_and_gradient(student[part], teacher[part], alpha, beta, temperature=temperature, reduction="none")
        value_error, gradient_error = row_errors(got, want)
        value_errors.append(value_error)
        gradient_errors.append(gradient_error)
    value_error, gradient_error = np.concatenate(value_errors), np.concatenate(gradient_errors)
    assert np.quantile(value_error, 0.998) <= 2e-6
    assert np.quantile(gradient_error, 0.998) <= 5e-6
    assert value_error.max() <= 1e-4
    assert gradient_error.max() <= 1e-4


@pytest.mark.parametrize(
    ("student_type", "teacher_type"), [("float32", "bfloat16"), ("bfloat16", "float32"), ("float64", "float32")]
)
def test_types_of_student_and_teacher_may_differ(backend, student_type, teacher_type):
    student, _ = draw_logits(100, "10", student_type, 4, 3)
    _, teacher = draw_logits(100, "10", teacher_type, 4, 3)
    got = backend.value_and_gradient(
        "ab_divergence", student, teacher, {"alpha": 0.3, "beta": 0.6}, dtype=student_type, teacher_dtype=teacher_type
    )
    value_error, gradient_error = row_errors(got, ab_divergence_and_gradient(student, teacher, 0.3, 0.6, reduction="none"))
    bounds = {"float32": (2e-6, 5e-6), "bfloat16": (1e-5, 8e-3), "float64": (1e-12, 1e-12)}[student_type]
    assert value_error.max() <= bounds[0]
    assert gradient_error.max() <= bounds[1]


@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7), (0, 7), (3, 1)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_leading_shapes_and_reductions(backend, shape, reduction):
    random = np.random.RandomState(0)
    student, teacher = random.standard_normal((2, *shape))
    mask = random.uniform(size=shape[:-1]) < 0.6
    for selected in (None, mask):
        value, gradient = backend.value_and_gradient(
            "ab_divergence",
            student,
            teacher,
            {"alpha": 0.4, "beta": -0.1},
            mask=selected,
            reduction=reduction,
            dtype="float64",
            temperature=2.0,
        )
        want_value, want_gradient = ab_divergence_and_gradient(
            student, teacher, 0.4, -0.1, mask=selected, reduction=reduction, temperature=2.0
        )
        assert value.shape == (shape[:-1] if reduction == "none" else ())
        assert gradient.shape == shape
        np.testing.assert_allclose(value, want_value, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(gradient, want_gradient, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.0, 1.0)])
def test_framework_kl_is_the_forward_special_case(backend, alpha, beta):
    student, teacher = draw_logits(100, "10", "float32", 64, 5)
    # the framework's KL(teacher ‖ student); swapping the arguments gives the reverse one, without its gradient
    kl = backend.prepare_call("framework_kl", *((student, teacher) if alpha else (teacher, student)), {})
    ours = backend.prepare_call("ab_divergence", student, teacher, {"alpha": alpha, "beta": beta})
    value, gradient = ours.result()
    kl_value, kl_gradient = kl.result()
    assert value == pytest.approx(kl_value, rel=2e-6)
    if alpha:
        assert np.abs(gradient - kl_gradient).max() <= 5e-6 * np.abs(kl_gradient).max()


def test_objective_matches_reference(backend):
    from reference.objectives import abkd_loss_and_gradient

    student, teacher = draw_logits(10, "10", "float64", 12, 9)
    labels = np.arange(12) % 10
    labels[3] = -100
    arguments = {"alpha": 0.8, "beta": 0.3, "temperature": 4.0, "distill_weight": 32.0, "hard_weight": 0.7}
    for dtype, bound in (("float64", 1e-12), ("float32", 1e-5)):
        rounded = round_to(student, dtype), round_to(teacher, dtype)
        value, gradient = backend.objective_and_gradient(*rounded, labels, **arguments, dtype=dtype)
        want_value, want_gradient = abkd_loss_and_gradient(*rounded, labels, **arguments)
        assert value == pytest.approx(want_value, rel=bound)
        assert np.abs(gradient - want_gradient).max() <= bound * np.abs(want_gradient).max()
        assert not gradient[3].any()


def test_objective_without_any_valid_row_is_zero(backend):
    student, teacher = draw_logits(10, "10", "float32", 3, 9)
    value, gradient = backend.objective_and_gradient(student, teacher, np.full(3, -100), alpha=0.8, beta=0.2)
    assert value == 0
    assert not gradient.any()
