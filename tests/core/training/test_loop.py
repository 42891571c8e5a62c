"""The training loop on a small torch network: what it learns, keeps, tells and refuses."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.data import Samples, load_samples
from core.errors import Cancelled, DataError, ParameterError
from core.progress import Progress, Reporter
from core.training import loop
from core.training.checkpoints import FILE
from core.training.events import EpochDone, Paused, Started, StepDone
from core.training.loop import PAUSE_FILE, TrainingResult, train
from core.training.schedule import Phase
from core.training.settings import TrainingSettings
from tests.core.training.fakes import INPUTS, FakeStudent, made_samples, teacher_of

QUICK = TrainingSettings(epochs=4, batch=16, learning_rate=0.02, loss="labels")


class Heard:
    """What a training tells; cancels after a number of parts of a kind."""

    def __init__(self, stop_at: int | None = None, kind: type = EpochDone) -> None:
        self.parts: list[Any] = []
        self._cancel, self._stop_at, self._kind = threading.Event(), stop_at, kind
        self.reporter = Reporter(self._hear, self._cancel)

    def _hear(self, progress: Progress) -> None:
        if progress.part is not None:
            self.parts.append(progress.part)
        if self._stop_at is not None and len(self.of(self._kind)) >= self._stop_at:
            self._cancel.set()

    def of(self, kind: type) -> list[Any]:
        return [part for part in self.parts if isinstance(part, kind)]


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    return made_samples(tmp_path)


@pytest.fixture
def held_out(tmp_path: Path) -> Samples:
    return made_samples(tmp_path, 60, 1)


def state(student: FakeStudent) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in student.state_dict().items()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def without_times(result: TrainingResult) -> list[EpochDone]:
    return [replace(point, seconds=0.0) for point in result.curves]


def test_it_learns_and_keeps_the_best_state(samples: Samples, held_out: Samples) -> None:
    heard, student = Heard(), FakeStudent()
    result = train(student, samples, held_out, QUICK, title="fake", run="r1", reporter=heard.reporter)
    assert result.valid_metric is not None and result.valid_metric > 0.9
    assert result.metric == "accuracy (top-1)" and result.stopped == ""
    started = heard.of(Started)
    assert [(s.run, s.title, s.epochs, s.share, s.higher_is_better) for s in started] == [("r1", "fake", 4, True, True)]
    points = heard.of(EpochDone)
    assert tuple(points) == result.curves and [point.epoch for point in points] == [1, 2, 3, 4]
    assert points[-1].train_loss < points[0].train_loss
    best = max((p for p in points if p.best), key=lambda p: p.epoch)
    assert (best.epoch, best.valid_metric, best.valid_loss) == (
        result.best_epoch, result.valid_metric, result.valid_loss
    )
    again = loop.train(student, samples, held_out, replace(QUICK, epochs=1, learning_rate=1e-8))
    assert again.curves[0].valid_metric == pytest.approx(result.valid_metric, abs=1e-6)


def test_the_state_before_training_may_be_the_best(samples: Samples, held_out: Samples) -> None:
    student = FakeStudent()
    train(student, samples, held_out, QUICK)
    before = state(student)
    result = train(student, samples, held_out, replace(QUICK, learning_rate=5.0, clip_norm=0.0, epochs=2))
    assert result.best_epoch == 0 and same(state(student), before)


def test_the_same_seed_gives_the_same_numbers(samples: Samples, held_out: Samples) -> None:
    settings = replace(QUICK, epochs=2)
    results, states = [], []
    for seed in (3, 3, 4):
        student = FakeStudent(dropout=0.3)
        results.append(train(student, samples, held_out, replace(settings, seed=seed)))
        states.append(state(student))
    assert same(states[0], states[1]) and without_times(results[0]) == without_times(results[1])
    assert not same(states[0], states[2])


@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd"])
def test_resumed_equals_uninterrupted(tmp_path: Path, samples: Samples, held_out: Samples, optimiser: str) -> None:
    settings = replace(QUICK, optimiser=optimiser, weight_decay=0.01, l1=1e-4)
    whole, student = FakeStudent(dropout=0.2), FakeStudent(dropout=0.2)
    expected = train(whole, samples, held_out, settings)
    with pytest.raises(Cancelled):
        train(student, samples, held_out, settings, folder=tmp_path / "run", reporter=Heard(2).reporter)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [FILE]
    other, heard = FakeStudent(seed=9, dropout=0.2), Heard()
    result = train(
        other, samples, held_out, settings, folder=tmp_path / "run", resume=True, reporter=heard.reporter
    )
    assert heard.of(Started)[0].done in (1, 2)
    assert without_times(result) == without_times(expected) and same(state(other), state(whole))


def test_phases_resume_too(tmp_path: Path, samples: Samples, held_out: Samples) -> None:
    whole, student = FakeStudent(), FakeStudent()
    expected = train(whole, samples, held_out, QUICK, restage=Masking())
    with pytest.raises(Cancelled):
        train(student, samples, held_out, QUICK, restage=Masking(), folder=tmp_path / "run", reporter=Heard(3).reporter)
    other = FakeStudent()
    result = train(other, samples, held_out, QUICK, restage=Masking(), folder=tmp_path / "run", resume=True)
    assert without_times(result) == without_times(expected) and same(state(other), state(whole))
    assert [point.stage for point in result.curves] == ["prune", "prune", "rest", "rest"]
    assert set(result.replaced) == {"first"}


class Masking:
    """Prunes the fake's first layer, more in its second epoch; then a phase without changes."""

    phases = (Phase("prune", 2, settles=1, changes=2), Phase("rest", 2, rate=0.3))

    def __init__(self) -> None:
        self.calls: list[tuple[int, float]] = []

    def __call__(self, student: Any, phase: int, epoch: float, reporter: Reporter) -> dict[str, Any]:
        self.calls.append((phase, epoch))
        if phase == 1:
            return {}
        from core.encoding import Float

        weight = student.latent("first")
        cut = np.quantile(np.abs(weight), 0.3 * (1.0 + epoch))
        encoding = Float(np.where(np.abs(weight) < cut, np.float32(0.0), weight))
        student.replace("first", encoding)
        return {"first": encoding}


