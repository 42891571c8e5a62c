"""What lies in a file or folder of data, and how it fits a model, before any of it is loaded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.arrays import ArrayFile, Header, read_header
from core.data.checks import array_column, shape_text
from core.data.loading import LABELS
from core.errors import DataError
from core.model.layer import Port

if TYPE_CHECKING:
    from core.data.samples import Samples

Array = np.ndarray[Any, np.dtype[Any]]


class Part(StrEnum):
    """What an array is to the model."""

    INPUT = "input"
    LABELS = "labels"
    UNUSED = "unused"
    MISSING = "missing"


@dataclass(frozen=True)
class FoundArray:
    """One array of the data, or one input of the model that has none.

    form     shape and type in words: "512 x 1 x 28 x 28 float32"
    wants    what the input wants, likewise; "" for what is no input
    problem  why it does not fit, a clause; "" when it does
    """

    name: str
    part: Part
    form: str
    wants: str = ""
    problem: str = ""


@dataclass(frozen=True)
class FoundData:
    """What there is. `classes` are (name, pictures) where sub-folders tell them; `pictures` is 0 for arrays."""

    arrays: tuple[FoundArray, ...] = ()
    pictures: int = 0
    classes: tuple[tuple[str, int], ...] = ()


def find_data(path: str | os.PathLike[str], inputs: tuple[Port, ...]) -> FoundData:
    """Look at names, shapes and types only. Raises DataError when the path is nothing that can be read."""
    path = Path(path)
    if path.is_dir():
        from core.data.images import list_pictures

        entries, names = list_pictures(path)
        counts = Counter(entry.label for entry in entries)
        classes = tuple((name, counts[i]) for i, name in enumerate(names) if counts[i])
        return FoundData(pictures=len(entries), classes=classes)
    if path.suffix.lower() == ".npy":
        with open(path, "rb") as file:
            headers = {inputs[0].name if inputs else "": read_header(file, str(path))}
        return FoundData(_matched(headers, inputs, str(path)))
    return FoundData(_matched(ArrayFile(path).headers(), inputs, str(path)))


def _matched(headers: dict[str, Header], inputs: Sequence[Port], where: str) -> tuple[FoundArray, ...]:
    """The model's inputs in their order, then labels, then what is not used."""
    found = []
    for port in inputs:
        wants = f"{_readable(port.shape)} {port.dtype}"
        if port.name not in headers:
            found.append(FoundArray(port.name, Part.MISSING, "", wants, "there is no array of this name"))
            continue
        head = headers[port.name]
        found.append(FoundArray(port.name, Part.INPUT, _form(head), wants, _problem(port, head, where)))
    names = {port.name for port in inputs}
    for name, head in headers.items():
        if name not in names:
            found.append(FoundArray(name, Part.LABELS if name == LABELS else Part.UNUSED, _form(head)))
    return tuple(sorted(found, key=lambda one: one.part is Part.UNUSED))


def _readable(shape: tuple[int | str | None, ...] | None) -> str:
    """The shape an input wants; names that exporters make up for axes ("p2o.DynamicDimension.0") say nothing."""
    if shape is None:
        return "any shape"
    return shape_text(tuple("?" if isinstance(size, str) and not size.isidentifier() else size for size in shape))


def _form(head: Header) -> str:
    kind = "text" if head.dtype.kind in "US" else str(head.dtype)
    return f"{' x '.join(map(str, head.shape)) or 'scalar'} {kind}"


def _problem(port: Port, head: Header, where: str) -> str:
    """Why an array of this shape and type does not fit; its values are judged when it is loaded."""
    try:
        array_column(port, np.broadcast_to(np.zeros((), head.dtype), head.shape), where=where)
    except DataError as error:
        return f"{error.what}; {error.do}" if error.do else error.what
    return ""


def class_counts(samples: Samples) -> tuple[tuple[str, int], ...]:
    """(class, samples of it), by class; () without class labels."""
    labels = samples.class_labels
    if labels is None:
        return ()
    classes, counts = np.unique(labels, return_counts=True)
    names = samples.class_names
    return tuple(
        (names[label] if label < len(names) else str(label), int(count))
        for label, count in zip(classes.tolist(), counts, strict=True)
    )
