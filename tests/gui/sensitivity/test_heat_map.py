"""The heat map: figures in cells, only what is in sight is painted, pointer and keyboard."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from gui.sensitivity.figures import Figures, Grid
from gui.sensitivity.heat_map import HeatMap
from gui.sensitivity.heat_paint import HEADER, ROW
from gui.sensitivity.heat_view import HeatView, Marks

LEFT = Qt.MouseButton.LeftButton
Shown = Callable[..., HeatMap]


def filled(layers: int, columns: int, missing: tuple[int, int] = (-1, -1)) -> Grid:
    """A grid whose errors grow along both axes."""
    names = tuple(f"encoder.layer.{i}.dense.weight" for i in range(layers))
    grid = Grid(names, tuple((column,) for column in range(columns)))  # type: ignore[misc]
    errors = 10 ** (-4.5 + 4 * (np.arange(layers)[:, None] / layers + np.arange(columns) / columns) / 2)
    tiers = np.full((layers, columns), 1, np.int8)
    tiers[:, ::3] = 2
    if missing[0] >= 0:
        errors[missing], tiers[missing] = np.nan, -1
    grid.put(Figures(names, errors * 1e6, errors, errors, tiers, (), "squared"))
    return grid


@pytest.fixture
def shown(qtbot: QtBot) -> Shown:
    def show(layers: int, columns: int, missing: tuple[int, int] = (-1, -1)) -> HeatMap:
        heat = HeatMap()
        qtbot.addWidget(heat)
        grid = filled(layers, columns, missing)
        heads, names = ["Quantization"] * columns, [f"int{column}" for column in range(columns)]
        heat.set_view(HeatView(grid, np.arange(layers), np.arange(columns), grid.names, heads, names))
        heat.tips = lambda row, column: f"{row} {column}"
        heat.resize(560, 420)
        heat.show()
        qtbot.waitExposed(heat)
        return heat

    return show


def click(qtbot: QtBot, heat: HeatMap, row: int, column: int) -> None:
    qtbot.mouseClick(heat.viewport(), LEFT, pos=heat.cell_rect(row, column).center())


def test_only_what_is_in_sight_is_painted(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    heat = shown(2000, 40)
    bar = heat.verticalScrollBar()
    in_sight = (heat.viewport().height() // ROW + 2) * (heat.viewport().width() // 31 + 2)
    times = []
    for step in range(30):
        bar.setValue(step * 701)
        began = time.perf_counter()
        heat.grab()
        times.append(time.perf_counter() - began)
        assert 0 < heat.paint.painted <= in_sight
    with capsys.disabled():
        print(f"\n2,000 x 40: {heat.paint.painted} cells a painting, median {1e3 * float(np.median(times)):.1f} ms")


def test_figures_marks_and_hatching_reach_the_screen(shown: Shown) -> None:
    heat = shown(6, 5, missing=(2, 2))
    before = heat.grab().toImage()
    place = heat.cell_rect(1, 1)
    heat.set_marks(Marks({1: 1}, frozenset({4})))
    after = heat.grab().toImage()
    corner = place.topLeft() + QPoint(1, 1)
    assert before.pixel(corner) != after.pixel(corner)  # the ring
    label = QPoint(1, heat.cell_rect(4, 0).center().y())
    assert before.pixel(label) != after.pixel(label)  # the selected layer
    colours = {before.pixel(heat.cell_rect(row, column).topLeft() + QPoint(2, 2)) for row, column in
               ((0, 0), (5, 4))}
    assert len(colours) == 2
    hatched = heat.cell_rect(2, 2)
    seen = {before.pixel(hatched.x() + x, hatched.center().y()) for x in range(hatched.width() - 2)}
    assert len(seen) > 1 and heat.chosen(1) == 1 and heat.chosen(0) == -1


def test_headings_stay_while_rows_scroll(shown: Shown) -> None:
    heat = shown(200, 5)
    before = heat.grab().toImage().copy(0, 0, heat.viewport().width(), HEADER - 1)
    heat.verticalScrollBar().setValue(1000)
    assert heat.grab().toImage().copy(0, 0, heat.viewport().width(), HEADER - 1) == before


def test_a_click_uses_a_cell_and_a_double_click_does_so_once(shown: Shown, qtbot: QtBot) -> None:
    heat = shown(6, 5, missing=(2, 2))
    used: list[tuple[int, int]] = []
    rows: list[int] = []
    heat.used.connect(lambda row, column: used.append((row, column)))
    heat.row_chosen.connect(rows.append)
    click(qtbot, heat, 3, 1)
    click(qtbot, heat, 4, 2)
    qtbot.mouseDClick(heat.viewport(), LEFT, pos=heat.cell_rect(4, 2).center())
    click(qtbot, heat, 2, 2)  # there is no such cell
    assert used == [(3, 1), (4, 2)] and rows == [3, 4, 2]  # the second press of a double click does nothing
    qtbot.mouseClick(heat.viewport(), LEFT, pos=QPoint(5, heat.cell_rect(5, 0).center().y()))
    assert rows[-1] == 5 and len(used) == 2  # a name selects its layer and no more


def test_headings_ask_for_an_order(shown: Shown, qtbot: QtBot) -> None:
    heat = shown(6, 5)
    asked: list[int] = []
    heat.sort_asked.connect(asked.append)
    qtbot.mouseClick(heat.viewport(), LEFT, pos=QPoint(heat.cell_rect(0, 3).center().x(), HEADER - 8))
    qtbot.mouseClick(heat.viewport(), LEFT, pos=QPoint(4, 4))
    assert asked == [3, -1]


def test_the_keyboard_reaches_every_cell(shown: Shown, qtbot: QtBot) -> None:
    heat = shown(300, 40)
    used: list[tuple[int, int]] = []
    heat.used.connect(lambda row, column: used.append((row, column)))
    heat.setFocus(Qt.FocusReason.TabFocusReason)
    keys = Qt.Key
    for key in (keys.Key_Down, keys.Key_Down, keys.Key_Right, keys.Key_Return):
        qtbot.keyClick(heat, key)
    assert used == [(2, 1)]
    qtbot.keyClick(heat, keys.Key_End)
    assert heat.current_cell == (2, 39) and heat.horizontalScrollBar().value() > 0
    qtbot.keyClick(heat, keys.Key_End, Qt.KeyboardModifier.ControlModifier)
    assert heat.current_cell == (299, 39)
    place = heat.cell_rect(299, 39)
    assert heat.viewport().rect().contains(place.center()) and heat.accessibleDescription() == "299 39"
    qtbot.keyClick(heat, keys.Key_PageUp)
    assert heat.current_cell is not None and 270 < heat.current_cell[0] < 299
    qtbot.keyClick(heat, keys.Key_Home, Qt.KeyboardModifier.ControlModifier)
    assert heat.current_cell == (0, 0)


def test_another_order_keeps_the_place(shown: Shown) -> None:
    heat = shown(10, 4)
    heat.show_row(7)
    view = heat.view
    assert view is not None
    heat.set_view(HeatView(view.grid, np.arange(10)[::-1].copy(), view.columns, view.titles, view.heads, view.names, 2))
    assert heat.current_cell == (7, 0)
    heat.set_view(HeatView(view.grid, np.array([1, 2]), np.array([3]), view.titles, view.heads, view.names))
    assert heat.current_cell == (1, 3)  # it is gone: the first that there is
