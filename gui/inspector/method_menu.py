"""Menus of methods, grouped by family; those that cannot handle the layers are greyed and say why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QMenu, QVBoxLayout, QWidget, QWidgetAction

from core.methods.base import Described
from core.methods.registry import all_methods
from core.model.layer import Layer
from gui.charts.card import with_role
from gui.theme import theme
from gui.units import unbroken

_USUAL_FAMILIES = ("Quantization", "Pruning")
"""First in the menu, in this order; the others follow by name."""
_WIDTH = 372


def why_none(method: Described, layers: Sequence[Layer]) -> str:
    """Why the method handles none of the layers, in a clause; "" when it handles at least one."""
    reasons = [method.why_not(layer, method.Params()) for layer in layers]
    return reasons[0] if reasons and all(reasons) else ""


def fill_with_methods(
    menu: QMenu, layers: Sequence[Layer], choose: Callable[[str], None], *, current: str = ""
) -> None:
    """Add every method under its family, with what it does or the reason why it is not possible here.

    choose   called with the method's key
    current  key of the method in use, shown ticked
    """
    menu.setToolTipsVisible(True)
    family = ""
    for method in sorted(all_methods(), key=_place):
        if method.family != family:
            family = method.family
            menu.addAction(_header(family, menu))
        menu.addAction(_action(method, why_none(method, layers), method.key == current, choose, menu))


def _place(method: Described) -> tuple[int, str, str]:
    usual = _USUAL_FAMILIES.index(method.family) if method.family in _USUAL_FAMILIES else len(_USUAL_FAMILIES)
    return usual, method.family, method.title


def _header(text: str, menu: QMenu) -> QWidgetAction:
    """A family's name; the style draws no texts on separators."""
    label = QLabel(text)
    with_role(label, "small")
    label.setContentsMargins(12, 6, 12, 2)
    header = QWidgetAction(menu)
    header.setDefaultWidget(label)
    header.setEnabled(False)
    return header


def _action(method: Described, reason: str, current: bool, choose: Callable[[str], None], menu: QMenu) -> QWidgetAction:
    action = QWidgetAction(menu)
    action.setText(method.title)
    action.setToolTip(reason or method.summary)
    action.setStatusTip(reason or method.summary)
    action.setEnabled(not reason)
    action.setCheckable(current)
    action.setChecked(current)
    action.setData(method.key)
    action.setDefaultWidget(_Entry(method.title, reason or method.summary.split(". ")[0].rstrip("."), current, reason))
    action.hovered.connect(lambda: _highlight(menu, action))
    action.triggered.connect(lambda _checked=False: choose(method.key))
    return action


def _highlight(menu: QMenu, at: QAction) -> None:
    """Menus draw no highlight behind widgets."""
    for action in menu.actions():
        entry = action.defaultWidget() if isinstance(action, QWidgetAction) else None
        if isinstance(entry, _Entry):
            entry.set_highlighted(action is at)


class _Entry(QWidget):
    """A method in a menu: its title, and below it what it does. The menu itself takes the mouse and the keys."""

    def __init__(self, title: str, words: str, current: bool, reason: str) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._highlighted = False
        self.setAccessibleName(f"{title}: {words}")
        name = QLabel(f"{title} \N{CHECK MARK}" if current else title)
        with_role(name, "caption" if reason else "")
        about = QLabel(unbroken(words))
        with_role(about, "small")
        about.setWordWrap(True)
        about.setAlignment(Qt.AlignmentFlag.AlignTop)
        about.setFixedWidth(_WIDTH)
        about.ensurePolished()  # its height depends on the style sheet's font
        about.setFixedHeight(about.heightForWidth(_WIDTH))
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 4, 12, 5)
        column.setSpacing(1)
        column.addWidget(name)
        column.addWidget(about)

    def set_highlighted(self, on: bool) -> None:
        """Whether the pointer or the keyboard is on this entry."""
        self._highlighted = on
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._highlighted:
            painter = QPainter(self)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme().color("selection"))
            painter.drawRoundedRect(self.rect(), 4, 4)
            painter.end()
