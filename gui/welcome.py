"""What the window shows without a model: where to drop one, and how else to begin."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui.charts.card import with_role
from gui.theme import theme
from gui.units import file_size

_MOST_SHOWN = 5


class DropArea(QFrame):
    """A dashed area that says it takes files; the window handles the drop itself."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._hot = False
        theme().changed.connect(self.update)

    def set_hot(self, hot: bool) -> None:
        """Whether something that can be dropped hovers over the window."""
        if hot != self._hot:
            self._hot = hot
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        pen = QPen(theme().color("accent" if self._hot else "strong_border"), 1.5)
        pen.setDashPattern([4, 4])
        painter.setPen(pen)
        painter.setBrush(theme().color("selection" if self._hot else "surface"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 12, 12)
        painter.end()


class Welcome(QWidget):
    """The empty window.

    open_asked       the person wants to choose a file
    sample_asked     the person wants the built-in sample
    recent_chosen    (Path) a model opened before
    """

    open_asked = Signal()
    sample_asked = Signal()
    recent_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "window")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.drop_area = DropArea(self)
        self.open_button = QPushButton("Open a model\N{HORIZONTAL ELLIPSIS}", self.drop_area)
        with_role(self.open_button, "primary")
        self.sample_button = QPushButton("Try the sample", self.drop_area)
        self.open_button.clicked.connect(self.open_asked)
        self.sample_button.clicked.connect(self.sample_asked)
        self._recent = QVBoxLayout()
        self._recent.setSpacing(2)
        self._recent_widgets: list[QWidget] = []
        self._fill_drop_area()
        column = QVBoxLayout()
        column.setSpacing(18)
        column.addStretch(2)
        column.addWidget(self.drop_area)
        column.addLayout(self._recent)
        column.addStretch(3)
        layout = QHBoxLayout(self)
        layout.addStretch(1)
        layout.addLayout(column)
        layout.addStretch(1)

    def _fill_drop_area(self) -> None:
        title = with_role(QLabel("Drop an ONNX or PyTorch model here"), "display")
        text = with_role(QLabel(
            "See every layer, choose how to make it smaller, and know what it costs before you export.\n"
            "Nothing leaves this computer, and the original file is never changed."), "caption")
        buttons = QHBoxLayout()
        buttons.setSpacing(10)
        buttons.addStretch(1)
        buttons.addWidget(self.open_button)
        buttons.addWidget(self.sample_button)
        buttons.addStretch(1)
        inside = QVBoxLayout(self.drop_area)
        inside.setContentsMargins(40, 44, 40, 44)
        inside.setSpacing(10)
        for label in (title, text):
            if isinstance(label, QLabel):
                label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            inside.addWidget(label)
        inside.addSpacing(10)
        inside.addLayout(buttons)
        self.drop_area.setFixedWidth(640)

    def set_recent(self, paths: tuple[Path, ...]) -> None:
        """Offer models opened before."""
        for widget in self._recent_widgets:
            self._recent.removeWidget(widget)
            widget.deleteLater()
        self._recent_widgets = [with_role(QLabel("Recent", self), "small")] if paths else []
        for path in paths[:_MOST_SHOWN]:
            button = QPushButton(f"{path.name}   {_place(path)}", self)
            with_role(button, "recent")
            button.setToolTip(str(path))
            button.clicked.connect(lambda _checked=False, path=path: self.recent_chosen.emit(path))
            self._recent_widgets.append(button)
        for widget in self._recent_widgets:
            self._recent.addWidget(widget)


def _place(path: Path) -> str:
    """The folder, with the home folder as "~", and the size."""
    folder = path.parent
    home = Path.home()
    text = f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)
    return f"{text}   {file_size(path.stat().st_size)}"
