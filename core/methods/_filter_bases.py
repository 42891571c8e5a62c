"""Bases in which a short signal is seen: rows are functions, coarse to fine, and orthonormal unless said otherwise."""

from __future__ import annotations

import numpy as np

from core.encoding.base import Array


def dct(length: int) -> Array:
    """The cosines of the DCT-II, (length, length) float64.

    Source: Ahmed, Natarajan, Rao, "Discrete Cosine Transform", IEEE Transactions on Computers, 1974.
    """
    places, frequencies = np.arange(length) + 0.5, np.arange(length)
    return _normal(np.cos(np.pi / length * np.outer(frequencies, places)))


def fourier(length: int) -> Array:
    """The real Fourier basis, (length, length) float64: the mean, then the cosine and the sine of each frequency.

    Real because weights are: a complex basis would store every number twice.
    """
    places = 2 * np.pi / length * np.arange(length)
    waves = [np.ones(length)]
    for frequency in range(1, length // 2 + 1):
        waves += [np.cos(frequency * places), np.sin(frequency * places)]
    return _normal(np.stack(waves[:length]))  # of an even length, the highest sine is zero and cut off


def wavelet(length: int, family: str, level: int) -> Array:
    """Orthogonal wavelets, (length, length) float64: approximations of the last level, then details, coarse first.

    Periodized. Unit vectors are transformed by PyWavelets in a length that halves `level` times; where that is longer,
    the functions are cut off and made orthonormal again in their order (Gram and Schmidt).
    Source: Mallat, "A Theory for Multiresolution Signal Decomposition", IEEE PAMI, 1989; ends after Herley and
    Vetterli, "Wavelets and Recursive Filter Banks", IEEE Transactions on Signal Processing, 1993.
    """
    import pywt

    level = min(level, max(1, int(length - 1).bit_length()))
    whole = -(-length >> level) << level if length % (1 << level) else length
    approximation, details = np.eye(whole), []
    for _ in range(level):
        approximation, detail = pywt.dwt(approximation, family, "periodization", axis=0)
        details.append(detail)
    functions = np.concatenate([approximation, *reversed(details)])
    return functions if whole == length else _orthonormal(functions[:, :length], length)


def _orthonormal(functions: Array, wanted: int) -> Array:
    """Gram and Schmidt in the given order; functions that the earlier ones contain are left out."""
    made: list[Array] = []
    for function in functions:
        rest = function
        for _ in range(2):  # once more takes off what rounding left
            for other in made:
                rest = rest - (rest @ other) * other
        norm = np.linalg.norm(rest)
        if norm > 1e-6:
            made.append(rest / norm)
        if len(made) == wanted:
            break
    return np.stack(made)


def _normal(functions: Array) -> Array:
    return functions / np.linalg.norm(functions, axis=1, keepdims=True)


def gaussian(length: int, points: int, width: float) -> Array:
    """Synthesis from control points by Gaussian kernels, (points, length) float64; no orthonormal basis.

    width  standard deviation of a kernel, in distances between control points

    The kernels are normalised so that equal control points give a constant.
    Source: Shepard, "A two-dimensional interpolation function for irregularly-spaced data", 1968 (normalised weights).
    """
    spacing = length / points
    centres = (np.arange(points) + 0.5) * spacing - 0.5
    distances = (centres[:, np.newaxis] - np.arange(length)) / (width * spacing)
    kernels = np.exp(-0.5 * np.square(distances))
    return kernels / kernels.sum(axis=0)


def least_squares(synthesis: Array) -> Array:
    """What gives the coefficients of least squared error, (length, points), for a synthesis (points, length)."""
    return np.linalg.pinv(synthesis)


def moving_average(length: int, window: int) -> tuple[Array, Array]:
    """Samples of a moving average and the way back, (length, points) and (points, length) float64.

    As many windows of `window` weights as cover the signal, evenly spread; each gives the mean of its weights. The way
    back is linear between the windows' middles and constant outside.
    """
    window = min(window, length)
    points = -(-length // window)
    starts = np.rint(np.linspace(0, length - window, points)).astype(int)
    analysis = np.zeros((length, points))
    for point, start in enumerate(starts):
        analysis[start : start + window, point] = 1 / window
    middles, places = starts + (window - 1) / 2, np.arange(length)
    synthesis = np.stack([np.interp(places, middles, row) for row in np.eye(points)])
    return analysis, synthesis
