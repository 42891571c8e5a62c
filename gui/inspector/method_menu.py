"""Menus of methods, grouped by family; those that cannot handle the layers are greyed and say why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtWidgets import QLabel, QMenu, QWidgetAction

from core.methods.base import Method
from core.methods.registry import all_methods
from core.model.layer import Layer
from gui.charts.card import with_role


def why_none(method: Method, layers: Sequence[Layer]) -> str:
    """Why the method handles none of the layers, in a clause; "" when it handles at least one."""
    reasons = [method.why_not(layer, method.Params()) for layer in layers]
    return reasons[0] if reasons and all(reasons) else ""


def fill_with_methods(
    menu: QMenu, layers: Sequence[Layer], choose: Callable[[str], None], *, current: str = ""
) -> None:
    """Add every method under its family, with its summary or the reason why it is not possible here.

    choose   called with the method's key
    current  key of the method in use, shown ticked
    """
    menu.setToolTipsVisible(True)
    family = ""
    for method in all_methods():
        if method.family != family:
            family = method.family
            menu.addAction(_header(family.capitalize(), menu))
        reason = why_none(method, layers)
        action = menu.addAction(_text(method, reason))
        action.setToolTip(reason or method.summary)
        action.setStatusTip(reason or method.summary)
        action.setEnabled(not reason)
        action.setCheckable(method.key == current)
        action.setChecked(method.key == current)
        action.setData(method.key)
        action.triggered.connect(lambda _checked=False, key=method.key: choose(key))


def _header(text: str, menu: QMenu) -> QWidgetAction:
    """A family's name; the style draws no texts on separators."""
    label = QLabel(text)
    with_role(label, "small")
    label.setContentsMargins(12, 6, 12, 2)
    header = QWidgetAction(menu)
    header.setDefaultWidget(label)
    header.setEnabled(False)
    return header


def _text(method: Method, reason: str) -> str:
    """The title, and in the shortcut column what it does or why not."""
    words = reason or method.summary.split(". ")[0].rstrip(".")
    return f"{method.title}\t{words}"
