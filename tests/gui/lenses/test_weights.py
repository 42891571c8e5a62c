"""The Weights lens: empty states, odd weights, before and after, themes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from core.analysis.preview import Start, preview
from core.analysis.spectra import singular_values
from core.data.layer_inputs import LayerInputs
from core.encoding import Float
from core.methods.base import Memo
from core.model.layer import Kind, Layer
from core.recipe import Step
from gui.inspector.live import LiveLayer, Shown, Spectra
from gui.lenses.weights import WeightsLens
from gui.session import Session
from gui.theme import theme

PATIENCE_MS = 30_000
Opened = Callable[[Session, Path], Session]


@pytest.fixture
def lens(qtbot: QtBot, session: Session) -> Iterator[WeightsLens]:
    theme().set_mode("light")
    lens = WeightsLens()
    qtbot.addWidget(lens)
    lens.set_session(session)
    lens.resize(640, 700)
    lens.show()
    yield lens
    theme().set_mode("light")


def complete(qtbot: QtBot, session: Session) -> Shown:
    """What is shown once everything has arrived."""
    live = LiveLayer.of(session)

    def ready() -> bool:
        shown = live.shown
        return (shown is not None and shown.preview is not None and shown.channels is not None
                and shown.spectra is not None and not session.tasks.busy
                and (shown.channels[1] is None) == (shown.preview.after is None))

    qtbot.waitUntil(ready, timeout=PATIENCE_MS)
    lenses = [widget for widget in QApplication.topLevelWidgets() if isinstance(widget, WeightsLens)]
    qtbot.waitUntil(lambda: all(lens.settled for lens in lenses), timeout=PATIENCE_MS)
    assert live.shown is not None
    return live.shown


def matrix_model(make_model: Callable[..., Path], weight: np.ndarray) -> Path:
    rows, columns = weight.shape
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return make_model(nodes, {"w": weight}, {"x": ["n", rows]}, {"y": ["n", columns]})


def test_without_a_model_it_says_what_to_do(lens: WeightsLens) -> None:
    assert lens.empty.isVisible()
    assert lens.empty.words() == "No model is open. Open an ONNX file, or the sample, to see its weights."


def test_without_a_selection_it_says_what_to_do(
    lens: WeightsLens, session: Session, opened: Opened, mlp_path: Path
) -> None:
    opened(session, mlp_path)
    session.select(())
    assert lens.empty.isVisible() and lens.empty.words().startswith("No layer is selected.")


def test_a_plain_layer(qtbot: QtBot, lens: WeightsLens, session: Session, opened: Opened, mlp_path: Path) -> None:
    opened(session, mlp_path)
    session.select(("fc1.weight",))
    complete(qtbot, session)
    before, after = lens.histogram.shown()
    assert before.sum() == 32 * 16 and after.size == 0
    assert lens.distribution_card.caption.plain_text == "512 weights · stored as it is · zeros 0 %"
    assert lens.range_card.caption.plain_text.startswith("32 channels")
    assert "of the energy (of 16), rank " in lens.spectrum_card.caption.plain_text
    assert lens.statistics_line.text().startswith("min\N{NO-BREAK SPACE}−")


def test_steps_draw_after_over_before(
    qtbot: QtBot, lens: WeightsLens, session: Session, opened: Opened, mlp_path: Path
) -> None:
    opened(session, mlp_path)
    session.select(("fc1.weight",))
    session.set_steps(("fc1.weight",), (Step.make("prune", ratio=0.6),))
    shown = complete(qtbot, session)
    before, after = lens.histogram.shown()
    assert before.sum() == after.sum() == 512
    assert after.max() >= round(0.6 * 512)
    text = lens.distribution_card.caption.plain_text
    assert "after prune 60 %" in text and "zeros 60 %" in text and " dB" in text
    assert shown.channels is not None and shown.channels[1] is not None


def test_levels_are_marked(qtbot: QtBot, lens: WeightsLens, session: Session, opened: Opened, mlp_path: Path) -> None:
    opened(session, mlp_path)
    session.select(("fc1.weight",))
    session.set_steps(("fc1.weight",), (Step.make("quantize", scheme="codebook", bits=2),))
    complete(qtbot, session)
    assert "4 levels" in lens.distribution_card.caption.plain_text
    assert len(lens.histogram._rug.getData()[0]) == 8  # two ends of each mark


def test_several_selected_say_which_is_shown(
    qtbot: QtBot, lens: WeightsLens, session: Session, opened: Opened, mlp_path: Path
) -> None:
    opened(session, mlp_path)
    session.select(("fc2.weight", "fc1.weight"))
    complete(qtbot, session)
    assert lens.distribution_card.caption.plain_text.startswith("first of 2 selected layers · 128 weights")


@pytest.mark.parametrize(
    "weight, words",
    [
        (np.array([[0.5]], np.float32), "1 weight · "),
        (np.full((4, 6), 0.25, np.float32), "24 weights · "),
        (np.zeros((4, 6), np.float32), "zeros 100 %"),
        (np.full((4, 6), np.nan, np.float32), "24 of them NaN or infinite, not drawn"),
    ],
    ids=["one weight", "constant", "zeros", "NaN"],
)
def test_odd_weights_are_drawn(
    weight: np.ndarray, words: str, qtbot: QtBot, lens: WeightsLens, session: Session, opened: Opened,
    make_model: Callable[..., Path],
) -> None:
    opened(session, matrix_model(make_model, weight))
    session.select(("w",))
    complete(qtbot, session)
    assert words in lens.distribution_card.caption.plain_text
    assert lens.histogram.shown()[0].sum() == np.isfinite(weight).sum()
    assert not lens.grab().isNull()


def test_skipped_steps_are_told(
    qtbot: QtBot, lens: WeightsLens, session: Session, opened: Opened, cnn_path: Path
) -> None:
    opened(session, cnn_path)
    session.select(("conv.weight",))
    session.set_steps(("conv.weight",), (Step.make("low_rank"),))
    complete(qtbot, session)
    assert "left as it is: " in lens.distribution_card.caption.plain_text


def test_the_spectrum_switches_to_frequencies(
    qtbot: QtBot, lens: WeightsLens, session: Session, opened: Opened, cnn_path: Path
) -> None:
    opened(session, cnn_path)
    session.select(("conv.weight",))
    complete(qtbot, session)
    lens.spectrum_card.choose(1)
    assert lens.spectrum_card.title.text() == "Energy by frequency"
    assert "each kernel's DCT coefficients" in lens.spectrum_card.caption.plain_text
    session.select(("fc.weight",))
    complete(qtbot, session)
    assert "the matrix's DCT coefficients" in lens.spectrum_card.caption.plain_text


def test_it_follows_the_theme(
    qtbot: QtBot, lens: WeightsLens, session: Session, opened: Opened, mlp_path: Path
) -> None:
    opened(session, mlp_path)
    complete(qtbot, session)
    before = lens.histogram.shown()[0]
    theme().set_mode("dark")
    assert lens.histogram.backgroundBrush().color() == theme().color("surface")
    assert theme().color("before").name() in lens.distribution_card.caption.text()
    assert np.array_equal(lens.histogram.shown()[0], before)


def test_the_cut_is_the_rank_of_the_low_rank_step(
    qtbot: QtBot, lens: WeightsLens, session: Session, opened: Opened, mlp_path: Path
) -> None:
    opened(session, mlp_path)
    session.select(("fc1.weight",))
    complete(qtbot, session)
    chart = lens.spectrum_card.chart
    assert chart.cut() is None
    session.set_steps(("fc1.weight",), (Step.make("low_rank", by="rank", rank=4), Step.make("quantize", bits=8)))
    complete(qtbot, session)
    assert chart.cut() == 4 and "the step keeps rank 4" in lens.spectrum_card.caption.plain_text
    edits = session.undo_stack.count()
    for rank in (5, 6, 7):
        chart.cut_moved.emit(rank, rank == 7)
    assert session.steps("fc1.weight")[0].params.rank == 7
    assert session.steps("fc1.weight")[1] == Step.make("quantize", bits=8)
    assert session.undo_stack.count() == edits + 1
    qtbot.waitUntil(lambda: chart.cut() == 7, timeout=PATIENCE_MS)
    session.undo_stack.undo()
    qtbot.waitUntil(lambda: chart.cut() == 4, timeout=PATIENCE_MS)


def test_a_weighted_cut_is_drawn_at_the_rank_that_the_layer_has(lens: WeightsLens) -> None:
    weight = np.random.default_rng(0).normal(size=(24, 16)).astype(np.float32)
    layer = Layer("w", Kind.LINEAR, weight.shape, "float32", weight.nbytes, output_axis=0, input_axis=1)
    card, step = lens.spectrum_card, Step.make("low_rank", by="energy", energy=0.9, weighting="inputs")
    plain = singular_values(weight, layer)
    card.show_spectra(Spectra(plain))
    square = np.diag(np.r_[1e4, np.ones(15)]).astype(np.float32)[None]  # nearly all energy comes in at one place
    inputs = LayerInputs(samples=8, rows=8, square=np.diagonal(square, 0, 1, 2), moments=square)
    start = Start(layer, weight, Float(weight), inputs)
    found = preview(layer, weight, Float(weight), (step,), Memo(), 20, start=start)
    assert found.rank == 1 != plain.rank_for(0.9)
    card.show_cut(step, found)
    assert card.chart.cut() == 1
    assert "the step keeps rank 1" in card.caption.plain_text and "without weighting" in card.caption.plain_text
    card.show_cut(step, None)  # not known yet
    assert card.chart.cut() is None


def test_a_cut_given_by_energy_is_shown_and_a_click_gives_it_by_rank(
    qtbot: QtBot, lens: WeightsLens, session: Session, opened: Opened, mlp_path: Path
) -> None:
    opened(session, mlp_path)
    session.select(("fc1.weight",))
    session.set_steps(("fc1.weight",), (Step.make("low_rank", by="energy", energy=0.5),))
    shown = complete(qtbot, session)
    assert shown.spectra is not None and shown.spectra.singular is not None
    assert lens.spectrum_card.chart.cut() == shown.spectra.singular.rank_for(0.5)
    lens.spectrum_card.chart.activated(9.2)
    params = session.steps("fc1.weight")[0].params
    assert (params.by, params.rank) == ("rank", 9)
