"""What is particular to the loss in PyTorch: autograd, torch.compile, torch.func, autocast, memory, missing compilers."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from backends.torch import ABKDLoss, ab_divergence
from backends.torch.losses.execution import COMPILE_FROM, compiled_variants
from reference.divergences import ab_divergence_and_gradient


def logits(*shape, seed=0, **kwargs):
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **kwargs)


def gradient(function, student):
    student = student.detach().clone().requires_grad_()
    (result,) = torch.autograd.grad(function(student), student)
    return result


def test_gradcheck():
    student, teacher = logits(4, 6, dtype=torch.float64).requires_grad_(), logits(4, 6, seed=1, dtype=torch.float64)
    mask = torch.tensor([True, True, False, True])
    for reduction in ("mean", "sum", "none"):
        assert torch.autograd.gradcheck(
            lambda z, how=reduction: ab_divergence(z, teacher, 0.4, 0.3, temperature=1.7, mask=mask, reduction=how), student
        )


def test_teacher_gets_no_gradient():
    student, teacher = logits(4, 6).requires_grad_(), logits(4, 6, seed=1).requires_grad_()
    ab_divergence(student, teacher, 0.4, 0.3).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_second_derivative_raises(reduction):
    student, teacher = logits(4, 6).requires_grad_(), logits(4, 6, seed=1)
    value = ab_divergence(student, teacher, 0.4, 0.3, reduction=reduction).sum()
    (first,) = torch.autograd.grad(2.0 * value, student, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable|does not require grad|trying to differentiate twice"):
        torch.autograd.grad(first.sum(), student)


def test_backward_twice_gives_the_same():
    student, teacher = logits(4, 6).requires_grad_(), logits(4, 6, seed=1)
    loss = ab_divergence(student, teacher, 0.4, 0.3)
    loss.backward(retain_graph=True)
    once = student.grad.clone()
    loss.backward()
    torch.testing.assert_close(student.grad, 2 * once, rtol=0, atol=0)


def test_strides_do_not_matter():
    student, teacher = logits(6, 4).T, logits(6, 8, seed=1)[:, ::2].T
    want = ab_divergence(student.contiguous(), teacher.contiguous(), 0.4, 0.3)
    torch.testing.assert_close(ab_divergence(student, teacher, 0.4, 0.3), want, rtol=0, atol=0)


def test_torch_func_grad():
    student, teacher = logits(4, 6), logits(4, 6, seed=1)
    got = torch.func.grad(lambda z: ab_divergence(z, teacher, 0.4, 0.3))(student)
    torch.testing.assert_close(got, gradient(lambda z: ab_divergence(z, teacher, 0.4, 0.3), student))


def test_inside_a_users_torch_compile():
    student, teacher, labels = logits(64, 100), logits(64, 100, seed=1), torch.arange(64) % 100
    loss = ABKDLoss(0.8, 0.3, temperature=4.0, distill_weight=32.0)

    @torch.compile(fullgraph=True)
    def step(z):
        return loss(2 * z, teacher, labels)

    got, want = step(student), loss(2 * student, teacher, labels)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(gradient(step, student), gradient(lambda z: loss(2 * z, teacher, labels), student))


def test_under_autocast():
    layer = torch.nn.Linear(16, 100)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        student = layer(logits(8, 16))
        loss = ab_divergence(student, logits(8, 100, seed=1), 0.5, 0.5)
    assert student.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(layer.weight.grad).all()


def test_twenty_parameters_compile_one_variant_per_sign_pattern():
    rows = COMPILE_FROM // 500 + 1
    student, teacher = logits(rows, 500), logits(rows, 500, seed=1)
    before = compiled_variants()
    pairs = [(0.05 * i, 0.03 * i + 0.01) for i in range(1, 21)]
    counter = torch._dynamo.utils.counters
    graphs = counter["stats"]["unique_graphs"]
    for alpha, beta in pairs:
        compiled = ab_divergence(student, teacher, alpha, beta)
        wide = ab_divergence(student.double(), teacher.double(), alpha, beta)
        torch.testing.assert_close(compiled.double(), wide, rtol=2e-6, atol=0)
    assert compiled_variants() - before == 2  # one for float32, one for float64
    assert counter["stats"]["unique_graphs"] - graphs == 2
    assert not counter["graph_break"]


def test_row_blocks_agree_with_one_block():
    student, teacher = logits(701, 1000), logits(701, 1000, seed=1)
    rows = ab_divergence(student, teacher, 0.7, 0.1, reduction="none")
    parts = torch.stack([ab_divergence(z, p, 0.7, 0.1) for z, p in zip(student, teacher, strict=True)])
    torch.testing.assert_close(rows, parts, rtol=2e-6, atol=0)


def test_matches_kl_div_of_the_framework():
    student, teacher = logits(64, 1000), logits(64, 1000, seed=1)

    def kl(z):
        return functional.kl_div(z.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="batchmean")

    torch.testing.assert_close(ab_divergence(student, teacher, 1, 0), kl(student), rtol=2e-6, atol=0)
    got, want = gradient(lambda z: ab_divergence(z, teacher, 1, 0), student), gradient(kl, student)
    assert (got - want).abs().max() <= 5e-6 * want.abs().max()


def run(program, **environment):
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**__import__("os").environ, **environment},
    )


def test_without_a_compiler_it_works_and_says_so_once(tmp_path):
    done = run(
        """
        import torch
        from backends.torch import ab_divergence
        torch.manual_seed(0)
        student, teacher = torch.randn(600, 1000, requires_grad=True), torch.randn(600, 1000)
        for _ in range(3):
            loss = ab_divergence(student, teacher, 0.8, 0.3)
            loss.backward()
        exact = ab_divergence(student.double(), teacher.double(), 0.8, 0.3)
        assert abs(loss.item() / exact.item() - 1) < 1e-6
        """,
        CXX=str(tmp_path / "no-compiler"),
        PATH="/nonexistent",
        TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("runs in eager blocks of rows") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of resident memory from /proc")
@pytest.mark.parametrize("compiles", ["1", "0"])
def test_peak_memory_of_a_vocabulary(compiles):
    done = run(
        """
        import re, torch
        from backends.torch import ab_divergence
        def status(key):
            return int(re.search(key + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
        torch.set_num_threads(2)
        warm = torch.randn(64, 50257, requires_grad=True)
        ab_divergence(warm, torch.randn(64, 50257), 0.8, 0.3).backward()
        del warm
        student, teacher = torch.randn(512, 50257).requires_grad_(), torch.randn(512, 50257)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = status("VmRSS")
        ab_divergence(student, teacher, 0.8, 0.3).backward()
        print((status("VmHWM") - before) / (512 * 50257 * 4))
        """,
        ABKD_TORCH_COMPILE=compiles,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 3.5


@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (0, 1), (0.5, 0.5), (0.2, 0.7), (1, 1), (0.5, -0.5), (2, -1)])
def test_compiled_code_is_as_accurate_as_eager_code(alpha, beta):
    """Nearly equal logits, where e^x − 1 must not be computed as it is written; also with a class that is absent."""
    rows = COMPILE_FROM // 500 + 1
    teacher = 10 * torch.randn(rows, 500, generator=torch.Generator().manual_seed(0))
    student = teacher + 0.01 * torch.randn(rows, 500, generator=torch.Generator().manual_seed(1))
    for absent in (False, True):
        if absent:
            student[:, 3] = teacher[:, 3] = -torch.inf
        few = slice(0, 50)
        value, slope = ab_divergence_and_gradient(
            student[few].numpy(), teacher[few].numpy(), float(alpha), float(beta), reduction="none"
        )
        before = compiled_variants()
        got = ab_divergence(student, teacher, alpha, beta, reduction="none")
        gradients = gradient(lambda z: ab_divergence(z, teacher, alpha, beta, reduction="none").sum(), student)
        assert compiled_variants() >= max(before, 1)
        assert (abs(got[few].numpy() - value) / value).max() <= 1e-5
        assert (abs(gradients[few].numpy() - slope).max(-1) / abs(slope).max(-1)).max() <= 1e-5


def test_the_package_under_two_names_in_one_process_is_refused(tmp_path):
    """The operator's name is one for the process; the sentence names both packages."""
    clone = Path(__file__).parent.parent
    (tmp_path / "abkd").symlink_to(clone / "backends", target_is_directory=True)
    path = os.pathsep.join((str(tmp_path), str(clone)))
    code = "import backends.torch, abkd.torch"
    ended = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "ImportError" in ended.stderr and "import either 'backends' or 'abkd'" in ended.stderr
