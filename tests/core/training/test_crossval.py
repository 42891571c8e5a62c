"""Cross-validation with real trainings of a tiny model: what is tested was never seen, and variants are paired."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.data import load_samples
from core.data.samples import Samples
from core.errors import DataError
from core.model.model import Model
from core.model.readers import open_model
from core.progress import Progress, Reporter
from core.recipe import Recipe, Step
from core.training import crossval
from core.training.crossval import cross_validate
from core.training.crossval_result import CrossvalResult
from core.training.events import Started
from core.training.settings import TrainingSettings
from core.training.variants import Trial, parse

SETTINGS = TrainingSettings(epochs=2, batch=16, sparsity="at once", loss="labels")
RECIPE = Recipe(defaults=(Step.make("quantize", bits=8),))


def write_data(path: Path, n: int = 48) -> Path:
    """Four classes that differ in one feature each, so that a few epochs learn them."""
    random = np.random.default_rng(0)
    labels = np.arange(n) % 4
    values = random.normal(0, 0.5, (n, 16)).astype(np.float32)
    values[np.arange(n), labels] += 2.0
    np.savez(path, x=values, labels=labels)
    return path


@pytest.fixture
def model(mlp_path: Path) -> Model:
    return open_model(mlp_path)


@pytest.fixture
def samples(model: Model, tmp_path: Path) -> Samples:
    return load_samples(write_data(tmp_path / "data.npz"), model.inputs)


def test_each_fold_is_tested_on_samples_that_its_training_never_saw(
    model: Model, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[int]] = []
    fit = crossval.fit

    def spy(model: Model, recipe: Recipe, learn: Samples, held: Samples, *args: object, **words: object) -> object:
        seen.append({*learn.order.tolist(), *held.order.tolist()})
        return fit(model, recipe, learn, held, *args, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(crossval, "fit", spy)
    heard: list[Progress] = []
    result = cross_validate(model, RECIPE, samples, Trial(SETTINGS), folds=3, reporter=Reporter(heard.append))
    assert [fold.n_test for fold in result.folds] == [16, 16, 16]
    everything = set(range(48))
    assert sorted(place for learned in seen for place in everything - learned) == sorted(everything)
    assert all(0.0 <= fold.score <= 1.0 and fold.epochs == 2 for fold in result.folds)
    titles = [told.part.title for told in heard if isinstance(told.part, Started)]
    assert titles == ["mlp.onnx, fold 1", "mlp.onnx, fold 2", "mlp.onnx, fold 3"]
    so_far = [len(told.part.folds) for told in heard if isinstance(told.part, CrossvalResult)]
    assert so_far == [1, 2, 3]
    assert heard[-1].done == 1.0
    assert "12 or" not in result.notes[0] and "32 to learn from, 16 to test on" in result.notes[0]


def test_variants_train_on_the_same_folds_and_differ_only_in_what_was_changed(model: Model, samples: Samples) -> None:
    trial = parse("dropout=50%,clip_norm=0.5", SETTINGS)
    result = cross_validate(model, RECIPE, samples, trial, folds=2)
    assert [(fold.fold, fold.variant) for fold in result.folds] == [(f, v) for f in (0, 1) for v in (0, 1, 2)]
    originals = [[fold.original for fold in result.of(variant)] for variant in range(3)]
    assert originals[0] == originals[1] == originals[2]
    assert len(result.differences) == 2


def test_a_seed_repeats_it(model: Model, samples: Samples) -> None:
    first, again = (cross_validate(model, RECIPE, samples, Trial(SETTINGS), folds=2) for _ in range(2))
    assert [fold.score for fold in first.folds] == [fold.score for fold in again.folds]


def test_folds_that_are_done_are_not_trained_again(
    model: Model, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cross_validate(model, RECIPE, samples, Trial(SETTINGS), folds=2)

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("it was trained again")

    monkeypatch.setattr(crossval, "fit", refuse)
    again = cross_validate(model, RECIPE, samples, Trial(SETTINGS), folds=2, done=whole.folds)
    assert again.folds == whole.folds


def test_checkpoints_of_folds_that_are_done_are_removed(model: Model, samples: Samples, tmp_path: Path) -> None:
    cross_validate(model, RECIPE, samples, Trial(SETTINGS), folds=2, folder=tmp_path / "checkpoints")
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_one_class_only_is_refused_before_anything_is_trained(model: Model, tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x=np.zeros((30, 16), np.float32), labels=np.ones(30, np.int64))
    one = load_samples(tmp_path / "one.npz", model.inputs)
    with pytest.raises(DataError, match="class 1"):
        cross_validate(model, RECIPE, one, Trial(SETTINGS), folds=3)
