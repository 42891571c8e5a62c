"""What a person says of a PyTorch file that the file itself does not: its definition, and what it is fed with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from core.errors import ParameterError
from core.own_code import absolute_callable, find_source

TYPES = ("float32", "float64", "float16", "int64", "int32", "uint8", "bool")
OPSET = 20
"""Of converted graphs."""
BATCH = 2
"""Samples of an example whose first axis varies: a size of one would be taken for a constant by torch.export."""
_FORM = re.compile(r"\s*(?P<name>[^\s=:]+)\s*=\s*(?P<shape>[^:]*?)\s*(?::\s*(?P<dtype>\w+)\s*)?")
_SIZE = re.compile(r"(\d{1,9})(~?)")
_MOST_AXES, _MOST_VALUES = 16, 2**28


@dataclass(frozen=True)
class Example:
    """One input that a model is converted with.

    name    the graph's input gets it
    shape   as one call takes it, the batch first
    varies  axes that may have any size in the converted graph; the others are fixed
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    varies: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.dtype not in TYPES:
            raise ParameterError(f"the input {self.name} has the type {self.dtype!r}", do=f"give {', '.join(TYPES)}")
        count = 1
        for size in self.shape:
            count *= size
        if len(self.shape) > _MOST_AXES or not 0 < count <= _MOST_VALUES:
            raise ParameterError(f"the input {self.name} has the shape {list(self.shape)}", do="give sizes above 0")

    @property
    def text(self) -> str:
        """As `parse_example` reads it."""
        sizes = (f"{size}{'~' if axis and axis in self.varies else ''}" for axis, size in enumerate(self.shape))
        return f"{self.name}={'x'.join(sizes)}:{self.dtype}"

    @property
    def traced_shape(self) -> tuple[int, ...]:
        """The shape that is converted with: axes that vary have at least two, since a one is taken for a constant."""
        return tuple(max(size, BATCH) if axis in self.varies else size for axis, size in enumerate(self.shape))


@dataclass(frozen=True)
class TorchSource:
    """How to open a PyTorch file; plain values, so that jobs and run files can hold it.

    definition  "module:callable" or "file.py:callable" that gives the torch.nn.Module; "" for files that need none
    arguments   what the callable is called with: a JSON object, or "" for nothing
    allowed     SHA-256 of the definition's file, as the person allowed it to run; without it, or when the file is
                another by now, nothing of it is executed
    examples    the inputs, in the order in which the module takes them
    data        samples (.npz, .npy) whose arrays are the inputs instead; "" for none
    weights_only  look at the weights alone, without a graph
    """

    definition: str = ""
    arguments: str = ""
    allowed: str = ""
    examples: tuple[Example, ...] = ()
    data: str = ""
    weights_only: bool = False

    def checked(self) -> TorchSource:
        """The same with places that hold from any working directory; raises ParameterError when it cannot be used."""
        keyword_arguments(self.arguments)
        if not self.definition:
            return self
        source = find_source(self.definition)
        if not self.allowed:
            raise ParameterError(
                f"the definition {source.words} was not allowed to run", do="confirm that its code may be executed"
            )
        if self.allowed != source.sha256:
            raise ParameterError(
                f"{source.file.name} has changed since its code was allowed to run", do="look at it and confirm again"
            )
        return replace(self, definition=absolute_callable(self.definition))


DEFAULT_SOURCE = TorchSource()
"""Nothing was said; enough for .pt2 files, and to look at weights."""


def keyword_arguments(text: str) -> dict[str, Any]:
    """The keyword arguments for a definition from JSON; raises ParameterError."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        do = 'give an object such as {"width": 128}'
        raise ParameterError(f"the arguments are no JSON ({error})", do=do) from error
    if not isinstance(found, dict):
        raise ParameterError("the arguments are no JSON object", do='give an object such as {"width": 128}')
    return found


def parse_example(text: str, *, fixed_batch: bool = False) -> Example:
    """An input from "x=1x3x224x224" or "ids=1x48~:int64"; raises ParameterError.

    The first axis is the batch and may have any size unless `fixed_batch`; a ~ lets another axis vary as well.
    """
    form = 'give "x=1x3x224x224", or "ids=1x48~:int64" for integers whose second axis may have any size'
    found = _FORM.fullmatch(text)
    if found is None:
        raise ParameterError(f"{text!r} is no example input", do=form)
    parts = [part.strip() for part in re.split(r"[x×,]", found["shape"])] if found["shape"] else []
    sizes = [_SIZE.fullmatch(part) for part in parts]
    if None in sizes:
        raise ParameterError(f"{text!r} has no shape", do=form)
    read = [size for size in sizes if size is not None]
    varies = tuple(axis for axis, size in enumerate(read) if size[2] or (axis == 0 and not fixed_batch))
    return Example(found["name"], tuple(int(size[1]) for size in read), found["dtype"] or "float32", varies)


def parse_examples(texts: Iterable[str], *, fixed_batch: bool = False) -> tuple[Example, ...]:
    """Several inputs; raises ParameterError also for a name that comes twice."""
    found = tuple(parse_example(text, fixed_batch=fixed_batch) for text in texts)
    names = [example.name for example in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ParameterError(f"the input {twice!r} is given twice", do="give each input once")
    return found
