"""Hugging Face's models and Trainer with the losses, as docs/losses.md has them; where transformers is installed."""

import pytest
import torch
from test_backend_readme import LOSSES, blocks

from backends.torch import ABKDLoss

transformers = pytest.importorskip("transformers")
SIZES = {"vocab_size": 32, "n_positions": 16, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
CLASS = next(block for block in blocks(LOSSES) if "class DistillationTrainer" in block)


def model(seed, width):
    torch.manual_seed(seed)
    config = transformers.GPT2Config(n_embd=width, n_layer=1, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **SIZES)
    return transformers.GPT2LMHeadModel(config)


def batch():
    """Eight sequences in which each token is the one before plus 1; every other one is padded after a number of its own."""
    input_ids = torch.arange(8 * 12).reshape(8, 12) % 31 + 1
    attention_mask = (torch.arange(12) < torch.tensor([12, 3, 12, 7, 12, 5, 12, 9])[:, None]).long()
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "labels": input_ids.masked_fill(attention_mask == 0, -100),
    }


def gradients(network):
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])


def next_token_accuracy(shift):
    student, inputs = model(0, 16), batch()
    labels, loss_function = inputs.pop("labels"), ABKDLoss(1, 0, distill_weight=0, shift=shift)
    optimizer = torch.optim.AdamW(student.parameters(), lr=2e-2)
    for _ in range(60):
        optimizer.zero_grad()
        logits = student(**inputs).logits
        loss = loss_function(logits, torch.zeros_like(logits), labels)
        loss.backward()
        optimizer.step()
    assert loss < 1.0  # of both
    counted = labels[:, 1:] != -100
    return (logits.argmax(-1)[:, :-1] == labels[:, 1:])[counted].float().mean().item()


def test_shifted_labels_teach_the_next_token_and_others_a_copy():
    assert next_token_accuracy(shift=True) > 0.9
    assert next_token_accuracy(shift=False) < 0.2


def test_accumulated_gradients_are_those_of_the_large_batch():
    student, teacher, inputs = model(0, 16), model(1, 32).eval(), batch()
    labels, loss_function = inputs.pop("labels"), ABKDLoss(0.8, 0.3, temperature=2.0, distill_weight=2.0, shift=True)
    with torch.no_grad():
        teacher_logits = teacher(**inputs).logits
    whole = loss_function(student(**inputs).logits, teacher_logits, labels)
    whole.backward()
    wanted = gradients(student)
    student.zero_grad()
    tokens, total = (labels[:, 1:] != -100).sum(), 0.0
    for part in torch.arange(8).split(2):
        logits = student(**{name: value[part] for name, value in inputs.items()}).logits
        loss = loss_function(logits, teacher_logits[part], labels[part], normalizer=tokens)
        loss.backward()
        total += loss.item()
    assert total == pytest.approx(whole.item(), rel=1e-6)
    assert (gradients(student) - wanted).abs().max() <= 1e-6 * wanted.abs().max()


def test_an_output_object_is_refused_with_what_to_pass():
    output, labels = model(0, 16)(batch()["input_ids"]), batch()["labels"]
    with pytest.raises(TypeError, match="student_logits is a CausalLMOutput.*pass its .logits"):
        ABKDLoss(0.8, 0.2)(output, output.logits, labels)


def test_the_trainer_of_the_page_accumulates_as_the_large_batch(tmp_path):
    pytest.importorskip("accelerate")
    names = {}
    exec(compile(CLASS, "losses.md", "exec"), names)
    rows = [{name: value[row] for name, value in batch().items()} for row in range(8)]
    students = []
    for size, accumulated in ((8, 1), (2, 4)):
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulated,
            max_steps=1,
            learning_rate=0.1,
            optim="sgd",
            max_grad_norm=0,
            lr_scheduler_type="constant",
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        student = model(0, 16)
        loss_function = ABKDLoss(0.6, 0.3, shift=True)
        trainer = names["DistillationTrainer"](
            student, arguments, train_dataset=rows, teacher=model(1, 32), loss_function=loss_function
        )
        trainer.train()
        students.append(torch.cat([parameter.detach().flatten() for parameter in student.parameters()]))
    start = torch.cat([parameter.detach().flatten() for parameter in model(0, 16).parameters()])
    moved = (students[0] - start).abs().max()
    assert moved > 1e-4
    assert (students[0] - students[1]).abs().max() <= 1e-4 * moved
