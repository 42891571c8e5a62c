"""Colours by role, fonts and the style sheet, all from `resources/theme.toml`.

Code never names a colour: it asks `theme().color("role")`. Painted widgets repaint on `theme().changed`.
"""

from __future__ import annotations

import tomllib
import weakref
from functools import cache
from typing import Any, Literal, cast

from PySide6.QtCore import QDir, QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QIcon, QPalette
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

import resources
from gui.style_sheet import style_sheet

Mode = Literal["light", "dark", "system"]

HEAT_LEVELS = 41
_HEAT_STOPS = 5
_FONT_FILES = ("Inter-Regular.otf", "Inter-Medium.otf", "Inter-SemiBold.otf")
_PALETTE = {
    QPalette.ColorRole.Window: "window", QPalette.ColorRole.Base: "surface", QPalette.ColorRole.AlternateBase: "sunken",
    QPalette.ColorRole.Button: "surface", QPalette.ColorRole.WindowText: "text", QPalette.ColorRole.Text: "text",
    QPalette.ColorRole.ButtonText: "text", QPalette.ColorRole.PlaceholderText: "faint",
    QPalette.ColorRole.Highlight: "selection", QPalette.ColorRole.HighlightedText: "text",
    QPalette.ColorRole.Link: "accent", QPalette.ColorRole.ToolTipBase: "surface",
    QPalette.ColorRole.ToolTipText: "text",
}


class Theme(QObject):
    """The colours and fonts in force.

    changed   emitted after the mode changed and the dressed windows have their new style sheet
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._file: dict[str, Any] = tomllib.loads(resources.text("theme.toml"))
        self._roles = {name: self._resolve(name) for name in ("light", "dark")}
        self._wanted: Mode = "system"
        self._mode: Literal["light", "dark"] = "light"
        self._applied = False
        self._dressed: list[weakref.ref[QWidget]] = []
        self._families: list[str] = list(self._file["font"]["families"])

    def _resolve(self, mode: str) -> dict[str, QColor]:
        colours = self._file["colours"]
        return {role: QColor(colours[name]) for role, name in self._file[mode].items()}

    @property
    def mode(self) -> Literal["light", "dark"]:
        """What is shown now."""
        return self._mode

    @property
    def wanted(self) -> Mode:
        """What the person chose; "system" follows the desktop."""
        return self._wanted

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self._roles["light"])

    def color(self, role: str, alpha: float = 1.0) -> QColor:
        """The colour of a role ("surface", "muted", "after"...); KeyError for a role that the theme lacks."""
        color = QColor(self._roles[self._mode][role])
        if alpha < 1.0:
            color.setAlphaF(alpha)
        return color

    def heat(self) -> tuple[QColor, ...]:
        """`HEAT_LEVELS` colours from harmless (blue) to ruinous (orange), to write on in the colour "text"."""
        stops = [self.color(f"heat_{number}") for number in range(_HEAT_STOPS)]
        found = []
        for level in range(HEAT_LEVELS):
            stop, share = divmod(level * (_HEAT_STOPS - 1), HEAT_LEVELS - 1)
            ends = (stops[stop], stops[min(stop + 1, _HEAT_STOPS - 1)])
            low, high = ((color.red(), color.green(), color.blue()) for color in ends)
            mixed = (round(a + (b - a) * share / (HEAT_LEVELS - 1)) for a, b in zip(low, high, strict=True))
            found.append(QColor(*mixed))
        return tuple(found)

    def size(self, name: str) -> int:
        """A font size ("tiny", "small", "body", "title", "heading", "figure", "display") in logical pixels."""
        return int(self._file["font"][name])

    def font(self, size: str = "body", *, strong: bool = False, figures: bool = False) -> QFont:
        """A font of the theme. `strong` is semi-bold; `figures` makes digits equally wide, for columns of numbers."""
        font = QFont()
        font.setFamilies(self._families)
        font.setPixelSize(self.size(size))
        font.setWeight(QFont.Weight.DemiBold if strong else QFont.Weight.Normal)
        if figures:
            font.setFeature(QFont.Tag("tnum"), 1)
        return font

    def set_mode(self, mode: Mode) -> None:
        """Show light or dark colours, or follow the desktop."""
        self._wanted = mode
        self._follow()

    def apply(self, app: QApplication) -> None:
        """Load the fonts and set style, palette and font of the application; call once, before the first window."""
        for name in _FONT_FILES:
            QFontDatabase.addApplicationFontFromData(resources.data(f"fonts/{name}"))
        QDir.setSearchPaths("icons", [str(resources.path("icons"))])
        app.setStyle("Fusion")
        app.setFont(self.font())
        app.setWindowIcon(QIcon("icons:featherweight.svg"))
        app.styleHints().colorSchemeChanged.connect(self._follow)
        self._applied = True
        self._mode = self._shown()
        self._paint(app)

    def dress(self, window: QWidget) -> None:
        """Give a window the style sheet, now and after each change.

        It is the window's and not the application's, since that would also be worked out for hundreds of hidden widgets
        of the charts' unused menus: 115 ms a change instead of 20.
        """
        self._dressed.append(weakref.ref(window))
        window.setStyleSheet(self._sheet())

    def _sheet(self) -> str:
        return style_sheet(self._roles[self._mode], self._file["shape"], self._file["font"])

    def _shown(self) -> Literal["light", "dark"]:
        if self._wanted != "system":
            return self._wanted
        dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
        return "dark" if dark else "light"

    def _follow(self) -> None:
        mode = self._shown()
        if mode == self._mode:
            return
        self._mode = mode
        app = QApplication.instance()
        if self._applied and app is not None:
            self._paint(cast(QApplication, app))
        self.changed.emit()

    def _paint(self, app: QApplication) -> None:
        palette = QPalette()
        for role, name in _PALETTE.items():
            palette.setColor(role, self.color(name))
        for role in (QPalette.ColorRole.Text, QPalette.ColorRole.WindowText, QPalette.ColorRole.ButtonText):
            palette.setColor(QPalette.ColorGroup.Disabled, role, self.color("disabled"))
        app.setPalette(palette)
        sheet = self._sheet()
        for window in (ref() for ref in self._dressed):
            if window is not None and isValid(window):
                window.setStyleSheet(sheet)


@cache
def theme() -> Theme:
    """The application's one theme."""
    return Theme()
