"""What a model's outputs say, found in the graph, in their names and in what they are on samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from core.analysis.metrics import Task, holds_scores, is_distribution, task_kind
from core.ensembles.combining import Answer

Array = np.ndarray[Any, np.dtype[Any]]

_KEEPS_VALUES = frozenset({"Identity", "Cast"})
_MAKES = {"Softmax": Answer.PROBABILITIES, "LogSoftmax": Answer.LOG_PROBABILITIES, "Sigmoid": Answer.SEPARATE}


def find_answer(output: ir.Value, given: Sequence[Array], labels: Array | None) -> tuple[Answer, int]:
    """What an output says, and the axis of its classes (-1: the last).

    given   what it is on some samples, one array each; () when the model could not be run
    labels  of the samples, or None
    """
    if _is_whole(output, given):
        return Answer.NUMBERS, -1
    maker = _maker(output)
    if maker is not None and maker.op_type in _MAKES:
        axis = maker.attributes.get_int("axis", -1) if maker.op_type != "Sigmoid" else -1
        rank = len(output.shape) if output.shape is not None else None
        last = axis == -1 or rank is None or axis == rank - 1
        return _MAKES[maker.op_type], -1 if last else axis
    if not given:
        return Answer.VALUES, -1
    if all(is_distribution(value) for value in given):
        return Answer.PROBABILITIES, -1
    if holds_scores(given[0], str(output.name)) or task_kind(given[0], str(output.name), labels)[0] is Task.CLASSES:
        return Answer.LOGITS, -1
    return Answer.VALUES, -1


def _is_whole(output: ir.Value, given: Sequence[Array]) -> bool:
    if given:
        return given[0].dtype.kind in "iub"
    return output.dtype is not None and (output.dtype.is_integer() or output.dtype == ir.DataType.BOOL)


def _maker(output: ir.Value) -> ir.Node | None:
    """The node whose values the output has, through nodes that keep them."""
    node = output.producer()
    while node is not None and node.op_type in _KEEPS_VALUES and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node
