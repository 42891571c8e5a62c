"""One model from the mean of several models' weights ("model soups"), of all of them or of those that help.

Members must have one graph: the same operators in the same order, tensors of the same shapes. Layers that a member
stores compressed count as what they decode to, and are stored as float32 in the result.

Sources: Wortsman et al., Model soups, 2022 (uniform and greedy); Izmailov et al., Averaging weights leads to wider
optima, 2018 (why it can work for members that began at one point, and why batch norms want measuring again).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from core.ensembles.matching import pair_members
from core.errors import InternalError, ModelFileError
from core.exporting.cleanup import forget_types, lift_constants, strip_notes
from core.model.graph import places, remove_unused
from core.model.model import Model
from core.progress import SILENT, Reporter

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Ingredients:
    """Members of one graph, ready to be averaged.

    graph   of the first, with every layer as a plain tensor; `mixed` puts the means into it
    pairs   by the first member's tensor that differs among the members: each one's tensor
    notes   sentences a person should know
    """

    graph: ir.Model = field(repr=False)
    members: tuple[str, ...]
    pairs: tuple[tuple[ir.Value, tuple[ir.TensorProtocol, ...]], ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def mixed(self, chosen: Sequence[int]) -> ir.Model:
        """The graph with the mean of these members' tensors. It is one graph: the next call changes it."""
        if not chosen:
            raise InternalError("a mean of no members")
        for value, tensors in self.pairs:
            total = np.zeros(tuple(tensors[0].shape.numpy()), np.float64)
            for member in chosen:
                total += tensors[member].numpy().astype(np.float64)
            array = (total / len(chosen)).astype(tensors[0].numpy().dtype)
            value.const_value = ir.Tensor(array, name=value.name)
        return self.graph


def ingredients(models: Sequence[Model], reporter: Reporter = SILENT) -> Ingredients:
    """The members' tensors beside each other. Raises ModelFileError that says where their graphs part."""
    pair_members(models)
    graphs, decoded = [], 0
    for number, model in enumerate(models):
        reporter.report(number / len(models), f"Reading {model.name}")
        graph, count = plain_graph(model)
        graphs.append(graph)
        decoded += count
    host = graphs[0]
    found: dict[ir.Value, list[ir.TensorProtocol]] = {}
    for graph, model in zip(graphs[1:], models[1:], strict=True):
        walk = _Walk(models[0].name, model.name)
        walk.graphs(host.graph, graph.graph)
        for ours, theirs in walk.tensors.items():
            found.setdefault(ours, [_tensor(ours)]).append(_tensor(theirs))
    pairs = tuple((value, tuple(tensors)) for value, tensors in found.items() if _differ(value, tensors, models))
    reporter.report(1.0)
    return Ingredients(host, tuple(model.name for model in models), pairs, _notes(host, decoded))


def greedy(
    order: Sequence[int], score: Callable[[Sequence[int]], float], reporter: Reporter = SILENT
) -> tuple[tuple[int, ...], tuple[tuple[int, float, bool], ...]]:
    """The members whose mean is best, added one by one while the mean does not get worse (Wortsman et al., recipe 1).

    order  members, the best first
    score  of the mean of members on held-out samples; higher is better

    Returns the members chosen, and for each that was tried: (member, score with it, whether it stayed).
    """
    chosen: list[int] = []
    trail: list[tuple[int, float, bool]] = []
    best = -np.inf
    for number, member in enumerate(order):
        reporter.report(number / len(order), f"Trying member {member + 1}")
        value = score([*chosen, member])
        stays = not chosen or value >= best
        trail.append((member, value, stays))
        if stays:
            chosen.append(member)
            best = value
    return tuple(chosen), tuple(trail)


def plain_graph(model: Model) -> tuple[ir.Model, int]:
    """A graph whose layers are plain tensors, and how many of them the file computes from something else."""
    graph = model.graph()
    lift_constants(graph)
    forget_types(graph)
    strip_notes(graph)
    layers = {layer.name for layer in model.layers}
    computed = [
        (place.graph, value)
        for place in places(graph) if isinstance(place.graph, ir.Graph)
        for node in place.graph for value in node.outputs if value.name in layers
    ]  # fmt: skip
    for owner, value in computed:
        name = str(value.name)
        plain = ir.Value(name=name, const_value=ir.Tensor(np.array(model.weight(name)), name=name))
        value.replace_all_uses_with(plain, replace_graph_outputs=True)
        value.name = None
        owner.register_initializer(plain)
    remove_unused(graph)
    return graph, len(computed)


