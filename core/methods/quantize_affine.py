"""Uniform quantization: weights rounded to equally spaced levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.encoding import Affine, Codes, Factored, Float, Sparse
from core.encoding.base import Array, Encoding, Shape
from core.encoding.positions import gather
from core.errors import LayerSkipped
from core.methods._groups import Groups
from core.methods._rounding import Levels, balance, output_axes
from core.methods._scales import choose, encode
from core.methods._structure import chunks, factor_values, leaf_values, refuse_quantized
from core.methods.base import REBUILT, Context, Method, Role
from core.methods.params import param
from core.model.layer import Layer

_HALF_FROM = 64  # this many scales repay the node that widens them
_SEVERAL = range(2, 9)  # bits that have more than two levels
AUTO_BLOCK = 96  # weights: a float16 scale then takes a sixth of a bit a weight
_HALF_SMALLEST, _HALF_LARGEST = (np.float32(x) for x in (np.finfo(np.float16).tiny, np.finfo(np.float16).max))
_HALF_MEDIAN = 8 * _HALF_SMALLEST  # typical scales of at least this: raising the few too small ones is harmless


@dataclass(frozen=True)
class AffineParams:
    bits: int = param(
        8, "Bits", "Bits of each weight. 8 hardly changes a model, 4 often needs care, 1 keeps only the sign.",
        minimum=1, maximum=8, unit="bits", grid=(8, 6, 5, 4, 3, 2),
    )
    granularity: str = param(
        "auto", "One scale for", "The finer, the smaller the error; a scale takes 2 or 4 bytes. Automatic: about 96 "
        "weights where a channel has at least 192, else a channel.",
        choices=("auto", "tensor", "channel", "block"),
        choice_titles=("Automatic", "Whole layer", "Each channel", "Blocks of weights"),
    )
    block: int = param(
        32, "Block size", "Weights that share a scale, counted along the input axis.",
        minimum=8, maximum=256, unit="weights", when={"granularity": ["block"]}, grid=(128, 64, 32),
    )
    symmetric: bool = param(
        True, "Symmetric", "Equal range on both sides of zero. Off: from the smallest to the largest weight, which "
        "suits lopsided layers and costs a zero point for each scale.", when={"bits": _SEVERAL},
    )
    range: str = param(
        "mse", "Range", "Least squared error narrows the range where cutting outliers off pays; it is never worse than "
        "the full range.", choices=("mse", "minmax"), choice_titles=("Least squared error", "Full range"),
        when={"bits": _SEVERAL},
    )
    rounding: str = param(
        "balanced", "Rounding", "Balanced moves a few weights to their second nearest level, so that errors cancel "
        "where a channel sums over its inputs. Nearest has the smallest error of the weights alone.",
        choices=("balanced", "nearest"), choice_titles=("Balanced", "Nearest"), when={"bits": _SEVERAL},
    )


@dataclass(frozen=True)
class Layout:
    """Which weights share a scale: those with the same place on `axes`, in blocks of `block` along `axis`."""

    axes: tuple[int, ...] = ()
    axis: int | None = None
    block: int = 0


class QuantizeAffine(Method):
    word = "quantize"
    role = Role.QUANTIZE
    scheme = "affine"
    default = True
    title = "Quantize"
    family = "Quantization"
    summary = (
        "Stores each weight in a few bits, on evenly spaced levels. 8 bits is the safe default: a quarter of the file "
        "at hardly any error."
    )
    saves = ("file",)
    costs = REBUILT
    choose_when = "The file must shrink and the answers stay: 8 bits for a quarter of the bytes, 4 to 6 with care."
    avoid_when = "Below 3 bits a codebook has less error; for speed use a run-time form (scheme static or dynamic)."
    source = "Jacob et al., \"Quantization and Training of Neural Networks for Efficient Inference\", CVPR 2018"
    Params = AffineParams

    def apply(self, encoding: Encoding, params: AffineParams, context: Context) -> Encoding:
        refuse_quantized(encoding, "quantize once")
        if isinstance(encoding, Float):
            layout = _layout(params, context.layer, encoding.shape)
            return _dense(leaf_values(encoding, context), layout, params, context)
        if isinstance(encoding, Sparse) and isinstance(encoding.values, Float):
            return _sparse(encoding, params, context)
        if isinstance(encoding, Factored):
            return encoding.with_children([
                _dense(factor_values(child, context), _plain_layout(params, outer, inner), params, context)
                for child, (outer, inner) in zip(encoding.children, encoding.factor_axes, strict=True)
            ])  # fmt: skip
        raise LayerSkipped(f"the weight is stored as {encoding.describe()}, which quantize does not handle")

    def label(self, params: AffineParams) -> str:
        word = "1 bit" if params.bits == 1 else f"{'int' if params.symmetric else 'uint'}{params.bits}"
        where = {"auto": "", "tensor": " per tensor", "channel": " per channel", "block": f" block {params.block}"}
        return word + where[params.granularity]


def _plain_layout(params: AffineParams, outer: tuple[int, ...], inner: int) -> Layout:
    """The layout of a factor of a weight."""
    if params.granularity == "tensor":
        return Layout()
    return Layout(outer, inner, params.block) if params.granularity == "block" else Layout(outer)


def _automatic(layer: Layer, shape: Shape, axes: tuple[int, ...], inner: int, others: int) -> Layout:
    """Blocks of about AUTO_BLOCK weights that divide the channel, where it has at least two; else the channel.

    Where a batch norm will be folded in, one float32 scale a channel takes its factor for nothing.
    """
    size = shape[inner]
    if size * others < 2 * AUTO_BLOCK or layer.folds_norm:
        return Layout(axes)
    near = (0.75 * AUTO_BLOCK, 2.5 * AUTO_BLOCK)
    even = [n for n in range(1, size) if size % n == 0 and near[0] <= n * others <= near[1]]
    if even:
        return Layout(axes, inner, min(even, key=lambda n: abs(np.log(n * others / AUTO_BLOCK))))
    length = max(1, AUTO_BLOCK // others)
    return Layout(axes, inner, length) if length < size else Layout(axes)


def _layout(params: AffineParams, layer: Layer, shape: Shape) -> Layout:
    """Which weights of a layer share a scale.

    Case 1  one axis, or one scale wanted: the whole weight
    Case 2  channels: the output axis, or the rows of an embedding; directions too where recurrent weights have them
    Case 4  automatic: case 3 with blocks of about AUTO_BLOCK weights, or case 2
    Case 3  blocks along the input axis; where a channel's input has several places (kernels), fewer channels make a
            block, so that it holds about as many weights, and their number divides the axis
    """
    if params.granularity == "tensor" or len(shape) < 2:
        return Layout()
    axes = output_axes(layer, shape)
    if params.granularity == "channel":
        return Layout(axes)
    inner = layer.input_axis
    if inner is None or inner in axes:
        free = [axis for axis in range(len(shape)) if axis not in axes]
        inner = max(free, key=lambda axis: shape[axis], default=None)
    if inner is None:
        return Layout(axes)
    others = 1
    for axis, size in enumerate(shape):
        others *= size if axis not in (*axes, inner) else 1
    if params.granularity == "auto":
        return _automatic(layer, shape, axes, inner, others)
    if others == 1:
        return Layout(axes, inner, params.block)
    most = max(1, params.block // others)
    return Layout(axes, inner, max(size for size in range(1, most + 1) if shape[inner] % size == 0))


def _dense(values: Array, layout: Layout, params: AffineParams, context: Context) -> Affine:
    """Affine over codes."""
    codes, scale, zero, half = _quantize(values, layout, params, context)
    leaf = Codes(codes, params.bits, signed=codes.dtype == np.int8)
    return Affine(leaf, scale, zero, layout.axis, layout.block, "float16" if half else "float32")


def _sparse(encoding: Sparse, params: AffineParams, context: Context) -> Encoding:
    """Kept weights quantized: with one scale as a list of their own, else in place, where zeros get the zero code."""
    if encoding.kept == 0:
        return encoding
    layout = _layout(params, context.layer, encoding.shape)
    if not layout.axes:
        kept = np.ascontiguousarray(encoding.values.decode())
        return encoding.with_values(_dense(leaf_values(Float(kept), context), layout, params, context))
    if not params.symmetric and params.bits > 1:
        raise LayerSkipped(
            "a pruned weight cannot have a zero point for each channel", do="choose symmetric, or one scale per layer"
        )
    values = leaf_values(Float(encoding.decode()), context)
    codes, scale, zero, half = _quantize(values, layout, params, context, sparse=True)
    leaf = Codes(gather(codes, encoding.mask()), params.bits, signed=codes.dtype == np.int8)
    child = encoding.with_values(leaf, fill=0.0 if zero is None else float(zero.flat[0]))
    return Affine(child, scale, zero, layout.axis, layout.block, "float16" if half else "float32")


def _quantize(
    values: Array, layout: Layout, params: AffineParams, context: Context, sparse: bool = False
) -> tuple[Array, Array, Array | None, bool]:
    """Codes of the shape of values; scales and zero points (None: zero) for Affine; whether the scales are float16."""
    codes, scale, offset, half = _round(values, layout, params, context, sparse)
    if params.rounding == "balanced" and params.bits > 1 and values.shape == context.layer.shape:
        top = (1 << params.bits - 1) - 1
        limits = (-top, top) if codes.dtype == np.int8 else (0, 2 * top if params.symmetric else 2 * top + 1)
        balance(values, codes, Levels(scale, offset, layout.axis, layout.block, *limits), context, sparse)
    return codes, scale, _zero_point(offset), half


def _round(
    values: Array, layout: Layout, params: AffineParams, context: Context, sparse: bool
) -> tuple[Array, Array, Array, bool]:
    """The nearest codes; scales and offsets, of rank 0 or the weight's; whether the scales are float16."""
    if not layout.axes:
        return (*_quantize_whole(values, params, context), False)
    # Only float32 scales of a channel can take in the factor of a batch norm that is folded.
    job = _Job(values, params, context, sparse, half=not context.layer.folds_norm)
    scale, offset = job.run(layout)
    if job.half and (scale.size < _HALF_FROM or np.median(scale) < _HALF_MEDIAN or scale.max() > _HALF_LARGEST):
        job = _Job(values, params, context, sparse, half=False)
        scale, offset = job.run(layout)
    return job.codes, scale, offset, job.half


