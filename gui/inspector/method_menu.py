"""Menus of methods, grouped by family; those that cannot handle the layers are greyed and say why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QMenu, QVBoxLayout, QWidget, QWidgetAction

from core.methods.base import Described, Stage
from core.methods.registry import all_methods
from core.model.layer import Layer
from gui.charts.card import with_role
from gui.theme import theme
from gui.units import unbroken

_WIDTH = 372
_ROOMY = 8
"""Methods in a menu above which each gets one line of words instead of as many as it needs: menus fit the screen."""
_FAMILIES = {
    "Quantization": "Fewer bits for each weight",
    "Pruning": "Fewer weights",
    "Structured cuts": "Fewer channels or heads, less to compute",
    "Low rank": "Thinner layers in place of one",
    "Filtering": "The weight as a signal: fewer coefficients",
}
"""In the menu's order, with what they have in common; families that are not listed follow."""

WhyNot = Callable[[Described], str]
"""Why a method is not possible here (one clause), or ""."""


def why_none(method: Described, layers: Sequence[Layer]) -> str:
    """Why the method handles none of the layers, in a clause; "" when it handles at least one."""
    reasons = [method.why_not(layer, method.Params()) for layer in layers]
    return reasons[0] if reasons and all(reasons) else ""


def fill_with_methods(
    menu: QMenu, layers: Sequence[Layer], choose: Callable[[str], None], *, current: str = "", why_not: WhyNot
) -> None:
    """Add a submenu for each family with its methods, each with what it does or the reason why it is not possible here.

    choose   called with the method's key
    current  key of the method in use, shown ticked
    why_not  what speaks against a method beside the layers: the other steps
    """
    menu.setToolTipsVisible(True)
    methods = [method for method in all_methods() if method.stage is not Stage.GRAPH]
    reasons = {method.key: why_none(method, layers) or why_not(method) for method in methods}
    for family in sorted({method.family for method in methods}, key=_rank):
        entries = [method for method in methods if method.family == family]
        submenu = menu.addMenu(f"{family}: {_FAMILIES[family].lower()}" if family in _FAMILIES else family)
        submenu.setToolTipsVisible(True)
        for method in sorted(entries, key=lambda m: (not m.default, m.title)):
            action = _action(method, reasons[method.key], method.key == current, choose, submenu, len(entries) > _ROOMY)
            submenu.addAction(action)
        if all(reasons[method.key] for method in entries):
            submenu.menuAction().setToolTip("Not possible here; open it to see why")


def offered(menu: QMenu) -> list[QAction]:
    """The methods' actions of a filled menu, in order."""
    submenus = [found for action in menu.actions() if isinstance(found := action.menu(), QMenu)]
    return [action for submenu in submenus for action in submenu.actions() if action.data()]


def _rank(family: str) -> tuple[int, str]:
    names = list(_FAMILIES)
    return names.index(family) if family in names else len(names), family


def _action(
    method: Described, reason: str, current: bool, choose: Callable[[str], None], menu: QMenu, brief: bool
) -> QWidgetAction:
    saved = f"Saves {', '.join(method.saves)}"
    words = reason or f"{method.summary.split('. ')[0].rstrip('.')}. {saved}."
    action = QWidgetAction(menu)
    action.setText(method.title)
    action.setToolTip(reason or f"{method.choose_when}\n{method.avoid_when}")
    action.setStatusTip(reason or method.summary)
    action.setEnabled(not reason)
    action.setCheckable(current)
    action.setChecked(current)
    action.setData(method.key)
    action.setDefaultWidget(_Entry(method.title, words, current, reason, brief))
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

    def __init__(self, title: str, words: str, current: bool, reason: str, brief: bool) -> None:
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
        if brief:
            about.setText(about.fontMetrics().elidedText(about.text(), Qt.TextElideMode.ElideRight, _WIDTH - 4))
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
