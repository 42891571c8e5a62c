"""Which figure tells how good the answers are: all metrics, what the chosen one measures, and why others do not fit.

A person's own function is among them; its code runs only when it was allowed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from core.data.options import AUTO
from core.errors import FeatherweightError
from gui.charts.card import Caption

if TYPE_CHECKING:
    from core.data.options import DataOptions
    from core.data_job import DataLook
    from core.own_code import OwnSource

OWN = "own"
_OWN_WORDS = "Your own Python function\N{HORIZONTAL ELLIPSIS}"
_OWN_WHAT = ("f(outputs, labels, inputs) gives one number over all samples; higher is better, unless the function has "
             "higher_is_better = False. Its code runs only after you have allowed it.")
_UNKNOWN = "Which metrics fit is seen when the data is loaded and the model has run on it."


class MetricBox(QWidget):
    """Edits the metric of `DataOptions`.

    changed   another metric
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look: DataLook | None = None
        self._confirmed = ""
        self.choice = QComboBox(self)
        self.choice.setAccessibleName("Metric")
        self.what, self.others = Caption(self), Caption(self)
        self.own = QWidget(self)
        self.callable_edit = QLineEdit(self.own)
        self.callable_edit.setPlaceholderText("file.py:function")
        self.callable_edit.setAccessibleName("File and name of your function")
        self.browse = QPushButton("Choose a file\N{HORIZONTAL ELLIPSIS}", self.own)
        self.browse.setAutoDefault(False)
        self.browse.clicked.connect(self._browse)
        line = QHBoxLayout(self.own)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.callable_edit, 1)
        line.addWidget(self.browse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        for widget in (self.choice, self.own, self.what, self.others):
            layout.addWidget(widget)
        self.show_look(None)
        self.choice.currentIndexChanged.connect(self._show)
        self.callable_edit.textChanged.connect(self.changed)

    def put(self, options: DataOptions) -> None:
        """Show what was chosen before."""
        self.callable_edit.setText(options.metric_callable)
        self._confirmed = options.confirmed
        self._select(OWN if options.metric_callable else options.metric)
        self._show()

    def show_look(self, look: DataLook | None) -> None:
        """Say which metrics fit; without a look only "auto" can be chosen."""
        self._look = look
        chosen = self.choice.currentData() or AUTO
        self.choice.blockSignals(True)
        self.choice.clear()
        words = {metric.name: metric.words for metric in look.metrics} if look is not None else {}
        fitting = words.get(look.fitting, "none fits") if look is not None else "what fits the model and the labels"
        self.choice.addItem(f"Automatic: {fitting}", AUTO)
        for metric in sorted(look.metrics, key=lambda m: bool(m.why_not)) if look is not None else ():
            self.choice.addItem(_capital(metric.words), metric.name)
            if metric.why_not:
                place = self.choice.count() - 1
                cast(QStandardItemModel, self.choice.model()).item(place).setEnabled(False)
                self.choice.setItemData(place, f"Not here: {metric.why_not}", 3)  # Qt.ItemDataRole.ToolTipRole
        self.choice.addItem(_OWN_WORDS, OWN)
        self._select(chosen)
        self.choice.blockSignals(False)
        self._show()

    def _select(self, name: str) -> None:
        place = self.choice.findData(name)
        if place < 0:  # known only when the model has run
            self.choice.addItem(name, name)
            place = self.choice.count() - 1
        self.choice.setCurrentIndex(place)

    def _show(self, *_ignored: object) -> None:
        chosen = self.choice.currentData()
        self.own.setVisible(chosen == OWN)
        self.what.set_template(self._what(chosen))
        self.others.set_template(self._why_not_others())
        self.others.setVisible(bool(self.others.plain_text))
        self.changed.emit()

    def _what(self, chosen: str) -> str:
        if chosen == OWN:
            return _OWN_WHAT
        if self._look is None:
            return _UNKNOWN
        name = self._look.fitting if chosen == AUTO else chosen
        metric = next((metric for metric in self._look.metrics if metric.name == name), None)
        if metric is None:
            return "None of the model's outputs holds floats, so nothing can be measured." if not name else ""
        if metric.why_not:
            return f"{_capital(metric.words)} cannot be measured here: {metric.why_not}."
        assumed = f" {self._look.assumed}" if name == self._look.fitting and self._look.assumed else ""
        return metric.what + assumed

    def _why_not_others(self) -> str:
        """Why metrics are not possible, each reason once."""
        reasons: dict[str, list[str]] = {}
        for metric in self._look.metrics if self._look is not None else ():
            if metric.why_not:
                reasons.setdefault(metric.why_not, []).append(metric.words)
        listed = "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
        return f"Not possible here: {listed}." if listed else ""

    def problem(self) -> str:
        """Why the choice cannot be used, a sentence; "" when it can. Reads a callable's file, runs nothing."""
        chosen = self.choice.currentData()
        if chosen == OWN:
            from core.own_code import find_source

            try:
                find_source(self.callable_edit.text())
            except FeatherweightError as error:
                return str(error)
            return ""
        if self._look is None:
            return ""
        metric = next((metric for metric in self._look.metrics if metric.name == chosen), None)
        return self._what(chosen) if metric is not None and metric.why_not else ""

    def values(self) -> tuple[str, str, str] | None:
        """Metric, callable and the hash that was allowed to run; None when the person did not allow it now."""
        chosen = self.choice.currentData()
        if chosen != OWN:
            return chosen, "", ""
        from core.own_code import find_source

        source = find_source(self.callable_edit.text())
        if source.sha256 != self._confirmed and not allowed(self, source):
            return None
        self._confirmed = source.sha256
        text = self.callable_edit.text().strip()
        whole = f"{source.file}:{source.callable}" if text.rpartition(":")[0].endswith(".py") else text
        return AUTO, whole, source.sha256

    def _browse(self) -> None:
        place = self.callable_edit.text().rpartition(":")[0]
        folder = str(Path(place).parent) if place else ""
        path, _filter = QFileDialog.getOpenFileName(self, "Choose a Python file", folder, "Python (*.py)")
        if path:
            name = self.callable_edit.text().rpartition(":")[2]
            self.callable_edit.setText(f"{path}:{name if name.isidentifier() else 'metric'}")


def allowed(parent: QWidget, source: OwnSource) -> bool:
    """Ask whether the code of a file may run; the answer holds for this content of the file only."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle("Run code")
    box.setText(f"Let the code of {source.file.name} run?")
    box.setInformativeText(
        f"The function {source.callable} in\n{source.file}\nwould run with your rights whenever a model is measured "
        "on this data. Allow it only if you know what the file does. You are asked again when the file changes."
    )
    allow = box.addButton("Allow this code", QMessageBox.ButtonRole.AcceptRole)
    cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(cancel)
    box.exec()
    return box.clickedButton() is allow


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
