"""Sentences inside the window: calm, one at a time, never a modal box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, QSize, Qt, QTimer
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from core.errors import FeatherweightError
from gui.charts.card import restyle, with_role

Tone = Literal["info", "warn", "bad"]
Action = tuple[str, Callable[[], None]]
_INFO_MS = 8000
_MARGIN, _WIDEST, _NARROW, _SHORT = 12, 860, 520, 60


class MessageBar(QFrame):
    """Shows the newest message; hidden while there is none. News fades by itself, problems stay until dismissed.

    It floats over the lower edge of a widget (`float_over`), so that nothing moves when short news comes and goes.
    What is long, or stays until it is dismissed, covers nothing: the widget leaves room for it.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "message_info")
        self._host: QWidget | None = None
        self._text = QLabel(self)
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._actions = QHBoxLayout()
        self._action_buttons: list[QPushButton] = []
        self._details_button = self._button("Details", self._toggle_details)
        self._dismiss = self._button("Dismiss", self.dismiss)
        self._details = QPlainTextEdit(self)
        self._details.setReadOnly(True)
        self._details.setMaximumHeight(140)
        self._details.hide()
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addLayout(self._actions)
        buttons.addWidget(self._details_button)
        buttons.addWidget(self._dismiss)
        line = self._line = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        line.setSpacing(8)
        line.addWidget(self._text, 1)
        line.addLayout(buttons)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 7, 10, 7)
        layout.addLayout(line)
        layout.addWidget(self._details)
        self._fade = QTimer(self, singleShot=True, interval=_INFO_MS)
        self._fade.timeout.connect(self.dismiss)
        self.hide()

    def _button(self, text: str, clicked: Callable[[], None]) -> QPushButton:
        button = QPushButton(text, self)
        with_role(button, "link")
        button.clicked.connect(lambda: clicked())
        return button

    def _action_button(self, label: str, run: Callable[[], None]) -> QPushButton:
        button = QPushButton(label, self)
        button.clicked.connect(lambda _checked=False: self._act(run))
        self._actions.addWidget(button)
        return button

    @property
    def text(self) -> str:
        """What is said now, "" when hidden."""
        return "" if self.isHidden() else self._text.text()

    @property
    def details(self) -> str:
        return self._details.toPlainText()

    def show_error(self, error: FeatherweightError) -> None:
        """Show an error's sentence; problems of a recipe and tracebacks go to the details."""
        problems: tuple[str, ...] = getattr(error, "problems", ())
        details = getattr(error, "details", "") or ("\n".join(problems) if len(problems) > 1 else "")
        if len(problems) > 1:
            where = f"{error.where}: " if error.where else ""
            self.say(f"{where}{len(problems)} problems, the first: {problems[0]}.", tone="bad", details=details)
        else:
            self.say(str(error), tone="bad", details=details)

    def say(self, text: str, *, tone: Tone = "info", details: str = "", actions: Sequence[Action] = (),
            dismiss: str = "Dismiss") -> None:
        """Show a message with buttons of its own; pressing one also dismisses it. dismiss: what its last one says."""
        for button in self._action_buttons:
            self._actions.removeWidget(button)
            button.hide()  # a dialog's own event loop puts off the deletion
            button.deleteLater()
        self._action_buttons = [self._action_button(label, run) for label, run in actions]
        self._text.setText(text)
        self._dismiss.setText(dismiss)
        self._details.setPlainText(details)
        self._details.hide()
        self._details_button.setVisible(bool(details))
        restyle(self, f"message_{tone}")
        self.setAccessibleName(text)
        if tone == "info" and not actions:
            self._fade.start()
        else:
            self._fade.stop()
        self.show()
        self._place()

    def action(self, label: str) -> QPushButton | None:
        """The message's button with this label."""
        return next((button for button in self._action_buttons if button.text() == label), None)

    def dismiss(self) -> None:
        self._fade.stop()
        self.hide()
        self._make_room(0)

    def _act(self, run: Callable[[], None]) -> None:
        self.dismiss()
        run()

    def _toggle_details(self) -> None:
        self._details.setVisible(self._details.isHidden())
        self._place()

    # -- its place --------------------------------------------------------------------------------------------------

    def float_over(self, host: QWidget) -> None:
        """Keep to the lower edge of this widget, which lies in the same window."""
        if self._host is not None:
            self._host.removeEventFilter(self)
            self._make_room(0)
        self._host = host
        host.installEventFilter(self)
        self._place()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._host and event.type() in (QEvent.Type.Resize, QEvent.Type.Move, QEvent.Type.Show):
            self._place()
        return False

    def _place(self) -> None:
        parent, layout = self.parentWidget(), self.layout()
        if self._host is None or parent is None or layout is None or self.isHidden():
            return
        width = min(self._host.width() - 2 * _MARGIN, _WIDEST)
        below = width < _NARROW and bool(self._action_buttons)  # buttons beside it would leave the text no room
        self._line.setDirection(QBoxLayout.Direction.TopToBottom if below else QBoxLayout.Direction.LeftToRight)
        layout.invalidate()
        layout.activate()  # buttons and details have just come or gone
        height = layout.totalHeightForWidth(width) if layout.hasHeightForWidth() else layout.totalSizeHint().height()
        corner = self._host.mapTo(parent, QPoint((self._host.width() - width) // 2,
                                                 self._host.height() - height - _MARGIN))
        self.setGeometry(QRect(corner, QSize(width, height)))
        self._make_room(0 if self._fade.isActive() and height <= _SHORT else height + _MARGIN)
        self.raise_()

    def _make_room(self, height: int) -> None:
        """Keep so many pixels at the lower edge of the widget free of its own contents."""
        if self._host is not None and self._host.contentsMargins().bottom() != height:
            self._host.setContentsMargins(0, 0, 0, height)
