"""Samples: data for a model, one sample at a time or in batches, read as late as possible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import DataError
from core.model.layer import Port

Array = np.ndarray[Any, np.dtype[Any]]

ONE_SAMPLE = "There is only one sample: what is learned from it is also measured on it, so the figures say little."


class Column(Protocol):
    """All samples of one input.

    batchable  True when samples can be joined along axis 0 of the input
    """

    @property
    def batchable(self) -> bool: ...

    def __len__(self) -> int: ...

    def feed(self, index: int) -> Array:
        """What one run takes for sample `index`."""
        ...

    def batch(self, indices: Array) -> Array:
        """Samples joined along axis 0; only when batchable."""
        ...

    def describe(self) -> str:
        """Shape and type in words: "x float32 3 x 48 x 320"."""
        ...


@dataclass(frozen=True)
class Samples:
    """Data that fits a model's inputs.

    columns      one per input, in the order of the inputs
    source       path that the data came from
    labels       (n,) integers (classes) or text, (n, ...) floats (values to be met), or None
    class_names  names of classes 0, 1, ... when the data names them, else ()
    names        one name per sample (file names of images), or () when samples have none
    notes        sentences a person should know (arrays ignored, images skipped)
    options      how they were read, and the metric to judge answers by
    order        rows of the columns that these samples are, (n,) int64
    """

    inputs: tuple[Port, ...]
    columns: tuple[Column, ...] = field(repr=False)
    source: str
    order: Array = field(repr=False)
    labels: Array | None = field(default=None, repr=False)
    class_names: tuple[str, ...] = ()
    names: tuple[str, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    options: DataOptions = DEFAULT_OPTIONS

    @property
    def n(self) -> int:
        return len(self.order)

    def __len__(self) -> int:
        return self.n

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(port.name for port in self.inputs)

    @property
    def batchable(self) -> bool:
        """Whether every input can take several samples at once."""
        return all(column.batchable for column in self.columns)

    @property
    def class_labels(self) -> Array | None:
        """The labels when they are class numbers, (n,) int64; None when there are none or when they are text."""
        return self.labels if self.labels is not None and self.labels.dtype.kind == "i" else None

    def feed(self, index: int) -> dict[str, Array]:
        """Inputs of sample `index` (0 <= index < n) for one run."""
        if not 0 <= index < self.n:
            raise DataError(f"there is no sample {index}, only 0 to {self.n - 1}", where=self.source)
        row = int(self.order[index])
        return {port.name: column.feed(row) for port, column in zip(self.inputs, self.columns, strict=True)}

    def feeds(self, limit: int | None = None) -> Iterator[dict[str, Array]]:
        """Inputs of the first `limit` samples (all when None), one run each."""
        for index in range(self.n if limit is None else min(limit, self.n)):
            yield self.feed(index)

    def spread(self, count: int) -> list[int]:
        """`count` of the samples' indices, evenly, the first among them."""
        return [int(index) for index in np.linspace(0, self.n - 1, count).round()]

    def batches(self, size: int) -> Iterator[dict[str, Array]]:
        """Inputs of up to `size` samples a run; raises DataError when an input cannot be batched."""
        if not self.batchable:
            fixed = [p.name for p, c in zip(self.inputs, self.columns, strict=True) if not c.batchable]
            raise DataError(f"input {fixed[0]!r} takes one sample at a time", where=self.source)
        for start in range(0, self.n, max(1, size)):
            rows = self.order[start : start + max(1, size)]
            yield {port.name: column.batch(rows) for port, column in zip(self.inputs, self.columns, strict=True)}

    def name(self, index: int) -> str:
        """The sample's name for a person: its file's name, or "sample 7"."""
        return self.names[index] if self.names else f"sample {int(self.order[index])}"

    def with_options(self, options: DataOptions) -> Samples | None:
        """The same samples read with other options, without reading the files again; None when that is needed."""
        from core.data.preprocessing import PictureColumn, same_pixels

        if options.preprocessing == self.options.preprocessing:
            return replace(self, options=options)
        if not same_pixels(options.preprocessing, self.options.preprocessing):
            return None
        values = {len(options.preprocessing.mean), len(options.preprocessing.std)}
        if any(isinstance(c, PictureColumn) and not values <= {1, c.pixels.shape[-1]} for c in self.columns):
            return None  # reading says what does not fit
        columns = tuple(
            replace(column, how=options.preprocessing) if isinstance(column, PictureColumn) else column
            for column in self.columns
        )
        return replace(self, columns=columns, options=options)

    def subset(self, n: int, seed: int = 0) -> Samples:
        """`n` samples drawn without repetition, kept in order; the same seed gives the same samples."""
        if n >= self.n:
            return self
        return self._rows(np.sort(np.random.default_rng(seed).choice(self.n, size=max(1, n), replace=False)))

    def split(self, n: int, seed: int = 0) -> tuple[Samples, Samples]:
        """`n` samples drawn without repetition, and all others; at most half are drawn. With one sample, twice it.

        What was calibrated on the first part is measured on the second: the two are never mixed.
        """
        if self.n < 2:
            return self, self
        drawn = np.zeros(self.n, bool)
        drawn[np.random.default_rng(seed).choice(self.n, size=max(1, min(n, self.n // 2)), replace=False)] = True
        return self._rows(np.flatnonzero(drawn)), self._rows(np.flatnonzero(~drawn))

    def part(self, start: int, stop: int) -> Samples:
        """Samples `start` to `stop` - 1, as neighbours as they are: for data that is a sequence."""
        return self._rows(np.arange(self.n)[start:stop])

    def picked(self, places: Sequence[int]) -> Samples:
        """The samples at these places, in this order."""
        return self._rows(np.asarray(places, np.int64))

    def _rows(self, picked: Array) -> Samples:
        return replace(
            self,
            order=self.order[picked],
            labels=None if self.labels is None else self.labels[picked],
            names=tuple(self.names[i] for i in picked) if self.names else (),
        )

    def describe(self) -> str:
        """One line: how many samples of what, and which labels."""
        count = f"{self.n} sample{'' if self.n == 1 else 's'}"
        text = f"{count}: {', '.join(column.describe() for column in self.columns)}"
        if self.labels is None:
            return f"{text}; no labels"
        if self.class_labels is None:
            return f"{text}; {'text' if self.labels.dtype.kind == 'U' else 'float'} labels"
        return f"{text}; labels of {len(np.unique(self.labels))} classes"
