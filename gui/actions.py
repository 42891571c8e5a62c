"""Every action of the window in one place: text, shortcut, what it does and when it can be done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar

from gui.places import short_path
from gui.runs import COMPRESS, EXPORT
from gui.sensitivity.state import MEASURE as SENSITIVITY
from gui.session import Session
from gui.theme import Mode, theme

if TYPE_CHECKING:
    from gui.main_window import MainWindow

_Keys = QKeySequence.StandardKey | str | None
_DOTS = "\N{HORIZONTAL ELLIPSIS}"

_SHORT = {f"&Open model{_DOTS}": f"Open{_DOTS}", f"Load &data{_DOTS}": f"Data{_DOTS}"}
"""Texts for the top bar's buttons where the menu says more."""

_NO_MODEL = "Open a model first"
_SENSITIVITY = "Measure what each layer alone costs at each setting"
_PLAN = "Find the best plan for a size, a speed or a quality"
_METHODS = "Try every family of methods on this model and compare them"
_TRAIN = "Train the compressed model on samples, so that it wins accuracy back"
_MERGE = "Make one model of several: an ensemble, the mean of their weights, or one student of all"
_TRANSFER = "Take this model to new data: another head, less of the body, trained and compressed"
_CROSSVAL = "Train the plan on several splits of the data and see how far its figures spread"
_REPORT = "Save what was done and measured as one HTML file"


