from __future__ import annotations

import pytest

from core.methods.params import Spec, specs
from core.methods.registry import all_methods
from gui.inspector.scale import Scale


def spec(**words: object) -> Spec:
    return Spec(**{"name": "x", "type": "number", "default": 1.0, "title": "X", **words})  # type: ignore[arg-type]


def test_a_number_without_two_bounds_has_no_slider() -> None:
    assert Scale.of(spec(minimum=0.0)) is None
    assert Scale.of(spec(maximum=1.0)) is None
    assert Scale.of(spec(minimum=1.0, maximum=1.0)) is None


def test_whole_numbers_have_a_position_each() -> None:
    scale = Scale.of(spec(type="integer", minimum=1, maximum=8))
    assert scale is not None
    assert [scale.value(p) for p in range(scale.steps + 1)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all(isinstance(scale.value(p), int) for p in range(scale.steps + 1))


def test_a_wide_positive_range_is_logarithmic() -> None:
    scale = Scale.of(spec(type="integer", minimum=1, maximum=65536))
    assert scale is not None and scale.logarithmic
    assert scale.value(scale.steps // 2) == 256
    assert [scale.value(scale.position(v)) for v in (1, 65536)] == [1, 65536]


def test_values_outside_go_to_the_ends() -> None:
    scale = Scale.of(spec(minimum=0.0, maximum=1.0))
    assert scale is not None
    assert scale.position(-3.0) == 0
    assert scale.position(7.0) == scale.steps


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (0.01, 1.0), (-5.0, 5.0), (1e-6, 1.0)])
def test_positions_come_back(low: float, high: float) -> None:
    scale = Scale.of(spec(minimum=low, maximum=high))
    assert scale is not None
    assert all(scale.position(scale.value(p)) == p for p in range(scale.steps + 1))


@pytest.mark.parametrize("method", all_methods(), ids=lambda m: m.key)
def test_every_position_of_every_method_is_a_valid_value(method: object) -> None:
    for declared in specs(method.Params):  # type: ignore[attr-defined]
        scale = Scale.of(declared) if declared.type in ("number", "integer") else None
        for position in range(0, scale.steps + 1, max(1, scale.steps // 50)) if scale else ():
            declared.check(scale.value(position))  # type: ignore[union-attr]
