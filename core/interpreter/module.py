"""`TorchGraph`: an ONNX graph that torch runs and differentiates, on the CPU."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir
import torch

from core.errors import DataError, FeatherweightError, InternalError, ModelFileError
from core.interpreter.plan import Plan, Step, make_plan, missing
from core.interpreter.tensors import from_stored, torch_type
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
    computed   names of float tensors that each `forward` is given

    weights    the parameters by name
    dropout    share of the values entering `dropout_nodes` that is left out while training (`train()`), 0 for none

    A parameter is float32, whatever its tensor is stored as; where it is float16 the graph still computes with float16.
    Batch norms and the graph's own dropout behave as for prediction. A value is let go when nothing reads it any more
    (with gradients, autograd keeps what it needs).

    Raises FeatherweightError when operators are missing (`missing_operators`) or a name is no stored float tensor.
    """

    def __init__(self, graph: ir.Model, trainable: Collection[str] = (), computed: Collection[str] = ()) -> None:
        super().__init__()
        refuse_missing(graph)
        self._graph = graph
        self._tensors: dict[ir.Value, torch.Tensor] = {}
        self._parameters_of: dict[ir.Value, tuple[torch.nn.Parameter, torch.dtype]] = {}
        self._computed: dict[str, tuple[ir.Value, torch.dtype]] = {}
        self.weights: dict[str, torch.nn.Parameter] = {}
        self.dropout = 0.0
        self.dropout_nodes: frozenset[ir.Node] = frozenset()
        stored = stored_tensors(graph)
        for name in computed:
            found = _float_tensor(name, stored.get(name))
            self._computed[name] = found[0], from_stored(found[1]).dtype
        for name in trainable:
            self._make_parameter(name, stored.get(name))
        for name, entry in stored.items():
            if name not in self.weights and name not in self._computed and entry.tensor is not None:
                self._tensors[entry.value] = from_stored(entry.tensor)
        self._plan = make_plan(graph, graph.graph, graph.opset_imports)
        self._made = {value.name: value for node in graph.graph for value in node.outputs if value.name}

    def _make_parameter(self, name: str, stored: Stored | None) -> None:
        value, found = _float_tensor(name, stored)
        tensor = from_stored(found)
        parameter = torch.nn.Parameter(tensor.float())
        self.register_parameter(f"weight_{len(self.weights)}", parameter)  # torch forbids dots in the names
        self.weights[name] = parameter
        self._parameters_of[value] = parameter, tensor.dtype

    def put(self, value: ir.Value, tensor: torch.Tensor) -> None:
        """Another content for a stored tensor that is not trained (a shape, say)."""
        self._tensors[value] = tensor

    def forward(
        self,
        feeds: Mapping[str, torch.Tensor],
        *,
        computed: Mapping[str, torch.Tensor] | None = None,
        features: Collection[str] = (),
    ) -> dict[str, torch.Tensor]:
        """The outputs by name, for one feed of all inputs by name.

        computed  the values of the `computed` tensors, float32
        features  names of values of the main graph that are wanted as well

        Raises DataError when an input is missing, ModelFileError naming the node that cannot be run.
        """
        values: Values = dict(self._tensors)
        for value, (parameter, kind) in self._parameters_of.items():
            values[value] = parameter if parameter.dtype == kind else parameter.to(kind)
        for name, (value, kind) in self._computed.items():
            if computed is None or name not in computed:
                raise InternalError(f"the value of {name!r} is not given")
            values[value] = computed[name].to(kind)
        for value in self._graph.graph.inputs:
            name = value.name or ""
            if name in feeds:
                values[value] = feeds[name]
            elif value not in values:  # an initializer may stand for an input
                raise DataError(f"the input {name!r} is missing", do="give every input of the model")
        wanted = {name: self._made[name] for name in features if name in self._made}
        dropout = self.dropout if self.training else 0.0
        run = _Run(frozenset(wanted.values()), dropout, self.dropout_nodes)
        results = run.plan(self._plan, values)
        names = (value.name or "" for value in self._graph.graph.outputs)
        found = {name: result for name, result in zip(names, results, strict=True) if result is not None}
        inner = {name: values.get(value) for name, value in wanted.items()}
        return {**{name: value for name, value in inner.items() if value is not None}, **found}


def refuse_missing(graph: ir.Model, do: str = "choose a method that needs no gradients") -> None:
    """Raise FeatherweightError naming the operators of the graph that torch does not run; `do` is the advice."""
    lacking = missing(graph)
    if lacking:
        raise FeatherweightError(
            f"torch does not run the operator{'s' * (len(lacking) > 1)} {', '.join(lacking)}", do=do
        )


def _float_tensor(name: str, stored: Stored | None) -> tuple[ir.Value, ir.TensorProtocol]:
    if stored is None or stored.tensor is None:
        raise InternalError(f"the graph stores no tensor {name!r}")
    if not torch_type(stored.tensor.dtype).is_floating_point:
        raise FeatherweightError(
            f"{name!r} holds whole numbers, which have no gradient", do="choose a layer of float weights"
        )
    return stored.value, stored.tensor


@dataclass(frozen=True)
class _Run:
    """One run of a graph: what is not forgotten, and what is left out at random where."""

    keep: frozenset[ir.Value] = field(default_factory=frozenset)
    dropout: float = 0.0
    dropout_nodes: frozenset[ir.Node] = field(default_factory=frozenset)

    def plan(self, plan: Plan, values: Values) -> list[torch.Tensor | None]:
        """Run the steps with what is known so far; the values of the plan's outputs."""
        for step in plan.steps:
            results = self._results(step, values)
            for value, result in zip(step.node.outputs, results, strict=False):
                values[value] = result
            for value in step.forget:
                if value not in self.keep:
                    values.pop(value, None)
        return [_known(values, value) for value in plan.outputs]

    def _results(self, step: Step, values: Values) -> list[torch.Tensor | None]:
        inputs = [None if value is None else _known(values, value) for value in step.node.inputs]
        if step.branches is not None:
            condition = inputs[0]
            if condition is None:
                raise ModelFileError(f"the node {node_key(step.node)!r} has no condition", do="export the model again")
            return self.plan(step.branches[0 if bool(condition) else 1], values)
        if step.body is not None:
            padded = inputs + [None] * (len(step.parameters) - len(inputs))
            return self.plan(step.body, {**values, **dict(zip(step.parameters, padded, strict=False))})
        if self.dropout and step.node in self.dropout_nodes and inputs[0] is not None:
            inputs[0] = torch.nn.functional.dropout(inputs[0], self.dropout)
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
