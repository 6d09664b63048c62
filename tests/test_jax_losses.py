"""Losses of JAX under its transformations: weights, labels, masks that are traced; weights near 1; the numbers of a type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backends.jax import ab_divergence, abkd_loss, divergences, objectives
from reference import objectives as reference_objectives
from reference.catalogue import DIVERGENCES

INF = np.inf
LABELS = np.array([1, -100, 0, 2])
WEIGHTS = np.array([0.5, 1.0, 2.0, 0.25], np.float32)


@pytest.fixture(autouse=True)
def set_up(backend):
    """Every test runs under the suites' set-up: CPU, float64 enabled."""


@pytest.fixture(scope="module")
def logits():
    random = np.random.RandomState(0)
    return tuple(jnp.asarray(random.standard_normal((4, 3)), jnp.float32) for _ in range(2))


@pytest.mark.parametrize("weight", [0.999, 1 - 1e-6, 1 - 1e-8, 1 - 1e-12])
@pytest.mark.parametrize("name", ["jensen_shannon", "skewed_forward_kl", "skewed_reverse_kl"])
def test_weights_near_one_keep_what_they_lack_to_it(logits, name, weight):
    student, teacher = logits
    value, gradient = jax.value_and_grad(lambda s: getattr(divergences, name)(s, teacher, weight))(student)
    want, want_gradient = DIVERGENCES[name].reference(np.asarray(student, float), np.asarray(teacher, float), weight)
    assert abs(value / want - 1) <= 1e-5
    assert np.abs(gradient - want_gradient).max() <= 1e-5 * np.abs(want_gradient).max()


def test_traced_labels_that_are_no_class_make_their_row_nan(logits):
    student, teacher = logits
    labels = np.array([1, -100, 3, -1])
    calls = (
        lambda s, y: abkd_loss(s, teacher, y, 0.8, 0.2, hard_weight=0.0, reduction="none"),
        lambda s, y: objectives.abdkd_loss(s, teacher, y, reduction="none"),
    )
    for call in calls:
        assert np.isnan(jax.jit(call)(student, labels)).tolist() == [False, False, True, True]
    assert np.isnan(jax.jit(lambda s, y: objectives.sequence_loss(s, teacher, y))(student, labels))


def test_traced_weights_and_normalizer_are_those_of_concrete_ones(logits):
    student, teacher = logits

    def loss(student, weights, normalizer):
        return abkd_loss(student, teacher, LABELS, 0.8, 0.2, weights=weights, normalizer=normalizer)

    want = jax.value_and_grad(loss)(student, WEIGHTS, 7)
    got = jax.jit(jax.value_and_grad(loss))(student, WEIGHTS, 7)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-6)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-5, atol=1e-8)
    slopes = jax.grad(loss, argnums=(1, 2))(student, WEIGHTS, 7.0)
    assert not any(np.any(slope) for slope in slopes)


def test_a_floating_mask_that_is_traced_is_refused(logits):
    student, teacher = logits
    call = jax.jit(lambda mask: ab_divergence(student, teacher, 0.8, 0.2, mask=mask))
    with pytest.raises(TypeError, match=r"mask.astype\(bool\)"):
        call(jnp.ones(4))
    assert np.isfinite(call(jnp.ones(4, bool)))


def test_an_infinite_divergence_of_weight_zero_does_not_count():
    student, teacher = jnp.asarray([[1.0, -INF, 3.0]]), jnp.asarray([[0.0, 1.0, 0.0]])
    value = abkd_loss(student, teacher, jnp.array([0]), 1.0, 0.0, distill_weight=0)
    assert value == pytest.approx(2.126928, rel=1e-6)
    value = objectives.dkd_loss(student, teacher, jnp.array([0]), target_weight=1.0, non_target_weight=0)
    assert np.isfinite(value)


