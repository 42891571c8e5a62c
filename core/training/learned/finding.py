"""Which trained form an encoding has."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.encoding.base import Encoding
from core.training.learned.base import LearnedWeight

Array = np.ndarray[Any, np.dtype[Any]]


def learn(encoding: Encoding, weight: Array | None = None, *, reassign: bool = True) -> LearnedWeight:
    """The encoding as a module; `forward()` equals `encoding.decode()` to float32 rounding.

    weight    the dense float32 weights that it was made from, of its shape; None: what it decodes to
    reassign  levels of codebooks: whether a weight may change its level while it is trained

    Any encoding is taken: one without a trained form keeps its stored values and says why (`LearnedWeight.reason`).
    """
    raise NotImplementedError
