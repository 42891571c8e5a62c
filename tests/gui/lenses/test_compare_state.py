from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from core.analysis.comparison import Answer, ClassResult, Comparison, SampleResult
from core.analysis.metrics import Task
from gui.charts.pairs import Pair
from gui.lenses.compare_state import (
    ErrorView,
    LiveRun,
    accuracy_words,
    agreement_words,
    answer_pairs,
    budget_words,
    class_pairs,
    live_view,
    missing_words,
    sample_words,
    score_word,
)


def comparison(**words: Any) -> Comparison:
    return Comparison(**{
        "n": 20, "source": "data.npz", "task": Task.CLASSES, "no_accuracy": "", "output_sqnr_db": 31.0,
        "max_relative": 0.1, "outputs": (), "samples": (), **words,
    })


def test_a_live_run_counts_what_was_planned() -> None:
    run = LiveRun(("a", "b", "c"))
    run = run.with_layer(SimpleNamespace(name="b", skipped=""))  # type: ignore[arg-type]
    run = run.with_layer(SimpleNamespace(name="other", skipped="")).with_error("b", 35.0)  # type: ignore[arg-type]
    run = run.with_layer(SimpleNamespace(name="c", skipped="too small"))  # type: ignore[arg-type]
    view = live_view(run)
    assert run.done == 2
    assert np.isnan(view.db[[0, 2]]).all() and view.db[1] == 35.0
    assert view.reasons == {"c": "left as it is: too small"}


def test_the_first_layer_below_the_budget_is_named() -> None:
    view = ErrorView(("a", "b", "c", "d"), np.array([40.0, 28.13, np.nan, 12.0]))
    assert view.over(30.0) == (1, 3)
    assert budget_words(view, 30.0, {}) == "first below 30 dB: b (28.1 dB), 1 more"
    assert "encoder.b (28.1 dB)" in budget_words(view, 30.0, {"b": "encoder.b"})
    assert budget_words(view, 10.0, {"a": "first"}) == "no layer is below 10 dB"
    assert budget_words(ErrorView(("a",), np.array([np.nan])), 30.0, {}) == ""


def test_answers_of_both_models_side_by_side() -> None:
    pairs = answer_pairs(Answer((3, 1), (0.9, 0.1)), Answer((1, 2), (0.6, 0.3)), ("zero", "one"))
    none = "not in its top 2"
    assert pairs == (Pair("3", 0.9, None, unknown=none), Pair("one", 0.1, 0.6, unknown=none),
                     Pair("2", None, 0.3, unknown=none))
    assert answer_pairs(None, None, ()) == ()


def test_the_compressed_models_answer_is_always_among_them() -> None:
    before = Answer((0, 1, 2, 3), (4.0, 3.0, 2.0, 1.0))
    pairs = answer_pairs(before, Answer((7, 0, 1, 2), (2.0, 1.0, -1.0, -2.0)), ())
    assert [(pair.name, pair.before, pair.after) for pair in pairs] == [
        ("0", 4.0, 1.0), ("1", 3.0, -1.0), ("2", 2.0, -2.0), ("7", None, 2.0)
    ]


def test_scores_that_may_be_shares_of_one_are_probabilities() -> None:
    def samples(*scores: float) -> tuple[SampleResult, ...]:
        return (SampleResult(0, "sample 0", 30.0, before=Answer(tuple(range(len(scores))), scores)),)

    assert score_word(samples(0.75, 0.25)) == "probability"
    assert score_word(samples(0.9, 0.8)) == "score"
    assert score_word(samples(0.5, -0.5)) == "score"
    assert sample_words(samples(4.0)[0], 0, 1, "score").endswith(" · score before {before} after {after}")


def test_what_cannot_be_measured_says_why() -> None:
    nan = float("nan")
    reasons = dict.fromkeys(("a", "b"), "no float output")
    view = ErrorView(("a", "b", "c", "d"), np.array([nan, nan, nan, 40.0]), reasons)
    assert missing_words(view) == "2 cannot be measured (no float output)"
    view = ErrorView(view.names, view.db, {**reasons, "c": "never runs", "d": "has a value"})
    assert missing_words(view) == "3 cannot be measured (mostly no float output)"
    folded = {name: f"it goes into the layer '{name}.w' on export" for name in ("a", "b")}
    view = ErrorView(view.names, view.db, folded)
    assert missing_words(view) == "2 cannot be measured (it goes into the layer on export)"


def test_classes_come_with_counts() -> None:
    found = comparison(classes=(ClassResult(0, "cat", 8, 1.0, 0.75),), changed=2, newly_wrong=2, newly_right=0)
    assert class_pairs(found) == (Pair("cat", 1.0, 0.75, "8 of 8 right before, 6 after"),)
    words = accuracy_words(found)
    assert words.startswith("measured on 20 labelled samples · 2 answers changed, 2 newly wrong · ")
    assert "worse" in words and "newly right" not in words


def test_without_labels_agreement_or_error_is_told() -> None:
    assert agreement_words(comparison(agreement=0.95)) == "Both models give the same answer in 95.0 % of 20 samples."
    assert agreement_words(comparison()) == "The SQNR over all outputs is 31.0 dB, on 20 samples."