def test_a_state_before_the_schedule_settles_is_never_the_best(samples: Samples, held_out: Samples) -> None:
    student, masking = FakeStudent(), Masking()
    heard = Heard()
    result = train(student, samples, held_out, QUICK, restage=masking, reporter=heard.reporter)
    assert heard.of(Started)[0].last_stage == result.curves[-1].stage == "rest"
    assert not result.curves[0].best and masking.calls == [(0, 0), (0, 0.5), (0, 1), (1, 0), (1, 1)]
    assert np.mean(student.encoding("first").decode() == 0.0) == pytest.approx(0.6, abs=0.02)


def test_a_phase_may_have_a_lower_rate(samples: Samples, held_out: Samples) -> None:
    result = train(FakeStudent(), samples, held_out, replace(QUICK, schedule="constant"), restage=Masking())
    assert [point.learning_rate for point in result.curves] == pytest.approx([0.02, 0.02, 0.006, 0.006])


def test_early_stopping(samples: Samples, held_out: Samples) -> None:
    settings = replace(QUICK, epochs=60, learning_rate=1e-8, patience=3)
    result = train(FakeStudent(), samples, held_out, settings)
    assert result.stopped == "early" and len(result.curves) < 60


def test_without_held_out_samples_the_last_state_counts(samples: Samples) -> None:
    result = train(FakeStudent(), samples, None, QUICK)
    assert result.best_epoch == 4 and result.valid_metric is None and result.curves[-1].valid_loss is None


def test_weights_of_samples_decide_what_is_learned(samples: Samples, held_out: Samples) -> None:
    labels = samples.class_labels
    assert labels is not None
    student = FakeStudent()
    train(student, samples, None, replace(QUICK, epochs=12), sample_weights=np.where(labels == 2, 0.0, 1.0))
    with torch.no_grad():
        answers = student({"x": torch.from_numpy(np.stack([f["x"][0] for f in held_out.feeds()]))})["logits"].argmax(1)
    assert 2 not in answers.tolist()


def test_wrong_weights_of_samples_are_refused(samples: Samples) -> None:
    with pytest.raises(ParameterError, match="3 weights for 120 samples"):
        train(FakeStudent(), samples, None, QUICK, sample_weights=np.ones(3))


