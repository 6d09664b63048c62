"""The optimiser whose meaning the three backends share: PyTorch's own SGD is the standard."""

from collections.abc import Iterable

import torch


def sgd(parameters: Iterable[torch.nn.Parameter], *, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """SGD: buffer ← momentum · buffer + gradient + weight_decay · p; p ← p − learning_rate · buffer.

    The learning rate is set before each step (`training.train_student`).
    """
    return torch.optim.SGD(parameters, lr=0.0, momentum=momentum, weight_decay=weight_decay)
