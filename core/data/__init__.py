"""Sample data: `load_samples(path, inputs) -> Samples`.

What needs numpy is imported when it is first asked for: the descriptions of jobs hold `DataOptions` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.data.options import DEFAULT_OPTIONS, DataOptions, Preprocessing

if TYPE_CHECKING:
    from core.data.loading import load_samples
    from core.data.samples import Samples

__all__ = ["DEFAULT_OPTIONS", "DataOptions", "Preprocessing", "Samples", "load_samples"]


def __getattr__(name: str) -> Any:
    if name == "load_samples":
        from core.data.loading import load_samples

        return load_samples
    if name == "Samples":
        from core.data.samples import Samples

        return Samples
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
