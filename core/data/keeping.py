"""Data options as plain values in a saved session or run, and back; what cannot be read counts as not there."""

from __future__ import annotations

import dataclasses
from typing import Any

from core.data.options import DataOptions, Preprocessing
from core.errors import DataError


def options_dict(options: DataOptions) -> dict[str, Any]:
    """Plain values for JSON."""
    return dataclasses.asdict(options)


def options_from(content: Any) -> DataOptions | None:
    """The options again; None for what another version wrote, or for a damaged file.

    The hash of a callable that was allowed to run comes back as well: it runs only while its file is still the same.
    """
    if not isinstance(content, dict):
        return None
    try:
        how = dict(content["preprocessing"])
        for key in ("resize", "mean", "std"):
            how[key] = None if how[key] is None else tuple(how[key])
        numbers = (*(how["resize"] or ()), *how["mean"], *how["std"], how["scale"])
        words = (content["metric"], content["metric_callable"], content["confirmed"], how["channels"], how["layout"])
        if not all(isinstance(n, int | float) for n in numbers) or not all(isinstance(w, str) for w in words):
            return None
        return DataOptions(Preprocessing(**how), *words[:3])
    except (KeyError, TypeError, ValueError, DataError):
        return None
