"""The few rules that only the inspector's small controls need, from the theme's roles."""

from __future__ import annotations

from string import Template

from gui.theme import theme

_SHEET = Template("""
QToolButton[role="step"] { font-weight: 600; padding: 3px 5px; }
QToolButton[role="segment"] { padding: 2px 6px; color: $muted; border-radius: 5px; }
QToolButton[role="segment"]:hover { color: $text; }
QToolButton[role="segment"]:checked { background: $selection; color: $accent; font-weight: 600; }
QToolButton[role="segment"]:focus { border-color: $accent; }
QDoubleSpinBox[role="number"] { background: transparent; border-color: transparent; padding: 2px 5px; }
QDoubleSpinBox[role="number"]:hover { background: $hover; }
QDoubleSpinBox[role="number"]:focus { background: $sunken; border-color: $accent; }
QComboBox { padding-top: 2px; padding-bottom: 2px; }
""")


def inspector_sheet() -> str:
    """The sheet in the theme's present colours."""
    now = theme()
    return _SHEET.substitute({role: now.color(role).name() for role in now.roles})
