"""Trellis-coded quantization: the weights follow a path whose every step chooses among a few of many values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from math import prod

import numpy as np

from core.data.layer_inputs import Need
from core.encoding import Affine, Float, Kept
from core.encoding.base import Array, Encoding, Shape
from core.errors import LayerSkipped
from core.methods._quantizing import importance_of, stored_half
from core.methods._rounding import output_axes
from core.methods._settings import rounding_param
from core.methods._structure import change_floats, leaf_values, refuse_quantized
from core.methods._trellis import RATES, STATES, Path, Stream, fitted_table, normal_table
from core.methods.base import REBUILT, Context, Method, Role, require_inputs
from core.methods.params import param
from core.model.matrix import as_rows, has_rows

_FEWEST = 64  # weights: below, the state that a stream begins with and the nodes outweigh the codes
_FITTED_ON = 1 << 16  # weights that a table is fitted to
_ROUNDS = 3  # more learned the sample by heart
_DB_A_BIT = 20 * np.log10(2)  # what one more bit a weight brings


@dataclass(frozen=True)
class TrellisParams:
    bits: float = param(
        2.0, "Bits", "Bits of each weight. Half bits: one symbol for two weights.", choices=tuple(RATES),
        unit="bits", grid=(4.0, 3.0, 2.0),
    )
    states: int = param(
        1024, "States", "The more, the smaller the error, and the longer the search and the table (two bytes a state, "
        "once for all layers): 256 lose about 0.4 dB, 4,096 gain 0.3 dB and take four times as long.",
        choices=STATES,
    )
    granularity: str = param(
        "auto", "One scale for", "Automatic: each channel where its scale brings more than the bytes that it takes.",
        choices=("auto", "tensor", "channel"), choice_titles=("Automatic", "Whole layer", "Each channel"),
    )
    table: str = param(
        "auto", "Values", "One table of a normal distribution for all layers, or one fitted to the layer, which is "
        "stored with it. Automatic: the fitted one where it brings more than its bytes.",
        choices=("auto", "normal", "fitted"), choice_titles=("Automatic", "Normal distribution", "Fitted to the layer"),
    )
    importance: str = param(
        "equal", "Weights count", "Alike, or by how large their inputs are on your samples: the path is then "
        "nearest where errors do more harm.",
        choices=("equal", "activation"), choice_titles=("Alike", "By their inputs"),
        when={"rounding": ["nearest"]},
    )
    rounding: str = rounding_param("nearest", "feedback")

    @property
    def by_inputs(self) -> bool:
        return self.importance == "activation" and self.rounding == "nearest"

    @property
    def needs(self) -> frozenset[Need]:
        """What must be measured on samples."""
        found = {Need.MEANS} if self.by_inputs else set()
        return frozenset(found | ({Need.MOMENTS} if self.rounding == "feedback" else set()))


class QuantizeTrellis(Method):
    word = "quantize"
    role = Role.QUANTIZE
    scheme = "trellis"
    title = "Trellis"
    family = "Quantization"
    summary = (
        "Chooses the bits of all weights together, so that each weight takes one of 1,024 values with 1 to 4 bits of "
        "its own: at 2 to 4 bits 1.7 to 2 dB better than the best levels of as many bits."
    )
    saves = ("file",)
    costs = f"The search takes a second or two for a million weights. {REBUILT}"
    choose_when = "The fewest bytes are wanted at 1 to 4 bits, and layers have some thousand weights or more."
    avoid_when = (
        "5 bits or more are wanted (Quantize), layers are small (the table takes 2 kB), or it must be quick "
        "(Quantize to a codebook)."
    )
    data = "unlabelled samples for weights that count by their inputs and the rounding Error feedback"
    source = (
        "Tseng et al., \"QTIP\", NeurIPS 2024; Marcellin and Fischer, \"Trellis coded quantization\", 1990; feedback: "
        "Frantar et al., \"GPTQ\", ICLR 2023"
    )
    Params = TrellisParams

    def needs(self, params: TrellisParams) -> frozenset[Need]:
        return params.needs

    def apply(self, encoding: Encoding, params: TrellisParams, context: Context) -> Encoding:
        refuse_quantized(encoding, "quantize once")
        if isinstance(encoding, Float):
            return _quantize(leaf_values(encoding, context), params, context)
        if params.rounding == "feedback":
            raise LayerSkipped(
                f"error feedback along a trellis needs a whole weight, and this one is {encoding.describe()}",
                do="choose Nearest as rounding",
            )
        why = "its numbers are not those of whole inputs"
        inner = replace(context, inputs=None, why_no_inputs=why)
        if isinstance(encoding, Kept) and params.by_inputs:
            raise LayerSkipped("kept weights have no importance of their own here", do="let weights count alike")
        return change_floats(encoding, lambda leaf: _quantize(leaf_values(leaf, inner), params, inner))

    def label(self, params: TrellisParams) -> str:
        return f"{params.bits:g} bit trellis"


def _quantize(values: Array, params: TrellisParams, context: Context) -> Encoding:
    """Case 1: error feedback, where the layer sums over inputs. Case 2: the path nearest to the weights."""
    if values.size < _FEWEST:
        raise LayerSkipped(f"its {values.size} weights are too few for a trellis", do="leave it, or choose float16")
    if values.min() == values.max():
        raise LayerSkipped(f"all its weights are {values.flat[0]:g}", do="use a codebook, which keeps one level")
    scale, half = _scales(values, params, context)
    shared, stream = _stream(_steps(_over(values, scale).reshape(-1), params), params, context)
    if params.rounding == "feedback" and has_rows(context.layer) and values.shape == context.layer.shape:
        return _fed_back(values, scale, half, stream, params, context, shared)
    counts = _importance(values, params, context)
    reporter = context.reporter.part(0.3, 0.95)
    path = stream.path(_steps(_over(values, scale).reshape(-1), params), counts, reporter)
    child = path.encoding(values.shape, shared=shared)
    weights = importance_of(values, context) if params.by_inputs else None
    return Affine(child, _refined(values, child.decode(), scale, weights), scale_dtype="float16" if half else "float32")


def _over(values: Array, scale: Array) -> Array:
    """Weights over their scale; 0 where the scale is 0."""
    return np.divide(values, scale, out=np.zeros_like(values), where=np.broadcast_to(scale > 0, values.shape))


def _steps(flat: Array, params: TrellisParams) -> Array:
    """The numbers as (steps, weights of a step), the last step filled up with zeros."""
    width = RATES[params.bits][1]
    return np.append(flat, np.zeros(-flat.size % width, np.float32)).reshape(-1, width)


def _importance(values: Array, params: TrellisParams, context: Context) -> Array | None:
    """(steps,): what each step's error counts."""
    if not params.by_inputs:
        return None
    return _steps(importance_of(values, context).reshape(-1), params).mean(axis=1)


