"""Made-up inputs, for checks and timings when a person has given no data. Never used for an error figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.checks import free
from core.errors import FeatherweightError
from core.model.layer import Port

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Array = np.ndarray[Any, np.dtype[Any]]

FREE_SIZES = (32, 64, 16, 8, 224, 320, 4, 1)
"""What to try, in turn, for axes that a model leaves open (pictures, sequences)."""


def made_up_feeds(
    session: InferenceSession, inputs: tuple[Port, ...], n: int = 2, seed: int = 0
) -> tuple[dict[str, Array], ...]:
    """`n` inputs that the model runs on, or () when none of the sizes in FREE_SIZES is accepted.

    Floats are standard normal, whole numbers are ones (valid as token, mask and most sizes), booleans are true. The
    first axis, where free, is 1.
    """
    for size in FREE_SIZES:
        rng = np.random.default_rng(seed)
        try:
            feeds = tuple({port.name: _made_up(port, size, rng) for port in inputs} for _ in range(n))
            _try(session, feeds[0])
        except FeatherweightError:
            continue
        return feeds
    return ()


def _try(session: InferenceSession, feed: dict[str, Array]) -> None:
    from core.analysis.runtime import run

    run(session, feed)


def _made_up(port: Port, size: int, rng: np.random.Generator) -> Array:
    shape = [
        (1 if axis == 0 else size) if free(extent) else int(extent or 1) for axis, extent in enumerate(port.shape or ())
    ]
    try:
        dtype = np.dtype(port.dtype)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind == "f":
        return rng.standard_normal(shape, np.float32).astype(dtype)
    if dtype.kind in "iub":
        return np.ones(shape, dtype)
    raise FeatherweightError(f"input {port.name!r} wants {port.dtype}, which cannot be made up", do="load data")
