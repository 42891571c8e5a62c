"""What the methods for 16-bit floats have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.encoding import Float
from core.encoding.base import Encoding
from core.encoding.floats import FloatType
from core.errors import LayerSkipped
from core.methods._structure import change_floats, leaf_values, refuse_quantized
from core.methods.base import Context, Method, Role


@dataclass(frozen=True)
class Nothing:
    """No parameters."""


class FloatMethod(Method):
    """Rounds every float32 of a weight to a shorter float.

    dtype  the type
    short  the words of a label
    """

    role = Role.FLOAT
    family = "Quantization"
    saves = ("file",)
    Params = Nothing
    dtype: ClassVar[FloatType]
    short: ClassVar[str]

    def apply(self, encoding: Encoding, params: Nothing, context: Context) -> Encoding:
        """LayerSkipped when there is nothing to round, or a weight is too large for the type."""
        refuse_quantized(encoding, "put it before quantize, or leave it out")

        def change(leaf: Float) -> Float:
            if leaf.dtype != "float32":
                raise LayerSkipped(f"the weight is already stored as {leaf.dtype}")
            context.reporter.check()
            return Float(leaf_values(leaf, context), self.dtype)

        return change_floats(encoding, change)

    def label(self, params: Nothing) -> str:
        return self.short