def test_a_cancel_takes_effect_between_batches(
    samples: Samples, held_out: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, student = Heard(1, StepDone), FakeStudent()
    monkeypatch.setattr("core.training.passes.TOLD", 0.0)
    with pytest.raises(Cancelled):
        train(student, samples, held_out, QUICK, reporter=heard.reporter)
    assert len(heard.of(StepDone)) == 1 and not heard.of(EpochDone)


def test_a_loss_that_is_not_finite_stops_with_the_last_good_state(samples: Samples, held_out: Samples) -> None:
    student = BreaksAt(12)
    result = train(student, samples, held_out, QUICK)
    assert result.stopped == "the loss was not finite at step 5 of epoch 2"
    assert "learning rate" in result.do and len(result.curves) == 1
    assert all(np.isfinite(value).all() for value in state(student).values())


class BreaksAt(FakeStudent):
    """Its answers become NaN in the training step `step` (from 0)."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.left = step

    def forward(self, feeds: Any, *, features: Any = ()) -> Any:
        outputs = super().forward(feeds, features=features)
        if self.training:
            self.left -= 1
        return {k: v * (np.nan if self.left < 0 and self.training else 1.0) for k, v in outputs.items()}


def test_a_loss_that_is_never_finite_is_refused(samples: Samples, held_out: Samples) -> None:
    with pytest.raises(ParameterError, match="not finite before anything was trained"):
        train(BreaksAt(0), samples, held_out, QUICK)


def test_a_full_disk_does_not_end_the_training(
    tmp_path: Path, samples: Samples, held_out: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.training.checkpoints.os.fsync", full)
    result = train(FakeStudent(), samples, held_out, QUICK, folder=tmp_path / "run")
    assert result.notes == ("The checkpoint could not be written: the disk is full. The training went on.",)
    assert len(result.curves) == 4 and not list((tmp_path / "run").iterdir())


def test_a_damaged_checkpoint_is_refused(tmp_path: Path, samples: Samples, held_out: Samples) -> None:
    train(FakeStudent(), samples, held_out, QUICK, folder=tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="checkpoint cannot be read"):
        train(FakeStudent(), samples, held_out, QUICK, folder=tmp_path, resume=True)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path, samples: Samples, held_out: Samples) -> None:
    train(FakeStudent(), samples, held_out, QUICK, folder=tmp_path)
    with pytest.raises(DataError, match="other settings or other data"):
        train(FakeStudent(), samples, held_out, replace(QUICK, seed=1), folder=tmp_path, resume=True)


def test_a_checkpoint_of_other_data_of_the_same_size_is_refused(
    tmp_path: Path, samples: Samples, held_out: Samples
) -> None:
    train(FakeStudent(), samples, held_out, QUICK, folder=tmp_path)
    assert samples.labels is not None
    for given, chosen in (
        (made_samples(tmp_path, samples.n, 7), held_out),
        (replace(samples, labels=np.roll(samples.labels, 1)), held_out),
        (samples, made_samples(tmp_path, held_out.n, 8)),
    ):
        with pytest.raises(DataError, match="other settings or other data"):
            train(FakeStudent(), given, chosen, QUICK, folder=tmp_path, resume=True)


def test_samples_to_choose_by_that_are_not_finite_are_refused(samples: Samples, tmp_path: Path) -> None:
    path = tmp_path / "held.npz"
    x = np.zeros((20, INPUTS), np.float32)
    x[7, 2] = np.nan
    np.savez(path, x=x, labels=np.arange(20) % 3)
    held = load_samples(path, samples.inputs)
    with pytest.raises(DataError, match="sample 7 has NaN or infinite values"):
        train(FakeStudent(), samples, held, QUICK)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, samples: Samples, held_out: Samples) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "ran").touch, ())

    torch.save({"version": 1, "x": Evil()}, tmp_path / FILE)
    with pytest.raises(DataError, match="cannot be read"):
        train(FakeStudent(), samples, held_out, QUICK, folder=tmp_path, resume=True)
    assert not (tmp_path / "ran").exists()


def test_a_finished_training_resumes_to_its_result(tmp_path: Path, samples: Samples, held_out: Samples) -> None:
    student, other = FakeStudent(), FakeStudent(seed=5)
    first = train(student, samples, held_out, QUICK, folder=tmp_path)
    second = train(other, samples, held_out, QUICK, folder=tmp_path, resume=True)
    assert second.curves == first.curves and second.best_epoch == first.best_epoch
    assert same(state(other), state(student))


def test_it_waits_while_paused(tmp_path: Path, samples: Samples, held_out: Samples) -> None:
    (tmp_path / PAUSE_FILE).touch()
    heard = Heard()

    def hear(progress: Progress) -> None:
        heard._hear(progress)
        if progress.part == Paused(True):
            (tmp_path / PAUSE_FILE).unlink()

    train(FakeStudent(), samples, held_out, QUICK, folder=tmp_path, reporter=Reporter(hear))
    assert heard.of(Paused) == [Paused(True), Paused(False)]


def test_paused_can_be_cancelled(tmp_path: Path, samples: Samples, held_out: Samples) -> None:
    (tmp_path / PAUSE_FILE).touch()
    with pytest.raises(Cancelled):
        train(FakeStudent(), samples, held_out, QUICK, folder=tmp_path, reporter=Heard(1, Paused).reporter)


def test_batches_in_parts_give_the_same(samples: Samples, held_out: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = FakeStudent(), FakeStudent()
    train(whole, samples, held_out, QUICK)
    monkeypatch.setattr("core.training.watching.LARGEST", 5 * 2.0 * 16 * (INPUTS + 3))
    train(parts, samples, held_out, QUICK)
    for name, value in state(whole).items():
        np.testing.assert_allclose(state(parts)[name], value, rtol=1e-3, atol=1e-5)


def test_a_long_batch_is_cancelled_inside() -> None:
    from core.training.watching import cancellable

    cancel = threading.Event()
    weight = torch.ones(4, 4, requires_grad=True)
    with pytest.raises(Cancelled), cancellable(Reporter(None, cancel), 1e12):
        loss = (weight @ weight).sum()
        cancel.set()
        loss.backward()
    with cancellable(Reporter(None, cancel), 1.0):  # a short batch is not looked into
        assert float(weight.detach().sum()) == 16.0


def test_distillation_needs_no_labels(tmp_path: Path) -> None:
    samples, held_out = made_samples(tmp_path, labels=None), made_samples(tmp_path, 60, 1, labels=None)
    teacher, student = FakeStudent(seed=1), FakeStudent(seed=2)
    settings = replace(QUICK, loss="auto", epochs=40, learning_rate=0.05, features=0.1)
    result = train(student, samples, held_out, settings, teacher=teacher_of(teacher))
    assert result.metric == "same answer as the original"
    assert result.valid_metric is not None and result.valid_metric > 0.9
