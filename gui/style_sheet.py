"""The application's style sheet, built from roles. Widgets opt in by a `role` property or by what they are.

Roles of widgets (`widget.setProperty("role", ...)`):
  QFrame   card, summary, bar, panel, rule
  QLabel   title, heading, caption, small, figure, badge, good, warn, bad, accent, display
  QPushButton / QToolButton   primary, flat, link, step, segment
  QDoubleSpinBox / QComboBox   number, flat
  QListWidget / QScrollArea   plain
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import Any

from PySide6.QtGui import QColor

_BASE = """
QWidget { color: $text; }
QMainWindow, QDialog, QWidget[role="window"] { background: $window; }
QFrame[role="panel"], QFrame[role="bar"], QWidget[role="surface"] { background: $surface; border: 0; }
QFrame[role="card"] { background: $surface; border: 1px solid $border; border-radius: ${radius}px; }
QFrame[role="summary"] { background: $sunken; border: 1px solid $border; border-radius: ${radius}px; }
QFrame[role="message_info"] { background: $selection; border: 1px solid $strong_border; border-radius: 6px; }
QFrame[role="message_warn"] { background: $warn_surface; border: 1px solid $strong_border; border-radius: 6px; }
QFrame[role="message_bad"] { background: $bad_surface; border: 1px solid $strong_border; border-radius: 6px; }
QFrame[role="rule"] { background: $border; border: 0; }
QScrollArea, QScrollArea > QWidget > QWidget[role="plain"] { background: transparent; border: 0; }
QToolTip { background: $surface; color: $text; border: 1px solid $strong_border; padding: 4px 6px; }

QLabel { background: transparent; border: 0; }
QLabel[role="title"] { font-weight: 600; }
QLabel[role="heading"] { font-size: ${heading}px; font-weight: 600; }
QLabel[role="display"] { font-size: ${display}px; font-weight: 600; }
QLabel[role="figure"] { font-size: ${figure}px; font-weight: 600; }
QLabel[role="caption"] { color: $muted; }
QLabel[role="small"] { color: $muted; font-size: ${small}px; }
QLabel[role="small_good"] { color: $good; font-size: ${small}px; }
QLabel[role="small_warn"] { color: $warn; font-size: ${small}px; }
QLabel[role="small_bad"] { color: $bad; font-size: ${small}px; }
QLabel[role="badge"] { background: $badge; color: $muted; font-size: ${small}px; border-radius: 4px; padding: 1px 5px; }
QLabel[role="accent"] { color: $accent; }
QLabel[role="good"] { color: $good; }
QLabel[role="warn"] { color: $warn; }
QLabel[role="bad"] { color: $bad; }
"""

_BUTTONS = """
QPushButton { background: $surface; border: 1px solid $border; border-radius: ${control_radius}px;
  padding: 5px 11px; min-height: 16px; }
QPushButton:hover { border-color: $strong_border; background: $hover; }
QPushButton:pressed { background: $border; }
QPushButton:disabled { color: $disabled; background: $surface; }
QPushButton:focus { border-color: $accent; }
QPushButton::menu-indicator { image: url(icons:$mode/down.svg); subcontrol-position: right center; right: 7px; }
QPushButton[menu="true"] { padding-right: 25px; }
QPushButton[role="primary"] { background: $accent; border-color: $accent; color: $on_accent; font-weight: 500; }
QPushButton[role="primary"]:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton[role="primary"]:focus { border-color: $text; }
QPushButton[role="primary"]:disabled { background: $track; border-color: $track; color: $disabled; }
QPushButton[role="flat"] { background: transparent; border-color: transparent; }
QPushButton[role="flat"]:hover { background: $hover; }
QPushButton[role="flat"]:focus { border-color: $accent; }
QPushButton[role="flat"]:disabled { color: $disabled; }
QPushButton[role="link"] { background: transparent; border: 1px solid transparent; color: $muted; padding: 1px 4px; }
QPushButton[role="link"]:hover { color: $text; }
QPushButton[role="link"]:focus { border-color: $accent; }
QPushButton[role="recent"] { background: transparent; border-color: transparent; text-align: left; color: $muted; }
QPushButton[role="recent"]:hover { background: $hover; color: $text; }
QPushButton[role="recent"]:focus { border-color: $accent; }
QToolButton { background: transparent; border: 1px solid transparent; border-radius: ${control_radius}px;
  padding: 3px 6px; }
