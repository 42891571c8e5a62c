"""Pictures changed a little each time they are seen, in the input's own scale: what is moved in repeats the edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor
from torch.nn import functional

from core.errors import ParameterError

if TYPE_CHECKING:
    from core.data.samples import Samples

SHIFT = 0.07
"""Of the picture's side, at most."""
TURN = 0.2
"""Radians, at most."""
SCALE = 0.12
"""A picture becomes at most this share larger or smaller."""
SHEAR = 0.15
"""Rows are moved sideways by at most this share of their height above or below the middle."""
BEND = 0.06
"""Of the picture's side: how far elastic changes move a point, at most about twice that."""
BENDS = 6
"""Points along a side whose moves are drawn; those between follow smoothly."""
SMALLEST_SIDE = 8


@dataclass(frozen=True)
class Augmenter:
    """Changes the pictures among a batch's inputs.

    kind          "shift", "affine" or "elastic"
    pictures      names of the inputs that hold pictures
    channels_last whether they are (n, height, width, channels)
    """

    kind: str
    pictures: tuple[str, ...]
    channels_last: bool = False

    def __call__(self, feeds: Mapping[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """The same inputs with each picture changed by numbers of its own."""
        return {
            name: self._changed(value, generator) if name in self.pictures else value for name, value in feeds.items()
        }

    def _changed(self, value: Tensor, generator: Generator) -> Tensor:
        pictures = value.permute(0, 3, 1, 2) if self.channels_last else value
        grid = self._grid(pictures, generator)
        moved = functional.grid_sample(
            pictures.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
        ).to(value.dtype)
        return moved.permute(0, 2, 3, 1).contiguous() if self.channels_last else moved

    def _grid(self, pictures: Tensor, generator: Generator) -> Tensor:
        """(n, height, width, 2): where each point comes from, -1 to 1 from edge to edge."""
        n, _, height, width = pictures.shape

        def drawn(*shape: int) -> Tensor:
            return torch.rand((n, *shape), generator=generator) * 2.0 - 1.0

        turn, size, shear = torch.zeros(n), torch.ones(n), torch.zeros(n)
        if self.kind != "shift":
            turn, size, shear = drawn() * TURN, 1.0 + drawn() * SCALE, drawn() * SHEAR
        shift = drawn(2) * (2.0 * SHIFT)  # the whole side is 2 long
        if self.kind == "shift":  # whole pixels: nothing is blurred
            side = torch.tensor([width, height], dtype=torch.float32)
            shift = (shift * side / 2.0).round() * 2.0 / side
        cosine, sine, aspect = torch.cos(turn) * size, torch.sin(turn) * size, height / width
        down = (cosine * shear - sine) * aspect
        rows = torch.stack(
            [cosine, down, shift[:, 0], sine / aspect, cosine + sine * shear, shift[:, 1]], dim=1
        ).reshape(n, 2, 3)
        grid = functional.affine_grid(rows, [n, 1, height, width], align_corners=False)
        if self.kind == "elastic":
            # Simard et al., Best practices for convolutional neural networks, 2003: moves that are smooth over the
            # picture. Drawn at a few points and interpolated instead of drawn everywhere and blurred.
            moves = drawn(2, BENDS, BENDS) * (2.0 * BEND)
            grid = grid + functional.interpolate(
                moves, (height, width), mode="bicubic", align_corners=True
            ).permute(0, 2, 3, 1)
        return grid


def augmenter(kind: str, samples: Samples, feeds: Mapping[str, Tensor]) -> Augmenter | None:
    """The augmenter for a model's inputs; None for "none". `feeds`: the first batch.

    Raises ParameterError when no input holds pictures, or when the labels belong to places in them.
    """
    if kind == "none":
        return None
    first = {name: _picture_axes(tuple(value.shape)) for name, value in feeds.items() if value.is_floating_point()}
    pictures = {name: last for name, last in first.items() if last is not None}
    if not pictures or len(set(pictures.values())) > 1:
        shapes = ", ".join(f"{name} is {' x '.join(map(str, value.shape[1:]))}" for name, value in feeds.items())
        raise ParameterError(
            f"augmentation is {kind}, and no input holds pictures of 1, 3 or 4 channels ({shapes} a sample)",
            where=samples.source, do="set augmentation to none",
        )  # fmt: skip
    if samples.labels is not None and samples.labels.dtype.kind == "f" and samples.labels.ndim > 2:
        raise ParameterError(
            f"augmentation is {kind}, and the labels are pictures too, which would have to be moved alike",
            where=samples.source, do="set augmentation to none",
        )  # fmt: skip
    return Augmenter(kind, tuple(pictures), next(iter(pictures.values())))


def takes_pictures(feeds: Mapping[str, Tensor]) -> bool:
    """Whether any input of a batch holds pictures that could be changed a little."""
    return any(_picture_axes(tuple(value.shape)) is not None for value in feeds.values() if value.is_floating_point())


def _picture_axes(shape: tuple[int, ...]) -> bool | None:
    """Whether a batch of pictures has its channels last; None when it holds no pictures."""
    if len(shape) != 4:
        return None
    if shape[1] in (1, 3, 4) and min(shape[2:]) >= SMALLEST_SIDE:
        return False
    return True if shape[3] in (1, 3, 4) and min(shape[1:3]) >= SMALLEST_SIDE else None
