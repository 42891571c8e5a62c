"""Encodings as plain values that `torch.load(weights_only=True)` reads: nothing in a checkpoint is ever executed."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

import core.encoding
from core.encoding.base import Encoding
from core.errors import DataError

_ARRAY, _KIND, _TUPLE = "array", "encoding", "tuple"


def to_plain(value: Any) -> Any:
    """Dictionaries, tensors of bytes, numbers and texts that `from_plain` makes the same encoding of."""
    if isinstance(value, np.ndarray):
        data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8).copy()
        return {_ARRAY: torch.from_numpy(data), "dtype": value.dtype.str, "shape": list(value.shape)}
    if is_dataclass(value) and not isinstance(value, type):
        known = {field.name for field in fields(value)}
        return {
            _KIND: type(value).__name__,
            "fields": {name: to_plain(part) for name, part in vars(value).items() if name in known},
        }
    if isinstance(value, tuple):
        return {_TUPLE: [to_plain(part) for part in value]}
    if isinstance(value, np.generic):
        return value.item()
    return value


def from_plain(plain: Any) -> Any:
    """The encoding back. Raises DataError when this is none."""
    try:
        return _made(plain)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"a stored encoding is damaged ({type(error).__name__})") from error


def _made(plain: Any) -> Any:
    if not isinstance(plain, dict):
        return plain
    if _ARRAY in plain:
        flat = np.frombuffer(plain[_ARRAY].numpy().tobytes(), np.dtype(plain["dtype"]))
        return flat.reshape(plain["shape"]).copy()
    if _TUPLE in plain:
        return tuple(_made(part) for part in plain[_TUPLE])
    made: Any = object.__new__(_kinds()[plain[_KIND]])  # as pickle does: what is stored was checked when it was made
    for name, part in plain["fields"].items():
        object.__setattr__(made, name, _made(part))
    return made


@cache
def _kinds() -> dict[str, type]:
    """The encodings, and the values that they are made of."""
    found: dict[str, type] = {}
    for info in pkgutil.iter_modules(core.encoding.__path__):
        module = importlib.import_module(f"core.encoding.{info.name}")
        for thing in vars(module).values():
            here = isinstance(thing, type) and thing.__module__ == module.__name__
            if here and (issubclass(thing, Encoding) or is_dataclass(thing)):
                found[thing.__name__] = thing
    return found
