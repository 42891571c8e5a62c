"""What reaches a layer on samples, in numbers: what activation-aware methods work from. Values only; see
`analysis.calibration` for how they are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Need(StrEnum):
    """What a method needs to know of a layer's inputs; each is measured only when a step asks for it."""

    MEANS = "means"
    """`mean` and `square`"""
    MOMENTS = "moments"
    """`moments` as well: the products of all pairs of inputs"""
    RANGES = "ranges"
    """`input_range` and `output_range`"""
    OUTPUTS = "outputs"
    """`output_mean`, `output_square`, `active`"""
    GRADIENTS = "gradients"
    """`gradient_square`"""


@dataclass(frozen=True, eq=False)
class ValueRange:
    """The distribution of one value of the graph over samples.

    counts         (bins,) int64, of equal width from `minimum` to `maximum`
    zeros          how many elements are exactly zero
    n              how many elements were seen, NaN and infinite ones not counted
    predicted      worked out from another distribution, not measured
    """

    minimum: float
    maximum: float
    counts: Array = field(repr=False)
    zeros: int
    n: int
    predicted: bool = False

    @property
    def edges(self) -> Array:
        """(bins + 1,) float64"""
        return np.linspace(self.minimum, self.maximum, self.counts.size + 1)

    @property
    def share_of_zeros(self) -> float:
        return self.zeros / max(self.n, 1)

    def mean_of(self, function: Callable[[Array], Array]) -> float:
        """Mean of a function of the elements, which are taken to lie in the middle of their bins."""
        edges = self.edges
        return float(np.average(function((edges[1:] + edges[:-1]) / 2), weights=self.counts))

    def quantile(self, share: float) -> float:
        """The number below which `share` (0 to 1) of the elements lie, interpolated within its bin."""
        below = np.concatenate(([0.0], np.cumsum(self.counts, dtype=np.float64)))
        return float(np.interp(share * below[-1], below, self.edges))


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """Statistics of one layer's inputs over samples. Arrays are None unless the Need that names them was asked for.

    A layer multiplies matrix rows with input vectors (`model.matrix`): for each of its `groups`, every output is the
    dot product of a row of d weights with an input of d numbers (a convolution: a patch). `rows` such inputs were seen.

    samples          on how many samples
    rows             how many input vectors, over all nodes that use the weight
    mean             (groups, d) float32, of each input
    square           (groups, d) float32, mean of each input's square
    moments          (groups, d, d) float32, mean of x x^T; None also where it would not fit (`why_no_moments`)
    gradient_square  the weight's shape, float32: mean over samples of the square of d(output probe)/d(weight), the
                     diagonal of the output's Fisher information; importance of a weight w is w^2 times this
    output_mean, output_square   (channels,) float32, of each output channel (`Layer.output_axis`) of the first node,
                     behind the batch norm and the activation that follow it directly, if any
    active           (channels,) float32: share of the positions at which that value is above zero
    input_range, output_range   of the first node that uses the weight
    why_no_means, why_no_outputs, why_no_ranges   like those of moments and gradients: why it is not known though it
                     was asked for (one clause), or ""
    """

    samples: int
    rows: int = 0
    mean: Array | None = field(default=None, repr=False)
    square: Array | None = field(default=None, repr=False)
    moments: Array | None = field(default=None, repr=False)
    why_no_moments: str = ""
    gradient_square: Array | None = field(default=None, repr=False)
    why_no_gradients: str = ""
    output_mean: Array | None = field(default=None, repr=False)
    output_square: Array | None = field(default=None, repr=False)
    active: Array | None = field(default=None, repr=False)
    input_range: ValueRange | None = None
    output_range: ValueRange | None = None
    why_no_means: str = ""
    why_no_outputs: str = ""
    why_no_ranges: str = ""
