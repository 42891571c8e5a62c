"""Rules of the operators that multiply by weights. A contraction ties the two axes that it sums over."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from core.model.coupling.axes import Axes, Axis, fixed, size_of
from core.model.coupling.flow import Flow, Opaque, Rule, Rules
from core.model.coupling.sites import AttributeSite, SumSite
from core.model.graph import attribute, numbers

Size = int | None


def conv(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    """Weight (out, in / groups, kernel).

    Case 1  one group: input channels are weight axis 1, output channels weight axis 0
    Case 2  depthwise (one input channel a group): input channel i is output channels i m to i m + m - 1; a channel goes
            with its group
    Case 3  groups: all keep the same number of channels, so channel j of one is tied to channel j of all others
    """
    data, weight = flow.axes(node.inputs[0]), flow.axes(node.inputs[1])
    groups = attribute(node, "group", 1)
    channels, output = data[1], weight[0]
    if groups == 1:
        flow.ledger.tie(channels, weight[1])
    elif size_of(weight[1]) == 1:
        output = _by_group(flow, output, groups)
        flow.ledger.tie(channels, output[:1])
        flow.sites.append(AttributeSite(node, output[:1], "group"))
    else:
        entry = _by_group(flow, channels, groups)
        output = _by_group(flow, output, groups)
        _keep_groups(flow, entry[:1], output[:1])
        flow.ledger.tie(entry[1:], weight[1])
    if not (groups > 1 and size_of(weight[1]) == 1):
        flow.sites.append(SumSite(node, channels, 0, len(data), 1))
    _bias(flow, node, 2, output)
    kernel = tuple(size_of(axis) for axis in weight[2:])
    for axis in weight[2:]:
        flow.ledger.pin(axis, "it is a kernel's axis")
    spatial = [_window(node, size_of(axis), place, kernel) for place, axis in enumerate(data[2:])]
    return [(data[0], output, *map(fixed, spatial))]


def conv_transpose(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    """Weight (in, out / groups, kernel); cases as for Conv."""
    data, weight = flow.axes(node.inputs[0]), flow.axes(node.inputs[1])
    groups = attribute(node, "group", 1)
    channels, output = data[1], weight[1]
    if groups > 1 and size_of(weight[1]) == 1 and size_of(weight[0]) == groups:
        output = flow.ledger.tie(weight[0], channels)
        flow.sites.append(AttributeSite(node, weight[0], "group"))
    else:
        flow.ledger.tie(channels, weight[0])
        flow.sites.append(SumSite(node, channels, 0, len(data), 1))
        if groups > 1:
            entry = _by_group(flow, weight[0], groups)
            _keep_groups(flow, entry[:1])
            output = (*entry[:1], *weight[1])
    _bias(flow, node, 2, output)
    for axis in weight[2:]:
        flow.ledger.pin(axis, "it is a kernel's axis")
    return [(data[0], output, *(fixed(_widened(node, axis, place, weight)) for place, axis in enumerate(data[2:])))]


def _by_group(flow: Flow, axis: Axis, groups: int) -> Axis:
    """An axis of channels as (group, channel of the group)."""
    factor = flow.ledger.flat(axis)
    if factor is None or factor.size is None or factor.size % groups:
        raise Opaque("its channels do not fall into its groups")
    if axis[0].size == groups:
        return axis
    return flow.ledger.split(factor, groups)


def _keep_groups(flow: Flow, *groups: Axis) -> None:
    for axis in groups:
        flow.ledger.pin(axis, "every group of a grouped convolution keeps as many channels as the others")


def _bias(flow: Flow, node: ir.Node, index: int, output: Axis) -> None:
    bias = flow.input(node, index)
    if bias is not None:
        flow.ledger.tie(flow.axes(bias)[-1], output)


def _window(node: ir.Node, size: Size, place: int, kernel: Sequence[Size]) -> Size:
    """Positions of a sliding window along one axis (Conv, pooling), or None."""
    given = kernel[place] if place < len(kernel) else None
    if size is None or given is None:
        return None
    stride, dilation = (_nth(node, name, place) for name in ("strides", "dilations"))
    automatic = _text(node, "auto_pad")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        return math.ceil(size / stride)
    pads = numbers(node, "pads") or ()
    padding = 0 if not pads or automatic == "VALID" else pads[place] + pads[place + len(pads) // 2]
    room = size + padding - dilation * (given - 1) - 1
    if not attribute(node, "ceil_mode", 0):
        return room // stride + 1
    count = math.ceil(room / stride) + 1
    before = pads[place] if pads and automatic != "VALID" else 0
    return count - ((count - 1) * stride >= size + before)  # a window that starts behind the input does not count


def _widened(node: ir.Node, axis: Axis, place: int, weight: Axes) -> Size:
    """Positions that a ConvTranspose gives along one axis, or None."""
    size, kernel = size_of(axis), size_of(weight[2 + place])
    asked = numbers(node, "output_shape")
    if asked is not None:
        return asked[place - len(weight) + 2]
    if size is None or kernel is None or _text(node, "auto_pad") not in ("", "NOTSET"):
        return None
    pads, extra = numbers(node, "pads") or (), numbers(node, "output_padding") or ()
    padding = pads[place] + pads[place + len(pads) // 2] if pads else 0
    reach = _nth(node, "dilations", place) * (kernel - 1) + 1
    return _nth(node, "strides", place) * (size - 1) + reach - padding + (extra[place] if extra else 0)


def _nth(node: ir.Node, name: str, place: int) -> int:
    given = numbers(node, name)
    return given[place] if given else 1


def _text(node: ir.Node, name: str) -> str:
    found = node.attributes.get(name)
    return found.as_string() if found is not None and not found.is_ref() else ""


def pool(flow: Flow, node: ir.Node) -> Sequence[Axes | None]:
    """MaxPool, AveragePool, LpPool: channels pass."""
    data = flow.axes(node.inputs[0])
    kernel = numbers(node, "kernel_shape") or ()
    spatial = [_window(node, size_of(axis), place, kernel) for place, axis in enumerate(data[2:])]
    result: Axes = (data[0], data[1], *map(fixed, spatial))
    return [result] * len(node.outputs)


def global_pool(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data = flow.axes(node.inputs[0])
    return [(data[0], data[1], *[()] * (len(data) - 2))]


def matmul(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    """MatMul and FusedMatMul, of weights or of two computed values: (..., a, b) x (..., b, c)."""
    first, second = flow.axes(node.inputs[0]), flow.axes(node.inputs[1])
    if not first or not second or attribute(node, "transBatchA", 0) or attribute(node, "transBatchB", 0):
        raise Opaque("a factor is a single number or its batch is transposed")
    left = first if len(first) > 1 else (None, *first)
    right = second if len(second) > 1 else (*second, None)
    if attribute(node, "transA", 0) and len(first) > 1:
        left = (*left[:-2], left[-1], left[-2])
    if attribute(node, "transB", 0) and len(second) > 1:
        right = (*right[:-2], right[-1], right[-2])
    _contract(flow, node, (left[-1] or (), len(first) - 1), (right[-2] or (), max(len(second) - 2, 0)))
    batch = broadcast(flow, [tuple(a or () for a in left[:-2]), tuple(a or () for a in right[:-2])])
    kept = [axis for axis in (left[-2], right[-1]) if axis is not None]
    if not {node.inputs[0], node.inputs[1]} & flow.stored.keys():
        flow.heads.extend(batch)
    return [(*batch, *kept)]


def _contract(flow: Flow, node: ir.Node, first: tuple[Axis, int], second: tuple[Axis, int]) -> None:
    """Tie the axes that are summed over; the computed factor is where a mask goes."""
    flow.ledger.tie(first[0], second[0])
    index = 1 if node.inputs[0] in flow.stored else 0
    axis, place = (first, second)[index]
    swapped = attribute(node, "transB" if index else "transA", 0)
    rank = len(flow.axes(node.inputs[index]))
    if swapped and rank > 1:
        place = rank - 1 if place == rank - 2 else rank - 2
    flow.sites.append(SumSite(node, axis, index, rank, place))


def gemm(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    (result,) = matmul(flow, node)
    addend = flow.input(node, 2)
    return [broadcast(flow, [result, flow.axes(addend)]) if addend is not None else result]


def broadcast(flow: Flow, operands: Sequence[Axes]) -> Axes:
    """Axes of values that meet element by element: counted from the last, an axis of one place goes with any."""
    rank = max(map(len, operands))
    padded = [((),) * (rank - len(axes)) + tuple(axes) for axes in operands]
    result: Axes = padded[0]
    for axes in padded[1:]:
        result = tuple(flow.ledger.tie(a, b) for a, b in zip(result, axes, strict=True))
    return result


def _recurrent(gates: int) -> Rule:
    """X (steps, batch, in), W (directions, gates x hidden, in), R (.., hidden), B (.., 2 gates x hidden), states."""

    def rule(flow: Flow, node: ir.Node) -> Sequence[Axes]:
        if attribute(node, "layout", 0):
            raise Opaque("its batch comes first, which is not followed")
        data, weight, again = (flow.axes(node.inputs[index]) for index in range(3))
        hidden = again[2]
        flow.ledger.tie(data[2], weight[2])
        for value, axis, count in ((1, weight, gates), (2, again, gates), (3, None, 2 * gates), (7, None, 3)):
            given = flow.input(node, value)
            if given is not None:
                gate = _by_group(flow, (axis or flow.axes(given))[1], count)
                flow.ledger.pin(gate[:1], "a recurrent layer has a fixed number of gates")
                hidden = flow.ledger.tie(gate[1:], hidden)
        for state in (5, 6):
            given = flow.input(node, state)
            if given is not None:
                hidden = flow.ledger.tie(flow.axes(given)[2], hidden)
        for index in (0, 1, 2, 3, 5, 6, 7):
            given = flow.input(node, index)
            if given is not None and index not in (0,):
                flow.ledger.pin(flow.axes(given)[0], "it is a recurrent layer's direction")
        flow.sites.append(AttributeSite(node, hidden, "hidden_size"))
        flow.sites.append(SumSite(node, data[2], 0, 3, 2))
        flow.sites.append(SumSite(node, hidden, 2, 3, 2))
        directions = weight[0]
        last: Axes = (directions, data[1], hidden)
        return [(data[0], directions, data[1], hidden), last, last]

    return rule


RULES: Rules = {
    "Conv": conv, "FusedConv": conv, "ConvTranspose": conv_transpose,
    "MaxPool": pool, "AveragePool": pool, "LpPool": pool,
    "GlobalAveragePool": global_pool, "GlobalMaxPool": global_pool, "GlobalLpPool": global_pool,
    "MatMul": matmul, "FusedMatMul": matmul, "Gemm": gemm, "FusedGemm": gemm,
    "LSTM": _recurrent(4), "GRU": _recurrent(3), "RNN": _recurrent(1),
}  # fmt: skip
