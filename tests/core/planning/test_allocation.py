"""Hulls, fronts and the exact choice against brute force."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from core.analysis.hulls import Points, front, hull, pareto
from core.planning.knapsack import Unreachable, choose, choose_two


def random_layers(random: np.random.Generator, count: int, settings: int, *, whole: bool = True) -> list[Points]:
    """Layers whose errors fall with cost, roughly; some settings are dominated."""
    layers = []
    for _ in range(count):
        costs = random.uniform(1, 100, settings) * 10 ** random.uniform(0, 2)
        errors = random.uniform(0.5, 2, settings) * random.lognormal(0, 2) / costs**2
        layers.append(Points(np.round(costs) if whole else costs, errors))
    return layers


def brute_force(layers: list[Points], budget: float, second: list[np.ndarray] | None = None, limit: float = np.inf):
    best = np.inf
    for options in itertools.product(*(range(len(p.costs)) for p in layers)):
        cost = sum(p.costs[o] for p, o in zip(layers, options, strict=True))
        other = 0.0 if second is None else sum(s[o] for s, o in zip(second, options, strict=True))
        if cost <= budget and other <= limit:
            best = min(best, sum(p.errors[o] for p, o in zip(layers, options, strict=True)))
    return best


def test_hull_drops_points_above_the_line_between_others() -> None:
    points = Points(np.array([1.0, 2, 3, 4, 2]), np.array([10.0, 8, 2, 1, 9]))
    assert pareto(points).tolist() == [0, 1, 2, 3]
    assert hull(points).tolist() == [0, 2, 3]


def test_hull_ignores_what_is_not_finite_and_equal_costs() -> None:
    points = Points(np.array([1.0, 1, 1, 2]), np.array([np.inf, 5, 4, np.nan]))
    assert hull(points).tolist() == [2]


def test_front_is_what_each_multiplier_chooses() -> None:
    random = np.random.default_rng(0)
    layers = random_layers(random, 12, 6)
    sweep = front(layers)
    assert np.all(np.diff(sweep.costs) > 0)
    assert np.all(np.diff(sweep.errors) <= 0)
    assert np.all(np.diff(sweep.slopes) <= 0)
    for k in (0, len(sweep) // 2, len(sweep) - 1):
        options = sweep.choice(k)
        assert sum(p.costs[o] for p, o in zip(layers, options, strict=True)) == pytest.approx(sweep.costs[k])
    for k in range(1, len(sweep) - 1):
        multiplier = (sweep.slopes[k - 1] + sweep.slopes[k]) / 2
        least = sum(float(np.min(p.errors + multiplier * p.costs)) for p in layers)
        assert sweep.errors[k] + multiplier * sweep.costs[k] == pytest.approx(least)


def test_a_front_without_layers_is_one_plan() -> None:
    sweep = front([])
    assert len(sweep) == 1
    assert choose([], 0.0).cost == 0.0


@pytest.mark.parametrize("seed", range(40))
def test_choice_agrees_with_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    layers = random_layers(random, int(random.integers(1, 7)), int(random.integers(1, 6)), whole=bool(seed % 2))
    sweep = front(layers)
    budget = float(random.uniform(sweep.costs[0], 1.1 * sweep.costs[-1]))
    found = choose(layers, budget)
    assert found.cost <= budget
    assert found.gap == 0.0
    assert found.error == pytest.approx(brute_force(layers, budget), rel=1e-9)


@pytest.mark.parametrize("seed", range(15))
def test_equal_sizes_agree_with_brute_force(seed: int) -> None:
    """Layers of one size with few different costs: many plans cost the same."""
    random = np.random.default_rng(seed)
    layers = [Points(np.array([2.0, 3, 4, 8]), np.sort(random.uniform(0, 1, 4))[::-1]) for _ in range(6)]
    budget = float(random.integers(12, 40))
    assert choose(layers, budget).error == pytest.approx(brute_force(layers, budget))


def test_an_exact_budget_is_met_and_one_below_the_smallest_says_what_there_is() -> None:
    layers = random_layers(np.random.default_rng(3), 5, 4)
    least = sum(float(p.costs.min()) for p in layers)
    assert choose(layers, least).cost == least
    with pytest.raises(Unreachable) as caught:
        choose(layers, least - 1)
    assert caught.value.cost == least
    assert caught.value.error == pytest.approx(front(layers).errors[0])


@pytest.mark.parametrize("seed", range(12))
def test_two_budgets_hold_and_the_gap_bounds_the_loss(seed: int) -> None:
    random = np.random.default_rng(seed)
    layers = random_layers(random, 5, 4)
    second = [random.uniform(1, 10, 4) for _ in layers]
    budget = float(np.quantile([front(layers).costs[0], front(layers).costs[-1]], 0.6))
    limit = sum(float(s.min()) for s in second) * 2.2
    best = brute_force(layers, budget, second, limit)
    if not np.isfinite(best):
        with pytest.raises(Unreachable):
            choose_two(layers, second, budget, limit)
        return
    found = choose_two(layers, second, budget, limit)
    assert found.cost <= budget
    assert sum(s[o] for s, o in zip(second, found.options, strict=True)) <= limit
    assert best - 1e-12 <= found.error <= best + found.gap * (1 + 1e-9) + 1e-12


def test_a_second_budget_that_cannot_be_met_says_the_smallest() -> None:
    layers = random_layers(np.random.default_rng(0), 4, 3)
    second = [np.array([3.0, 4, 5])] * 4
    with pytest.raises(Unreachable) as caught:
        choose_two(layers, second, 1e9, 11.0)
    assert caught.value.cost == 12.0


def test_few_states_still_give_a_plan_within_the_stated_gap() -> None:
    layers = random_layers(np.random.default_rng(5), 40, 8, whole=False)
    sweep = front(layers)
    budget = float(sweep.costs[0] * 0.6 + sweep.costs[-1] * 0.4)
    exact, rough = choose(layers, budget), choose(layers, budget, states=5)
    assert rough.cost <= budget
    assert exact.error <= rough.error <= exact.error + rough.gap + 1e-15


def test_500_layers_of_24_settings_are_chosen_exactly() -> None:
    layers = random_layers(np.random.default_rng(1), 500, 24)
    sweep = front(layers)
    budget = float(sweep.costs[0] * 0.7 + sweep.costs[-1] * 0.3)
    start = time.perf_counter()
    found = choose(layers, budget)
    print(f"\n{time.perf_counter() - start:.3f} s, gap {found.gap:.2e} of {found.error:.3e}")
    assert found.gap <= 1e-3 * found.error
    assert found.error <= sweep.errors[sweep.within(budget)]
