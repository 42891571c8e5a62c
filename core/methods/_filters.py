"""What the filters share: their parameters, and methods that differ in nothing but the basis."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from core.encoding import Float, Kept
from core.encoding.base import Array, Encoding
from core.errors import LayerSkipped
from core.methods._filter_choice import Wish, coefficients, keep
from core.methods._filter_views import View, view_of
from core.methods._structure import leaf_values, refuse_low_rank, refuse_quantized
from core.methods.base import Context, Method, Role
from core.methods.params import param
from core.model.layer import Kind, Layer

FILTER_KINDS = frozenset(Kind) - {Kind.NORM}
"""A norm's channels come in no order, so they are no signal."""


@dataclass(frozen=True)
class PlaceParams:
    """Where a weight is seen as a signal."""

    along: str = param(
        "rows", "Along", "What is seen as a signal: rows run along the weight's last axis, columns along the one "
        "before, blocks along both. Convolutions are always filtered within their kernels.",
        choices=("rows", "columns", "blocks"), choice_titles=("Rows", "Columns", "Square blocks"),
    )
    block: int = param(
        32, "Block size", "Longer signals are cut into pieces of at most this many weights, so that the basis stays "
        "small; kernels of up to 64 weights are taken whole.",
        minimum=8, maximum=64, unit="weights", grid=(8, 16, 32, 64),
    )


@dataclass(frozen=True)
class BasisParams(PlaceParams):
    by: str = param(
        "energy", "Choose by", "Kept energy finds the fewest coefficients for an error; kept share sets their number; "
        "cut-off keeps the low frequencies of each axis and no others.",
        choices=("energy", "share", "cutoff"), choice_titles=("Kept energy", "Kept share", "Cut-off"),
    )
    energy: float = param(
        0.9, "Kept energy", "Share of the sum of squared weights that is kept at least; 90 % means an error of -10 dB.",
        minimum=0.01, maximum=1.0, percent=True, unit="%", when={"by": ["energy"]}, grid=(0.99, 0.97, 0.95, 0.9, 0.8),
    )
    share: float = param(
        0.5, "Kept share", "Share of the coefficients that is kept: those of most energy.",
        minimum=0.01, maximum=1.0, percent=True, unit="%", when={"by": ["share"]}, grid=(0.75, 0.5, 0.35, 0.25),
    )
    cutoff: float = param(
        0.5, "Cut-off", "Low frequencies that are kept along each axis, as a share of all; at least one.",
        minimum=0.01, maximum=1.0, percent=True, unit="%", when={"by": ["cutoff"]}, grid=(0.75, 0.5, 0.25),
    )
    layout: str = param(
        "auto", "Same functions", "The same basis functions for the whole layer need no list of places; chosen for "
        "each place they keep more energy. Automatic takes what is smaller at equal energy.",
        choices=("auto", "shared", "each"), choice_titles=("Automatic", "Whole layer", "Each place"),
        when={"by": ["energy", "share"]},
    )


def percent(share: float) -> str:
    """A share as "12.3 %"."""
    return f"{100 * share:.3g} %"


class Filter(Method):
    """A weight seen as a signal, of which coefficients are stored."""

    word = "filter"
    role = Role.FILTER
    family = "Filtering"
    saves = ("file",)
    kinds = FILTER_KINDS

    def why_not(self, layer: Layer, params: Any) -> str:
        reason = super().why_not(layer, params)
        if reason:
            return reason
        try:
            view_of(layer, params.along, params.block)
        except LayerSkipped as skipped:
            return skipped.what
        return ""

    def apply(self, encoding: Encoding, params: Any, context: Context) -> Encoding:
        refuse_quantized(encoding, "put filter before quantize")
        refuse_low_rank(encoding, "use one of the two")
        if isinstance(encoding, Kept):
            raise LayerSkipped("the coefficients of a pruned weight are not sparse", do="use filter or prune, not both")
        if not isinstance(encoding, Float):
            raise LayerSkipped(f"the weight is stored as {encoding.describe()}, which filter does not handle")
        values = leaf_values(encoding, context)
        return self.store(encoding, values, view_of(context.layer, params.along, params.block), params, context)

    @abstractmethod
    def store(self, leaf: Float, values: Array, view: View, params: Any, context: Context) -> Encoding:
        """The coefficients of `values`, (the leaf decoded), seen as `view`."""


class BasisFilter(Filter):
    """A filter in an orthonormal basis, so that the energy of a weight is that of its coefficients."""

    Params = BasisParams

    @abstractmethod
    def basis(self, length: int, params: Any) -> Array:
        """(length, length) float64, a row a function, coarse to fine."""

    @abstractmethod
    def name(self, params: Any) -> str:
        """The basis in a word."""

    def store(self, leaf: Float, values: Array, view: View, params: Any, context: Context) -> Encoding:
        found = coefficients(
            leaf, values, view, lambda length: self.basis(length, params), self.name(params), context
        )
        return keep(found, Wish(params.by, params.cutoff, params.share, params.energy, params.layout), context)

    def label(self, params: Any) -> str:
        values = {"energy": params.energy, "share": params.share, "cutoff": params.cutoff}
        what = {"energy": "", "share": " keeps", "cutoff": " below"}[params.by]
        return f"{self.name(params)}{what} {percent(values[params.by])}"
