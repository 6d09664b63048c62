"""Class labels: their check, and which rows they leave out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.arguments import check_label_shape


def check_labels(labels: Any, logits_shape: tuple[int, ...], ignore_index: int) -> jax.Array:
    """Return `labels` as an array; ValueError for a bad type, shape or (where concrete) class."""
    array = jnp.asarray(labels)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(f"labels has type {array.dtype}; class indices must be integers")
    check_label_shape(logits_shape, array.shape)
    if not isinstance(array, jax.core.Tracer):
        values = np.asarray(array)
        wrong = values[((values < 0) | (values >= logits_shape[-1])) & (values != ignore_index)]
        if wrong.size:
            raise ValueError(
                f"labels holds {int(wrong[0])}; allowed are 0 to {logits_shape[-1] - 1} and ignore_index={ignore_index}"
            )
    return array
