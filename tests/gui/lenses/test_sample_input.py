from __future__ import annotations

import numpy as np
import pytest

from gui.lenses.sample_input import as_pixels, choose


@pytest.mark.parametrize(
    "shape, pixels",
    [
        ((1, 1, 28, 28), (28, 28)), ((1, 3, 48, 320), (48, 320, 3)), ((3, 16, 16), (16, 16, 3)),
        ((1, 16, 16, 3), (16, 16, 3)), ((1, 8, 4, 4), None), ((1, 576), None), ((1, 1, 4, 4), None), ((), None),
    ],
)
def test_pictures_are_told_from_other_inputs(shape: tuple[int, ...], pixels: tuple[int, ...] | None) -> None:
    found = as_pixels(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert (found.shape if found is not None else None) == pixels


def test_pixels_are_stretched() -> None:
    value = np.zeros((1, 1, 8, 8), np.float32)
    value[0, 0, 0, 0], value[0, 0, 1, 1] = -2.0, 2.0
    found = as_pixels(value)
    assert found is not None and found.dtype == np.uint8
    assert (found[0, 0], found[1, 1], found[2, 2]) == (0, 255, 128)


def test_constant_and_nan_pictures_do_not_fail() -> None:
    assert as_pixels(np.full((1, 1, 8, 8), np.nan, np.float32)) is not None
    assert as_pixels(np.full((1, 1, 8, 8), 3, np.uint8)) is not None


def test_the_input_that_says_most_is_chosen() -> None:
    sound = {"state": np.zeros((2, 1, 4), np.float32), "input": np.arange(576, dtype=np.float32)[None]}
    found = choose(sound)
    assert found.name == "input" and found.line is not None and len(found.line) == 576
    words = choose({"ids": np.arange(100)[None], "mask": np.ones((1, 2), np.int64)})
    assert words.name == "ids" and words.text.startswith("0 1 2 ") and words.text.endswith("(100 values)")
    picture = choose({"sr": np.array(16000), "image": np.zeros((1, 1, 8, 8), np.float32)})
    assert picture.name == "image" and picture.pixels is not None
