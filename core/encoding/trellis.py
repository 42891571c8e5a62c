"""Weights along a path through states: each step's new bits shift into a state, and the state says the weight."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.encoding.base import FLOAT, INT32, Array, Emitter, Encoding, Shape, count, emit_reshape
from core.encoding.codes import Codes
from core.encoding.floats import Float
from core.errors import InternalError


def lead_of(states: int, bits: int) -> int:
    """Symbols of a stream before the first step: what fills the state, so that its first weight may be any."""
    return -(-(states.bit_length() - 1) // bits) - 1


@dataclass(frozen=True, eq=False)
class Trellis(Encoding):
    """weight t = table[(symbol t + symbol t-1 * 2^k + symbol t-2 * 2^2k + ...) mod states].

    symbols  codes of k bits, (streams, lead + steps): streams are independent, `lead` of `lead_of`
    table    (states, width) float32 of float16 precision; states a power of two; a step gives `width` weights
    shape    of the weight; the streams one after the other hold its numbers and at most some padding at the end
    order    the weight's axes in the order in which the numbers run, the slowest first; () where that is the weight's
    shared   the table is a given one, which a graph holds once for all weights; it then counts in `shared_bytes`

    Emitted as a convolution of the symbols with the places' values (whole numbers below 2^24, exact in float32 in any
    order), Mod, and Gather from the table: opset 11. A k-bit code with as many bits has at best a state for each of
    2^k values; here 2^k of 1,024 values are in reach at each step, and which ones changes from step to step.
    Source: Tseng et al., "QTIP: Quantization with Trellises and Incoherence Processing", NeurIPS 2024 (bitshift
    trellis); Marcellin and Fischer, "Trellis coded quantization", IEEE Trans. Communications 1990.
    """

    symbols: Codes
    table: Array = field(repr=False)
    shape: Shape
    order: tuple[int, ...] = ()
    shared: bool = False
    stored_table: Float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        states = self.table.shape[0] if self.table.ndim == 2 else 0
        if states < 2 or states & (states - 1) or states < 1 << self.symbols.bits or states > 1 << 16:
            raise InternalError(f"a trellis table has 2^n rows of at least a symbol's values, not {self.table.shape}")
        if len(self.symbols.shape) != 2 or self.symbols.signed or self.symbols.shape[1] <= self.lead:
            raise InternalError(f"symbols of shape {self.symbols.shape} are no streams")
        if not 0 <= self.padding < self.steps * self.table.shape[1]:
            raise InternalError(f"{self.symbols.shape} symbols do not hold a weight of shape {self.shape}")
        if self.order and sorted(self.order) != list(range(len(self.shape))):
            raise InternalError(f"{self.order} is no order of the axes of {self.shape}")
        object.__setattr__(self, "stored_table", Float(np.asarray(self.table, np.float32), "float16"))

    @property
    def lead(self) -> int:
        return lead_of(self.table.shape[0], self.symbols.bits)

    @property
    def steps(self) -> int:
        """Of each stream."""
        return self.symbols.shape[1] - self.lead

    @property
    def padding(self) -> int:
        """Numbers at the end that belong to no weight."""
        return self.symbols.shape[0] * self.steps * self.table.shape[1] - count(self.shape)

    @property
    def laid_out(self) -> Shape:
        """The weight's sizes in the order in which its numbers run."""
        return tuple(self.shape[axis] for axis in self.order) if self.order else self.shape

    def states(self) -> Array:
        """The state after each step, (streams, steps) int32."""
        symbols, bits = self.symbols.values, self.symbols.bits
        found = np.zeros((symbols.shape[0], self.steps), np.int32)
        for back in range(self.lead + 1):
            start = self.lead - back
            found += symbols[:, start : start + self.steps].astype(np.int32) << (bits * back)
        return found & (self.table.shape[0] - 1)

    def decode(self) -> Array:
        numbers = self.stored_table.decode()[self.states()].reshape(-1)[: count(self.shape)].reshape(self.laid_out)
        return np.ascontiguousarray(numbers.transpose(self._inverse)) if self.order else numbers

    @property
    def _inverse(self) -> tuple[int, ...]:
        return tuple(int(axis) for axis in np.argsort(self.order))

    @property
    def nbytes(self) -> int:
        return self.symbols.nbytes + (0 if self.shared else self.stored_table.nbytes)

    @property
    def shared_bytes(self) -> int:
        return self.stored_table.nbytes if self.shared else 0

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        streams, length = self.symbols.shape
        symbols = self.symbols.emit_cast(out, (streams, 1, length), FLOAT)
        places = 2.0 ** (self.symbols.bits * np.arange(self.lead, -1, -1))
        states = out.node("Conv", [symbols, out.constant(places.astype(np.float32).reshape(1, 1, -1))])
        states = out.node("Cast", [states], to=INT32)
        if (self.lead + 1) * self.symbols.bits > self.table.shape[0].bit_length() - 1:
            states = out.node("Mod", [states, out.constant(np.array(self.table.shape[0], np.int32))])
        numbers = out.node("Gather", [self._emit_table(out), states])
        if self.padding:
            start, stop = (out.constant(np.array([n], np.int64)) for n in (0, count(self.shape)))
            numbers = out.node("Slice", [emit_reshape(out, numbers, (-1,)), start, stop])
        if not self.order:
            return emit_reshape(out, numbers, shape)
        numbers = out.node("Transpose", [emit_reshape(out, numbers, self.laid_out)], perm=self._inverse)
        return numbers if shape == self.shape else emit_reshape(out, numbers, shape)

    def _emit_table(self, out: Emitter) -> str:
        table = self.stored_table.stored
        if table.shape[1] == 1:
            table = table.reshape(-1)
        return out.node("Cast", [(out.constant if self.shared else out.tensor)(table)], to=FLOAT)

    @property
    def min_opset(self) -> int:
        return max(11, self.symbols.min_opset)

    @property
    def children(self) -> tuple[Encoding, ...]:
        return (self.symbols,)

    @property
    def bits(self) -> float:
        """Bits of each weight."""
        return self.symbols.bits / self.table.shape[1]

    def levels(self) -> Array | None:
        return None

    def describe(self) -> str:
        return f"{self.bits:g} bit trellis"
