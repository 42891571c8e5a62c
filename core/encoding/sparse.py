"""Weights of which only some are stored: the kept ones and where they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from core.encoding.base import BOOL, INT32, Array, Emitter, Encoding, Shape, emit_reshape
from core.encoding.codes import Codes
from core.encoding.counting import smallest
from core.encoding.kept import Kept, emit_full, emit_ranks
from core.encoding.packing import PLANES, packed_bytes, stored_bits
from core.encoding.positions import encode_gaps, gap_positions, gap_sizes, gather, mask_positions
from core.errors import InternalError

MASK = "mask"
_NODES = 512  # bytes: more than the nodes of one form can take above those of another


@dataclass(frozen=True, eq=False)
class Sparse(Kept):
    """value = the kept weights in their places, `fill` everywhere else.

    values     the kept weights in row-major order, (kept,)
    positions  MASK: 1-bit codes, one for each weight. Gaps: one code for each kept weight and each filler; code c > 0
               is a kept weight c places after the last, code 0 is no weight but an advance by 2**bits - 1 places
    form       MASK, or "gaps2" to "gaps8"
    shape      of the weight
    fill       what the weights that are not kept decode to (a zero point, where codes are scaled afterwards)

    Use `encode`, which takes the smallest form. Needs opset 11 (ScatterElements, CumSum, BitShift).
    A mask is emitted as Gather([fill, *values], CumSum(mask) * mask), gaps as ScatterElements of the values to the
    sums of the gaps. Since version 1.27 ONNX Runtime folds a node only when it knows the output's shape beforehand
    (onnxruntime#28055), so a mask must not go through NonZero, and Compress, which drops the fillers, needs its shape
    declared.
    Source: gaps after Han, Mao, Dally, "Deep Compression", ICLR 2016.
    """

    values: Encoding
    positions: Codes = field(repr=False)
    form: str
    shape: Shape
    fill: float = 0.0

    def __post_init__(self) -> None:
        if len(self.values.shape) != 1:
            raise InternalError(f"kept weights are a list, not of shape {self.values.shape}")

    @classmethod
    def encode(cls, values: Encoding, mask: Array, fill: float = 0.0) -> Sparse:
        """The smallest form that stores `values`, (kept,), where `mask` (bool, of the weight's shape) is true."""
        flat = np.ascontiguousarray(mask, bool).reshape(-1)
        kept = int(np.count_nonzero(flat))
        if values.shape != (kept,):
            raise InternalError(f"values of shape {values.shape} for {kept} kept weights")
        sizes = position_sizes(flat)
        best = min(sizes.values())
        forms = [form for form, size in sizes.items() if size < best + _NODES]
        candidates = [cls(values, _positions(flat, form), form, mask.shape, fill) for form in forms]
        return candidates[0] if len(candidates) == 1 else smallest(*candidates)

    def with_values(self, values: Encoding, fill: float = 0.0) -> Sparse:
        """The same places with other values, (kept,)."""
        return replace(self, values=values, fill=fill)

    def pick(self, array: Array) -> Array:
        """The elements of `array` (of the weight's shape) at the kept places, (kept,)."""
        return gather(array, self.mask())

    def indices(self) -> Array:
        """Places of the kept weights in the flattened weight, (kept,), rising; int32 where that suffices."""
        if self.form == MASK:
            return mask_positions(self.positions.values)
        return gap_positions(self.positions.values, self.positions.bits)

    def mask(self) -> Array:
        """Bool, of the weight's shape: which weights are kept."""
        if self.form == MASK:
            return self.positions.values.view(bool).reshape(self.shape)
        mask = np.zeros(self.n_weights, bool)
        mask[self.indices()] = True
        return mask.reshape(self.shape)

    def decode(self) -> Array:
        value = np.full(self.n_weights, self.fill, np.float32)
        if self.kept:
            from core.kernels.places import scatter_gaps, scatter_mask

            codes, kept = self.positions.values.reshape(-1), np.ascontiguousarray(self.values.decode())
            if self.form == MASK:
                scatter_mask(codes, kept, value)
            else:
                scatter_gaps(codes, (1 << self.positions.bits) - 1, kept, value)
        return value.reshape(self.shape)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.positions.nbytes if self.kept else 0

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        if not self.kept:
            return emit_full(out, shape, self.fill)
        value = self._emit_by_mask(out) if self.form == MASK else self._emit_by_gaps(out)
        return value if shape == (self.n_weights,) else emit_reshape(out, value, shape)

    def _emit_by_mask(self, out: Emitter) -> str:
        mask = self.positions.emit_cast(out, (self.n_weights,), INT32)
        ranks = emit_ranks(out, mask)
        fill = out.constant(np.array([self.fill], np.float32))
        values = out.node("Concat", [fill, self.values.emit(out)], axis=0)
        return out.node("Gather", [values, ranks])

    def _emit_by_gaps(self, out: Emitter) -> str:
        bits, codes = self.positions.bits, self.positions.values
        gaps = self.positions.emit_cast(out, codes.shape, INT32)
        fillers = codes.size > self.kept
        is_kept = ""
        if fillers:
            is_kept = out.node("Cast", [gaps], to=BOOL)
            gaps = out.node("Where", [is_kept, gaps, out.constant(np.array((1 << bits) - 1, np.int32))])
        ends = out.node("CumSum", [gaps, out.constant(np.array(0, np.int32))])
        if fillers:
            ends = out.node("Compress", [ends, is_kept])
            out.declare("int32", (self.kept,))
        places = out.node("Add", [ends, out.constant(np.array(-1, np.int32))])
        blank = emit_full(out, (self.n_weights,), self.fill)
        return out.node("ScatterElements", [blank, places, self.values.emit(out)])

    @property
    def min_opset(self) -> int:
        return max(11, self.values.min_opset)


def _positions(flat: Array, form: str) -> Codes:
    """The codes of a flat mask's places in one form."""
    if form == MASK:
        return Codes(flat.view(np.uint8), 1)
    bits = int(form.removeprefix("gaps"))
    codes = encode_gaps(flat, bits)
    padding = -codes.size % (8 // PLANES[bits][0]) if stored_bits(codes.size, bits) < 8 else 0
    if padding and np.count_nonzero(codes) < codes.size:  # more fillers at the end do no harm and need no Slice
        codes = np.concatenate((codes, np.zeros(padding, np.uint8)))
    return Codes(codes, bits)


def position_sizes(mask: Array) -> dict[str, int]:
    """Bytes that the places of a mask's kept weights take in each form: "mask", "gaps2" .. "gaps8"."""
    flat = np.asarray(mask, bool).reshape(-1)
    sizes = {MASK: _bytes(flat.size, 1)}
    for bits, codes in gap_sizes(flat).items():
        sizes[f"gaps{bits}"] = _bytes(codes, bits)
    return sizes


def _bytes(size: int, bits: int) -> int:
    return packed_bytes(size, stored_bits(size, bits))


def sparse_sizes(mask: Array, value_bits: float) -> dict[str, int]:
    """Bytes of the tensors in each form, values of `value_bits` included, and "dense" for all values without places."""
    kept = int(np.count_nonzero(mask))
    sizes = {"dense": -(-int(mask.size * value_bits) // 8)}
    for form, size in position_sizes(mask).items():
        sizes[form] = size + -(-int(kept * value_bits) // 8)
    return sizes
