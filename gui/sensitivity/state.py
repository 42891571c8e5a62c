"""What the window knows of the model's sensitivity, and getting to know more of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from core.errors import FeatherweightError
from gui.sensitivity.figures import Figures, Grid, Made

if TYPE_CHECKING:
    from core.analysis.sensitivity.cells import Setting
    from core.model.model import Model
    from core.progress import Progress
    from core.sensitivity_job import SensitivitySpec
    from gui.session import Session

FREE, KEPT, MEASURE = "sensitivity of weights", "kept sensitivity", "sensitivity"
"""Keys of the tasks: from the weights alone, tables that were made before, and what the person asks for."""
QUIET_MS = 700
"""Nothing else is at work for this long before the table without data is begun: nobody has asked for it."""
_TAKE_MS = 16
"""Rest between two parts that are taken, so that a burst of them does not hold the window up."""
_Answer = tuple[Made, tuple[Figures, ...]]


class Phase(Enum):
    """What the table is now.

    NONE     nothing is known yet; it comes by itself
    FREE     being made from the weights
    RUNNING  being measured; what is there so far is shown
    DONE     finished
    """

    NONE = 0
    FREE = 1
    RUNNING = 2
    DONE = 3


@dataclass
class _Coming:
    """A finished table whose parts are being taken; `data` is what its samples are."""

    made: Made
    data: object
    grid: Grid


class SensitivityState(QObject):
    """The table of the open model, as far as it is known.

    changed       (names) figures of these layers arrived
    stateChanged  another phase, another table, or whether it still fits the data
    dataMissing   the person asked to measure, and there is no data
    dataWanted    the person wants to choose data
    """

    changed = Signal(tuple)
    stateChanged = Signal()
    dataMissing = Signal()
    dataWanted = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self.cache_folder: Path | None = None
        self._grid: Grid | None = None
        self._made: Made | None = None
        self._data: object = None  # what the table's samples are, as `_data_now`
        self._phase = Phase.NONE
        self._problem = ""
        self._free_fails = False  # it is not tried again with this model
        self._parts: deque[Figures] = deque()
        self._coming: _Coming | None = None
        self._quiet = QTimer(self, singleShot=True, interval=QUIET_MS)
        self._quiet.timeout.connect(self._begin)
        self._take = QTimer(self, singleShot=True, interval=_TAKE_MS)
        self._take.timeout.connect(self._take_part)
        session.modelChanged.connect(self._model_changed)
        session.dataChanged.connect(self._data_changed)
        session.tasks.changed.connect(self._give_way)

    # -- what there is ------------------------------------------------------------------------------------------------

    @property
    def grid(self) -> Grid | None:
        """The figures; None without a model and until something is known."""
        return self._grid

    @property
    def made(self) -> Made | None:
        """What the finished table says as a whole; None while it is being made for the first time."""
        return self._made

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def samples(self) -> int:
        """Samples that the figures come from; 0 for those of the weights alone."""
        return self._made.samples if self._made is not None else 0

    @property
    def problem(self) -> str:
        """Why the last attempt gave nothing, a sentence, or ""."""
        return self._problem

    @property
    def stale(self) -> bool:
        """Whether the figures come from samples that are not the ones loaded now."""
        if self._made is None or not self._made.samples:
            return False
        now = self._data_now()
        return now is None or self._data != now

    @property
    def measured(self) -> bool:
        """Whether nothing would be gained by measuring: there are measured figures of the loaded samples."""
        return self._made is not None and self._made.samples > 0 and not self.stale

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Columns of the table."""
        from core.analysis.sensitivity.settings import default_settings

        return default_settings()

    @cached_property
    def reference(self) -> int:
        """The column that layers are compared by: plain 4 bits."""
        from core.recipe import Step

        return self.settings.index((Step.make("quantize", bits=4),))

    def compared(self, name: str) -> tuple[float, int]:
        """(error, tier) of a layer at the setting that layers are compared by; (NaN, −1) where there is none."""
        grid = self._grid
        row = grid.row(name) if grid is not None else -1
        if grid is None or row < 0:
            return float("nan"), -1
        return float(grid.errors[row, self.reference]), int(grid.tiers[row, self.reference])

    def _data_now(self) -> object:
        return self._session.data.read_as if self._session.samples is not None else None

    # -- measuring ----------------------------------------------------------------------------------------------------

    def measure(self, level: str = "measured") -> None:
        """Measure in the worker process; figures are shown as they come.

        level  "free", "fast" or "measured" (`core.sensitivity_job.LEVELS`); all but "free" need data
               (`dataMissing` where there is none)
        """
        model = self._session.model
        if model is None:
            return
        if level != "free" and self._session.samples is None:
            self.dataMissing.emit()
            return
        try:
            model.check_unchanged()
        except FeatherweightError as error:
            self._session.failed.emit(error)
            return
        self._problem, self._coming = "", None
        self._parts.clear()
        for key in (FREE, KEPT):
            self._session.tasks.cancel(key)
        self._run(model, level)

    def _run(self, model: Model, level: str) -> None:
        free = level == "free"
        key, title = (FREE, "") if free else (MEASURE, "Measuring sensitivity")
        data = None if free else self._data_now()

        def done(answer: _Answer) -> None:
            self._accept(answer, data)

        self._begin_phase(Phase.FREE if free else Phase.RUNNING, model)
        from gui.sensitivity.job import measure

        self._session.tasks.process(key, measure, self._spec(model, level), title=title, done=done,
                                    progress=self._hear, failed=self._free_failed if free else self._failed,
                                    cancelled=self._cancelled)
        self._session.stateChanged.emit()

    def _spec(self, model: Model, level: str) -> SensitivitySpec:
        from core.sensitivity_job import SensitivitySpec

        data = self._session.data_path if level != "free" else None
        return SensitivitySpec(
            str(model.path), str(data) if data is not None else None, level, self.settings,
            options=self._session.data_options,
            cache=str(self.cache_folder) if self.cache_folder is not None else None,
        )  # fmt: skip

    def _begin_phase(self, phase: Phase, model: Model) -> None:
        self._phase = phase
        if self.stale:  # nothing of the other samples may stay among what comes
            self._grid, self._made = None, None
        if self._grid is None:
            self._grid = Grid([layer.name for layer in model.layers], self.settings)
        self.stateChanged.emit()

    def _hear(self, progress: Progress) -> None:
        if progress.part is not None:
            self._parts.append(progress.part)
            self._take_soon()

    def _accept(self, answer: _Answer, data: object) -> None:
        """The whole table has come: when all of it is taken, it takes the place of what is shown."""
        made, parts = answer
        model = self._session.model
        if model is None:
            return
        self._parts = deque(parts)
        self._coming = _Coming(made, data, Grid([layer.name for layer in model.layers], self.settings))
        self._take_soon()

    def _take_soon(self) -> None:
        if not self._take.isActive():
            self._take.start()

    def _take_part(self) -> None:
        coming = self._coming
        if coming is None:
            if self._parts and self._grid is not None:
                names = self._grid.put(self._parts.popleft())
                if names:
                    self.changed.emit(names)
        elif self._parts:
            coming.grid.put(self._parts.popleft())
        if self._parts:
            self._take.start()
        elif coming is not None:
            self._coming = None
            self._grid, self._made, self._data = coming.grid, coming.made, coming.data
            self._phase, self._problem = Phase.DONE, ""
            self.changed.emit(coming.grid.names)
            self.stateChanged.emit()
            self._session.stateChanged.emit()

    def _failed(self, error: FeatherweightError) -> None:
        self._end(str(error))
        self._session.failed.emit(error)

    def _free_failed(self, error: FeatherweightError) -> None:
        self._free_fails = True
        self._end(str(error))  # nobody asked for it: the lens says it, and no message appears

    def _cancelled(self) -> None:
        """Nothing of what arrived is lost; asking again goes on from what the core has kept."""
        self._end("Measuring was cancelled." if self._phase is Phase.RUNNING else "")
        if self._made is None:
            self._quiet.start()  # what was made before is found again

    def _end(self, problem: str) -> None:
        self._problem = problem
        self._phase = Phase.DONE if self._made is not None else Phase.NONE
        self.stateChanged.emit()
        self._session.stateChanged.emit()

    # -- what comes by itself -----------------------------------------------------------------------------------------

    def _model_changed(self) -> None:
        for key in (FREE, KEPT, MEASURE):
            self._session.tasks.cancel(key)
        self._quiet.stop()
        self._take.stop()
        self._parts.clear()
        self._grid, self._made, self._coming, self._data = None, None, None, None
        self._phase, self._problem, self._free_fails = Phase.NONE, "", False
        if self._session.model is not None:
            self._quiet.start()
        self.stateChanged.emit()

    def _data_changed(self) -> None:
        if self._session.model is None:
            return
        if self._phase is Phase.RUNNING:  # of samples that are no longer the ones loaded
            self._session.tasks.cancel(MEASURE)
        self._quiet.start()
        self.stateChanged.emit()

    def _give_way(self) -> None:
        """What the person waits for must not queue behind figures that nobody asked for: they come later."""
        tasks = self._session.tasks
        if tasks.running(FREE) and tasks.queued:
            tasks.cancel(FREE)
            self._quiet.start()

    def _begin(self) -> None:
        """Nothing else is at work: look for a table that was made before, else make the one without data."""
        session, model = self._session, self._session.model
        if model is None or self._phase is Phase.RUNNING:
            return
        if session.tasks.busy:
            self._quiet.start()
            return
        if self.measured:
            return
        from gui.sensitivity.job import kept

        data = self._data_now()
        source = None
        if session.data_path is not None and session.samples is not None:
            source = (session.data_path, session.data_options)

        def done(answer: _Answer | None) -> None:
            if answer is not None and (answer[0].samples or self._made is None):
                self._accept(answer, data)
            elif answer is None and self._made is None and not self._free_fails:
                self._run(model, "free")

        session.tasks.thread(KEPT, kept, model, self.settings, source, self.cache_folder, done=done,
                             failed=self._free_failed)
