"""Tables of levels that are finer near zero, made from a formula: the same for every layer, up to scales."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np

from core.encoding.base import Array
from core.methods._grids import Table


@cache
def normal_float(bits: int) -> Table:
    """Quantiles of a normal distribution, from -1 to 1, zero among them: 2^(b-1) positive and one fewer negative.

    Source: Dettmers et al., "QLoRA", NeurIPS 2023 (at 4 bits these are its NF4 levels).
    """
    half = 1 << bits - 1
    end = 1 - (1 / (4 * half) + 1 / (4 * half - 2)) / 2  # the outermost quantile: 0.9677 at 4 bits
    positive, negative = (
        np.array([NormalDist().inv_cdf(p) for p in np.linspace(0.5, end, n)[1:]]) for n in (half + 1, half)
    )
    return Table(bits, _from_minus_one(-(negative / negative.max()), positive / positive.max()))


@cache
def powers_of_two(bits: int, terms: int) -> Table:
    """Zero and plus or minus powers of two from 1 down, or sums of `terms` of them.

    Case 1  one term: 2^0, 2^-1, ... as many as the codes allow
    Case 2  two terms: their sums, the powers dealt out in turn, so that all sums differ and large levels are closer

    Source: Zhou et al., "Incremental Network Quantization", ICLR 2017; Li, Dong, Wang, "Additive Powers-of-Two
    Quantization", ICLR 2020.
    """
    magnitude_bits = bits - 1
    if terms == 1 or magnitude_bits < 2:
        positive = 2.0 ** -np.arange((1 << magnitude_bits) - 1)
    else:
        first, second = (magnitude_bits + 1) // 2, magnitude_bits // 2
        odd, even = _every_second(first, 0), _every_second(second, 1)
        sums = np.unique((odd[:, np.newaxis] + even).reshape(-1))
        positive = sums[sums > 0] / sums.max()
    return Table(bits, _from_minus_one(-positive, positive))


def _every_second(bits: int, start: int) -> Array:
    """Zero and 2^bits - 1 powers of two, every second one from 2^-start down."""
    return np.append(0.0, 2.0 ** -(2.0 * np.arange((1 << bits) - 1) + start))


@cache
def mu_law(bits: int, mu: float) -> Table:
    """Levels that lie evenly after y = sign(x) ln(1 + mu |x|) / ln(1 + mu); 2^b - 1 of them, zero among them.

    Source: ITU-T Recommendation G.711.
    """
    top = (1 << bits - 1) - 1
    even = np.arange(1, top + 1) / top
    positive = np.expm1(even * np.log1p(mu)) / mu
    return Table(bits, _from_minus_one(-positive, positive))


@cache
def float8(format_: str) -> Table:
    """The finite numbers of an 8-bit float, which float16 holds exactly.

    format_  "e4m3" (up to 448, FLOAT8E4M3FN) or "e5m2" (up to 57,344)
    Source: Micikevicius et al., "FP8 Formats for Deep Learning", 2022.
    """
    mantissas, bias, last = (8, 7, 126) if format_ == "e4m3" else (4, 15, 123)  # `last`: the code of the largest number
    codes = np.arange(1, last + 1)
    exponent, mantissa = codes // mantissas, codes % mantissas / mantissas
    normal = exponent > 0
    positive = np.where(normal, 1 + mantissa, mantissa) * 2.0 ** (np.maximum(exponent, 1) - bias)
    return Table(8, _from_minus_one(-positive, positive), exact16=True)


def _from_minus_one(negative: Array, positive: Array) -> Array:
    """All levels, rising, with zero; float32."""
    return np.unique(np.concatenate((negative, [0.0], positive)).astype(np.float32))
