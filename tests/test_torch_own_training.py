"""A user's own teacher, student and data loader in PyTorch, as README shows it."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from backends.torch import ABKDLoss, ab_divergence, train_student


def task():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 20, generator=generator)
    labels = (inputs[:, :4].sum(1) > 0).long() + 2 * (inputs[:, 4] > 0).long()
    return DataLoader(TensorDataset(inputs, labels), batch_size=32, shuffle=True, generator=generator), inputs, labels


def network(width, seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(20, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 4))


def accuracy(model, inputs, labels):
    model.eval()
    with torch.no_grad():
        return (model(inputs).argmax(-1) == labels).float().mean().item()


def test_train_student_with_own_models_and_optimizer():
    loader, inputs, labels = task()
    teacher, student = network(64, 1), network(8, 2)
    train_student(None, teacher, loader, method="sft", learning_rate=0.1, epochs=10, progress=False)
    assert accuracy(teacher, inputs, labels) > 0.9
    result = train_student(
        teacher,
        student,
        loader,
        method="abkd",
        alpha=0.8,
        beta=0.2,
        temperature=2.0,
        distill_weight=4.0,
        optimizer=torch.optim.AdamW(student.parameters(), lr=1e-2),
        epochs=20,
        progress=False,
    )
    assert result.status == "ok"
    assert accuracy(student, inputs, labels) > 0.85
    assert not student.training


def test_bare_loss_in_a_hand_written_loop():
    loader, inputs, labels = task()
    teacher, student = network(64, 1), network(8, 2)
    train_student(None, teacher, loader, method="sft", learning_rate=0.1, epochs=10, progress=False)
    loss_function = ABKDLoss(alpha=0.8, beta=0.2, temperature=2.0, distill_weight=4.0)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    for _ in range(15):
        student.train()
        for x, y in loader:
            optimizer.zero_grad()
            with torch.no_grad():
                teacher_logits = teacher(x)
            loss = loss_function(student(x), teacher_logits, y)
            loss.backward()
            optimizer.step()
    assert accuracy(student, inputs, labels) > 0.85


def test_probabilities_move_over_as_log_probabilities():
    """Code with `ABKDLoss(p, q)` on probabilities, teacher first, becomes student first, logits or log-probabilities."""
    p = torch.softmax(torch.randn(5, 7, dtype=torch.float64), -1)
    q = torch.softmax(torch.randn(5, 7, dtype=torch.float64), -1)
    a, b = 0.8, 0.3
    article = -(p**a * q**b - a / (a + b) * p ** (a + b) - b / (a + b) * q ** (a + b)).sum(-1).mean() / (a * b)
    torch.testing.assert_close(ab_divergence(q.log(), p.log(), a, b), article)
