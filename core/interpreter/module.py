"""`TorchGraph`: an ONNX graph that torch runs and differentiates, on the CPU."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx_ir as ir
import torch

from core.errors import DataError, FeatherweightError, InternalError, ModelFileError
from core.interpreter.plan import Plan, Step, make_plan, missing
from core.interpreter.tensors import from_stored
from core.model.graph import Stored, node_key, stored_tensors

Values = dict[ir.Value, torch.Tensor | None]


def missing_operators(graph: ir.Model) -> tuple[str, ...]:
    """Operators of the graph that `TorchGraph` cannot run, sorted; () when it can run them all.

    Rare variants of an operator (a Resize with antialiasing) are found only when they run, with an error then.
    """
    return missing(graph)


class TorchGraph(torch.nn.Module):
    """An ONNX graph as a torch module that computes what ONNX Runtime computes, for prediction.

    graph      a graph of its own (`Model.graph()`); it is not changed, and needed as long as this module
    trainable  unique names (`core.model.graph.stored_tensors`) of float tensors that become parameters

    A parameter is float32, whatever its tensor is stored as; where it is float16 the graph still computes with float16.
    Batch norms and dropout behave as for prediction. A value is let go when nothing reads it any more (with gradients,
    autograd keeps what it needs).

    Raises FeatherweightError when operators are missing (`missing_operators`) or a name is no stored float tensor.
    """

    def __init__(self, graph: ir.Model, trainable: Collection[str] = ()) -> None:
        super().__init__()
        lacking = missing(graph)
        if lacking:
            raise FeatherweightError(
                f"torch does not run the operator{'s' * (len(lacking) > 1)} {', '.join(lacking)}",
                do="choose a method that needs no gradients",
            )
        self._graph = graph
        self._tensors: dict[ir.Value, torch.Tensor] = {}
        self._parameters_of: dict[ir.Value, tuple[torch.nn.Parameter, torch.dtype]] = {}
        self.weights: dict[str, torch.nn.Parameter] = {}
        stored = stored_tensors(graph)
        for name in trainable:
            self._make_parameter(name, stored.get(name))
        for name, found in stored.items():
            if name not in self.weights and found.tensor is not None:
                self._tensors[found.value] = from_stored(found.tensor)
        self._plan = make_plan(graph, graph.graph, graph.opset_imports)

    def _make_parameter(self, name: str, stored: Stored | None) -> None:
        if stored is None or stored.tensor is None:
            raise InternalError(f"the graph stores no tensor {name!r}")
        tensor = from_stored(stored.tensor)
        if not tensor.is_floating_point():
            raise FeatherweightError(
                f"{name!r} holds whole numbers, which have no gradient", do="choose a layer of float weights"
            )
        parameter = torch.nn.Parameter(tensor.float())
        self.register_parameter(f"weight_{len(self.weights)}", parameter)  # torch forbids dots in the names
        self.weights[name] = parameter
        self._parameters_of[stored.value] = parameter, tensor.dtype

    def forward(self, feeds: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The outputs by name, for one feed of all inputs by name.

        Raises DataError when an input is missing, ModelFileError naming the node that cannot be run.
        """
        values: Values = dict(self._tensors)
        for value, (parameter, kind) in self._parameters_of.items():
            values[value] = parameter if parameter.dtype == kind else parameter.to(kind)
        for value in self._graph.graph.inputs:
            name = value.name or ""
            if name in feeds:
                values[value] = feeds[name]
            elif value not in values:  # an initializer may stand for an input
                raise DataError(f"the input {name!r} is missing", do="give every input of the model")
        results = _run(self._plan, values)
        names = (value.name or "" for value in self._graph.graph.outputs)
        return {name: result for name, result in zip(names, results, strict=True) if result is not None}


def _run(plan: Plan, values: Values) -> list[torch.Tensor | None]:
    """Run the steps with what is known so far; the values of the plan's outputs."""
    for step in plan.steps:
        results = _results(step, values)
        for value, result in zip(step.node.outputs, results, strict=False):
            values[value] = result
        for value in step.forget:
            values.pop(value, None)
    return [_known(values, value) for value in plan.outputs]


def _results(step: Step, values: Values) -> list[torch.Tensor | None]:
    inputs = [None if value is None else _known(values, value) for value in step.node.inputs]
    if step.branches is not None:
        condition = inputs[0]
        if condition is None:
            raise ModelFileError(f"the node {node_key(step.node)!r} has no condition", do="export the model again")
        return _run(step.branches[0 if bool(condition) else 1], values)
    if step.body is not None:
        padded = inputs + [None] * (len(step.parameters) - len(inputs))
        return _run(step.body, {**values, **dict(zip(step.parameters, padded, strict=False))})
    return _computed(step, inputs)


def _computed(step: Step, inputs: list[torch.Tensor | None]) -> list[torch.Tensor | None]:
    if step.operator is None:
        raise InternalError(f"{step.node.op_type} has no operator, branches or body")
    where = f"{step.node.op_type} {node_key(step.node)!r}"
    try:
        results = step.operator(step.attributes, inputs)
    except FeatherweightError as error:
        raise type(error)(error.what, where=where, do=error.do) from error
    except (RuntimeError, ValueError, IndexError, TypeError, KeyError, OverflowError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split("\n")[0].split())[:200].rstrip(".")
        raise ModelFileError(
            f"it does not fit its inputs ({reason})",
            where=where,
            do="check the model and the data",
        ) from error
    return [results] if isinstance(results, torch.Tensor) else list(results)


def _known(values: Values, value: ir.Value) -> torch.Tensor | None:
    if value not in values:
        raise ModelFileError(
            f"{value.name!r} holds no numbers that can be computed with", do="choose a method that needs no gradients"
        )
    return values[value]
