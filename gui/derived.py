"""What follows from the model and the recipe, streamed in from threads: statistics and the plan's previews."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QTimer

from core.errors import FeatherweightError
from core.progress import Progress, Reporter
from gui.tasks import AFTER_PAINT_MS
from gui.worker import PROGRESS_INTERVAL

if TYPE_CHECKING:
    from core.analysis.preview import LayerPreview
    from core.analysis.statistics import Statistics
    from core.model.model import Model
    from core.recipe import Recipe
    from gui.session import Session

STATISTICS, PREVIEWS, PREDICTION = "statistics", "previews", "prediction"
"""Keys of the tasks."""
_DELAY_MS = 120
"""Rest after an edit before the plan is computed anew; the lens shows the selected layer at once by itself."""


class Derived:
    """Statistics and previews by layer name, kept up to date on behalf of the session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._statistics: dict[str, Statistics] = {}
        self._previews: dict[str, LayerPreview] = {}
        self._waiting: dict[str, None] = {}  # layers whose preview is out of date, in order
        self._base_bytes: int | None = None
        self._delay = QTimer(session, singleShot=True, interval=_DELAY_MS)
        self._delay.timeout.connect(self._start_previews)

    @property
    def predicted_bytes(self) -> int | None:
        """Size of the exported file by the recipe; None while something of it is still being computed."""
        if self._base_bytes is None or self._waiting:
            return None
        return self._base_bytes + sum(p.file_after - p.file_before for p in self._previews.values())

    @property
    def statistics(self) -> Mapping[str, Statistics]:
        return MappingProxyType(self._statistics)

    @property
    def previews(self) -> Mapping[str, LayerPreview]:
        return MappingProxyType(self._previews)

    def clear(self) -> None:
        self._delay.stop()
        self._statistics, self._previews, self._waiting, self._base_bytes = {}, {}, {}, None

    def start_statistics(self, model: Model) -> None:
        """Compute all statistics, which arrive in groups, at most 30 times a second; then foretell the bare size.

        One after the other: each thread more makes the window's thread wait longer for the interpreter.
        """

        def take(found: dict[str, Statistics]) -> None:
            self._statistics.update(found)
            self._session.statisticsChanged.emit(tuple(found))

        def progress(progress: Progress) -> None:
            if progress.part:
                take(progress.part)

        def done(found: dict[str, Statistics]) -> None:
            take(found)
            self._start_prediction(model)

        def failed(error: FeatherweightError) -> None:
            self._session.failed.emit(error)
            self._start_prediction(model)

        self._session.tasks.thread(STATISTICS, _statistics, model, progress=progress, done=done, failed=failed,
                                   delay_ms=AFTER_PAINT_MS)

    def _start_prediction(self, model: Model) -> None:
        """Foretell the size of an export without any steps: what clean-up alone would give."""

        def foretold(nbytes: int) -> None:
            self._base_bytes = nbytes
            self._session.previewsChanged.emit(())

        self._session.tasks.thread(PREDICTION, _base_bytes, model, done=foretold)

    def start_previews(self, names: Iterable[str]) -> None:
        """The steps of these layers changed: compute what they do, a moment later, so that a drag is not in the way.

        Until then the earlier figures stay, and `predicted_bytes` is None.
        """
        gone = []
        for name in names:
            self._waiting.pop(name, None)
            if self._session.steps(name):
                self._waiting[name] = None
            elif self._previews.pop(name, None) is not None:
                gone.append(name)
        self._session.previewsChanged.emit(tuple(gone))
        self._session.tasks.cancel(PREVIEWS)
        if self._waiting:
            self._delay.start()

    def _start_previews(self) -> None:
        model, recipe = self._session.model, self._session.recipe
        if model is None or recipe is None:
            return

        def take(found: dict[str, LayerPreview]) -> None:
            self._previews.update(found)
            for name in found:
                self._waiting.pop(name, None)
            self._session.previewsChanged.emit(tuple(found))

        def progress(progress: Progress) -> None:
            if progress.part:
                take(progress.part)

        self._session.tasks.thread(PREVIEWS, _previews, model, recipe, tuple(self._waiting), progress=progress,
                                   done=take)


def _base_bytes(model: Model, reporter: Reporter) -> int:
    from core.exporting.sizes import SizeModel

    reporter.check()
    return SizeModel(model).base


def _previews(model: Model, recipe: Recipe, names: tuple[str, ...], reporter: Reporter) -> dict[str, LayerPreview]:
    from core.analysis.preview import preview
    from core.methods.base import Memo

    group = _Group(reporter)
    for name in names:
        layer = model.layer(name)
        group.add(name, preview(layer, model.weight(name), model.encoding(name), recipe.steps_for(name), Memo(),
                                model.opset, reporter=reporter.part(0.0, 0.0)))
    return group.take()


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
