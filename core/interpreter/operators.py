"""All operators in one table."""

from __future__ import annotations

from core.interpreter import (
    operators_attention,
    operators_elementwise,
    operators_indexing,
    operators_integer,
    operators_linear,
    operators_recurrent,
    operators_reductions,
    operators_resize,
    operators_shapes,
    operators_windows,
)
from core.interpreter.attributes import Operator

TABLE: dict[str, Operator] = {
    **operators_elementwise.OPERATORS,
    **operators_shapes.OPERATORS,
    **operators_indexing.OPERATORS,
    **operators_linear.OPERATORS,
    **operators_windows.OPERATORS,
    **operators_reductions.OPERATORS,
    **operators_resize.OPERATORS,
    **operators_recurrent.OPERATORS,
    **operators_integer.OPERATORS,
    **operators_attention.OPERATORS,
}
"""Function by operator type of the default domain. Constant, If and calls of model-local functions are the graph's own
(`module.TorchGraph`)."""
