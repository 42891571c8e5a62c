"""Splits, augmentation, curves, optimisers, teachers and plain encodings, each for itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.encoding import Encoding
from core.errors import DataError, ParameterError
from core.methods.base import Context
from core.model.readers import open_model
from core.pipeline import apply_steps
from core.recipe import Step
from core.training.augment import augmenter
from core.training.curves import parted_at
from core.training.events import EpochDone
from core.training.metric import Figures, better
from core.training.optimising import make_optimiser, penalty, rate_factor, set_rate
from core.training.plain_encodings import from_plain, to_plain
from core.training.settings import TrainingSettings
from core.training.splits import hold_out, overlap
from core.training.teacher import Answers, MeanTeacher
from core.training.watching import part_size
from tests.core.training.fakes import CLASSES, FakeStudent, made_samples, teacher_of

# -- splits ----------------------------------------------------------------------------------------------------------


def test_held_out_samples_keep_the_shares_of_the_classes(tmp_path: Path) -> None:
    labels = np.array([0] * 80 + [1] * 39 + [2])
    samples = made_samples(tmp_path, labels=labels)
    train, held = hold_out(samples, 0.1, seed=1)
    assert (train.n, held.n) == (108, 12) and overlap(train, held) == 0
    assert np.bincount(np.asarray(held.labels), minlength=3).tolist() == [8, 4, 0]
    again, other = hold_out(samples, 0.1, seed=1)[1], hold_out(samples, 0.1, seed=2)[1]
    assert np.array_equal(held.order, again.order) and not np.array_equal(held.order, other.order)


def test_at_least_one_sample_is_held_out(tmp_path: Path) -> None:
    train, held = hold_out(made_samples(tmp_path, 8), 0.01)
    assert (train.n, held.n) == (7, 1)
    with pytest.raises(DataError, match="there are 7 samples"):
        hold_out(made_samples(tmp_path, 7), 0.5)


# -- augmentation ----------------------------------------------------------------------------------------------------


def pictures(tmp_path: Path, shape: tuple[int, ...], kind: str, **more: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    samples = made_samples(tmp_path, 12, shape=shape, **more)
    feeds = {"x": torch.from_numpy(np.concatenate([feed["x"] for feed in samples.feeds()]))}
    return augmenter(kind, samples, feeds), feeds


@pytest.mark.parametrize("kind", ["shift", "affine", "elastic"])
@pytest.mark.parametrize("shape", [(1, 16, 20), (16, 20, 3)])
def test_pictures_change_a_little_in_their_own_scale(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    changes, feeds = pictures(tmp_path, shape, kind)
    ramp = torch.linspace(-3.0, 7.0, 20)
    ramp = ramp.expand(12, 1, 16, 20) if shape[0] == 1 else ramp[None, None, :, None].expand(12, 16, 20, 3)
    feeds = {"x": ramp.contiguous()}
    first = changes(feeds, torch.Generator().manual_seed(3))["x"]
    assert first.shape == feeds["x"].shape and not torch.equal(first, feeds["x"])
    assert float(first.min()) >= -3.001 and float(first.max()) <= 7.001  # no black comes in at the edge
    assert float((first - feeds["x"]).abs().mean()) < 2.0
    assert len({round(float(picture.sum())) for picture in first}) >= 3  # each by numbers of its own
    assert torch.equal(first, changes(feeds, torch.Generator().manual_seed(3))["x"])


def test_shifts_are_whole_pixels(tmp_path: Path) -> None:
    changes, _ = pictures(tmp_path, (1, 28, 28), "shift")
    picture = torch.zeros(12, 1, 28, 28)
    picture[:, :, 14, 14] = 1.0
    moved = changes({"x": picture}, torch.Generator().manual_seed(0))["x"]
    torch.testing.assert_close(moved.flatten(1).max(1).values, torch.ones(12), atol=1e-4, rtol=0)
    places = moved.flatten(1).argmax(1)
    assert len(places.unique()) > 3 and int((places // 28 - 14).abs().max()) <= 2


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no input holds pictures of 1, 3 or 4 channels \\(x is 6 a sample\\)"):
        pictures(tmp_path, (6,), "shift")
    masks = np.zeros((12, 16, 16), np.float32)
    with pytest.raises(ParameterError, match="labels are pictures too"):
        pictures(tmp_path, (1, 16, 16), "elastic", labels=masks)
    assert pictures(tmp_path, (6,), "none")[0] is None


# -- curves ----------------------------------------------------------------------------------------------------------


def curve(train: Sequence[float], valid: Sequence[float], stage: str = "s", first: int = 1) -> list[EpochDone]:
    return [EpochDone(first + i, stage, t, v, None, None, 1e-3, False, False, 1.0)
            for i, (t, v) in enumerate(zip(train, valid, strict=True))]  # fmt: skip


FALLING = np.linspace(1.0, 0.2, 12)


def test_where_training_and_validation_part() -> None:
    valid = [*np.linspace(1.0, 0.5, 6), *np.linspace(0.55, 1.0, 6)]
    assert parted_at(curve(FALLING, valid)) == pytest.approx(6, abs=1)
    assert parted_at(curve(FALLING, FALLING + 0.1)) is None
    assert parted_at(curve(FALLING[::-1], valid)) is None  # training got worse as well
    assert parted_at(curve(FALLING[:4], valid[:4])) is None and parted_at([]) is None


def test_each_stage_parts_for_itself() -> None:
    valid = [*np.linspace(1.0, 0.5, 6), *np.linspace(0.55, 1.0, 6)]
    assert parted_at(curve(FALLING, valid) + curve(FALLING, FALLING, "t", 13)) is None


# -- steps -----------------------------------------------------------------------------------------------------------


def test_only_weights_decay() -> None:
    optimiser = make_optimiser(FakeStudent(), TrainingSettings(weight_decay=0.1))
    assert {group["name"]: group["weight_decay"] for group in optimiser.param_groups} == {"weights": 0.1, "rest": 0.0}


def test_tables_move_slower() -> None:
    class WithTable(FakeStudent):
        def groups(self) -> dict[str, list[torch.nn.Parameter]]:
            return {"weights": [self.first], "tables_and_scales": [self.second], "rest": [self.bias]}

    optimiser = make_optimiser(WithTable(), TrainingSettings())
    set_rate(optimiser, 0.1)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.1, 0.03, 0.1])


def test_the_l1_penalty_is_of_weights_alone() -> None:
    student = FakeStudent()
    expected = 0.5 * float((student.first.abs().sum() + student.second.abs().sum()).detach())
    found = penalty(student, TrainingSettings(l1=0.5))
    assert found is not None and float(found.detach()) == pytest.approx(expected)
    assert penalty(student, TrainingSettings()) is None


def test_the_learning_rate_rises_and_falls() -> None:
    factors = [rate_factor("cosine", 0.1, step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11) and factors[10] == 1.0 and 0.0 < factors[-1] < 0.01
    assert [rate_factor("linear", 0.0, step, 4) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert {rate_factor("constant", 0.0, step, 4) for step in range(4)} == {1.0}


def test_large_samples_run_in_parts() -> None:
    assert part_size(1e6, 64) == 64 and part_size(1e10, 64) == 3 and part_size(1e13, 64) == 1


# -- states ----------------------------------------------------------------------------------------------------------


def test_ties_of_the_metric_are_broken_by_the_loss() -> None:
    class Up:
        higher_is_better = True

    class Down:
        higher_is_better = False

    up: Any = Up()
    down: Any = Down()
    assert better(Figures(2.0, 0.9), Figures(1.0, 0.8), up) and not better(Figures(2.0, 0.9), Figures(1.0, 0.8), down)
    assert better(Figures(0.5, 0.9), Figures(1.0, 0.9), up) and not better(Figures(1.5, 0.9), Figures(1.0, 0.9), up)
    assert not better(Figures(float("nan"), 0.9), None, up) and not better(Figures(0.1, float("nan")),
                                                                           Figures(1.0, 0.1), up)  # fmt: skip


# -- teachers --------------------------------------------------------------------------------------------------------


def test_several_teachers_answer_with_their_mean() -> None:
    feeds = {"x": torch.randn(5, 6, generator=torch.Generator().manual_seed(0))}
    first, second = teacher_of(FakeStudent(1)), teacher_of(FakeStudent(2))
    found = MeanTeacher([first, second], [3.0, 1.0])(feeds)["logits"]
    torch.testing.assert_close(found, 0.75 * first(feeds)["logits"] + 0.25 * second(feeds)["logits"])
    with pytest.raises(ParameterError, match="2 teachers have 1 weights"):
        MeanTeacher([first, second], [1.0])


def test_answers_are_worked_out_once_where_they_fit() -> None:
    calls: list[int] = []

    def teacher(feeds: Any, *, features: Sequence[str] = ()) -> dict[str, torch.Tensor]:
        calls.append(len(feeds["x"]))
        return {"logits": feeds["x"] * 2.0}

    x = torch.arange(8.0).reshape(8, 1)
    for limit, expected in ((1 << 20, [4, 4]), (8, [4, 4, 4])):
        calls.clear()
        answers = Answers(teacher, 8, limit=limit)
        for places in (np.arange(4), np.arange(4, 8), np.array([6, 1, 3, 0])):
            found = answers.of({"x": x[places]}, places)["logits"]
            assert torch.equal(found, x[places] * 2.0)
        assert calls == expected


# -- encodings in checkpoints ----------------------------------------------------------------------------------------

LISTS = [
    [Step.make("prune", ratio=0.9), Step.make("quantize", scheme="codebook", bits=4)],
    [Step.make("prune", pattern="blocks"), Step.make("quantize", bits=8)],
    [Step.make("low_rank"), Step.make("quantize", bits=8)],
    [Step.make("quantize", scheme="ternary")],
    [Step.make("quantize", scheme="nbits")],
    [Step.make("float16")],
]


@pytest.mark.parametrize("steps", LISTS, ids=lambda steps: "+".join(step.method for step in steps))
def test_encodings_survive_a_checkpoint(mlp_path: Path, tmp_path: Path, steps: list[Step]) -> None:
    model = open_model(mlp_path)
    layer = model.layer("fc1.weight")
    encoding, reason = apply_steps(layer, model.encoding(layer.name), steps, Context(layer))
    assert encoding is not None, reason
    torch.save(to_plain(encoding), tmp_path / "encoding.pt")
    found = from_plain(torch.load(tmp_path / "encoding.pt", weights_only=True))
    assert type(found) is type(encoding) and isinstance(found, Encoding)
    assert np.array_equal(found.decode(), encoding.decode())
    assert (found.nbytes, found.describe(), found.shape) == (encoding.nbytes, encoding.describe(), encoding.shape)


def test_what_is_no_encoding_is_refused() -> None:
    with pytest.raises(DataError, match="damaged"):
        from_plain({"encoding": "Path", "fields": {}})
    with pytest.raises(DataError, match="damaged"):
        from_plain({"array": torch.zeros(3, dtype=torch.uint8), "dtype": "<f4", "shape": [CLASSES]})
