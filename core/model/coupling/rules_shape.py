"""Rules of operators that move, join and pick axes."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from core.model.coupling.axes import Axes, Axis, Factor, fixed, size_of
from core.model.coupling.flow import Flow, Opaque, Rules, pin_axes
from core.model.coupling.regroup import regroup
from core.model.coupling.sites import NumberSite, SliceSite, SplitSite
from core.model.coupling.sizes import UNKNOWN, Entry, slice_bounds
from core.model.graph import attribute, node_key, numbers
from core.model.origins import permutation

_LAST = 2**30
"""A Slice that ends behind this goes to the end of its axis, whatever its size is."""


def transpose(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data = flow.axes(node.inputs[0])
    return [tuple(data[axis] for axis in permutation(node, len(data)))]


def flatten(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data = flow.axes(node.inputs[0])
    place = attribute(node, "axis", 1)
    place += len(data) if place < 0 else 0
    return [(sum(data[:place], ()), sum(data[place:], ()))]


def squeeze(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data = flow.axes(node.inputs[0])
    given = _given_axes(flow, node)
    if given is None:
        raise Opaque("which axes it takes off is computed")
    axes = [axis % len(data) for axis in given]
    if not axes:
        axes = [place for place, axis in enumerate(data) if axis == ()]
    return [tuple(axis for place, axis in enumerate(data) if place not in axes)]


def unsqueeze(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data = list(flow.axes(node.inputs[0]))
    axes = _given_axes(flow, node)
    if axes is None:
        raise Opaque("where it adds an axis is computed")
    for axis in sorted(axis % (len(data) + len(axes)) for axis in axes):
        data.insert(axis, ())
    return [tuple(data)]


def _given_axes(flow: Flow, node: ir.Node) -> tuple[int, ...] | None:
    """The `axes` of a node: an attribute before opset 13, an input since; () when not given, None when computed."""
    given = numbers(node, "axes")
    value = flow.input(node, 1)
    if given is not None or value is None:
        return given or ()
    return flow.sizes.numbers(value)


def reshape(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data = flow.axes(node.inputs[0])
    target = numbers(node, "shape")
    entries = tuple(Entry(n, literal=True) for n in target) if target else flow.sizes.of(flow.input(node, 1))
    if entries is None:
        raise Opaque("its new shape is computed in a way that is not followed")
    if not attribute(node, "allowzero", 0):
        entries = tuple(Entry(size_of(data[at]), data[at]) if entry.size == 0 and entry.literal and at < len(data)
                        else entry for at, entry in enumerate(entries))  # fmt: skip
    found = regroup(flow.ledger, data, entries)
    if found is None:
        raise Opaque("its new shape cuts across the channels in a way that is not followed")
    for place, (entry, axis) in enumerate(zip(entries, found, strict=True)):
        _written(flow, node, entry, axis, place)
    return [found]


def _written(flow: Flow, node: ir.Node, entry: Entry, axis: Axis, place: int) -> None:
    """Note a size that is stated for an axis, so that it follows a cut; pin the axis when it could not."""
    if all(factor.atoms is None for factor in (*axis, *(entry.axis or ()))) or entry.size == -1:
        return
    if entry.axis is not None and entry.axis != axis:
        flow.ledger.tie(entry.axis, axis)
    elif entry.axis is None and entry.literal:
        name = "shape" if node.op_type == "Reshape" and len(node.inputs) == 1 else ""
        flow.sites.append(NumberSite(node, axis, place, attribute=name))
    elif entry.axis is None:
        flow.ledger.pin(axis, f"{node.op_type} {node_key(node)!r} gets its size from a computation")


def expand(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    """Axes of one place are repeated, the others pass."""
    data = flow.axes(node.inputs[0])
    entries = flow.sizes.of(flow.input(node, 1))
    if entries is None:
        raise Opaque("its new shape is computed in a way that is not followed")
    lead = len(entries) - len(data)
    result: list[Axis] = list(data[: max(-lead, 0)])
    for place, entry in enumerate(entries):
        axis = data[place - lead] if place >= lead else ()
        if not axis and entry.size != 1:
            axis = entry.axis if entry.axis is not None else fixed(entry.size)
            if entry.size is not None and entry.literal:
                axis = flow.ledger.new(entry.size)
        if entry.size != 1:
            _written(flow, node, entry, axis, place)
        result.append(axis)
    return [tuple(result)]


def constant_of_shape(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    """A value of one number throughout: any of its places can go, if the size it is given follows."""
    entries = flow.sizes.of(node.inputs[0])
    if entries is None:
        raise Opaque("its shape is computed in a way that is not followed")
    result: list[Axis] = []
    for place, entry in enumerate(entries):
        axis = entry.axis if entry.axis is not None else fixed(entry.size)
        if entry.literal and entry.size is not None and entry.size > 1:
            axis = flow.ledger.new(entry.size)
            flow.sites.append(NumberSite(node, axis, place, 0))
        result.append(axis)
    return [tuple(result)]


def shape(flow: Flow, node: ir.Node) -> Sequence[Axes | None]:
    """Sizes follow their axes by themselves; `sizes` reads them."""
    data = flow.maybe(node.inputs[0]) if node.inputs[0] is not None else None
    if data is None:
        return [None]
    count = len(range(len(data))[slice(attribute(node, "start", 0), attribute(node, "end", len(data)))])
    return [(fixed(count),)]


def concat(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    parts = [flow.axes(value) for value in node.inputs if value is not None]
    place = attribute(node, "axis", 1) % len(parts[0])
    if any(len(axes) != len(parts[0]) for axes in parts):
        raise Opaque("its parts have different numbers of axes")
    result = list(parts[0])
    for at in range(len(result)):
        if at == place:
            result[at] = flow.ledger.joined([axes[at] for axes in parts])
        else:
            for axes in parts[1:]:
                result[at] = flow.ledger.tie(result[at], axes[at])
    return [tuple(result)]


def split(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data = flow.axes(node.inputs[0])
    place = attribute(node, "axis", 0) % len(data)
    count = len(node.outputs)
    value = flow.input(node, 1)
    sizes = numbers(node, "split") or (flow.sizes.numbers(value) if value is not None else None)
    whole = size_of(data[place])
    if sizes is None and value is None and whole is not None:
        step = -(-whole // count)
        sizes = tuple(min(step, whole - step * at) for at in range(count))
    if sizes is None or whole is None or sum(sizes) != whole or len(sizes) != count:
        flow.ledger.pin(data[place], f"Split {node_key(node)!r} gets its sizes from a computation")
        return [tuple(fixed(None) if at == place else axis for at, axis in enumerate(data))] * count
    factor = flow.ledger.flat(data[place])
    ends = [sum(sizes[: at + 1]) for at in range(count)]
    parts = tuple(flow.ledger.taken(factor, slice(end - size, end)) if factor is not None else ()
                  for size, end in zip(sizes, ends, strict=True))  # fmt: skip
    if factor is not None:
        flow.sites.append(SplitSite(node, (factor,), parts, flow.opset >= 13))
    return [(*data[:place], part, *data[place + 1 :]) for part in parts]


def slice_(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data = list(flow.axes(node.inputs[0]))
    bounds = slice_bounds(node, flow.sizes)
    if bounds is None:
        raise Opaque("which axes it cuts is computed")
    for place, (axis, start, end, step) in enumerate(bounds):
        axis %= len(data)
        if _is_picked(flow, node, data[axis], place, step):
            data[axis] = _sliced(flow, node, data[axis], place, start, end, step)
    return [tuple(data)]


def _is_picked(flow: Flow, node: ir.Node, axis: Axis, place: int, step: int) -> bool:
    """False where the bounds are the very size of the axis (x[:, :x.shape[1]]), which follows by itself.

    Other bounds that are computed cannot be rewritten: the axis stays, and what they follow.
    """
    if len(node.inputs) == 1:  # before opset 10: attributes
        return True
    both = [flow.sizes.of(value) for value in node.inputs[1:3]]
    first, last = (entries[place] if entries else UNKNOWN for entries in both)
    if axis and last.axis == axis and first.literal and first.size == 0 and step == 1:
        return False
    if not (first.literal and last.literal):
        pin_axes(flow, [axis, first.axis or (), last.axis or ()], f"Slice {node_key(node)!r} computes what it picks")
    return True


def _sliced(
    flow: Flow, node: ir.Node, axis: Axis, place: int, start: int | None, end: int | None, step: int
) -> Axis:
    """What a Slice leaves of one axis."""
    size = size_of(axis)
    if step == 1 and start == 0 and end is not None and (end >= _LAST or end == size):
        if end < _LAST and (factor := flow.ledger.flat(axis)) is not None:
            flow.sites.append(SliceSite(node, (factor,), place, 0, end))
        return axis
    why = f"Slice {node_key(node)!r} picks channels by number"
    if size is None or start is None or end is None:
        flow.ledger.pin(axis, why)
        return fixed(None)
    factor = flow.ledger.flat(axis)
    if factor is None or step != 1:
        flow.ledger.pin(axis, why)
        return fixed(len(range(size)[slice(start, end, step)]), why)
    first, last, _ = slice(start, end).indices(size)
    flow.sites.append(SliceSite(node, (factor,), place, first, max(first, last)))
    return flow.ledger.taken(factor, slice(first, max(first, last)))


def gather(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    """Rows are looked up by number: the axis stays whole. What is picked from it keeps its other axes."""
    data = flow.axes(node.inputs[0])
    place = attribute(node, "axis", 0) % len(data)
    index = node.inputs[1]
    flow.ledger.pin(data[place], f"Gather {node_key(node)!r} looks them up by number")
    picked = flow.axes(index)
    pin_axes(flow, picked if index in flow.stored else (), "they are numbers of rows")
    return [(*data[:place], *picked, *data[place + 1 :])]


def pad(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data = flow.axes(node.inputs[0])
    pads = numbers(node, "pads") or flow.sizes.numbers(flow.input(node, 1))
    if pads is None or len(pads) != 2 * len(data):
        raise Opaque("how much it adds to each axis is computed")
    result = []
    for place, axis in enumerate(data):
        extra, size = pads[place] + pads[place + len(data)], size_of(axis)
        if pads[place] or pads[place + len(data)]:
            flow.ledger.pin(axis, f"Pad {node_key(node)!r} adds to these channels")
            axis = fixed(None if size is None else size + extra)
        result.append(axis)
    return [tuple(result)]


def tile(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data = flow.axes(node.inputs[0])
    times = flow.sizes.of(flow.input(node, 1))
    if times is None or len(times) != len(data):
        raise Opaque("how often it repeats each axis is computed")
    result = []
    for axis, entry in zip(data, times, strict=True):
        if entry.size != 1:
            repeated = Factor(entry.size, why="it is a repetition")
            axis = (repeated, *axis)
        result.append(axis)
    return [tuple(result)]


def depth_to_space(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    """Channels (block, block, c) or, CRD, (c, block, block) become c channels."""
    data, block = flow.axes(node.inputs[0]), attribute(node, "blocksize", 1)
    factor = flow.ledger.flat(data[1])
    if factor is None or factor.size is None or len(data) != 4 or factor.size % (block * block):
        raise Opaque("its channels are not known")
    found = node.attributes.get("mode")
    first = found is not None and found.as_string() == "CRD"
    outer, inner = flow.ledger.split(factor, factor.size // block**2 if first else block**2)
    kept, mixed = (outer, inner) if first else (inner, outer)
    flow.ledger.pin((mixed,), "they become neighbouring pixels")
    sizes = [size_of(axis) for axis in data[2:]]
    return [(data[0], (kept,), *(fixed(None if size is None else size * block) for size in sizes))]


def space_to_depth(flow: Flow, node: ir.Node) -> Sequence[Axes]:
    data, block = flow.axes(node.inputs[0]), attribute(node, "blocksize", 1)
    sizes = [size_of(axis) for axis in data[2:]]
    channels = (Factor(block * block, why="they are neighbouring pixels"), *data[1])
    return [(data[0], channels, *(fixed(None if size is None else size // block) for size in sizes))]


RULES: Rules = {
    "Transpose": transpose, "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze, "Reshape": reshape,
    "Expand": expand, "ConstantOfShape": constant_of_shape, "Shape": shape, "Concat": concat, "Split": split,
    "Slice": slice_, "Gather": gather, "Pad": pad, "Tile": tile, "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}  # fmt: skip
