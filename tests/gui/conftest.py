"""The real window on a fresh settings folder; afterwards no thread, timer, process or widget of it may be left."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from core.analysis.sensitivity.cells import Tier
from core.analysis.sensitivity.table import Asked, sensitivity
from core.planning.plan import Plan
from core.progress import Progress
from gui.app import start
from gui.main_window import MainWindow
from gui.session import Session
from gui.settings import Settings
from gui.theme import theme

sys.path.insert(0, str(Path(__file__).parent))
from made import write_planned_model

PATIENCE_MS = 30_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a person who has never started the program."""
    return Settings(tmp_path / "person")


@pytest.fixture(autouse=True)
def nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensitivity that comes by itself keeps the worker from what tests wait for; its own tests let it come."""
    monkeypatch.setattr("gui.sensitivity.state.QUIET_MS", PATIENCE_MS * 10)


@pytest.fixture
def session(qtbot: QtBot, tmp_path: Path) -> Iterator[Session]:
    """A session without a window."""
    made = Session(tmp_path / "work")
    made.sensitivity.cache_folder = tmp_path / "cache"
    yield made
    made.close()
    assert not leftover_threads()


@pytest.fixture
def window(qapp: QApplication, qtbot: QtBot, settings: Settings, tmp_path: Path) -> Iterator[MainWindow]:
    """The whole window, shown and complete."""
    theme().set_mode("light")
    settings.mode = "light"
    made = start(qapp, settings)
    made.session.sensitivity.cache_folder = tmp_path / "cache"
    made.resize(1440, 900)
    made.show()
    from gui.lenses.base import all_lenses  # after the first paint, as the window does

    qtbot.waitUntil(lambda: made.workspace.filled and len(made.workspace.lenses.keys) == len(all_lenses()),
                    timeout=PATIENCE_MS)
    yield made
    made.close()
    made.deleteLater()
    assert not leftover_threads()
    assert not leftover_processes()


@pytest.fixture
def opened(qtbot: QtBot) -> Callable[[Session, Path], Session]:
    """opened(session, path) opens a model and waits for all its statistics."""

    def open_and_wait(session: Session, path: Path) -> Session:
        session.open_model(path)
        qtbot.waitUntil(lambda: session.model is not None and session.model.path == path, timeout=PATIENCE_MS)
        assert session.model is not None
        layers = len(session.model.layers)
        qtbot.waitUntil(lambda: len(session.statistics) == layers, timeout=PATIENCE_MS)
        return session

    return open_and_wait


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Plan]:
    """A small model, samples of it, and a measured plan for 20 % of its size."""
    from core.data import load_samples
    from core.model.readers import open_model
    from core.planning.budgets import Budget, Goal
    from core.planning.candidates import candidates
    from core.planning.planner import Wish, make_plan
    from core.recipe import Recipe, Step

    folder = tmp_path_factory.mktemp("planned")
    model_path, data_path = write_planned_model(folder / "planned.onnx"), folder / "data.npz"
    np.savez(data_path, x=np.random.default_rng(1).normal(0, 1, (60, 48)).astype(np.float32))
    model = open_model(model_path)
    settings = tuple((Step.make("quantize", bits=bits),) for bits in (8, 6, 4, 3))
    settings += ((Step.make("prune", ratio=0.8), Step.make("quantize:codebook", bits=4)),)
    learn, test = load_samples(data_path, model.inputs).split(30)
    table = sensitivity(model, learn, Asked(Tier.MEASURED, settings, everything=True), cache=folder)
    wish = Wish(Budget(Goal.SIZE, model.file_bytes * 0.2), evaluations=6)
    plan = make_plan(model, table, candidates(model, table, Recipe()), wish, calibration=learn, test=test)
    return model_path, data_path, plan


class FakePlanner:
    """Takes the place of the worker process for the task "plan": a test decides what it answers."""

    def __init__(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        self.specs: list[Any] = []
        self.answers: dict[str, Callable[..., None]] = {}
        self.active = False
        process, running, cancel = session.tasks.process, session.tasks.running, session.tasks.cancel

        def started(key: str, job: Any, *args: Any, **answers: Any) -> None:
            if key != "plan":
                process(key, job, *args, **answers)
                return
            self.specs.append(args[0])
            self.answers, self.active = answers, True

        def cancelled(key: str) -> None:
            if key != "plan":
                cancel(key)
            elif self.active:
                self.active = False
                self.answers["cancelled"]()

        monkeypatch.setattr(session.tasks, "process", started)
        monkeypatch.setattr(session.tasks, "cancel", cancelled)
        monkeypatch.setattr(session.tasks, "running", lambda key: self.active if key == "plan" else running(key))

    def tell(self, plan: Plan) -> None:
        self.answers["progress"](Progress(0.5, part=plan))

    def end(self, kind: str, value: object) -> None:
        """Finish: "done" with a plan, or "failed" with an error."""
        self.active = False
        self.answers[kind](value)


@pytest.fixture
def planner(session: Session, monkeypatch: pytest.MonkeyPatch) -> FakePlanner:
    """The planner of the session, in the test's hand."""
    return FakePlanner(session, monkeypatch)


def leftover_threads() -> list[str]:
    """Names of living threads that a session started."""
    return [t.name for t in threading.enumerate() if t.name.startswith(("featherweight", "worker answers"))]


def leftover_processes() -> list[str]:
    """Command lines of living worker processes of this test run."""
    lines = (" ".join(child.cmdline()) for child in psutil.Process().children() if child.status() != "zombie")
    return [line for line in lines if "spawn_main" in line]
