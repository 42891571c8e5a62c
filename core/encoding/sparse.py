"""Weights of which only some are stored: the kept ones and where they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from core.encoding.base import INT32, BOOL, Array, Emitter, Encoding, Shape, count, emit_reshape
from core.encoding.codes import Codes
from core.encoding.positions import encode_gaps, gap_positions, gap_sizes, mask_positions
from core.encoding.packing import packed_bytes
from core.errors import InternalError

MASK = "mask"
_FORM_NODES = {MASK: 7}


@dataclass(frozen=True, eq=False)
class Sparse(Encoding):
    """value = zeros with the kept weights put in their places (ScatterElements).

    values     the kept weights in row-major order, (kept,)
    positions  MASK: 1-bit codes, one for each weight. Gaps: one code for each kept weight and each filler; code c > 0 is a
               kept weight c places after the last, code 0 is no weight but an advance by 2**bits - 1 places
    shape      of the weight
    fill       what the weights that are not kept decode to (a zero point, where codes are scaled afterwards)

    Use `encode`, which takes the smallest form. Needs opset 11 (ScatterElements, CumSum, BitShift).
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
        """Store `values`, (kept,), at the places where `mask` (bool, the weight's shape) is true, in the smallest form."""
        mask = np.asarray(mask, bool)
        sizes = position_sizes(mask)
        form = min(sizes, key=lambda name: sizes[name])
        flat = mask.reshape(-1)
        if form == MASK:
            positions = Codes(flat.view(np.uint8), 1)
        else:
            bits = int(form.removeprefix("gaps"))
            positions = Codes(encode_gaps(flat, bits), bits)
        sparse = cls(values, positions, form, mask.shape, fill)
        kept = int(np.count_nonzero(flat))
        if values.n_weights != kept:
            raise InternalError(f"{values.n_weights} values for {kept} kept weights")
        return sparse

    def with_values(self, values: Encoding, fill: float = 0.0) -> Sparse:
        """The same places with other values, (kept,)."""
        return replace(self, values=values, fill=fill)

    @property
    def kept(self) -> int:
        """How many weights are kept."""
        return self.values.n_weights

    @property
    def zeros(self) -> float:
        """Share of the weights that are not kept, 0..1."""
        return 1 - self.kept / self.n_weights if self.n_weights else 0.0

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
            value[self.indices()] = self.values.decode()
        return value.reshape(self.shape)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.positions.nbytes if self.kept else 0

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        attributes = {"value": np.array([self.fill], np.float32)} if self.fill else {}
        if not self.kept:
            return out.node("ConstantOfShape", [out.tensor(np.array(shape, np.int64))], **attributes)
        flat = (1, self.n_weights) if self.form == MASK else (self.n_weights,)
        blank = out.node("ConstantOfShape", [out.tensor(np.array(flat, np.int64))], **attributes)
        places = self._emit_mask(out) if self.form == MASK else self._emit_gaps(out)
        values = self.values.emit_as(out, (*flat[:-1], self.kept))
        value = out.node("ScatterElements", [blank, places, values], axis=len(flat) - 1)
        return value if shape == flat else emit_reshape(out, value, shape)

    def _emit_mask(self, out: Emitter) -> str:
        """int64 (1, kept). The padding of the mask is zero, so it need not be cut off."""
        return out.node("NonZero", [self.positions.emit_padded(out)])

    def _emit_gaps(self, out: Emitter) -> str:
        """int32 (kept,)."""
        bits, codes = self.positions.bits, self.positions.values
        gaps = self.positions.emit_cast(out, codes.shape, INT32)
        fillers = codes.size > self.kept
        kept = ""
        if fillers:
            kept = out.node("Cast", [gaps], to=BOOL)
            gaps = out.node("Where", [kept, gaps, out.tensor(np.array((1 << bits) - 1, np.int32))])
        ends = out.node("CumSum", [gaps, out.tensor(np.array(0, np.int64))])
        if fillers:
            ends = out.node("Compress", [ends, kept])
        return out.node("Add", [ends, out.tensor(np.array(-1, np.int32))])

    @property
    def min_opset(self) -> int:
        return max(11, self.values.min_opset)

    @property
    def children(self) -> tuple[Encoding, ...]:
        return (self.values,)

    def levels(self) -> Array | None:
        levels = self.values.levels()
        if levels is None or self.kept == self.n_weights:
            return levels
        levels = np.union1d(levels, np.float32(self.fill))
        return levels if levels.size <= 256 else None

    def describe(self) -> str:
        inner = self.values.describe()
        zeros = f"{100 * self.zeros:.3g} % zeros"
        return zeros if inner == "float32" else f"{zeros} · {inner}"


def position_sizes(mask: Array) -> dict[str, int]:
    """Bytes that the places of a mask's kept weights take in each form: "mask", "gaps2" .. "gaps8"."""
    flat = np.asarray(mask, bool).reshape(-1)
    sizes = {MASK: packed_bytes(flat.size, 1)}
    for bits, codes in gap_sizes(flat).items():
        sizes[f"gaps{bits}"] = packed_bytes(codes, bits)
    return sizes


def sparse_sizes(mask: Array, value_bits: float) -> dict[str, int]:
    """Bytes of the tensors in each form, values of `value_bits` included, and "dense" for all values without places."""
    kept = int(np.count_nonzero(mask))
    sizes = {"dense": -(-int(mask.size * value_bits) // 8)}
    for form, size in position_sizes(mask).items():
        sizes[form] = size + -(-int(kept * value_bits) // 8)
    return sizes
