"""Which trained form an encoding has."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from core.encoding import (
    Affine,
    Codebook,
    Codes,
    ConvChain,
    Encoding,
    Float,
    Kept,
    LowRank,
    Sum,
    Transformed,
    Trellis,
    Trits,
)
from core.encoding.run_time import RunTimeForm
from core.encoding.scaled import Scaled
from core.training.learned.affine import AffineGrid
from core.training.learned.base import Grid, Latent, LearnedWeight
from core.training.learned.codebook import CodebookGrid
from core.training.learned.codes import CodesGrid
from core.training.learned.factors import LearnedChain, LearnedLowRank
from core.training.learned.fixed import FixedGrid
from core.training.learned.floats import FloatGrid
from core.training.learned.kept import KeptGrid
from core.training.learned.run_time import RunTimeGrid
from core.training.learned.total import ScaledGrid, SumGrid
from core.training.learned.transformed import LearnedCoefficients

Array = np.ndarray[Any, np.dtype[Any]]

TRELLIS = "its path through the trellis is found by a search that takes too long for every step"


def learn(encoding: Encoding, weight: Array | None = None, *, reassign: bool = True) -> LearnedWeight:
    """The encoding as a module; `forward()` equals `encoding.decode()` to float32 rounding.

    weight    the dense float32 weights that it was made from, of its shape; None: what it decodes to
    reassign  levels of codebooks: whether a weight may change its level while it is trained

    Any encoding is taken: one without a trained form keeps its stored values and says why (`LearnedWeight.reason`).
    """
    if isinstance(encoding, LowRank):
        return LearnedLowRank(encoding, [learn(child, reassign=reassign) for child in encoding.children])
    if isinstance(encoding, ConvChain):
        return LearnedChain(encoding, [learn(child, reassign=reassign) for child in encoding.children])
    if isinstance(encoding, Transformed):
        return LearnedCoefficients(encoding, learn(encoding.child, reassign=reassign))
    stored = torch.from_numpy(np.array(encoding.decode()))
    wanted = stored if weight is None else torch.from_numpy(np.array(weight, np.float32))
    return Latent(_grid(encoding, reassign), wanted, stored)


def _grid(encoding: Encoding, reassign: bool) -> Grid:
    """What values the encoding can store."""
    if isinstance(encoding, Float):
        return FloatGrid(encoding)
    if isinstance(encoding, Codebook):
        return CodebookGrid(encoding, trained=not encoding.shared, reassigned=reassign)
    if isinstance(encoding, Affine):
        return AffineGrid(encoding, _coded(encoding.child, encoding))
    if isinstance(encoding, Kept):
        return KeptGrid(encoding, _grid(encoding.values, reassign))
    if isinstance(encoding, Sum):
        return SumGrid(encoding, _grid(encoding.dense, reassign), _grid(encoding.outliers, reassign))
    if isinstance(encoding, Scaled):
        return ScaledGrid(encoding, _grid(encoding.child, reassign))
    if isinstance(encoding, RunTimeForm):
        return RunTimeGrid(encoding, _grid(encoding.weight, reassign))
    if isinstance(encoding, (Codes, Trits)):
        return CodesGrid(encoding)
    if isinstance(encoding, Trellis):
        return FixedGrid(encoding, TRELLIS)
    return FixedGrid(encoding, f"{encoding.describe()} has no form that is trained")


def _coded(child: Encoding, around: Affine) -> Grid:
    """What a scaled child can store: levels of a number format stay what they are."""
    if isinstance(child, Codes):
        return CodesGrid(child, _symmetric_top(child, around))
    if isinstance(child, Kept):
        return KeptGrid(child, _coded(child.values, around))
    if isinstance(child, Codebook):
        return CodebookGrid(child, trained=False, reassigned=True)
    return _grid(child, True)


def _symmetric_top(codes: Codes, around: Affine) -> int | None:
    """The largest code of a grid with as many levels above its zero point as below; None for other grids."""
    zero = around.stored_zero_point
    middle = (1 << codes.bits - 1) - 1
    symmetric = zero is not None and middle > 0 and zero.shape == () and float(zero.decode()) == middle
    return 2 * middle if symmetric and not codes.signed and codes.values.max(initial=0) <= 2 * middle else None
