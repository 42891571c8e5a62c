"""What follows from the model and the recipe, computed in threads and streamed in: statistics and the plan's previews."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from core.progress import Progress, Reporter
from gui.worker import PROGRESS_INTERVAL

if TYPE_CHECKING:
    from core.analysis.preview import LayerPreview
    from core.analysis.statistics import Statistics
    from core.model.model import Model
    from gui.session import Session

STATISTICS, PREVIEWS = "statistics", "previews"
"""Keys of the tasks."""


class Derived:
    """Statistics and previews by layer name, kept up to date on behalf of the session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._statistics: dict[str, Statistics] = {}
        self._previews: dict[str, LayerPreview] = {}
        self.predicted_bytes: int | None = None

    @property
    def statistics(self) -> Mapping[str, Statistics]:
        return MappingProxyType(self._statistics)

    @property
    def previews(self) -> Mapping[str, LayerPreview]:
        return MappingProxyType(self._previews)

    def clear(self) -> None:
        self._statistics, self._previews, self.predicted_bytes = {}, {}, None

    def start_statistics(self, model: Model) -> None:
        """Compute all statistics; they arrive in groups, at most 30 times a second."""

        def take(found: dict[str, Statistics]) -> None:
            self._statistics.update(found)
            self._session.statisticsChanged.emit(tuple(found))

        def progress(progress: Progress) -> None:
            if progress.part:
                take(progress.part)

        self._session.tasks.thread(STATISTICS, _statistics, model, progress=progress, done=take)


def _statistics(model: Model, reporter: Reporter) -> dict[str, Statistics]:
    from core.analysis.statistics import all_statistics

    group = _Group(reporter)
    all_statistics(model, reporter, on_layer=group.add)
    return group.take()


class _Group:
    """Collects partial results so that thousands of layers do not mean thousands of signals."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._items: dict[str, Any] = {}
        self._sent = time.monotonic()

    def add(self, name: str, item: Any) -> None:
        self._items[name] = item
        if time.monotonic() - self._sent >= PROGRESS_INTERVAL:
            self._reporter.tell(self.take())
            self._sent = time.monotonic()

    def take(self) -> dict[str, Any]:
        items, self._items = self._items, {}
        return items
