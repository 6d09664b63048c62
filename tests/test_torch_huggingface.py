"""The loss in a loop with a Hugging Face model: labels are input ids, and gradients are accumulated over parts of a batch."""

import pytest
import torch

from backends.torch import ABKDLoss
from backends.torch.objectives import sequence_loss

transformers = pytest.importorskip("transformers")

PARTS, TOKENS, VOCABULARY = 4, 12, 50


def model(seed, width):
    torch.manual_seed(seed)
    shape = {"n_positions": TOKENS, "n_embd": width, "n_layer": 1, "n_head": 2}
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=VOCABULARY, **shape, **dropout))


@pytest.fixture(scope="module")
def batch():
    """Input ids, and labels that leave differently many places of each sequence out."""
    torch.manual_seed(0)
    ids = torch.randint(0, VOCABULARY, (2 * PARTS, TOKENS))
    labels = ids.clone()
    for row in range(len(labels)):
        labels[row, : row + 1] = -100
    return ids, labels


def accumulated(loss, student, teacher, batch, parts):
    """Gradients of a student after a batch that comes in parts; `loss` gets num_items_in_batch, as a Trainer gives it."""
    student.zero_grad()
    ids, labels = batch
    items = (labels[:, 1:] != -100).sum()
    for some_ids, some_labels in zip(ids.chunk(parts), labels.chunk(parts), strict=True):
        with torch.no_grad():
            teacher_logits = teacher(some_ids).logits
        loss(student(some_ids).logits, teacher_logits, some_labels, normalizer=items).backward()
    return torch.cat([parameter.grad.flatten() for parameter in student.parameters()])


LOSSES = {
    "ABKDLoss": ABKDLoss(0.8, 0.2, temperature=2.0, distill_weight=4.0, shift=True),
    "sequence_loss": lambda *logits, **options: sequence_loss(*logits, shift=True, **options),
}


@pytest.mark.parametrize("name", list(LOSSES))
def test_accumulation_over_four_parts_is_the_large_batch(name, batch):
    student, teacher = model(1, 16), model(2, 32)
    whole = accumulated(LOSSES[name], student, teacher, batch, 1)
    parts = accumulated(LOSSES[name], student, teacher, batch, PARTS)
    assert (parts - whole).abs().max() <= 1e-6 * whole.abs().max()


@pytest.mark.parametrize("name", list(LOSSES))
def test_a_model_in_bfloat16(name, batch):
    student, teacher = model(1, 16), model(2, 32)
    exact = accumulated(LOSSES[name], student, teacher, batch, PARTS)
    rounded = accumulated(LOSSES[name], student.bfloat16(), teacher.bfloat16(), batch, PARTS).float()
    assert torch.isfinite(rounded).all()
    assert torch.nn.functional.cosine_similarity(rounded, exact, dim=0) > 0.99


def test_the_hard_term_is_the_models_own_loss(batch):
    """labels = input_ids: with shift=True the next token is learned, as `model(ids, labels=labels)` has it."""
    student = model(1, 16)
    ids, labels = batch
    output = student(ids, labels=labels)
    loss = ABKDLoss(0.8, 0.2, distill_weight=0.0, shift=True)
    torch.testing.assert_close(loss(output.logits, output.logits.detach(), labels), output.loss)
    with pytest.raises(TypeError, match="student_logits is a CausalLMOutput.*; pass its .logits"):
        loss(output, output.logits, labels)
