"""Folders of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data import DataOptions, Preprocessing, load_samples
from core.data.images import list_pictures, load_images
from core.data.preprocessing import picture_input
from core.errors import DataError
from core.model.layer import Port
from core.progress import SILENT

COLOUR = (Port("x", "float32", ("batch", 3, 8, 12)),)


def picture(path: Path, colour: tuple[int, int, int] = (255, 0, 51), size: tuple[int, int] = (12, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_sub_folders_are_classes_and_broken_files_are_named(tmp_path: Path) -> None:
    picture(tmp_path / "cat" / "1.png")
    picture(tmp_path / "dog" / "1.png", (0, 255, 0), (40, 30))
    picture(tmp_path / "dog" / "2.jpg")
    (tmp_path / "dog" / "3.png").write_bytes((tmp_path / "dog" / "1.png").read_bytes()[:60])
    (tmp_path / "dog" / "4.png").write_text("no picture", encoding="utf-8")
    samples = load_samples(tmp_path, COLOUR)
    assert samples.n == 3
    assert samples.class_names == ("cat", "dog")
    assert samples.labels is not None and list(samples.labels) == [0, 1, 1]
    assert samples.names == ("cat/1.png", "dog/1.png", "dog/2.jpg")
    assert samples.notes == (
        "2 of 5 pictures could not be read: dog/3.png, dog/4.png.",
        "2 pictures of the proportions of 8x12; 1 of 30x40 is stretched (height x width).",
    )
    first = samples.feed(0)["x"]
    assert first.shape == (1, 3, 8, 12) and first.dtype == np.float32
    np.testing.assert_allclose(first[0, :, 3, 3], [1.0, 0.0, 0.2], atol=1e-6)
    assert next(samples.batches(2))["x"].shape == (2, 3, 8, 12)


def test_folders_named_by_numbers_keep_them(tmp_path: Path) -> None:
    for name in ("0", "2", "10"):
        picture(tmp_path / name / "a.png")
    entries, names = list_pictures(tmp_path)
    assert sorted(entry.label for entry in entries) == [0, 2, 10]
    assert names == tuple(map(str, range(11)))


def test_grey_input_and_the_first_pictures_size(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (51, 51, 51), (7, 5))
    picture(tmp_path / "b.png", size=(70, 50))
    samples = load_samples(tmp_path, (Port("x", "float32", ("n", 1, "?", None)),))
    assert samples.labels is None
    assert samples.feed(1)["x"].shape == (1, 1, 5, 7)
    np.testing.assert_allclose(samples.feed(0)["x"], 0.2, atol=1e-6)


def test_preprocessing(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (255, 0, 51), (20, 10))
    how = Preprocessing(
        resize=(6, 6), crop=True, channels="bgr", layout="nhwc", mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.5)
    )
    samples = load_samples(tmp_path, (Port("x", "float32", (1, None, None, 3)),), options=DataOptions(how))
    value = samples.feed(0)["x"]
    assert value.shape == (1, 6, 6, 3)
    np.testing.assert_allclose(value[0, 2, 2], [-0.6, -2.0, 1.0], atol=1e-6)
    assert not samples.batchable


def test_an_input_of_bytes_takes_the_pixels(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    samples = load_samples(tmp_path, (Port("x", "uint8", ("n", 8, 12, 3)),))
    np.testing.assert_array_equal(samples.feed(0)["x"][0, 0, 0], [255, 0, 51])


def test_more_than_memory_holds_is_thinned_evenly(tmp_path: Path) -> None:
    for i in range(10):
        picture(tmp_path / f"{i}.png")
    samples = load_images(tmp_path, COLOUR, DataOptions(), SILENT, largest_bytes=4 * 8 * 12 * 3)
    assert samples.names == ("0.png", "3.png", "6.png", "9.png")
    assert samples.notes[0].startswith("4 of 10 pictures are used")


@pytest.mark.parametrize(
    ("shape", "how", "sentence"),
    [
        (("n", 16), Preprocessing(), "has 2 axes, so it takes no pictures"),
        (("n", 4, 8, 8), Preprocessing(), "has 4 channels, and pictures give 3"),
        ((2, 3, 8, 8), Preprocessing(), "takes 2 pictures a run"),
        (("n", 3, 8, 8), Preprocessing(resize=(9, 8)), "wants pictures 8 pixels high, not 9"),
    ],
)
def test_inputs_that_take_no_pictures(tmp_path: Path, shape, how: Preprocessing, sentence: str) -> None:
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match=sentence):
        load_samples(tmp_path, (Port("x", "float32", shape),), options=DataOptions(how))


def test_folders_without_readable_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures in this folder"):
        load_samples(tmp_path, COLOUR)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 1 pictures can be read; a\.png"):
        load_samples(tmp_path, COLOUR)


def test_postscript_under_another_name_is_not_run(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    samples = load_samples(tmp_path, COLOUR)
    assert samples.notes[0] == "1 of 2 pictures could not be read: b.png."
    assert samples.notes[1].startswith("There is only one sample")


def test_bad_preprocessing_is_told() -> None:
    with pytest.raises(DataError, match="deviation of 0"):
        Preprocessing(std=(0.0,))
    with pytest.raises(DataError, match="one value or three"):
        Preprocessing(mean=(0.0, 0.0))


def test_means_for_colours_do_not_fit_grey(tmp_path: Path) -> None:
    how = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    with pytest.raises(DataError, match="input 'x' has 1 channel, and the mean has 3 values; give one value"):
        picture_input(Port("x", "float32", (1, 1, 8, 8)), how, where="pictures")
    assert not picture_input(Port("x", "float32", (1, 3, 8, 8)), how, where="pictures").grey
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    grey = load_samples(tmp_path, (Port("x", "float32", (1, 1, 8, 8)),))
    assert grey.with_options(DataOptions(how)) is None
    assert grey.with_options(DataOptions(Preprocessing(mean=(0.5,)))) is not None
