"""Whether each layer of an exported file that multiplies integers computes what it must.

The whole model's outputs say little about one layer: rounding to levels alone changes them more than a fault in a
single layer may. So each layer is compared by itself:
1  stored    its codes, scales, zero points and bias dequantize to the planned weight and bias, and what enters and
             leaves it is rounded at the levels of the simulation, which cover the planned ones
2  computed  its part of the file, cut out and given what enters the layer in the simulation, gives what leaves it there
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from core.analysis.runtime import Feed, run, session
from core.encoding import Encoding
from core.encoding.base import Array
from core.encoding.integer import HIGHEST, Integer, Levels, Static
from core.encoding.packed import PackedLinear
from core.encoding.scaled import scale_channels
from core.errors import FeatherweightError
from core.exporting.gate import Check
from core.exporting.integer_nodes import Product, bias_numbers, pair_levels, read_product, wrong
from core.model.folding import Fold, find_folds
from core.model.graph import attribute, stored_tensors
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.model.model import Model

STEPS = 1.0
"""Largest difference of what leaves a layer as codes, in steps of its levels: sums that float32 rounds to the other
side of the middle between two levels land one level off."""
FLOAT_STEPS = 0.1
"""The same for what leaves a layer as floats, in 1/255 of its range: the products are exact integers there."""
STORED_STEPS = 1e-3
"""Largest difference of a stored weight to the planned one, in steps of its codes: rounding of the scales' product."""
ROUNDING = 1e-6
"""What float32 sums may be off, relative to the sum of the products' magnitudes."""
AT_A_TIME = 32
"""Layers whose values are recorded in one run: all at once would hold every inner value of the model."""


@dataclass(frozen=True)
class _Layer:
    """One use of a layer that multiplies integers.

    use      the node in the simulated graph
    product  what stands for it in the exported graph
    given    the simulated value that enters `product`: rounded already, but where that goes by its own range
    wanted   the simulated value that must leave, and the exported value that does
    levels   of what leaves; None where floats leave
    """

    name: str
    use: ir.Node
    product: Product
    given: ir.Value
    wanted: ir.Value
    leaving: ir.Value
    levels: Levels | None


def check_integer_layers(
    model: Model,
    encodings: Mapping[str, Encoding],
    simulated: ir.Model,
    exported: Path,
    feeds: Sequence[Feed],
    reporter: Reporter = SILENT,
) -> Check | None:
    """The gate's check of each layer that multiplies integers; None when there are none.

    model      the graph that was exported, with its float weights
    encodings  of the layers whose uses the export rewrote; others may be among them
    simulated  `writer.simulate` of the same; it is changed
    feeds      samples; what leaves the layers is compared on the first one, and not at all without any
    Raises GateError that names the layer when one is not what was planned.
    """
    planned = {name: e for name, e in encodings.items() if isinstance(e, Integer | PackedLinear)}
    if not planned:
        return None
    graph = model.graph()
    values = {name: str(stored.value.name) for name, stored in stored_tensors(graph).items() if name in planned}
    folds = {fold.weight: fold for fold in find_folds(graph) if fold.weight in planned}
    written = ir.load(exported)
    layers = []
    for name, use, node in _pairs(simulated, written, values):
        fold = folds.get(name)
        product = read_product(node, use, name)
        _check_weight(product, planned[name], fold, name)
        _check_bias(product, use, fold, name)
        layers.append(_matched(name, use, product, planned[name], fold))
    worst, compared = _compare(layers, simulated, written, feeds[:1], reporter)
    some = f"{len(planned)} layers that multiply integers store" if len(planned) > 1 else "1 integer layer stores"
    text = f"{some} what was planned"
    if compared:
        text += f"; what {compared} of them give is at most {worst:.2g} steps from the simulation (allowed: {STEPS:g})"
    return Check("layers", True, text)


