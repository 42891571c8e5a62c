"""Trials come from what methods declare: every one is there, at levels that differ, and fits the model or says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.method_comparison import trials as module
from core.method_comparison.trials import recipe_key, trials
from core.methods import registry
from core.methods.base import Role, Stage
from core.methods.order import role, why_not_list
from core.methods.params import param
from core.methods.quantize_affine import QuantizeAffine
from core.model.model import Model
from core.recipe import Recipe

ModelMaker = Callable[[], Model]


def test_every_method_is_tried_and_no_recipe_twice(small: Model) -> None:
    found = trials(small)
    assert {trial.method for trial in found} == {method.title for method in registry.all_methods()}
    keys = [recipe_key(trial.recipe(small)) for trial in found if not trial.why_not]
    assert len({trial.steps for trial in found}) == len(found)
    assert len(keys) >= 2 * len({trial.method for trial in found if not trial.why_not})


def test_settings_of_one_method_are_told_apart_by_their_words(small: Model) -> None:
    found = trials(small)
    words = [(trial.method, trial.setting) for trial in found]
    assert len(set(words)) == len(words)


def test_the_first_is_what_people_use_without_a_plan(small: Model) -> None:
    first, *others = trials(small, ("Pruning",))
    assert first.uniform_int8 and first.setting == "int8"
    assert {trial.family for trial in others} == {"Pruning"}


def test_every_method_is_seen_before_any_is_gone_into(small: Model) -> None:
    found = trials(small)
    order = list(dict.fromkeys(trial.method for trial in found))
    first_round = [trial.method for trial in found[1 : len(order) + 1]]
    assert len(set(first_round)) >= len(order) - 1


def test_pruned_weights_are_stored_with_few_levels_and_factors_in_8_bits(small: Model) -> None:
    for trial in trials(small):
        roles = [role(registry.by_key(step.method)) for step in trial.steps]
        if len(roles) == 2:
            assert roles[0] in module.PARTNERS and roles[1] is Role.QUANTIZE
            assert not why_not_list([registry.by_key(step.method) for step in trial.steps])
    alone = [trial for trial in trials(small, ("Pruning",)) if len(trial.steps) == 1 and not trial.uniform_int8]
    assert len(alone) == 1


def test_settings_that_learn_from_samples_need_some(small: Model) -> None:
    def needing(samples: bool) -> list[str]:
        return [
            trial.setting for trial in trials(small, samples=samples) if not trial.why_not
            and any(registry.by_key(step.method).needs(step.params) for step in trial.steps)
        ]  # fmt: skip

    assert any("error feedback" in setting for setting in needing(True))
    assert needing(False) == []
    assert any("samples" in trial.why_not for trial in trials(small, samples=False))


def test_layers_that_a_run_time_form_does_not_handle_are_stored_in_8_bits(small: Model) -> None:
    packed = next(trial for trial in trials(small) if trial.method == "Packed Linear weights")
    recipe = packed.recipe(small)
    kinds = {str(layer.kind): recipe.steps_for(layer.name)[0].method for layer in small.layers}
    assert kinds == {"Conv": "quantize:affine", "Linear": "quantize:nbits"}
    assert packed.setting.endswith("int8 elsewhere")


def test_a_method_without_a_layer_says_why(small: Model) -> None:
    embedding = [trial for trial in trials(small) if trial.method == "Packed embedding"]
    assert embedding and all("does not handle" in trial.why_not for trial in embedding)


def test_recipes_survive_their_text(small: Model) -> None:
    for trial in trials(small):
        recipe = trial.recipe(small)
        assert Recipe.parse(recipe.dump(), model=small) == recipe
    graph = next(trial for trial in trials(small) if trial.family == "Activations").recipe(small)
    assert graph.graph and not graph.defaults


def test_of_a_large_model_fewer_levels_are_tried(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    many = trials(small)
    monkeypatch.setattr(module, "LARGE", 10)
    few = trials(small)
    assert {trial.method for trial in few} == {trial.method for trial in many}
    assert len(few) < 0.8 * len(many)


@dataclass(frozen=True)
class _ThirdsParams:
    thirds: int = param(1, "Thirds", minimum=1, maximum=3, grid=(1, 2, 3))


class _Thirds(QuantizeAffine):
    scheme = "thirds"
    title = "Thirds"
    default = False
    Params = _ThirdsParams

    def needs(self, params: Any) -> frozenset[Any]:
        return frozenset()

    def label(self, params: Any) -> str:
        return f"thirds {params.thirds}"


def test_a_new_method_is_tried_without_a_word_here(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = (*registry.all_methods(), _Thirds())
    monkeypatch.setattr(registry, "all_methods", lambda: methods)
    monkeypatch.setattr(registry, "by_key", {method.key: method for method in methods}.__getitem__)
    settings = [trial.setting for trial in trials(small) if trial.method == "Thirds"]
    assert sorted(settings) == ["thirds 1", "thirds 2", "thirds 3"]
    assert _Thirds.stage is Stage.WEIGHTS


def test_paths_do_not_matter_for_the_key_of_a_recipe(small: Model, tmp_path: Path) -> None:
    trial = trials(small)[0]
    assert recipe_key(trial.recipe(small)) == recipe_key(trial.recipe(small))
    assert recipe_key(trial.recipe(small)) != recipe_key(trials(small)[1].recipe(small))
