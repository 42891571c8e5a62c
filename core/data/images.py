"""Samples from a folder of pictures; sub-folders, if any, are the classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.checks import free, port_dtype
from core.data.options import DataOptions, Preprocessing
from core.data.preprocessing import PictureColumn, PictureInput, picture_input
from core.data.samples import ONE_SAMPLE, Samples
from core.errors import DataError
from core.model.layer import Port
from core.progress import Reporter

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, np.dtype[Any]]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""The only decoders used: by content PIL would also choose EPS, which starts another program."""
LARGEST_PICTURE = 100_000_000
"""Pixels; a larger picture is skipped before it is decoded."""
LARGEST_BYTES = 2**30
"""What the pictures of one folder may take in memory, resized; of more, every so-manieth is taken."""
SHOWN = 3
_SAME_PROPORTIONS = 0.02
"""Relative difference of proportions that rounding to pixels may make."""
_MOST_SIZES = 3


@dataclass(frozen=True)
class Entry:
    """One file with its class number (-1: the folder has no classes)."""

    path: Path
    label: int


def load_images(
    folder: Path,
    inputs: tuple[Port, ...],
    options: DataOptions,
    reporter: Reporter,
    largest_bytes: int = LARGEST_BYTES,
) -> Samples:
    """Every picture of the folder, decoded and resized once; unreadable ones are skipped, counted and named."""
    where, how = str(folder), options.preprocessing
    if len(inputs) != 1:
        raise DataError(
            f"pictures fill one input and the model has {len(inputs)}", where=where, do="give an .npz with all inputs"
        )
    dtype = port_dtype(inputs[0], where=where)
    wanted = picture_input(inputs[0], how, where=where)
    entries, classes = list_pictures(folder)
    if not entries:
        raise DataError("there are no pictures in this folder", where=where, do=f"give {', '.join(sorted(SUFFIXES))}")
    size = _size(entries, wanted, how, where)
    entries, notes = _within(entries, size, 1 if wanted.grey else 3, largest_bytes)
    pixels, kept, sizes, skipped = _decode(entries, size, wanted.grey, how.crop, reporter)
    if not kept:
        raise DataError(f"none of the {len(entries)} pictures can be read", where=where, do=_named(skipped, folder))
    if skipped:
        notes.append(f"{len(skipped)} of {len(entries)} pictures could not be read: {_named(skipped, folder)}.")
    notes += _reshaped(sizes, size, how.crop)
    if len(kept) == 1:
        notes.append(ONE_SAMPLE)
    batchable = free((inputs[0].shape or (1,))[0])
    return Samples(
        inputs,
        (PictureColumn(inputs[0].name, pixels, how, wanted.channels_last, dtype, batchable),),
        where,
        np.arange(len(kept)),
        labels=np.array([entry.label for entry in kept], np.int64) if classes else None,
        class_names=classes,
        names=tuple(entry.path.relative_to(folder).as_posix() for entry in kept),
        notes=tuple(notes),
        options=options,
    )


def list_pictures(folder: Path) -> tuple[list[Entry], tuple[str, ...]]:
    """The folder's pictures, and the classes' names when there are sub-folders with pictures.

    Classes are numbered in the order of their names, except that folders named 0, 1, 2 ... keep their numbers.
    """
    try:
        subfolders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise DataError(f"the folder cannot be read ({error.strerror})", where=str(folder)) from error
    groups = {sub.name: _pictures_in(sub) for sub in subfolders}
    groups = {name: pictures for name, pictures in groups.items() if pictures}
    if not groups:
        return [Entry(path, -1) for path in _pictures_in(folder)], ()
    numbered = all(name.isdecimal() and len(name) < 6 for name in groups)
    numbers = {name: int(name) if numbered else i for i, name in enumerate(sorted(groups))}
    names = tuple(str(i) for i in range(max(numbers.values()) + 1)) if numbered else tuple(sorted(groups))
    return [Entry(path, numbers[name]) for name, paths in groups.items() for path in paths], names


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()
    )


def _size(entries: Sequence[Entry], wanted: PictureInput, how: Preprocessing, where: str) -> tuple[int, int]:
    """Height and width that all pictures get: what was asked for, else the input's, else the first readable one's."""
    height, width = how.resize or (wanted.height, wanted.width)
    for asked, fixed, axis in ((height, wanted.height, "high"), (width, wanted.width, "wide")):
        if asked and fixed and asked != fixed:
            raise DataError(f"the input wants pictures {fixed} pixels {axis}, not {asked}", where=where)
    if height and width:
        return height, width
    for entry in entries:
        try:
            with _open(entry.path) as picture:
                return height or picture.height, width or picture.width
        except OSError:
            continue  # named and counted when the pictures are decoded
    raise DataError(f"none of the {len(entries)} pictures can be read", where=where, do="check the files")


