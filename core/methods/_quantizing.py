"""From a weight to codes and scales, whatever the levels are and whatever the weight is stored as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np

from core.data.layer_inputs import Need
from core.encoding import Affine, Factored, Float, Kept, Transformed
from core.encoding.base import Array, Encoding, Shape
from core.errors import LayerSkipped
from core.methods._grids import Grid, Piece, Uniform
from core.methods._groups import Groups
from core.methods._layouts import Layout, layout_of, plain_layout
from core.methods._outliers import outlier_mask, with_outliers
from core.methods._rounding import Levels, balance
from core.methods._scales import Rule, choose
from core.methods._structure import chunks, coefficient_context, leaf_values, refuse_quantized
from core.methods.base import Context, require_inputs
from core.model.matrix import as_rows, from_rows, has_rows

_HALF_FROM = 64  # this many scales repay the node that widens them
_HALF_SMALLEST, _HALF_LARGEST = (np.float32(x) for x in (np.finfo(np.float16).tiny, np.finfo(np.float16).max))
_HALF_MEDIAN = 8 * _HALF_SMALLEST  # typical scales of at least this: raising the few too small ones is harmless


@dataclass(frozen=True)
class Setting:
    """What a person chose besides the levels; see the parameters of `quantize_affine`."""

    granularity: str = "auto"
    block: int = 32
    range: str = "mse"
    percentile: float = 99.9
    rounding: str = "nearest"
    outliers: float = 0.0

    @property
    def rule(self) -> Rule:
        return Rule(self.range in ("mse", "activation"), self.percentile if self.range == "percentile" else 100.0)

    @property
    def needs(self) -> frozenset[Need]:
        """What must be measured on samples."""
        found = {Need.MEANS} if self.range == "activation" else set()
        return frozenset(found | ({Need.MOMENTS} if self.rounding == "feedback" else set()))


@dataclass(frozen=True, eq=False)
class _Coded:
    """Codes of the weight's shape; scales and offsets of rank 0 or the weight's; whether the scales are float16."""

    codes: Array
    scale: Array
    offset: Array
    half: bool


def stored_half(scale: Array, context: Context) -> bool:
    """Whether scales are stored as float16: where that pays and does no harm, and no norm's factor goes into them."""
    if context.layer.folds_norm or scale.size < _HALF_FROM:
        return False
    return bool(np.median(scale) >= _HALF_MEDIAN and scale.max() <= _HALF_LARGEST)


def quantize(encoding: Encoding, grid: Grid, setting: Setting, context: Context) -> Encoding:
    """The encoding with its floats as codes of `grid`: of a plain weight, or of the floats in a tree of encodings.

    Case 1  a plain weight
    Case 2  a pruned weight: with one scale the kept weights are a list of their own; else they are quantized in place,
            where removed ones get the code of zero
    Case 3  factors: each one, with scales along its outer axes
    Case 4  coefficients of a transform, with scales for each basis function

    Raises LayerSkipped and Cancelled.
    """
    refuse_quantized(encoding, "quantize once")
    return _walk(encoding, grid, setting, context, layout_of(setting, context.layer, encoding.shape))


def _walk(encoding: Encoding, grid: Grid, setting: Setting, context: Context, layout: Layout) -> Encoding:
    if isinstance(encoding, Float):
        return _weight(leaf_values(encoding, context), None, grid, setting, context, layout)
    if isinstance(encoding, Kept) and isinstance(encoding.values, Float):
        return _pruned(encoding, grid, setting, context, layout)
    if isinstance(encoding, Factored):
        inner = replace(context, inputs=None, why_no_inputs="the weight is stored as factors")
        children = zip(encoding.children, encoding.factor_axes, strict=True)
        return encoding.with_children(
            [_walk(child, grid, setting, inner, plain_layout(setting, *axes)) for child, axes in children]
        )
    if isinstance(encoding, Transformed):
        inner = coefficient_context(encoding, context)
        child = encoding.child
        return encoding.with_coefficients(
            _walk(child, grid, setting, inner, layout_of(setting, inner.layer, child.shape))
        )
    raise LayerSkipped(f"the weight is stored as {encoding.describe()}, which quantize does not handle")


def _pruned(encoding: Kept, grid: Grid, setting: Setting, context: Context, layout: Layout) -> Encoding:
    if encoding.kept == 0:
        return encoding
    if not layout.axes and not setting.needs:
        kept = np.ascontiguousarray(encoding.values.decode())
        return encoding.with_values(_weight(leaf_values(Float(kept), context), None, grid, setting, context, layout))
    if isinstance(grid, Uniform) and not grid.symmetric and layout.axes:
        raise LayerSkipped(
            "a pruned weight cannot have a zero point for each channel", do="choose symmetric, or one scale per layer"
        )
    return _weight(leaf_values(Float(encoding.decode()), context), encoding, grid, setting, context, layout)