def test_rows_without_a_class_in_common_have_no_gradient():
    """Where the loss does not change with the student, the gradient is 0 to the last digit."""
    student, teacher = jnp.asarray([[0.3, -1.1, 0.7, -INF]]), jnp.asarray([[-INF, -INF, -INF, 0.0]])
    for call in (
        lambda s: divergences.reverse_kl(s, teacher),
        lambda s: divergences.squared_hellinger(s, teacher),
        lambda s: divergences.total_variation(s, teacher),
        lambda s: divergences.jensen_shannon(s, teacher),
        lambda s: divergences.skewed_forward_kl(s, teacher),
    ):
        assert not np.any(jax.grad(call)(student))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"alpha": 1e300}, "alpha=1e"),
        ({"temperature": 1e-38}, "temperature=1e-38"),
        ({"temperature": 1e300}, r"temperature=1e\+300"),
    ],
)
def test_numbers_that_the_type_does_not_hold_are_named(logits, arguments, name):
    with pytest.raises(ValueError, match=name):
        ab_divergence(*logits, **{"alpha": 0.8, "beta": 0.2, **arguments})
    with pytest.raises(ValueError, match="weight=1e-50"):
        divergences.jensen_shannon(*logits, 1e-50)


@pytest.mark.parametrize("size", [1e38, 3.4e38])
@pytest.mark.parametrize("temperature", [1.0, 1.2e-38, 1e38])
def test_logits_at_the_edge_of_the_type_give_no_nan(logits, size, temperature):
    edge = jnp.asarray(
        [[size, -size, 0, 1], [-size, 1, 2, 3], [size, size, -size, 0], [1, 2, size / 4, -size / 4]], jnp.float32
    )
    for teacher in (edge[::-1], jnp.roll(edge, 1, 0)):
        for alpha, beta in ((0.8, 0.2), (0.0, 0.0), (8.0, -3.0)):
            call = lambda s, t=teacher, a=alpha, b=beta: ab_divergence(s, t, a, b, temperature=temperature)  # noqa: E731
            value, gradient = jax.value_and_grad(call)(edge)
            assert value >= 0 and not np.isnan(gradient).any()


def test_swapped_arguments_are_noticed(logits):
    student, teacher = logits
    with pytest.warns(UserWarning, match="student_logits comes first") as seen:
        jax.grad(lambda t: ab_divergence(student, t, 0.8, 0.2))(teacher)
    assert seen[0].filename == __file__


def test_half_types_round_a_scaled_gradient_once(logits):
    """Loss scaling in float16: a factor saves what would vanish, and nothing is infinite."""
    student, teacher = (z.astype(jnp.float16) for z in logits)

    def scaled(student):
        return 4096.0 * 1e-6 * abkd_loss(student, teacher, LABELS, 0.8, 0.2)

    exact = jax.grad(scaled)(student.astype(jnp.float32))
    assert np.abs(jax.grad(scaled)(student) - exact).max() <= 2**-11 * np.abs(exact).max()


def test_dist_loss_agrees_with_the_reference_on_one_weighted_row(logits):
    student, teacher = (np.asarray(z, np.float64) for z in logits)
    weights = np.array([0.0, 3.0, 0.0, 0.0])
    want, _ = reference_objectives.dist_loss_and_gradient(student, teacher, weights=weights)
    assert objectives.dist_loss(student, teacher, weights=weights) == pytest.approx(want, rel=1e-9)


def test_gradient_accumulation_is_exact_in_a_language_model():
    """Four parts under lax.scan, in float32, against the whole batch: an embedding, a mixing layer and a head."""
    random = np.random.RandomState(0)
    weights = [jnp.asarray(0.3 * random.standard_normal(shape), jnp.float32) for shape in ((11, 6), (6, 6), (6, 11))]
    tokens = jnp.asarray(random.randint(0, 11, (8, 5)))
    labels = tokens.at[0, 2:].set(-100).at[5, 1:].set(-100)
    teacher = jnp.asarray(random.standard_normal((8, 5, 11)), jnp.float32)

    def loss(weights, tokens, teacher, labels, normalizer):
        embedding, mixing, head = weights
        hidden = jnp.tanh(jnp.cumsum(embedding[tokens], 1) @ mixing)
        return abkd_loss(hidden @ head, teacher, labels, 0.8, 0.2, shift=True, normalizer=normalizer)

    @jax.jit
    def accumulated(weights):
        parts = [x.reshape(4, 2, *x.shape[1:]) for x in (tokens, teacher, labels)]
        count = (labels[:, 1:] != -100).sum()

        def step(total, part):
            gradient = jax.grad(loss)(weights, *part, count)
            return jax.tree.map(jnp.add, total, gradient), None

        return jax.lax.scan(step, jax.tree.map(jnp.zeros_like, weights), parts)[0]

    whole = jax.grad(loss)(weights, tokens, teacher, labels, None)
    for got, want in zip(accumulated(weights), whole, strict=True):
        assert np.abs(got - want).max() <= 1e-6 * np.abs(want).max()
