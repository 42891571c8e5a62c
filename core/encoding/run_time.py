"""What encodings that a layer computes with as they are have in common: integer and packed weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.encoding.affine import Affine
from core.encoding.base import Array, Emitter, Encoding, Shape


@dataclass(frozen=True, eq=False)
class RunTimeForm(Encoding):
    """A uniformly quantized weight whose layer is rewritten on export (`exporting.uses`) to compute with its codes.

    A use that cannot be rewritten gets the weight rebuilt, as from `weight` alone.
    """

    weight: Affine
    shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        self.check()
        object.__setattr__(self, "shape", self.weight.shape)

    def check(self) -> None:
        """Raise InternalError for a weight that the form cannot hold."""

    def decode(self) -> Array:
        return self.weight.decode()

    @property
    def nbytes(self) -> int:
        return self.weight.nbytes

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        return self.weight.emit_as(out, shape)

    @property
    def children(self) -> tuple[Encoding, ...]:
        return (self.weight,)
