"""The form for what a PyTorch file does not say itself: its definition, and what its model is fed with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from core.errors import FeatherweightError
from core.own_code import OwnSource, absolute_callable, find_source
from core.torch_files.recognise import Format
from core.torch_files.source import TorchSource
from gui.charts.card import label, rule, with_role
from gui.opening.inputs import InputRows

if TYPE_CHECKING:
    from core.torch_files.source import Example

_WIDTH = 560
_WHAT = {
    Format.SCRIPT: "A TorchScript file holds its model, but not what it is fed with.",
    Format.STATE: "A state_dict holds weights by name, but not how they are used.",
    Format.SAFETENSORS: "A safetensors file holds weights by name, but not how they are used.",
}
_DEFINITION = "A class or function that gives the torch.nn.Module. Its code runs only after you have allowed it."
_INPUTS = "The model is converted to ONNX with inputs of this form, and checked against PyTorch on them."


class TorchForm(QDialog):
    """Asks for definition and inputs.

    chosen   (TorchSource) the person wants to open the file so
    """

    chosen = Signal(object)

    def __init__(self, path: Path, kind: Format, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Open a PyTorch file")
        self.setMinimumWidth(_WIDTH)
        self._path, self._kind, self._data = path, kind, ""
        self.definition, self.arguments = QLineEdit(self), QLineEdit(self)
        self.inputs = InputRows(self)
        self.data_button = _button("Take them from samples\N{HORIZONTAL ELLIPSIS}", self._choose_data, self)
        self.data_label = label("", "small", self)
        self.problem = QLabel(self)
        self.problem.setWordWrap(True)
        with_role(self.problem, "muted")
        self.weights = _button("Only look at the weights", self._only_weights, self)
        self.weights.setVisible(not kind.has_structure)
        self.cancel = _button("Cancel", self.reject, self)
        self.open_button = QPushButton("Convert and open", self)
        with_role(self.open_button, "primary")
        self.open_button.setDefault(True)
        self.open_button.clicked.connect(self._accept)
        self._lay_out()
        for edit in (self.definition, self.arguments):
            edit.textChanged.connect(self._check)
        self.inputs.changed.connect(self._check)
        self._check()
        (self.inputs.first_field() if kind.has_structure else self.definition).setFocus()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(8)
        column.addWidget(label(self._path.name, "heading", self))
        column.addWidget(_wrapped(_WHAT[self._kind], "muted", self))
        column.addWidget(rule(self))
        if not self._kind.has_structure:
            self._add_definition(column)
        head = QHBoxLayout()
        head.addWidget(label("Inputs", "title", self), 1)
        head.addWidget(self.data_button)
        column.addLayout(head)
        column.addWidget(_wrapped(_INPUTS, "small", self))
        column.addWidget(self.data_label)
        column.addWidget(self.inputs)
        column.addWidget(rule(self))
        column.addWidget(self.problem)
        foot = QHBoxLayout()
        foot.addWidget(self.weights)
        foot.addStretch(1)
        foot.addWidget(self.cancel)
        foot.addWidget(self.open_button)
        column.addLayout(foot)
        self.data_label.setVisible(False)

    def _add_definition(self, column: QVBoxLayout) -> None:
        self.definition.setPlaceholderText("file.py:callable or module:callable")
        self.definition.setAccessibleName("Definition: file and name of the callable")
        self.arguments.setPlaceholderText('Arguments, if it needs any: {"width": 128}')
        self.arguments.setAccessibleName("Arguments of the definition, as JSON")
        column.addWidget(label("Definition", "title", self))
        column.addWidget(_wrapped(_DEFINITION, "small", self))
        line = QHBoxLayout()
        line.addWidget(self.definition, 1)
        line.addWidget(_button("Choose a file\N{HORIZONTAL ELLIPSIS}", self._choose_file, self))
        column.addLayout(line)
        column.addWidget(self.arguments)
        column.addSpacing(6)

    # -- choosing ---------------------------------------------------------------------------------------------------

    def _choose_file(self) -> None:
        path, _filter = QFileDialog.getOpenFileName(self, "Choose the definition", str(self._path.parent),
                                                    "Python (*.py)")
        if path:
            name = self.definition.text().rpartition(":")[2]
            self.definition.setText(f"{path}:{name if name.isidentifier() else ''}")
            self.definition.setFocus()

    def _choose_data(self) -> None:
        if self._data:
            self.use_data("")
            return
        path, _filter = QFileDialog.getOpenFileName(self, "Choose samples", str(self._path.parent), "Samples (*.npz)")
        if path:
            self.use_data(path)

    def use_data(self, path: str) -> None:
        """Take the inputs from samples; "" goes back to the rows."""
        self._data = path
        self.data_label.setText(f"Names, shapes and types of the arrays in {Path(path).name}" if path else "")
        self.data_label.setVisible(bool(path))
        self.inputs.setVisible(not path)
        self.data_button.setText("Give their shapes" if path else "Take them from samples\N{HORIZONTAL ELLIPSIS}")
        self._check()

    # -- answering --------------------------------------------------------------------------------------------------

    def _source(self) -> TorchSource:
        """What is filled in, without consent; raises ParameterError."""
        from core.torch_files.source import keyword_arguments

        if not self._kind.has_structure:
            find_source(self.definition.text())
            keyword_arguments(self.arguments.text())
        examples: tuple[Example, ...] = () if self._data else self.inputs.examples()
        definition = "" if self._kind.has_structure else absolute_callable(self.definition.text())
        return TorchSource(definition, self.arguments.text().strip(), "", examples, self._data)

    def _check(self, *_ignored: object) -> None:
        """Say what is missing; the file is opened only when nothing is."""
        problem = ""
        if not self._kind.has_structure and not self.definition.text().strip():
            problem = "Name the definition, or look at the weights alone."
        else:
            try:
                if not self._source().examples and not self._data:
                    problem = "Give the inputs that the model takes."
            except FeatherweightError as error:
                problem = str(error)
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self.open_button.setEnabled(not problem)

    def _accept(self) -> None:
        source = self._source()
        if source.definition:
            found = find_source(source.definition)
            if not allowed(self, found):
                return
            source = replace(source, allowed=found.sha256)
        self.chosen.emit(source)
        self.accept()

    def _only_weights(self) -> None:
        self.chosen.emit(TorchSource(weights_only=True))
        self.accept()


def allowed(parent: QWidget, source: OwnSource) -> bool:
    """Ask whether the definition's code may run; the answer holds for this content of the file only."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle("Run code")
    box.setText(f"Let the code of {source.file.name} run?")
    box.setInformativeText(
        f"{source.callable} in\n{source.file}\n(SHA-256 {source.sha256[:16]}\N{HORIZONTAL ELLIPSIS}) would run with "
        "your rights, in a process of its own, with all that it imports, to convert this model. Allow it only if you "
        "know what the file does. You are asked again when the file changes.")
    box.setDetailedText(f"SHA-256 {source.sha256}\n\n{source.content.decode(errors='replace')}")
    allow = box.addButton("Allow this code", QMessageBox.ButtonRole.AcceptRole)
    cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(cancel)
    box.exec()
    return box.clickedButton() is allow


def _button(text: str, clicked: object, parent: QWidget) -> QPushButton:
    button = QPushButton(text, parent)
    button.setAutoDefault(False)
    button.clicked.connect(clicked)
    return button


def _wrapped(text: str, role: str, parent: QWidget) -> QLabel:
    made = label(text, role, parent)
    made.setWordWrap(True)
    return made
