"""Whether an array fits a graph input: axes, sizes, type. A misfit is one sentence: what is wanted, what is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import DataError
from core.model.layer import Port

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class ArrayColumn:
    """Samples of one input held in one array whose first axis is the sample.

    cut    True: the array has as many axes as the input, sample i is array[i:i+1]; False: it has one more, sample i is
           array[i]
    dtype  what the input wants
    """

    name: str
    array: Array
    cut: bool
    dtype: np.dtype[Any]
    batchable: bool

    def __len__(self) -> int:
        return len(self.array)

    def feed(self, index: int) -> Array:
        part = self.array[index : index + 1] if self.cut else self.array[index]
        return self._plain(part)

    def batch(self, indices: Array) -> Array:
        return self._plain(self.array[indices])

    def _plain(self, part: Any) -> Array:
        """Contiguous, in the machine's byte order, aligned (arrays mapped from a zip archive need not be)."""
        try:
            with np.errstate(over="raise"):
                return np.require(part, self.dtype, ("C_CONTIGUOUS", "ALIGNED", "ENSUREARRAY"))
        except FloatingPointError:
            raise DataError(
                f"array {self.name!r} has values too large for {self.dtype}", do=f"scale the data to {self.dtype}"
            ) from None

    def describe(self) -> str:
        return f"{self.name} {self.dtype} {' x '.join(map(str, self.array.shape[1:])) or 'scalar'}"


def array_column(port: Port, array: Array, *, where: str) -> ArrayColumn:
    """Check an array against an input and wrap it.

    array  first axis = sample; as many axes as the input (then cut along axis 0) or one more (then fed as it is)

    Raises DataError that names the input, what it wants and what is given.
    """
    dtype = _fitting_dtype(port, array, where)
    if array.ndim == 0:
        raise DataError(f"array {port.name!r} is a single value", where=where, do="its first axis must be the sample")
    if port.shape is None:
        return ArrayColumn(port.name, array, True, dtype, True)
    rank = len(port.shape)
    wanted = shape_text(port.shape)
    if array.ndim not in (rank, rank + 1):
        raise DataError(
            f"input {port.name!r} wants {_axes(rank)} {wanted} and array {port.name!r} has {_axes(array.ndim)} "
            f"{shape_text(array.shape)}",
            where=where,
            do=f"give {max(rank, 1)} axes with the sample first, or one more than the input has",
        )
    cut = array.ndim == rank
    given = (1, *array.shape[1:]) if cut else array.shape[1:]
    wrong = [i for i, (want, have) in enumerate(zip(port.shape, given, strict=True)) if not _fits(want, have)]
    if wrong:
        raise _shape_error(port, array, cut, wrong[0], where)
    return ArrayColumn(port.name, array, cut, dtype, cut and free(port.shape[0]))


def _shape_error(port: Port, array: Array, cut: bool, axis: int, where: str) -> DataError:
    shape = port.shape or ()
    given = ("sample", *array.shape[1:]) if cut else array.shape[1:]
    if cut and axis == 0:
        return DataError(
            f"input {port.name!r} takes {shape[0]} samples a run (it wants {shape_text(shape)})",
            where=where,
            do=f"give the array one axis more: n x {shape_text(shape)}",
        )
    return DataError(
        f"input {port.name!r} wants {shape_text(shape)} and array {port.name!r} gives {shape_text(given)}: "
        f"axis {axis} must be {shape[axis]}, not {given[axis]}",
        where=where,
        do="reshape or resize the data to the input's shape",
    )


def free(size: int | str | None) -> bool:
    """Whether an axis takes any size: a symbol, unknown, or declared 0 or negative as some exporters do for unknown."""
    return not isinstance(size, int) or size <= 0


def _fits(want: int | str | None, have: int) -> bool:
    return free(want) or want == have


def port_dtype(port: Port, *, where: str) -> np.dtype[Any]:
    """The numpy type of an input; raises DataError for what numpy has no numbers of (bfloat16, strings)."""
    try:
        wanted = np.dtype(port.dtype)
    except TypeError:
        wanted = np.dtype(object)
    if wanted.kind not in "fiub":
        raise DataError(
            f"input {port.name!r} wants {port.dtype}, which sample data cannot hold",
            where=where,
            do="use a model whose inputs are plain numbers",
        )
    return wanted


