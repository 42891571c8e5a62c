"""Steps: the optimiser, how its rate falls, and what is added to a loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import SGD, Adam, AdamW, Optimizer

from core.training.settings import TrainingSettings
from core.training.trainable import TABLES, WEIGHTS, Trainable

TABLE_RATE = 0.3
"""Share of the learning rate for tables and scales: each is moved by the gradients of all weights that share it."""


def make_optimiser(student: Trainable, settings: TrainingSettings) -> Optimizer:
    """The optimiser that the settings name; weights alone decay, not tables, scales, norms and biases."""
    groups: list[dict[str, Any]] = [
        {
            "params": parameters, "name": name, "share": TABLE_RATE if name == TABLES else 1.0,
            "weight_decay": settings.weight_decay if name == WEIGHTS else 0.0,
        }
        for name, parameters in student.groups().items()
        if parameters
    ]
    rate = settings.learning_rate
    if settings.optimiser == "sgd":
        return SGD(groups, lr=rate, momentum=settings.momentum)
    # Decoupled decay: Loshchilov and Hutter, 2019.
    return AdamW(groups, lr=rate) if settings.optimiser == "adamw" else Adam(groups, lr=rate)


def carried_over(old: Optimizer, new: Optimizer) -> Optimizer:
    """`new` with what `old` knew of the parameters that both have (running means), after layers were replaced."""
    ours = {parameter for group in new.param_groups for parameter in group["params"]}
    for parameter, state in old.state.items():
        if parameter in ours:
            new.state[parameter] = state
    return new


def rate_factor(schedule: str, warmup: float, step: int, steps: int) -> float:
    """Share of the learning rate at a step (from 0) of a phase of `steps`: rises in a line, then falls."""
    rise = max(0, round(warmup * steps))
    if step < rise:
        return (step + 1) / (rise + 1)
    if schedule == "constant":
        return 1.0
    done = (step - rise) / max(1, steps - rise)
    # Loshchilov and Hutter, SGDR, 2017, without restarts inside a phase.
    return 0.5 * (1.0 + math.cos(math.pi * done)) if schedule == "cosine" else 1.0 - done


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """The learning rate of all groups, each its share of it."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]


def penalty(student: Trainable, settings: TrainingSettings) -> Tensor | None:
    """The L1 penalty of the weights, or None without one. Tibshirani, 1996."""
    weights = student.groups().get(WEIGHTS, [])
    if settings.l1 == 0.0 or not weights:
        return None
    return settings.l1 * torch.stack([weight.abs().sum() for weight in weights]).sum()


def clip(student: Trainable, longest: float) -> float:
    """Shorten the gradient to `longest` (0: leave it); its norm before. NaN or infinite when a gradient is."""
    parameters: list[Parameter] = [parameter for group in student.groups().values() for parameter in group]
    if longest > 0.0:
        return float(torch.nn.utils.clip_grad_norm_(parameters, longest))
    return float(torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
