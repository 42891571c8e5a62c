"""The Sensitivity lens: honest states, a table that sets the plan, selection both ways, order and filter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from pytestqt.qtbot import QtBot

from core.recipe import Step
from gui.layers.panel import LayersPanel
from gui.layers.table_model import Column
from gui.lenses.sensitivity import SensitivityLens
from gui.sensitivity.cards import BY_SIZE, BY_WORST
from gui.sensitivity.figures import Figures, Grid, Made
from gui.sensitivity.state import Phase
from gui.session import Session

LEFT = Qt.MouseButton.LeftButton
Opened = Callable[[Session, Path], Session]


@pytest.fixture
def lens(qtbot: QtBot, session: Session) -> SensitivityLens:
    lens = SensitivityLens()
    qtbot.addWidget(lens)
    lens.set_session(session)
    lens.resize(600, 720)
    lens.show()
    return lens


@pytest.fixture
def known(session: Session, opened: Opened, cnn_path: Path) -> Session:
    """A session in which a measured table of squared errors is there, without any job having run."""
    opened(session, cnn_path)
    put_table(session)
    return session


def put_table(session: Session) -> None:
    """Errors grow along the rows, and from one setting of the table to the next; the last row has no low rank."""
    state = session.sensitivity
    assert session.model is not None
    names = tuple(layer.name for layer in session.model.layers)
    shape = (len(names), len(state.settings))
    errors = 10 ** (-4.0 + 0.25 * np.arange(shape[1]) + 0.1 * np.arange(shape[0])[:, None])
    tiers = np.full(shape, 1, np.int8)
    tiers[:, 3] = 2
    missing = [at for at, steps in enumerate(state.settings) if steps[0].method == "low_rank"]
    errors[-1, missing], tiers[-1, missing] = np.nan, -1
    nbytes = np.where(tiers < 0, np.nan, 1e4 / (1.0 + np.arange(shape[1])))
    reasons = tuple((shape[0] - 1, column, "is too small") for column in missing)
    figures = Figures(names, nbytes, errors, np.full(shape, np.nan), tiers, reasons, "squared")
    state._quiet.stop()
    state._grid = Grid(names, state.settings)
    state._accept((Made(session.model.sha256, "squared", 64, 41.2, ("A note.",)), (figures,)), None)
    state._take_part()


def cell(lens: SensitivityLens, row: int, column: int) -> tuple[int, int]:
    """The place in the view of a grid cell."""
    view = lens.heat.map.view
    assert view is not None
    return int(np.flatnonzero(view.rows == row)[0]), int(np.flatnonzero(view.columns == column)[0])


def click(qtbot: QtBot, lens: SensitivityLens, row: int, column: int) -> None:
    place = lens.heat.map.cell_rect(*cell(lens, row, column))
    qtbot.mouseClick(lens.heat.map.viewport(), LEFT, pos=place.center())


def test_states_say_what_there_is(lens: SensitivityLens, session: Session, opened: Opened, cnn_path: Path) -> None:
    assert lens.empty.words().startswith("No model is open.")
    opened(session, cnn_path)
    assert lens.empty.words().startswith("The errors of the weights are being computed")
    put_table(session)
    assert lens.heat.title.text() == "Output SQNR by layer, dB"
    words = lens.heat.caption.plain_text
    layers = len(session.model.layers) if session.model is not None else 0
    assert words.startswith(f"{layers} layers × {len(session.sensitivity.settings)} settings")
    assert f"{layers} measured on 64 samples of data that is not loaded now" in words.replace("\u00a0", " ")
    assert "41 s · A note · click a cell to use it" in words.replace("\u00a0", " ")
    assert lens.heat.button.text().startswith("Load data")
    session.close_model()
    assert lens.empty.words().startswith("No model is open.")


def test_a_click_sets_the_steps_and_can_be_undone(lens: SensitivityLens, known: Session, qtbot: QtBot) -> None:
    grid = known.sensitivity.grid
    assert grid is not None
    click(qtbot, lens, 2, 3)
    assert known.steps(grid.names[2]) == grid.settings[3] and known.selection == (grid.names[2],)
    assert lens.heat.map.chosen(2) == 3 and known.undo_stack.undoText().startswith("use int4 for ")
    assert lens.curves.chart.chosen == 3 and lens.curves.title.text().endswith("error against size")
    known.undo_stack.undo()
    assert known.steps(grid.names[2]) == () and lens.heat.map.chosen(2) == -1
    known.undo_stack.redo()
    click(qtbot, lens, 2, 3)  # once more: it is taken out
    assert known.steps(grid.names[2]) == ()


def test_selection_goes_both_ways(lens: SensitivityLens, known: Session, qtbot: QtBot) -> None:
    grid = known.sensitivity.grid
    assert grid is not None
    known.select((grid.names[3],))
    assert lens.heat.map.current_cell is not None and lens.heat.map.current_cell[0] == 3
    lens.heat.map.setFocus()
    qtbot.keyClick(lens.heat.map, Qt.Key.Key_Up)
    assert known.selection == (grid.names[2],)
    qtbot.keyClick(lens.heat.map, Qt.Key.Key_Return)
    column = lens.heat.map.current_cell[1]
    assert known.steps(grid.names[2]) == grid.settings[column]
    assert "Click to" in lens.heat.map.accessibleDescription() or "plan has this" in \
        lens.heat.map.accessibleDescription()


def test_rows_sort_and_follow_the_filter(lens: SensitivityLens, known: Session, qtbot: QtBot) -> None:
    panel = LayersPanel(known)
    qtbot.addWidget(panel)
    heat = lens.heat
    assert known.model is not None and heat.map.view is not None
    n = len(known.model.layers)
    assert heat.map.view.rows.tolist() == list(range(n))
    heat.map.sort_asked.emit(3)
    assert heat.map.view.rows.tolist() == list(range(n))[::-1] and heat.order.currentIndex() == -1
    assert heat.order.placeholderText() == "By int4"
    heat.map.sort_asked.emit(3)
    assert heat.map.view.rows.tolist() == list(range(n)) and not heat.map.view.falling
    heat.map.sort_asked.emit(3)
    assert heat.map.view.sorted_by == -1 and heat.order.currentText() == "Model order"
    heat.order_chosen.emit(BY_WORST)
    assert heat.map.view.rows.tolist() == list(range(n))[::-1] and heat.order.currentData() == BY_WORST
    assert known.model is not None and heat.answer.text().startswith("fc hurts most at int4: ")
    heat.order_chosen.emit(BY_SIZE)
    sizes = [known.model.layers[row].nbytes for row in heat.map.view.rows]
    assert sizes == sorted(sizes, reverse=True)
    panel.filter.setText("fc")
    assert [known.model.layers[row].name for row in heat.map.view.rows] == ["fc.weight"]
    assert heat.caption.plain_text.startswith(f"1 of {n} layers")
    panel.filter.clear()
    assert len(heat.map.view.rows) == n


def test_families_can_be_hidden_but_not_all(lens: SensitivityLens, known: Session) -> None:
    families = lens.heat.families
    view = lens.heat.map.view
    assert view is not None
    every = len(view.columns)
    families.action("Pruning").trigger()
    view = lens.heat.map.view
    assert view is not None and 0 < len(view.columns) < every
    assert {spot.family for spot in lens.curves.chart.spots()}.isdisjoint({"Pruning"})
    for name in ("Quantization", "Low rank", "Filtering"):
        families.action(name).trigger()
    view = lens.heat.map.view
    assert view is not None and len(view.columns) > 0


def test_curves_show_the_layer_and_a_click_uses_a_point(lens: SensitivityLens, known: Session, qtbot: QtBot) -> None:
    grid = known.sensitivity.grid
    assert grid is not None
    known.select((grid.names[0],))
    chart = lens.curves.chart
    spots = chart.spots()
    assert len(spots) == len(grid.settings) and [spot.measured for spot in spots].count(True) == 1
    wanted = next(spot for spot in spots if spot.measured)
    box = chart.plotItem.getViewBox()
    point = box.mapViewToScene(QPointF(wanted.share, chart.height_of(wanted.error)))
    qtbot.mouseMove(chart.viewport(), chart.mapFromScene(point))
    qtbot.mouseClick(chart.viewport(), LEFT, pos=chart.mapFromScene(point))
    assert known.steps(grid.names[0]) == grid.settings[wanted.column] and chart.chosen == wanted.column
    qtbot.keyClick(chart, Qt.Key.Key_Home)
    qtbot.keyClick(chart, Qt.Key.Key_Return)
    assert known.steps(grid.names[0]) == grid.settings[spots[0].column]


def test_a_burst_of_figures_is_drawn_together(lens: SensitivityLens, known: Session, qtbot: QtBot) -> None:
    drawn: list[int] = []
    refresh = lens.heat.map.refresh
    lens.heat.map.refresh = lambda: (drawn.append(1), refresh())[1]  # type: ignore[method-assign]
    known.sensitivity._phase = Phase.RUNNING
    for _ in range(200):
        known.sensitivity.changed.emit(("fc.weight",))
    qtbot.waitUntil(lambda: bool(drawn))
    qtbot.wait(120)
    assert len(drawn) == 1


def test_the_table_of_layers_has_a_bar_of_the_same_figure(known: Session, qtbot: QtBot) -> None:
    panel = LayersPanel(known)
    qtbot.addWidget(panel)
    panel.resize(540, 400)
    panel.show()
    grid = known.sensitivity.grid
    assert grid is not None and known.sensitivity.reference == grid.settings.index((Step.make("quantize", bits=4),))
    qtbot.waitUntil(lambda: not panel.table.isColumnHidden(Column.SENSITIVITY))
    rows = [panel.model.row(panel.model.row_of(name)) for name in grid.names]
    bars = [row.sensitive for row in rows]
    assert None not in bars and bars == sorted(bars, key=lambda share: share or 0.0) and rows[0].from_outputs
    assert rows[0].sensitivity == "int4 alone: 32.5 dB, measured on 64 samples with this layer alone compressed"
    assert rows[0].sensitivity in panel.model.data(panel.model.index(0, 0), Qt.ItemDataRole.ToolTipRole)
    panel.table.horizontalHeader().sectionClicked.emit(Column.SENSITIVITY)
    assert panel.model.names == grid.names[::-1]
    panel.resize(330, 400)
    assert panel.table.columnWidth(Column.LAYER) >= 110
    assert not panel.grab().isNull()


def test_a_setting_that_no_column_is_for_is_marked(lens: SensitivityLens, known: Session) -> None:
    grid, heat = known.sensitivity.grid, lens.heat.map
    assert grid is not None
    narrow = heat.cell_rect(0, 1).x() - heat.cell_rect(0, 0).x()
    known.set_steps((grid.names[1],), (Step.make("quantize", bits=7),), text="seven bits")
    assert heat.chosen(1) == -1 and "int7" in heat.words_of_other(1) and "not known" in heat.words_of_other(1)
    assert heat.words_of_other(0) == ""
    assert heat.cell_rect(0, 1).x() - heat.cell_rect(0, 0).x() <= narrow  # it has a place behind the last column
    assert not heat.grab().isNull()
    known.undo_stack.undo()
    assert heat.words_of_other(1) == ""