def _pairs(simulated: ir.Model, written: ir.Model, values: Mapping[str, str]) -> Iterator[tuple[str, ir.Node, ir.Node]]:
    """(layer, node that uses its float weight, node that multiplies its codes). Both graphs have them in one order."""
    stored = stored_tensors(simulated)
    uses = {node: name for name in values for node in stored[name].value.consumers()}
    ours = [node for node in simulated.graph.all_nodes() if node in uses]
    names = set(values.values())
    theirs = [
        node for node in written.graph.all_nodes()
        if node.op_type != "DequantizeLinear" and any(v is not None and v.name in names for v in node.inputs[1:2])
    ]  # fmt: skip
    for use, node in zip(ours, theirs, strict=False):
        yield uses[use], use, node
    if len(ours) != len(theirs):
        missing = uses[ours[len(theirs)]] if len(ours) > len(theirs) else uses[ours[-1]]
        wrong(missing, f"the file multiplies integers {len(theirs)} times, where {len(ours)} are planned")


def _check_weight(product: Product, encoding: Encoding, fold: Fold | None, name: str) -> None:
    """The stored numbers give the planned weight, but for channels with larger scales than planned.

    These have a bias that int32 would not hold at the planned scale (`quantized_values`); their codes are rounded anew.
    """
    planned = encoding if fold is None else scale_channels(encoding, fold.factor, fold.axis)
    wanted, step = planned.decode(), np.abs(product.step)
    if product.weight.shape != wanted.shape:
        wrong(name, f"the stored weight has the shape {product.weight.shape}, not {wanted.shape}")
    allowed = np.where(_coarser(step, planned), 0.5, 0.0) * step + STORED_STEPS * step + HIGHEST * _TINY
    apart = np.abs(product.weight - wanted)
    if not (apart <= allowed).all():
        off, count = float((apart / np.maximum(step, _TINY)).max()), int((apart > allowed).sum())
        wrong(name, f"{count:,} stored weights differ from the planned ones, by up to {off:.2g} steps")


_TINY = float(np.finfo(np.float32).tiny)
"""The scale that stands for zero."""


def _coarser(step: Array, planned: Encoding) -> Array:
    if not isinstance(planned, Static):
        return np.zeros((), bool)
    return np.asarray(step > 1.0001 * np.maximum(np.abs(planned.weight.stored_scale.decode()), _TINY))


def _check_bias(product: Product, use: ir.Node, fold: Fold | None, name: str) -> None:
    """A constant bias is the planned one, up to its rounding to int32."""
    given = use.inputs[2] if len(use.inputs) > 2 else None
    if fold is not None:
        wanted: Array | None = fold.bias
    else:
        wanted = given.const_value.numpy() if given is not None and given.const_value is not None else None
    if (product.bias is None) != (fold is None and given is None):
        wrong(name, "a bias is missing, or there is one too many")
    stored = bias_numbers(product.bias, name) if product.bias is not None else None
    if wanted is None or stored is None:
        return
    found, half = stored
    allowed = 1.001 * half + ROUNDING * np.abs(wanted)
    if found.size != wanted.size or not (np.abs(found.reshape(-1) - wanted.reshape(-1)) <= allowed).all():
        wrong(name, "its stored bias is not the planned one")


def _matched(name: str, use: ir.Node, product: Product, encoding: Encoding, fold: Fold | None) -> _Layer:
    """What must enter and leave; where values are rounded at stored levels, both graphs must have the same."""
    entering = use.inputs[0]
    if entering is None:
        wrong(name, "nothing enters it")
    if product.levels is None:
        return _Layer(name, use, product, _before_rounding(entering), use.outputs[0], product.leaving, None)
    _same(product.levels, _levels_before(entering, name), "enters", name)
    if isinstance(encoding, Static) and not _covers(product.levels, encoding.input):
        wrong(name, "what enters it is cut off within the planned range")
    wanted, ours = _leaves(use.outputs[0], name, fold)
    leaving, theirs = _leaves(product.leaving, name, None)
    _same(theirs, ours, "leaves", name)
    return _Layer(name, use, product, entering, wanted, leaving, theirs)


def _before_rounding(entering: ir.Value) -> ir.Value:
    """What the simulation rounds by its own range. Rounded values may span 254 steps, where the range gives 255: the
    file, given those, would round them a second time, at other levels."""
    back = entering.producer()
    rounding = back.inputs[0].producer() if back is not None and back.inputs and back.inputs[0] is not None else None
    if rounding is None or rounding.op_type != "DynamicQuantizeLinear" or rounding.inputs[0] is None:
        return entering
    return rounding.inputs[0]