def _scales(values: Array, params: TrellisParams, context: Context) -> tuple[Array, bool]:
    """Root mean squares: one for all weights, or for each channel; and whether they are stored as float16.

    A scale for each channel brings the ratio of the arithmetic to the geometric mean of the channels' variances.
    """
    whole = np.sqrt(np.mean(np.square(values), dtype=np.float64)).astype(np.float32).reshape(())
    if values.ndim < 2 or params.granularity == "tensor":
        return whole, False
    axes = output_axes(context.layer, values.shape) if values.shape == context.layer.shape else (0,)
    others = tuple(axis for axis in range(values.ndim) if axis not in axes)
    squares = np.asarray(np.mean(np.square(values), axis=others, keepdims=True, dtype=np.float64))
    scale = np.sqrt(squares).astype(np.float32)
    half = stored_half(scale, context)
    if params.granularity == "auto":
        used = squares[squares > 0]
        gain = 10 * np.log10(used.mean() / np.exp(np.log(used).mean())) if used.size else 0.0
        if gain < _DB_A_BIT * (16 if half else 32) / prod(values.shape[axis] for axis in others):
            return whole, False
    return (np.maximum(scale, np.float32(np.finfo(np.float16).tiny)) if half else scale), half


def _refined(values: Array, found: Array, scale: Array, weights: Array | None) -> Array:
    """The scales of least squared error for the path that was found; the old ones where it is nothing but zero."""
    axes = tuple(axis for axis in range(values.ndim) if scale.ndim == 0 or scale.shape[axis] == 1)
    counted = found if weights is None else found * weights
    cross = np.sum(counted * values, axis=axes, keepdims=scale.ndim > 0, dtype=np.float64)
    square = np.sum(counted * found, axis=axes, keepdims=scale.ndim > 0, dtype=np.float64)
    best = np.divide(cross, np.where(square > 0, square, 1.0))
    best = np.where(square > 0, best, scale)
    return np.where(scale > 0, np.maximum(best, np.finfo(np.float16).tiny), scale).astype(np.float32)


