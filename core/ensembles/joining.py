"""Several models as one graph: common inputs, every member's nodes, combined outputs, and what is equal only once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from core.ensembles.answers import find_answer
from core.ensembles.combining import Answer, Combination, Rule
from core.ensembles.emitting import CombiningNodes
from core.ensembles.matching import Pairing, pair_members
from core.ensembles.sharing import Shared, share
from core.errors import FeatherweightError, ModelFileError, ParameterError
from core.exporting.cleanup import forget_types, lift_constants, strip_notes
from core.exporting.opset import raise_opset
from core.model.graph import places, remove_unused, stored_tensors
from core.model.model import Model
from core.progress import SILENT, Reporter

Array = np.ndarray[Any, np.dtype[Any]]

_SIZED_BY_VALUES = frozenset({"Compress", "NonZero", "Unique"})
"""Operators whose outputs' sizes only the file can state. Without them ONNX Runtime does not compute compressed weights
when it loads, but in every run."""

COMBINING_OPSET = 13
"""From which on the operators that combine answers mean what they do today (Softmax along one axis, ReduceSum)."""


@dataclass(frozen=True)
class Joined:
    """An ensemble as one graph.

    combinations  how each output is made, in order
    pairings      what each member calls the inputs and outputs
    shared        what is there once instead of several times
    notes         sentences a person should know
    """

    graph: ir.Model = field(repr=False)
    members: tuple[str, ...]
    combinations: tuple[Combination, ...]
    pairings: tuple[Pairing, ...]
    shared: Shared
    notes: tuple[str, ...] = ()


def join(
    models: Sequence[Model],
    rule: Rule,
    weights: Sequence[float] | None = None,
    *,
    answers: Sequence[Sequence[Array]] = (),
    labels: Array | None = None,
    reporter: Reporter = SILENT,
) -> Joined:
    """One graph of all members.

    weights  of the members, positive; None: all count alike
    answers  per output, the first member's values on some samples: they tell probabilities from logits
    labels   of the samples, or None

    Raises ModelFileError for members that do not fit each other, ParameterError for weights or a vote that makes no
    sense, Cancelled.
    """
    pairings = pair_members(models)
    shares = _shares(weights, len(models))
    graphs = _same_opset(models, reporter.part(0.0, 0.5))
    notes = _merge_heads(graphs, models)
    combinations = _combinations(graphs[0], rule, shares, answers, labels, models[0].name)
    names = _free_names(graphs)
    host = graphs[0]
    outputs = [list(host.graph.outputs)]
    host.graph.outputs.clear()
    for number, (model, graph) in enumerate(zip(models[1:], graphs[1:], strict=True), 2):
        reporter.report(0.5 + 0.3 * number / len(models), f"Joining {model.name}")
        outputs.append(_move_in(host, graph, pairings[0], pairings[number - 1], number, model, names))
    _combine(host, combinations, outputs, names)
    reporter.report(0.8, "Finding what the members have in common")
    shared = share(host, names)
    remove_unused(host)
    reporter.report(1.0)
    return Joined(host, tuple(m.name for m in models), combinations, pairings, shared, notes)


def _shares(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    given = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(given) != count:
        raise ParameterError(f"there are {len(given)} weights for {count} members", do="give one weight a member")
    if not all(np.isfinite(weight) and weight > 0 for weight in given):
        raise ParameterError("a member's weight must be above 0", do="leave members out that should not count")
    total = sum(given)
    return tuple(weight / total for weight in given)


def _same_opset(models: Sequence[Model], reporter: Reporter) -> list[ir.Model]:
    """A fresh, cleaned-up graph of each, all at one opset. Raises ModelFileError where onnx cannot convert one."""
    graphs = []
    target = max(COMBINING_OPSET, *(model.opset for model in models))
    for number, model in enumerate(models):
        reporter.report(number / len(models), f"Reading {model.name}")
        graph = model.graph()
        try:
            graph = raise_opset(graph, target)
        except FeatherweightError as error:
            raise ModelFileError(
                f"it uses opset {model.opset} and the ensemble needs {target}: {error.what}", where=model.name,
                do="export the members with one opset",
            ) from error  # fmt: skip
        lift_constants(graph)
        forget_types(graph)
        strip_notes(graph)
        graphs.append(graph)
    return graphs


def _merge_heads(graphs: Sequence[ir.Model], models: Sequence[Model]) -> tuple[str, ...]:
    """Opsets of other domains, metadata, IR version and functions of all members, put into the first graph."""
    host, notes = graphs[0], []
    for graph, model in zip(graphs[1:], models[1:], strict=True):
        for domain, version in graph.opset_imports.items():
            known = host.opset_imports.setdefault(domain, version)
            if known != version and domain not in ("", "ai.onnx"):
                raise ModelFileError(
                    f"it uses version {version} of the operators {domain!r} and {models[0].name} version {known}",
                    where=model.name, do="export the members alike",
                )  # fmt: skip
        for key, text in graph.metadata_props.items():
            if host.metadata_props.setdefault(key, text) != text:
                notes.append(f"{model.name} has another {key!r} in its metadata; that of {models[0].name} was kept.")
        host.ir_version = max(host.ir_version, graph.ir_version)
        _take_functions(host, graph)
    return tuple(notes)


def _take_functions(host: ir.Model, graph: ir.Model) -> None:
    """Functions of a member; one that is called like another function and computes something else is renamed."""
    for identifier, function in list(graph.functions.items()):
        known = host.functions.get(identifier)
        if known is not None and _function_bytes(known) != _function_bytes(function):
            taken = {name for _, name, _ in (*host.functions, *graph.functions)}
            new = next(n for i in itertools.count(2) if (n := f"{function.name}_{i}") not in taken)
            for place in places(graph):
                for node in place.graph:
                    if node.op_identifier() == identifier:
                        node.op_type = new
            function.name = new
        host.functions.setdefault(function.identifier(), function)


def _function_bytes(function: ir.Function) -> bytes:
    return bytes(ir.serde.serialize_function(function).SerializeToString(deterministic=True))


def _combinations(
    host: ir.Model, rule: Rule, shares: tuple[float, ...], answers: Sequence[Sequence[Array]], labels: Array | None,
    where: str,
) -> tuple[Combination, ...]:  # fmt: skip
    found = []
    for index, output in enumerate(host.graph.outputs):
        _check_output(output, where)
        given = answers[index] if index < len(answers) else ()
        answer, axis = find_answer(output, given, labels)
        found.append(Combination(str(output.name), answer, rule, shares, axis))
    if rule is Rule.VOTE and not any(c.answer.scores or c.answer is Answer.NUMBERS for c in found):
        raise ParameterError(
            f"members can only vote on classes, and {where} gives {found[0].answer} ({found[0].name!r})",
            do="use the mode average",
        )
    return tuple(found)


def _check_output(output: ir.Value, where: str) -> None:
    """Raise ModelFileError for what cannot be combined."""
    what = ""
    if not isinstance(output.type, ir.TensorType) or output.dtype == ir.DataType.STRING:
        what = "is no tensor of numbers"
    elif output.is_graph_input():
        what = "is one of its inputs as it is"
    if what:
        raise ModelFileError(
            f"its output {output.name!r} {what}", where=where, do="choose models whose outputs are computed numbers"
        )


def _free_names(graphs: Sequence[ir.Model]) -> Iterator[str]:
    """Short names that no graph has: e1, e2, ..."""
    taken: set[str | None] = set()
    for graph in graphs:
        for place in places(graph):
            taken.update(value.name for value in place.graph.inputs)
            taken.update(value.name for node in place.graph for value in node.outputs)
        taken.update(stored.value.name for stored in stored_tensors(graph).values())
    return (name for number in itertools.count(1) if (name := f"e{number}") not in taken)


def _move_in(
    host: ir.Model, graph: ir.Model, ours: Pairing, theirs: Pairing, number: int, model: Model, names: Iterator[str]
) -> list[ir.Value]:
    """Move a member's nodes and tensors into the host; returns its outputs in the host's order.

    Layers keep their names behind "m2.", so that a person finds them; everything else gets a short name.
    """
    _rename(graph, {layer.name for layer in model.layers}, f"m{number}.", names)
    real_inputs = [value for value in graph.graph.inputs if not value.is_initializer()]
    own_inputs = {port.name: value for port, value in zip(model.inputs, real_inputs, strict=True)}
    host_inputs = {str(value.name): value for value in host.graph.inputs}
    own_outputs = dict(zip((port.name for port in model.outputs), graph.graph.outputs, strict=True))
    graph.graph.outputs.clear()
    for name, own in zip(ours.inputs, theirs.inputs, strict=True):
        own_inputs[own].replace_all_uses_with(host_inputs[name])
    for value in list(graph.graph.initializers.values()):
        graph.graph.initializers.pop(str(value.name))
        if value in graph.graph.inputs:
            graph.graph.inputs.remove(value)
        host.graph.register_initializer(value)
    nodes = list(graph.graph)
    graph.graph.remove(nodes)
    host.graph.extend(nodes)
    return [own_outputs[name] for name in theirs.outputs]


def _rename(graph: ir.Model, layers: set[str], prefix: str, names: Iterator[str]) -> None:
    """New names for all values and nodes outside functions, and no stated types for what nodes compute."""
    for place in places(graph):
        if place.function or not isinstance(place.graph, ir.Graph):
            continue
        inner = [*place.graph.inputs] if place.scope else []
        inner += [value for node in place.graph for value in node.outputs if value.name]
        for value in (*inner, *place.graph.initializers.values()):
            value.name = f"{prefix}{value.name}" if value.name in layers and not place.scope else next(names)
        for node in place.graph:
            node.name = None
            for value in node.outputs:
                if not value.is_graph_output() and node.op_type not in _SIZED_BY_VALUES:
                    value.type = value.shape = None


def _combine(
    host: ir.Model, combinations: Sequence[Combination], outputs: Sequence[Sequence[ir.Value]], names: Iterator[str]
) -> None:
    """The ensemble's outputs, under the names and declared types of the first member's."""
    nodes = CombiningNodes(host.graph, names)
    for index, how in enumerate(combinations):
        members = [values[index] for values in outputs]
        old = members[0]
        result = nodes.emit(how, members, old.dtype or ir.DataType.FLOAT)
        result.type, result.shape = old.type, old.shape
        old.name = next(names)
        result.name = how.name
        host.graph.outputs.append(result)
