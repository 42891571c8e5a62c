from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from core.recipe import Recipe, Step
from gui.inspector.summary import level_words, plan_words, share_words, similar, summarize
from gui.session import Session

INT8, INT4 = Step.make("quantize", bits=8), Step.make("quantize", bits=4)


def test_nothing_selected_has_no_summary(session: Session) -> None:
    assert summarize(None, None, ("a",)) is None
    assert summarize(session.model, session.recipe, ()) is None


def test_one_layer(session: Session) -> None:
    found = summarize(session.model, Recipe(defaults=(INT8,)), ("conv.weight",))
    assert found is not None
    assert found.title == "conv"
    assert found.facts.startswith("Conv 8×3×3×3 · 216 weights · 864 B · ")
    assert found.facts.endswith("% of the file")
    assert found.steps == (INT8,)


def test_several_layers_with_the_same_steps(session: Session) -> None:
    found = summarize(session.model, Recipe(defaults=(INT8,)), ("conv.weight", "pointwise.weight", "fc.weight"))
    assert found is not None
    assert found.title == "3 layers"
    assert found.facts.startswith("2 Conv, 1 Linear · 408 weights · 1.6 kB")
    assert found.steps == (INT8,)


def test_several_layers_with_different_steps(session: Session) -> None:
    recipe = Recipe(defaults=(INT8,), layers=(("fc.weight", (INT4,)),))
    found = summarize(session.model, recipe, ("fc.weight", "conv.weight", "pointwise.weight"))
    assert found is not None
    assert found.steps is None
    assert [(v.words(), v.layers) for v in found.variants] == [
        ("int8", ("conv.weight", "pointwise.weight")), ("int4", ("fc.weight",))
    ]


def test_similar_layers_leave_out_what_adds_nothing(session: Session) -> None:
    assert session.model is not None
    found = summarize(session.model, Recipe(), ("conv.weight",))
    assert found is not None
    assert [(words, len(names)) for words, names in similar(found, session.model.layers)] == [
        ("All Conv layers", 2), ("All layers", 4)
    ]


def test_words() -> None:
    assert plan_words(()) == "keep"
    assert plan_words((Step.make("prune", ratio=0.6), INT4)) == "prune 60 % + int4"
    assert [share_words(s) for s in (0.0, 0.0001, 0.004, 0.12, 1.0)] == ["0 %", "< 0.1 %", "0.4 %", "12 %", "100 %"]


def test_a_zero_that_pruning_adds_is_told_apart() -> None:
    def words(values: int, *steps: Step) -> str:
        return level_words(SimpleNamespace(levels=np.arange(values) - 1.0), steps)  # type: ignore[arg-type]

    prune, book = Step.make("prune"), Step.make("quantize", scheme="codebook", bits=2)
    assert words(5, prune, book) == "4 levels + zero"
    assert words(4, prune, book) == "4 levels"
    assert words(1, book) == "1 level"
