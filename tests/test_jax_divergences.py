"""What is particular to JAX: transformations of divergence and loss, traced parameters, the compilation cache."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backends.jax import ab_divergence, abkd_loss
from backends.jax.losses import abkd, execution

POINTS = [(0.1 * i, 1.5 - 0.1 * i) for i in range(20)]


@pytest.fixture(autouse=True)
def set_up(backend):
    """Every test runs under the suites' set-up: CPU, float64 enabled."""


@pytest.fixture
def logits():
    random = np.random.RandomState(0)
    return (jnp.asarray(3 * random.standard_normal((6, 10)), jnp.float32) for _ in range(2))


def test_jit_and_eager_agree(logits):
    student, teacher = logits
    eager = ab_divergence(student, teacher, 0.8, 0.2)
    assert np.allclose(jax.jit(lambda s, t: ab_divergence(s, t, 0.8, 0.2))(student, teacher), eager, rtol=1e-6)


def test_gradient_of_jit_and_jit_of_gradient_agree(logits):
    student, teacher = logits
    function = lambda s: ab_divergence(s, teacher, 0.5, 0.3, temperature=2.0)  # noqa: E731
    expected = jax.grad(function)(student)
    assert expected.dtype == jnp.float32 and np.abs(expected).max() > 0
    np.testing.assert_allclose(jax.jit(jax.grad(function))(student), expected, atol=1e-7)
    np.testing.assert_allclose(jax.grad(jax.jit(function))(student), expected, atol=1e-7)


def test_vmap_over_rows_is_reduction_none(logits):
    student, teacher = logits
    rows = jax.vmap(lambda s, t: ab_divergence(s, t, 0.8, 0.2))(student, teacher)
    np.testing.assert_allclose(rows, ab_divergence(student, teacher, 0.8, 0.2, reduction="none"), rtol=1e-6)


def test_vmap_over_alpha_and_beta_gives_each_point(logits):
    student, teacher = logits
    alphas, betas = jnp.array([1.0, 0.0, 0.5, -0.5]), jnp.array([0.0, 1.0, 0.5, 1.5])
    values = jax.vmap(lambda a, b: ab_divergence(student, teacher, a, b))(alphas, betas)
    expected = [float(ab_divergence(student, teacher, float(a), float(b))) for a, b in zip(alphas, betas, strict=True)]
    np.testing.assert_allclose(values, expected, rtol=5e-6)


def test_per_row_gradient_by_vmap(logits):
    student, teacher = logits
    gradients = jax.vmap(jax.grad(lambda s, t: ab_divergence(s, t, 0.8, 0.2)))(student, teacher)
    whole = jax.grad(lambda s: ab_divergence(s, teacher, 0.8, 0.2, reduction="sum"))(student)
    np.testing.assert_allclose(gradients, whole, atol=1e-6)


def test_traced_parameters_give_the_value_of_concrete_ones(logits):
    student, teacher = logits
    traced = jax.jit(lambda a, b, t: ab_divergence(student, teacher, a, b, temperature=t))(0.7, -0.2, 4.0)
    np.testing.assert_allclose(traced, ab_divergence(student, teacher, 0.7, -0.2, temperature=4.0), rtol=1e-5)


def test_teacher_and_parameters_get_no_gradient(logits):
    student, teacher = logits
    gradients = jax.grad(lambda t, a, b, c: ab_divergence(student, t, a, b, temperature=c), argnums=(0, 1, 2, 3))(
        teacher, 0.7, 0.2, 2.0
    )
    assert all(np.all(np.asarray(g) == 0) for g in gradients)


def test_other_values_of_alpha_beta_temperature_do_not_retrace(logits):
    student, teacher = logits
    labels = jnp.arange(6)
    compiled = (
        execution.compiled_value_and_gradient,
        execution.compiled_value,
        abkd._compiled_value_and_gradient,
        abkd._compiled_value,
    )

    def call(alpha, beta):
        ab_divergence(student, teacher, alpha, beta, temperature=1 + abs(alpha))
        jax.grad(ab_divergence)(student, teacher, alpha, beta)
        abkd_loss(student, teacher, labels, alpha, beta, hard_weight=beta)
        jax.grad(abkd_loss)(student, teacher, labels, alpha, beta, distill_weight=1 + alpha)

    call(*POINTS[0])
    before = [function._cache_size() for function in compiled]
    for point in POINTS:
        call(*point)
    assert [function._cache_size() for function in compiled] == before


@pytest.mark.parametrize("outer", [jax.grad, jax.jacfwd])
def test_differentiating_the_gradient_raises(logits, outer):
    student, teacher = logits
    for function in (lambda s: ab_divergence(s, teacher, 0.8, 0.2), lambda s: abkd_loss(s, teacher, jnp.arange(6), 0.8, 0.2)):
        with pytest.raises(NotImplementedError, match="first derivatives"):
            outer(lambda s, f=function: jax.grad(f)(s).sum())(student)


def test_a_mask_under_jit_keeps_nan_rows_out(logits):
    student, teacher = logits
    student = student.at[2].set(jnp.nan)
    mask = jnp.arange(6) != 2
    function = jax.jit(jax.value_and_grad(lambda s, m: ab_divergence(s, teacher, 0.8, 0.2, mask=m)))
    value, gradient = function(student, mask)
    keep = np.array([0, 1, 3, 4, 5])
    np.testing.assert_allclose(value, ab_divergence(student[keep], teacher[keep], 0.8, 0.2), rtol=1e-6)
    assert np.all(gradient[2] == 0) and np.isfinite(gradient).all()


def test_computes_in_float64_only_for_a_float64_student(logits):
    student, teacher = logits
    assert ab_divergence(student, teacher.astype(jnp.float64), 0.8, 0.2).dtype == jnp.float32
    assert ab_divergence(student.astype(jnp.float64), teacher, 0.8, 0.2).dtype == jnp.float64
    half = student.astype(jnp.bfloat16)
    assert ab_divergence(half, teacher, 0.8, 0.2).dtype == jnp.float32
    assert jax.grad(ab_divergence)(half, teacher, 0.8, 0.2).dtype == jnp.bfloat16


def test_works_without_float64(logits):
    student, teacher = logits
    expected = ab_divergence(student, teacher, 0.8, 0.2)
    with jax.enable_x64(False):
        np.testing.assert_allclose(ab_divergence(student, teacher, 0.8, 0.2), expected, rtol=1e-6)


def test_bad_arguments_are_named(logits):
    student, teacher = logits
    with pytest.raises(ValueError, match="alpha=nan"):
        ab_divergence(student, teacher, float("nan"), 0.2)
    with pytest.raises(ValueError, match="temperature=0"):
        ab_divergence(student, teacher, 0.8, 0.2, temperature=0)
    with pytest.raises(ValueError, match="vmap"):
        jax.jit(lambda a: ab_divergence(student, teacher, a, 0.2))(jnp.ones(2))
    with pytest.raises(TypeError, match="floating|float64"):
        ab_divergence(jnp.ones((2, 3), jnp.int32), jnp.ones((2, 3)), 0.8, 0.2)
    with pytest.raises(ValueError, match="labels holds 10"):
        abkd_loss(student, teacher, jnp.full(6, 10), 0.8, 0.2)
