"""The Weights lens on one layer of each kind of every public model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from core.recipe import Step
from gui.inspector.live import LiveLayer
from gui.lenses.weights import WeightsLens
from gui.session import Session

MODELS = (
    "lenet300", "lenet5", "vit_digits", "ppocr_cls", "ppocr_det", "ppocr_rec", "silero_vad", "magika", "minilm",
)
PATIENCE_MS = 60_000


@pytest.mark.models
@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_layer_is_drawn(
    name: str, models_dir: Path, qtbot: QtBot, session: Session, opened: Callable[[Session, Path], Session]
) -> None:
    path = models_dir / name / "model.onnx"
    if not path.is_file():
        pytest.skip(f"{name} is not built")
    lens = WeightsLens()
    qtbot.addWidget(lens)
    lens.set_session(session)
    lens.resize(640, 700)
    lens.show()
    opened(session, path)
    assert session.model is not None
    live = LiveLayer.of(session)
    for layer in {layer.kind: layer for layer in session.model.layers if not layer.locked}.values():
        session.set_steps((layer.name,), (Step.make("quantize", bits=4),))
        session.select((layer.name,))
        qtbot.waitUntil(
            lambda: live.shown is not None and live.shown.preview is not None and live.shown.spectra is not None
            and live.shown.channels is not None and not session.tasks.busy,
            timeout=PATIENCE_MS,
        )
        assert live.shown is not None and live.shown.preview is not None and not live.shown.problem
        before, after = lens.histogram.shown()
        assert before.sum() == layer.n_weights
        assert after.sum() == (0 if live.shown.preview.skipped else layer.n_weights)
        assert not lens.grab().isNull()
