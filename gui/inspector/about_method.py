"""What a method says of itself: what it saves and not, what it costs, when to choose it, its source."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from core.method_guide import continued, layers_text, not_saved, samples_text
from core.methods.base import Described, Stage
from gui.charts.card import with_role

_GAP = 7
"""Pixels between two entries."""


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
        self.setText("".join(map(_paragraph, self.lines)))
        self.setAccessibleName(f"About {method.title}")


def about_lines(method: Described) -> tuple[tuple[str, str], ...]:
    """Title and text of each line."""
    others = not_saved(method)
    return (
        ("Does", method.summary),
        ("Saves", ", ".join(method.saves)),
        *((("Does not save", ", ".join(others)),) if others else ()),
        ("Costs", method.costs),
        ("Choose it when", continued(method.choose_when)),
        ("Choose something else when", continued(method.avoid_when)),
        ("Layers", "the graph" if method.stage is Stage.GRAPH else layers_text(method.kinds)),
        ("Samples", samples_text(method)),
        ("Source", method.source),
    )


def _paragraph(line: tuple[str, str]) -> str:
    title, text = map(escape, line)
    return f'<p style="margin-top:0; margin-bottom:{_GAP}px"><b>{title}</b><br>{text}</p>'
