"""Trainings that take no time, and a model with samples to fine-tune."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from core.recipe import Step
from gui.session import Session
from gui.training.asked import Asked, ResultView

sys.path.insert(0, str(Path(__file__).parents[1]))  # the training process gets the same path
import jobs
from made import write_clusters, write_planned_model


def view(outcome: int) -> ResultView:
    """What the result card shows of a pretended training."""
    return ResultView(
        "97.9 % instead of 95.0 % without training.", ("", "File", "Accuracy"),
        (("Original", "1.73 MB", "98.0 %"), ("Compressed", "43 kB", "95.0 %"), ("Trained", "43 kB", "97.9 %")), 2,
        ("Measured on 1,000 samples of test.npz.",),
    )  # fmt: skip


@pytest.fixture
def fake(runs_folder: Path) -> Callable[..., Asked]:
    """fake(epochs=..., hold_after=...) makes a training that only pretends."""

    def make(**values: Any) -> Asked:
        spec = jobs.FakeTraining(runs_folder=str(runs_folder), **values)
        return Asked("finetune", "Fine-tuning lenet5.onnx", jobs.train, spec, view)

    return make


@pytest.fixture
def ready(session: Session, qtbot: QtBot, opened: Callable[..., Session], tmp_path: Path) -> Session:
    """A session with a small model, a plan of 4 bits and 120 labelled samples."""
    return make_ready(session, qtbot, opened, tmp_path)


def make_ready(session: Session, qtbot: QtBot, opened: Callable[..., Session], folder: Path) -> Session:
    opened(session, write_planned_model(folder / "planned.onnx"))
    session.load_data(write_clusters(folder / "train.npz", 120))
    model = session.model
    assert model is not None
    session.set_steps([layer.name for layer in model.layers], [Step.make("quantize", bits=4)])
    qtbot.waitUntil(lambda: session.samples is not None and session.predicted_bytes is not None, timeout=20_000)
    return session