def _same(found: Levels | None, wanted: Levels | None, does: str, name: str) -> None:
    if found != wanted:
        told = [f"steps of {x.scale:.4g} from code {x.zero}" if x else "none" for x in (found, wanted)]
        wrong(name, f"what {does} it is rounded to other levels than planned ({told[0]}; planned: {told[1]})")


def _covers(levels: Levels, planned: Levels) -> bool:
    """Whether nothing within the planned levels is cut off; zero points are rounded, so by up to one step."""
    slack = max(levels.scale, planned.scale)
    return levels.low <= planned.low + slack and levels.high >= planned.high - slack


def _levels_before(value: ir.Value, name: str) -> Levels | None:
    back = value.producer()
    quantize = back.inputs[0].producer() if back is not None and back.inputs and back.inputs[0] is not None else None
    return pair_levels(quantize, name)[0] if quantize is not None and quantize.op_type == "QuantizeLinear" else None


def _leaves(value: ir.Value, name: str, fold: Fold | None) -> tuple[ir.Value, Levels | None]:
    """The value behind a layer that is rounded, as it is turned back, and its levels; the first one when none is.

    Between the two may be what the runtime takes into the layer: Relu, Clip, and a batch norm that the export folds.
    """
    now = value
    taken_in = ("Relu", "Clip") if fold is None else ("Relu", "Clip", "BatchNormalization")
    while True:
        quantize = next((use for use in now.consumers() if use.op_type == "QuantizeLinear"), None)
        if quantize is not None:
            levels, back = pair_levels(quantize, name)
            return back, levels
        if len(now.uses()) != 1 or now.consumers()[0].op_type not in taken_in:
            return value, None
        now = now.consumers()[0].outputs[0]


def _compare(
    layers: Sequence[_Layer], simulated: ir.Model, written: ir.Model, feeds: Sequence[Feed], reporter: Reporter
) -> tuple[float, int]:
    """(largest difference in steps, layers compared): those whose values can be recorded, and that run."""
    from core.analysis.exposing import Exposed, inner_values

    if not feeds:
        return 0.0, 0
    keys = {inner.value: key for key, inner in inner_values(simulated).items()}
    keys.update((value, str(value.name)) for value in simulated.graph.inputs)
    seen = [layer for layer in layers if all(value in keys for value in _recorded(layer))]
    outside = {str(value.name) for value in simulated.graph.inputs}
    wanted = {keys[value] for layer in seen for value in _recorded(layer)} - outside
    worst, names = 0.0, set()
    with Exposed(simulated, dict.fromkeys(sorted(wanted), int(ir.DataType.FLOAT)), where="", optimize=False) as exposed:
        for start in range(0, len(seen), AT_A_TIME):
            part = seen[start : start + AT_A_TIME]
            reporter.report(start / len(seen), "Comparing each integer layer with its simulation")
            needed = {keys[value] for layer in part for value in _recorded(layer)}
            values = {**feeds[0], **exposed.run(feeds[0], sorted(needed - outside))}
            for layer in part:
                given, result, *bias = (values[keys[value]] for value in _recorded(layer))
                if result.size:
                    worst = max(worst, _apart(layer, written, given, result, bias))
                    names.add(layer.name)
    return worst, len(names)


def _recorded(layer: _Layer) -> list[ir.Value]:
    """What is recorded of the simulation: what enters, what leaves, and a bias that is computed."""
    bias = layer.use.inputs[2] if len(layer.use.inputs) > 2 else None
    computed = bias is not None and bias.const_value is None and layer.product.bias is not None
    return [layer.given, layer.wanted, *([bias] if computed and bias is not None else [])]


