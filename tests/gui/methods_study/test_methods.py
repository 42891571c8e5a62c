"""The Methods lens through the real session: live rows, cancel, out of date, use, save; what it says when empty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from core.method_comparison.rows import Baseline, Extent, Quality, Row, Status, Study, Times
from core.progress import Progress
from core.recipe import Recipe, Step
from core.sample import sample_paths
from gui.lenses.methods import MethodsLens
from gui.methods_study import state as module
from gui.methods_study.words import Column, duration, line, ordered
from gui.session import Session
from gui.theme import theme

PATIENCE_MS = 60_000
Opened = Callable[[Session, Path], Session]


def _row(setting: str, nbytes: int, drop: float, db: float, family: str = "Quantization", **more: Any) -> Row:
    recipe = Recipe(defaults=(Step.make("quantize", bits=int(setting[-1])),)) if setting[-1:].isdigit() else Recipe()
    quality = Quality(400, db, None, "accuracy (top-1)", 0.98 - drop / 100, 0.98, drop, "share",
                      f"{98 - drop:.2f} %", f"{-drop:+.2f} points" if drop else "unchanged")  # fmt: skip
    times = Times(1.0, 0.9, 1.1, 1.0, 0.9, 1.1, 3.0)
    return Row(
        setting, family, "Quantize", setting, recipe.dump(), nbytes=nbytes, memory=1_000_000, multiply_adds=2_000,
        times=times, quality=quality, seconds=0.5, layers=6, of_layers=6, **more,
    )  # fmt: skip


ORIGINAL = _row("original", 142_113, 0.0, float("inf"), "", baseline=Baseline.ORIGINAL)
INT8 = _row("int8", 38_000, 0.0, 45.0, baseline=Baseline.INT8)
INT5, INT4, INT2 = _row("int5", 26_000, 0.0, 28.0), _row("int4", 21_000, 0.6, 22.0), _row("int2", 13_000, 40.0, 3.0)
CUT = Row("cut", "Structured cuts", "Cut attention heads", "heads", "#", Status.NOT_APPLICABLE, "it has none")
ROWS = (ORIGINAL, INT8, INT5, INT4, INT2, CUT)


@pytest.fixture
def sample(session: Session, opened: Opened) -> Session:
    return opened(session, sample_paths().model)


@pytest.fixture
def lens(sample: Session, qtbot: QtBot) -> MethodsLens:
    made = MethodsLens()
    qtbot.addWidget(made)
    made.set_session(sample)
    made.resize(760, 900)
    made.show()
    return made


class _Worker:
    """Stands for the worker process: takes the task, and answers when the test says so."""

    def __init__(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Any] = []
        self.words: dict[str, Any] = {}
        self.cancelled = 0
        monkeypatch.setattr(session.tasks, "process", self._process)
        monkeypatch.setattr(session.tasks, "cancel", self._cancel)

    def _process(self, key: str, job: Any, spec: Any, **words: Any) -> None:
        assert key == module.COMPARE
        self.asked.append(spec)
        self.words = words

    def _cancel(self, key: str) -> None:
        if key == module.COMPARE and self.words:
            self.cancelled += 1
            words, self.words = self.words, {}
            words["cancelled"]()

    def tell(self, *rows: Row) -> None:
        for row in rows:
            self.words["progress"](Progress(0.5, "", row))


@pytest.fixture
def worker(sample: Session, monkeypatch: pytest.MonkeyPatch) -> _Worker:
    return _Worker(sample, monkeypatch)


def _study(sample: Session, *rows: Row, **more: Any) -> Study:
    assert sample.model is not None
    return Study("model.onnx", sample.model.sha256, 142_113, rows, 400, "test.npz", **more)


@pytest.fixture
def done(sample: Session, lens: MethodsLens, worker: _Worker) -> MethodsLens:
    """The lens with a finished comparison."""
    sample.methods.measure()
    worker.words["done"](_study(sample, *ROWS))
    return lens


def test_the_real_job_fills_the_table(sample: Session, qtbot: QtBot, tmp_path: Path) -> None:
    """In the worker process; cancelled once rows are there, which keeps them."""
    sample.methods.cache_folder = tmp_path / "cache"
    sample.methods.measure()
    assert sample.methods.running
    qtbot.waitUntil(lambda: len(sample.methods.rows) >= 2, timeout=PATIENCE_MS)
    sample.methods.cancel()
    qtbot.waitUntil(lambda: not sample.methods.running, timeout=PATIENCE_MS)
    original, int8 = sample.methods.rows[:2]
    assert original.baseline is Baseline.ORIGINAL and int8.nbytes is not None and int8.quality is None
    assert sample.methods.problem == "Comparing was cancelled." and sample.methods.study is not None
    assert sample.methods.advice is not None and "Without data" in sample.methods.advice.headline


def test_before_anything_it_says_what_it_does_and_how_long(lens: MethodsLens, sample: Session) -> None:
    text = lens.empty.words()
    assert "Which method, how far" in text and "minute" in text
    assert "No data is loaded" in text and "nothing can be recommended" in text
    assert lens.start_button.isVisible()
    sample.close_model()
    assert "No model is open." in lens.empty.words() and not lens.start_button.isVisible()


def test_the_question_holds_the_plan_and_the_data(sample: Session, worker: _Worker, tmp_path: Path) -> None:
    sample.methods.cache_folder = tmp_path
    sample.set_steps(["fc1.weight"], (Step.make("quantize", bits=4),))
    sample.methods.measure()
    sample.methods.measure()  # while it runs there is nothing more to ask
    (spec,) = worker.asked
    assert "bits: 4" in spec.plan_text and spec.data_path is None and spec.cache == str(tmp_path)


def test_rows_appear_as_they_come_and_stay_after_a_cancel(
    sample: Session, lens: MethodsLens, worker: _Worker, qtbot: QtBot
) -> None:
    sample.methods.measure()
    assert "Measuring the original" in lens.empty.words() and not lens.start_button.isVisible()
    worker.tell(ORIGINAL, INT8)
    qtbot.waitUntil(lambda: lens.trials.table.rows.rowCount() == 2)
    assert lens.advice.title.text() == "Recommendation so far" and lens.trials.run_button.text() == "Stop"
    assert not lens.trials.csv_button.isEnabled()
    worker.tell(INT5)
    lens.trials.run_button.click()
    assert worker.cancelled == 1 and lens.trials.table.rows.rowCount() == 3
    assert "Comparing was cancelled" in lens.trials.caption.plain_text
    assert lens.trials.run_button.text() == "Compare again" and lens.trials.csv_button.isEnabled()


def test_a_finished_comparison_is_shown(done: MethodsLens) -> None:
    table = done.trials.table
    assert [one.row.setting for one in table.rows.lines] == ["int5", "int8", "original", "int4", "int2", "heads"]
    assert "Use Quantize, int5" in done.advice.headline.text()
    assert done.advice.use_button.isVisible() and not done.advice.reasons.isVisible()
    done.advice.why_button.click()
    assert done.advice.reasons.isVisible() and "usual choice" in done.advice.reasons.text()
    caption = done.trials.caption.plain_text
    assert "4 settings measured, 1 without figures" in caption and "on 400 samples of test.npz" in caption


def test_columns_sort_and_turn_round_with_gaps_last(done: MethodsLens) -> None:
    table = done.trials.table
    table.horizontalHeader().sectionClicked.emit(Column.SIZE)
    assert [one.row.key for one in table.rows.lines] == ["int2", "int4", "int5", "int8", "original", "cut"]
    table.horizontalHeader().sectionClicked.emit(Column.SIZE)
    assert [one.row.key for one in table.rows.lines] == ["original", "int8", "int5", "int4", "int2", "cut"]
    head = table.rows.headerData(Column.SIZE, Qt.Orientation.Horizontal)
    assert head == "Size \N{DOWNWARDS ARROW}"


def test_a_click_on_a_point_selects_its_row(done: MethodsLens, qtbot: QtBot) -> None:
    chart = done.chart.chart
    point = next(point for point in chart.shown if point.key == "int4")
    where = chart.pixel(point).toPoint()
    qtbot.mouseClick(chart.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(where))
    assert done.trials.table.key == "int4" and done.trials.use_button.isEnabled()
    qtbot.keyClick(chart, Qt.Key.Key_Right)
    assert done.trials.table.key == "int5"


def test_axes_can_be_chosen(done: MethodsLens) -> None:
    chart = done.chart.chart
    assert {point.key for point in chart.shown} == {"int8", "int5", "int4", "int2"}
    assert "1 below 68 % lie at the lower edge" in done.chart.caption.plain_text
    done.chart.up.choose("error")
    assert max(point.y for point in chart.shown) == 45.0
    done.chart.across.choose("latency")
    assert {point.x for point in chart.shown} == {100.0}


def test_use_this_sets_the_recipe_and_undo_takes_it_back(done: MethodsLens, sample: Session) -> None:
    before = sample.recipe
    done.advice.use_button.click()
    assert sample.steps("fc1.weight") == (Step.make("quantize", bits=5),)
    assert done.advice.use_button.text() == "In use" and not done.advice.use_button.isEnabled()
    sample.undo_stack.undo()
    assert sample.recipe == before and done.advice.use_button.text() == "Use this"
    done.trials.table.select("int2")
    done.trials.use_button.click()
    assert sample.steps("conv1.weight") == (Step.make("quantize", bits=2),)


def test_a_row_without_figures_cannot_be_used(done: MethodsLens, sample: Session) -> None:
    done.trials.table.select("cut")
    assert not done.trials.use_button.isEnabled()
    one = done.trials.table.rows.lines[done.trials.table.rows.place("cut")]
    assert "not applicable: it has none" in one.texts[Column.SETTING] and one.texts[Column.SIZE] == ""


def test_other_data_makes_it_out_of_date(done: MethodsLens, sample: Session, qtbot: QtBot) -> None:
    assert not sample.methods.stale
    sample.load_data(sample_paths().data)
    qtbot.waitUntil(lambda: sample.samples is not None, timeout=PATIENCE_MS)
    assert sample.methods.stale and "out of date" in done.trials.caption.plain_text
    sample.close_model()
    assert sample.methods.study is None and not sample.methods.stale


def test_it_is_saved_in_the_background(done: MethodsLens, sample: Session, tmp_path: Path, qtbot: QtBot) -> None:
    for save, name in ((sample.methods.save_csv, "t.csv"), (sample.methods.save_html, "t.html")):
        with qtbot.waitSignal(sample.said, timeout=PATIENCE_MS) as said:
            save(tmp_path / name)
        assert said.args == [f"Saved the comparison as {name}."] and (tmp_path / name).stat().st_size > 500
    with qtbot.waitSignal(sample.failed, timeout=PATIENCE_MS):
        sample.methods.save_csv(tmp_path / "nowhere" / "t.csv")


def test_without_data_there_is_no_recommendation_to_use(sample: Session, lens: MethodsLens, worker: _Worker) -> None:
    from dataclasses import replace

    rows = [replace(row, quality=None) for row in (ORIGINAL, INT8)]
    sample.methods.measure()
    worker.words["done"](replace(_study(sample, *rows), samples=0, source=""))
    assert "Without data" in lens.advice.headline.text() and not lens.advice.use_button.isVisible()
    assert "no data" in lens.trials.caption.plain_text and lens.chart.chart.shown == ()


def test_a_failure_is_said_and_keeps_the_rows(
    sample: Session, lens: MethodsLens, worker: _Worker, qtbot: QtBot
) -> None:
    from core.errors import FeatherweightError

    sample.methods.measure()
    worker.tell(ORIGINAL, INT8)
    with qtbot.waitSignal(sample.failed):
        worker.words["failed"](FeatherweightError("the worker died"))
    assert not sample.methods.running and len(sample.methods.rows) == 2
    assert "the worker died" in lens.trials.caption.plain_text


def test_it_is_drawn_in_both_modes(done: MethodsLens) -> None:
    images = []
    for mode in ("light", "dark"):
        theme().set_mode(mode)
        images.append(done.grab().toImage())
    theme().set_mode("light")
    assert images[0] != images[1]
    assert done.trials.table.accessibleName() and done.chart.legend.accessibleName() == "Families: Quantization"


def test_figures_as_text(sample: Session) -> None:
    study = _study(sample, *ROWS)
    texts = line(INT4, study).texts
    assert texts[Column.METRIC] == "97.40 % (\N{MINUS SIGN}0.60)" and texts[Column.LATENCY].startswith("~")
    assert line(INT8, study).texts[Column.SETTING] == "Quantize, int8 (uniform int8)"
    assert "4 settings" not in line(CUT, study).tip and "Not applicable: it has none." in line(CUT, study).tip
    assert ordered((line(CUT, study), line(INT2, study)), Column.SHARE, True)[-1].row is CUT
    assert [duration(s) for s in (10, 70, 300)] == ["about half a minute", "about a minute", "about 5 minutes"]


def test_a_plan_that_was_edited_since_is_called_an_earlier_one(done: MethodsLens, sample: Session) -> None:
    from dataclasses import replace

    plan = replace(INT4, key="plan", family="", method="The plan", setting="", baseline=Baseline.PLAN, nbytes=9_000)
    state = sample.methods
    state._done(_study(sample, ORIGINAL, INT8, replace(plan, quality=INT5.quality)))
    assert state.advice is not None and "The plan" in state.advice.headline
    state.use("int8")
    assert [row.method for row in state.rows if row.baseline is Baseline.PLAN] == ["The earlier plan"]
    assert "The earlier plan" in done.advice.headline.text()
    sample.undo_stack.undo()
    assert "The plan" in done.advice.headline.text()


def test_a_stopped_comparison_says_what_its_recommendation_rests_on(
    sample: Session, lens: MethodsLens, worker: _Worker
) -> None:
    sample.methods.measure()
    worker.words["progress"](Progress(0.1, "", Extent(104)))
    worker.tell(ORIGINAL, INT8, INT5)
    sample.methods.cancel()
    assert lens.advice.title.text() == "Recommendation so far"
    assert "from 2 of 104 settings; stopped" in lens.advice.caption.plain_text


def test_the_arrow_shows_how_values_run(done: MethodsLens) -> None:
    rows = done.trials.table.rows
    assert rows.headerData(Column.METRIC, Qt.Orientation.Horizontal) == "Metric \N{DOWNWARDS ARROW}"
    assert INT8.method in rows.lines[0].tip and len(rows.lines[0].tip.splitlines()[1]) > 20
