"""A compressed model as a torch module that can be trained: what its file stores are the parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from core.encoding.base import Encoding
from core.training.trainable import REST, TABLES, WEIGHTS, Feeds

if TYPE_CHECKING:
    from core.model.model import Model
    from core.pipeline import Compression

Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["REST", "TABLES", "WEIGHTS", "Student", "Trained"]


@dataclass(frozen=True)
class Trained:
    """What a training gave: frozen, picklable, without torch.

    encodings  {layer: how it is stored now} of the layers that the recipe compressed
    tensors    {stored tensor: values in the type that the file stores} of all other float tensors that were trained:
               layers without steps, biases, norms
    """

    encodings: Mapping[str, Encoding] = field(default_factory=dict, repr=False)
    tensors: Mapping[str, Array] = field(default_factory=dict, repr=False)


class Student(torch.nn.Module):
    """The graph after cuts and graph steps, its compressed layers as `LearnedWeight`s.

    model        the model as opened
    compression  what a recipe made of it (`pipeline.compress`); None: nothing is compressed
    train_rest   whether the float tensors that are no compressed layers are trained as well: layers without steps,
                 biases, norms (not the statistics of batch norms, which stay as they are also in `train()`)
    keep         layers that are not trained: neither their stored values nor the biases and norms of their nodes
    dropout      share of the values before Linear layers left out in `train()`; assign it at any time

    frozen       (layer, reason) of the layers that keep their stored values
    notes        sentences a person should know ("samples run one at a time: ...")

    Raises FeatherweightError before anything starts, naming the operators that torch does not run.
    """

    frozen: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    dropout: float

    def __init__(
        self,
        model: Model,
        compression: Compression | None = None,
        *,
        train_rest: bool = True,
        keep: Collection[str] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        raise NotImplementedError

    def forward(self, feeds: Feeds, *, features: Sequence[str] = ()) -> dict[str, Tensor]:
        """Outputs, and the inner values named in `features`, by name.

        feeds  inputs by name, samples along the first axis (`feeding.batch`); outputs have theirs there as well. A
               graph that takes one sample at a time runs once a sample inside, which `notes` tells. An input that is
               cut along no axis of its own (a state, a scalar) has one axis more than in the graph
        """
        raise NotImplementedError

    def feature_names(self) -> tuple[str, ...]:
        """What layers give, in the order of the graph: the names of the values, the same in the original's graph."""
        raise NotImplementedError

    def replace(self, name: str, encoding: Encoding, weight: Array | None = None) -> None:
        """Another encoding for a layer (in the graph's present shape), for schedules.

        weight  dense weights to go on from, float32 of the layer's shape; None: its latent goes on

        A latent parameter of the same shape stays the same object, so that an optimiser's state goes on; an encoding
        of the same structure leaves the keys and shapes of `state_dict` as they are.
        """
        raise NotImplementedError

    def latent(self, name: str) -> Array:
        """The dense weights behind a layer (`LearnedWeight.latent`), also of a layer without an encoding."""
        raise NotImplementedError

    def groups(self) -> dict[str, list[Parameter]]:
        """All trained parameters: WEIGHTS (to be decayed), TABLES (levels, scales), REST (biases, norms)."""
        raise NotImplementedError

    def trained(self) -> Trained:
        """What is stored now."""
        raise NotImplementedError
