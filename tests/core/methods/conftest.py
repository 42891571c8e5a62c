"""Layers to compress."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from core.methods.base import Context
from core.model.layer import Kind, Layer


@pytest.fixture
def context_of() -> Callable[..., Context]:
    """context_of(weight, kind, output_axis, input_axis) -> the context of a layer with this weight."""

    def make(
        weight: np.ndarray, kind: Kind = Kind.LINEAR, output_axis: int | None = 0, input_axis: int | None = 1
    ) -> Context:
        return Context(Layer("w", kind, weight.shape, "float32", weight.nbytes, output_axis, input_axis))

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)
