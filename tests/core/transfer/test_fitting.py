"""Data that was not made for a model, and labels that nothing can be learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.data.samples import Samples
from core.errors import DataError
from core.model.layer import Port
from core.transfer.fitting import load_new
from core.transfer.targets import check_against, numbered, parted, targets
from tests.core.transfer.toys import save

GREY = (Port("image", "float32", ("n", 1, 8, 8)),)
COLOUR = (Port("image", "float32", ("n", 3, 8, 8)),)


def _saved(tmp_path: Path, array: np.ndarray, **more: np.ndarray) -> Path:
    np.savez(tmp_path / "new.npz", image=array, **more)
    return tmp_path / "new.npz"


def test_data_that_fits_is_left_alone(tmp_path: Path) -> None:
    samples = load_new(save(tmp_path / "d.npz", 5), GREY)
    assert (samples.n, samples.notes) == (5, ())


@pytest.mark.parametrize(("shape", "told"), [
    ((3, 1, 16, 12), "resampled from 16 x 12 to 8 x 8"), ((3, 8, 8), "are read as"), ((3, 64), "are read as"),
    ((3, 16), "resampled from 4 x 4 to 8 x 8"), ((3, 8, 8, 3), "Colour is turned into grey"),
])  # fmt: skip
def test_pictures_of_another_form_are_brought_into_the_model_s(
    tmp_path: Path, shape: tuple[int, ...], told: str
) -> None:
    array = np.full(shape, 0.25, np.float32)
    samples = load_new(_saved(tmp_path, array), GREY)
    feed = samples.feed(2)["image"]
    assert feed.shape == (1, 1, 8, 8)
    np.testing.assert_allclose(feed, 0.25, atol=1e-5)
    assert told in " ".join(samples.notes)


def test_grey_bytes_become_colour_of_0_to_1(tmp_path: Path) -> None:
    samples = load_new(_saved(tmp_path, np.full((2, 8, 8), 255, np.uint8)), COLOUR)
    np.testing.assert_array_equal(samples.feed(0)["image"], np.ones((1, 3, 8, 8), np.float32))
    assert len(samples.notes) == 2


def test_the_only_array_is_fed_whatever_its_name(tmp_path: Path) -> None:
    samples = load_new(save(tmp_path / "d.npz", 6, name="X"), GREY)
    assert samples.notes == ("The array 'X' is fed to the input 'image'.",) or "'X'" in samples.notes[0]
    assert samples.class_labels is not None


def test_what_is_no_picture_is_refused_as_before(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="wants 4 axes"):
        load_new(_saved(tmp_path, np.zeros((2, 7), np.float32)), GREY)
    with pytest.raises(DataError, match="which are no pixels"):
        load_new(_saved(tmp_path, np.full((2, 8, 8), -3)), GREY)


def _labelled(tmp_path: Path, labels: object) -> Samples:
    array = np.asarray(labels)
    return load_new(_saved(tmp_path, np.zeros((len(array), 1, 8, 8), np.float32), labels=array), GREY)


@pytest.mark.parametrize(("labels", "told"), [
    ([1] * 9, "one class"), ([0, 1_000_000] * 5, "out of range"), ([0, 9] * 4, "8 samples for 10 classes"),
    ([0.5] * 9, "all of its labels are the same"),
])  # fmt: skip
def test_labels_that_nothing_can_be_learned_from(tmp_path: Path, labels: list[float], told: str) -> None:
    with pytest.raises(DataError, match=told):
        targets(_labelled(tmp_path, labels))


def test_labels_beyond_the_classes_that_are_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="go up to 5, and there are 3 classes"):
        targets(_labelled(tmp_path, [0, 5, 1, 2] * 4), 3)
    found = targets(_labelled(tmp_path, [0, 2] * 6), 3)
    assert "no samples of class 1" in found.notes[0]
    with pytest.raises(DataError, match="go up to 3, and there are 3 classes"):
        check_against(found, _labelled(tmp_path, [0, 3]))


def test_data_without_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no labels"):
        targets(load_new(_saved(tmp_path, np.zeros((9, 1, 8, 8), np.float32)), GREY))


def test_texts_become_class_numbers_of_the_same_order_everywhere(tmp_path: Path) -> None:
    samples = numbered(_labelled(tmp_path, ["dog", "cat"] * 5))
    assert samples.class_names == ("cat", "dog")
    assert samples.class_labels is not None and samples.class_labels[0] == 1
    with pytest.raises(DataError, match="'cow' is none of the 2 classes"):
        numbered(_labelled(tmp_path, ["cow", "cat"]), samples.class_names)


def test_floats_are_values_to_be_met(tmp_path: Path) -> None:
    found = targets(_labelled(tmp_path, np.arange(20.0).reshape(10, 2)))
    assert (found.outputs, found.values) == (2, True)


def test_parts_share_no_sample(tmp_path: Path) -> None:
    data = load_new(save(tmp_path / "d.npz", 80), GREY)
    parts = parted(data, None, None, 0.2, 0)
    rows = [set(part.order.tolist()) for part in (parts.train, parts.valid, parts.test)]
    assert sum(map(len, rows)) == 80 and not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]
    given = parted(data, replace(data), replace(data), 0.2, 0)
    assert given.train.n == given.test.n == 80
