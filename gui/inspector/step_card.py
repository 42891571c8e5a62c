"""One step of the plan: its method, a menu to change, move or remove it, and the method's form."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QPushButton, QToolButton, QVBoxLayout, QWidget

from core.methods.base import Described, Stage
from core.methods.order import why_not_list
from core.methods.registry import by_key
from core.model.layer import Layer
from core.recipe import Step
from gui.charts.card import with_role
from gui.inspector.about_method import AboutMethod
from gui.inspector.form import Form
from gui.inspector.group_box import GroupBox
from gui.inspector.method_menu import fill_with_methods


class StepCard(QFrame):
    """Shows a step; what the person does comes out as signals, nothing is changed here.

    edited(params, key)      a parameter changed; see Form
    method_chosen(key)       another method for this place
    moved(places)            -1 earlier, 1 later
    removed()
    group_selected(names)    the layers that are cut together
    """

    edited = Signal(object, str)
    method_chosen = Signal(str)
    moved = Signal(int)
    removed = Signal()
    group_selected = Signal(tuple)

    def __init__(
        self, step: Step, layers: Sequence[Layer], others: Sequence[Described] = (), parent: QWidget | None = None
    ) -> None:
        """others: the methods of all steps, this one's included, in order; see `set_place`."""
        super().__init__(parent)
        self.method = by_key(step.method)
        self._layers: tuple[Layer, ...] = ()
        self._others, self._index = tuple(others) or (self.method,), 0
        with_role(self, "card")
        self._number = QLabel(self)
        with_role(self._number, "caption")
        self.menu_button = QToolButton(self)
        self.menu_button.setText(f"{self.method.title} \u25be")
        self.menu_button.setToolTip(self.method.summary)
        self.menu_button.setAccessibleName(f"Step: {self.method.title}")
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu_button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        with_role(self.menu_button, "step")
        self._up = self._action("Move up", "Alt+Up", lambda: self.moved.emit(-1))
        self._down = self._action("Move down", "Alt+Down", lambda: self.moved.emit(1))
        self._remove = self._action("Remove", "Alt+Del", self.removed.emit)
        self.menu_button.setMenu(self._menu())
        self._remove_button = QPushButton("\u2715", self)
        with_role(self._remove_button, "link")
        self._remove_button.setToolTip("Remove this step")
        self._remove_button.setAccessibleName(f"Remove {self.method.title}")
        self._remove_button.clicked.connect(self.removed)
        self.about = AboutMethod(self.method, self)
        self.about_button = QToolButton(self)
        self.about_button.setText("?")
        self.about_button.setCheckable(True)
        self.about_button.setToolTip("What this method saves and costs, and when to choose it")
        self.about_button.setAccessibleName(f"About {self.method.title}")
        self.about_button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        with_role(self.about_button, "step")
        self.about_button.toggled.connect(self.about.setVisible)
        self.hint = QLabel(self)
        with_role(self.hint, "small")
        self.hint.setWordWrap(True)
        self.group = GroupBox(self) if self.method.stage is Stage.CHANNELS else None
        if self.group is not None:
            self.group.selected.connect(self.group_selected)
        self.form = Form(self.method, self)
        self.form.edited.connect(self.edited)
        self._lay_out()
        self.set_step(step, layers)

    def _action(self, text: str, keys: str, do: object) -> QAction:
        action = QAction(text, self)
        action.setShortcut(QKeySequence(keys))
        action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.triggered.connect(do)
        self.addAction(action)
        return action

    def _menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)  # disabled moves say why
        self.change_menu = menu.addMenu("Change to")
        self.change_menu.aboutToShow.connect(self._fill_change_menu)
        menu.addSeparator()
        menu.addActions([self._up, self._down])
        menu.addSeparator()
        menu.addAction(self._remove)
        return menu

    def _fill_change_menu(self) -> None:
        self.change_menu.clear()
        fill_with_methods(
            self.change_menu, self._layers, self.method_chosen.emit, current=self.method.key, why_not=self._why_not_here
        )

    def _why_not_here(self, method: Described) -> str:
        """Why a method makes no sense in this step's place."""
        return why_not_list([*self._others[: self._index], method, *self._others[self._index + 1 :]])

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(2)
        head.addWidget(self._number)
        head.addWidget(self.menu_button)
        head.addStretch(1)
        head.addWidget(self.about_button)
        head.addWidget(self._remove_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(11, 6, 11, 10)
        layout.setSpacing(5)
        layout.addLayout(head)
        layout.addWidget(self.about)
        layout.addWidget(self.form)
        layout.addWidget(self.hint)
        if self.group is not None:
            layout.addWidget(self.group)
        self.about.hide()
        self.form.setVisible(bool(self.form.fields))

    def set_step(self, step: Step, layers: Sequence[Layer]) -> None:
        """Show the step's parameters, for these layers; its method must be the card's."""
        self._layers = tuple(layers)
        self.form.set_params(step.params)
        hints = dict.fromkeys(filter(None, (self.method.hint(layer, step.params) for layer in self._layers)))
        self.hint.setText(next(iter(hints), "") if len(hints) < 2 else "")
        self.hint.setVisible(bool(self.hint.text()))

    def tab_stops(self) -> tuple[QWidget, ...]:
        """What Tab visits, from the top."""
        editors = [editor for field in self.form.fields.values() for editor in field.editors()]
        group = () if self.group is None else (self.group.button,)
        return (self.menu_button, self.about_button, self._remove_button, *editors, *group)

    def set_place(self, index: int, methods: Sequence[Described]) -> None:
        """Which of the steps with these methods this is, counted from 0. It moves only where that makes sense."""
        self._index, self._others = index, tuple(methods)
        self._number.setText(f"{index + 1}")
        for action, other in ((self._up, index - 1), (self._down, index + 1)):
            reason = self._why_not_swapped(index, other)
            action.setEnabled(not reason)
            action.setToolTip(reason)

    def _why_not_swapped(self, index: int, other: int) -> str:
        if not 0 <= other < len(self._others):
            return "It is the first step" if other < index else "It is the last step"
        order = list(self._others)
        order[index], order[other] = order[other], order[index]
        return why_not_list(order)
