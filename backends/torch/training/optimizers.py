"""The optimisers of `common.training.optimizers`, whose meaning is PyTorch's own, and optimisers' state for checkpoints."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ...common.training.optimizers import SGD, AdamW


def build_optimizer(
    optimizer: SGD | AdamW, named_parameters: Iterable[tuple[str, torch.nn.Parameter]]
) -> torch.optim.Optimizer:
    """PyTorch's optimizer for what `optimizer` describes.

    The learning rate is set before each step (`training.train_student`). All parameters are updated in one call
    ("fused"), which for networks of many small ones takes a tenth of the time.
    """
    names, parameters = zip(*named_parameters, strict=True)
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)
    if isinstance(optimizer, SGD):
        return torch.optim.SGD(
            parameters,
            lr=0.0,
            momentum=optimizer.momentum,
            weight_decay=optimizer.weight_decay,
            nesterov=optimizer.nesterov,
            fused=fused,
        )
    decays = optimizer.decays(names)
    groups = [
        {"params": [p for p, decayed in zip(parameters, decays, strict=True) if decayed is chosen], "weight_decay": decay}
        for chosen, decay in ((True, optimizer.weight_decay), (False, 0.0))
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=0.0, betas=optimizer.betas, eps=optimizer.epsilon, fused=fused)


def export_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimizer's state as tensors by name, and the rest as plain data.

    Raises:
        ValueError: the state holds something else than tensors and numbers.
    """
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, Any] = {"groups": [_plain_group(group) for group in state["param_groups"]], "numbers": {}}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}/{name}"] = value
            elif value is None or isinstance(value, (bool, int, float)):
                plain["numbers"][f"{index}/{name}"] = value
            else:
                raise ValueError(
                    f"optimizer={type(optimizer).__name__} keeps {name!r} as a {type(value).__name__}; checkpoints hold "
                    "tensors and numbers only. Train without a checkpoint, or use another optimizer"
                )
    return tensors, plain


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], plain: Mapping[str, Any]) -> None:
    """Put back what `export_optimizer` gave; tensors are converted to the parameters' types by PyTorch."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in (*tensors.items(), *plain["numbers"].items()):
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = value
    groups = [
        {**now, **{name: tuple(value) if isinstance(now.get(name), tuple) else value for name, value in saved.items()}}
        for now, saved in zip(optimizer.state_dict()["param_groups"], plain["groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            # fused updates go through memory in its order, so a state must lie as its parameter does (channels last)
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _plain_group(group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter group's numbers: what JSON holds."""
    return {
        name: value.item() if isinstance(value, torch.Tensor) else value
        for name, value in group.items()
        if isinstance(value, (bool, int, float, list, tuple, torch.Tensor)) or value is None
    }
