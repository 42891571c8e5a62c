"""Every metric against figures worked out another way; and a person's own, which runs only when it is allowed."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from core.analysis.metrics import kl_divergence, sqnr_db
from core.analysis.task_metrics.base import Facts, Unit, drop, drop_text, facts_from, value_text
from core.analysis.task_metrics.own import OwnCallable, OwnMetric, stacked
from core.analysis.task_metrics.registry import all_metrics, choose, find_metric, fitting
from core.analysis.task_metrics.text import alphabet, edit_distance, read_text
from core.data.options import DataOptions
from core.errors import DataError, ParameterError
from core.own_code import find_source

RANDOM = np.random.default_rng(7)
LABELS = RANDOM.integers(0, 8, 40)
BEFORE = RANDOM.normal(size=(40, 1, 8)).astype(np.float32)
AFTER = (BEFORE + RANDOM.normal(size=BEFORE.shape) * 0.7).astype(np.float32)


def facts(labels: np.ndarray | None, outputs: np.ndarray = BEFORE, name: str = "logits", **metadata: str) -> Facts:
    return facts_from([name], [outputs[0]], labels, metadata)


def values(name: str, labels: np.ndarray | None = LABELS, before: np.ndarray = BEFORE, after: np.ndarray = AFTER,
           output: str = "logits") -> tuple[float, float]:  # fmt: skip
    metric = find_metric(name)(facts(labels, before, output))
    for i in range(len(before)):
        metric.add(i, [before[i]], [after[i]])
    return metric.values()


def test_classes() -> None:
    guess = BEFORE[:, 0].argmax(1), AFTER[:, 0].argmax(1)
    assert values("accuracy") == tuple(pytest.approx(np.mean(g == LABELS)) for g in guess)
    assert find_metric("top1") is find_metric("accuracy")
    order = [np.argsort(-o[:, 0], axis=1)[:, :5] for o in (BEFORE, AFTER)]
    assert values("top5") == tuple(pytest.approx(np.mean([label in o for label, o in zip(LABELS, five, strict=True)]))
                                   for five in order)  # fmt: skip


def test_f1_weighs_classes_alike() -> None:
    labels = np.array([0, 0, 0, 1])
    scores = np.array([[[1.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0]]], np.float32)
    # class 0: precision 1, recall 2/3; class 1: precision 1/2, recall 1
    assert values("f1", labels, scores, scores)[0] == pytest.approx((0.8 + 2 / 3) / 2)


def test_regression() -> None:
    labels = RANDOM.normal(size=(40, 8)).astype(np.float32)
    for name, loss in (("mse", np.square), ("mae", np.abs)):
        expected = tuple(pytest.approx(float(loss(o[:, 0].astype(float) - labels).mean())) for o in (BEFORE, AFTER))
        assert values(name, labels) == expected
    expected = tuple(pytest.approx(np.corrcoef(o.ravel(), labels.ravel())[0, 1]) for o in (BEFORE, AFTER))
    assert values("label_correlation", labels) == expected
    assert math.isnan(values("mse", labels, BEFORE, np.full_like(AFTER, np.nan))[1])
    assert math.isnan(values("label_correlation", np.ones_like(labels))[0])  # constant labels


def test_likeness() -> None:
    assert values("agreement", None) == (1.0, pytest.approx(np.mean(BEFORE.argmax(-1) == AFTER.argmax(-1))))
    divergences = [kl_divergence(a, b) for a, b in zip(BEFORE, AFTER, strict=True)]
    assert values("kl", None) == (0.0, pytest.approx(np.mean(divergences)))
    assert values("sqnr", None)[1] == pytest.approx(sqnr_db(BEFORE, AFTER), abs=1e-4)
    assert values("correlation", None)[1] == pytest.approx(np.corrcoef(BEFORE.ravel(), AFTER.ravel())[0, 1], abs=1e-6)
    first, second = 1 / (1 + np.exp(-BEFORE)), 1 / (1 + np.exp(-AFTER))
    above = first > 0.5, second > 0.5
    assert values("overlap", None, first, second)[1] == pytest.approx((above[0] & above[1]).sum()
                                                                     / (above[0] | above[1]).sum())  # fmt: skip
    assert values("decisions", None, first, second)[1] == pytest.approx(np.mean(above[0] == above[1]))


@pytest.mark.parametrize(
    ("labels", "outputs", "name", "wanted"),
    [
        (LABELS, BEFORE, "y", "accuracy"),
        (None, BEFORE, "logits", "agreement"),
        (LABELS + 8, BEFORE, "logits", "agreement"),  # classes that the output does not have
        (RANDOM.normal(size=(40, 8)), BEFORE, "y", "mse"),
        (None, RANDOM.normal(size=(40, 1, 3)), "y", "correlation"),
        (None, RANDOM.normal(size=(40, 1, 24)), "y", "similarity"),
        (None, RANDOM.normal(size=(40, 1, 24)), "probabilities", "agreement"),
        (None, RANDOM.normal(size=(40, 5, 24)), "y", "correlation"),  # no vector
        (None, np.ones((40, 1, 24)) * np.arange(1, 41)[:, None, None], "y", "correlation"),  # no order
        (None, RANDOM.random((40, 1, 1)), "y", "decisions"),
        (None, RANDOM.random((40, 1, 9)), "y", "overlap"),
    ],
)
def test_what_auto_means(labels: np.ndarray | None, outputs: np.ndarray, name: str, wanted: str) -> None:
    choice = choose(facts(labels, outputs, name), DataOptions(), where="data.npz")
    assert choice is not None
    metric = choice.start()
    for i in range(40):
        metric.add(i, [outputs[i]], [outputs[i]])
    score = metric.score()
    assert score.metric == wanted and score.drop == 0.0 and score.drop_text == "unchanged"


def test_models_without_floats_have_no_metric() -> None:
    found = facts(None, np.zeros((2, 1, 3), np.int64))
    assert fitting(found) is None and choose(found, DataOptions(), where="") is None
    assert all(metric.why_not(found) for metric in all_metrics())


def test_what_cannot_be_measured_says_why_and_what_can() -> None:
    with pytest.raises(DataError, match=r"'mse' cannot be measured: the labels are class numbers, not floats; choose "
                                        r"auto or accuracy, top5, f1, agreement"):  # fmt: skip
        choose(facts(LABELS), DataOptions(metric="mse"), where="data.npz")
    with pytest.raises(DataError, match="the samples have no labels"):
        choose(facts(None), DataOptions(metric="accuracy"), where="data.npz")
    with pytest.raises(ParameterError, match="there is no metric 'bleu'"):
        choose(facts(None), DataOptions(metric="bleu"), where="data.npz")
    few = facts(np.array([0, 1]), np.zeros((2, 1, 2), np.float32))
    assert "tells 2 classes apart" in find_metric("top5").why_not(few)
    assert "a label holds 3 numbers" in find_metric("mae").why_not(facts(np.ones((40, 3))))


def test_text_is_read_with_the_models_own_alphabet() -> None:
    spelling, assumed = alphabet({"character": "a\nb\nc\n"}, 5)
    assert spelling == ("", "a", "b", "c", " ") and "last class for the space" in assumed
    assert alphabet({"character": "a\nb\nc"}, 4)[0] == ("", "a", "b", "c")
    unknown = alphabet({"character": "a\nb\nc"}, 9)
    assert unknown == ((), "the labels are text, and the model lists 3 characters for 9 classes")
    steps = np.eye(5, dtype=np.float32)[[1, 1, 0, 1, 4, 2, 2, 0]][None]
    assert read_text(steps, spelling) == "aa b"
    assert [edit_distance(*pair) for pair in (("kitten", "sitting"), ("", "abc"), ("same", "same"))] == [3, 3, 0]
    metric = find_metric("characters")(facts(np.array(["aa b"]), steps[None], "softmax", character="a\nb\nc"))
    metric.add(0, [steps], [np.roll(steps, 1, axis=-1)])
    before, after = metric.values()
    assert before == 1.0 and after < 0.5 and "greedy CTC" in metric.score().assumed


@pytest.mark.parametrize(
    ("unit", "reference", "value", "lost", "text"),
    [
        (Unit.SHARE, 0.98, 0.972, 0.8, "-0.80 points"),
        (Unit.SHARE, 0.9, 0.95, -5.0, "+5.00 points"),
        (Unit.ERROR, 2.0, 2.1, 5.0, "+5.00 % error"),
        (Unit.ERROR, 0.0, 0.1, math.inf, "no longer defined"),
        (Unit.ERROR, 0.0, 0.0, 0.0, "unchanged"),
        (Unit.NATS, 0.0, 0.02, 2.0, "+0.02 nats"),
        (Unit.DECIBEL, math.inf, 20.0, 1.0, "1 % error power"),
        (Unit.DECIBEL, math.inf, math.inf, 0.0, "unchanged"),
        (Unit.DECIBEL, math.inf, -math.inf, math.inf, "no longer defined"),
        (Unit.SCORE, 0.5, 0.4, 10.0, "-10.00 points"),
        (Unit.SCORE, 20.0, 19.0, 5.0, "-5.00 %"),
        (Unit.SHARE, 0.9, math.nan, math.inf, "no longer defined"),
    ],
)
def test_what_a_drop_is(unit: Unit, reference: float, value: float, lost: float, text: str) -> None:
    assert drop(unit, reference, value) == pytest.approx(lost)
    assert drop_text(unit, reference, value) == text
    assert value_text(unit, math.nan) == "undefined"


def test_labels_that_do_not_fit_are_told_where_the_metric_is_chosen() -> None:
    choice = choose(facts(LABELS + 500), DataOptions(), where="d.npz")
    assert choice is not None
    metric = choice.start()
    metric.add(0, [BEFORE[0]], [AFTER[0]])
    assert metric.score().assumed.startswith("The labels are not used: the labels go up to class 5")
    fitting = choose(facts(LABELS), DataOptions(), where="d.npz")
    assert fitting is not None and not fitting.note


# ---- a person's own

CODE = """
import pathlib
pathlib.Path(__file__).with_name("ran").touch()