QToolButton:hover { background: $hover; }
QToolButton:focus { border-color: $accent; }
QToolButton:checked { background: $selection; color: $accent; }
QToolButton:disabled { color: $disabled; }
QToolButton::menu-indicator { image: none; }
QToolButton[role="button"], QToolButton[role="flat"], QToolButton[role="primary"] { padding: 5px 7px;
  min-height: 16px; }
QToolButton[role="button"] { background: $surface; border-color: $border; }
QToolButton[role="button"]:hover { background: $hover; border-color: $strong_border; }
QToolButton[role="button"]:pressed { background: $border; }
QToolButton[role="button"]:focus { border-color: $accent; }
QToolButton[role="primary"] { background: $accent; border-color: $accent; color: $on_accent; font-weight: 500; }
QToolButton[role="primary"]:hover { background: $accent_hover; border-color: $accent_hover; }
QToolButton[role="primary"]:focus { border-color: $text; }
QToolButton[role="primary"]:disabled { background: $track; border-color: $track; color: $disabled; }
"""

_FIELDS = """
QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox, QPlainTextEdit { background: $sunken; border: 1px solid $border;
  border-radius: ${control_radius}px; padding: 4px 7px; selection-background-color: $accent;
  selection-color: $on_accent; }
QLineEdit:hover, QSpinBox:hover, QDoubleSpinBox:hover, QComboBox:hover { border-color: $strong_border; }
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus, QPlainTextEdit:focus { border-color: $accent; }
QLineEdit[invalid="true"] { border-color: $bad; }
QLineEdit:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled, QComboBox:disabled { color: $disabled; }
QSpinBox::up-button, QDoubleSpinBox::up-button { subcontrol-position: top right; width: 18px; border: 0; }
QSpinBox::down-button, QDoubleSpinBox::down-button { subcontrol-position: bottom right; width: 18px; border: 0; }
QSpinBox::up-arrow, QDoubleSpinBox::up-arrow { image: url(icons:$mode/up.svg); width: 10px; height: 10px; }
QSpinBox::down-arrow, QDoubleSpinBox::down-arrow { image: url(icons:$mode/down.svg); width: 10px; height: 10px; }
QDoubleSpinBox[role="number"]::up-button, QDoubleSpinBox[role="number"]::down-button { width: 0; }
QDoubleSpinBox[role="number"]::up-arrow, QDoubleSpinBox[role="number"]::down-arrow { image: none; width: 0; height: 0; }
QDoubleSpinBox[role="number"]::up-arrow, QDoubleSpinBox[role="number"]::down-arrow { image: none; width: 0; }
QComboBox { padding-right: 22px; }
QComboBox::drop-down { border: 0; width: 22px; }
QComboBox::down-arrow { image: url(icons:$mode/down.svg); width: 14px; height: 14px; }
QComboBox[role="flat"] { background: transparent; border-color: transparent; }
QComboBox[role="flat"]:hover { background: $hover; }
QComboBox[role="flat"]:focus { border-color: $accent; }
QComboBox QAbstractItemView { background: $surface; border: 1px solid $strong_border; padding: 4px; outline: 0;
  selection-background-color: $selection; selection-color: $text; }
QCheckBox { spacing: 7px; }
QCheckBox::indicator { width: 14px; height: 14px; border: 1px solid $strong_border; border-radius: 4px;
  background: $sunken; }
QCheckBox::indicator:hover, QCheckBox::indicator:focus { border-color: $accent; }
QCheckBox::indicator:checked { background: $accent; border-color: $accent; image: url(icons:$mode/check.svg); }
QSlider::groove:horizontal { height: 4px; background: $track; border-radius: 2px; }
QSlider::sub-page:horizontal { background: $accent; border-radius: 2px; }
QSlider::handle:horizontal { width: 14px; height: 14px; margin: -6px 0; border-radius: 8px; background: $surface;
  border: 1px solid $before; }
QSlider::handle:horizontal:hover, QSlider:focus::handle:horizontal { border-color: $accent; }
"""

_VIEWS = """
QTableView, QListView, QTreeView { background: $surface; border: 0; outline: 0; gridline-color: $border;
  selection-background-color: $selection; selection-color: $text; }
