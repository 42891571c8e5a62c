"""Asks what to merge and how: the way at the left, members or their making in the middle, data and target below."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from core.merge_job import MOST_MEMBERS, MergeMode
from core.training.settings import DEFAULT_TRAINING
from gui.charts.card import label, rule, with_role
from gui.ensembles.members import MemberList
from gui.ensembles.wish import Wish, asked_of, makes_members
from gui.totals.card import ElidedLabel
from gui.training.asking import ask
from gui.training.data_rows import DataRow, propose

if TYPE_CHECKING:
    from core.training.settings import TrainingSettings
    from gui.main_window import MainWindow
    from gui.session import Session
    from gui.settings import Settings
    from gui.training.asked import Asked

_WIDTH, _HEIGHT, _LEFT = 900, 600, 400
_DOTS = "\N{HORIZONTAL ELLIPSIS}"
_ROWS = (("merge train", "Samples", "Members learn from them; without training, all are measured on them"),
         ("merge valid", "Validation", "The best states and the greedy choice are decided by them"),
         ("merge test", "Test", "Samples that nothing was chosen by: all are measured on those"))


def ask_merge(window: QWidget) -> MergeDialog:
    """Open the form over the window; accepting it starts the merge and shows the Training lens."""
    main = cast("MainWindow", window)

    def asked(dialog: MergeDialog) -> Asked | None:
        wish = dialog.wish()
        return None if wish is None else asked_of(main.session, wish)

    return ask(main, MergeDialog(main.session, main.settings, window), asked)


class MergeDialog(QDialog):
    """How, of what, on which data, and where to."""

    def __init__(self, session: Session, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Merge models")
        self._session, self._settings = session, settings
        self.target: Path | None = None
        self.modes = QButtonGroup(self)
        self.members = MemberList(session, settings, self)
        self.count = QSpinBox(self, minimum=2, maximum=MOST_MEMBERS, value=5)
        self.epochs = QSpinBox(self, minimum=1, maximum=10_000, value=self._base().epochs)
        self.anew = QCheckBox("Each begins with weights of its own", self)
        self.anew.setToolTip("Members differ more. Each is trained twice: before it is compressed, and after")
        self.greedy = QCheckBox("Only members that help on held-out samples", self)
        self.data, self.valid, self.test = (DataRow(session, settings, *row, parent=self) for row in _ROWS)
        self.place = ElidedLabel(self, Qt.TextElideMode.ElideMiddle)
        self.choose = QPushButton(f"Choose{_DOTS}", self)
        self.trouble, self.plan = QLabel(self), QLabel(self)
        self.start_button = QPushButton("Merge", self)
        self._lay_out()
        self._not_learned = ""
        if session.model is not None:
            self._not_learned = propose(session, self.data, self.valid, self.test)
        for row in (self.data, self.valid, self.test):
            row.setEnabled(session.model is not None)  # samples are read for the open model's inputs
        self._connect()
        first = MergeMode.BAG if session.model is not None else MergeMode.AVERAGE
        self.modes.button(list(MergeMode).index(first)).setChecked(True)
        self._show()

    @property
    def mode(self) -> MergeMode:
        """The way that is chosen."""
        return list(MergeMode)[max(0, self.modes.checkedId())]

    def _base(self) -> TrainingSettings:
        return self._session.training.offered or DEFAULT_TRAINING

    # -- parts ------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.resize(_WIDTH, _HEIGHT)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 14)
        layout.setSpacing(10)
        layout.addWidget(label("Merge models into one file", "heading"))
        layout.addWidget(rule(self))
        middle = QHBoxLayout()
        middle.setSpacing(18)
        middle.addWidget(self._ways())
        middle.addWidget(self._right(), 1)
        layout.addLayout(middle, 1)
        layout.addWidget(self.trouble)
        layout.addLayout(self._buttons())
        with_role(self.trouble, "small_bad")
        self.trouble.setWordWrap(True)
        self.trouble.setTextFormat(Qt.TextFormat.PlainText)

    def _ways(self) -> QWidget:
        """A button and a sentence for each mode."""
        ways = QWidget(self)
        ways.setFixedWidth(_LEFT)
        column = QVBoxLayout(ways)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for number, mode in enumerate(MergeMode):
            button = QRadioButton(mode.heading, ways)
            button.setAccessibleDescription(mode.words)
            button.setEnabled(self._session.model is not None or not makes_members(mode))
            self.modes.addButton(button, number)
            words = label(mode.words, "small", ways)
            words.setWordWrap(True)
            words.setContentsMargins(24, 0, 0, 6)
            column.addWidget(button)
            column.addWidget(words)
        column.addStretch(1)
        return ways

    def _right(self) -> QWidget:
        frame = QFrame(self)
        with_role(frame, "summary")
        column = QVBoxLayout(frame)
        column.setContentsMargins(14, 10, 14, 12)
        column.setSpacing(6)
        self.title = label("Members", "title")
        column.addWidget(self.title)
        self.pages = QStackedWidget(frame)
        self.pages.addWidget(self.members)
        self.pages.addWidget(self._making())
        column.addWidget(self.pages, 1)
        column.addWidget(self.greedy)
        column.addWidget(label("Data", "title"))
        for row in (self.data, self.valid, self.test):
            column.addWidget(row)
        column.addWidget(label("File", "title"))
        line = QHBoxLayout()
        line.addWidget(self.place, 1)
        line.addWidget(self.choose)
        with_role(self.choose, "link")
        self.choose.setAutoDefault(False)
        self.choose.setAccessibleName("Choose the file to write")
        column.addLayout(line)
        return frame

    def _making(self) -> QWidget:
        """How members are made of the open model."""
        page = QWidget(self)
        form = QFormLayout(page)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Members", self.count)
        form.addRow("Epochs each", self.epochs)
        form.addRow(self.anew)
        form.addRow(self.plan)
        self.plan.setWordWrap(True)
        with_role(self.plan, "small")
        self.count.setAccessibleName("Members")
        self.epochs.setAccessibleName("Epochs of each member")
        return page

    def _buttons(self) -> QHBoxLayout:
        line = QHBoxLayout()
        self.cancel_button = QPushButton("Cancel", self)
        self.cancel_button.setAutoDefault(False)
        self.cancel_button.clicked.connect(self.reject)
        with_role(self.start_button, "primary")
        self.start_button.setDefault(True)
        self.start_button.clicked.connect(self.accept)
        line.addStretch(1)
        line.addWidget(self.cancel_button)
        line.addWidget(self.start_button)
        return line

    def _connect(self) -> None:
        self.modes.idToggled.connect(lambda _number, on: self._show() if on else None)
        self.members.changed.connect(self._show)
        self.greedy.toggled.connect(lambda _on: self._show())
        for row in (self.data, self.valid, self.test):
            row.changed.connect(self._show)
        self.choose.clicked.connect(lambda _checked=False: self._ask_target())
        self.finished.connect(lambda _code: self._stop())

    # -- state ------------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        """What the mode needs, and whether Merge can be pressed."""
        mode, made = self.mode, makes_members(self.mode)
        student = mode is MergeMode.STUDENT
        self.pages.setCurrentIndex(1 if made or (student and not self.members.paths) else 0)
        if student:
            self.pages.setCurrentIndex(0)
        self.title.setText("Its teachers; none: members are bagged first" if student else "Members")
        self.greedy.setVisible(mode is MergeMode.WEIGHTS)
        self.valid.setVisible(mode.trains or (mode is MergeMode.WEIGHTS and self.greedy.isChecked()))
        self.plan.setText(self._plan_words())
        nothing = "Without samples nothing is measured."
        if self._session.model is None:
            nothing = "Open one of the members first, to measure them on samples."
        self.data.say_without(self._not_learned or ("" if mode.trains else nothing))
        self.valid.say_without("Some of the samples are held out.")
        self.test.say_without(f"Measured on {'the held-out samples' if mode.trains else 'the samples'}.")
        self.place.set_whole(self.target.name if self.target is not None else "not chosen")
        why = self.why_not()
        self.start_button.setEnabled(not why)
        self.start_button.setToolTip(why or "Merge (Return)")
        self.trouble.setText(why)

    def _plan_words(self) -> str:
        recipe, model = self._session.recipe, self._session.model
        if model is None or recipe is None:
            return ""
        how = "not compressed: the plan does nothing" if recipe.does_nothing else "compressed by the plan"
        return f"Made of {model.name}, {how}."

    def why_not(self) -> str:
        """Why it cannot begin, a sentence, or ""."""
        mode, given = self.mode, len(self.members.paths)
        if self._session.training.phase.at_work:
            return "A training runs already: wait for it, or cancel it."
        if mode is MergeMode.STUDENT:
            if given == 1 or (given == 0 and self._session.model is None):
                return "Add two teachers or more."
        elif not makes_members(mode) and given < 2:
            return "Add two members or more."
        rows = [row for row in (self.data, self.valid, self.test) if not row.isHidden()]
        if any(row.trouble for row in rows):
            return "One of the files with samples does not fit the model."
        if any(row.reading for row in rows):
            return "Reading the samples."
        if self.data.path is None and (mode.trains or (mode is MergeMode.WEIGHTS and self.greedy.isChecked())):
            return "Choose samples to learn from." if mode.trains else "Choose samples to decide by."
        return "" if self.target is not None else "Choose the file to write."

    def _ask_target(self) -> None:
        folder = Path(self._settings.last_folder("export"))
        model = self._session.model
        name = f"{model.path.stem if model is not None else 'models'}-{self.mode}.onnx"
        path, _filter = QFileDialog.getSaveFileName(self, "The merged model", str(folder / name), "ONNX (*.onnx)")
        if path:
            self._settings.set_last_folder("export", Path(path).parent)
            self.put_target(Path(path))

    def put_target(self, path: Path) -> None:
        """The file to write."""
        self.target = path if path.suffix else path.with_suffix(".onnx")
        self._show()

    def _stop(self) -> None:
        self.members.stop()
        for row in (self.data, self.valid, self.test):
            row.stop()

    def wish(self) -> Wish | None:
        """What was asked for; None while something is wrong."""
        from dataclasses import replace

        if self.why_not() or self.target is None:
            return None
        mode = self.mode
        settings = replace(self._base(), epochs=self.epochs.value())
        return Wish(
            mode, self.target, () if makes_members(mode) else self.members.paths, self.count.value(),
            self.anew.isChecked(), mode is MergeMode.WEIGHTS and self.greedy.isChecked(), self.data.path,
            None if self.valid.isHidden() else self.valid.path, self.test.path, settings,
        )  # fmt: skip
