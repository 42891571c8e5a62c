"""The window: puts the parts together, asks for files, and remembers its layout. All state is the session's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDragLeaveEvent, QDropEvent, QPaintEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from core import __version__
from core.errors import FeatherweightError
from gui.actions import Actions
from gui.autosave import Autosave
from gui.charts.card import with_role
from gui.collector import Collector
from gui.loading import RECIPE_SUFFIXES, kind_of
from gui.message_bar import MessageBar
from gui.places import short_path
from gui.returning import Returning
from gui.session import Session
from gui.settings import Settings, user_folder
from gui.theme import Mode, theme
from gui.top_bar import TopBar
from gui.totals.bar import TotalsBar
from gui.welcome import Welcome
from gui.workspace import Workspace

if TYPE_CHECKING:
    from core.recipe import Step

_MINIMUM = (1060, 640)
_FIRST_SIZE = (1440, 900)


class MainWindow(QMainWindow):
    """Featherweight's window.

    firstPaint   emitted once, after the window was painted for the first time
    """

    firstPaint = Signal()

    def __init__(self, settings: Settings | None = None) -> None:
        """settings: a person's own by default; the demo and the tests give others."""
        super().__init__()
        self.settings = settings if settings is not None else Settings(user_folder(), self)
        self.session = Session(self.settings.folder / "work", self)
        self.autosave = Autosave(self.session, self.settings.folder / "sessions", self)
        self.collector = Collector(self.session)
        self.copied_steps: tuple[Step, ...] | None = None
        self._painted = False
        self.actions_ = Actions(self, self.session)
        self.top_bar = TopBar(self.session, self.actions_, self)
        self.messages = MessageBar(self)
        self._returning = Returning(self.session, self.autosave, self.messages, self)
        self.welcome = Welcome(self)
        self.workspace = Workspace(self.session, self.settings, self.actions_, self)
        self.totals = TotalsBar(self.session, self)
        self._stack = QStackedWidget(self)
        self._lay_out()
        self._connect()
        self._restore_layout()

    def _lay_out(self) -> None:
        theme().dress(self)
        self.setWindowTitle("Featherweight")
        self.setMinimumSize(*_MINIMUM)
        self.setAcceptDrops(True)
        self.actions_.fill(self.menuBar())
        self._stack.addWidget(self.welcome)
        self._stack.addWidget(self.workspace)
        self._rules = [with_role(QFrame(self), "rule") for _ in range(2)]
        for rule in self._rules:
            rule.setFixedHeight(1)
        centre = QWidget(self)
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for widget in (self.top_bar, self._rules[0]):
            column.addWidget(widget)
        column.addWidget(self._stack, 1)
        for widget in (self._rules[1], self.totals):
            column.addWidget(widget)
        self.setCentralWidget(centre)
        self.messages.setParent(centre)
        self.messages.float_over(self.welcome)
        self._stack.setFocus()  # no button looks chosen before Tab is pressed

    def _connect(self) -> None:
        session = self.session
        session.failed.connect(self.messages.show_error)
        session.said.connect(self.messages.say)
        session.plans.advised.connect(lambda text, acts: self.messages.say(text, tone="warn", actions=acts))
        session.warned.connect(lambda text, more: self.messages.say(text, tone="warn", details=more))
        session.sensitivity.dataMissing.connect(self._offer_data)
        session.sensitivity.dataWanted.connect(self.choose_data)
        session.training.advised.connect(lambda text, acts: self.messages.say(text, actions=acts))
        session.training.settingsWanted.connect(self.fine_tune)
        session.training.exportWanted.connect(self.choose_export)
        session.modelChanged.connect(self._show_model)
        session.tasks.changed.connect(self._show_parts)
        self.welcome.open_asked.connect(self.choose_model)
        self.welcome.sample_asked.connect(self.open_sample)
        self.welcome.recent_chosen.connect(self.open_path)
        self.settings.recentChanged.connect(self._show_recent)
        self._show_recent()
        self._show_parts()

    # -- what is shown ----------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._painted:
            self._painted = True
            QTimer.singleShot(0, self.firstPaint.emit)  # children are painted before the next turn of the loop

    def _show_model(self) -> None:
        model = self.session.model
        self.messages.dismiss()
        self._stack.setCurrentWidget(self.workspace if model is not None else self.welcome)
        self.messages.float_over(self.workspace.lenses if model is not None else self.welcome)
        self.setWindowTitle(f"{short_path(model.shown_path)} \N{EM DASH} Featherweight" if model is not None
                            else "Featherweight")
        if model is not None:
            self.settings.remember_model(model.shown_path)
            for note in model.notes[:1]:
                self.messages.say(note, tone="warn", details="\n".join(model.notes[1:]))
            if model.origin is not None and not model.notes:
                from core.torch_files.origin import words_of

                self.messages.say(words_of(model.origin))
            self.workspace.layers.table.setFocus()
        self._show_parts()

    def _show_parts(self) -> None:
        """The totals are of no use on the welcome page, but for the progress of opening."""
        shown = self.session.model is not None or bool(self.session.tasks.states)
        for widget in (self.totals, self._rules[1]):
            widget.setVisible(shown)

    def _show_recent(self) -> None:
        self.welcome.set_recent(self.settings.recent)

    def show_lens(self, key: str) -> bool:
        """Show a lens by its key; False when there is none (lenses come a moment after the first paint)."""
        return self.workspace.lenses.show_lens(key)

    def set_mode(self, mode: Mode) -> None:
        """Light, dark or as the system, now and from now on."""
        self.settings.mode = mode
        theme().set_mode(mode)

    # -- opening ----------------------------------------------------------------------------------------------------

    def open_path(self, path: Path | str) -> None:
        """Open whatever it is: a model, data for the open model, or a recipe."""
        path = Path(path)
        kind = kind_of(path)
        if kind == "data":
            self.session.load_data(path)
        elif kind == "recipe":
            self.session.open_recipe(path)
        else:
            self._returning.open_model(path)

    def open_sample(self) -> None:
        from core.sample import sample_paths

        try:
            sample = sample_paths()
        except FeatherweightError as error:
            self.messages.show_error(error)
            return
        self._returning.open_model(sample.model, data=sample.data)

    def close_model(self) -> None:
        """Nothing is asked: unsaved edits are kept on disk, and come back when the model is opened again."""
        self.autosave.leave()
        self.session.close_model()

    def choose_model(self) -> None:
        from core.model.readers import suffixes

        self._choose("model", "Open a model", "Models", suffixes(), self.open_path)

    def choose_data(self) -> None:
        from gui.data.form import choose_data

        choose_data(self)

    def choose_image_folder(self) -> None:
        from gui.data.form import choose_data

        choose_data(self).choose_folder()

    def choose_recipe(self) -> None:
        self._choose("recipe", "Open a recipe", "Recipes", RECIPE_SUFFIXES, self.session.open_recipe)

    def _choose(self, kind: str, title: str, what: str, suffixes: Sequence[str], use: Callable[[str], None]) -> None:
        filters = f"{what} ({' '.join(f'*{suffix}' for suffix in suffixes)});;All files (*)"
        path, _filter = QFileDialog.getOpenFileName(self, title, self.settings.last_folder(kind), filters)
        if path:
            self.settings.set_last_folder(kind, Path(path).parent)
            use(path)

    # -- saving -----------------------------------------------------------------------------------------------------

    def save_recipe(self) -> None:
        if self.session.recipe_path is not None:
            self.session.save_recipe(self.session.recipe_path)
        else:
            self.save_recipe_as()

    def save_recipe_as(self) -> None:
        path = self._ask_target("recipe", "Save the recipe", ".yaml", "Recipes (*.yaml)")
        if path is not None:
            self.session.save_recipe(path)

    def choose_export(self) -> None:
        filters = "ONNX models (*.onnx)"
        if self.session.model is not None and self.session.model.origin is not None:
            filters += ";;PyTorch weights (*.safetensors *.pt)"
        path = self._ask_target("export", "Export the compressed model", "-compressed.onnx", filters)
        if path is not None:
            self._leave_button()
            self.session.export(path)

    def compress(self) -> None:
        self._leave_button()
        self.session.compress()

    # -- studies ----------------------------------------------------------------------------------------------------

    def measure_sensitivity(self) -> None:
        self.show_lens("sensitivity")
        self.session.sensitivity.measure()

    def _offer_data(self) -> None:
        self.messages.say("Sensitivity is measured on samples, and none are loaded: what is shown is of the weights "
                          "alone.", actions=(("Load data\N{HORIZONTAL ELLIPSIS}", self.choose_data),))

    def plan_to_budget(self) -> None:
        from gui.planning.dialog import ask_budget

        ask_budget(self)

    def compare_methods(self) -> None:
        self.show_lens("methods")
        self.session.methods.measure()

    # -- training ---------------------------------------------------------------------------------------------------

    def fine_tune(self) -> None:
        from gui.training.dialog import ask_training

        if self.session.model is not None:
            ask_training(self)

    def merge_models(self) -> None:
        from gui.ensembles.dialog import ask_merge

        ask_merge(self)

    def transfer(self) -> None:
        from gui.transfer.dialog import ask_transfer

        ask_transfer(self)

    def cross_validate(self) -> None:
        from gui.run_tree.crossval_dialog import ask_crossval

        ask_crossval(self)

    def choose_report(self) -> None:
        path = self._ask_target("report", "Save a report", "-report.html", "Web pages (*.html)")
        if path is not None:
            self.session.save_report(path)

    def _leave_button(self) -> None:
        """A button that gets disabled hands the keyboard to the next widget, the filter; the table is of more use."""
        if self.focusWidget() in self.top_bar.run_buttons:
            self.workspace.layers.table.setFocus()

    def _ask_target(self, kind: str, title: str, ending: str, filters: str) -> Path | None:
        model = self.session.model
        if model is None:
            return None
        folder = self.settings.last_folder(kind) or str(model.shown_path.parent)
        proposal = Path(folder) / f"{model.shown_path.stem}{ending}"
        path, _filter = QFileDialog.getSaveFileName(self, title, str(proposal), filters)
        if not path:
            return None
        self.settings.set_last_folder(kind, Path(path).parent)
        if kind == "export":  # remembered before writing: a killed export is cleaned up at the next start
            self.settings.remember_export(Path(path).parent)
        return Path(path)

    # -- editing ----------------------------------------------------------------------------------------------------

    def select_all(self) -> None:
        """Select all layers that the filter shows."""
        self.workspace.layers.table.selectAll()

    def focus_filter(self) -> None:
        self.workspace.layers.filter.setFocus()
        self.workspace.layers.filter.selectAll()

    def copy_steps(self) -> None:
        if self.session.selection:
            self.copied_steps = self.session.steps(self.session.selection[0])
            self.actions_.update()

    def paste_steps(self) -> None:
        if self.copied_steps is not None:
            self.session.set_steps(self.session.selection, self.copied_steps, text="paste steps")

    def reset_steps(self) -> None:
        self.session.set_steps(self.session.selection, None, text="remove all steps")

    def show_about(self) -> None:
        self.messages.say(f"Featherweight {__version__} makes neural networks smaller and shows what it costs. "
                          "Apache License 2.0; the typeface is Inter, under the SIL Open Font License.")

    # -- what was there before --------------------------------------------------------------------------------------

    def offer_saved(self) -> None:
        """Ask, in the message bar, whether to go on with a session that was cut off or closed with unsaved edits."""
        self._returning.offer()

    # -- drag and drop ----------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()
            self.welcome.drop_area.set_hot(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self.welcome.drop_area.set_hot(False)

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped, the model first: its data and recipe need it."""
        self.welcome.drop_area.set_hot(False)
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        event.acceptProposedAction()
        self.open_paths(paths)

    def open_paths(self, paths: Sequence[Path]) -> None:
        """Open several things at once: at most one model, then its data and recipe."""
        models = [path for path in paths if kind_of(path) == "model"]
        others = [path for path in paths if kind_of(path) != "model"]
        if not models:
            for path in others:
                self.open_path(path)
            return
        data = next((path for path in others if kind_of(path) == "data"), None)
        recipe = next((path for path in others if kind_of(path) == "recipe"), None)
        self._returning.open_model(models[0], recipe_path=recipe, data=data)

    # -- layout and end ---------------------------------------------------------------------------------------------

    def _restore_layout(self) -> None:
        geometry = self.settings.layout("geometry")
        if geometry is None or not self.restoreGeometry(geometry):
            self.resize(*_FIRST_SIZE)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Nothing is asked: unsaved edits are kept and offered at the next start."""
        self.settings.set_layout("geometry", self.saveGeometry())
        self.workspace.save_layout()
        self.settings.save()
        self.autosave.end()
        self.session.close()
        self.collector.end()
        super().closeEvent(event)
