"""A small torch network with the interface of a student, for tests of the loop alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter, functional

from core.data import Samples, load_samples
from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.encoding import Encoding, Float
from core.model.layer import Port

INPUTS, CLASSES, HIDDEN = 6, 3, 16


class FakeStudent(torch.nn.Module):
    """Two Linear layers; `replace` masks what an encoding decodes to zero."""

    frozen: tuple[tuple[str, str], ...] = ()

    def __init__(self, seed: int = 0, *, softmax: bool = False, dropout: float = 0.0, outputs: int = CLASSES) -> None:
        super().__init__()
        made = torch.Generator().manual_seed(seed)
        self.first = Parameter(torch.randn(HIDDEN, INPUTS, generator=made) * 0.3)
        self.second = Parameter(torch.randn(outputs, HIDDEN, generator=made) * 0.3)
        self.bias = Parameter(torch.zeros(outputs))
        self.register_buffer("mask", torch.ones(HIDDEN, INPUTS))
        self.softmax, self.dropout = softmax, dropout

    def forward(self, feeds: Mapping[str, Tensor], *, features: Sequence[str] = ()) -> dict[str, Tensor]:
        hidden = torch.relu(feeds["x"] @ (self.first * self.mask).T)
        dropped = functional.dropout(hidden, self.dropout, self.training)
        logits = dropped @ self.second.T + self.bias
        found = {"logits": torch.softmax(logits, -1) if self.softmax else logits}
        return found | ({"hidden": hidden} if "hidden" in features else {})

    def feature_names(self) -> tuple[str, ...]:
        return ("hidden", "logits")

    def replace(self, name: str, encoding: Encoding, weight: np.ndarray | None = None) -> None:
        self.mask = torch.from_numpy((encoding.decode() != 0.0).astype(np.float32))
        if weight is not None:
            with torch.no_grad():
                self.first.copy_(torch.from_numpy(weight))

    def latent(self, name: str) -> np.ndarray:
        return self.first.detach().numpy().copy()

    def encoding(self, name: str) -> Encoding:
        return Float((self.first * self.mask).detach().numpy().copy())

    def trained(self) -> Any:
        return SimpleNamespace(encodings={"first": self.encoding("first")})

    def groups(self) -> dict[str, list[Parameter]]:
        return {"weights": [self.first, self.second], "tables_and_scales": [], "rest": [self.bias]}


def teacher_of(student: FakeStudent) -> Any:
    def answers(feeds: Mapping[str, Tensor], *, features: Sequence[str] = ()) -> dict[str, Tensor]:
        with torch.no_grad():
            return student(feeds, features=features)

    return answers


def port(*shape: int) -> Port:
    return Port("x", "float32", ("batch", *shape))


def made_samples(
    folder: Path, n: int = 120, seed: int = 0, *, labels: Any = "classes", options: DataOptions = DEFAULT_OPTIONS,
    shape: tuple[int, ...] = (INPUTS,),
) -> Samples:  # fmt: skip
    """Three clusters in the first three inputs; `labels`: "classes", None or an array."""
    random = np.random.default_rng(seed)
    classes = np.arange(n) % CLASSES
    x = random.normal(0.0, 0.6, (n, *shape)).astype(np.float32)
    x.reshape(n, -1)[np.arange(n), classes] += 2.0
    arrays = {"x": x}
    if labels is not None:
        arrays["labels"] = classes if isinstance(labels, str) else labels
    path = folder / f"data{seed}_{n}.npz"
    np.savez(path, **arrays)
    return load_samples(path, (port(*shape),), options=options)
