"""The α-β-divergence, its training loss and student training in JAX: pure functions, flax.nnx models, optax.

Everything here works under jit, vmap and grad; α, β and the temperature may be traced.
"""

from backends.jax.divergences import ab_divergence
from backends.jax.objectives import abkd_loss
from backends.jax.optimizers import sgd
from backends.jax.training import predict, train_student

__all__ = ["ab_divergence", "abkd_loss", "predict", "sgd", "train_student"]