def _zero_point(offset: Array) -> Array | None:
    """None for no offset, one number where all are equal."""
    first = offset.flat[:1]
    if (offset == first).all():
        return None if first[0] == 0 else first.reshape(())
    return offset


def _quantize_whole(values: Array, params: AffineParams, context: Context) -> tuple[Array, Array, Array]:
    """One scale for all weights."""
    flat = values.reshape(1, -1)
    pieces = [flat[:, part] for part in chunks(flat.size, context)]
    scales = choose(pieces, params.bits, params.symmetric, params.range == "mse", context.reporter.check)
    signed = params.bits == 8 and params.symmetric
    codes = np.empty(flat.shape, np.int8 if signed else np.uint8)
    for part in chunks(flat.size, context):
        codes[:, part] = encode(flat[:, part], scales, params.bits, signed)
    return codes.reshape(values.shape), scales.scale.reshape(()), scales.offset.reshape(())


class _Job:
    """Quantizes one weight with a scale for each group, piece by piece."""

    def __init__(self, values: Array, params: AffineParams, context: Context, sparse: bool, half: bool) -> None:
        self.values, self.params, self.context, self.sparse, self.half = values, params, context, sparse, half
        self.signed = params.bits == 8 and params.symmetric
        self.codes = np.empty(values.shape, np.int8 if self.signed else np.uint8)

    def run(self, layout: Layout) -> tuple[Array, Array]:
        """Fills `codes`; returns scales and offsets, of a shape that Affine takes."""
        if not layout.block or layout.axis is None:
            return self._part(self.values, self.codes, layout.axes, (0.0, 1.0))
        axis, size = layout.axis, self.values.shape[layout.axis]
        even = size - size % layout.block
        numbers = []
        for start, stop in ((0, even), (even, size)):  # whole blocks, then a shorter last one
            if start == stop:
                continue
            cut = (slice(None),) * axis + (slice(start, stop),)
            length = min(layout.block, stop - start)
            shape = self.values.shape
            split = (*shape[:axis], (stop - start) // length, length, *shape[axis + 1 :])
            axes = tuple(a if a < axis else a + 1 for a in layout.axes)
            views = (self.values[cut].reshape(split), self.codes[cut].reshape(split))
            part = self._part(*views, (*axes, axis), (start / size, stop / size))
            numbers.append([number.squeeze(axis + 1) for number in part])
        scale, offset = (np.concatenate(part, axis) for part in zip(*numbers, strict=True))
        return scale, offset

    def _part(
        self, values: Array, codes: Array, axes: tuple[int, ...], span: tuple[float, float]
    ) -> tuple[Array, Array]:
        """One scale for each place on `axes`; `span` is the share of the progress."""
        from core.kernels import in_threads

        groups = Groups(values.shape, axes)
        scale, offset = np.empty(groups.scale_shape, np.float32), np.empty(groups.scale_shape, np.float32)
        reporter, params = self.context.reporter.part(*span), self.params
        first = values.shape[groups.axes[0]]

        def work(piece: slice) -> slice:
            reporter.check()
            rows = groups.rows(values, piece)
            scales = choose([rows], params.bits, params.symmetric, params.range == "mse", reporter.check, self.sparse)
            if self.half:
                with np.errstate(over="ignore"):  # too large ones are found by the caller, who then uses float32
                    rounded = np.maximum(scales.scale, _HALF_SMALLEST).astype(np.float16)
                scales = scales.with_scale(rounded.astype(np.float32))
            groups.put(encode(rows, scales, params.bits, self.signed), codes, piece)
            groups.put_numbers(scales.scale, scale, piece)
            groups.put_numbers(scales.offset, offset, piece)
            return piece

        for piece in in_threads(work, list(groups.pieces())):
            reporter.report(piece.start / first)
        return scale, offset
