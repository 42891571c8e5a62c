"""The layers table: model contract, sort, filter, selection both ways, what rows say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtGui import QFontMetrics
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from core.recipe import Step
from gui.layers.elision import Elision
from gui.layers.panel import LayersPanel
from gui.layers.table_model import Column, LayersModel
from gui.session import Session
from gui.theme import theme
from gui.units import file_size

PATIENCE_MS = 30_000
Opened = Callable[[Session, Path], Session]


@pytest.fixture
def panel(session: Session, qtbot: QtBot) -> LayersPanel:
    made = LayersPanel(session)
    qtbot.addWidget(made)
    made.resize(540, 600)
    made.show()
    return made


def click_header(panel: LayersPanel, column: Column) -> None:
    panel.table.horizontalHeader().sectionClicked.emit(column)


def test_model_keeps_the_contract_through_all_changes(session: Session, opened: Opened, cnn_path: Path,
                                                      mlp_path: Path) -> None:
    model = LayersModel(session)
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    opened(session, cnn_path)
    assert model.rowCount() == model.total > 0
    for column in Column:
        model.sort(column, Qt.SortOrder.DescendingOrder)
    session.set_steps(["fc.weight"], [Step.make("quantize", bits=8)])
    opened(session, mlp_path)
    session.close_model()
    assert model.rowCount() == 0


def test_rows_say_name_kind_size_and_plan(session: Session, opened: Opened, cnn_path: Path) -> None:
    model = LayersModel(session)
    opened(session, cnn_path)
    row = model.row(model.row_of("depthwise.weight"))
    assert (row.badge, row.size, row.plan, row.error) == ("Conv·dw", "288 B", "keep", "")
    assert row.bars and max(r.height() for r in row.bars) > 0
    tip = model.data(model.index(model.row_of("conv.weight"), 0), Qt.ItemDataRole.ToolTipRole)
    assert "8×3×3×3" in tip and "used by Conv" in tip and "zeros" in tip


def test_plan_and_error_follow_the_recipe(session: Session, opened: Opened, cnn_path: Path, qtbot: QtBot) -> None:
    model = LayersModel(session)
    opened(session, cnn_path)
    session.set_steps(["fc.weight"], [Step.make("quantize", bits=4)])
    qtbot.waitUntil(lambda: "fc.weight" in session.previews, timeout=PATIENCE_MS)
    row = model.row(model.row_of("fc.weight"))
    assert row.plan == "int4"
    assert row.error_share is not None and row.error == f"{session.previews['fc.weight'].weight_sqnr_db:.0f}"


def test_layer_left_alone_by_the_compression_says_why(session: Session, opened: Opened, cnn_path: Path,
                                                      qtbot: QtBot) -> None:
    """Pruned and packed, 72 weights take more bytes than before: the exporter leaves them as they were."""
    model = LayersModel(session)
    opened(session, cnn_path)
    session.set_steps(["depthwise.weight"], [Step.make("prune", ratio=0.1), Step.make("quantize", bits=8)])
    session.set_steps(["fc.weight"], [Step.make("quantize", bits=8)])
    qtbot.waitUntil(lambda: session.predicted_bytes is not None, timeout=PATIENCE_MS)
    session.compress()
    qtbot.waitUntil(lambda: session.result is not None, timeout=PATIENCE_MS)
    assert session.result is not None and session.result.layers["depthwise.weight"].skipped
    row = model.row(model.row_of("depthwise.weight"))
    assert row.plan == "skipped: no gain" and row.plan_role == "warn" and row.error == ""


def test_measured_and_computed_errors_are_told_apart(session: Session, opened: Opened, cnn_path: Path, tmp_path: Path,
                                                     qtbot: QtBot) -> None:
    def header() -> str:
        return str(model.headerData(Column.ERROR, Qt.Orientation.Horizontal))

    model = LayersModel(session)
    opened(session, cnn_path)
    assert session.model is not None
    data = tmp_path / "data.npz"
    shape = [size if isinstance(size, int) else 1 for size in session.model.inputs[0].shape][1:]
    values = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    np.savez(data, **{session.model.inputs[0].name: values})
    session.load_data(data)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    session.set_steps(["conv.weight", "fc.weight"], [Step.make("quantize", bits=4)])
    qtbot.waitUntil(lambda: session.predicted_bytes is not None, timeout=PATIENCE_MS)
    fc, conv = (model.row_of(name) for name in ("fc.weight", "conv.weight"))
    assert header() == "Weight SQNR" and not model.row(fc).measured
    tip = model.data(model.index(fc, 0), Qt.ItemDataRole.ToolTipRole)
    assert "→" in tip and "by the plan" in tip
    session.compress()
    qtbot.waitUntil(lambda: session.result is not None, timeout=PATIENCE_MS)
    assert header() == "Output SQNR" and model.row(fc).measured and model.row(conv).measured
    session.set_steps(["fc.weight"], [Step.make("quantize", bits=8)])  # of conv alone nothing has changed
    assert header() == "Output SQNR" and not model.row(fc).measured and model.row(conv).measured


def test_size_by_the_plan_is_beside_the_size_where_there_is_room(panel: LayersPanel, session: Session, opened: Opened,
                                                                 cnn_path: Path, qtbot: QtBot) -> None:
    opened(session, cnn_path)
    session.set_steps(["fc.weight"], [Step.make("quantize", bits=8)])
    qtbot.waitUntil(lambda: "fc.weight" in session.previews, timeout=PATIENCE_MS)
    row = panel.model.row(panel.model.row_of("fc.weight"))
    assert row.size_after == file_size(session.previews["fc.weight"].bytes_after) != row.size
    assert panel.model.row(panel.model.row_of("conv.weight")).size_after == ""
    panel.resize(400, 600)
    narrow = panel.table.columnWidth(Column.SIZE)
    panel.resize(700, 600)
    assert panel.table.columnWidth(Column.SIZE) > narrow
    session.undo_stack.undo()
    assert panel.table.columnWidth(Column.SIZE) == narrow


def test_shortened_names_differ_and_fit(qapp: object) -> None:
    width = QFontMetrics(theme().font("body")).horizontalAdvance
    names = ["patches.proj", *(f"transformer.blocks.{i}.{part}" for i in range(12)
                               for part in ("linear1", "linear2", "attention.output.dense"))]
    elision = Elision(names)
    for room in range(90, 240, 9):
        short = [elision.shortened(name, room, width) for name in names]
        assert max(map(width, short)) <= room
        assert len(set(short)) == len(names), room
    assert elision.shortened(names[1], 90, width) == "\N{HORIZONTAL ELLIPSIS}0.linear1"
    assert elision.shortened(names[1], 1000, width) == names[1]


def test_a_name_alone_or_without_room_is_still_shortened(qapp: object) -> None:
    assert Elision(()).shortened("abcdefgh", 4, len) == "\N{HORIZONTAL ELLIPSIS}fgh"
    assert Elision(["xab", "ab"]).shortened("xab", 0, len) == "\N{HORIZONTAL ELLIPSIS}"


def test_the_plan_takes_only_the_room_that_it_needs(panel: LayersPanel, session: Session, opened: Opened,
                                                    cnn_path: Path, qtbot: QtBot) -> None:
    opened(session, cnn_path)
    session.set_steps(["fc.weight"], [Step.make("quantize", bits=4)])
    qtbot.waitUntil(lambda: not panel.table.isColumnHidden(Column.ERROR), timeout=PATIENCE_MS)
    narrow = panel.table.columnWidth(Column.PLAN)
    assert narrow < 100 and panel.table.columnWidth(Column.LAYER) > 200
    session.set_steps(["fc.weight"], [Step.make("prune", ratio=0.5), Step.make("quantize", bits=4)])
    qtbot.waitUntil(lambda: panel.table.columnWidth(Column.PLAN) > narrow, timeout=PATIENCE_MS)
    assert panel.table.columnWidth(Column.PLAN) <= 150
    panel.resize(330, 600)
    assert panel.table.isColumnHidden(Column.WEIGHTS) and panel.table.columnWidth(Column.LAYER) >= 110


def test_header_sorts_turns_round_and_returns_to_the_graph(panel: LayersPanel, session: Session, opened: Opened,
                                                           cnn_path: Path) -> None:
    opened(session, cnn_path)
    graph = panel.model.names
    sizes = {layer.name: layer.nbytes for layer in session.model.layers} if session.model else {}
    click_header(panel, Column.SIZE)
    assert [sizes[n] for n in panel.model.names] == sorted(sizes.values(), reverse=True)
    click_header(panel, Column.SIZE)
    assert [sizes[n] for n in panel.model.names] == sorted(sizes.values())
    click_header(panel, Column.SIZE)
    assert panel.model.names == graph
    click_header(panel, Column.LAYER)
    assert list(panel.model.names) == sorted(graph)


def test_filter_shows_counts_and_a_wrong_word_changes_nothing(panel: LayersPanel, session: Session, opened: Opened,
                                                              cnn_path: Path) -> None:
    opened(session, cnn_path)
    panel.filter.setText("kind:linear")
    assert panel.model.names == ("fc.weight",)
    assert panel.status.text().startswith("1 of ")
    panel.filter.setText("kind:linear shade>3")
    assert panel.model.names == ("fc.weight",)
    assert "no filter word 'shade'" in panel.status.text() and panel.filter.property("invalid")
    panel.filter.setText("name:nothing")
    assert panel.model.rowCount() == 0 and panel.status.text().startswith("None of")
    panel.filter.clear()
    assert panel.model.rowCount() == panel.model.total and not panel.filter.property("invalid")


def test_filter_ends_with_its_model(panel: LayersPanel, session: Session, opened: Opened, cnn_path: Path,
                                    mlp_path: Path) -> None:
    opened(session, cnn_path)
    panel.filter.setText("kind:depthwise")
    opened(session, mlp_path)
    assert panel.filter.text() == "" and panel.model.rowCount() == panel.model.total
    assert session.selection == (panel.model.names[0],)


def test_filter_takes_hidden_layers_out_of_the_selection(panel: LayersPanel, session: Session, opened: Opened,
                                                         cnn_path: Path) -> None:
    opened(session, cnn_path)
    session.select(["conv.weight", "fc.weight"])
    panel.filter.setText("kind:linear")
    assert session.selection == ("fc.weight",)
    panel.filter.setText("kind:depthwise")
    assert session.selection == ("depthwise.weight",)
    panel.filter.setText("name:nothing")
    assert session.selection == ()
    panel.filter.clear()
    assert session.selection == (panel.model.names[0],)


def test_picture_column_sorts_by_standard_deviation(panel: LayersPanel, session: Session, opened: Opened,
                                                    cnn_path: Path) -> None:
    opened(session, cnn_path)
    click_header(panel, Column.WEIGHTS)
    spread = [session.statistics[name].std for name in panel.model.names]
    assert spread == sorted(spread, reverse=True) and spread[0] > spread[-1]
    tip = panel.model.headerData(Column.WEIGHTS, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    assert "standard deviation" in tip


def test_selecting_rows_reaches_the_session_current_row_first(panel: LayersPanel, session: Session, opened: Opened,
                                                              cnn_path: Path) -> None:
    opened(session, cnn_path)
    selection = panel.table.selectionModel()
    flags = QItemSelectionModel.SelectionFlag
    panel.table.selectRow(0)
    assert session.selection == (panel.model.names[0],)
    selection.setCurrentIndex(panel.model.index(2, 0), flags.Select | flags.Rows)
    assert session.selection == (panel.model.names[2], panel.model.names[0])
    panel.table.selectAll()
    assert set(session.selection) == set(panel.model.names)


def test_session_selection_reaches_the_rows_and_survives_sorting(panel: LayersPanel, session: Session,
                                                                 opened: Opened, cnn_path: Path) -> None:
    opened(session, cnn_path)
    session.select(["fc.weight", "conv.weight"])
    click_header(panel, Column.SIZE)
    rows = sorted({index.row() for index in panel.table.selectedIndexes()})
    assert sorted(panel.model.names[row] for row in rows) == ["conv.weight", "fc.weight"]
    assert session.selection == ("fc.weight", "conv.weight")


def test_thousands_of_layers_sort_and_filter(panel: LayersPanel, session: Session, opened: Opened,
                                             make_model: Callable[..., Path]) -> None:
    count = 2500
    random = np.random.default_rng(0)
    weights = {f"w{i}": random.normal(size=(4, 4)).astype(np.float32) for i in range(count)}
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"], name=f"n{i}") for i in range(count)]
    path = make_model(nodes, weights, {"x0": [1, 4]}, {f"x{count}": [1, 4]})
    opened(session, path)
    assert panel.model.rowCount() == count
    panel.filter.setText("w24")
    assert panel.model.rowCount() == 111  # w24, w240 to w249, w2400 to w2499
    panel.filter.clear()
    panel.table.selectAll()
    assert len(session.selection) == count
    session.select([panel.model.names[-1]])
    bar = panel.table.verticalScrollBar()
    assert bar.value() > 0
    click_header(panel, Column.SIZE)
    assert bar.value() == bar.minimum()
    assert session.selection == ("w2499",)
