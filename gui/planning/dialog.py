"""Asks for a budget: what is limited, to how much, with which methods, and how long it may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from core.planning.budgets import Goal
from gui.charts.card import label, rule, with_role
from gui.planning.budget_row import BudgetRow
from gui.planning.limits import PRESETS, WITHOUT_DATA, known_of
from gui.planning.wish import Wish

if TYPE_CHECKING:
    from gui.main_window import MainWindow
    from gui.session import Session

_MINUTES: tuple[tuple[str, float | None], ...] = (
    ("1 minute", 1.0), ("5 minutes", 5.0), ("10 minutes", 10.0), ("Until I stop it", None),
)  # fmt: skip
_WIDTH, _COLUMNS = 540, 3
_BOUNDS = "What is predicted and measured until then; the best plan found by then is taken."
_NO_DATA = ("No data is loaded: errors are only predicted, from the weights. Load data to measure plans, and to limit "
            "what the model may lose or how long it may take.")


def ask_budget(window: QWidget) -> BudgetDialog:
    """Open the dialog over the window; accepting it starts planning and shows the Trade-off lens."""
    main = cast("MainWindow", window)
    dialog = BudgetDialog(main.session, window)

    def start() -> None:
        wish = dialog.wish()
        if wish is not None:
            main.show_lens("tradeoff")
            main.session.plans.start(wish)

    dialog.accepted.connect(start)
    dialog.open()
    return dialog


class BudgetDialog(QDialog):
    """One budget or two, families, time, and what is to stay."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Plan to budget")
        self._session = session
        self._known = known_of(session)
        last = session.plans.wish
        self.first = BudgetRow(self._known, *_goal(last, 0, self._known.data))
        self.second = BudgetRow(self._known, Goal.MULTIPLY_ADDS if not self._known.data else Goal.DROP, "")
        self.more = QPushButton("Add a second budget", self)
        self.families: dict[str, QCheckBox] = {}
        self.keep = QCheckBox(self)
        self.plan_button = QPushButton("Plan", self)
        self._minutes = QButtonGroup(self)
        self._lay_out()
        self._take(last)
        for row in (self.first, self.second):
            row.changed.connect(self._check)
        self._check()
        self.first.limit.setFocus()
        self.first.limit.selectAll()

    # -- parts ------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.setMinimumWidth(_WIDTH)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(8)
        layout.addWidget(label("Find the best plan within a budget", "heading"))
        layout.addLayout(self._presets())
        layout.addSpacing(4)
        layout.addWidget(self.first)
        with_role(self.more, "link")
        self.more.setCheckable(True)
        self.more.toggled.connect(self._show_second)
        layout.addWidget(self.second)
        layout.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)
        self.second.hide()
        layout.addWidget(rule(self))
        layout.addWidget(label("Families of methods", "title"))
        layout.addLayout(self._family_boxes())
        layout.addWidget(label("Time to plan, at most", "title"))
        layout.addLayout(self._time_buttons())
        layout.addWidget(label(_BOUNDS, "small"))
        layout.addWidget(self._keep_box())
        self.note = QLabel("" if self._known.data else _NO_DATA, self)
        with_role(self.note, "small")
        self.note.setWordWrap(True)
        self.note.setVisible(not self._known.data)
        layout.addWidget(self.note)
        layout.addSpacing(6)
        layout.addLayout(self._buttons())

    def _presets(self) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setSpacing(6)
        self.presets: list[QPushButton] = []
        for text, goal, limit in PRESETS:
            button = QPushButton(text, self)
            button.setAutoDefault(False)
            button.clicked.connect(lambda _checked=False, goal=goal, limit=limit: self._put(goal, limit))
            usable = self._known.data or goal in WITHOUT_DATA
            button.setEnabled(usable)
            button.setToolTip("" if usable else "Load data first: this has to be measured")
            self.presets.append(button)
            line.addWidget(button)
        line.addStretch(1)
        return line

    def _family_boxes(self) -> QGridLayout:
        """In columns of equal width, so that no name is cut."""
        from core.methods.registry import families

        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(4)
        for place, family in enumerate(families()):
            box = QCheckBox(family, self)
            box.setChecked(True)
            box.toggled.connect(self._check)
            self.families[family] = box
            grid.addWidget(box, *divmod(place, _COLUMNS))
        for column in range(_COLUMNS):
            grid.setColumnStretch(column, 1)
        return grid

    def _time_buttons(self) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setSpacing(4)
        for index, (text, _minutes) in enumerate(_MINUTES):
            button = QToolButton(self)
            button.setText(text)
            with_role(button, "segment")
            button.setCheckable(True)
            button.setChecked(index == 1)
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            self._minutes.addButton(button, index)
            line.addWidget(button)
        line.addStretch(1)
        return line

    def _keep_box(self) -> QCheckBox:
        chosen = self._session.selection
        number = len(chosen)
        self.keep.setText(f"Keep the steps of the {f'{number:,} selected layers' if number != 1 else 'selected layer'}")
        self.keep.setEnabled(bool(chosen))
        self.keep.setToolTip("Steps of these layers stay as they are now, also when they have none:\n"
                             + "\n".join(chosen[:12]) + ("\nand others" if number > 12 else ""))
        return self.keep

    def _buttons(self) -> QHBoxLayout:
        line = QHBoxLayout()
        self.cancel_button = QPushButton("Cancel", self)
        self.cancel_button.setAutoDefault(False)
        self.cancel_button.clicked.connect(self.reject)
        with_role(self.plan_button, "primary")
        self.plan_button.setDefault(True)
        self.plan_button.clicked.connect(self.accept)
        line.addStretch(1)
        line.addWidget(self.cancel_button)
        line.addWidget(self.plan_button)
        return line

    # -- state ------------------------------------------------------------------------------------------------------

    def _take(self, last: Wish | None) -> None:
        """Begin with what was asked for last."""
        if last is None:
            return
        for family, box in self.families.items():
            box.setChecked(not last.families or family in last.families)
        index = next((i for i, (_text, minutes) in enumerate(_MINUTES) if minutes == last.minutes), 1)
        self._minutes.button(index).setChecked(True)
        if last.also:
            self.more.setChecked(True)
            self.second.put(*_goal(last, 1, self._known.data))

    def _put(self, goal: Goal, limit: str) -> None:
        self.first.put(goal, limit)
        self.first.limit.setFocus()

    def _show_second(self, on: bool) -> None:
        self.second.setVisible(on)
        self.more.setText("Remove the second budget" if on else "Add a second budget")
        if on:
            self.second.limit.setFocus()
        self._check()
        self.adjustSize()

    def _check(self) -> None:
        """Plan can be pressed when all is well; else its tool tip says why not."""
        why = "" if self.first.result.fine else self.first.result.text
        if not why and self.more.isChecked():
            why = "" if self.second.result.fine else self.second.result.text
            if not why and self.second.goal == self.first.goal:
                why = "Both budgets limit the same: choose another for the second"
        if not why and not any(box.isChecked() for box in self.families.values()):
            why = "Choose at least one family of methods"
        self.plan_button.setEnabled(not why)
        self.plan_button.setToolTip(why or "Look for the best plan (Return)")

    def wish(self) -> Wish | None:
        """What was asked for; None while something is wrong."""
        if not self.plan_button.isEnabled():
            return None
        also = ((str(self.second.goal), self.second.limit.text().strip()),) if self.more.isChecked() else ()
        chosen = tuple(family for family, box in self.families.items() if box.isChecked())
        return Wish(
            str(self.first.goal), self.first.limit.text().strip(), also,
            () if len(chosen) == len(self.families) else chosen, _MINUTES[self._minutes.checkedId()][1],
            self._session.selection if self.keep.isChecked() else (),
        )  # fmt: skip


def _goal(last: Wish | None, place: int, data: bool) -> tuple[Goal, str]:
    """The budget to begin with: the last one while it can be asked for, else a quarter of the size."""
    if last is not None:
        goal, limit = ((last.goal, last.limit), *last.also)[place]
        if data or Goal(goal) in WITHOUT_DATA:
            return Goal(goal), limit
    return Goal.SIZE, "25%"
