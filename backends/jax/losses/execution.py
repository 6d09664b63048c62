"""How divergences run: compiled by `jax.jit` once for each formula, types and shapes, whatever the parameters.

A formula is (rows, packed) → (terms, slopes), a function of its module's top level or made once by `row_divergence`:
compiled code is kept by it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from .rows import Rows, compare_rows

# (rows, packed parameters) → (terms, slopes), `[..., classes]`
RowFunction = Callable[[Rows, jax.Array], tuple[jax.Array, jax.Array]]


@partial(jax.jit, static_argnames="row_function")
def compiled_value(
    student: jax.Array, teacher: jax.Array, mask: Any, packed: jax.Array, *, row_function: RowFunction
) -> jax.Array:
    """Row values `[...]`, 0 in rows that do not count."""
    rows = compare_rows(student, teacher, mask, packed[0], packed[1])
    return _finish_value(rows, row_function(rows, packed)[0])


@partial(jax.jit, static_argnames="row_function")
def compiled_value_and_gradient(
    student: jax.Array, teacher: jax.Array, mask: Any, packed: jax.Array, *, row_function: RowFunction
) -> tuple[jax.Array, jax.Array]:
    """Row values `[...]` and their gradients `[..., classes]` in the computing type, 0 in rows that do not count."""
    return _value_and_gradient(row_function, student, teacher, mask, packed)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _value_and_gradient(row_function: RowFunction, student: Any, teacher: Any, mask: Any, packed: Any) -> tuple:
    """Row values `[...]` and their gradients `[..., classes]` in the computing type; differentiating them raises."""
    rows = compare_rows(student, teacher, mask, packed[0], packed[1])
    terms, slopes = row_function(rows, packed)
    return _finish_value(rows, terms), _finish_gradient(rows, slopes, packed[0])


def _refuse(*_: Any) -> Any:
    raise NotImplementedError(
        "the gradient of a divergence was differentiated again, which is not implemented; take first derivatives only "
        "(reverse mode, with respect to the student's logits)"
    )


_value_and_gradient.defvjp(_refuse, _refuse)


def _finish_value(rows: Rows, terms: jax.Array) -> jax.Array:
    """Σ of the terms, `[...]`."""
    values = jnp.where(rows.valid[..., 0], terms.sum(-1), jnp.nan)
    return values if rows.selected is None else jnp.where(rows.selected[..., 0], values, 0)


def _finish_gradient(rows: Rows, slopes: jax.Array, temperature: jax.Array) -> jax.Array:
    """∂D/∂z = (q Σh − h)/temperature, `[..., classes]`; a class that the student forbids stays so."""
    gradient = (rows.student_probability * slopes.sum(-1, keepdims=True) - slopes) / temperature
    gradient = jnp.where(rows.no_student, 0, gradient)
    gradient = jnp.where(rows.valid, gradient, jnp.nan)
    return gradient if rows.selected is None else jnp.where(rows.selected, gradient, 0)
