"""The shown layer follows the session, and the newest position of a drag is the one that stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import helper
from pytestqt.qtbot import QtBot

from core.recipe import Step
from gui.inspector.live import LiveLayer
from gui.session import Session

PATIENCE_MS = 30_000


def test_one_live_layer_a_session(session: Session) -> None:
    assert LiveLayer.of(session) is LiveLayer.of(session)


def test_it_shows_the_first_selected_layer(qtbot: QtBot, session: Session) -> None:
    live = LiveLayer.of(session)
    session.select(("fc.weight", "conv.weight"))
    qtbot.waitUntil(lambda: live.shown is not None and live.shown.preview is not None, timeout=PATIENCE_MS)
    assert live.shown is not None and live.shown.preview is not None
    assert live.shown.preview.name == live.shown.layer.name == "fc.weight"
    session.select(())
    assert live.shown is None


def test_the_newest_position_wins(qtbot: QtBot, session: Session) -> None:
    live = LiveLayer.of(session)
    session.select(("fc.weight",))
    for ratio in np.linspace(0.1, 0.9, 30):
        session.set_steps(("fc.weight",), (Step.make("prune", ratio=float(ratio)),), merge_key="drag")
    qtbot.waitUntil(
        lambda: live.shown is not None and live.shown.preview is not None and live.shown.preview.label == "prune 90 %",
        timeout=PATIENCE_MS,
    )
    assert session.undo_stack.count() == 1


def test_details_are_computed_only_when_wanted(qtbot: QtBot, session: Session) -> None:
    live = LiveLayer.of(session)
    session.select(("conv.weight",))
    qtbot.waitUntil(lambda: live.shown is not None and live.shown.preview is not None, timeout=PATIENCE_MS)
    qtbot.waitUntil(lambda: not session.tasks.busy, timeout=PATIENCE_MS)
    assert live.shown is not None and live.shown.channels is None and live.shown.spectra is None
    live.want_details(True)
    qtbot.waitUntil(
        lambda: live.shown is not None and live.shown.channels is not None and live.shown.spectra is not None,
        timeout=PATIENCE_MS,
    )
    assert live.shown.channels is not None and len(live.shown.channels[0].low) == 8
    assert live.shown.channels[1] is None
    session.set_steps(("conv.weight",), (Step.make("quantize", bits=2),))
    qtbot.waitUntil(
        lambda: live.shown is not None and live.shown.channels is not None and live.shown.channels[1] is not None,
        timeout=PATIENCE_MS,
    )


def test_spectra_are_kept_until_the_model_changes(qtbot: QtBot, session: Session) -> None:
    live = LiveLayer.of(session)
    live.want_details(True)
    session.select(("conv.weight",))
    qtbot.waitUntil(lambda: live.shown is not None and live.shown.spectra is not None, timeout=PATIENCE_MS)
    assert live.shown is not None
    spectra = live.shown.spectra
    session.select(("fc.weight",))
    assert live.shown.spectra is None
    session.select(("conv.weight",))
    assert live.shown.spectra is spectra
    session.close_model()
    assert live._spectra == {}


def test_nan_weights_have_no_spectrum_and_say_why(
    qtbot: QtBot, session: Session, opened: Callable[[Session, Path], Session], make_model: Callable[..., Path]
) -> None:
    weight = np.ones((4, 4), np.float32)
    weight[0, 0] = np.nan
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    opened(session, make_model(nodes, {"w": weight}, {"x": ["n", 4]}, {"y": ["n", 4]}, name="nan.onnx"))
    live = LiveLayer.of(session)
    session.select(("w",))
    live.want_details(True)
    session.set_steps(("w",), (Step.make("prune"),))
    qtbot.waitUntil(
        lambda: live.shown is not None and live.shown.spectra is not None and live.shown.preview is not None
        and bool(live.shown.preview.skipped),
        timeout=PATIENCE_MS,
    )
    assert live.shown is not None and live.shown.spectra is not None and live.shown.preview is not None
    assert "NaN" in live.shown.spectra.reason
    assert "NaN" in live.shown.preview.skipped
