"""Samples as batches of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from core.errors import DataError

if TYPE_CHECKING:
    from core.data.samples import Column, Samples

Array = np.ndarray[Any, np.dtype[Any]]


def batch(samples: Samples, indices: Sequence[int] | Array) -> dict[str, Tensor]:
    """The samples at `indices` by input, stacked along axis 0, in the inputs' own types.

    Inputs that can be joined along their first axis are; others (a state, a scalar) get a new first axis.
    Raises DataError for samples of several sizes.
    """
    rows = samples.order[np.asarray(indices, np.int64)]
    return {
        port.name: torch.from_numpy(_stacked(column, rows, port.name, samples.source))
        for port, column in zip(samples.inputs, samples.columns, strict=True)
    }


def _stacked(column: Column, rows: Array, name: str, source: str) -> Array:
    try:
        if column.batchable:
            return np.array(column.batch(rows), order="C")
        feeds = [column.feed(int(row)) for row in rows]
        one_each = all(feed.ndim and feed.shape[0] == 1 for feed in feeds)  # the graph states a batch of one
        return np.concatenate(feeds) if one_each else np.stack(feeds)
    except ValueError as error:
        raise DataError(
            f"samples of the input {name!r} have several sizes", where=source, do="give all samples the same size"
        ) from error
