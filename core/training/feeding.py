"""Samples as batches of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from core.data.samples import Samples

Array = np.ndarray[Any, np.dtype[Any]]


def batch(samples: Samples, indices: Sequence[int] | Array) -> dict[str, Tensor]:
    """The samples at `indices` by input, stacked along axis 0, in the inputs' own types.

    Inputs that can be joined along their first axis are; others (a state, a scalar) get a new first axis.
    Raises DataError for samples of several sizes.
    """
    raise NotImplementedError
