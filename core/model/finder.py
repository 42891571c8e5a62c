"""Finding the layers of a graph: every weight tensor with the nodes that use it, and the reason for what is left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import onnx_ir as ir

from core.model.evaluate import Result, infer
from core.model.graph import Place, Stored, node_key, places, stored_tensors
from core.model.layer import Kind, Layer, LeftOut, Use
from core.model.origins import Origin, Origins, Source
from core.model.roles import WEIGHT_ORDER, Role, role
from core.model.storage import bits_of, numbers_in
from core.model.titles import titles, unique_names

_OTHER_WEIGHTS = 64
"""A float tensor that enters elsewhere is a layer from this many weights on, when it has two real dimensions."""


@dataclass
class _Seen:
    """One weight while its uses are collected."""

    shape: tuple[int, ...]
    stored: Stored | None = None
    root: ir.Value | None = None
    uses: list[tuple[Use, Role, tuple[int | None, ...], ir.Node]] = field(default_factory=list)


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
    seen = _collect(everywhere, origins)
    used = {weight.stored.value for weight in seen if weight.stored is not None}
    names = unique_names(weight.stored.name if weight.stored is not None else str(weight.root.name)  # type: ignore
                         for weight in seen)
    shown = titles(names, [[node for _, _, _, node in weight.uses] for weight in seen])
    layers: list[Layer] = []
    weights: dict[str, Stored | ir.Value] = {}
    for weight, name, title in zip(seen, names, shown, strict=True):
        layers.append(_layer(weight, title, name, origins, used))
        weights[name] = weight.stored if weight.stored is not None else weight.root  # type: ignore[assignment]
    return Found(tuple(layers), tuple(_left_out(origins, model, used)), weights, origins)


def _collect(everywhere: Iterable[Place], origins: Origins) -> list[_Seen]:
    """Every weight with its uses. A node that itself computes from constants alone uses no weight; it makes one."""
    seen: dict[ir.Value, _Seen] = {}
    for place in everywhere:
        for node in place.graph:
            if origins.is_constant(node):
                continue
            for index, value in enumerate(node.inputs):
                origin = origins.of(value) if value is not None else None
                if origin is None:
                    continue
                for source in origin.sources:
                    found = role(node, index, origin.shape) or _other(source)
                    if found is not None:
                        entry = seen.setdefault(source.stored.value, _Seen(source.stored.shape, source.stored))
                        use = Use(node_key(node), node.op_type, index, source.via, place.scope)
                        entry.uses.append((use, found, source.axes, node))
                via = () if origin.root is value else ("...",)
                _collect_encoded(seen, Use(node_key(node), node.op_type, index, via, place.scope), node, origin, origins)
    return list(seen.values())


def _collect_encoded(seen: dict[ir.Value, _Seen], use: Use, node: ir.Node, origin: Origin, origins: Origins) -> None:
    """Note the use of a weight that is computed from constants, or that a quantized operator takes as it is stored."""
    root = origin.root
    if root is None:
        return
    found = role(node, use.input, origin.shape)
    stored = origins.stored.get(root)
    if found is None or (stored is not None and not found.quantized):
        return
    if root not in seen:
        result = Result(stored.shape, "") if stored is not None else infer(origins, root)
        if found.kind == Kind.EMBEDDING and not found.quantized and not result.is_float:
            return  # a table of integers
        seen[root] = _Seen(result.shape, stored=stored, root=root)
    shape = seen[root].shape
    axes = tuple(range(len(shape))) if not use.via else ()
    found = role(node, use.input, shape) if not use.via else found
    if found is not None:
        seen[root].uses.append((use, found, axes, node))


def _other(source: Source) -> Role | None:
    """The role of a float tensor that enters a node which is not known to take weights there."""
    shape = source.stored.shape
    real = sum(size > 1 for size in shape)
    return Role(Kind.OTHER) if real >= 2 and numbers_in(shape) >= _OTHER_WEIGHTS else None


def _layer(weight: _Seen, title: str, name: str, origins: Origins, shared: set[ir.Value]) -> Layer:
    """The layer of a weight; its uses sorted by how heavy their kind is, its axes those of the heaviest."""
    uses = sorted(weight.uses, key=lambda use: WEIGHT_ORDER.index(use[1].kind))
    _, first, axes, _ = uses[0]

    def stored_axis(axis: int | None) -> int | None:
        return axes[axis] if axis is not None and -len(axes) <= axis < len(axes) else None

    dtype, nbytes, locked = _description(weight, first, origins, shared)
    return Layer(name=name, kind=first.kind, shape=weight.shape, dtype=dtype, nbytes=nbytes,
                 output_axis=stored_axis(first.output_axis), input_axis=stored_axis(first.input_axis),
                 uses=tuple(use for use, _, _, _ in uses), groups=first.groups, locked=locked, title=title)


def _description(weight: _Seen, first: Role, origins: Origins, shared: set[ir.Value]) -> tuple[str, int, str]:
    """(dtype or encoding in words, bytes, why locked); small leaves that several weights share count once."""
    if weight.root is None and weight.stored is not None:
        return dtype_name(weight.stored), stored_bytes(weight.stored), ""
    if weight.stored is not None:
        kind = dtype_name(weight.stored)
        shared.add(weight.stored.value)
        return kind, stored_bytes(weight.stored), f"already quantized ({kind})"
    leaves = [leaf for leaf in origins.leaves(weight.root) if leaf.value not in shared]  # type: ignore[arg-type]
    shared.update(leaf.value for leaf in leaves)
    words = encoding_words(origins, weight.root)  # type: ignore[arg-type]
    return words, sum(map(stored_bytes, leaves)), f"already compressed: {words}"


def encoding_words(origins: Origins, root: ir.Value) -> str:
    """How a computed weight is stored, in words: the types of its large leaves and the operators that rebuild it."""
    leaves = sorted(origins.leaves(root), key=stored_bytes, reverse=True)
    large = [leaf for leaf in leaves if stored_bytes(leaf) * 10 >= stored_bytes(leaves[0])] if leaves else []
    types = " and ".join(dict.fromkeys(dtype_name(leaf) for leaf in large)) or "no data"
    ops = list(dict.fromkeys(node.op_type for node in origins.nodes(root)))
    return f"{types} values rebuilt by {', '.join(ops[:4])}{' and more' if len(ops) > 4 else ''}"


def dtype_name(stored: Stored) -> str:
    """The numpy name of a stored tensor's element type ("float32"), or the ONNX name in lower case."""
    if stored.tensor is None:
        return "unknown"
    name = stored.tensor.dtype.name.lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def stored_bytes(stored: Stored) -> int:
    """Bytes of a tensor's data in its raw form."""
    if stored.tensor is None:
        return 0
    if stored.tensor.dtype.name == "STRING":
        return int(stored.tensor.nbytes)
    return (numbers_in(stored.shape) * bits_of(stored.tensor.dtype) + 7) // 8


def _left_out(origins: Origins, model: ir.Model, used: set[ir.Value]) -> list[LeftOut]:
    """Everything stored that belongs to no layer, with the reason."""
    return [LeftOut(stored.name, stored_bytes(stored), dtype_name(stored), _reason(stored, origins))
            for stored in stored_tensors(model).values() if stored.value not in used]


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
    if sum(size > 1 for size in stored.shape) <= 1:
        return "bias"
    return "fewer than 64 numbers"