def _weight(
    values: Array, places: Kept | None, grid: Grid, setting: Setting, context: Context, layout: Layout
) -> Encoding:
    """Codes and scales of one array; `places` are those of the kept weights when it is pruned."""
    apart = outlier_mask(values, setting.outliers)
    inner = values if apart is None else np.where(apart, np.float32(0), values)
    sparse = places is not None or apart is not None
    found = _Job(inner, grid, setting, context, layout, sparse).run()
    if setting.rounding == "feedback":
        kept = None if places is None else places.mask()
        values, codes = _fed_back(values, kept, apart, grid, found, layout, context)
        found = replace(found, codes=codes)
    elif setting.rounding == "balanced" and grid.low_high and values.shape == context.layer.shape:
        levels = Levels(found.scale, found.offset, layout.axis, layout.block, *grid.low_high)
        balance(inner, found.codes, levels, context, sparse)
    zero = _zero_point(found.offset)
    if places is None:
        child = grid.leaf(found.codes)
    else:
        leaf = grid.leaf(places.pick(found.codes))
        child = places.with_values(leaf, fill=0.0 if zero is None else float(zero.flat[0]))
    dense = Affine(child, found.scale, zero, layout.axis, layout.block, "float16" if found.half else "float32")
    return dense if apart is None else with_outliers(values, dense, apart)


def _zero_point(offset: Array) -> Array | None:
    """None for no offset, one number where all are equal."""
    first = offset.flat[:1]
    if (offset == first).all():
        return None if first[0] == 0 else first.reshape(())
    return offset


def _fed_back(
    values: Array, kept: Array | None, apart: Array | None, grid: Grid, found: _Coded, layout: Layout, context: Context
) -> tuple[Array, Array]:
    """What error feedback makes of the weights, and the codes of that, with the scales that were found.

    kept, apart  bool, of the weight's shape, or None: what pruning kept; outliers, which stay as they are
    """
    if has_rows(context.layer):
        require_inputs(context, Need.MOMENTS)
    scale, offset = (spread(x, layout, values.shape) for x in (found.scale, found.offset))
    targets = feed_back(values, kept, apart, grid, scale, offset, context)
    exact = targets if kept is None else np.where(kept, targets, np.float32(0))
    rounded = exact if apart is None else np.where(apart, np.float32(0), exact)
    return exact, grid.codes_of(rounded, scale, offset)


def feed_back(
    values: Array,
    kept: Array | None,
    apart: Array | None,
    grid: Grid,
    scale: Array,
    offset: Array,
    context: Context,
) -> Array:
    """What to round instead of `values` so that later weights make up for the errors of earlier ones (GPTQ).

    scale, offset  of the weight's shape (broadcast); see `_fed_back` for the masks

    A layer that sums over no inputs (an embedding, a norm) has nothing that could make up for an error: its weights
    are rounded to nearest.
    """
    from core.methods._feedback import with_feedback

    layer = context.layer
    if not has_rows(layer):
        return values
    scales, offsets = as_rows(scale, layer), as_rows(offset, layer)
    kept_rows, apart_rows = (None if mask is None else as_rows(mask, layer) for mask in (kept, apart))

    def decoded(column: Array, place: int) -> Array:
        """What a column (groups, outputs) of weights decodes to."""
        across = scales[:, :, place], offsets[:, :, place]
        new = grid.decode(grid.codes_of(column, *across), *across)
        if apart_rows is not None:
            new = np.where(apart_rows[:, :, place], column, new)
        return new if kept_rows is None else np.where(kept_rows[:, :, place], new, np.float32(0))

    return with_feedback(values, context, decoded)


def spread(numbers: Array, layout: Layout, shape: Shape) -> Array:
    """Scales or offsets, as Affine takes them, for every weight: a view where they are not in blocks."""
    if layout.block and layout.axis is not None and numbers.ndim and numbers.shape[layout.axis] > 1:
        whole = np.repeat(numbers, layout.block, layout.axis)
        numbers = whole[(slice(None),) * layout.axis + (slice(shape[layout.axis]),)]
    return np.broadcast_to(numbers, shape)


def importance_of(values: Array, context: Context) -> Array:
    """What an error of each weight does to the layer's output: the mean square of its input, mean 1; a weight's shape.

    All count alike in a layer that sums over no inputs (an embedding, a norm). Raises LayerSkipped when there are no
    statistics, or none that can be used.
    """
    layer = context.layer
    if not has_rows(layer):
        return np.ones(values.shape, np.float32)
    square = require_inputs(context, Need.MEANS).square
    if square is None or values.shape != layer.shape:
        raise LayerSkipped("its inputs say nothing of single weights", do="choose Least squared error as its range")
    mean = float(square.mean(dtype=np.float64)) if square.size else 0.0
    if not np.isfinite(mean):
        raise LayerSkipped("the statistics of its inputs are NaN or infinite", do="check the samples")
    relative = (square / mean if mean > 0 else np.ones_like(square)).astype(np.float32)
    rows = as_rows(values, layer)
    return from_rows(np.broadcast_to(relative[:, np.newaxis], rows.shape), layer)


