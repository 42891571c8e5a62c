"""Rules of operators that work element by element, normalise, or sum over axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from core.model.coupling.axes import Axes, Axis, fixed, size_of
from core.model.coupling.flow import Flow, Opaque, Rule, Rules, pin_axes
from core.model.coupling.rules_layers import broadcast
from core.model.graph import attribute, node_key, numbers


def same(flow: Flow, node: ir.Node) -> Sequence[Axes | None]:
    """One value element by element; further inputs are single numbers (Clip, Dropout)."""
    value = node.inputs[0]
    axes = flow.maybe(value) if value is not None else None
    return [axes] * len(node.outputs)


def meet(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    """Several values element by element, broadcast."""
    return [broadcast(flow, [flow.axes(value) for value in node.inputs if value is not None])]


def channel_norm(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    """BatchNormalization and InstanceNormalization: one number a channel, channels apart from one another."""
    data = flow.axes(node.inputs[0])
    if len(data) < 2:
        raise Opaque("its input has no channel axis")
    channels = data[1]
    for value in node.inputs[1:]:
        if value is not None:
            channels = flow.ledger.tie(channels, flow.axes(value)[-1])
    return [(data[0], channels, *data[2:])]


def over(verb: str, axis_of: Callable[[ir.Node, int], Sequence[int]], *, outputs: int = 1) -> Rule:
    """Operators whose every result depends on all places along some axes: these axes stay whole."""

    def rule(flow: Flow, node: ir.Node) -> Sequence[Axes | None]:
        data = flow.axes(node.inputs[0])
        why = f"{node.op_type} {node_key(node)!r} {verb}"
        pin_axes(flow, [data[axis] for axis in axis_of(node, len(data))], why)
        for value in node.inputs[1:]:
            pin_axes(flow, (flow.maybe(value) if value is not None else None) or (), why)
        return [data, *[None] * (outputs - 1)]

    return rule


def _one_axis(default: int) -> Callable[[ir.Node, int], Sequence[int]]:
    return lambda node, rank: [attribute(node, "axis", default) % rank] if rank else []


def _from_axis(default: int) -> Callable[[ir.Node, int], Sequence[int]]:
    return lambda node, rank: range(attribute(node, "axis", default) % rank, rank) if rank else []


def _mean_axes(node: ir.Node, rank: int) -> Sequence[int]:
    return numbers(node, "axes") or (0, 2, 3)


def _softmax(flow: Flow, node: ir.Node) -> Sequence[Axes | None]:
    """Before opset 13 the axis and all behind it are one."""
    rule = over("weighs these channels against each other", _one_axis(-1) if flow.opset >= 13 else _from_axis(1))
    return rule(flow, node)


def reduce(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    """Reductions: the axes that go into one number stay whole, the others pass."""
    data = flow.axes(node.inputs[0])
    axes = reduced_axes(flow, node, len(data))
    why = f"{node.op_type} {node_key(node)!r} makes one number of these channels"
    pin_axes(flow, [data[axis] for axis in axes], why)
    keep = bool(attribute(node, "keepdims", 1))
    if not axes and attribute(node, "noop_with_empty_axes", 0):
        return [data]
    return [tuple(() if place in axes else axis for place, axis in enumerate(data) if keep or place not in axes)]


def reduced_axes(flow: Flow, node: ir.Node, rank: int) -> tuple[int, ...]:
    """The axes of a reduction: an attribute, an input, or all."""
    given: Sequence[int] | None = numbers(node, "axes")
    value = flow.input(node, 1)
    if given is None and value is not None:
        given = flow.sizes.numbers(value)
        if given is None:
            raise Opaque("over which axes it goes is computed")
    if not given and not attribute(node, "noop_with_empty_axes", 0):
        given = range(rank)
    return tuple(axis % rank for axis in given or ())


def arg_reduce(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data = flow.axes(node.inputs[0])
    place = attribute(node, "axis", 0) % len(data)
    flow.ledger.pin(data[place], f"{node.op_type} {node_key(node)!r} gives the numbers of these channels")
    keep = attribute(node, "keepdims", 1)
    return [tuple(() if at == place else axis for at, axis in enumerate(data) if keep or at != place)]


def resize(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    """Pictures get larger or smaller; axes whose scale is 1 pass."""
    from core.model.coupling.sites import NumberSite

    data = flow.axes(node.inputs[0])
    scales, sizes = _resize_inputs(flow, node)
    if numbers(node, "axes") is not None or (scales is None and sizes is None):
        raise Opaque("how it changes each axis is computed")
    result: list[Axis] = []
    for place, axis in enumerate(data):
        size = size_of(axis)
        target = sizes[place] if sizes is not None else None
        passes = scales[place] == 1 if scales is not None else target is not None and target.size == size is not None
        if target is not None and target.axis is not None:
            flow.ledger.tie(target.axis, axis if passes else fixed(target.size))
        if passes:
            if target is not None and target.literal and size is not None:
                flow.sites.append(NumberSite(node, axis, place, 3))
            result.append(axis)
            continue
        flow.ledger.pin(axis, f"{node.op_type} {node_key(node)!r} mixes these channels")
        wanted = target.size if target is not None else None
        if scales is not None and size is not None:
            wanted = int(size * scales[place])
        result.append(fixed(wanted))
    return [tuple(result)]


def _resize_inputs(flow: Flow, node: ir.Node) -> tuple[list[float] | None, Sequence | None]:
    index = 2 if node.op_type == "Resize" and len(node.inputs) > 2 else 1
    value, sizes = flow.input(node, index), flow.input(node, 3)
    stored = flow.stored.get(value) if value is not None else None
    if stored is not None and stored.tensor is not None and stored.shape != (0,):
        return [float(number) for number in stored.tensor.numpy().reshape(-1)], None
    return None, flow.sizes.of(sizes) if sizes is not None else None


_SAME = """Relu LeakyRelu Sigmoid Tanh Elu Selu Celu Gelu HardSigmoid HardSwish Softplus Softsign Mish Erf Exp Log Sqrt
Neg Abs Clip Cast Identity Dropout Floor Ceil Round Reciprocal Sign Sin Cos Tan Atan Sinh Cosh Not IsNaN IsInf
ThresholdedRelu Shrink QuickGelu Swish BitwiseNot CastLike"""
_MEET = """Add Sub Mul Div Pow Max Min Mean Sum And Or Xor Equal Less LessOrEqual Greater GreaterOrEqual Where PRelu Mod
BitwiseAnd BitwiseOr BitwiseXor BitShift BiasGelu FastGelu"""
_REDUCE = """ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum
ReduceLogSumExp"""

RULES: Rules = {
    **dict.fromkeys(_SAME.split(), same),
    **dict.fromkeys(_MEET.split(), meet),
    **dict.fromkeys(_REDUCE.split(), reduce),
    "ArgMax": arg_reduce, "ArgMin": arg_reduce,
    "BatchNormalization": channel_norm, "InstanceNormalization": channel_norm,
    "LayerNormalization": over("averages over these channels", _from_axis(-1), outputs=3),
    "SimplifiedLayerNormalization": over("averages over these channels", _from_axis(-1), outputs=3),
    "RMSNormalization": over("averages over these channels", _from_axis(-1)),
    "GroupNormalization": over("averages over these channels", lambda node, rank: [1]),
    "LRN": over("averages over these channels", lambda node, rank: [1]),
    "LpNormalization": over("takes the length of these channels", _one_axis(-1)),
    "MeanVarianceNormalization": over("averages over these channels", _mean_axes),
    "Softmax": _softmax, "LogSoftmax": _softmax, "Hardmax": _softmax,
    "CumSum": over("adds these channels up", lambda node, rank: range(rank)),
    "Resize": resize, "Upsample": resize,
}  # fmt: skip
