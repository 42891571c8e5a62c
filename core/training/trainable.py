"""What the training loop needs of a model in training; `core.training.student.Student` is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor
from torch.nn import Parameter

from core.encoding.base import Encoding

Array = np.ndarray[Any, np.dtype[Any]]
Feeds = Mapping[str, Tensor]
"""Inputs by name, samples along the first axis."""

WEIGHTS, TABLES, REST = "weights", "tables_and_scales", "rest"
"""Groups of parameters: decay and the L1 penalty are for the first alone."""


class HasEncodings(Protocol):
    """How layers are stored now, by name."""

    @property
    def encodings(self) -> Mapping[str, Encoding]: ...


class Trainable(Protocol):
    """A torch module whose layers are stored as encodings. See `Student` for what each part means."""

    @property
    def frozen(self) -> tuple[tuple[str, str], ...]: ...

    def __call__(self, feeds: Feeds, *, features: Sequence[str] = ()) -> dict[str, Tensor]: ...

    def feature_names(self) -> tuple[str, ...]: ...

    def replace(self, name: str, encoding: Encoding, weight: Array | None = None) -> None:
        """Another encoding for a layer; `weight`: the dense weights behind it, None when its latent goes on."""

    def latent(self, name: str) -> Array: ...

    def trained(self) -> HasEncodings: ...

    def groups(self) -> dict[str, list[Parameter]]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...

    def train(self, mode: bool = True) -> Any: ...

    def eval(self) -> Any: ...
