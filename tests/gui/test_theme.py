"""The theme: every role in both modes, readable contrast, and the sheet is complete."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

import resources
from gui.style_sheet import style_sheet
from gui.theme import Theme, theme

FILE = tomllib.loads(resources.text("theme.toml"))
SURFACES = ("surface", "window", "sunken")
TEXTS = ("text", "muted", "faint", "accent", "good", "warn", "bad")


def luminance(color: QColor) -> float:
    """Relative luminance (WCAG 2.2)."""
    def linear(c: float) -> float:
        return c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
    return 0.2126 * linear(color.redF()) + 0.7152 * linear(color.greenF()) + 0.0722 * linear(color.blueF())


def contrast(a: QColor, b: QColor) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def in_mode(mode: str) -> Theme:
    made = Theme()
    made.set_mode("dark" if mode == "dark" else "light")
    return made


def test_both_modes_have_the_same_roles_and_use_every_colour() -> None:
    assert list(FILE["light"]) == list(FILE["dark"])
    used = set(FILE["light"].values()) | set(FILE["dark"].values())
    assert used == set(FILE["colours"])


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("text", TEXTS)
def test_texts_can_be_read(mode: str, surface: str, text: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    now = in_mode(mode)
    assert contrast(now.color(text), now.color(surface)) >= 4.5


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_button_text_can_be_read(mode: str) -> None:
    now = in_mode(mode)
    assert contrast(now.color("on_accent"), now.color("accent")) >= 4.5


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_sheet_is_filled_in_and_names_no_colour_of_its_own(mode: str) -> None:
    now = in_mode(mode)
    colours = {role: now.color(role) for role in now.roles}
    sheet = style_sheet(colours, FILE["shape"], FILE["font"])
    assert "$" not in sheet and f"icons:{mode}/" in sheet
    known = {c.name() for c in colours.values()}
    assert set(re.findall(r"#[0-9a-f]{6}", sheet)) <= known


def test_icons_that_the_sheet_names_exist() -> None:
    now = in_mode("light")
    sheet = style_sheet({role: now.color(role) for role in now.roles}, FILE["shape"], FILE["font"])
    for name in set(re.findall(r"url\(icons:([^)]+)\)", sheet)):
        assert resources.path(f"icons/{name}").is_file(), name


def test_no_module_of_the_window_names_a_colour() -> None:
    package = Path(resources.__file__).parent.parent / "gui"
    named = [p.name for p in package.rglob("*.py") if re.search(r"['\"]#[0-9a-fA-F]{3,8}['\"]", p.read_text("utf-8"))]
    assert named == []


def test_changing_the_mode_is_announced_once(qtbot: QtBot) -> None:
    theme().set_mode("light")
    with qtbot.waitSignal(theme().changed):
        theme().set_mode("dark")
    with qtbot.assertNotEmitted(theme().changed):
        theme().set_mode("dark")
    theme().set_mode("light")


def test_unknown_role_is_an_error() -> None:
    with pytest.raises(KeyError):
        theme().color("mauve")


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_is_readable_on_every_heat(mode: str) -> None:
    made = in_mode(mode)
    heat = made.heat()
    assert heat[0] == made.color("heat_0") and heat[-1] == made.color("heat_4")
    assert min(contrast(made.color("text"), color) for color in heat) >= 4.5
    # blue to orange: the two ends differ along the axis that every kind of colour vision has
    assert heat[0].blueF() - heat[0].redF() > 0.2 and heat[-1].redF() - heat[-1].blueF() > 0.2
