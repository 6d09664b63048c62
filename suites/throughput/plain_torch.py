"""Distillation as a user of PyTorch writes it: own modules from `torch.nn`, a loop, a data loader."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from backends.common.networks.convolutional import ConvolutionalSpec
from suites.throughput.plain import Images, Plain
from suites.throughput.problems import LEARNING_RATE, Problem

PAD = 4


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of `[batch, …]` images."""
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return functional.relu(out, inplace=True)


class ResNet(nn.Module):
    """Residual network for images of 32×32."""

    def __init__(self, widths: tuple[int, ...], blocks: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        layers, channels = [], widths[0]
        for stage, width in enumerate(widths[1:]):
            for number in range(blocks):
                layers.append(Block(channels, width, 2 if stage and not number else 1))
                channels = width
        self.blocks = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes]`."""
        x = functional.relu(self.bn(self.conv(x)), inplace=True)
        return self.fc(self.pool(self.blocks(x)).flatten(1))


class AugmentedImages(Dataset):
    """Crop, flip and normalise each image when it is asked for."""

    def __init__(self, images: Images) -> None:
        self.pixels = torch.from_numpy(images.pixels).permute(0, 3, 1, 2)
        self.labels = torch.from_numpy(images.labels)
        self.mean, self.std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (images.mean, images.std))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = functional.pad(self.pixels[index], (PAD,) * 4)
        top, left = torch.randint(0, 2 * PAD + 1, (2,)).tolist()
        image = image[:, top : top + 32, left : left + 32]
        if torch.rand(()) < 0.5:
            image = image.flip(-1)
        return (image.float() / 255 - self.mean) / self.std, self.labels[index]


def distillation_loss(
    student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, method: str, objective: dict[str, float]
) -> torch.Tensor:
    """The training loss, from probabilities where it is ABKD's."""
    temperature = objective["temperature"]
    hard = functional.cross_entropy(student, labels)
    if method == "kd":
        log_q, p = functional.log_softmax(student / temperature, 1), functional.softmax(teacher / temperature, 1)
        soft = functional.kl_div(log_q, p, reduction="batchmean") * temperature**2
    else:
        a, b = objective["alpha"], objective["beta"]
        p, q = functional.softmax(teacher / temperature, 1), functional.softmax(student / temperature, 1)
        terms = p**a * q**b - a / (a + b) * p ** (a + b) - b / (a + b) * q ** (a + b)
        soft = -terms.sum(1).mean() / (a * b)
    return objective["hard_weight"] * hard + objective["distill_weight"] * soft


def prepare(problem: Problem, images: Images) -> Plain:
    """Build the loops: preloaded batches in both memory layouts, and a data loader."""
    contiguous, channels_last = _Training(problem), _Training(problem, torch.channels_last)
    loops = {
        "plain, contiguous": _cycle(contiguous, _preloaded(images, problem, torch.contiguous_format), problem),
        "plain, channels_last": _cycle(channels_last, _preloaded(images, problem, torch.channels_last), problem),
        "plain, data loader": _cycle(_Training(problem), _loaded(images, problem), problem),
    }

    def loss(*arrays: np.ndarray) -> float:
        tensors = (torch.from_numpy(array) for array in arrays)
        return distillation_loss(*tensors, problem.method, problem.objective).item()

    return Plain(loops, loss, tuple(sum(p.numel() for p in m.parameters()) for m in contiguous.networks))


class _Training:
    """Networks, optimizer and one step."""

    def __init__(self, problem: Problem, layout: torch.memory_format = torch.contiguous_format) -> None:
        self.method, self.objective = problem.method, problem.objective
        self.networks = [_build(spec).to(problem.device, memory_format=layout) for spec in problem.networks]
        self.teacher, self.student = self.networks
        self.teacher.eval()
        self.optimizer = torch.optim.SGD(
            self.student.parameters(),
            lr=LEARNING_RATE,
            momentum=problem.recipe.training["momentum"],
            weight_decay=problem.recipe.training["weight_decay"],
        )

    def step(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """One update."""
        with torch.no_grad():
            teacher = self.teacher(inputs)
        loss = distillation_loss(self.student(inputs), teacher, labels, self.method, self.objective)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def _build(spec: ConvolutionalSpec) -> ResNet:
    return ResNet(spec.widths, spec.blocks, spec.classes)


def _preloaded(images: Images, problem: Problem, layout: torch.memory_format) -> Iterator[Any]:
    batches = [
        (
            torch.from_numpy(x).permute(0, 3, 1, 2).to(problem.device).contiguous(memory_format=layout),
            torch.from_numpy(y).to(problem.device),
        )
        for x, y in images.batches
    ]
    while True:
        yield from batches


def _loaded(images: Images, problem: Problem) -> Iterator[Any]:
    loader = DataLoader(AugmentedImages(images), problem.recipe.training["batch_size"], shuffle=True, drop_last=True)
    while True:
        for inputs, labels in loader:
            yield inputs.to(problem.device), labels.to(problem.device)


def _cycle(training: _Training, batches: Iterator[Any], problem: Problem) -> Callable[[], None]:
    def run() -> None:
        training.student.train()
        for _ in range(problem.steps):
            training.step(*next(batches))
        if problem.device != "cpu":
            torch.cuda.synchronize()

    return run
