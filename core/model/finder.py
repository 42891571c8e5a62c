"""Finding the layers of a graph: every weight with the nodes that use it, and the reason for what is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from core.model.evaluate import Result, infer
from core.model.graph import Place, Stored, node_key, places
from core.model.layer import Kind, Layer, LeftOut, Use
from core.model.origins import Origins
from core.model.roles import WEIGHT_ORDER, Role, is_bias, is_quantized, role
from core.model.storage import expected_bytes, numbers_in, type_name
from core.model.titles import is_made_up, is_ours, titles, unique_names

_OTHER_WEIGHTS = 64
"""A float tensor that enters elsewhere is a layer from this many weights on, when it has two real dimensions."""


@dataclass(frozen=True)
class _Use:
    """A use while it is collected; `axes` and `alias` as in `origins.Source`."""

    use: Use
    node: ir.Node
    role: Role
    axes: tuple[int | None, ...]
    alias: str = ""


@dataclass
class _Weight:
    """A weight while its uses are collected. value: what it is at the end of what rebuilds it, or the stored tensor."""

    value: ir.Value
    shape: tuple[int, ...]
    uses: list[_Use] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """What `find` gives: layers in the order of their first use, what was left out, and how to get each weight.

    weights  layer name -> the stored tensor, or the value that a constant computation ends in
    """

    layers: tuple[Layer, ...]
    left_out: tuple[LeftOut, ...]
    weights: dict[str, Stored | ir.Value]
    origins: Origins


def find(model: ir.Model) -> Found:
    """The layers of a loaded graph. Reads no weights."""
    everywhere = [place for place in places(model) if not place.function]
    origins = Origins(model, everywhere)
    found = [weight for weight in _Collector(origins).collect(everywhere) if weight.uses]
    used = {weight.value for weight in found}
    stored = [origins.stored.get(weight.value) for weight in found]
    free = unique_names((str(weight.value.name) for weight, tensor in zip(found, stored, strict=True) if not tensor),
                        taken={tensor.name for tensor in origins.stored.values()})
    computed = iter(free)
    names = [tensor.name if tensor else next(computed) for tensor in stored]
    shown = titles([(name, [use.alias for use in weight.uses if use.alias], [use.node for use in weight.uses])
                    for name, weight in zip(names, found, strict=True)])
    layers = [_layer(weight, name, title, origins, used)
              for weight, name, title in zip(found, names, shown, strict=True)]
    weights = {name: tensor or weight.value for name, weight, tensor in zip(names, found, stored, strict=True)}
    return Found(tuple(layers), tuple(_left_out(origins, used)), weights, origins)


class _Collector:
    """Every weight with its uses. A node that itself computes from constants alone uses no weight; it makes one."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._weights: dict[ir.Value, _Weight] = {}
        self._computed: dict[ir.Value, list[tuple[Use, ir.Node, tuple[ir.Value, ...]]]] = {}

    def collect(self, everywhere: Iterable[Place]) -> list[_Weight]:
        for place in everywhere:
            for node in place.graph:
                if not self._origins.is_constant(node):
                    self._visit(node, place)
        for root, uses in self._computed.items():
            self._finish(root, uses)
        return list(self._weights.values())

    def _visit(self, node: ir.Node, place: Place) -> None:
        for index, value in enumerate(node.inputs):
            origin = self._origins.of(value) if value is not None else None
            if origin is None:
                continue
            for source in origin.sources:
                found = role(node, index, origin.shape) or _other(node, index, source.stored.shape)
                if found is not None:
                    stored, use = source.stored, Use(node_key(node), node.op_type, index, source.via, place.scope)
                    weight = self._weights.setdefault(stored.value, _Weight(stored.value, stored.shape))
                    weight.uses.append(_Use(use, node, found, source.axes, source.alias))
            if origin.chain and self._may_be_weight(node, index, origin.chain[0]):
                root = origin.chain[0]
                self._weights.setdefault(root, _Weight(root, ()))  # keeps the order of first use
                use = Use(node_key(node), node.op_type, index, (), place.scope)
                self._computed.setdefault(root, []).append((use, node, origin.chain))

    def _may_be_weight(self, node: ir.Node, index: int, root: ir.Value) -> bool:
        found = role(node, index, None)
        if root in self._origins.stored:  # an integer tensor as it is: a weight only to a quantized operator
            return found is not None and found.quantized
        if found is not None:
            return True
        leaves = self._origins.leaves(root)
        return any(numbers_in(leaf.shape) >= _OTHER_WEIGHTS // 4 for leaf in leaves)

    def _finish(self, root: ir.Value, uses: list[tuple[Use, ir.Node, tuple[ir.Value, ...]]]) -> None:
        """Make one weight of a computed value and its uses: its name, its shape, the axes."""
        stored = self._origins.stored.get(root)
        value = root if stored is not None else _readable([chain for _, _, chain in uses])
        result = Result(stored.shape, "") if stored is not None else infer(self._origins, value)
        if result.shape is None or (stored is None and not result.is_float):
            return  # its leaves are listed among what is left out
        weight = self._weights[root]
        weight.value, weight.shape = value, result.shape
        for use, node, chain in uses:
            rest = chain[chain.index(value):]
            axes, shape = self._origins.follow(rest, result.shape)
            found = role(node, use.input, shape) or _other(node, use.input, result.shape)
            if found is not None:
                via = tuple(str(v.producer().op_type) for v in rest[1:])  # type: ignore[union-attr]
                weight.uses.append(_Use(replace(use, via=via), node, found, axes))


def _readable(chains: Sequence[tuple[ir.Value, ...]]) -> ir.Value:
    """The value that a computed weight is named after: the first that all uses share and whose name tells something."""
    shared = [values[0] for values in zip(*chains, strict=False) if len(set(values)) == 1]
    told = [value for value in shared if not is_made_up(str(value.name))]
    kept = [value for value in shared if not is_ours(str(value.name))]
    return (told or kept or shared)[0]


def _other(node: ir.Node, index: int, shape: tuple[int, ...]) -> Role | None:
    """The role of a float tensor that enters a node which is not known to take weights there."""
    if is_bias(node, index) or is_quantized(node):
        return None
    real = sum(size > 1 for size in shape)
    return Role(Kind.OTHER) if real >= 2 and numbers_in(shape) >= _OTHER_WEIGHTS else None


def _layer(weight: _Weight, name: str, title: str, origins: Origins, used: set[ir.Value]) -> Layer:
    """The layer of a weight; its uses sorted by how heavy their kind is, its axes those of the heaviest."""
    uses = sorted(weight.uses, key=lambda use: WEIGHT_ORDER.index(use.role.kind))
    first = uses[0]

    def stored_axis(axis: int | None) -> int | None:
        return first.axes[axis] if axis is not None and axis < len(first.axes) else None

    dtype, nbytes, locked = _description(weight, first.role, origins, used)
    return Layer(name=name, kind=first.role.kind, shape=weight.shape, dtype=dtype, nbytes=nbytes,
                 output_axis=stored_axis(first.role.output_axis), input_axis=stored_axis(first.role.input_axis),
                 uses=tuple(use.use for use in uses), groups=first.role.groups, locked=locked, title=title)


def _description(weight: _Weight, role: Role, origins: Origins, used: set[ir.Value]) -> tuple[str, int, str]:
    """(dtype or encoding in words, bytes, why locked); a leaf that several weights share counts once."""
    stored = origins.stored.get(weight.value)
    if stored is not None:
        dtype = dtype_name(stored)
        return dtype, stored_bytes(stored), f"already quantized ({dtype})" if role.quantized else ""
    leaves = [leaf for leaf in origins.leaves(weight.value) if leaf.value not in used]
    used.update(leaf.value for leaf in leaves)
    words, nbytes = encoding_words(origins, weight.value), sum(map(stored_bytes, leaves))
    smaller = nbytes < 4 * numbers_in(weight.shape)
    return words, nbytes, f"already compressed: {words}" if smaller else f"computed by the file: {words}"


def encoding_words(origins: Origins, root: ir.Value) -> str:
    """How a computed weight is stored, in words: the types of its large leaves and the operators that rebuild it."""
    leaves = sorted(origins.leaves(root), key=stored_bytes, reverse=True)
    large = [leaf for leaf in leaves if stored_bytes(leaf) * 4 > stored_bytes(leaves[0])]
    types = " and ".join(dict.fromkeys(dtype_name(leaf) for leaf in large)) or "no data"
    ops = list(dict.fromkeys(node.op_type for node in origins.nodes(root)))
    return f"{types} values rebuilt by {', '.join(ops[:4])}{' and more' if len(ops) > 4 else ''}"


def dtype_name(stored: Stored) -> str:
    """The name of a stored tensor's element type; see `storage.type_name`."""
    return type_name(stored.tensor.dtype if stored.tensor is not None else None)


def stored_bytes(stored: Stored) -> int:
    """Bytes of a tensor's data in its raw form."""
    if stored.tensor is None:
        return 0
    if stored.tensor.dtype.name == "STRING":
        return int(stored.tensor.nbytes)
    return expected_bytes(stored.tensor.dtype, stored.shape)


def _left_out(origins: Origins, used: set[ir.Value]) -> list[LeftOut]:
    """Everything stored that belongs to no layer, with the reason."""
    return [LeftOut(stored.name, stored_bytes(stored), dtype_name(stored), _reason(stored, origins))
            for stored in origins.stored.values() if stored.value not in used]


def _reason(stored: Stored, origins: Origins) -> str:
    if stored.place.function:
        return f"inside the function {stored.place.function}"
    if not stored.value.uses() and not stored.value.is_graph_output():
        return "unused"
    if stored.tensor is None:
        return "not a plain tensor"
    count = numbers_in(stored.shape)
    if not stored.tensor.dtype.is_floating_point():
        if stored.tensor.dtype.name in ("STRING", "BOOL"):
            return f"{stored.tensor.dtype.name.lower()} values"
        return "shape or index constant" if count <= 64 else "integer table"
    if count == 1:
        return "scalar"
    if all(origins.is_constant(use.node) for use in stored.value.uses()):
        return "part of a constant computation"
    if any(is_quantized(use.node) for use in stored.value.uses()):
        return "scale of quantized weights"
    if sum(size > 1 for size in stored.shape) <= 1:
        factor = all(use.node.op_type in ("Mul", "Div") for use in stored.value.uses())
        return "scale" if factor else "bias"
    if any(is_bias(use.node, use.idx) for use in stored.value.uses()):
        return "bias"
    return "fewer than 64 numbers"
