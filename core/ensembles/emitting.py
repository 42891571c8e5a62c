"""The nodes that make one output of an ensemble from those of its members (`combining.Combination`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from core.ensembles.combining import FLOOR, Answer, Combination, Rule


class CombiningNodes:
    """Adds nodes to a graph; small constants are stored once by `sharing` afterwards."""

    def __init__(self, graph: ir.Graph, names: Iterator[str]) -> None:
        self._graph, self._names = graph, names

    def emit(self, how: Combination, values: Sequence[ir.Value], dtype: ir.DataType) -> ir.Value:
        """The ensemble's output from the members', of the members' type."""
        if how.answer is Answer.NUMBERS:
            return self._majority(values, dtype)
        wide = dtype if dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE) else ir.DataType.FLOAT
        inputs = [value if wide == dtype else self._cast(value, wide) for value in values]
        if how.rule is Rule.VOTE and how.answer.scores:
            result = self._votes(how, inputs, wide)
        elif how.answer is Answer.LOG_PROBABILITIES:
            result = self._log(self._mean(how, [self._op("Exp", value) for value in inputs], wide), wide)
        else:
            result = self._mean(how, inputs, wide)
        return result if wide == dtype else self._cast(result, dtype)

    def _mean(self, how: Combination, values: Sequence[ir.Value], dtype: ir.DataType) -> ir.Value:
        if len(values) == 1:
            return self._op("Identity", values[0])
        if how.even:
            return self._op("Mul", self._op("Sum", *values), self._number(how.weights[0], dtype))
        parts = [
            self._op("Mul", value, self._number(weight, dtype))
            for value, weight in zip(values, how.weights, strict=True)
        ]
        return self._op("Sum", *parts)

    def _votes(self, how: Combination, scores: Sequence[ir.Value], dtype: ir.DataType) -> ir.Value:
        votes = [self._vote(how, value, dtype) for value in scores]
        shares = self._mean(how, [self._probabilities(how, value) for value in scores], dtype)
        tie = self._op("Mul", shares, self._number(how.tie, dtype))
        total = self._op("Add", self._mean(how, votes, dtype), tie)
        result = self._op("Mul", total, self._number(1.0 / (1.0 + how.tie), dtype))
        return self._log(result, dtype) if how.answer.logarithms else result

    def _vote(self, how: Combination, scores: ir.Value, dtype: ir.DataType) -> ir.Value:
        if how.answer is Answer.SEPARATE:
            return self._cast(self._op("GreaterOrEqual", scores, self._number(0.5, dtype)), dtype)
        place = self._array(np.array([how.axis], np.int64))
        classes = self._op("Gather", self._op("Shape", scores), place, axis=0)
        best = self._op("ArgMax", scores, axis=how.axis, keepdims=0)
        return self._op("OneHot", best, classes, self._array(np.array([0.0, 1.0], dtype.numpy())), axis=how.axis)

    def _probabilities(self, how: Combination, scores: ir.Value) -> ir.Value:
        return self._op("Softmax", scores, axis=how.axis) if how.answer.logarithms else scores

    def _log(self, shares: ir.Value, dtype: ir.DataType) -> ir.Value:
        return self._op("Log", self._op("Max", shares, self._number(FLOOR, dtype)))

    def _majority(self, values: Sequence[ir.Value], dtype: ir.DataType) -> ir.Value:
        """How many members give each one's number, and the number of the first with the most."""
        first = self._array(np.array([0], np.int64))
        inputs = [self._cast(value, ir.DataType.INT64) for value in values]
        stacked = self._op("Concat", *(self._op("Unsqueeze", value, first) for value in inputs), axis=0)
        counts = []
        for value in inputs:
            same = self._cast(self._op("Equal", value, stacked), ir.DataType.FLOAT)
            counts.append(self._op("ReduceSum", same, first, keepdims=1))
        best = self._op("ArgMax", self._op("Concat", *counts, axis=0), axis=0, keepdims=1)
        chosen = self._op("GatherElements", stacked, best, axis=0)
        return self._cast(self._op("Squeeze", chosen, first), dtype)

    def _cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        return self._op("Cast", value, to=int(dtype))

    def _op(self, op_type: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        node = ir.node(op_type, list(inputs), attributes)
        node.outputs[0].name = next(self._names)
        self._graph.append(node)
        return node.outputs[0]

    def _number(self, value: float, dtype: ir.DataType) -> ir.Value:
        return self._array(np.array(value, dtype.numpy()))

    def _array(self, array: np.ndarray) -> ir.Value:
        name = next(self._names)
        value = ir.Value(name=name, const_value=ir.Tensor(array, name=name))
        self._graph.register_initializer(value)
        return value
