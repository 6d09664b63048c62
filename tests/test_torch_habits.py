"""What PyTorch's users do with a loss: scale it in float16, mask by finfo.min, compile schedules, swap or wrap arguments."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from backends.torch import ABKDLoss, ab_divergence
from backends.torch.divergences import forward_kl, jensen_shannon
from backends.torch.losses.execution import COMPILE_FROM
from backends.torch.objectives import dkd_loss, kd_loss, sequence_loss, ttm_loss

LABELS = torch.arange(64) % 10


def logits(*shape, seed=0, dtype=torch.float32):
    return (3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).to(dtype)


def gradient(function, student):
    student = student.detach().clone().requires_grad_()
    (result,) = torch.autograd.grad(function(student), student)
    return result


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1.01, 256.0, 65536.0])
@pytest.mark.parametrize(
    "loss",
    [
        lambda z, t: forward_kl(z, t),
        lambda z, t: ab_divergence(z, t, 0.8, 0.2, reduction="none").mean(),
        lambda z, t: kd_loss(z, t, temperature=4.0),
        lambda z, t: ABKDLoss(0.8, 0.2, distill_weight=3.0)(z, t, LABELS),
        lambda z, t: sequence_loss(z, t, LABELS, divergence="jensen_shannon"),
    ],
    ids=["kl", "rows", "kd", "abkd", "sequence"],
)
def test_half_gradients_are_scaled_before_they_are_rounded(loss, scale, dtype):
    """What float32 gives, times the scale, rounded once: nothing overflows or is lost that need not."""
    student, teacher = logits(64, 200, dtype=dtype), logits(64, 200, seed=1, dtype=dtype)
    want = scale * gradient(lambda z: loss(z, teacher), student.float()).double()
    got = gradient(lambda z: scale * loss(z, teacher), student).double()
    ulp = torch.finfo(dtype).eps / 2
    assert torch.isfinite(got).all()
    assert (
        (got - want).abs() <= 1.01 * ulp * want.abs() + torch.finfo(dtype).smallest_normal * ulp + 1e-9 * want.abs().max()
    ).all()


def test_the_scaler_of_amp_loses_nothing():
    student, teacher = logits(64, 100, dtype=torch.float16).requires_grad_(), logits(64, 100, seed=1, dtype=torch.float16)
    torch.amp.GradScaler("cpu").scale(forward_kl(student, teacher)).backward()
    assert torch.isfinite(student.grad).all()
    assert (student.grad != 0).all()


@pytest.mark.parametrize(("alpha", "beta"), [(0.8, 0.2), (0.8, 0.3), (1.0, 1.0), (1.0, 0.0), (0.5, -0.5)])
def test_compiled_code_takes_the_least_number_for_minus_infinity(alpha, beta):
    rows = COMPILE_FROM // 500 + 1
    results = []
    for hidden in (torch.finfo(torch.float32).min, -torch.inf):
        student, teacher = logits(rows, 500), logits(rows, 500, seed=1)
        student[:, 3:5], teacher[:, 3:5] = hidden, hidden
        student[:, 6], teacher[:, 7] = hidden, hidden
        values = ab_divergence(student, teacher, alpha, beta, reduction="none")
        results.append((values, gradient(lambda z, t=teacher: ab_divergence(z, t, alpha, beta), student)))
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=0)


STEPS = [(0.1 * i + 0.05, 0.05 * i, 1 + i / 3) for i in range(6)]
SCHEDULES = {
    "ab_divergence": lambda z, t, a, b, T: ab_divergence(z, t, a, b, temperature=T),
    "jensen_shannon": lambda z, t, a, b, T: jensen_shannon(z, t, a, temperature=T),
    "kd_loss": lambda z, t, a, b, T: kd_loss(z, t, temperature=T),
    "dkd_loss": lambda z, t, a, b, T: dkd_loss(z, t, LABELS, temperature=T, target_weight=b),
    "ttm_loss": lambda z, t, a, b, T: ttm_loss(z, t, gamma=a),
}


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_schedules_compile_twice_at_most(name, kind):
    student, teacher = logits(64, 10).requires_grad_(), logits(64, 10, seed=1)
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    step = torch.compile(SCHEDULES[name], fullgraph=True, backend=counter)
    for numbers in STEPS:
        given = [kind(number) for number in numbers]
        got, want = step(student, teacher, *given), SCHEDULES[name](student, teacher, *given)
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(*(torch.autograd.grad(x, student)[0] for x in (got, want)))
    assert counter.frame_count <= 2


def test_attributes_and_normalizers_of_the_loss_may_change_under_compile():
    loss = ABKDLoss(0.5, 0.5)
    student, teacher = logits(64, 10), logits(64, 10, seed=1)
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    step = torch.compile(lambda z, count: loss(z, teacher, LABELS, normalizer=count), fullgraph=True, backend=counter)
    for index, numbers in enumerate(STEPS):
        loss.alpha, loss.beta, loss.temperature = numbers
        count = torch.tensor(40 + index)
        torch.testing.assert_close(step(student, count), loss(student, teacher, LABELS, normalizer=count))
    assert counter.frame_count <= 2


def test_compiled_code_checks_numbers_and_labels_as_far_as_it_can():
    student, teacher = logits(64, 10), logits(64, 10, seed=1)
    step = torch.compile(lambda T: forward_kl(student, teacher, temperature=T), fullgraph=True, backend="aot_eager")
    with pytest.raises(ValueError, match="temperature=-2.0"):
        step(torch.tensor(-2.0))
    for hard_weight in (0.0, 1.0):
        loss = torch.compile(ABKDLoss(0.8, 0.2, hard_weight=hard_weight), fullgraph=True, backend="aot_eager")
        assert torch.isnan(loss(student, teacher, LABELS + 1))
        assert torch.isfinite(loss(student, teacher, LABELS))


def test_swapped_networks_are_noticed_once_a_line():
    student, teacher = logits(4, 6).requires_grad_(), logits(4, 6, seed=1)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            ABKDLoss(0.8, 0.2)(teacher, student, LABELS[:4])
            forward_kl(student, teacher)
        with torch.no_grad():
            forward_kl(teacher, student)
    assert len(seen) == 1 and seen[0].filename == __file__
    assert "student_logits comes first" in str(seen[0].message)


def test_what_is_no_tensor_is_named():
    student, array = logits(4, 6), np.zeros((4, 6))
    with pytest.raises(TypeError, match=r"student_logits is a NumPy array; pass torch.from_numpy\(student_logits\)"):
        forward_kl(array, student)
    with pytest.raises(TypeError, match="teacher_logits is a SimpleNamespace; pass its .logits"):
        ABKDLoss(0.8, 0.2)(student, SimpleNamespace(logits=student), LABELS[:4])
    with pytest.raises(TypeError, match="labels is a NumPy array"):
        dkd_loss(student, student, np.zeros(4, int))
    with pytest.raises(TypeError, match=r"student_logits is a dict; .*\[\"logits\"\]"):
        kd_loss({"logits": student}, student)
    with pytest.raises(TypeError, match="weights is a list"):
        kd_loss(student, student, weights=[1, 2, 3, 4])