def _within(
    entries: list[Entry], size: tuple[int, int], channels: int, largest_bytes: int
) -> tuple[list[Entry], list[str]]:
    """As many pictures as fit into memory, evenly over the list, and a note when not all do."""
    fitting = max(1, largest_bytes // (size[0] * size[1] * channels))
    if len(entries) <= fitting:
        return entries, []
    picked = np.linspace(0, len(entries) - 1, fitting).round().astype(int)
    return [entries[i] for i in picked], [
        f"{fitting} of {len(entries)} pictures are used, evenly over the folder, as all would not fit into memory."
    ]


def _decode(
    entries: Sequence[Entry], size: tuple[int, int], grey: bool, crop: bool, reporter: Reporter
) -> tuple[Array, list[Entry], list[tuple[int, int]], list[Path]]:
    """Pixels (n, height, width, channels) uint8, the pictures read, their (height, width), and those not readable."""
    pixels = np.empty((len(entries), *size, 1 if grey else 3), np.uint8)
    kept: list[Entry] = []
    sizes: list[tuple[int, int]] = []
    skipped: list[Path] = []
    for i, entry in enumerate(entries):
        reporter.report(i / len(entries), f"reading {entry.path.name}")
        try:
            pixels[len(kept)], own = _pixels(entry.path, size, grey, crop)
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError):  # what PIL raises for broken files
            skipped.append(entry.path)
            continue
        kept.append(entry)
        sizes.append(own)
    return pixels[: len(kept)], kept, sizes, skipped


def _reshaped(sizes: Sequence[tuple[int, int]], size: tuple[int, int], crop: bool) -> list[str]:
    """A note when pictures have other proportions than the input, most frequent sizes first."""
    counted = Counter(sizes).most_common()
    odd = [(own, n) for own, n in counted if abs(own[1] * size[0] / (own[0] * size[1]) - 1.0) > _SAME_PROPORTIONS]
    if not odd:
        return []
    listed = ", ".join(f"{n:,} of {own[0]}x{own[1]}" for own, n in odd[:_MOST_SIZES])
    more = f" and {len(odd) - _MOST_SIZES:,} other sizes" if len(odd) > _MOST_SIZES else ""
    one = sum(n for _, n in odd) == 1
    what = "cut to its middle" if crop and one else "cut to their middles" if crop else "stretched"
    fits = sum(n for _, n in counted) - sum(n for _, n in odd)
    others = f"{fits:,} picture{'' if fits == 1 else 's'} of the proportions of {size[0]}x{size[1]}; " if fits else ""
    return [f"{others}{listed}{more} {'is' if one else 'are'} {what} (height x width)."]


def _pixels(path: Path, size: tuple[int, int], grey: bool, crop: bool) -> tuple[Array, tuple[int, int]]:
    """Pixels (height, width, channels) uint8, and the height and width that the picture has itself."""
    from PIL import Image, ImageOps

    mode, target = ("L" if grey else "RGB"), (size[1], size[0])
    with _open(path) as opened:
        own = opened.size
        opened.draft(mode, target)  # JPEG only: decode at a half, quarter or eighth of the size where that is enough
        picture = ImageOps.exif_transpose(opened).convert(mode)
    turned = (own[0] > own[1]) != (picture.width > picture.height)
    if crop:
        picture = ImageOps.fit(picture, target, Image.Resampling.BILINEAR)
    elif picture.size != target:
        picture = picture.resize(target, Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8).reshape(*size, 1 if grey else 3), own if turned else own[::-1]


def _open(path: Path) -> Image:
    """The picture, not yet decoded; raises OSError when it is none or too large."""
    from PIL import Image

    try:
        picture = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise OSError(str(error)) from error
    if picture.width * picture.height > LARGEST_PICTURE:
        picture.close()
        raise OSError("too large")
    return picture


def _named(paths: Sequence[Path], folder: Path) -> str:
    shown = ", ".join(path.relative_to(folder).as_posix() for path in paths[:SHOWN])
    return shown if len(paths) <= SHOWN else f"{shown} and {len(paths) - SHOWN} more"
