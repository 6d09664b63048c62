"""Class labels: their check, and the cross-entropy with them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.arguments import IGNORED_LABEL, check_label_shape


def check_labels(labels: Any, logits: jax.Array, ignore_index: int) -> jax.Array:
    """Return class indices that fit the logits.

    Raises:
        ValueError: a shape that does not fit, a concrete label that is no class, which JAX would take for another one.
        TypeError: labels that are not integers.
    """
    array = jnp.asarray(labels)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"labels has type {array.dtype}; class indices must be integers")
    check_label_shape(logits.shape, array.shape)
    if not isinstance(array, jax.core.Tracer):
        values = np.asarray(array)
        wrong = values[((values < 0) | (values >= logits.shape[-1])) & (values != ignore_index)]
        if wrong.size:
            raise ValueError(
                f"labels holds {int(wrong[0])}; allowed are 0 to {logits.shape[-1] - 1} and ignore_index={ignore_index}"
            )
    return array


def cross_entropy(logits: jax.Array, labels: jax.Array, *, ignore_index: int = IGNORED_LABEL) -> jax.Array:
    """Mean of −log softmax(logits)[label] over the rows whose label is not `ignore_index`; 0 where there is none.

    Args:
        logits: `[..., classes]` float32 or float64. Ignored rows may hold anything.
        labels: `[...]` integers; a row whose label is no class is NaN.
    """
    counts = labels != ignore_index
    logits = jnp.where(counts[..., None], logits, 0)
    known = (labels >= 0) & (labels < logits.shape[-1])
    chosen = jnp.take_along_axis(logits, jnp.where(known, labels, 0)[..., None], axis=-1)[..., 0]
    rows = jnp.where(known, jax.nn.logsumexp(logits, axis=-1) - chosen, jnp.nan)
    number = jnp.maximum(counts.sum(), 1).astype(logits.dtype)
    return jnp.where(counts, rows, 0).sum() / number