def _apart(layer: _Layer, written: ir.Model, given: Array, wanted: Array, bias: Sequence[Array]) -> float:
    """The difference of what leaves a layer to its simulation in steps. GateError when it is too large."""
    product = layer.product
    given_values = {product.entering: given}
    if bias and product.bias is not None:
        given_values[product.bias] = bias[0]
    try:
        found = _run_part(layer.leaving, given_values, written)
    except FeatherweightError as error:
        wrong(layer.name, f"its part of the file does not run by itself ({error.what})")
    if found.shape != wanted.shape:
        wrong(layer.name, f"it gives the shape {found.shape}, not {wanted.shape}")
    finite = np.isfinite(wanted)
    apart = np.abs(found[finite].astype(np.float64) - wanted[finite]).max(initial=0.0)
    if layer.levels is not None:
        step = layer.levels.scale
        allowed = STEPS * (1 + 1e-3) * step + _bias_rounding(product)
    else:
        step = float(np.ptp(wanted[finite].astype(np.float64))) / HIGHEST if finite.any() else 0.0
        allowed = FLOAT_STEPS * step + _rounding(layer, given)
    if not apart <= allowed:
        told = [f"{what / (step or 1.0):.3g}" for what in (apart, allowed)]
        wrong(layer.name, f"what it gives is {told[0]} steps from the simulation (allowed: {told[1]})")
    return float(apart / step) if step else 0.0


def _bias_rounding(product: Product) -> float:
    """What a bias in steps of the products is off by at most: most often less than a step of what leaves."""
    if product.bias is None or product.levels is None:
        return 0.0
    return 0.5 * product.levels.scale * float(np.abs(product.step).max(initial=0.0))


def _rounding(layer: _Layer, given: Array) -> float:
    """What rounding of float32 sums, and of the bias to int32, may change in what leaves."""
    product = layer.product
    outputs = 0 if layer.use.op_type == "Conv" or attribute(layer.use, "transB", 0) else product.weight.ndim - 1
    along = tuple(axis for axis in range(product.weight.ndim) if axis != outputs)
    largest = float(np.abs(given[np.isfinite(given)]).max(initial=0.0))
    magnitudes = np.abs(product.weight).sum(axis=along, dtype=np.float64) + HIGHEST * _TINY * product.weight.size
    total = ROUNDING * largest * float(magnitudes.max(initial=0.0))
    stored = bias_numbers(product.bias, layer.name) if product.bias is not None else None
    return total + (0.0 if stored is None else float(np.max(stored[1]) + ROUNDING * np.abs(stored[0]).max(initial=0.0)))


def _run_part(leaving: ir.Value, given: Mapping[ir.Value, Array], written: ir.Model) -> Array:
    """The value `leaving` as the runtime computes it from the given ones, cut out as a model of its own."""
    from onnx import ValueInfoProto, helper

    nodes, stored = _behind(leaving, given)
    inputs = [
        helper.make_tensor_value_info(
            str(value.name), helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim
        )
        for value, array in given.items()
    ]  # fmt: skip
    tensors = [ir.to_proto(ir.Tensor(value.const_value.numpy(), name=value.name)) for value in stored]  # type: ignore[union-attr]
    made = helper.make_graph(
        [ir.to_proto(node) for node in nodes], "one layer", inputs, [ValueInfoProto(name=leaving.name)], tensors
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in written.opset_imports.items()]
    whole = helper.make_model(made, opset_imports=opsets, ir_version=written.ir_version)
    feed = {str(value.name): array for value, array in given.items()}
    return run(session(whole.SerializeToString(), keep_memory=False), feed)[0]


def _behind(leaving: ir.Value, given: Iterable[ir.Value]) -> tuple[list[ir.Node], list[ir.Value]]:
    """The nodes that compute a value from given ones, in running order, and the stored tensors that they read."""
    done, nodes, stored = set(given), [], []
    stack: list[tuple[ir.Value, bool]] = [(leaving, False)]
    while stack:
        value, ready = stack.pop()
        producer = value.producer()
        if value in done:
            continue
        if producer is None:
            done.add(value)
            stored += [value] if value.const_value is not None else []
        elif ready:
            done.update(producer.outputs)
            nodes.append(producer)
        else:
            stack.append((value, True))
            stack.extend((source, False) for source in producer.inputs if source is not None)
    return nodes, stored
