"""Folds: every sample is tested once, classes keep their shares, and what cannot be divided is told."""

from __future__ import annotations

import numpy as np
import pytest

from core.data.samples import Samples
from core.errors import DataError, ParameterError
from core.training.folds import make_folds, rare_classes, sizes_text


def samples_of(n: int, labels: np.ndarray | None = None) -> Samples:
    return Samples((), (), "digits.npz", np.arange(n), labels)  # folds look at the labels alone


def test_each_sample_is_tested_once_and_never_learned_from_in_that_fold() -> None:
    folds = make_folds(samples_of(23), 5)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(23))
    for fold in folds:
        assert sorted(np.concatenate([fold.test, fold.learn])) == list(range(23))
    assert sorted(len(fold.test) for fold in folds) == [4, 4, 5, 5, 5]


def test_classes_are_dealt_evenly() -> None:
    labels = np.repeat([0, 1, 2], [60, 25, 15])
    for fold in make_folds(samples_of(100, labels), 5):
        assert np.bincount(labels[fold.test]).tolist() == [12, 5, 3]


def test_a_seed_gives_the_same_folds_and_another_seed_others() -> None:
    first, again, other = (make_folds(samples_of(40), 4, seed) for seed in (1, 1, 2))
    assert all((a.test == b.test).all() for a, b in zip(first, again, strict=True))
    assert any((a.test != b.test).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("n", "folds", "labels", "told"),
    [
        (4, 5, None, "4 samples for 5 folds"),
        (1, 5, None, "1 sample for 5 folds"),
        (9, 2, None, "leave 4 to train on"),
        (30, 5, np.full(30, 3), "class 3"),
    ],
)
def test_what_cannot_be_divided_is_refused_in_a_sentence(
    n: int, folds: int, labels: np.ndarray | None, told: str
) -> None:
    with pytest.raises(DataError, match=told) as caught:
        make_folds(samples_of(n, labels), folds)
    assert caught.value.where == "digits.npz"
    assert caught.value.do


@pytest.mark.parametrize("count", [-1, 0, 1, 51])
def test_a_number_of_folds_that_makes_no_sense_is_refused(count: int) -> None:
    with pytest.raises(ParameterError, match=f"folds is {count}"):
        make_folds(samples_of(200), count)


def test_rare_classes_are_said() -> None:
    assert rare_classes(np.repeat([0, 7], [40, 3]), 5).startswith("Class 7 (3) has fewer samples")
    assert "2 more have" in rare_classes(np.arange(7), 5)
    assert rare_classes(np.repeat([0, 1], 20), 5) == ""
    assert rare_classes(None, 5) == ""


def test_sizes_in_words() -> None:
    assert sizes_text(make_folds(samples_of(23), 5)) == "18 or 19 to learn from, 4 or 5 to test on"
