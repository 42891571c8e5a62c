"""What an operator sees of its node: attributes with their defaults, the opset, how many outputs are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir
import torch

from core.errors import ModelFileError

Inputs = Sequence[torch.Tensor | None]
Results = torch.Tensor | tuple[torch.Tensor | None, ...]


class Attributes:
    """The attributes of one node.

    node    the node; its inputs' declared types tell what torch has no type for (4-bit integers)
    opset   version of the node's operator domain
    around  attributes of the function call around it, which a reference attribute takes its value from
    """

    def __init__(self, node: ir.Node, opset: int, around: Mapping[str, ir.Attr] | None = None) -> None:
        self.node, self.opset = node, opset
        self.given: dict[str, ir.Attr] = {}
        for name, attribute in node.attributes.items():
            known = (around or {}).get(attribute.ref_attr_name or "") if attribute.is_ref() else attribute
            if known is not None:
                self.given[name] = known

    @property
    def outputs(self) -> int:
        """Number of outputs, without those left out at the end."""
        return max((i + 1 for i, value in enumerate(self.node.outputs) if value.name), default=0)

    def wants(self, index: int) -> bool:
        """Whether output `index` is asked for."""
        return index < len(self.node.outputs) and bool(self.node.outputs[index].name)

    def __contains__(self, name: str) -> bool:
        return name in self.given

    def value(self, name: str, default: Any = None) -> Any:
        found = self.given.get(name)
        return default if found is None else found.value

    def integer(self, name: str, default: int) -> int:
        return int(self.value(name, default))

    def number(self, name: str, default: float) -> float:
        return float(self.value(name, default))

    def text(self, name: str, default: str) -> str:
        value = self.value(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def integers(self, name: str) -> tuple[int, ...] | None:
        found = self.value(name)
        return None if found is None else tuple(int(value) for value in found)

    def texts(self, name: str) -> tuple[str, ...] | None:
        found = self.value(name)
        return None if found is None else tuple(v.decode() if isinstance(v, bytes) else str(v) for v in found)

    def input_type(self, index: int) -> ir.DataType | None:
        """The ONNX type of an input as the file declares or stores it; None when it says nothing."""
        value = self.node.inputs[index] if index < len(self.node.inputs) else None
        if value is None:
            return None
        return value.const_value.dtype if value.const_value is not None else value.dtype


Operator = Callable[[Attributes, Inputs], Results]


def given(inputs: Inputs, index: int) -> torch.Tensor:
    """An input that must be there; ModelFileError otherwise."""
    found = optional(inputs, index)
    if found is None:
        raise ModelFileError(f"its input {index} is missing", do="export the model again")
    return found


def optional(inputs: Inputs, index: int) -> torch.Tensor | None:
    """An input, or None when it is left out."""
    return inputs[index] if index < len(inputs) else None


def listed(attributes: Attributes, inputs: Inputs, name: str, index: int) -> tuple[int, ...] | None:
    """Whole numbers that are an attribute in older opsets and input `index` in newer ones; None when not given."""
    tensor = optional(inputs, index)
    return attributes.integers(name) if tensor is None else tuple(int(value) for value in tensor.reshape(-1).tolist())


def unsupported(what: str) -> ModelFileError:
    """The error for a variant of an operator that is not implemented."""
    return ModelFileError(f"torch does not run {what}", do="choose a method that needs no gradients")
