"""What a person chose about the data: how pictures become inputs, and which figure tells how good the answers are.

Plain values without numpy, so that the descriptions of jobs can hold them at no cost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from core.errors import DataError, ParameterError

AUTO = "auto"


@dataclass(frozen=True)
class Preprocessing:
    """The value fed is (pixel * scale - mean) / std per channel, with pixels 0 to 255.

    resize    (height, width) in pixels; None: the input's own size, or the first picture's where the input takes any
    crop      True keeps the aspect ratio and cuts the middle out; False stretches
    channels  "auto": colour (RGB) or grey by the input's channel axis
    layout    "auto": by where the input has its 1 or 3 channels
    mean, std one value, or one per channel, in the order in which the model gets the channels
    """

    resize: tuple[int, int] | None = None
    crop: bool = False
    channels: Literal["auto", "rgb", "bgr", "grey"] = "auto"
    layout: Literal["auto", "nchw", "nhwc"] = "auto"
    scale: float = 1.0 / 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if any(value == 0 for value in self.std):
            raise DataError("a standard deviation of 0 cannot be divided by", where="preprocessing")
        if len(self.mean) not in (1, 3) or len(self.std) not in (1, 3):
            raise DataError("mean and std take one value or three", where="preprocessing")
        if self.resize is not None and min(self.resize) < 1:
            raise DataError(f"pictures cannot be resized to {self.resize[0]} x {self.resize[1]}", where="preprocessing")


@dataclass(frozen=True)
class Preset:
    """Means and deviations that many models were trained with, of pixels scaled to 0..1."""

    name: str
    words: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


PRESETS = (
    Preset("unit", "0 to 1", (0.0,), (1.0,)),
    Preset("symmetric", "-1 to 1", (0.5,), (0.5,)),
    Preset("imagenet", "ImageNet, as torchvision's models", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
)


@dataclass(frozen=True)
class DataOptions:
    """How data is read and what is measured on it.

    preprocessing    of pictures; arrays are fed as they are
    metric           name of a metric (`analysis.task_metrics`), or "auto": what fits the model and the labels
    metric_callable  a person's own metric in its place: "module:callable" or "file.py:callable", or ""
    confirmed        SHA-256 of the file that holds the callable, as the person allowed it to run; without it, or when
                     the file is another by now, nothing of it is executed
    """

    preprocessing: Preprocessing = Preprocessing()
    metric: str = AUTO
    metric_callable: str = ""
    confirmed: str = ""


DEFAULT_OPTIONS = DataOptions()
"""Nothing was chosen; the default of every job's description."""


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from "224x224" or "224"."""
    found = re.fullmatch(r"\s*(\d{1,5})(?:\s*[x×,]\s*(\d{1,5}))?\s*", text)
    if found is None:
        raise ParameterError(f"the size is {text!r}", do='give height and width in pixels: "224x224"')
    return int(found[1]), int(found[2] or found[1])


def parse_numbers(text: str, what: str) -> tuple[float, ...]:
    """One number or three from "0.485,0.456,0.406"."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) not in (1, 3) or not all(abs(number) < 1e30 for number in found):
        raise ParameterError(f"{what} is {text!r}", do='give one number, or three with commas: "0.485,0.456,0.406"')
    return found
