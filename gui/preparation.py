"""What the plan's steps start from: the graph as graph and channel steps leave it, and what samples tell of the layers.

Kept up to date on behalf of `Derived`: measuring runs in the worker process and leaves a file, the rest in a thread.
A plan that changes no graph and needs no samples has no preparation and waits for nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import FeatherweightError
from core.progress import Progress, Reporter

if TYPE_CHECKING:
    from core.model.model import Model
    from core.preparing import Prepared
    from core.recipe import Recipe
    from gui.session import Session

MEASURE, PREPARE = "measure", "prepare"
"""Keys of the tasks."""


class Preparation:
    """The `Prepared` of the recipe in force.

    current     None without a preparation, or while there is none for the graph and channel steps in force
    base_bytes  size of an export without any steps of weights; None while it is not known
    measuring   whether samples are being run: what steps miss now they may have in a moment
    """

    def __init__(self, session: Session, work_folder: Path, ready: Callable[[], None]) -> None:
        self._session, self._ready = session, ready
        self._folder = work_folder / f"measured-{os.getpid()}"
        self._runs = 0
        self.clear()

    def clear(self) -> None:
        """Another model, or none."""
        self.current: Prepared | None = None
        self.base_bytes: int | None = None
        self.measuring = False
        self._structure: Any = ()
        self._needs: Any = ()
        self._measured: tuple[Any, dict[str, Any]] = (None, {})  # samples, and what `current` has of each layer
        self._given_up = False  # the samples that the present steps need will not be run
        self._wanted: Any = None
        self._fit: tuple[Recipe, Any] | None = None  # a recipe and its structure, asked for at every repaint of totals
        self._where: Path | None = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def fits(self, recipe: Recipe) -> bool:
        """Whether `current` is of the recipe's graph and channel steps."""
        if self._fit is None or self._fit[0] is not recipe:
            self._fit = recipe, structure(self._session.model, recipe)
        return self._structure == self._fit[1]

    def waits(self, name: str) -> bool:
        """Whether a layer's steps need something measured that is not, but will be."""
        return not self._given_up and bool(self._needed(name)) and not self.measured(name)

    def measured(self, name: str) -> bool:
        """Whether a layer's steps need something measured and it was, for the graph and channel steps in force."""
        needed, recipe = self._needed(name), self._session.recipe
        path, by_layer = self._measured
        return (bool(needed) and recipe is not None and path == self._session.data.read_as and self.fits(recipe)
                and by_layer.get(name) == needed)

    def _needed(self, name: str) -> tuple[Any, ...]:
        """What a layer's steps need, by stage; () when that is nothing, or there are no samples."""
        from core.methods.base import Stage
        from core.preparing import needs

        if self._session.data_path is None:
            return ()
        found = tuple(needs(self._session.steps(name), stage) for stage in Stage)
        return found if any(found) else ()

    def follow(self, model: Model, recipe: Recipe) -> bool:
        """The recipe, the model or the data changed. True when all is there already; else `ready` is called later."""
        wanted = structure(model, recipe), self._asks(model, recipe)
        if self.base_bytes is not None and wanted == (self._structure, self._needs):
            self._stop_measuring()
            self._session.tasks.cancel(PREPARE)
            return True
        if wanted == self._wanted and (self._session.running(MEASURE) or self._session.running(PREPARE)):
            return False
        self._wanted, self._given_up = wanted, False
        if wanted[1] and wanted[1] != self._needs:
            self._measure(model, recipe, wanted)
        else:
            self._stop_measuring()
            self._prepare(model, recipe, wanted, self._where if wanted[1] else None)
        return False

    def _stop_measuring(self) -> None:
        """What is being measured is of no use any more."""
        self._runs += 1  # so that the task's end is not taken for the person's cancel
        self._session.tasks.cancel(MEASURE)
        self._set_measuring(False)

    def _set_measuring(self, on: bool) -> None:
        if on != self.measuring:
            self.measuring = on
            self._session.measuringChanged.emit()

    def _asks(self, model: Model, recipe: Recipe) -> tuple[Any, ...]:
        """What has to be measured, as a key: nothing without data."""
        from core.methods.base import Stage
        from core.preparing import needs, works_from_samples

        path = self._session.data.read_as
        if path is None or not works_from_samples(model, recipe):
            return ()
        by_layer = ((layer.name, tuple(needs(recipe.steps_for(layer.name), stage) for stage in Stage))
                    for layer in model.layers)
        # Where channels are cut, other inputs reach the layers behind: what was measured before is of no use.
        return path, structure(model, recipe), tuple(entry for entry in by_layer if any(entry[1]))

    def _measure(self, model: Model, recipe: Recipe, wanted: Any) -> None:
        from core.jobs import MeasureSpec, measure_for_steps

        self._runs += 1
        folder = self._folder / str(self._runs)
        folder.mkdir(parents=True, exist_ok=True)
        run = self._runs

        def done(_words: str) -> None:
            self._set_measuring(False)
            self._where = folder
            self._prepare(model, recipe, wanted, folder)

        def failed(error: FeatherweightError) -> None:
            self._session.failed.emit(error)
            cancelled()

        def cancelled() -> None:
            """Go on without: the steps that need samples say so, until the plan or the data changes."""
            if run == self._runs and self._session.model is model:
                self._given_up = True
                self._set_measuring(False)
                self._prepare(model, recipe, wanted, None)

        spec = MeasureSpec(str(model.path), recipe.dump(), str(self._session.data_path), str(folder),
                           options=self._session.data_options)
        self._session.tasks.process(MEASURE, measure_for_steps, spec, title="Running samples for the steps that need "
                                    "them", done=done, failed=failed, cancelled=cancelled)
        self._set_measuring(True)

    def _prepare(self, model: Model, recipe: Recipe, wanted: Any, folder: Path | None) -> None:
        def take(found: Prepared | None, base_bytes: int | None) -> None:
            self.current, self.base_bytes = found, base_bytes
            self._structure, self._needs = wanted
            known = found is not None and folder is not None
            self._measured = (wanted[1][0], dict(wanted[1][2])) if known else (None, {})

        def progress(progress: Progress) -> None:
            """The shown layer need not wait for the file's size."""
            if self._session.model is model and progress.part is not None:
                take(progress.part, None)
                self._session.preparedChanged.emit()

        def done(found: tuple[Prepared | None, int]) -> None:
            if self._session.model is not model:
                return
            take(*found)
            self._ready()

        def failed(error: FeatherweightError) -> None:
            self._session.failed.emit(error)
            self._given_up = True
            take(None, self.base_bytes)
            self._ready()

        plain = not wanted[0] and not wanted[1]
        self._session.tasks.thread(PREPARE, _prepared, model, None if plain else recipe, folder,
                                   progress=progress, done=done, failed=failed)


def structure(model: Model | None, recipe: Recipe | None) -> tuple[Any, ...]:
    """The graph and channel steps of a recipe, as a key; () when there are none."""
    if model is None or recipe is None:
        return ()
    from core.rewriting.rewrite import channel_step

    cuts = ((layer.name, channel_step(recipe.steps_for(layer.name))) for layer in model.layers)
    found = tuple((name, step) for name, step in cuts if step is not None)
    return (recipe.graph, found) if recipe.graph or found else ()


def _prepared(
    model: Model, recipe: Recipe | None, folder: Path | None, reporter: Reporter
) -> tuple[Prepared | None, int]:
    from core.exporting.sizes import SizeModel
    from core.preparing import Prepared, prepare

    if recipe is None:
        return None, SizeModel(model).base
    found = prepare(model, recipe, None, reporter) if folder is None else Prepared.load(model, recipe, folder, reporter)
    reporter.check()
    reporter.tell(found)
    return found, SizeModel(found.rewriting.model).base
