"""What is recommended, and that its reasons, its doubts and what loses are said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.method_comparison.recommend import Aim, Recommendation, pareto, recommend
from core.method_comparison.rows import Baseline, Row, Status, Study

RowMaker = Callable[..., Row]
StudyMaker = Callable[..., Study]


@pytest.fixture
def usual(make_row: RowMaker, make_study: StudyMaker) -> Study:
    return make_study(
        make_row("int8", 0.26, 0.0, 40.0, baseline=Baseline.INT8),
        make_row("int5", 0.17, 0.0, 28.0),
        make_row("int4", 0.14, 0.8, 22.0),
        make_row("int2", 0.08, 30.0, 4.0),
        make_row("prune 50 %", 0.20, 0.5, 20.0, family="Pruning"),
        make_row("rank 50 %", 0.40, 12.0, 8.0, family="Low rank"),
        make_row("static", 0.27, 0.2, 33.0, ratio=0.5, memory=20_000_000),
    )


def _pick(advice: Recommendation, aim: Aim) -> tuple[str, str]:
    return next((pick.key, pick.text) for pick in advice.picks if pick.aim is aim)


def test_the_smallest_that_loses_nothing_is_recommended(usual: Study) -> None:
    advice = recommend(usual)
    assert advice.key == "int5"
    assert advice.headline == (
        "Use Method of Quantization, int5: 170.0 kB, 17.0 % of the file, accuracy (top-1) 95.00 % (unchanged), "
        "output SQNR 28.0 dB."
    )
    assert any("Uniform int8, the usual choice, takes 260.0 kB, 26.0 %" in reason for reason in advice.reasons)
    assert any("loss of 1 point gets 140.0 kB" in reason for reason in advice.reasons)
    assert any("saves disk and download, not time" in reason for reason in advice.reasons)


def test_each_aim_has_its_pick(usual: Study) -> None:
    advice = recommend(usual)
    assert _pick(advice, Aim.LOSSLESS)[0] == "int5" and _pick(advice, Aim.SMALL)[0] == "int4"
    key, text = _pick(advice, Aim.FAST)
    assert key == "static" and "0.5 ms against 1 ms (50 % of the time)" in text
    assert _pick(advice, Aim.MEMORY) == ("static", "Method of Quantization, static: 20.00 MB against 50.00 MB")


def test_what_loses_is_named_with_what_it_lacks(usual: Study) -> None:
    pruning, low_rank = recommend(usual).losing
    assert pruning.startswith("Pruning: within 1 point its smallest is Method of Pruning, prune 50 % at 200.0 kB")
    assert pruning.endswith("1.2 times the recommended file.")
    assert low_rank.startswith("Low rank: even Method of Low rank, rank 50 % costs too much (accuracy (top-1) 83.00 %")


def test_no_loss_far_from_the_original_is_taken_for_luck(make_row: RowMaker, make_study: StudyMaker) -> None:
    lucky = make_row("int3", 0.10, -2.0, 6.0)
    advice = recommend(make_study(lucky, make_row("int5", 0.17, 0.0, 28.0)))
    assert advice.key == "int5" and _pick(advice, Aim.SMALL)[0] == "int3"
    assert "far from the original's" in _pick(advice, Aim.SMALL)[1]


def test_times_that_overlap_are_no_gain(make_row: RowMaker, make_study: StudyMaker) -> None:
    row = make_row("int5", 0.17, 0.0, ratio=0.8, scatter=0.3)
    study = make_study(row)
    advice = recommend(replace(study, rows=(replace(study.rows[0], times=row.times), row)))
    key, text = _pick(advice, Aim.FAST)
    assert key == "" and "none is measurably faster" in text
    assert any("Times scatter" in caution for caution in advice.cautions)


def test_few_samples_are_a_caution(make_row: RowMaker, make_study: StudyMaker) -> None:
    few = recommend(make_study(make_row("int5", 0.17, 0.0, samples=20))).cautions
    assert any("may lose up to 15.0 points elsewhere" in text and "Load more" in text for text in few)
    many = recommend(make_study(make_row("int5", 0.17, 0.0, samples=1_000))).cautions
    assert any("up to 0.3 points" in text and "Load more" not in text for text in many)


def test_a_correlation_is_no_count(make_row: RowMaker, make_study: StudyMaker) -> None:
    row = make_row("int5", 0.17, 0.0, samples=20)
    assert row.quality is not None
    study = make_study(replace(row, quality=replace(row.quality, counted=False)))
    assert recommend(study).cautions[0] == "Measured on 20 samples. Load more before relying on it."


def test_one_sample_is_judged_by_the_outputs(make_row: RowMaker, make_study: StudyMaker) -> None:
    rows = make_row("int8", 0.26, 0.0, 40.0, samples=1), make_row("int2", 0.08, 0.0, 4.0, samples=1)
    advice = recommend(make_study(*rows))
    assert advice.key == "int8" and any("one sample only" in text for text in advice.cautions)


def test_a_metric_that_never_moves_is_not_believed(make_row: RowMaker, make_study: StudyMaker) -> None:
    rows = [make_row(f"int{bits}", bits / 32, 0.0, 6.0 * bits) for bits in (8, 5, 2)]
    advice = recommend(make_study(*rows))
    assert advice.key == "int5" and any("is the same for every setting" in text for text in advice.cautions)


def test_where_nothing_serves_the_nearest_is_named(make_row: RowMaker, make_study: StudyMaker) -> None:
    advice = recommend(make_study(make_row("int4", 0.14, 9.0, 5.0), make_row("int2", 0.08, 60.0, 1.0)))
    assert advice.key == "" and "nearest is Method of Quantization, int4 (-9.00 points)" in advice.headline


def test_broken_outputs_are_never_picked(make_row: RowMaker, make_study: StudyMaker) -> None:
    advice = recommend(make_study(make_row("fp8", 0.26, 0.0, float("-inf")), make_row("int8", 0.27, 0.0, 40.0)))
    assert advice.key == "int8" and _pick(advice, Aim.SMALL)[0] == "int8" and "fp8" not in advice.pareto


def test_without_data_nothing_is_recommended(make_row: RowMaker, make_study: StudyMaker) -> None:
    advice = recommend(make_study(make_row("int8", 0.26, None), notes=("No data: only sizes.",)))
    assert advice.key == "" and "Without data" in advice.headline and advice.cautions == ("No data: only sizes.",)
    assert recommend(make_study()).headline == "Nothing has been measured yet."


def test_what_was_not_tried_is_said(usual: Study) -> None:
    missing = replace(usual.rows[1], key="x", status=Status.NOT_TRIED, reason="the time was over", nbytes=None)
    advice = recommend(replace(usual, rows=(*usual.rows, missing)))
    assert any("1 setting was not tried" in text for text in advice.cautions)


def test_the_pareto_set_holds_no_row_that_another_beats(usual: Study) -> None:
    keys = pareto(usual.measured)
    assert keys == {"int2", "int4", "int5", "int8"}
