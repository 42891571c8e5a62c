"""The table as CSV and for a terminal; the command; bad input."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from core import cli
from core.errors import Cancelled, ModelFileError, ParameterError
from core.method_comparison.job import MethodsSpec, compare_methods
from core.method_comparison.page import page
from core.method_comparison.recommend import recommend
from core.method_comparison.rows import Baseline, Row, Status, Study, Times
from core.method_comparison.run import _with_common_original
from core.method_comparison.tables import COLUMNS, _cell, csv_text, family_text, save_csv, study_data, terminal_text
from core.progress import Progress, Reporter


@pytest.fixture
def study(make_row: Callable[..., Row], make_study: Callable[..., Study]) -> Study:
    failed = Row("f", "Pruning", "Prune", "=prune", "#", Status.FAILED, "the export differs; it's \"odd\", really")
    return make_study(make_row("int8", 0.26, 0.0, 40.0, baseline=Baseline.INT8), make_row("int4", 0.14, 0.8), failed)


def test_csv_reads_back(study: Study) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(study, recommend(study)))))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 4
    assert rows[0]["output_sqnr_db"] == "inf" and rows[0]["share_of_file"] == "1.0"
    assert rows[1]["recommended"] == "1" and rows[1]["bytes"] == "260000" and rows[1]["latency_ms"] == "1.0"
    assert rows[3]["reason"] == "the export differs; it's \"odd\", really" and rows[3]["bytes"] == ""
    assert rows[3]["setting"] == "'=prune"  # a spreadsheet would compute it


def test_csv_is_written_for_spreadsheets(study: Study, tmp_path: Path) -> None:
    save_csv(study, recommend(study), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbffamily,method")


def test_the_terminal_has_rows_and_reasons(study: Study) -> None:
    text = terminal_text(study, recommend(study))
    assert "26.0%" in text and "failed, the export differs" in text and text.index("int4") < text.index("int8")
    assert json.dumps(study_data(study, recommend(study)), allow_nan=False)


@pytest.mark.usefixtures("cheap")
def test_the_command_compares_and_writes(
    small_path: Path, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    target = tmp_path / "t.csv"
    code = cli.main(["compare", str(small_path), "--methods", "--data", str(data_path), "--families", "activations",
                     "--csv", str(target), "--json", "--quiet"])  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    assert code == 0 and found["rows"][1]["baseline"] == "uniform int8" and found["samples"] == 12
    assert found["recommendation"]["headline"] and target.read_text(encoding="utf-8-sig").startswith("family,")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["a.onnx", "b.onnx"], "comparing two models needs data; give --data."),
        (["a.onnx"], "there is nothing to compare with; give a second model, or --methods."),
        (["a.onnx", "b.onnx", "--methods"], "--methods takes one model"),
        (["a.onnx", "b.onnx", "--data", "d.npz", "--csv", "t.csv"], "--csv goes with --methods"),
        (["a.onnx", "--methods", "--minutes", "-1"], "the time is -1 minutes; give a number above 0."),
        (["a.onnx", "--methods", "--families", "magic"], "there is no family 'magic'"),
    ],
)
def test_wrong_words_get_a_sentence(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", *argv, "--quiet"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("cheap")
def test_a_cancel_writes_what_was_found(small_path: Path, data_path: Path, tmp_path: Path) -> None:
    import threading

    cancel, target = threading.Event(), tmp_path / "t.csv"

    def hear(progress: Progress) -> None:
        if isinstance(progress.part, Row):
            cancel.set()

    spec = MethodsSpec(str(small_path), str(data_path), csv=str(target), cache=str(tmp_path / "cache"))
    with pytest.raises(Cancelled, match="what was found until then is kept"):
        compare_methods(spec, Reporter(hear, cancel))
    assert target.read_text(encoding="utf-8-sig").count("\n") == 2


@pytest.mark.parametrize(
    ("value", "cell"),
    [("-0.23 points", "-0.23 points"), ("+1.20 %", "+1.20 %"), ("-1e-05 nats", "-1e-05 nats"), ("=1+1", "'=1+1"),
     ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"), ("@x", "'@x")],
)  # fmt: skip
def test_figures_are_no_formulas(value: str, cell: str) -> None:
    assert _cell(value) == cell


def test_a_comparison_that_was_stopped_says_so() -> None:
    study = Study("m", "", 1000, (Row("original", "", "Original", "", baseline=Baseline.ORIGINAL, nbytes=1000),),
                  complete=False)  # fmt: skip
    assert "This comparison is not complete" in page(study, recommend(study))
    assert "This comparison is not complete" not in page(replace(study, complete=True), recommend(study))


def test_the_original_is_once_as_fast_as_itself_and_timed_with_the_others() -> None:
    rows = [
        Row(str(i), "", "", "", times=Times(1.0, 1.0, 1.0, median, median, median))
        for i, median in enumerate((0.01, 4.0, 6.0, 5.0))
    ]
    times = _with_common_original(rows)[0].times
    assert times is not None and (times.median, times.ratio) == (5.0, 1.0)
    assert _with_common_original(rows[:1]) == tuple(rows[:1])


def test_a_plan_has_a_family() -> None:
    assert family_text(Row("p", "", "The plan", "", baseline=Baseline.PLAN)) == "Plan"


def test_a_model_without_layers_says_so(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value("x", TensorProto.FLOAT, [1])],
                              [value("y", TensorProto.FLOAT, [1])])  # fmt: skip
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "n.onnx")
    with pytest.raises(ModelFileError, match="no weights were found"):
        compare_methods(MethodsSpec(str(tmp_path / "n.onnx")))
    with pytest.raises(ParameterError, match="no family"):
        compare_methods(MethodsSpec(str(tmp_path / "n.onnx"), families=("magic",)))


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_samples_are_enough_to_try(
    small_path: Path, tmp_path: Path, count: int, only: Callable[[int], None]
) -> None:
    only(3)
    np.savez(tmp_path / "d.npz", x=np.ones((count, 3, 8, 8), np.float32))
    study = compare_methods(MethodsSpec(str(small_path), str(tmp_path / "d.npz"), cache=str(tmp_path / "cache")))
    assert study.samples == 1 and study.measured
    assert any("one sample only" in text for text in recommend(study).cautions)


def test_the_page_stands_alone_and_takes_names_literally(study: Study, tmp_path: Path) -> None:
    from core.method_comparison.page import page, save_html

    odd = replace(study, model_name="<script>.onnx", rows=(*study.rows, replace(study.rows[1], setting="a<b&'c'")))
    text = page(odd, recommend(odd))
    assert "<script>.onnx" not in text and "a&lt;b&amp;" in text
    assert "Use Method of Quantization, int8" in text and "the export differs" in text
    assert "<title>Method of Quantization, int4: 14.0%, 25.0 dB</title>" in text and text.count("<svg") >= 2
    save_html(study, recommend(study), tmp_path / "t.html")
    assert (tmp_path / "t.html").read_text().startswith("<!")


def test_a_page_without_data_has_no_chart(make_row: Callable[..., Row], make_study: Callable[..., Study]) -> None:
    from core.method_comparison.page import page

    study = make_study(make_row("int8", 0.26, None))
    text = page(study, recommend(study))
    assert "<figure" not in text and "Without data" in text and "int8" in text