def _fitting_dtype(port: Port, array: Array, where: str) -> np.dtype[Any]:
    """The input's type if the array's values can be given in it without loss that matters.

    1. same type                                      2. float to float of any width, as precision is the model's choice
    3. integers to wider ones (or bool to integers)   4. integers to narrower ones when all values fit
    Anything else changes the meaning: pixels 0-255 given to an input that wants 0-1 would be accepted in silence.
    """
    wanted = port_dtype(port, where=where)
    given = array.dtype
    if given == wanted or (given.kind == "f" and wanted.kind == "f"):
        return wanted
    if given.kind in "iub" and wanted.kind in "iu":
        if np.can_cast(given, wanted, "safe"):
            return wanted
        limits = np.iinfo(wanted)
        if array.size == 0 or (array.min() >= limits.min and array.max() <= limits.max):
            return wanted
        raise DataError(
            f"input {port.name!r} wants {wanted} and array {port.name!r} has {given} values outside its range",
            where=where,
            do=f"give values from {limits.min} to {limits.max}",
        )
    raise DataError(
        f"input {port.name!r} wants {wanted} and array {port.name!r} is {given}",
        where=where,
        do=f"convert the array to {wanted}, scaled as the model expects",
    )


def shape_text(shape: tuple[int | str | None, ...]) -> str:
    """A shape for a person: "batch x 3 x ? x 320", "scalar"."""
    return " x ".join("?" if s is None or (isinstance(s, int) and s <= 0) else str(s) for s in shape) or "scalar"


def _axes(count: int) -> str:
    return f"{count} axis" if count == 1 else f"{count} axes"


def check_labels(labels: Array, n: int, *, where: str) -> Array:
    """Labels as (n,) int64 class numbers, (n,) text, or (n, ...) floats for regression.

    Raises DataError when they are anything else, or as many as there are samples they are not.
    """
    if labels.ndim == 0:
        raise DataError("array 'labels' is a single value", where=where, do="give one label a sample")
    if len(labels) != n:
        raise DataError(
            f"there are {_count(n, 'sample')} and {_count(len(labels), 'label')}", where=where,
            do="give one label a sample",
        )  # fmt: skip
    if labels.dtype.kind == "f":
        return _numbers(labels, where)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"array 'labels' has shape {shape_text(labels.shape)}",
            where=where,
            do="give one label a sample (class numbers; of one-hot rows take the argmax)",
        )
    if labels.dtype.kind == "U":
        return labels
    if labels.dtype.kind not in "iub":
        raise DataError(
            f"array 'labels' is {labels.dtype}", where=where, do="give whole numbers (classes from 0), text or floats"
        )
    if labels.dtype.kind == "u" and n and labels.max() > np.iinfo(np.int64).max:
        raise DataError(f"array 'labels' has the class {labels.max()}", where=where, do="number classes from 0")
    whole = labels.astype(np.int64)
    if n and whole.min() < 0:
        raise DataError(f"array 'labels' has the class {whole.min()}", where=where, do="number classes from 0")
    return whole


def _numbers(labels: Array, where: str) -> Array:
    """Floats, which are values to be met; raises DataError where they are no numbers, or classes in disguise."""
    broken = labels.shape[0] - int(np.isfinite(labels).reshape(len(labels), -1).all(1).sum())
    if broken:
        raise DataError(
            f"array 'labels' has NaN or infinity in {_count(broken, 'sample')}", where=where, do="leave them out"
        )
    one_hot = labels.ndim == 2 and labels.shape[1] > 1 and bool(((labels == 0) | (labels == 1)).all())
    if one_hot and bool((labels.sum(1) == 1).all()):
        raise DataError(
            f"array 'labels' has one-hot rows of {labels.shape[1]} classes", where=where, do="give labels.argmax(1)"
        )
    return labels


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"
