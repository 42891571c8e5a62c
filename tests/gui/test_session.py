"""The session without a window: open, edit, undo, data, compress, stale results, errors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from core.errors import FeatherweightError
from core.recipe import Step
from gui.session import Session

PATIENCE_MS = 60_000
Opened = Callable[[Session, Path], Session]


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    path = tmp_path / "data.npz"
    np.savez(path, x=random.normal(size=(12, 16)).astype(np.float32), labels=np.arange(12) % 4)
    return path


def eight() -> list[Step]:
    return [Step.make("quantize", bits=8)]


def test_open_tells_model_selection_and_statistics(session: Session, opened: Opened, mlp_path: Path) -> None:
    opened(session, mlp_path)
    assert session.model is not None
    names = {layer.name for layer in session.model.layers}
    assert {"fc1.weight", "fc2.weight"} <= names
    assert session.selection == (session.model.layers[0].name,)
    assert set(session.statistics) == names
    assert not session.edited


def test_failed_open_keeps_the_open_model(session: Session, opened: Opened, mlp_path: Path, tmp_path: Path,
                                          qtbot: QtBot) -> None:
    opened(session, mlp_path)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model at all")
    with qtbot.waitSignal(session.failed, timeout=PATIENCE_MS) as caught:
        session.open_model(broken)
    assert isinstance(caught.args[0], FeatherweightError)
    assert session.model is not None and session.model.path == mlp_path


def test_undo_and_redo_restore_steps_and_clean_state(session: Session, opened: Opened, mlp_path: Path) -> None:
    opened(session, mlp_path)
    session.set_steps(["fc1.weight"], eight())
    assert session.steps("fc1.weight") == tuple(eight()) and session.edited
    session.undo_stack.undo()
    assert session.steps("fc1.weight") == () and not session.edited
    session.undo_stack.redo()
    assert session.steps("fc1.weight") == tuple(eight()) and session.edited


def test_a_drag_is_one_edit_and_two_drags_are_two(session: Session, opened: Opened, mlp_path: Path) -> None:
    opened(session, mlp_path)
    for ratio in (0.1, 0.2, 0.3):
        session.set_steps(["fc1.weight"], [Step.make("prune", ratio=ratio)], merge_key="0.ratio")
    assert session.undo_stack.count() == 1
    session.finish_edit()
    session.set_steps(["fc1.weight"], [Step.make("prune", ratio=0.4)], merge_key="0.ratio")
    assert session.undo_stack.count() == 2
    session.undo_stack.undo()
    assert session.steps("fc1.weight") == (Step.make("prune", ratio=0.3),)


def test_equal_steps_are_no_edit(session: Session, opened: Opened, mlp_path: Path) -> None:
    opened(session, mlp_path)
    session.set_steps(["fc1.weight"], eight())
    session.set_steps(["fc1.weight"], eight())
    assert session.undo_stack.count() == 1


def test_previews_and_predicted_size_follow_the_plan(session: Session, opened: Opened, mlp_path: Path,
                                                     qtbot: QtBot) -> None:
    opened(session, mlp_path)
    session.set_steps(["fc1.weight", "fc2.weight"], eight())
    assert session.predicted_bytes is None  # nothing out of date is shown
    qtbot.waitUntil(lambda: session.predicted_bytes is not None, timeout=PATIENCE_MS)
    assert set(session.previews) == {"fc1.weight", "fc2.weight"}
    assert session.previews["fc1.weight"].weight_sqnr_db > 30
    session.undo_stack.undo()
    qtbot.waitUntil(lambda: not session.previews, timeout=PATIENCE_MS)


def test_recipe_round_trip_and_clean_state(session: Session, opened: Opened, mlp_path: Path, tmp_path: Path,
                                           qtbot: QtBot) -> None:
    opened(session, mlp_path)
    session.set_steps(["fc1.weight"], eight())
    path = tmp_path / "plan.yaml"
    with qtbot.waitSignal(session.said, timeout=PATIENCE_MS):
        session.save_recipe(path)
    assert session.model is not None and session.model.sha256 in path.read_text()
    assert not session.edited
    session.set_steps(["fc1.weight"], None)
    assert session.edited
    session.open_recipe(path)
    assert session.steps("fc1.weight") == tuple(eight()) and not session.edited
    session.undo_stack.undo()
    assert session.steps("fc1.weight") == ()


def test_recipe_that_does_not_fit_changes_nothing(session: Session, opened: Opened, mlp_path: Path, tmp_path: Path,
                                                  qtbot: QtBot) -> None:
    opened(session, mlp_path)
    path = tmp_path / "other.yaml"
    path.write_text("featherweight: 1\nlayers:\n  no.such.layer: [{quantize: {bits: 8}}]\n")
    with qtbot.waitSignal(session.failed) as caught:
        session.open_recipe(path)
    assert "no.such.layer" in str(caught.args[0])
    assert not session.has_steps and not session.edited


def test_data_and_recipe_without_model_are_refused_with_advice(session: Session, qtbot: QtBot) -> None:
    for verb in (session.load_data, session.open_recipe):
        with qtbot.waitSignal(session.failed) as caught:
            verb("some.file")
        assert "open its model first" in str(caught.args[0])


def test_compress_measure_edit_makes_stale_and_undo_makes_current(
        session: Session, opened: Opened, mlp_path: Path, data_path: Path, tmp_path: Path, qtbot: QtBot) -> None:
    opened(session, mlp_path)
    session.load_data(data_path)
    session.set_steps(["fc1.weight", "fc2.weight"], eight())
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    finished: list[str] = []
    session.layerFinished.connect(lambda result: finished.append(result.name))
    session.compress()
    qtbot.waitUntil(lambda: session.result is not None, timeout=PATIENCE_MS)
    assert set(finished) >= {"fc1.weight", "fc2.weight"}
    assert session.result_current and session.comparison is not None and session.comparison.n == 12
    assert session.comparison.accuracy_before is not None
    session.set_steps(["fc1.weight"], None)
    assert session.result is not None and not session.result_current
    session.undo_stack.undo()
    assert session.result_current
    target = tmp_path / "out" / "small.onnx"
    target.parent.mkdir()
    with qtbot.waitSignal(session.said, timeout=PATIENCE_MS):
        session.export(target)
    assert session.compression is not None
    assert target.read_bytes() == Path(session.compression.path).read_bytes()
    assert [p.name for p in target.parent.iterdir()] == ["small.onnx"]


def test_export_over_the_original_is_refused(session: Session, opened: Opened, mlp_path: Path, qtbot: QtBot) -> None:
    opened(session, mlp_path)
    session.set_steps(["fc1.weight"], eight())
    before = mlp_path.read_bytes()
    with qtbot.waitSignal(session.failed) as caught:
        session.export(mlp_path)
    assert "original" in str(caught.args[0])
    assert mlp_path.read_bytes() == before


def test_cancel_keeps_plan_and_earlier_result(session: Session, opened: Opened, mlp_path: Path, qtbot: QtBot) -> None:
    opened(session, mlp_path)
    session.set_steps(["fc1.weight"], eight())
    session.compress()
    assert session.running("compress")
    session.cancel()
    assert not session.running("compress") and session.result is None
    assert session.steps("fc1.weight") == tuple(eight())
    session.compress()
    qtbot.waitUntil(lambda: session.result is not None, timeout=PATIENCE_MS)


def test_close_model_forgets_everything(session: Session, opened: Opened, mlp_path: Path) -> None:
    opened(session, mlp_path)
    session.set_steps(["fc1.weight"], eight())
    session.close_model()
    assert session.model is None and session.recipe is None and session.selection == ()
    assert not session.statistics and not session.previews and session.undo_stack.count() == 0


def test_nothing_that_is_read_is_ever_overwritten(
    session: Session, opened: Opened, mlp_path: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    opened(session, mlp_path)
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.zeros((4, 16), np.float32))
    with qtbot.waitSignal(session.dataChanged, timeout=PATIENCE_MS):
        session.load_data(samples)
    before = {path: path.read_bytes() for path in (mlp_path, samples)}
    for attempt in (lambda: session.export(samples), lambda: session.save_recipe(mlp_path)):
        with qtbot.waitSignal(session.failed, timeout=PATIENCE_MS) as refused:
            attempt()
        assert "never overwritten" in str(refused.args[0])
    assert {path: path.read_bytes() for path in before} == before


def test_a_model_that_changed_on_disk_is_not_compressed(
    session: Session, opened: Opened, mlp_path: Path, qtbot: QtBot
) -> None:
    opened(session, mlp_path)
    os.utime(mlp_path, ns=(1, 1))
    with qtbot.waitSignal(session.failed, timeout=PATIENCE_MS) as refused:
        session.compress()
    assert "changed or removed since it was opened" in str(refused.args[0])


def test_export_of_the_compressed_plan_is_a_copy_whatever_was_loaded_or_exported_since(
        session: Session, opened: Opened, mlp_path: Path, data_path: Path, tmp_path: Path, qtbot: QtBot) -> None:
    opened(session, mlp_path)
    session.set_steps(["fc1.weight", "fc2.weight"], eight())
    folder = tmp_path / "full of other things"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with qtbot.waitSignal(session.said, timeout=PATIENCE_MS):
        session.export(folder / "first.onnx")  # compresses
    session.load_data(data_path)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    runs: list[None] = []
    session.runStarted.connect(lambda: runs.append(None))
    with qtbot.waitSignal(session.said, timeout=PATIENCE_MS) as said:
        session.export(folder / "second.onnx")
    assert not runs and "the same file that was compressed before" in said.args[0]
    assert (folder / "second.onnx").read_bytes() == (folder / "first.onnx").read_bytes()
    assert session.result is not None and session.result.exported == folder / "second.onnx"
    assert not session.result_current  # it was measured without the data
    (folder / "first.onnx").write_bytes(b"not what was exported")
    with qtbot.waitSignal(session.said, timeout=PATIENCE_MS):
        session.export(folder / "third.onnx")
    assert runs and (folder / "third.onnx").read_bytes() == (folder / "second.onnx").read_bytes()


def test_data_stays_for_a_model_with_the_same_inputs(session: Session, opened: Opened, mlp_path: Path, cnn_path: Path,
                                                     data_path: Path, tmp_path: Path, qtbot: QtBot) -> None:
    opened(session, mlp_path)
    session.load_data(data_path)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    again = tmp_path / "again.onnx"
    again.write_bytes(mlp_path.read_bytes())
    opened(session, again)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    assert session.data_path == data_path
    opened(session, cnn_path)
    assert session.data_path is None and not session.running("data")
