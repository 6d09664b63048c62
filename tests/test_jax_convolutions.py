"""JAX's own gradient of 3×3 convolutions, against XLA's."""

import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from backends.jax.models import convolutions  # noqa: E402

ARGUMENTS = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


def _gradients(function, x, kernel, cotangent):
    value, pull_back = jax.vjp(function, x, kernel)
    return value, *pull_back(cotangent.astype(value.dtype))


@pytest.mark.parametrize("shape", [(2, 5, 7, 3, 16), (3, 1, 1, 4, 2), (1, 4, 4, 32, 32), (2, 2, 9, 1, 1)])
def test_value_and_gradients_are_those_of_xla(shape):
    """Odd sizes, a single pixel, one channel: values are the same numbers, gradients the same but for rounding."""
    batch, height, width, channels, features = shape
    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(random.normal(size=(batch, height, width, channels)))
        kernel = jnp.asarray(random.normal(size=(3, 3, channels, features)))
        cotangent = jnp.asarray(random.normal(size=(batch, height, width, features)))
        padding = [(1, 1), (1, 1)]
        found = _gradients(lambda *a: convolutions.convolve(*a, (1, 1), padding, **ARGUMENTS), x, kernel, cotangent)
        wanted = _gradients(lambda *a: jax.lax.conv_general_dilated(*a, (1, 1), padding, **ARGUMENTS), x, kernel, cotangent)
        assert all(a.dtype == jnp.float64 for a in found)
    assert np.array_equal(found[0], wanted[0])
    for own, xla in zip(found[1:], wanted[1:], strict=True):
        np.testing.assert_allclose(own, xla, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("strides", "size", "channels"), [((2, 2), 3, 4), ((1, 1), 1, 4), ((1, 1), 3, convolutions.MOST_CHANNELS + 1)]
)
def test_other_convolutions_are_left_to_xla(strides, size, channels):
    """Strides, 1×1 kernels and many channels go to XLA's convolution as they are."""
    x, kernel = jnp.ones((1, 6, 6, channels)), jnp.ones((size, size, channels, 2))
    padding = [(size // 2, size // 2)] * 2
    found = jax.make_jaxpr(lambda *a: convolutions.convolve(*a, strides, padding, **ARGUMENTS))(x, kernel)
    assert [equation.primitive.name for equation in found.eqns] == ["conv_general_dilated"]


def test_narrow_types_keep_their_type():
    """Mixed precision: gradients of bfloat16 images and kernels are bfloat16."""
    x, kernel = jnp.ones((1, 4, 4, 2), jnp.bfloat16), jnp.ones((3, 3, 2, 2), jnp.bfloat16)
    value, of_x, of_kernel = _gradients(
        lambda *a: convolutions.convolve(*a, (1, 1), [(1, 1), (1, 1)], **ARGUMENTS), x, kernel, jnp.ones((1, 4, 4, 2))
    )
    assert value.dtype == of_x.dtype == of_kernel.dtype == jnp.bfloat16
