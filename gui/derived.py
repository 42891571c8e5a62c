"""What follows from the model and the recipe, streamed in from threads: statistics and the plan's previews."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QTimer

from core.errors import FeatherweightError
from core.progress import Progress, Reporter
from gui.preparation import MEASURE, PREPARE, Preparation
from gui.tasks import AFTER_PAINT_MS
from gui.worker import PROGRESS_INTERVAL

if TYPE_CHECKING:
    from core.analysis.preview import LayerPreview
    from core.analysis.statistics import Statistics
    from core.model.layer import Layer
    from core.model.model import Model
    from core.preparing import Prepared
    from core.recipe import Recipe
    from gui.session import Session

STATISTICS, PREVIEWS = "statistics", "previews"
"""Keys of the tasks."""
_DELAY_MS = 120
"""Rest after an edit before the plan is computed anew; the lens shows the selected layer at once by itself."""


class Derived:
    """Statistics and previews by layer name, kept up to date on behalf of the session."""

    def __init__(self, session: Session, work_folder: Path) -> None:
        self._session = session
        self.preparation = Preparation(session, work_folder, self._prepared)
        self._statistics: dict[str, Statistics] = {}
        self._previews: dict[str, LayerPreview] = {}
        self._waiting: dict[str, None] = {}  # layers whose preview is out of date, in order
        self._seen: Prepared | None = None  # the preparation that the previews were made from
        self._foretold: _Foretold | None = None
        self._held = False  # while a front is dragged along: previews would only be in the way
        self._delay = QTimer(session, singleShot=True, interval=_DELAY_MS)
        self._delay.timeout.connect(self._start_previews)

    @property
    def predicted_bytes(self) -> int | None:
        """Size of the exported file by the recipe; None while something of it is still being computed."""
        if self.foretold:
            return self._foretold.nbytes if self._foretold is not None else None
        base = self.preparation.base_bytes
        if base is None or self._waiting or self._session.running(PREPARE) or self._session.running(MEASURE):
            return None
        if self._session.recipe is None or not self.preparation.fits(self._session.recipe):
            return None
        return base + sum(p.file_after - p.file_cut for p in self._previews.values())

    @property
    def foretold(self) -> bool:
        """Whether the recipe's figures are those that a plan brought along; its previews follow."""
        return self._foretold is not None and self._foretold.recipe is self._session.recipe

    @property
    def held(self) -> bool:
        """Whether previews wait for `release`."""
        return self._held

    def foretold_bytes(self, name: str) -> int | None:
        """What a layer takes by the plan, while its preview is out of date; None when that is not known."""
        if not self.foretold or name not in self._waiting or self._foretold is None:
            return None
        return self._foretold.layers.get(name)

    def foretell(self, recipe: Recipe, nbytes: int, layers: Mapping[str, int], *, hold: bool) -> None:
        """A plan's own figures, for the recipe that is put into force next: shown until its previews are there.

        nbytes, layers  predicted bytes of the file, and of each layer in it
        hold            let the previews wait for `release`
        """
        self._foretold, self._held = _Foretold(recipe, nbytes, layers), hold

    def release(self) -> None:
        """The drag is over: compute previews."""
        if self._held:
            self._held = False
            self._delay.start()

    def waits_for_samples(self, name: str) -> bool:
        """Whether what is known of a layer was made without the samples that its steps work from, which are run now."""
        if self.foretold:
            return False
        if self.preparation.waits(name):
            return True
        known = self._previews.get(name)
        outdated = name in self._waiting and known is not None and bool(known.skipped)
        return outdated and self.preparation.measured(name)

    @property
    def statistics(self) -> Mapping[str, Statistics]:
        return MappingProxyType(self._statistics)

    @property
    def previews(self) -> Mapping[str, LayerPreview]:
        return MappingProxyType(self._previews)

    def clear(self) -> None:
        self._delay.stop()
        self._statistics, self._previews, self._waiting, self._seen = {}, {}, {}, None
        self._foretold, self._held = None, False
        self.preparation.clear()

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
            self._start_previews()

        def failed(error: FeatherweightError) -> None:
            self._session.failed.emit(error)
            self._start_previews()

        self._session.tasks.thread(STATISTICS, _statistics, model, progress=progress, done=done, failed=failed,
                                   delay_ms=AFTER_PAINT_MS)

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
        if self._held and self.foretold:
            self._delay.stop()
            return
        self._held = False
        self._delay.start()  # also without any: graph steps are of no layer, and a cut may have been taken out

    def follow_data(self) -> None:
        """Other samples: steps that work from them do other things."""
        self._delay.start()

    def _start_previews(self) -> None:
        model, recipe = self._session.model, self._session.recipe
        if model is not None and recipe is not None and self.preparation.follow(model, recipe):
            self._run_previews(model, recipe)

    def _prepared(self) -> None:
        """The preparation has arrived: what depends on it is out of date."""
        model, recipe = self._session.model, self._session.recipe
        if model is None or recipe is None:
            return
        current = self.preparation.current
        if current is not self._seen:
            names = [layer.name for layer in model.layers if recipe.steps_for(layer.name) or is_cut(layer, current)]
            gone = tuple(name for name in self._previews if name not in names)
            for name in gone:
                del self._previews[name]
            self._waiting.update(dict.fromkeys(names))
            self._seen = current
            self._session.preparedChanged.emit()
            self._session.previewsChanged.emit(gone)
        self._run_previews(model, recipe)

    def _run_previews(self, model: Model, recipe: Recipe) -> None:
        if self.foretold and (self._held or self._session.running(MEASURE)):
            return  # what the plan says is better than a preview without its samples, which follows

        def take(found: dict[str, LayerPreview]) -> None:
            self._previews.update(found)
            for name in found:
                self._waiting.pop(name, None)
            self._session.previewsChanged.emit(tuple(found))

        def progress(progress: Progress) -> None:
            if progress.part:
                take(progress.part)

        def done(found: dict[str, LayerPreview]) -> None:
            self._foretold = None
            take(found)

        self._session.tasks.thread(PREVIEWS, _previews, model, recipe, tuple(self._waiting), self.preparation.current,
                                   progress=progress, done=done)


@dataclass(frozen=True, eq=False)
class _Foretold:
    """Figures that a recipe brings along."""

    recipe: Recipe
    nbytes: int
    layers: Mapping[str, int]


def is_cut(layer: Layer, prepared: Prepared | None) -> bool:
    """Whether channel cuts change the layer's weight."""
    if prepared is None or layer.name not in prepared.layers:
        return False
    return prepared.layers[layer.name].shape != layer.shape


def _previews(
    model: Model, recipe: Recipe, names: tuple[str, ...], prepared: Prepared | None, reporter: Reporter
) -> dict[str, LayerPreview]:
    from core.analysis.preview import preview
    from core.methods.base import Memo

    group = _Group(reporter)
    for name in names:
        layer, steps = model.layer(name), recipe.steps_for(name)
        start = prepared.start(name, steps) if prepared is not None else None
        group.add(name, preview(layer, model.weight(name), model.encoding(name), steps, Memo(), model.opset,
                                reporter=reporter.part(0.0, 0.0), start=start))
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
