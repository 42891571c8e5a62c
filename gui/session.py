"""The only mutable object of the window: holds frozen values and says what changed.

Views read it and call its verbs; they never write its state. Every edit of the recipe is a command on `undo_stack`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoStack

from core.errors import FeatherweightError
from gui.commands import SetRecipe
from gui.data.state import DATA, DataState
from gui.derived import PREVIEWS, STATISTICS, Derived
from gui.layers.shown import ShownLayers
from gui.loading import read_model
from gui.methods_study.state import MethodsState
from gui.planning.state import PlanState
from gui.preparation import MEASURE, PREPARE
from gui.recipe_file import RecipeFile
from gui.reporting import save_report
from gui.result import Result
from gui.runs import COMPRESS, EXPORT, Runs
from gui.sensitivity.state import SensitivityState
from gui.tasks import Tasks
from gui.training.state import TrainingState

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.analysis.preview import LayerPreview
    from core.analysis.statistics import Statistics
    from core.data.options import DataOptions
    from core.data.samples import Samples
    from core.jobs import CompressOutcome
    from core.model.model import Model
    from core.preparing import Prepared
    from core.recipe import Recipe, Step
    from core.torch_files.source import TorchSource

OPEN = "open"
"""Key of the task that opens a model."""


class Session(QObject):
    """What is open and what is known of it.

    modelChanged        another model, or none; everything else was reset before
    statisticsChanged   (names) statistics of these layers arrived
    recipeChanged       (names) the steps of these layers changed
    previewsChanged     (names) what the plan does to these layers arrived, or is gone
    measuringChanged    samples begin or cease to be run for steps that need them (see `measuring`)
    preparedChanged     graph and channel steps were carried out, or what steps need was measured (see `prepared`)
    selectionChanged    other layers are selected
    dataChanged         samples were loaded or dropped
    resultChanged       a compression finished, was dropped, or no longer fits what is set (see `result_current`)
    runStarted          compressing begins: what was shown live before is over
    layerFinished       (LayerResult) while compressing
    liveError           (name, dB) error of a layer's output, measured while compressing
    stateChanged        anything that names and buttons show: edited, busy, saved
    failed              (FeatherweightError) for the message bar
    said                (text) something finished that is worth a sentence
    warned              (text, details) something was done, but not all that was asked for
    restored            the recipe that was given to `open_model` as text is in force
    """

    modelChanged = Signal()
    statisticsChanged = Signal(tuple)
    recipeChanged = Signal(tuple)
    previewsChanged = Signal(tuple)
    measuringChanged = Signal()
    preparedChanged = Signal()
    selectionChanged = Signal()
    dataChanged = Signal()
    resultChanged = Signal()
    runStarted = Signal()
    layerFinished = Signal(object)
    liveError = Signal(str, float)
    stateChanged = Signal()
    failed = Signal(object)
    said = Signal(str)
    warned = Signal(str, str)
    restored = Signal()

    def __init__(self, work_folder: Path, parent: QObject | None = None) -> None:
        """work_folder: where the compressed file is kept until it is exported; made when needed."""
        super().__init__(parent)
        self.tasks = Tasks(self)
        self.undo_stack = QUndoStack(self)
        self.runs = Runs(self, work_folder)
        self._edits = itertools.count()
        self._edit = next(self._edits)
        self._model: Model | None = None
        self._recipe: Recipe | None = None
        self._recipe_file = RecipeFile(self)
        self._selection: tuple[str, ...] = ()
        self._derived = Derived(self, work_folder)
        self.data = DataState(self)
        self.plans = PlanState(self, self._derived)
        self._result: Result | None = None
        self.shown = ShownLayers(self)
        self.sensitivity = SensitivityState(self)
        self.methods = MethodsState(self)
        self.training = TrainingState(self)
        self.undo_stack.cleanChanged.connect(self.stateChanged)
        self.tasks.failed.connect(lambda _key, error: self.failed.emit(error))

    # -- what there is ----------------------------------------------------------------------------------------------

    @property
    def model(self) -> Model | None:
        return self._model

    @property
    def recipe(self) -> Recipe | None:
        """The plan; None without a model."""
        return self._recipe

    @property
    def recipe_path(self) -> Path | None:
        """Where the recipe was opened from or saved to last."""
        return self._recipe_file.path

    @property
    def selection(self) -> tuple[str, ...]:
        """Names of the selected layers, in the table's order; the first is the one that lenses show."""
        return self._selection

    @property
    def statistics(self) -> Mapping[str, Statistics]:
        """Statistics by layer name, as far as they have arrived."""
        return self._derived.statistics

    @property
    def previews(self) -> Mapping[str, LayerPreview]:
        """What the recipe does to each layer that has steps: bytes, weight error, or why it is skipped."""
        return self._derived.previews

    @property
    def predicted_bytes(self) -> int | None:
        """Size of the file that the recipe would give; None while it is not known."""
        return self._derived.predicted_bytes

    @property
    def prepared(self) -> Prepared | None:
        """What the plan's graph and channel steps and the samples make of the model; None without such steps."""
        return self._derived.preparation.current

    @property
    def prepared_fits(self) -> bool:
        """Whether `prepared` is of the graph and channel steps in force; else it follows in a moment."""
        return self._recipe is not None and self._derived.preparation.fits(self._recipe)

    @property
    def measuring(self) -> bool:
        """Whether samples are being run for steps that need them."""
        return self._derived.preparation.measuring

    def waits_for_samples(self, name: str) -> bool:
        """Whether samples are being run for a layer's steps, or are about to be: what is known of it is out of date."""
        return self._derived.waits_for_samples(name)

    @property
    def samples(self) -> Samples | None:
        return self.data.samples

    @property
    def data_path(self) -> Path | None:
        return self.data.path

    @property
    def runs_folder(self) -> Path:
        """Where the person's runs are kept."""
        from core.runs.store import default_folder

        return default_folder()

    @property
    def data_options(self) -> DataOptions:
        return self.data.options

    @property
    def result(self) -> Result | None:
        """The last compression; check `result_current` before showing it as the plan's."""
        return self._result

    @property
    def result_current(self) -> bool:
        """Whether the result was made from the recipe and the data that are set now."""
        return (self._result is not None and self._result.recipe == self._recipe
                and self._result.made_with(self.data))

    @property
    def compression(self) -> CompressOutcome | None:
        """The outcome of the last compression, stale or not."""
        return self._result.outcome if self._result is not None else None

    @property
    def comparison(self) -> Comparison | None:
        """Original against compressed on the data, of the last compression; None without data."""
        return self._result.outcome.comparison if self._result is not None else None

    @property
    def has_steps(self) -> bool:
        """Whether the recipe does anything at all."""
        return self._recipe is not None and not self._recipe.does_nothing

    @property
    def edited(self) -> bool:
        """Whether the recipe differs from the one opened or saved last."""
        return not self.undo_stack.isClean()

    def running(self, key: str) -> bool:
        return self.tasks.running(key)

    def steps(self, name: str) -> tuple[Step, ...]:
        """The recipe's steps for a layer."""
        return self._recipe.steps_for(name) if self._recipe is not None else ()

    # -- model ------------------------------------------------------------------------------------------------------

    def open_model(self, path: str | Path, *, recipe: str | None = None, recipe_path: Path | None = None,
                   data: Path | None = None, data_options: DataOptions | None = None,
                   selection: tuple[str, ...] = (), torch_source: TorchSource | None = None) -> None:
        """Open a model in the background. The one that is open stays until the new one is there.

        recipe, recipe_path, data, data_options, selection   what to take right after it (an autosaved session, files
        dropped along); without `data`, what is loaded now is loaded again if the new model has the same inputs
        torch_source   what a PyTorch file does not say itself
        """

        def opened(found: tuple[Model, Recipe]) -> None:
            model, empty = found
            before = self._model.inputs if self._model is not None else None
            fitting = self.data.path if before == model.inputs else None
            options = data_options or (self.data.options if fitting and data is None else None)
            self._put_model(model, empty)
            names = [layer.name for layer in model.layers]
            self.select([name for name in selection if name in names] or names[:1])
            if recipe is not None:
                self._recipe_file.restore(recipe)
            if recipe_path is not None:
                self.open_recipe(recipe_path)
            samples = data or fitting
            if samples is not None:
                self.load_data(samples, options)

        self.tasks.thread(OPEN, read_model, Path(path), torch_source, title=f"Opening {Path(path).name}", done=opened,
                          failed=self._open_failed)
        self.stateChanged.emit()

    def _open_failed(self, error: FeatherweightError) -> None:
        self.stateChanged.emit()
        self.failed.emit(error)

    def close_model(self) -> None:
        """Forget the model and everything about it; running tasks are cancelled, but for trainings: they are runs."""
        self.tasks.cancel_all(trainings=False)
        self._reset(None, None)

    def _put_model(self, model: Model, recipe: Recipe) -> None:
        for key in (STATISTICS, MEASURE, PREPARE, DATA, PREVIEWS, COMPRESS, EXPORT):
            self.tasks.cancel(key)
        self._reset(model, recipe)
        self._derived.start_statistics(model)

    def _reset(self, model: Model | None, recipe: Recipe | None) -> None:
        self._model, self._recipe, self._recipe_file.path = model, recipe, None
        self._selection, self._result = (), None
        self.data.clear()
        self._derived.clear()
        self.undo_stack.clear()
        self.modelChanged.emit()
        self.selectionChanged.emit()
        self.dataChanged.emit()
        self.resultChanged.emit()
        self.stateChanged.emit()

    def select(self, names: Iterable[str]) -> None:
        """Select layers. Names that the model lacks are an error of the caller."""
        names = tuple(names)
        if names != self._selection:
            self._selection = names
            self.selectionChanged.emit()

    # -- recipe -----------------------------------------------------------------------------------------------------

    def set_steps(self, names: Iterable[str], steps: Iterable[Step] | None, *, text: str = "change steps",
                  merge_key: str = "") -> None:
        """Give these layers these steps (None: leave them alone), as one undoable edit.

        merge_key   edits in a row with the same key and the same layers become one, until `finish_edit`
        """
        if self._recipe is None:
            return
        names = tuple(names)
        new = None if steps is None else tuple(steps)
        after = self._recipe.with_steps(dict.fromkeys(names, new))
        key = f"{self._edit}:{merge_key}:{names}" if merge_key else ""
        self.set_recipe(after, names, text=text, merge_key=key)

    def finish_edit(self) -> None:
        """The person let go of a slider: the next edit is a new one even if it is of the same parameter."""
        self._edit = next(self._edits)

    def set_recipe(self, after: Recipe, names: tuple[str, ...], *, text: str, merge_key: str = "") -> None:
        """Replace the whole recipe, as one undoable edit; `names` are the layers whose steps differ."""
        if self._recipe is not None and after != self._recipe:
            self.undo_stack.push(SetRecipe(self, self._recipe, after, names, text, merge_key))

    def take_recipe(self, after: Recipe, *, text: str) -> None:
        """Replace the whole recipe by another one of the open model, as one undoable edit."""
        if self._model is not None and self._recipe is not None:
            before, names = self._recipe, (layer.name for layer in self._model.layers)
            differing = tuple(name for name in names if after.steps_for(name) != before.steps_for(name))
            self.set_recipe(after, differing, text=text)

    def put_recipe(self, recipe: Recipe, names: tuple[str, ...]) -> None:
        """Only for SetRecipe: hold another recipe and say so."""
        current = self.result_current
        self._recipe = recipe
        self.recipeChanged.emit(names)
        self._derived.start_previews(names)
        if current != self.result_current:
            self.resultChanged.emit()
        self.stateChanged.emit()

    def save_recipe(self, path: str | Path) -> None:
        """Write the recipe as YAML, in the background; it is the clean state from then on."""
        self._recipe_file.save(Path(path))

    def open_recipe(self, path: str | Path) -> None:
        """Replace the steps by those of a recipe file; undoable. A recipe that does not fit changes nothing."""
        self._recipe_file.open(Path(path))

    def start_afresh(self) -> None:
        """Back to how the model was opened, without any steps. Redo brings the plan back."""
        self.undo_stack.setIndex(0)

    # -- data -------------------------------------------------------------------------------------------------------

    def load_data(self, path: str | Path, options: DataOptions | None = None) -> None:
        """Load samples in the background; see `DataState.load`."""
        self.data.load(path, options)

    def data_taken(self, *, was_current: bool) -> None:
        """Only for DataState: other samples are loaded."""
        self._derived.follow_data()
        self.dataChanged.emit()
        if was_current:
            self.resultChanged.emit()
        self.stateChanged.emit()

    # -- compress and export ----------------------------------------------------------------------------------------

    def compress(self) -> None:
        """Compress by the recipe in the worker process; the outcome becomes `result`."""
        if self._model is not None and self._recipe is not None:
            self.runs.compress(self._model, self._recipe, self.data)

    def export(self, target: str | Path) -> None:
        """Save the compressed model as `target`: the compressed file as it is, or compress first when that is stale."""
        if self._model is not None and self._recipe is not None:
            self.runs.export(self._model, self._recipe, self.data, Path(target))

    def save_report(self, target: str | Path) -> None:
        """Write a page that shows what the last compression did and costs, in the background."""
        save_report(self, Path(target))

    def put_result(self, result: Result) -> None:
        """Only for Runs and TrainingState: a compression has finished, or what was trained stands for it."""
        self._result = result
        self.resultChanged.emit()
        self.stateChanged.emit()
        if result.trouble and result.exported is None:
            self.warned.emit(f"Compressed, but not all was done. {result.trouble_words}", "\n".join(result.trouble[1:]))

    def cancel(self) -> None:
        """Cancel what the status shows: opening, loading, compressing, exporting. Nothing that was there is lost.

        A training goes on while there is anything else to cancel: it may have taken hours.
        """
        states = [state for state in self.tasks.states if not state.training] or self.tasks.states
        for state in states:
            self.tasks.cancel(state.key)
        self.stateChanged.emit()
        if states:
            self.said.emit(f"Cancelled: {', '.join(state.title[:1].lower() + state.title[1:] for state in states)}.")

    def close(self) -> None:
        """End all threads and the worker process, and remove the work folder's file."""
        self.tasks.close()
        self.runs.remove_file()
