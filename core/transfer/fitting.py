"""Arrays that were not made for a model, brought into the form of its input: other names, axes, channels, sizes.

What is changed is told, a sentence each. Data that fits as it is stays as it is.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.data import load_samples
from core.data.arrays import ArrayFile, read_npy
from core.data.checks import array_column, check_labels, shape_text
from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.data.preprocessing import check_values, picture_input
from core.data.samples import Samples
from core.errors import DataError
from core.model.layer import Port
from core.progress import SILENT, Reporter

Array = np.ndarray[Any, np.dtype[Any]]

LABEL_NAMES = ("labels", "label", "y", "target", "targets")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""


def load_new(
    path: str | os.PathLike[str], inputs: tuple[Port, ...], options: DataOptions = DEFAULT_OPTIONS,
    reporter: Reporter = SILENT,
) -> Samples:  # fmt: skip
    """Samples for a model from data that may not have been made for it; `notes` tell what was done.

    Beside what `load_samples` takes: an .npz whose only array beside the labels has another name than the model's one
    input; pictures as arrays of another size, with other channels or axes, or as whole numbers 0 to 255.
    Raises DataError with what is wanted and what is given.
    """
    try:
        return load_samples(path, inputs, options=options, reporter=reporter)
    except DataError as error:
        place = Path(path)
        if len(inputs) != 1 or not place.is_file():
            raise
        found = _array_and_labels(place, inputs[0])
        if found is None:
            raise
        array, labels, notes = found
        array, changes = _as_pictures(array, inputs[0], options, str(place), error)
    column = array_column(inputs[0], array, where=str(place))
    checked = None if labels is None else check_labels(labels, len(array), where=str(place))
    told = (*notes, *changes)
    return Samples(inputs, (column,), str(place), np.arange(len(array)), checked, notes=told, options=options)


def with_labels(samples: Samples, labels: Array, class_names: tuple[str, ...] = ()) -> Samples:
    """The same samples with other labels."""
    return replace(samples, labels=labels, class_names=class_names or samples.class_names)


def _array_and_labels(path: Path, port: Port) -> tuple[Array, Array | None, tuple[str, ...]] | None:
    """The one array of a file beside its labels; None when there are several to choose from."""
    if path.suffix.lower() == ".npy":
        return read_npy(path), None, ()
    if path.suffix.lower() != ".npz":
        return None
    file = ArrayFile(path)
    named = next((name for name in LABEL_NAMES if name in file.names), None)
    others = [name for name in file.names if name not in LABEL_NAMES]
    name = port.name if port.name in others else others[0] if len(others) == 1 else None
    if name is None:
        return None
    arrays = file.read((name, *((named,) if named else ())))
    notes = () if name == port.name else (f"The array {name!r} is fed to the input {port.name!r}.",)
    return arrays[name], arrays[named] if named else None, notes


def _as_pictures(
    array: Array, port: Port, options: DataOptions, where: str, error: DataError
) -> tuple[Array, tuple[str, ...]]:
    """The array as pictures of the input's channels and size; raises the first error where it holds no pictures."""
    try:
        wanted = picture_input(port, options.preprocessing, where=where)
    except DataError:
        raise error from None
    given = array.shape[1:]
    channels = 1 if wanted.grey else 3
    pictures = _channels_first(array, wanted.height, wanted.width, channels)
    if pictures is None or port.dtype != "float32" or array.dtype.kind not in "fiub":
        raise error
    notes = []
    if array.dtype.kind in "iub":
        pictures = _scaled(pictures, options, port.name, where)
        notes.append("Whole numbers are taken for pixels from 0 to 255 and scaled as pictures are.")
    pictures = pictures.astype(np.float32, copy=False)
    if pictures.shape[1] != channels:
        pictures = _with_channels(pictures, channels)
        notes.append("Colour is turned into grey." if channels == 1 else "Grey is given to all three channels.")
    height, width = wanted.height or pictures.shape[2], wanted.width or pictures.shape[3]
    if pictures.shape[2:] != (height, width):
        before = shape_text(tuple(pictures.shape[2:]))
        pictures = _resized(pictures, height, width)
        notes.append(
            f"Pictures are resampled from {before} to {height} x {width}, the size that the model takes (bilinear)."
        )
    if wanted.channels_last:
        pictures = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
    if pictures.shape[1:] != given and not notes:
        notes.append(f"Samples of {shape_text(given)} are read as {shape_text(tuple(pictures.shape[1:]))}.")
    return pictures, tuple(notes)


def _channels_first(array: Array, height: int | None, width: int | None, channels: int) -> Array | None:
    """(n, channels, height, width) of pictures with their axes in another order, without channels, or flat."""
    if array.ndim == 2:
        return _unflattened(array, height, width, channels)
    if array.ndim == 3:
        return array[:, None]
    if array.ndim != 4:
        return None
    if array.shape[1] in (1, 3):
        return array
    return array.transpose(0, 3, 1, 2) if array.shape[3] in (1, 3) else None


def _unflattened(array: Array, height: int | None, width: int | None, channels: int) -> Array | None:
    """Rows of numbers as pictures: of the input's own size if they have as many numbers, else square ones."""
    count = array.shape[1]
    if height is not None and width is not None and count == channels * height * width:
        return array.reshape(-1, channels, height, width)
    for each in (1, 3):
        side = round((count / each) ** 0.5)
        if side > 1 and each * side * side == count:
            return array.reshape(-1, each, side, side)
    return None


def _scaled(pictures: Array, options: DataOptions, name: str, where: str) -> Array:
    how, channels = options.preprocessing, pictures.shape[1]
    if pictures.size and (pictures.min() < 0 or pictures.max() > 255):
        raise DataError(
            f"the array for {name!r} has whole numbers from {pictures.min()} to {pictures.max()}, which are no pixels",
            where=where, do="give floats as the model expects them, or pixels from 0 to 255",
        )  # fmt: skip
    check_values(name, how, channels, where=where)
    mean, deviation = (np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (how.mean, how.std))
    scaled: Array = (pictures.astype(np.float32) * np.float32(how.scale) - mean) / deviation
    return scaled


def _with_channels(pictures: Array, channels: int) -> Array:
    if channels == 3:
        return np.repeat(pictures, 3, axis=1)
    return np.einsum("nchw,c->nhw", pictures, LUMA)[:, None].astype(np.float32)


def _resized(pictures: Array, height: int, width: int) -> Array:
    """Bilinear with a filter as wide as a pixel of the smaller size, as picture libraries do."""
    import torch

    out = np.empty((*pictures.shape[:2], height, width), np.float32)
    for start in range(0, len(pictures), 512):
        part = torch.from_numpy(np.array(pictures[start : start + 512], order="C"))
        out[start : start + 512] = torch.nn.functional.interpolate(
            part, (height, width), mode="bilinear", antialias=True, align_corners=False
        ).numpy()
    return out
