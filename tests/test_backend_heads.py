"""Methods whose term is of hidden states and output weights: what `takes="heads"` hands to it, in each framework."""

from importlib import import_module

import numpy as np
import pytest
from conftest import CHOSEN

from backends.common import methods

ROWS, WIDTH, HIDDEN, CLASSES = 6, 5, 4, 3
RANDOM = np.random.RandomState(0)
INPUTS = RANDOM.standard_normal((ROWS, WIDTH)).astype("float32")
LABELS = np.array([0, 2, 1, -100, 1, 0])


def arrays(seed):
    random = np.random.RandomState(seed)
    return [random.standard_normal(shape).astype("float32") for shape in ((WIDTH, HIDDEN), (CLASSES, HIDDEN))]


def torch_model(body, output):
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.output = (torch.nn.Parameter(torch.from_numpy(array)) for array in (body, output))

        def heads(self, inputs):
            return torch.tanh(inputs @ self.body), self.output

        def forward(self, inputs):
            hidden, weight = self.heads(inputs)
            return hidden @ weight.T

    return Model()


def jax_model(body, output):
    import jax.numpy as jnp
    from flax import nnx

    class Model(nnx.Module):
        def __init__(self):
            self.body, self.output = nnx.Param(jnp.asarray(body)), nnx.Param(jnp.asarray(output))

        def heads(self, inputs):
            return jnp.tanh(inputs @ self.body[...]), self.output[...]

        def __call__(self, inputs):
            hidden, weight = self.heads(inputs)
            return hidden @ weight.T

    return Model()


def tensorflow_model(body, output):
    import keras

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.body, self.head = (self.add_weight(shape=array.shape, name=name) for name, array in named.items())
            self.built = True

        def heads(self, inputs, training=False):
            return keras.ops.tanh(inputs @ self.body), keras.ops.convert_to_tensor(self.head)

        def call(self, inputs, training=False):
            hidden, weight = self.heads(inputs, training)
            return hidden @ keras.ops.transpose(weight)

    named = {"body": body, "head": output}
    model = Model()
    model.set_weights([body, output])
    return model


def model(seed):
    return {"torch": torch_model, "jax": jax_model, "tensorflow": tensorflow_model}[CHOSEN](*arrays(seed))


def batch():
    if CHOSEN == "torch":
        import torch

        return torch.from_numpy(INPUTS), torch.from_numpy(LABELS)
    return INPUTS, LABELS


@pytest.fixture
def heads_method(monkeypatch):
    """Σ (hidden states' difference)² + scale · (both weights' product), so that all four operands and their order count."""
    terms = import_module(f"backends.{CHOSEN}.losses.training_loss").TERMS
    total = import_module("tensorflow").reduce_sum if CHOSEN == "tensorflow" else lambda array: array.sum()

    def term(student_hidden, student_weight, teacher_hidden, teacher_weight, scale):
        return total((student_hidden - 2 * teacher_hidden) ** 2) + scale * total(student_weight * teacher_weight)

    monkeypatch.setitem(terms, "toy_heads", term)
    row = methods.Method("toy_heads", "Toy", "a test", "toy_heads", {"scale": 1.0}, takes="heads")
    monkeypatch.setitem(methods.METHODS, "toy_heads", row)


def step_loss(**arguments):
    train_student = import_module(f"backends.{CHOSEN}").train_student
    result = train_student(
        model(2), model(1), [batch()], method="toy_heads", learning_rate=0.1, epochs=1, progress=False, **arguments
    )
    return result.step_losses[0]


def test_a_term_of_heads_gets_hidden_states_and_output_weights_of_both(heads_method):
    (body, output), (teacher_body, teacher_output) = arrays(1), arrays(2)
    hidden, teacher_hidden = np.tanh(INPUTS @ body), np.tanh(INPUTS @ teacher_body)
    want = ((hidden - 2 * teacher_hidden) ** 2).sum() + 3 * (output * teacher_output).sum()
    assert step_loss(scale=3.0, hard_weight=0.0) == pytest.approx(want, rel=1e-5)
    # the cross-entropy is of the same hidden states times the same output weight
    logits = hidden @ output.T
    counted = LABELS >= 0
    rows = np.log(np.exp(logits).sum(-1)) - logits[np.arange(ROWS), np.maximum(LABELS, 0)]
    hard = rows[counted].mean()
    assert step_loss(scale=3.0, hard_weight=0.5) == pytest.approx(want + 0.5 * hard, rel=1e-5)
