"""A session whose runs lie in the test's folder, and trainings that take no time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gui.session import Session
from gui.training.asked import Asked, ResultView

sys.path.insert(0, str(Path(__file__).parents[1]))  # the training process gets the same path
import jobs


def view(outcome: int) -> ResultView:
    """What the result card shows of a pretended training."""
    return ResultView(
        "97.9 % instead of 95.0 % without training.", ("", "File", "Accuracy"),
        (("Original", "1.73 MB", "98.0 %"), ("Compressed", "43 kB", "95.0 %"), ("Trained", "43 kB", "97.9 %")), 2,
        ("Measured on 1,000 samples of test.npz.",),
    )  # fmt: skip


@pytest.fixture
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runs"
    monkeypatch.setattr(Session, "runs_folder", folder)
    return folder


@pytest.fixture
def fake(runs_folder: Path) -> Callable[..., Asked]:
    """fake(epochs=..., hold_after=...) makes a training that only pretends."""

    def make(**values: Any) -> Asked:
        spec = jobs.FakeTraining(runs_folder=str(runs_folder), **values)
        return Asked("finetune", "Fine-tuning lenet5.onnx", jobs.train, spec, view)

    return make
