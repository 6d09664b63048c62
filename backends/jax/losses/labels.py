"""Class labels: their check, their shift in language models, and the cross-entropy with them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.arguments import IGNORED_LABEL, check_label_shape, check_label_type, check_label_values, check_reduction
from .differentiable import Selection, select_rows


def check_labels(labels: Any, logits: jax.Array, ignore_index: int) -> jax.Array:
    """Return class indices that fit the logits.

    Raises:
        ValueError: a shape that does not fit, a concrete label that is no class, which JAX would take for another one.
        TypeError: labels that are not integers.
    """
    array = jnp.asarray(labels)
    check_label_type(array.dtype.name, jnp.issubdtype(array.dtype, jnp.integer))
    check_label_shape(logits.shape, array.shape)
    if not isinstance(array, jax.core.Tracer):
        check_label_values(np.asarray(array), logits.shape[-1], ignore_index)
    return array


def nan_where_unknown(logits: jax.Array, labels: jax.Array, ignore_index: int) -> jax.Array:
    """Logits `[..., classes]`, NaN in rows whose traced label is neither a class nor `ignore_index`."""
    if not isinstance(labels, jax.core.Tracer):
        return logits  # `check_labels` has looked at them
    known = _is_class(labels, logits) | (labels == ignore_index)
    # added, not chosen, so that the row's gradient is NaN too
    return logits + jnp.where(known, 0, jnp.nan).astype(logits.dtype)[..., None]


def _is_class(labels: jax.Array, logits: jax.Array) -> jax.Array:
    return (labels >= 0) & (labels < logits.shape[-1])


def shift_left(labels: Any, weights: Any, ignore_index: int) -> tuple[jax.Array, jax.Array | None]:
    """Labels and weights `[..., tokens]` one place to the left, so that input ids become the labels of the logits before them.

    The last place, whose logits predict what is not there, is ignored and weighs 0.

    Raises:
        ValueError: labels without an axis of tokens.
    """
    arrays = (jnp.asarray(labels), None if weights is None else jnp.asarray(weights))
    for name, array in zip(("labels", "weights"), arrays, strict=True):
        if array is not None and array.ndim == 0:
            raise ValueError(f"{name} has shape (); shift=True moves along the axis of tokens, so it must be [..., tokens]")
    labels, weights = (
        None if array is None else jnp.concatenate([array[..., 1:], jnp.full_like(array[..., :1], filling)], axis=-1)
        for array, filling in zip(arrays, (ignore_index, 0), strict=True)
    )
    return labels, weights


def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    ignore_index: int = IGNORED_LABEL,
    weights: Any = None,
    reduction: str = "mean",
    normalizer: Any = None,
) -> jax.Array:
    """−log softmax(logits)[label] over the rows whose label is not `ignore_index`; 0 where there is none.

    Args:
        logits: `[..., classes]` float32 or float64. Rows that do not count may hold anything.
        labels: `[...]` integers, labels[t] the class that logits[t] predicts; a row whose label is no class is NaN.
        weights: `[...]`, real, finite, ≥ 0, a constant: what each row counts, 1 if None.
        reduction: "mean" (Σ weight · D / Σ weight), "sum" or "none" (`[...]`, weight · D).
        normalizer: a positive number that the sum is divided by in place of Σ weight.
    """
    check_reduction(reduction)
    selection = select_rows(logits, labels != ignore_index, weights, reduction, normalizer)
    return selected_cross_entropy(logits, labels, selection, reduction)


def selected_cross_entropy(logits: jax.Array, labels: jax.Array, selection: Selection, reduction: str) -> jax.Array:
    """`cross_entropy` over the rows of a selection that has a mask."""
    logits = selection.counted(logits)
    known = _is_class(labels, logits)
    chosen = jnp.take_along_axis(logits, jnp.where(known, labels, 0)[..., None], axis=-1)[..., 0]
    rows = jnp.where(known, jax.nn.logsumexp(logits, axis=-1) - chosen, jnp.nan)
    return selection.reduced(jnp.where(selection.mask, rows, 0), reduction)
