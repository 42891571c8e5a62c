"""Which steps are applied when, and to what; with real methods on a fake student."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.encoding import Encoding
from core.model.model import Model
from core.model.readers import open_model
from core.progress import SILENT
from core.recipe import Step
from core.training.schedule import Schedule, make_schedule
from core.training.settings import TrainingSettings

PRUNE, LEVELS = Step.make("prune", ratio=0.9), Step.make("quantize", scheme="codebook", bits=4)
STEPS = {"fc1.weight": (PRUNE, LEVELS), "fc2.weight": (PRUNE, LEVELS)}


class Layers:
    """The part of a student that schedules use: dense latents behind encodings."""

    def __init__(self, model: Model) -> None:
        self.latents = {layer.name: np.array(model.weight(layer.name)) for layer in model.layers}
        self.encodings: dict[str, Encoding] = {}
        self.bias = torch.zeros(3)
        self.given: dict[str, Any] = {}

    def replace(self, name: str, encoding: Encoding, weight: Any = None) -> None:
        self.encodings[name], self.given[name] = encoding, weight
        if weight is not None:
            self.latents[name] = weight

    def latent(self, name: str) -> np.ndarray:
        return self.latents[name]

    def trained(self) -> Any:
        return SimpleNamespace(encodings=dict(self.encodings))

    def state_dict(self) -> dict[str, Any]:
        return {"bias": self.bias}

    def zeros(self, name: str = "fc1.weight") -> float:
        return float(np.mean(self.encodings[name].decode() == 0.0))

    def levels(self, name: str = "fc1.weight") -> int:
        return len(np.unique(self.encodings[name].decode()))


@pytest.fixture
def model(mlp_path: Path) -> Model:
    return open_model(mlp_path)


def nothing_known(name: str, steps: tuple[Step, ...]) -> tuple[None, str]:
    return None, ""


def made(model: Model, steps: Mapping[str, tuple[Step, ...]] = STEPS, **settings: Any) -> Schedule:
    schedule = make_schedule(model, steps, TrainingSettings(**settings), nothing_known)
    assert schedule is not None
    return schedule


def test_all_at_once_needs_no_schedule(model: Model) -> None:
    assert make_schedule(model, STEPS, TrainingSettings(sparsity="at once"), nothing_known) is None
    only = {"fc1.weight": (LEVELS,)}
    assert make_schedule(model, only, TrainingSettings(stages="in turn", sparsity="cubic"), nothing_known) is None
    assert make_schedule(model, {}, TrainingSettings(sparsity="rewind"), nothing_known) is None


def test_steps_one_after_another(model: Model) -> None:
    schedule, student = made(model, stages="in turn", sparsity="at once", epochs=9), Layers(model)
    assert [(p.title, p.epochs, p.rate) for p in schedule.phases] == [("prune 90 %", 6, 1.0), ("16 levels", 3, 0.3)]
    assert set(schedule(student, 0, 0, SILENT)) == set(STEPS)  # type: ignore[arg-type]
    assert student.zeros() == pytest.approx(0.9, abs=0.01) and student.levels() > 17
    pruned = student.encodings["fc1.weight"].decode() == 0.0
    student.latents["fc1.weight"] = student.latents["fc1.weight"] * 1.5  # the removed weights are among them
    schedule(student, 1, 0, SILENT)  # type: ignore[arg-type]
    assert np.array_equal(student.encodings["fc1.weight"].decode() == 0.0, pruned)
    assert student.levels() <= 17 and student.given["fc1.weight"] is None
    assert schedule(student, 1, 1, SILENT) == {}  # type: ignore[arg-type]


def test_sparsity_rises_along_a_cubic_curve(model: Model) -> None:
    schedule, student = made(model, sparsity="cubic", epochs=10), Layers(model)
    phase = schedule.phases[0]
    assert len(schedule.phases) == 1 and "gradually" in phase.title
    assert phase.settles == 6 and phase.changes == 2  # often enough for a smooth curve
    shares = []
    for half in range(20):
        changed = schedule(student, 0, half / 2, SILENT)  # type: ignore[arg-type]
        assert bool(changed) == (half <= 12)
        shares.append(student.zeros())
    expected = [0.9 * (1.0 - (1.0 - (half + 1) / 13) ** 3) for half in range(13)]
    assert shares[:13] == pytest.approx(expected, abs=0.01) and shares[13:] == [shares[12]] * 7


def test_gradual_pruning_goes_by_the_trained_weights(model: Model) -> None:
    schedule, student = made(model, {"fc1.weight": (PRUNE,)}, sparsity="cubic", epochs=3), Layers(model)
    schedule(student, 0, 0, SILENT)  # type: ignore[arg-type]
    student.latents["fc1.weight"] = student.latents["fc1.weight"][::-1].copy()
    schedule(student, 0, 1, SILENT)  # type: ignore[arg-type]
    kept = student.encodings["fc1.weight"].decode() != 0.0
    assert np.abs(student.latents["fc1.weight"])[kept].min() >= np.abs(student.latents["fc1.weight"])[~kept].max()


def test_rounds_go_back_to_the_weights_of_the_start(model: Model) -> None:
    schedule, student = made(model, sparsity="rewind", rounds=2, epochs=4), Layers(model)
    assert [p.epochs for p in schedule.phases] == [2, 2]
    assert [p.title for p in schedule.phases] == [
        "prune 90 %, 16 levels, round 1 of 2", "prune 90 %, 16 levels, round 2 of 2"
    ]
    schedule.remember(student)  # type: ignore[arg-type]
    schedule(student, 0, 0, SILENT)  # type: ignore[arg-type]
    assert student.zeros() == pytest.approx(1.0 - 0.1**0.5, abs=0.01)
    student.bias += 1.0
    start = np.array(model.weight("fc1.weight"))
    first = student.encodings["fc1.weight"].decode() != 0.0
    schedule(student, 1, 0, SILENT)  # type: ignore[arg-type]
    kept = student.encodings["fc1.weight"].decode() != 0.0
    assert student.zeros() == pytest.approx(0.9, abs=0.01) and not (kept & ~first).any()
    assert np.array_equal(student.latents["fc1.weight"][kept], start[kept])
    assert float(student.bias.sum()) == 0.0


def test_layers_of_other_patterns_are_left_whole(model: Model) -> None:
    fixed = Step.make("prune", pattern="2:4")
    schedule = make_schedule(model, {"fc1.weight": (fixed,)}, TrainingSettings(sparsity="cubic"), nothing_known)
    assert schedule is None
