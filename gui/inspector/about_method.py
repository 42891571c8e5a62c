"""What a method says of itself: what it saves and not, what it costs, when to choose it, its source."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from core.method_guide import layers_text, not_saved
from core.methods.base import Described, Stage
from gui.charts.card import with_role


class AboutMethod(QLabel):
    """A few lines that can be selected and copied."""

    def __init__(self, method: Described, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "small")
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.lines = about_lines(method)
        self.setText("<br>".join(f"<b>{escape(title)}</b>&nbsp; {escape(text)}" for title, text in self.lines))
        self.setAccessibleName(f"About {method.title}")


def about_lines(method: Described) -> tuple[tuple[str, str], ...]:
    """Title and text of each line."""
    return (
        ("Does", method.summary),
        ("Saves", ", ".join(method.saves)),
        ("Does not save", ", ".join(not_saved(method)) or "nothing"),
        ("Costs", method.costs),
        ("Choose it", method.choose_when),
        ("Rather not", method.avoid_when),
        ("Layers", "the graph" if method.stage is Stage.GRAPH else layers_text(method.kinds)),
        ("Samples", method.data),
        ("Source", method.source),
    )
