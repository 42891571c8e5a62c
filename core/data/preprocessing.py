"""How a picture becomes a model's input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from core.data.options import Preprocessing
from core.errors import DataError
from core.model.layer import Port

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class PictureInput:
    """What an input asks of pictures: height and width (None: any), grey or colour, which order of axes."""

    height: int | None
    width: int | None
    grey: bool
    channels_last: bool


def picture_input(port: Port, how: Preprocessing, *, where: str) -> PictureInput:
    """Read an input's shape as a picture; raises DataError when it is none."""
    shape = port.shape
    if shape is None or len(shape) != 4:
        axes = "unknown axes" if shape is None else f"{len(shape)} axes"
        raise DataError(
            f"input {port.name!r} has {axes}, so it takes no pictures", where=where, do="give an .npz or .npy instead"
        )
    if isinstance(shape[0], int) and shape[0] > 1:
        raise DataError(
            f"input {port.name!r} takes {shape[0]} pictures a run", where=where, do="give an .npz with one axis more"
        )
    last = how.layout == "nhwc" or (how.layout == "auto" and shape[3] in (1, 3) and shape[1] not in (1, 3))
    height, width, channels = (shape[1], shape[2], shape[3]) if last else (shape[2], shape[3], shape[1])
    grey = how.channels == "grey" or (how.channels == "auto" and channels == 1)
    if isinstance(channels, int) and channels > 0 and channels != (1 if grey else 3):
        raise DataError(
            f"input {port.name!r} has {channels} channels, and pictures give {1 if grey else 3}",
            where=where,
            do="give an .npz or .npy instead",
        )
    check_values(port.name, how, 1 if grey else 3, where=where)
    return PictureInput(_pixels(height), _pixels(width), grey, last)


def check_values(name: str, how: Preprocessing, channels: int, *, where: str) -> None:
    """Raise DataError when the means or deviations are for another number of channels than the input has."""
    for what, values in (("mean", how.mean), ("deviation", how.std)):
        if len(values) not in (1, channels):
            has = f"{channels} channel{'' if channels == 1 else 's'}"
            raise DataError(
                f"input {name!r} has {has}, and the {what} has {len(values)} values", where=where,
                do=f"give one value{'' if channels == 1 else f' or {channels}'}",
            )  # fmt: skip


def _pixels(size: int | str | None) -> int | None:
    return size if isinstance(size, int) and size > 0 else None


def same_pixels(first: Preprocessing, second: Preprocessing) -> bool:
    """Whether both make the same pixels of the files, so that only what is made of the pixels differs."""
    plain = Preprocessing()
    one, other = (
        replace(how, scale=plain.scale, mean=plain.mean, std=plain.std, channels=_order_free(how))
        for how in (first, second)
    )
    return one == other


def _order_free(how: Preprocessing) -> Literal["auto", "rgb", "grey"]:
    return "rgb" if how.channels == "bgr" else how.channels


@dataclass(frozen=True)
class PictureColumn:
    """Pictures as bytes (n, height, width, channels), turned into the input's values when they are fed."""

    name: str
    pixels: Array
    how: Preprocessing
    channels_last: bool
    dtype: np.dtype[Any]
    batchable: bool

    def __len__(self) -> int:
        return len(self.pixels)

    def feed(self, index: int) -> Array:
        return self._values(self.pixels[index : index + 1])

    def batch(self, indices: Array) -> Array:
        return self._values(self.pixels[indices])

    def _values(self, pixels: Array) -> Array:
        if self.how.channels == "bgr":
            pixels = pixels[..., ::-1]
        if self.dtype.kind != "f":  # an input of integers takes the pixels themselves
            values = pixels.astype(self.dtype)
        else:
            mean = np.asarray(self.how.mean, np.float32)
            values = (pixels.astype(np.float32) * np.float32(self.how.scale) - mean) / np.asarray(
                self.how.std, np.float32
            )
            values = values.astype(self.dtype, copy=False)
        return np.ascontiguousarray(values if self.channels_last else values.transpose(0, 3, 1, 2))

    def describe(self) -> str:
        _, height, width, channels = self.pixels.shape
        kind = "grey" if channels == 1 else "colour"
        return f"{self.name} {kind} pictures {height} x {width}"
