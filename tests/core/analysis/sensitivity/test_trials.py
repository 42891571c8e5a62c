"""Tier 0: errors and bytes against the weights and the file themselves; what is left out, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from core.analysis.sensitivity.settings import default_settings, family_settings
from core.analysis.sensitivity.trials import Trials
from core.data import Samples
from core.exporting.sizes import SizeModel
from core.methods.base import Stage
from core.methods.registry import all_methods, by_key
from core.model.model import Model
from core.model.readers import open_model
from core.recipe import Step
from tests.core.analysis.sensitivity.conftest import SETTINGS, trials_for


def test_error_and_bytes_are_those_of_the_encoding(mlp: tuple[Model, Samples]) -> None:
    model, _ = mlp
    sizes = SizeModel(model)
    for layer, found in Trials(model, sizes, SETTINGS).all():
        weight = model.weight(layer.name).astype(np.float64)
        assert len(found.trials) == len(SETTINGS)
        for trial in found.trials:
            change = trial.encoding.decode() - weight
            assert trial.cell.error == pytest.approx(np.sum(change**2) / np.sum(weight**2), rel=1e-5)
            alone = sizes.predict({layer.name: sizes.emitted(layer.name, trial.encoding)})
            as_is = sizes.predict({layer.name: sizes.emitted(layer.name, model.encoding(layer.name))})
            assert trial.cell.bytes - found.nbytes == alone - as_is
            assert trial.cell.tier == 0


def test_default_settings_show_every_family_that_works_on_weights() -> None:
    methods = [by_key(steps[0].method) for steps in default_settings()]
    assert [method.label(steps[0].params) for method, steps in zip(methods, default_settings(), strict=True)] == [
        "fp16", "int8", "int6", "int4", "int3", "int2", "prune 30 %", "prune 50 %", "prune 70 %", "prune 90 %",
        "rank 50 % size", "rank 25 % size", "DCT keeps 50 %",
    ]  # fmt: skip
    assert {m.family for m in methods} == {m.family for m in all_methods() if m.stage is Stage.WEIGHTS}


def test_family_settings_name_every_method_of_the_family() -> None:
    methods = {steps[0].method for steps in family_settings(("Quantization",))}
    assert methods == {m.key for m in all_methods() if m.family == "Quantization"}


def test_what_does_not_get_smaller_or_cannot_be_done_says_so(
    make_model: Callable[..., Path],
) -> None:
    weights = {"w": np.array([[1, 2], [3, np.nan]], np.float32), "v": np.ones((2, 2), np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "v"], ["y"])]
    model = open_model(make_model(nodes, weights, {"x": ["n", 2]}, {"y": ["n", 2]}))
    found = {layer.name: trials for layer, trials in trials_for(model, ((Step.make("prune", ratio=0.5),),)).all()}
    assert "NaN" in found["w"].skipped[0].reason and not found["w"].trials
    assert found["v"].skipped[0].reason.startswith("would take")


def test_a_locked_layer_has_its_reason_and_no_cell(make_model: Callable[..., Path]) -> None:
    nodes = [
        helper.make_node("Exp", ["w"], ["e"]),
        helper.make_node("MatMul", ["x", "e"], ["y"]),
    ]
    model = open_model(make_model(nodes, {"w": np.ones((8, 8), np.float32)}, {"x": ["n", 8]}, {"y": ["n", 8]}))
    (layer,) = model.layers
    found = trials_for(model).of(layer)
    assert layer.locked and not found.cells and found.skipped[0].reason == layer.locked and not found.skipped[0].steps


def test_multiply_adds_fall_with_the_rank_only(make_model: Callable[..., Path]) -> None:
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = make_model(nodes, {"w": weight}, {"x": ["n", 64]}, {"y": ["n", 64]})
    model = open_model(path)
    settings = ((Step.make("quantize", bits=4),), (Step.make("low_rank", by="rank", rank=8),))
    trials = Trials(model, SizeModel(model), settings, counts={"w": 64 * 64})
    assert [cell.multiply_adds for cell in trials.of(model.layer("w")).cells] == [64 * 64, 2 * 64 * 8]
