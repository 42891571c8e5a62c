"""From the form to the job and from a run on disk back to it; an interrupted one is found when its model is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import jobs
import pytest
from made import write_planned_model
from pytestqt.qtbot import QtBot

from core.analysis.latency import LatencyComparison, Timing
from core.errors import FeatherweightError
from core.finetune_job import FinetuneOutcome
from core.methods.params import to_dict
from core.progress import Reporter
from core.runs.recording import recording
from core.runs.run import Run, RunKind
from core.runs.store import RunStore
from core.training.settings import TrainingSettings
from gui.session import Session
from gui.training.finetune import Wish, asked_of, asked_of_run, view_of
from gui.training.interrupted import find
from gui.training.state import Phase

PATIENCE_MS = 20_000


def record(folder: Path, model: Path, data: Path, epochs: int) -> Run:
    """A run of three epochs as a process leaves it that was killed after some of them."""
    from core.data.keeping import options_dict
    from core.data.options import DEFAULT_OPTIONS

    store, settings = RunStore(folder), TrainingSettings(epochs=3, dropout=0.1)
    with recording(store, kind=RunKind.FINETUNE, title="planned: 4 bits", model_path=model, data={"train": str(data)},
                   settings=to_dict(settings, all_values=True), options=options_dict(DEFAULT_OPTIONS)) as run:
        for epoch in range(1, epochs + 1):
            run.reporter(Reporter()).tell(jobs.fake_epoch(epoch, 3))
    kept = store.path(run.id) / "run.json"
    kept.write_text(kept.read_text().replace('"done"', '"running"'))
    return store.get(run.id)


def test_the_job_has_what_the_form_says(ready: Session, tmp_path: Path, runs_folder: Path) -> None:
    settings = TrainingSettings(epochs=7)
    assert ready.data_path is not None and ready.model is not None
    asked = asked_of(ready, Wish(settings, ready.data_path, None, tmp_path / "test.npz"))
    spec = asked.spec
    assert (spec.settings, spec.data_path, spec.valid_path) == (settings, str(ready.data_path), None)
    assert spec.test_path == str(tmp_path / "test.npz") and spec.runs_folder == str(runs_folder)
    assert "quantize" in spec.recipe_text and spec.resume is None and spec.passing
    assert Path(spec.target).parent.is_dir() and Path(spec.target).name == "planned.onnx"
    again = asked_of(ready, Wish(settings, ready.data_path))
    assert again.spec.target != spec.target  # the file of the training before stays


def test_a_plan_without_steps_is_plain_fine_tuning(ready: Session) -> None:
    assert ready.data_path is not None and ready.model is not None
    ready.set_steps([layer.name for layer in ready.model.layers], None)
    assert asked_of(ready, Wish(TrainingSettings(), ready.data_path)).spec.recipe_text == ""


def test_a_changed_model_file_is_told(ready: Session) -> None:
    assert ready.data_path is not None and ready.model is not None
    ready.model.path.write_bytes(b"something else")
    with pytest.raises(FeatherweightError):
        asked_of(ready, Wish(TrainingSettings(), ready.data_path))


def test_an_interrupted_fine_tuning_is_offered_when_its_model_is_opened(
    session: Session, qtbot: QtBot, opened: Callable[..., Session], tmp_path: Path, runs_folder: Path
) -> None:
    model, advised = write_planned_model(tmp_path / "planned.onnx"), []
    session.training.advised.connect(lambda text, actions: advised.append((text, actions)))
    run = record(runs_folder, model, tmp_path / "train.npz", 2)
    opened(session, model)
    state = session.training
    qtbot.waitUntil(lambda: state.phase is Phase.INTERRUPTED, timeout=PATIENCE_MS)
    assert advised[0][0] == "A fine-tuning of planned.onnx was interrupted after epoch 2 of 3. Go on with it?"
    assert state.can_resume and state.run == run.id and state.series[0].epochs_done == 2
    assert state.asked is not None and state.asked.spec.passing
    assert state.asked.spec.resume == run.id and state.asked.spec.settings.dropout == 0.1
    session.close_model()
    assert state.phase is Phase.NONE and not state.series


def test_only_an_interrupted_run_with_an_epoch_is_found(tmp_path: Path, runs_folder: Path) -> None:
    model = tmp_path / "planned.onnx"
    assert find(runs_folder, model, Reporter()) is None
    record(runs_folder, model, tmp_path / "train.npz", 0)
    assert find(runs_folder, model, Reporter()) is None  # nothing to go on from
    run = record(runs_folder, tmp_path / "other.onnx", tmp_path / "train.npz", 2)
    assert find(runs_folder, model, Reporter()) is None
    found = find(runs_folder, tmp_path / "other.onnx", Reporter())
    assert found is not None and found[0].id == run.id


@pytest.mark.parametrize(("low", "within"), [(0.9, True), (1.15, False)])
def test_a_latency_within_the_spread_is_called_that(low: float, within: bool) -> None:
    latency = LatencyComparison(Timing(1.0, 0.9, 1.1, 20, 1.0), Timing(1.2, low, 1.3, 20, 1.0), 1, 40)
    comparison = SimpleNamespace(score=None, latency=latency, output_sqnr_db=20.0)
    report = SimpleNamespace(bytes_before=2000, bytes_after=1000)
    outcome = SimpleNamespace(comparison=comparison, untrained=None, report=report, compared_on="20 samples", used=(),
                              notes=(), frozen=(), stopped="", path="out.onnx")
    view = view_of(cast(FinetuneOutcome, outcome))
    assert view.rows[-1][-1] == "1.20 ms"
    assert ("The latencies differ by less than their spread." in view.notes) == within


def test_a_run_of_another_model_is_refused(ready: Session, tmp_path: Path, runs_folder: Path) -> None:
    run = record(runs_folder, tmp_path / "other.onnx", tmp_path / "train.npz", 1)
    with pytest.raises(FeatherweightError, match=r"open other\.onnx first"):
        asked_of_run(ready, run)
