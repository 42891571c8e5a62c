"""One budget in the dialog: what is limited, to how much, and what that means."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QComboBox, QGridLayout, QLabel, QLineEdit, QSizePolicy, QWidget

from core.planning.budgets import Goal
from gui.charts.card import restyle, with_role
from gui.planning.limits import EXAMPLES, TITLES, UNITS, WITHOUT_DATA, Known, Told, explain


class BudgetRow(QWidget):
    """A goal, a limit, and a line that explains it as it is typed.

    changed  the goal or the limit changed
    """

    changed = Signal()

    def __init__(self, known: Known, goal: Goal, limit: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known = known
        self.goals = QComboBox(self)
        self.goals.setAccessibleName("What is limited")
        for each, title in TITLES.items():
            self.goals.addItem(title, each)
        self._enable_goals()
        self.limit = QLineEdit(limit, self)
        self.limit.setAccessibleName("Limit")
        self.limit.setMaximumWidth(150)
        self.told = QLabel(self)
        self.told.setWordWrap(True)
        self.told.setTextFormat(Qt.TextFormat.PlainText)
        self.told.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.told.setMinimumHeight(30)
        self.told.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.word, self.unit = QLabel("at most", self), QLabel(self)
        with_role(self.word, "caption")
        with_role(self.unit, "caption")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(8)
        layout.setVerticalSpacing(4)
        layout.addWidget(self.goals, 0, 0)
        layout.addWidget(self.word, 0, 1)
        layout.addWidget(self.limit, 0, 2)
        layout.addWidget(self.unit, 0, 3)
        layout.setColumnStretch(4, 1)
        layout.addWidget(self.told, 1, 0, 1, 5)
        self.put(goal, limit)
        self.goals.currentIndexChanged.connect(self._goal_changed)
        self.limit.textChanged.connect(self._explain)

    def _enable_goals(self) -> None:
        """Without data only what needs no measuring can be chosen."""
        model = self.goals.model()
        if isinstance(model, QStandardItemModel):
            for index, goal in enumerate(TITLES):
                item = model.item(index)
                item.setEnabled(self._known.data or goal in WITHOUT_DATA)
                if not item.isEnabled():
                    item.setToolTip("Load data to limit this: it has to be measured")

    @property
    def goal(self) -> Goal:
        return Goal(self.goals.currentData())

    @property
    def result(self) -> Told:
        """What the limit means, and whether it can be used."""
        return explain(self.goal, self.limit.text(), self._known)

    def put(self, goal: Goal, limit: str) -> None:
        """Fill it in."""
        self.goals.setCurrentIndex(list(TITLES).index(goal))
        self.limit.setText(limit)
        self._explain()

    def _goal_changed(self) -> None:
        self.limit.setText(EXAMPLES[self.goal].split(",")[0])
        self._explain()

    def _explain(self) -> None:
        told = self.result
        self.word.setText("at least" if self.goal is Goal.SQNR else "at most")
        self.unit.setText(UNITS.get(self.goal, ""))
        self.limit.setPlaceholderText(EXAMPLES[self.goal])
        wrong = not told.fine and bool(self.limit.text().strip())
        self.told.setText(told.text)
        restyle(self.told, "small_bad" if wrong else "small_warn" if told.note else "small")
        self.limit.setProperty("invalid", "true" if wrong else "false")
        self.limit.style().unpolish(self.limit)
        self.limit.style().polish(self.limit)
        self.limit.setAccessibleDescription(told.text)
        self.changed.emit()
