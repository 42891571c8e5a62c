"""Cells as arrays, and how they read."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.analysis.sensitivity.cells import Cell, LayerCells, Skip
from core.recipe import Step
from gui.sensitivity.figures import NO_CELL, WHOLE_LAYER, Grid, by_reason, pack
from gui.sensitivity.words import cell_words, column_names, family_of, figure, full_figure, scale_ends, shares

INT8, INT4 = (Step.make("quantize", bits=8),), (Step.make("quantize", bits=4),)
RANK = (Step.make("low_rank", share=0.5),)
SETTINGS = (INT8, INT4, RANK)


def cells(layer: str, errors: dict[int, float], tier: int, measure: str = "weight", *skips: Skip) -> LayerCells:
    found = tuple(Cell(layer, SETTINGS[at], 100 + at, error, tier, 7) for at, error in errors.items())
    return LayerCells(layer, found, skips, measure)


def test_figures_take_the_place_of_earlier_ones() -> None:
    grid = Grid(("a", "b", "c"), SETTINGS)
    skip = Skip("b", RANK, "does not handle Conv layers")
    part = pack([cells("b", {0: 1e-4, 1: 1e-2}, 0, "weight", skip), cells("elsewhere", {0: 1.0}, 0)], SETTINGS)
    assert grid.put(part) == ("b",)
    assert grid.counts() == (2, 0, 0) and grid.measure == "weight"
    assert grid.filled.tolist() == [False, True, False] and grid.tiers[0, 0] == NO_CELL
    grid.put(pack([cells("b", {0: 2e-4, 1: 3e-2}, 1, "kl")], SETTINGS))
    assert grid.counts() == (0, 2, 0) and grid.measure == "kl" and grid.errors[1, 1] == 3e-2
    assert math.isnan(grid.nbytes[1, 2]) and grid.reason(1, 2) == "does not handle Conv layers"
    assert grid.reason(1, 0) == "" and grid.row("nothing") == -1


def test_a_reason_for_a_whole_layer_is_one_for_each_of_its_places() -> None:
    grid = Grid(("a",), SETTINGS)
    grid.put(pack([LayerCells("a", (), (Skip("a", (), "it is locked"),))], SETTINGS))
    assert [grid.reason(0, column) for column in (WHOLE_LAYER, 0, 2)] == ["it is locked"] * 3
    assert by_reason(["x", "y", "y"]) == {"y": 2, "x": 1}


@pytest.mark.parametrize(("error", "tier", "measure", "short", "full"), [
    (10**-3.62, 0, "weight", "36", "36.2 dB"),
    (10**-3.62, 2, "squared", "36", "36.2 dB"),
    (2.0, 2, "squared", "−3", "−3.0 dB"),
    (0.0, 1, "squared", "∞", "exact"),
    (math.inf, 2, "squared", "×", "the output is no longer finite"),
    (10**-3.62, 0, "kl", "36", "36.2 dB"),  # in a table of divergences the weight's own stays in dB
    (0.0213, 1, "kl", "21", "21 mnat"),
    (0.34, 2, "kl", "340", "340 mnat"),
    (2.08, 2, "kl", "2080", "2100 mnat"),
    (14.2, 2, "kl", "9999", "14000 mnat"),
    (2.6e-4, 2, "kl", ".3", "0.26 mnat"),
    (2.6e-5, 2, "kl", ".03", "0.026 mnat"),
    (3e-6, 1, "kl", "0", "0.003 mnat"),
    (math.nan, -1, "kl", "", None),
])
def test_figures_are_short_and_have_their_unit_in_full(
    error: float, tier: int, measure: str, short: str, full: str | None
) -> None:
    assert figure(error, tier, measure) == short
    assert len(short) <= 4
    if full is not None:
        assert full_figure(error, tier, measure) == full


def test_shares_follow_the_unit_of_each_cell() -> None:
    errors = np.array([10**-4.5, 10**-0.5, 10**-2.5, 1e-4, 1.0, np.nan, 0.0, np.inf])
    tiers = np.array([0, 0, 0, 1, 2, -1, 1, 1])
    found = shares(errors, tiers, "kl")
    assert found[:5].tolist() == pytest.approx([0.0, 1.0, 0.5, 0.0, 1.0])
    assert np.isnan(found[5]) and found[6] == 0.0 and found[7] == 1.0
    assert scale_ends("kl", 0) == ("45 dB", "5 dB") and scale_ends("kl", 1) == ("0.1", "1,000 mnat")


def test_headings_say_once_what_settings_share() -> None:
    prune = [(Step.make("prune", ratio=ratio),) for ratio in (0.5, 0.9)]
    ranks = [(Step.make("low_rank", share=share),) for share in (0.5, 0.25)]
    dct = (Step.make("filter:dct", by="share", share=0.5),)
    heads, names = column_names((INT8, INT4, *prune, *ranks, dct, (prune[0][0], INT4[0])))
    assert heads == ("Quantization", "Quantization", "Pruning", "Pruning", "Low rank", "Low rank", "Filtering",
                     "Pruning + Quantization")
    assert [name.replace("\u00a0", " ") for name in names] == [
        "int8", "int4", "50 %", "90 %", "50 %", "25 %", "50 %", "50 %, int4"
    ]  # fmt: skip
    assert family_of((prune[0][0], INT4[0])) == "Pruning + Quantization"


def test_a_cell_says_all_that_is_known() -> None:
    grid = Grid(("a",), SETTINGS)
    grid.put(pack([cells("a", {0: 1e-4}, 2, "squared", Skip("a", RANK, "too small"))], SETTINGS))
    assert cell_words(grid, 0, 0, "first", 64, 400).splitlines() == [
        "first: int8",
        "SQNR of the outputs 40.0 dB, measured on 64 samples with this layer alone compressed",
        "100 B, 25 % of float32",
        "7 multiply-adds a run",
    ]
    assert cell_words(grid, 0, 2, "first", 64, 400).endswith("cannot be had: too small")
    assert cell_words(grid, 0, 1, "first", 64, 400).endswith("not computed yet")