class _Walk:
    """Goes through two graphs side by side; `tensors` pairs what they store."""

    def __init__(self, first: str, second: str) -> None:
        self._first, self._second = first, second
        self._same: dict[ir.Value, ir.Value] = {}
        self.tensors: dict[ir.Value, ir.Value] = {}

    def graphs(self, a: ir.Graph, b: ir.Graph) -> None:
        """Pair everything in two graphs. Raises ModelFileError where they part."""
        for ours, theirs in self._zip(_real_inputs(a), _real_inputs(b), "inputs"):
            self._same[ours] = theirs
        for ours, theirs in self._zip(list(a), list(b), "operators"):
            self._nodes(ours, theirs)
        for ours, theirs in self._zip(a.outputs, b.outputs, "outputs"):
            self._values(ours, theirs, "an output")

    def _nodes(self, a: ir.Node, b: ir.Node) -> None:
        where = f"{a.op_type} {a.name}".strip()
        if a.op_identifier() != b.op_identifier():
            raise self._differ(f"{self._first} has {where} where it has {b.op_type} {b.name or ''}".strip())
        names = {*a.attributes, *b.attributes}
        for name in names:
            self._attributes(a.attributes.get(name), b.attributes.get(name), f"{where}, attribute {name}")
        for ours, theirs in self._zip(a.inputs, b.inputs, f"inputs of {where}"):
            self._values(ours, theirs, where)
        for mine, other in self._zip(a.outputs, b.outputs, f"outputs of {where}"):
            self._same[mine] = other

    def _attributes(self, a: ir.Attr | None, b: ir.Attr | None, where: str) -> None:
        if a is None or b is None or a.type != b.type or a.is_ref() != b.is_ref():
            raise self._differ(f"its graph differs from that of {self._first} at {where}")
        if a.is_ref():
            return
        if a.type == ir.AttributeType.GRAPH:
            self.graphs(a.as_graph(), b.as_graph())
        elif a.type == ir.AttributeType.TENSOR:
            if not np.array_equal(a.value.numpy(), b.value.numpy()):
                raise self._differ(f"it has another constant than {self._first} at {where}")
        elif a.value != b.value:
            raise self._differ(f"it has {b.value} where {self._first} has {a.value} at {where}")

    def _values(self, a: ir.Value | None, b: ir.Value | None, where: str) -> None:
        if a is None or b is None:
            if a is not b:
                raise self._differ(f"its graph differs from that of {self._first} at {where}")
            return
        if a.is_initializer() and b.is_initializer():
            if self.tensors.setdefault(a, b) is not b:
                raise self._differ(f"{a.name!r} is one tensor in {self._first} and two in it, at {where}")
            ours, theirs = (tuple(_tensor(value).shape.numpy()) for value in (a, b))
            if ours != theirs or _tensor(a).dtype != _tensor(b).dtype:
                shapes = [" x ".join(map(str, shape)) or "scalar" for shape in (theirs, ours)]
                raise self._differ(
                    f"{b.name!r} is {_tensor(b).dtype.name.lower()} {shapes[0]} and {a.name!r} of {self._first} "
                    f"{_tensor(a).dtype.name.lower()} {shapes[1]}"
                )
        elif self._same.get(a) is not b:
            raise self._differ(f"its graph is connected in another way than that of {self._first} at {where}")

    def _zip(self, a: Sequence[Any], b: Sequence[Any], what: str) -> Iterator[tuple[Any, Any]]:
        if len(a) != len(b):
            raise self._differ(f"it has {len(b)} {what} and {self._first} has {len(a)}")
        return zip(a, b, strict=True)

    def _differ(self, what: str) -> ModelFileError:
        return ModelFileError(
            f"its weights do not correspond: {what}", where=self._second,
            do="average members of one architecture that were compressed by one recipe, or use the mode average",
        )  # fmt: skip


def _real_inputs(graph: ir.Graph) -> list[ir.Value]:
    return [value for value in graph.inputs if not value.is_initializer()]


def _tensor(value: ir.Value) -> ir.TensorProtocol:
    if value.const_value is None:
        raise InternalError(f"the graph stores no values for {value.name!r}")
    return value.const_value


def _differ(value: ir.Value, tensors: Sequence[ir.TensorProtocol], models: Sequence[Model]) -> bool:
    """Whether members have different values, which is for floats alone. Raises ModelFileError for others."""
    first, floating = tensors[0], tensors[0].dtype.is_floating_point()
    for tensor, model in zip(tensors[1:], models[1:], strict=True):
        if np.array_equal(tensor.numpy(), first.numpy()):
            continue
        if floating:
            return True
        raise ModelFileError(
            f"its whole numbers {value.name!r} are not those of {models[0].name}, and there is no mean of them",
            where=model.name, do="average members of one architecture, or use the mode average",
        )
    return False


def _notes(host: ir.Model, decoded: int) -> tuple[str, ...]:
    notes = []
    if decoded:
        notes.append("The members' compressed layers were averaged as what they decode to and are stored as float32: "
                     "compress the result again.")  # fmt: skip
    if any(node.op_type == "BatchNormalization" for place in places(host) for node in place.graph):
        notes.append("The statistics of batch norms were averaged as well, not measured again on the averaged model.")
    return tuple(notes)