def right(outputs, labels, inputs):
    return (outputs["logits"].argmax(1) == labels).mean()

def error(outputs, labels, inputs):
    return float(abs(outputs["logits"]).mean())
error.higher_is_better = False

def broken(outputs, labels, inputs):
    x = {}
    return x["nothing"]

def words(outputs, labels, inputs):
    return "good"

def interrupts(outputs, labels, inputs):
    raise KeyboardInterrupt

def huge(outputs, labels, inputs):
    return 10 ** 400

def undefined(outputs, labels, inputs):
    return float("nan")

print("loaded")

def prints(outputs, labels, inputs):
    print("called")
    return 1.0
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE, encoding="utf-8")
    return path


def own(path: Path, name: str) -> OwnCallable:
    text = f"{path}:{name}"
    return OwnCallable(DataOptions(metric_callable=text, confirmed=find_source(text).sha256))


def measured(function: OwnCallable) -> OwnMetric:
    metric = OwnMetric(facts(LABELS), function)
    for i in range(40):
        metric.add(i, [BEFORE[i]], [AFTER[i]])
    return metric


def test_nothing_runs_without_confirmation(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = code.with_name("ran")
    monkeypatch.chdir(code.parent)
    for text in (f"{code}:right", "mine:right"):
        source = find_source(text)
        assert source.file == code and source.callable == "right"
        with pytest.raises(ParameterError, match=r"right in mine\.py was not allowed to run"):
            choose(facts(LABELS), DataOptions(metric_callable=text), where="data.npz")
    confirmed = find_source(f"{code}:right").sha256
    code.write_text(CODE + "\n# changed", encoding="utf-8")
    with pytest.raises(ParameterError, match=r"mine\.py has changed since"):
        OwnCallable(DataOptions(metric_callable=f"{code}:right", confirmed=confirmed))
    assert not ran.exists() and "mine" not in sys.modules
    own(code, "right")
    assert ran.exists()


def test_packages_are_found_without_importing_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "bundle"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    (package / "inner.py").write_text("def f(o, l, i): return 1", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert find_source("bundle.inner:f").file == package / "inner.py"
    assert "bundle" not in sys.modules
    for text in ("bundle.none:f", "nowhere:f", "no callable", f"{tmp_path}/gone.py:f", "sys:exit"):
        with pytest.raises(ParameterError):
            find_source(text)


def test_own_metrics_get_everything(code: Path) -> None:
    score = measured(own(code, "right")).score()
    assert score.value == pytest.approx(np.mean(AFTER[:, 0].argmax(1) == LABELS))
    assert score.reference == pytest.approx(np.mean(BEFORE[:, 0].argmax(1) == LABELS))
    assert score.words == "right in mine.py" and score.unit is Unit.SCORE
    assert measured(own(code, "error")).score().unit is Unit.ERROR


def test_the_original_is_measured_once(code: Path) -> None:
    function = own(code, "right")
    first = measured(function).score()
    again = OwnMetric(facts(LABELS), function)
    again.add(0, [], [AFTER[0]])  # no longer needs what the original gave
    assert again.values()[0] == first.reference


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("broken", r"mine\.py, line 14: the metric failed: KeyError: 'nothing'"), ("words", "gave str, not a number"),
     ("interrupts", r"mine\.py, line 20: the metric failed: KeyboardInterrupt"),
     ("huge", "gave a number too large for a float"),
     ("undefined", r"undefined in mine\.py gives nan for the original model")],
)
def test_errors_of_own_metrics_name_the_line(code: Path, name: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        measured(own(code, name)).score()


def test_what_own_metrics_print_is_no_part_of_the_answer(code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured(own(code, "prints")).score()
    out, err = capsys.readouterr()
    assert out == "" and err.split() == ["loaded", "called", "called"]


def test_code_that_cannot_be_loaded(code: Path) -> None:
    with pytest.raises(ParameterError, match="has no callable 'missing'"):
        own(code, "missing")
    code.write_text("def f(:\n  pass", encoding="utf-8")
    with pytest.raises(DataError, match=r"mine\.py, line 1: the metric cannot be loaded: SyntaxError"):
        own(code, "f")


def test_stacking_keeps_what_differs() -> None:
    assert isinstance(stacked([np.ones((1, 2)), np.ones((1, 2))]), np.ndarray)
    assert np.shape(stacked([np.ones((2, 3))] * 4)) == (4, 2, 3)
    assert isinstance(stacked([np.ones((1, 2)), np.ones((1, 3))]), list)
