"""How a sample's input is drawn: as a picture where it is one, else as a line or as numbers. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.data.samples import Samples
from core.encoding.base import Array
from core.progress import Reporter

_FEWEST_PIXELS = 8
_MOST_POINTS = 4000
_MOST_NUMBERS = 64


@dataclass(frozen=True, eq=False)
class SampleInput:
    """One input of a sample, ready to be drawn. At most one of the three is set.

    pixels  uint8 (h, w) or (h, w, 3)
    line    float64 (n,)
    text    the values as words
    name    of the input
    """

    name: str
    pixels: Array | None = None
    line: Array | None = None
    text: str = ""


def load_input(samples: Samples, index: int, reporter: Reporter) -> SampleInput:
    """Read one sample and choose how to draw it; for a thread."""
    feed = samples.feed(index)
    reporter.check()
    return choose(feed)


def choose(feed: Mapping[str, Array]) -> SampleInput:
    """The input that says most: the first picture, else the longest series of numbers."""
    for name, value in feed.items():
        pixels = as_pixels(value)
        if pixels is not None:
            return SampleInput(name, pixels=pixels)
    name = max(feed, key=lambda key: feed[key].size)
    value = feed[name].reshape(-1)
    if value.dtype.kind == "f" and value.size > 1:
        return SampleInput(name, line=value[:_MOST_POINTS].astype(np.float64))
    shown = " ".join(str(v) for v in value[:_MOST_NUMBERS].tolist())
    more = f" ... ({value.size:,} values)" if value.size > _MOST_NUMBERS else ""
    return SampleInput(name, text=shown + more)


def as_pixels(value: Array) -> Array | None:
    """An input of one sample as uint8 pixels, stretched from its own smallest to its largest value; None if no picture.

    Pictures are (1, 1 or 3, h, w), (1, h, w, 1 or 3), or the same without the first axis; at least 8 pixels each way.
    """
    if value.dtype.kind not in "fu" or value.size == 0:
        return None
    picture = value[0] if value.ndim == 4 and value.shape[0] == 1 else value
    if picture.ndim != 3:
        return None
    if picture.shape[0] in (1, 3):
        picture = np.moveaxis(picture, 0, -1)
    if picture.shape[-1] not in (1, 3) or min(picture.shape[:2]) < _FEWEST_PIXELS:
        return None
    wide = np.nan_to_num(picture.astype(np.float32))
    low, high = float(wide.min()), float(wide.max())
    scaled = (wide - low) * (255.0 / (high - low)) if high > low else np.zeros_like(wide)
    pixels = scaled.round().astype(np.uint8)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels
