"""The report from the window: only of what was compressed last and still holds, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from core.analysis import comparison
from core.errors import FeatherweightError
from core.jobs import CompressSpec, compress_file
from core.sample import SamplePaths
from gui.result import Result
from gui.session import Session


@pytest.fixture
def compressed(
    session: Session, opened, sample: SamplePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # type: ignore[no-untyped-def]
) -> Session:
    """The sample, compressed by int8 without data."""
    from core.recipe import Step

    monkeypatch.setattr(comparison, "LATENCY_SECONDS", 0.02)
    opened(session, sample.model)
    assert session.model is not None
    session.set_steps([layer.name for layer in session.model.layers], [Step.make("quantize", bits=8)])
    assert session.recipe is not None
    outcome = compress_file(CompressSpec(str(sample.model), session.recipe.dump(), str(tmp_path / "out.onnx")))
    session.put_result(Result(session.recipe, None, session.data_options, outcome))
    return session


def test_a_report_is_written_and_said(qtbot: QtBot, compressed: Session, tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    with qtbot.waitSignal(compressed.said, timeout=20_000) as said:
        compressed.save_report(target)
    assert str(target) in said.args[0] and "quantize" in target.read_text(encoding="utf-8")


@pytest.mark.parametrize("target", ["none/r.html", "."])
def test_a_place_that_cannot_be_written(qtbot: QtBot, compressed: Session, tmp_path: Path, target: str) -> None:
    with qtbot.waitSignal(compressed.failed, timeout=20_000) as failed:
        compressed.save_report(tmp_path / target)
    assert isinstance(failed.args[0], FeatherweightError) and "folder" in str(failed.args[0])


def test_what_no_longer_holds_is_not_reported(qtbot: QtBot, compressed: Session, tmp_path: Path) -> None:
    compressed.undo_stack.undo()
    with qtbot.waitSignal(compressed.failed, timeout=1_000) as failed:
        compressed.save_report(tmp_path / "r.html")
    assert "compress again" in str(failed.args[0]) and not (tmp_path / "r.html").exists()


def test_nothing_was_compressed(qtbot: QtBot, session: Session, tmp_path: Path) -> None:
    with qtbot.waitSignal(session.failed, timeout=1_000) as failed:
        session.save_report(tmp_path / "r.html")
    assert "nothing to report on yet" in str(failed.args[0])