QTableView[role="padded"]::item { padding: 0 5px; }
QHeaderView { background: $surface; border: 0; }
QHeaderView::section { background: $surface; color: $muted; font-size: ${small}px; border: 0;
  border-bottom: 1px solid $border; padding: 0 8px; }
QHeaderView::section:hover { color: $text; }
QHeaderView::up-arrow, QHeaderView::down-arrow { width: 0; height: 0; }
QTabBar { background: transparent; border: 0; }
QTabBar::tab { background: transparent; color: $muted; padding: 0 7px; min-height: 40px; border: 0;
  border-bottom: 2px solid transparent; }
QTabBar::tab:hover { color: $text; }
QTabBar::tab:selected { color: $text; font-weight: 600; border-bottom-color: $accent; }
QTabBar::tab:focus { color: $accent; }
QTabBar::scroller { width: 44px; }
QTabBar::tear { width: 0; border: 0; image: none; }
QTabBar QToolButton { background: $window; border: 0; border-radius: 0; padding: 0; }
QTabBar QToolButton:hover { background: $hover; }
QTabBar QToolButton::left-arrow { image: url(icons:$mode/left.svg); width: 14px; height: 14px; }
QTabBar QToolButton::right-arrow { image: url(icons:$mode/right.svg); width: 14px; height: 14px; }
QTabBar QToolButton::left-arrow:disabled, QTabBar QToolButton::right-arrow:disabled { image: none; }
QTabWidget::pane { border: 0; }
QProgressBar { background: $track; border: 0; border-radius: 3px; min-height: 6px; max-height: 6px; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }
QSplitter::handle { background: $border; }
QSplitter::handle:hover { background: $accent; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 2px; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 2px; }
QScrollBar::handle { background: $strong_border; border-radius: 3px; min-height: 28px; min-width: 28px; }
QScrollBar::handle:hover { background: $before; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QMenuBar { background: $surface; border-bottom: 1px solid $border; padding: 1px 6px; }
QMenuBar::item { background: transparent; padding: 4px 8px; border-radius: 4px; }
QMenuBar::item:selected { background: $hover; }
QMenu { background: $surface; border: 1px solid $strong_border; padding: 4px; menu-scrollable: 1; }
QMenu::item { padding: 5px 28px 5px 12px; border-radius: 4px; }
QMenu::item:selected { background: $selection; }
QMenu::item:disabled { color: $disabled; }
QMenu::separator { height: 1px; background: $border; margin: 4px 8px; }
QMenu::indicator { width: 14px; height: 14px; left: 4px; }
"""

_SMALL_CONTROLS = """
QToolButton[role="step"] { font-weight: 600; padding: 3px 5px; }
QToolButton[role="segment"] { color: $muted; font-size: ${small}px; padding: 2px 6px; border-radius: 5px; }
QToolButton[role="segment"]:hover { color: $text; }
QToolButton[role="segment"]:checked { background: $selection; color: $accent; font-weight: 600; }
QToolButton[role="segment"]:disabled { color: $disabled; }
QToolButton[role="segment"]:focus { border-color: $accent; }
QDoubleSpinBox[role="number"] { background: transparent; border-color: transparent; padding: 2px 5px; }
QDoubleSpinBox[role="number"]::up-button, QDoubleSpinBox[role="number"]::down-button { width: 0; }
QDoubleSpinBox[role="number"]::up-arrow, QDoubleSpinBox[role="number"]::down-arrow { image: none; width: 0; height: 0; }
QDoubleSpinBox[role="number"]:hover { background: $hover; }
QDoubleSpinBox[role="number"]:focus { background: $sunken; border-color: $accent; }
"""


def style_sheet(roles: Mapping[str, QColor], shape: Mapping[str, Any], font: Mapping[str, Any]) -> str:
    """The sheet with every `$role`, size and radius filled in; KeyError names a role that the theme lacks."""
    mode = "dark" if roles["surface"].lightness() < 128 else "light"
    words = {role: color.name() for role, color in roles.items()}
    words |= {name: str(value) for name, value in {**shape, **font}.items() if isinstance(value, int)}
    return Template(_BASE + _BUTTONS + _FIELDS + _VIEWS + _SMALL_CONTROLS).substitute(words, mode=mode)
