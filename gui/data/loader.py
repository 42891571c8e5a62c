"""The form's work in the background: reading data, running the model on a few samples, drawing one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from gui.data.reading import read, show

if TYPE_CHECKING:
    from core.data.options import DataOptions
    from core.data.samples import Samples
    from core.model.model import Model
    from core.progress import Progress
    from gui.session import Session

READ, LOOK, SAMPLE = "read data", "look at data", "show sample"
"""Keys of the tasks."""
RUNNING = "Running the model on a few samples"


class Loader(QObject):
    """Reads one thing at a time; answers of what was begun before are dropped.

    progress   (share, text)
    found      (FoundData) what lies at the path, before it is loaded
    loaded     (Read) the samples; the model runs on some of them next
    looked     (DataLook) what the model makes of them; nothing is under way any more
    shown      (Shown) one sample
    failed     (FeatherweightError) reading, or running the model
    stopped    the person stopped it
    """

    progress = Signal(float, str)
    found = Signal(object)
    loaded = Signal(object)
    looked = Signal(object)
    shown = Signal(object)
    failed = Signal(object)
    stopped = Signal()

    def __init__(self, session: Session, model: Model | None, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._model = session, model
        self._run = 0

    def read(self, path: Path, options: DataOptions, before: Samples | None) -> None:
        """Load samples; `before` are those of the same path, if any."""
        if self._model is None:
            return
        self._begin()
        self.progress.emit(0.0, "Loading")
        self._session.tasks.thread(READ, read, path, self._model.inputs, options, before,
                                   done=self._when_current(self.loaded.emit), progress=self._when_current(self._hear),
                                   failed=self._when_current(self.failed.emit), cancelled=self._on_stop())

    def look(self, samples: Samples) -> None:
        """Run the model on a few samples in the worker process, to see which metrics fit and what is broken."""
        from core.data_job import look_at_outputs, look_spec

        if self._model is None:
            return
        self.progress.emit(0.0, RUNNING)
        self._session.tasks.process(
            LOOK, look_at_outputs, look_spec(str(self._model.path), samples),
            done=self._when_current(self.looked.emit), failed=self._when_current(self.failed.emit),
            progress=self._when_current(lambda told: self.progress.emit(told.done, RUNNING)), cancelled=self._on_stop(),
        )  # fmt: skip

    def show(self, samples: Samples, index: int) -> None:
        """Draw one sample."""
        self._session.tasks.thread(SAMPLE, show, samples, index, done=self._when_current(self.shown.emit),
                                   failed=self._when_current(self.failed.emit))

    def stop(self) -> None:
        """Stop reading and running, as the person asked."""
        for key in (READ, LOOK):
            self._session.tasks.cancel(key)

    def close(self) -> None:
        """Stop everything, in silence."""
        self._run += 1
        for key in (READ, LOOK, SAMPLE):
            self._session.tasks.cancel(key)

    def _begin(self) -> None:
        self._run += 1
        for key in (LOOK, SAMPLE):
            self._session.tasks.cancel(key)

    def _hear(self, told: Progress) -> None:
        if told.part is not None:
            self.found.emit(told.part)
        self.progress.emit(told.done, told.text)

    def _when_current(self, act: Callable[[Any], object]) -> Callable[[Any], None]:
        """The callback, for as long as nothing newer has begun and the form is open."""
        run = self._run

        def call(value: Any) -> None:
            if run == self._run:
                act(value)

        return call

    def _on_stop(self) -> Callable[[], None]:
        call = self._when_current(lambda _nothing: self.stopped.emit())
        return lambda: call(None)
