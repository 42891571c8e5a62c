"""One card of the totals: a title, before -> after, and how the figure changed and is known."""

from __future__ import annotations

import html

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics, QResizeEvent
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui.charts.card import restyle, with_role
from gui.theme import theme
from gui.totals.figures import Figure
from gui.units import NONE

_ARROW = "\N{RIGHTWARDS ARROW}"


class ElidedLabel(QLabel):
    """A label of one line that ends in an ellipsis where there is no room; the tool tip has the whole text."""

    def __init__(self, parent: QWidget | None = None, mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight) -> None:
        super().__init__(parent)
        self._whole, self._mode = "", mode
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def set_whole(self, text: str) -> None:
        self._whole = text
        self._fit()

    @property
    def whole(self) -> str:
        return self._whole

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setText(self.fontMetrics().elidedText(self._whole, self._mode, self.width()))
        self.setToolTip(self._whole if self.text() != self._whole else "")


class TotalCard(QFrame):
    """Shows a Figure."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "panel")
        self._figure = Figure("", "", "", "")
        self._alone = False  # whether there is room for the figure after only
        self._title, self._value, self._note = ElidedLabel(self), QLabel(self), ElidedLabel(self)
        with_role(self._title, "small")
        with_role(self._note, "small")
        self._value.setTextFormat(Qt.TextFormat.RichText)
        self._value.setFont(theme().font("figure", figures=True))
        self._value.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 9, 8, 9)
        layout.setSpacing(2)
        for label in (self._title, self._value, self._note):
            layout.addWidget(label)
        theme().changed.connect(self._render)

    @property
    def figure(self) -> Figure:
        return self._figure

    def set_figure(self, figure: Figure) -> None:
        if figure != self._figure:
            self._figure = figure
            self._render()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Figures are large where there is room for them; where there is none, the one before is in the tool tip."""
        figure, sizes = self._figure, ("figure", "body", "small")
        both = f"{figure.before} {_ARROW} {figure.after}" if _has_both(figure) else figure.after or figure.before
        size = next((size for size in sizes if self._has_room(both, size)), None)
        self._alone = size is None and _has_both(figure)
        if size is None:
            size = next((size for size in sizes if self._has_room(f"{_ARROW} {figure.after}", size)), sizes[-1])
        self._value.setFont(theme().font(size, figures=True))
        self._value.setText(self._text())
        left_out = f"before: {figure.before}" if self._alone else ""
        self.setToolTip("\n".join(filter(None, (left_out, figure.detail))))

    def _has_room(self, text: str, size: str) -> bool:
        metrics = QFontMetrics(theme().font(size, strong=True, figures=True))
        return metrics.horizontalAdvance(text) <= self._value.width()

    def _render(self) -> None:
        figure = self._figure
        self._title.set_whole(figure.title)
        self._fit()
        restyle(self._note, "small" if figure.role == "muted" else f"small_{figure.role}")
        self._note.set_whole(figure.note)
        change = f"{figure.before} {_ARROW} {figure.after}" if figure.after else figure.before
        self.setAccessibleName(f"{figure.title}: {change}, {figure.note}")

    def _text(self) -> str:
        figure, now = self._figure, theme()
        quiet, loud = now.color("faint").name(), now.color("faint" if figure.stale else "text").name()
        before, after = html.escape(figure.before), html.escape(figure.after)
        if self._alone:
            return _colored(f"{_ARROW} {after}", loud, strong=True)
        if _has_both(figure):
            return f'{_colored(before, quiet)} {_colored(f"{_ARROW} {after}", loud, strong=True)}'
        if figure.after:
            return _colored(after, loud, strong=True)
        return _colored(before, quiet if figure.before == NONE else loud)


def _has_both(figure: Figure) -> bool:
    return bool(figure.before and figure.after and figure.before != NONE)


def _colored(text: str, color: str, *, strong: bool = False) -> str:
    return f'<span style="color:{color}; font-weight:{600 if strong else 400}">{text}</span>'