class _Job:
    """Codes and scales of one weight, piece by piece."""

    def __init__(
        self, values: Array, grid: Grid, setting: Setting, context: Context, layout: Layout, sparse: bool
    ) -> None:
        self.values, self.grid, self.setting = values, grid, setting
        self.context, self.layout, self.sparse = context, layout, sparse
        self.importance = importance_of(values, context) if setting.range == "activation" else None
        self.codes = np.empty(values.shape, np.int8 if grid.signed else np.uint8)
        self.half = False

    def run(self) -> _Coded:
        """Scales are float16 where that pays and does no harm: single scales of a channel stay float32 where a batch
        norm will be folded, since only those take in its factor."""
        if not self.layout.axes:
            return _Coded(self.codes, *self._whole(), False)
        self.half = not self.context.layer.folds_norm
        scale, offset = self._blocks()
        if self.half and not stored_half(scale, self.context):
            self.half = False
            scale, offset = self._blocks()
        return _Coded(self.codes, scale, offset, self.half)

    def _noise(self, shape: Shape, *place: int) -> Array | None:
        """Random numbers for stochastic rounding, which depend on the seed, the layer and the place alone."""
        if self.setting.rounding != "stochastic":
            return None
        key = (self.context.seed, crc32(self.context.layer.name.encode()), *place)
        return np.random.default_rng(key).random(shape, np.float32)

    def _whole(self) -> tuple[Array, Array]:
        """One scale for all weights."""
        flat, codes = self.values.reshape(1, -1), self.codes.reshape(1, -1)
        importance = None if self.importance is None else self.importance.reshape(1, -1)
        pieces = [
            Piece(flat[:, part], None if importance is None else importance[:, part])
            for part in chunks(flat.size, self.context)
        ]
        scale, offset = choose(self.grid, pieces, self.setting.rule, self.context.reporter.check, self.sparse)
        for part in chunks(flat.size, self.context):
            rows = flat[:, part]
            codes[:, part] = self.grid.encode(rows, scale, offset, self._noise(rows.shape, part.start))
        return scale.reshape(()), offset.reshape(())

    def _blocks(self) -> tuple[Array, Array]:
        """Fills `codes`; returns scales and offsets, of a shape that Affine takes."""
        layout, shape = self.layout, self.values.shape
        if not layout.block or layout.axis is None:
            return self._part(lambda array: array, layout.axes, (0.0, 1.0))
        axis, size = layout.axis, shape[layout.axis]
        even = size - size % layout.block
        numbers = []
        for start, stop in ((0, even), (even, size)):  # whole blocks, then a shorter last one
            if start == stop:
                continue
            length = min(layout.block, stop - start)
            split = (*shape[:axis], (stop - start) // length, length, *shape[axis + 1 :])
            view = _View((slice(None),) * axis + (slice(start, stop),), split)
            axes = tuple(a if a < axis else a + 1 for a in layout.axes)
            part = self._part(view, (*axes, axis), (start / size, stop / size))
            numbers.append([number.squeeze(axis + 1) for number in part])
        scale, offset = (np.concatenate(part, axis) for part in zip(*numbers, strict=True))
        return scale, offset

    def _part(
        self, view: Callable[[Array], Array], axes: Sequence[int], span: tuple[float, float]
    ) -> tuple[Array, Array]:
        """One scale for each place on `axes` of what `view` shows; `span` is the share of the progress."""
        from core.kernels import in_threads

        values, codes = view(self.values), view(self.codes)
        importance = None if self.importance is None else view(self.importance)
        groups = Groups(values.shape, tuple(axes))
        scale, offset = np.empty(groups.scale_shape, np.float32), np.empty(groups.scale_shape, np.float32)
        reporter, rule = self.context.reporter.part(*span), self.setting.rule
        first = values.shape[groups.axes[0]]

        def work(piece: slice) -> slice:
            reporter.check()
            rows = groups.rows(values, piece)
            weighed = Piece(rows, None if importance is None else groups.rows(importance, piece))
            found, shift = choose(self.grid, [weighed], rule, reporter.check, self.sparse)
            if self.half:
                with np.errstate(over="ignore"):  # too large ones are found by the caller, who then uses float32
                    found = np.maximum(found, _HALF_SMALLEST).astype(np.float16).astype(np.float32)
            noise = self._noise(rows.shape, piece.start, round(1e6 * span[0]))
            groups.put(self.grid.encode(rows, found, shift, noise), codes, piece)
            groups.put_numbers(found, scale, piece)
            groups.put_numbers(shift, offset, piece)
            return piece

        for piece in in_threads(work, list(groups.pieces())):
            reporter.report(piece.start / first)
        return scale, offset


@dataclass(frozen=True)
class _View:
    """A part of an array with one axis split in two; a view, so that writing to it writes to the array."""

    cut: tuple[slice, ...]
    split: Shape

    def __call__(self, array: Array) -> Array:
        return array[self.cut].reshape(self.split)


def setting_of(params: Any) -> Setting:
    """The Setting of a parameter object: those of its fields that a Setting has."""
    names = [name for name in Setting.__dataclass_fields__ if hasattr(params, name)]
    return Setting(**{name: getattr(params, name) for name in names})
