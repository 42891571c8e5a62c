"""How fast statistics, spectra and previews are. Prints ratios and times; asserts nothing on time.

Run it with `python -m pytest tests/bench/bench_statistics.py -m bench -s`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from core.analysis.preview import preview
from core.analysis.spectra import frequency_energy, singular_values
from core.analysis.statistics import all_statistics, statistics
from core.encoding import Float
from core.kernels import warm
from core.methods.base import Memo
from core.model.layer import Kind, Layer
from core.recipe import Step

pytestmark = pytest.mark.bench
ROUNDS = 5


def milliseconds(function: Callable[[], object]) -> float:
    """The median of some rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


def layer(values: np.ndarray, name: str = "w") -> Layer:
    return Layer(name, Kind.LINEAR, values.shape, "float32", values.nbytes, output_axis=0, input_axis=1)


def test_loading_kernels_in_a_thread() -> None:
    gaps, ready = [], threading.Event()
    thread = threading.Thread(target=lambda: (warm(), ready.set()))
    start = last = time.perf_counter()
    thread.start()
    while not ready.wait(0.001):
        now = time.perf_counter()
        gaps.append(now - last)
        last = now
    print(f"\nkernels: {time.perf_counter() - start:.2f} s to load, longest gap {1e3 * max(gaps, default=0):.0f} ms")


@pytest.mark.parametrize("kind", ["normal", "90 % zeros"])
def test_one_array_of_100_mb(kind: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(25_000_000, dtype=np.float32)
    if kind != "normal":
        values[rng.random(values.size, dtype=np.float32) < 0.9] = 0
    statistics(values[:10_000])
    base = milliseconds(lambda: (values.min(), values.max()))
    ours = milliseconds(lambda: statistics(values))
    print(f"\n100 MB, {kind}: numpy min and max {base:.1f} ms, all statistics {ours:.1f} ms: {ours / base:.2f} x")


def test_layers_of_100_mb() -> None:
    rng = np.random.default_rng(0)
    shapes = [(30_522, 384), *[(384, 1536)] * 20, *[(384, 384)] * 10, *[(384,)] * 30]
    weights = {str(i): rng.standard_normal(shape, dtype=np.float32) for i, shape in enumerate(shapes)}
    layers = tuple(layer(w, name) if w.ndim > 1 else Layer(name, Kind.NORM, w.shape, "float32", w.nbytes, None, None)
                   for name, w in weights.items())  # fmt: skip
    model = SimpleNamespace(layers=layers, weight=weights.__getitem__)
    base = milliseconds(lambda: [(w.min(), w.max()) for w in weights.values()])
    ours = milliseconds(lambda: all_statistics(model))
    size = sum(w.nbytes for w in weights.values()) / 1e6
    print(f"\n{len(layers)} layers, {size:.0f} MB: numpy {base:.1f} ms, all {ours:.1f} ms: {ours / base:.2f} x")


PLANS = {
    "prune + int4": (Step.make("prune", ratio=0.7), Step.make("quantize", bits=4)),
    "codebook 4 bits": (Step.make("quantize", bits=4, scheme="codebook"),),
    "int8": (Step.make("quantize", bits=8),),
    "prune": (Step.make("prune", ratio=0.7),),
}


@pytest.mark.parametrize("plan", PLANS)
def test_preview_of_a_million_weights(plan: str) -> None:
    values = np.random.default_rng(0).standard_normal((1000, 1000), dtype=np.float32)
    memo, encoding = Memo(), Float(values)
    preview(layer(values), values, encoding, PLANS[plan], memo, 20)
    ours = milliseconds(lambda: preview(layer(values), values, encoding, PLANS[plan], memo, 20))
    print(f"\npreview of 1 M weights, {plan}: {ours:.1f} ms")


@pytest.mark.parametrize("shape", [(30_522, 384), (512, 512), (1536, 384), (2048, 2048), (4096, 4096)])
def test_spectra(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    start = time.perf_counter()
    method = singular_values(values, layer(values)).method
    middle = time.perf_counter()
    frequency_energy(values, layer(values))
    end = time.perf_counter()
    print(f"\n{shape}: singular values ({method}) {middle - start:.2f} s, frequencies {end - middle:.2f} s")
