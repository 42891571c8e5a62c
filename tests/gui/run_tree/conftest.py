"""A store with a few runs of a small model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.model.readers import open_model
from core.runs import events
from core.runs.run import Figure, Run, RunKind, RunState
from core.runs.store import RunStore
from core.training.events import EpochDone
from core.training.settings import TrainingSettings

RECIPE = "featherweight: 1\ndefaults: [{quantize: {bits: 4}}]\n"


def point(epoch: int, loss: float = 0.5) -> EpochDone:
    return EpochDone(epoch, "train", loss, 0.6, 0.9, 0.8, 1e-3, True, False, 0.1)


@pytest.fixture(autouse=True)
def read_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes on disk are read at once: tests need not wait as long as a person does not notice."""
    monkeypatch.setattr("gui.run_tree.state.QUIET_MS", 20)
    monkeypatch.setattr("gui.run_tree.state.AT_WORK_MS", 100)


class Runs:
    """Makes runs as processes leave them."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.store, self.model = RunStore(folder), open_model(model)
        self._made = 0

    def add(self, kind: RunKind = RunKind.COMPRESS, state: RunState = RunState.DONE, *, nbytes: float = 500.0,
            score: float = 0.9, **values: object) -> Run:
        self._made += 1
        now = 1_700_000_000.0 + 60 * self._made
        figures = (
            Figure("bytes_before", 4000.0, "B", "file before"), Figure("bytes", nbytes, "B", "file"),
            Figure("score_before", 0.95, "share", "accuracy (top-1) before", on="20 samples"),
            Figure("score", score, "share", "accuracy (top-1)", on="20 samples"), Figure("sqnr", 30.0, "dB"),
        )  # fmt: skip
        run = Run(self.store.new_id(now), kind, "small", str(self.model.path), state, now, self.model.sha256,
                  recipe_text=RECIPE, figures=figures, seconds=12.0, ended=now + 12)
        run = replace(run, **values)  # type: ignore[arg-type]
        self.store.put(run)
        return run

    def add_training(self, state: RunState = RunState.DONE, **values: object) -> Run:
        from core.methods.params import to_dict

        settings = to_dict(TrainingSettings(epochs=4, dropout=0.2), all_values=True)
        given = {"settings": settings, "data": {"train": "/data/train.npz"}} | values
        run = self.add(RunKind.FINETUNE, state, **given)  # type: ignore[arg-type]
        for epoch in (1, 2):
            events.append(self.store.path(run.id) / events.FILE, point(epoch))
        return run


@pytest.fixture
def runs(runs_folder: Path, mlp_path: Path) -> Runs:
    """Runs of the model at `mlp_path`, in the store that the window reads."""
    return Runs(runs_folder, mlp_path)
