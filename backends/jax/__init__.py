"""The α-β-divergence, its training loss and student training in JAX: pure functions, flax.nnx models, optax.

Everything here works under jit, vmap and grad; α, β and the temperature may be traced.
"""

from .divergences import ab_divergence
from .objectives import abkd_loss
from .training.optimizers import sgd
from .training.train import predict, train_student

__all__ = ["ab_divergence", "abkd_loss", "predict", "sgd", "train_student"]
