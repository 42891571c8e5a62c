"""A compressed model as a torch module that can be trained: what its file stores are the parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import Parameter

from core.encoding.base import Encoding
from core.errors import FeatherweightError
from core.exporting.quantized_values import note_norms
from core.exporting.uses import place_shared, simulate_uses
from core.interpreter.module import TorchGraph, refuse_missing
from core.interpreter.tensors import from_stored
from core.model.folding import find_folds
from core.model.graph import Stored, fresh_names, remove_unused, stored_tensors
from core.model.layer import Kind
from core.training.batching import Batcher
from core.training.learned import LearnedWeight, learn
from core.training.learned.base import Latent, to_numpy
from core.training.parts import entering_linear, find_parts, layer_outputs, same_tensors
from core.training.trainable import REST, TABLES, WEIGHTS, Feeds

if TYPE_CHECKING:
    from core.model.model import Model
    from core.pipeline import Compression

Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["REST", "TABLES", "WEIGHTS", "Student", "Trained"]

_NO_OPERATOR = "compress without training, or export the model again without it"


@dataclass(frozen=True)
class Trained:
    """What a training gave: frozen, picklable, without torch.

    encodings  {layer: how it is stored now} of the layers that the recipe compressed
    tensors    {stored tensor: float32 values that the type in the file holds} of all other float tensors that were
               trained: layers without steps, biases, norms
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
    reassign     whether weights that share levels may change theirs

    frozen       (layer, reason) of the layers that keep their stored values

    Raises FeatherweightError before anything starts, naming the operators that torch does not run.
    """

    def __init__(
        self,
        model: Model,
        compression: Compression | None = None,
        *,
        train_rest: bool = True,
        keep: Collection[str] = (),
        dropout: float = 0.0,
        reassign: bool = True,
    ) -> None:
        super().__init__()
        self._model = model if compression is None else compression.rewriting.model
        self._cut = {} if compression is None else compression.rewriting.cut
        self._reassign, self._keep = reassign, frozenset(keep)
        graph = self._model.graph()
        refuse_missing(graph, _NO_OPERATOR)
        stored = stored_tensors(graph)
        given = {} if compression is None else {r.name: r.encoding for r in compression.layers if r.encoding}
        self._encoded = set(given)
        parts = find_parts(self._model, stored, keep)
        self._not_trained = [entry for entry in parts.frozen if entry[0] not in given or entry[0] in self._keep]
        named = [*parts.layers, *(name for name in given if name not in parts.layers)]
        self._kinds = {name: self._model.layer(name).kind for name in named}
        self._number = {name: number for number, name in enumerate(named)}
        self._rest_number = {name: number for number, name in enumerate(parts.rest)}
        self._same = _same(stored, named, parts.rest, given)
        self.layers = torch.nn.ModuleList(self._first(name, given.get(name), train_rest) for name in named)
        self.rest = torch.nn.ParameterList(
            Parameter(_stored_float(stored[name]), requires_grad=train_rest) for name in parts.rest
        )
        self._types = {name: stored[name].tensor.dtype for name in (*named, *parts.rest)}  # type: ignore[union-attr]
        self._dropout = dropout
        self._build(graph)

    def _first(self, name: str, encoding: Encoding | None, train_rest: bool) -> LearnedWeight:
        made = self._learned(name, encoding, np.asarray(self._model.weight(name)))
        if name in self._keep or (encoding is None and not train_rest):
            made.requires_grad_(False)
        return made

    def _learned(self, name: str, encoding: Encoding | None, weight: Array | None) -> LearnedWeight:
        return learn(encoding or self._model.encoding(name), weight, reassign=self._reassign)

    def _build(self, graph: ir.Model) -> None:
        """The module that runs the graph, with the rounding of inputs that encodings ask for."""
        rounding = {name: learned.encoding() for name, learned in self._by_name().items() if self._rounds(name)}
        if rounding:
            _simulate(graph, rounding)
        there = stored_tensors(graph)
        self._there = tuple(name for name in (*self._number, *self._rest_number) if name in there)
        self._module = TorchGraph(graph, computed=self._there)
        self._module.dropout_nodes = entering_linear(graph, self._model.layers)
        self._module.dropout = self._dropout
        self._module.train(self.training)
        self._features = layer_outputs(graph, self._model.layers, self._cut)
        self._batcher = Batcher(graph, self._module, self._model.inputs, rounds=bool(rounding))
        self._rounding = frozenset(rounding)

    def _rounds(self, name: str) -> bool:
        return name in self._encoded and bool(getattr(self._start(name), "rounds_inputs", False))

    def _start(self, name: str) -> Encoding | None:
        """The encoding that a layer's present form was made of, where it is one behind a grid."""
        learned = self._layer(name)
        return getattr(learned.grid, "start", None) if isinstance(learned, Latent) else None

    @property
    def dropout(self) -> float:
        """Share of the values before Linear layers that is left out in `train()`."""
        return self._dropout

    @dropout.setter
    def dropout(self, share: float) -> None:
        self._dropout = self._module.dropout = share

    @property
    def frozen(self) -> tuple[tuple[str, str], ...]:
        """(layer, reason) of the layers that keep their stored values."""
        fixed = ((name, learned.reason) for name, learned in self._by_name().items() if learned.reason)
        return (*self._not_trained, *(entry for entry in fixed if entry[0] not in self._keep))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences a person should know, as far as they are known from what was run."""
        return (self._batcher.note,) if self._batcher.note else ()

    def _layer(self, name: str) -> LearnedWeight:
        if name not in self._number:
            raise FeatherweightError(f"the layer {name!r} holds no floats that are trained", where=self._model.name)
        learned = self.layers[self._number[self._same.get(name, name)]]
        if not isinstance(learned, LearnedWeight):
            raise TypeError(f"{name!r} is no LearnedWeight")
        return learned

    def _by_name(self) -> dict[str, LearnedWeight]:
        return {name: self._layer(name) for name in self._number}

    def _values(self) -> dict[str, Tensor]:
        """What the graph computes with: equal tensors, which the file holds once, are one."""
        found: dict[str, Tensor] = {}
        for name in self._there:
            leader = self._same.get(name, name)
            if leader not in found:
                number = self._rest_number.get(leader)
                found[leader] = self._layer(leader)() if number is None else self.rest[number]
            found[name] = found[leader]
        return found

    def forward(self, feeds: Feeds, *, features: Sequence[str] = ()) -> dict[str, Tensor]:
        """Outputs, and the inner values named in `features`, by name.

        feeds  inputs by name, samples along the first axis (`feeding.batch`); outputs have theirs there as well. A
               graph that takes one sample at a time runs once a sample inside, which `notes` tells. An input that is
               cut along no axis of its own (a state, a scalar) has one axis more than in the graph
        """
        values = self._values()

        def run(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
            found: dict[str, Tensor] = self._module(given, computed=values, features=features)
            return found

        return self._batcher(run, feeds)

    def feature_names(self) -> tuple[str, ...]:
        """What layers give, in the order of the graph: the names of the values, the same in the original's graph.

        Layers whose channels were cut are not among them: they give fewer values than the original's.
        """
        return self._features

    def replace(self, name: str, encoding: Encoding, weight: Array | None = None) -> None:
        """Another encoding for a layer (in the graph's present shape), for schedules.

        weight  dense weights to go on from, float32 of the layer's shape; None: its latent goes on. Where they would be
                stored as something else than the encoding has, it is the encoding that counts

        A latent parameter of the same shape stays the same object, so that an optimiser's state goes on; an encoding
        of the same structure leaves the keys and shapes of `state_dict` as they are.
        """
        old = self._layer(name)
        if self._is_follower(name, encoding):
            return
        self._same = {follower: leader for follower, leader in self._same.items() if follower != name}
        new = self._learned(name, encoding, old.latent() if weight is None else weight)
        if isinstance(old, Latent) and isinstance(new, Latent) and old.weight.shape == new.weight.shape:
            old.weight.data.copy_(new.weight.data)
            old.weight.requires_grad_(new.weight.requires_grad)
            new.weight = old.weight
        if name in self._keep:
            new.requires_grad_(False)
        self.layers[self._number[name]] = new.train(self.training)
        self._encoded.add(name)
        if self._rounds(name) or name in self._rounding:
            self._build(self._model.graph())

    def _is_follower(self, name: str, encoding: Encoding) -> bool:
        """Whether the layer is one with an equal one, which has this encoding already."""
        if name not in self._same:
            return False
        there = self._layer(name).encoding()
        return there.describe() == encoding.describe() and np.array_equal(there.decode(), encoding.decode())

    def latent(self, name: str) -> Array:
        """The dense weights behind a layer (`LearnedWeight.latent`), also of a layer without an encoding."""
        return self._layer(name).latent()

    def groups(self) -> dict[str, list[Parameter]]:
        """All trained parameters: WEIGHTS (to be decayed), TABLES (levels, scales), REST (biases, norms)."""
        found: dict[str, list[Parameter]] = {WEIGHTS: [], TABLES: [], REST: []}
        for name, learned in self._by_name().items():
            if name in self._same:
                continue
            tables = {id(parameter) for parameter in learned.tables_and_scales()}
            weights = REST if self._kinds[name] is Kind.NORM else WEIGHTS
            for parameter in learned.parameters():
                if parameter.requires_grad:
                    found[TABLES if id(parameter) in tables else weights].append(parameter)
        rest = (self.rest[number] for name, number in self._rest_number.items() if name not in self._same)
        found[REST] += [parameter for parameter in rest if parameter.requires_grad]
        return found

    def trained(self) -> Trained:
        """What is stored now."""
        encodings = {name: self._layer(name).encoding() for name in self._number if name in self._encoded}
        tensors = {}
        for name, learned in self._by_name().items():
            if name not in self._encoded and any(p.requires_grad for p in learned.parameters()):
                tensors[name] = np.array(learned.encoding().decode())
        for name, number in self._rest_number.items():
            parameter = self.rest[self._rest_number.get(self._same.get(name, name), number)]
            if parameter.requires_grad:
                tensors[name] = _as_stored(parameter, self._types[name])
        return Trained(encodings, tensors)


def _stored_float(stored: Stored) -> Tensor:
    if stored.tensor is None:
        raise FeatherweightError(f"{stored.name!r} is no plain tensor", do="export the model again")
    return from_stored(stored.tensor).float()


def _as_stored(parameter: Tensor, dtype: ir.DataType) -> Array:
    """float32 values that the type in the file holds."""
    return to_numpy(parameter).astype(dtype.numpy()).astype(np.float32)


def _same(
    stored: Mapping[str, Stored], layers: Sequence[str], rest: Sequence[str], given: Mapping[str, Encoding]
) -> dict[str, str]:
    """Tensors that are one with an earlier one: equal, and stored alike."""
    found = same_tensors(stored, rest)
    for name, leader in same_tensors(stored, layers).items():
        ours, theirs = given.get(name), given.get(leader)
        if (ours is None) != (theirs is None):
            continue
        alike = ours is None or theirs is None or (
            ours.describe() == theirs.describe() and np.array_equal(ours.decode(), theirs.decode())
        )
        if alike:
            found[name] = leader
    return found


def _simulate(graph: ir.Model, encodings: Mapping[str, Encoding]) -> None:
    """Let a float graph round what layers round as they run (see `exporting.writer.simulate`)."""
    stored, names = stored_tensors(graph), fresh_names(graph)
    for name, encoding in encodings.items():
        simulate_uses(stored[name], encoding, names)
    remove_unused(graph)
    note_norms(find_folds(graph))
    place_shared(graph, names)
