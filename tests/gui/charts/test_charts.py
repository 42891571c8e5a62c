"""What the charts draw, say and take: plotted data, read-outs, clicks, keys and themes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from core.analysis.channels import channel_ranges
from core.analysis.histogram import Histogram, histogram
from core.analysis.statistics import statistics
from gui.charts.axis import Axis, plain
from gui.charts.bars import ErrorBars
from gui.charts.card import Caption
from gui.charts.curves import Curve, CurveChart, Mark
from gui.charts.empty import EmptyState
from gui.charts.histogram import HistogramChart
from gui.charts.lines import LineChart
from gui.charts.pairs import Pair, PairChart, ScoreBars, score_range
from gui.charts.picture import Picture
from gui.charts.plot import Plot
from gui.charts.ranges import RangeChart
from gui.theme import theme

W = TypeVar("W", bound=QWidget)


@pytest.fixture(autouse=True)
def light() -> Iterator[None]:
    theme().set_mode("light")
    yield
    theme().set_mode("light")


def shown(qtbot: QtBot, widget: W) -> W:
    """The widget in a window of its own. Never the window itself: closing a pyqtgraph view takes it apart."""
    window = QWidget()
    qtbot.addWidget(window)
    widget.setParent(window)
    widget.window_of_test = window  # type: ignore[attr-defined]  # pytest-qt keeps no window alive
    widget.resize(400, 240)
    window.show()
    qtbot.waitExposed(window)
    return widget


def counts(*values: int, below: int = 0, above: int = 0) -> Histogram:
    return Histogram(-1.0, 1.0, np.array(values, np.int64), below, above)


def pixel(chart: Plot, x: float, y: float) -> QPoint:
    """Where a point of the data is in the widget."""
    scene = chart.plotItem.getViewBox().mapViewToScene(QPointF(x, y))
    return chart.mapFromScene(scene)


# -- histogram --------------------------------------------------------------------------------------------------------


def test_histogram_folds_outliers_into_end_bins(qtbot: QtBot) -> None:
    chart = shown(qtbot, HistogramChart())
    chart.set_histograms(counts(1, 5, 1, below=12, above=3), counts(0, 7, 0, below=12, above=3))
    before, after = chart.shown()
    assert before.tolist() == [12, 1, 5, 1, 3]
    assert after.tolist() == [12, 0, 7, 0, 3]
    assert [text.toPlainText() for text in chart._ends] == ["< −1.000: 12", "> 1.000: 3"]


def test_histogram_reads_out_counts(qtbot: QtBot) -> None:
    chart = shown(qtbot, HistogramChart())
    chart.set_histograms(counts(1, 5, 1, below=12), counts(0, 7, 0, below=12))
    middle = chart.read_out(0.0, 0.0)
    assert middle is not None and middle[1] == "−0.333 to 0.333: 5 before, 7 after"
    below = chart.read_out(chart.stops()[0], 0.0)
    assert below is not None and below[1] == "< −1.000: 12 before, 12 after"
    assert chart.read_out(5.0, 0.0) is None


def test_logarithmic_bars_show_single_weights(qtbot: QtBot) -> None:
    chart = shown(qtbot, HistogramChart())
    chart.set_histograms(counts(1, 100_000, 0))
    height = chart._before_bars.opts["y1"]
    assert height[0] > 0.05 * height[1] and height[2] == 0
    chart.set_logarithmic(False)
    assert chart._before_bars.opts["y1"].tolist() == [1, 100_000, 0]


@pytest.mark.parametrize("values", [np.zeros(9), np.full(5, 0.7), np.array([2.0]), np.full(4, np.nan)])
def test_histogram_of_odd_weights(values: np.ndarray, qtbot: QtBot) -> None:
    chart = shown(qtbot, HistogramChart())
    found = statistics(values.astype(np.float32)).histogram
    chart.set_histograms(found, histogram(values, found.low, found.high, found.bins), np.unique(values))
    assert chart.shown()[0].sum() == np.isfinite(values).sum()
    assert not chart.grab().isNull()


def test_histogram_can_be_emptied(qtbot: QtBot) -> None:
    chart = shown(qtbot, HistogramChart())
    chart.set_histograms(counts(1, 5, 1))
    chart.set_histograms(None)
    assert chart.shown()[0].size == 0 and len(chart._before_bars.opts["x0"]) == 0
    assert chart.read_out(0.0, 0.0) is None


# -- ranges -----------------------------------------------------------------------------------------------------------


def test_ranges_mark_outliers_by_shape_and_colour(qtbot: QtBot) -> None:
    weight = np.random.default_rng(0).normal(0, 1, (40, 50)).astype(np.float32)
    weight[7] *= 50
    chart = shown(qtbot, RangeChart())
    chart.set_ranges(channel_ranges(weight, 0), channel_ranges(weight / 2, 0))
    assert chart.outlier_bars() == 1
    assert len(chart._bars["bad"].opts["x0"]) == 1
    last = chart.read_out(chart.stops()[-1], 0.0)
    assert last is not None and last[1].startswith("channel 7: ") and last[1].endswith(", unusually wide")
    chart.clear_ranges()
    assert chart.outlier_bars() == 0


def test_channels_of_one_weight_are_drawn_from_zero(qtbot: QtBot) -> None:
    chart = shown(qtbot, RangeChart())
    chart.set_ranges(channel_ranges(np.array([0.5, -0.25, 1.0], np.float32), 0))
    bars = chart._bars["before_fill"].opts
    assert bars["y0"].tolist() == [-0.25, 0.0, 0.0] and bars["y1"].tolist() == [0.0, 0.5, 1.0]
    assert chart.read_out(0.5, 0.0) == (0.5, "channel 1: −0.25")


def test_what_is_being_computed_has_no_axes(qtbot: QtBot) -> None:
    histogram_chart, ranges, curves = (shown(qtbot, kind()) for kind in (HistogramChart, RangeChart, CurveChart))
    histogram_chart.set_histograms(None)
    ranges.clear_ranges()
    curves.set_curves((), (), "", "")
    for chart in (histogram_chart, ranges, curves):
        assert not chart.plotItem.getAxis("left").isVisible() and not chart.plotItem.getAxis("bottom").isVisible()
        qtbot.waitUntil(chart._waiting.isVisible)
    histogram_chart.set_histograms(counts(1, 5, 1))
    assert histogram_chart.plotItem.getAxis("left").isVisible() and not histogram_chart._waiting.isVisible()


def test_end_bins_say_their_number_above_all_bars(qtbot: QtBot) -> None:
    chart = shown(qtbot, HistogramChart())
    chart.set_histograms(statistics(np.r_[np.random.default_rng(0).normal(0, 1, 5000), 40, -40]).histogram)
    tallest = chart._before_bars.opts["y1"].max()
    texts = [text for text in chart._ends if text.isVisible()]
    assert len(texts) == 2
    for text in texts:
        bottom = text.mapRectToParent(text.boundingRect())
        assert min(bottom.top(), bottom.bottom()) >= tallest


def test_more_channels_than_pixels_share_bars(qtbot: QtBot) -> None:
    weight = np.random.default_rng(0).normal(0, 1, (5000, 3)).astype(np.float32)
    chart = shown(qtbot, RangeChart())
    chart.set_ranges(channel_ranges(weight, 0))
    bars = len(chart.stops())
    assert 16 <= bars <= 400
    tops = np.r_[chart._bars["before_fill"].opts["y1"], chart._bars["bad"].opts["y1"]]
    assert tops.max() == pytest.approx(weight.max())


def test_channels_without_a_finite_weight_are_left_out(qtbot: QtBot) -> None:
    weight = np.ones((4, 3), np.float32)
    weight[1] = np.nan
    chart = shown(qtbot, RangeChart())
    chart.set_ranges(channel_ranges(weight, 0))
    assert len(chart.stops()) == 3


# -- error bars -------------------------------------------------------------------------------------------------------


def test_error_bars_tell_kinds_apart(qtbot: QtBot) -> None:
    chart = shown(qtbot, ErrorBars())
    chart.set_bars(("a", "b", "c", "d"), np.array([40.0, 20.0, np.nan, np.inf]), 30.0, reasons={"c": "no data"})
    assert chart.kinds() == ("fine", "over", "pending", "exact")
    assert len(chart._marks.data) == 1
    assert [chart.read_out(x, 0.0) for x in (0.5, 1.5, 2.5, 3.5)] == [
        (0.5, "a: 40.0 dB"), (1.5, "b: 20.0 dB, below the budget"), (2.5, "c: no data"),
        (3.5, "d: same as the original")
    ]


def test_a_click_on_a_bar_picks_its_layer(qtbot: QtBot) -> None:
    chart = shown(qtbot, ErrorBars())
    chart.set_bars(("a", "b", "c"), np.array([40.0, 35.0, 45.0]), 30.0)
    with qtbot.waitSignal(chart.picked) as picked:
        qtbot.mouseClick(chart.viewport(), Qt.MouseButton.LeftButton, pos=pixel(chart, 1.5, 10.0))
    assert picked.args == [1]


def test_bars_are_walked_and_picked_by_keyboard(qtbot: QtBot) -> None:
    chart = shown(qtbot, ErrorBars())
    chart.set_bars(("a", "b", "c"), np.array([40.0, 35.0, 45.0]), 30.0)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Left):
        qtbot.keyClick(chart, key)
    assert chart._note.text() == "b: 35.0 dB"
    with qtbot.waitSignal(chart.picked) as picked:
        qtbot.keyClick(chart, Qt.Key.Key_Return)
    assert picked.args == [1]


def test_the_keyboard_is_seen(qtbot: QtBot) -> None:
    chart = shown(qtbot, ErrorBars())
    chart.set_bars(("a", "b"), np.array([40.0, 35.0]), None)
    plain_look = chart.grab().toImage()
    chart.window().activateWindow()
    qtbot.waitUntil(chart.isActiveWindow)
    chart.clearFocus()
    chart.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(chart.hasFocus)
    assert chart.grab().toImage().pixelColor(0, 0) == theme().color("accent") != plain_look.pixelColor(0, 0)
    chart.clearFocus()
    assert chart.grab().toImage().pixelColor(0, 0) == plain_look.pixelColor(0, 0)


def test_hovering_reads_out_and_leaving_hides(qtbot: QtBot) -> None:
    chart = shown(qtbot, ErrorBars())
    chart.set_bars(("a", "b"), np.array([40.0, 35.0]), None)
    qtbot.mouseMove(chart.viewport(), pixel(chart, 0.5, 10.0))
    qtbot.waitUntil(lambda: chart._note.isVisible())
    assert chart._note.text() == "a: 40.0 dB"
    chart.leaveEvent(QEvent(QEvent.Type.Leave))
    assert not chart._note.isVisible()


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_curves_and_marks(qtbot: QtBot) -> None:
    chart = shown(qtbot, CurveChart())
    x = np.array([1.0, 2.0, 3.0])
    energy = Curve("energy", "after", x, np.array([0.5, 0.9, 1.0]))
    chart.set_curves((energy,), (Mark(2.0, "90 % at 2"),), "rank", "rank")
    assert chart.marks() == ((2.0, "90 % at 2"),)
    assert chart.read_out(2.2, 0.0) == (2.0, "rank 2: energy 90.0 %")
    chart.set_curves((), (), "", "")
    assert chart.marks() == () and chart.read_out(2.0, 0.0) is None


def test_pairs_mark_what_got_worse(qtbot: QtBot) -> None:
    chart = shown(qtbot, PairChart())
    chart.set_pairs((Pair("0", 0.9, 0.9), Pair("1", 0.8, 0.7, "8 of 10 before, 7 after")))
    assert len(chart._bars["warn"].opts["x0"]) == len(chart._marks.data) == 1
    assert chart.read_out(1.5, 0.0) == (1.5, "1: 8 of 10 before, 7 after")


def test_score_bars_speak(qtbot: QtBot) -> None:
    bars = shown(qtbot, ScoreBars())
    bars.set_pairs((Pair("cat", 0.9, 0.8), Pair("dog", None, -0.1)))
    assert bars.accessibleName() == "cat: 0.900 before, 0.800 after; dog: none before, −0.100 after"
    assert not bars.grab().isNull()


def test_negative_scores_go_to_the_left_of_zero(qtbot: QtBot) -> None:
    bars = shown(qtbot, ScoreBars())
    bars.set_pairs((Pair("cat", 2.0, -2.0), Pair("dog", -1.0, None, unknown="not in its top 5")))
    assert score_range(bars.pairs()) == (-2.0, 2.0)
    assert bars.accessibleName().endswith("dog: −1.000 before, not in its top 5 after")
    image, row = bars.grab().toImage(), 20  # through the bar of −2
    blue = [x for x in range(image.width()) if image.pixelColor(x, row) == theme().color("after")]
    grey = [x for x in range(image.width()) if image.pixelColor(x, 8) == theme().color("before")]
    assert blue and grey and max(blue) <= min(grey)


@pytest.mark.parametrize("shape", [(28, 28), (48, 320, 3), (1, 1)])
def test_pictures_keep_their_pixels(shape: tuple[int, ...], qtbot: QtBot) -> None:
    picture = shown(qtbot, Picture())
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    picture.set_pixels(pixels)
    image = picture.image()
    assert image is not None and (image.height(), image.width()) == shape[:2]
    color = image.pixelColor(0, 0)
    assert [color.red(), color.green(), color.blue()] == np.broadcast_to(pixels[0, 0], 3).tolist()
    picture.set_pixels(None)
    assert picture.image() is None


def test_lines_leave_gaps_for_nan(qtbot: QtBot) -> None:
    chart = shown(qtbot, LineChart())
    chart.set_values(np.array([0.0, np.nan, 2.0]))
    assert chart.read_out(2.0, 0.0) == (2.0, "2: 2")
    assert chart.read_out(9.0, 0.0) is None
    chart.set_values(np.full(3, np.nan))
    assert not chart.grab().isNull()


def test_every_chart_follows_the_theme(qtbot: QtBot) -> None:
    kinds = (HistogramChart, RangeChart, CurveChart, ErrorBars, PairChart, LineChart)
    charts = [shown(qtbot, make()) for make in kinds]
    light = [chart.backgroundBrush().color().name() for chart in charts]
    theme().set_mode("dark")
    assert light == [theme()._roles["light"]["surface"].name()] * len(charts)
    dark = [chart.backgroundBrush().color().name() for chart in charts]
    assert dark == [theme().color("surface").name()] * len(charts)
    histogram_chart = charts[0]
    assert isinstance(histogram_chart, HistogramChart)
    assert histogram_chart._after_bars._sharedBrush.color().name() == theme().color("after").name()


def test_the_wheel_is_left_to_the_panel_around(qtbot: QtBot) -> None:
    from PySide6.QtGui import QWheelEvent

    chart = shown(qtbot, HistogramChart())
    chart.set_histograms(counts(1, 2, 1))
    before = chart.plotItem.viewRange()
    event = QWheelEvent(QPointF(50, 50), QPointF(50, 50), QPoint(0, 120), QPoint(0, 120), Qt.MouseButton.NoButton,
                        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)
    chart.wheelEvent(event)
    assert not event.isAccepted() and chart.plotItem.viewRange() == before


def test_numbers_read_like_numbers() -> None:
    written = [plain(-0.05, 0.05), plain(12000, 1000), plain(-0.0, 0.1), plain(0.125)]
    assert written == ["−0.05", "12,000", "0.0", "0.125"]
    axis = Axis("left")
    axis.setLabel("weight")
    axis.setRange(-0.002, 0.002)
    axis.updateAutoSIPrefix()
    assert axis.autoSIPrefixScale == 1.0  # never thousandths behind the reader's back


def test_captions_take_text_literally_and_colour_squares(qtbot: QtBot) -> None:
    caption = Caption()
    qtbot.addWidget(caption)
    caption.set_template("a < b · before {before}")
    assert "a &lt;\N{NO-BREAK SPACE}b" in caption.text() and theme().color("before").name() in caption.text()
    assert caption.plain_text == "a < b · before"
    theme().set_mode("dark")
    assert theme().color("before").name() in caption.text()


def test_empty_states_say_why_and_what_to_do(qtbot: QtBot) -> None:
    for sign in ("histogram", "layers", "compare", "picture", "curve"):
        empty = shown(qtbot, EmptyState(sign))  # type: ignore[arg-type]
        empty.say("Nothing here.", "Do that.")
        assert empty.words() == "Nothing here. Do that." == empty.accessibleName()
        assert not empty.grab().isNull()


def test_a_cut_is_dragged_to_whole_numbers(qtbot: QtBot) -> None:
    chart = shown(qtbot, CurveChart())
    x = np.arange(1.0, 21.0)
    chart.set_curves((Curve("energy kept", "after", x, x / 20),), (), "rank", "rank")
    assert chart.cut() is None
    chart.set_cut(10)
    moves: list[tuple[int, bool]] = []
    chart.cut_moved.connect(lambda at, finished: moves.append((at, finished)))
    button = Qt.MouseButton.LeftButton
    qtbot.mousePress(chart.viewport(), button, pos=pixel(chart, 10.0, 0.5))
    for at in (11.0, 13.0, 15.0):
        event = QMouseEvent(
            QEvent.Type.MouseMove, QPointF(pixel(chart, at, 0.5)),
            QPointF(chart.viewport().mapToGlobal(pixel(chart, at, 0.5))),
            button, button, Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(chart.viewport(), event)
    qtbot.mouseRelease(chart.viewport(), button, pos=pixel(chart, 15.0, 0.5))
    assert moves[-1] == (15, True) and chart.cut() == 15
    assert any(not finished for _at, finished in moves)