def _stream(steps: Array, params: TrellisParams, context: Context) -> tuple[bool, Stream]:
    """The trellis for numbers of variance 1, and whether its table is the given one.

    Automatic: both are tried on a part of the weight; the fitted one must bring more than the bits that it takes.
    """
    bits, width = RATES[params.bits]
    given = Stream(bits, normal_table(params.bits, params.states))
    cost = _DB_A_BIT * 16 * given.table.size / (steps.shape[0] * width)
    if params.table == "normal" or (params.table == "auto" and cost > 2.0):  # no fit brings as much
        return True, given
    every = max(1, steps.shape[0] * width // _FITTED_ON)
    pieces = steps[: steps.shape[0] // every * every].reshape(-1, every, width) if every > 1 else steps[:, np.newaxis]
    sample, other = pieces[:, 0], pieces[:, every // 2]
    reporter = context.reporter.part(0.0, 0.2)
    fitted = Stream(bits, fitted_table(np.ascontiguousarray(sample), given, _ROUNDS, reporter))
    if params.table == "fitted":
        return False, fitted
    test = np.ascontiguousarray(other)
    gain = _error_db(test, given, context) - _error_db(test, fitted, context)
    return (False, fitted) if gain > cost else (True, given)


def _error_db(steps: Array, stream: Stream, context: Context) -> float:
    context.reporter.check()
    path = stream.path(steps)
    error = float(np.mean(np.square(stream.table[path.states()[: steps.shape[0]]] - steps), dtype=np.float64))
    return float(10 * np.log10(max(error, 1e-30)))


def _fed_back(
    values: Array, scale: Array, half: bool, stream: Stream, params: TrellisParams, context: Context, shared: bool
) -> Encoding:
    """A stream for each input, in the Hessian's order, so that the inputs behind make up for the errors before."""
    from core.methods._feedback import with_feedback

    layer = context.layer
    require_inputs(context, Need.MOMENTS)
    if layer.groups > 1 or as_rows(values, layer).shape[0] > 1:
        raise LayerSkipped("error feedback along a trellis needs a layer of one group", do="choose Nearest as rounding")
    order = _input_order(values.shape, context)
    if half:
        scale = scale.astype(np.float16).astype(np.float32)
    scales = as_rows(np.broadcast_to(scale, values.shape), layer)[0]
    outputs, inputs = scales.shape
    width = RATES[params.bits][1]
    length = -(-outputs // width)
    found: dict[int, Array] = {}

    def rounded(column: Array, place: int) -> Array:
        """What a column (1, outputs) decodes to; its symbols are kept."""
        normal = _steps(_over(column[0], np.ascontiguousarray(scales[:, place])), params)
        path = stream.paths(normal[np.newaxis])
        found[place] = path.symbols
        numbers = stream.table[path.states()].reshape(-1)[:outputs]
        return (numbers * scales[:, place])[np.newaxis]

    with_feedback(values, replace(context, reporter=context.reporter.part(0.2, 1.0)), rounded)
    symbols = np.concatenate([found[place] for place in range(inputs)])
    if length * width != outputs:
        raise LayerSkipped("half bits with error feedback need an even number of outputs", do="choose whole bits")
    child = Path(symbols, stream.table, stream.symbol_bits).encoding(values.shape, order, shared=shared)
    return Affine(child, scale, scale_dtype="float16" if half else "float32")


def _input_order(shape: Shape, context: Context) -> tuple[int, ...]:
    """The weight's axes with its inputs first and its outputs last, as `as_rows` numbers them; () if they lie so."""
    places = np.arange(prod(shape)).reshape(shape)
    wanted = as_rows(places, context.layer)[0].T.reshape(-1)
    for order in permutations(range(len(shape))):
        if np.array_equal(places.transpose(order).reshape(-1), wanted):
            return () if order == tuple(range(len(shape))) else order
    raise LayerSkipped("its inputs and outputs are interleaved", do="choose Nearest as rounding")