class Actions(QObject):
    """The window's actions; menus and buttons show them, `update` enables them."""

    def __init__(self, window: MainWindow, session: Session) -> None:
        super().__init__(window)
        self._window, self._session = window, session
        key = QKeySequence.StandardKey
        self.open = self._make(f"&Open model{_DOTS}", key.Open, window.choose_model, "Open an ONNX or PyTorch model")
        self.sample = self._make("Open the &sample", None, window.open_sample, "Open the built-in sample with its data")
        self.data = self._make(f"Load &data{_DOTS}", "Ctrl+D", window.choose_data, "Load samples to measure with")
        self.data_folder = self._make(f"Load a &folder of images{_DOTS}", None, window.choose_image_folder)
        self.open_recipe = self._make(f"Open re&cipe{_DOTS}", "Ctrl+Shift+O", window.choose_recipe)
        self.save_recipe = self._make("Save &recipe", key.Save, window.save_recipe)
        self.save_recipe_as = self._make(f"Save recipe &as{_DOTS}", key.SaveAs, window.save_recipe_as)
        self.export = self._make(f"&Export{_DOTS}", "Ctrl+E", window.choose_export, "Save the compressed model")
        self.close_model = self._make("&Close model", key.Close, window.close_model)
        self.quit = self._make("&Quit", key.Quit, window.close)
        self.undo = session.undo_stack.createUndoAction(self, "&Undo")
        self.redo = session.undo_stack.createRedoAction(self, "&Redo")
        for action, keys, short in ((self.undo, key.Undo, "Undo"), (self.redo, key.Redo, "Redo")):
            action.setShortcuts(keys)
            action.setIconText(short)  # on the button; the menu says what is undone
        self.select_all = self._make("Select &all layers", "Ctrl+Shift+A", window.select_all)
        self.find = self._make("&Filter layers", key.Find, window.focus_filter)
        self.copy_steps = self._make("&Copy steps", "Ctrl+Shift+C", window.copy_steps,
                                     "Remember the steps of the first selected layer")
        self.paste_steps = self._make("&Paste steps", "Ctrl+Shift+V", window.paste_steps,
                                      "Give the selected layers the steps that were copied")
        self.reset_steps = self._make("&Remove all steps", None, window.reset_steps,
                                      "Leave the selected layers as they are")
        self.compress = self._make("&Compress", "Ctrl+Return", window.compress, "Compress by the plan and measure it")
        self.sensitivity = self._make("Measure &sensitivity", "Ctrl+M", window.measure_sensitivity, _SENSITIVITY)
        self.plan = self._make(f"&Plan to budget{_DOTS}", "Ctrl+B", window.plan_to_budget, _PLAN)
        self.compare_methods = self._make("Compare &methods", None, window.compare_methods, _METHODS)
        self.train = self._make(f"&Fine-tune{_DOTS}", "Ctrl+T", window.fine_tune, _TRAIN)
        self.merge = self._make(f"Mer&ge models{_DOTS}", None, window.merge_models, _MERGE)
        self.transfer = self._make(f"&Transfer{_DOTS}", None, window.transfer, _TRANSFER)
        self.crossval = self._make(f"Cross-&validate{_DOTS}", None, window.cross_validate, _CROSSVAL)
        self.report = self._make(f"Save a &report{_DOTS}", "Ctrl+R", window.choose_report, _REPORT)
        self.cancel = self._make("Ca&ncel", "Ctrl+.", session.cancel, "Stop what runs; nothing is lost")
        self.about = self._make("&About Featherweight", None, window.show_about)
        for signal in (session.stateChanged, session.modelChanged, session.selectionChanged, session.dataChanged,
                       session.recipeChanged, session.resultChanged, session.tasks.changed):
            signal.connect(self.update)
        self.update()

    def _make(self, text: str, keys: _Keys, run: Callable[[], object], hint: str = "") -> QAction:
        action = QAction(text, self)
        if isinstance(keys, QKeySequence.StandardKey):
            action.setShortcuts(keys)
        elif keys is not None:
            action.setShortcut(QKeySequence(keys))
        action.setIconText(_SHORT.get(text, text.replace("&", "")))
        if hint:
            _set_hint(action, hint)
        action.triggered.connect(lambda _checked=False: run())
        return action

    def update(self, *_ignored: object) -> None:
        """Enable what can be done now; a disabled Compress or Export says in its tool tip why."""
        session = self._session
        model = session.model is not None
        chosen = bool(session.selection)
        working = session.running(COMPRESS) or session.running(EXPORT)
        for action in (self.data, self.data_folder, self.open_recipe, self.save_recipe, self.save_recipe_as,
                       self.close_model, self.select_all, self.find):
            action.setEnabled(model)
        self.copy_steps.setEnabled(chosen)
        self.reset_steps.setEnabled(chosen)
        self.paste_steps.setEnabled(chosen and self._window.copied_steps is not None)
        self.compress.setEnabled(model and session.has_steps and not working)
        to_export = session.has_steps or session.result_current  # a model can be trained without any steps
        self.export.setEnabled(model and to_export and not working)
        _set_hint(self.compress, _why_not(model, session.has_steps, working) or "Compress by the plan and measure it")
        _set_hint(self.export, _why_not(model, to_export, working) or "Save the compressed model")
        for action, hint in ((self.sensitivity, _SENSITIVITY), (self.plan, _PLAN), (self.compare_methods, _METHODS),
                             (self.train, _TRAIN), (self.transfer, _TRANSFER), (self.crossval, _CROSSVAL)):
            action.setEnabled(model)
            _set_hint(action, hint if model else _NO_MODEL)
        if session.running(SENSITIVITY):
            self.sensitivity.setEnabled(False)
            _set_hint(self.sensitivity, "Sensitivity is being measured; Cancel stops it")
        self.report.setEnabled(session.result is not None)
        _set_hint(self.report, _REPORT if session.result is not None else "Compress first: the report is of a result")
        self.cancel.setEnabled(bool(session.tasks.states))

    def fill(self, bar: QMenuBar) -> None:
        """Build the menus."""
        file = bar.addMenu("&File")
        file.addActions([self.open, self.sample])
        self.recent_menu = file.addMenu("Open &recent")
        self.recent_menu.setToolTipsVisible(True)
        self.recent_menu.aboutToShow.connect(self._fill_recent)
        file.addActions([self.data, self.data_folder])
        file.addSeparator()
        file.addActions([self.open_recipe, self.save_recipe, self.save_recipe_as])
        file.addSeparator()
        file.addActions([self.export, self.report, self.close_model])
        file.addSeparator()
        file.addAction(self.quit)
        edit = bar.addMenu("&Edit")
        edit.addActions([self.undo, self.redo])
        edit.addSeparator()
        edit.addActions([self.select_all, self.find])
        edit.addSeparator()
        edit.addActions([self.copy_steps, self.paste_steps, self.reset_steps])
        run = bar.addMenu("&Run")
        run.addActions([self.sensitivity, self.plan, self.compare_methods])
        run.addSeparator()
        run.addActions([self.compress, self.train])
        run.addSeparator()
        run.addActions([self.merge, self.transfer, self.crossval])
        run.addSeparator()
        run.addAction(self.cancel)
        self._view = bar.addMenu("&View")
        self._fill_themes(self._view)
        bar.addMenu("&Help").addAction(self.about)

    def _fill_recent(self) -> None:
        self.recent_menu.clear()
        paths = self._window.settings.recent
        for path in paths:
            action = self.recent_menu.addAction(short_path(path).replace("&", "&&"))
            action.setToolTip(str(path))
            action.triggered.connect(partial(self._open_recent, path))
        if paths:
            self.recent_menu.addSeparator()
            self.recent_menu.addAction("Forget these", self._window.settings.forget_recent)
        else:
            self.recent_menu.addAction("Nothing yet").setEnabled(False)

    def _open_recent(self, path: Path, _checked: bool = False) -> None:
        self._window.open_path(path)

    def _fill_themes(self, menu: QMenu) -> None:
        group = QActionGroup(self)
        modes: tuple[tuple[Mode, str], ...] = (("light", "&Light"), ("dark", "&Dark"), ("system", "As the &system"))
        for mode, text in modes:
            action = menu.addAction(text)
            action.setCheckable(True)
            action.setChecked(theme().wanted == mode)
            action.triggered.connect(lambda _checked=False, mode=mode: self._window.set_mode(mode))
            group.addAction(action)
        menu.addSeparator()

    def add_lens(self, number: int, title: str, show: Callable[[], None]) -> None:
        """Add a lens to the View menu, as Ctrl+number."""
        action = self._view.addAction(title, show)
        action.setShortcut(QKeySequence(f"Ctrl+{number}"))


def _set_hint(action: QAction, hint: str) -> None:
    """A tool tip that names the shortcut."""
    keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
    action.setToolTip(f"{hint} ({keys})" if keys else hint)


def _why_not(model: bool, steps: bool, working: bool) -> str:
    if not model:
        return _NO_MODEL
    if not steps:
        return "Choose layers and give them steps first"
    return "Something is being compressed or exported" if working else ""
