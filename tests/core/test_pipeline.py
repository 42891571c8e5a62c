"""The pipeline: order, one layer's trouble its own, progress, cancelling, the same bytes from any number of threads."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from core.analysis.metrics import sqnr_db
from core.encoding import Float
from core.encoding.counting import emitted_size
from core.errors import Cancelled, LayerSkipped, ModelFileError
from core.methods.base import Context
from core.methods.quantize_affine import QuantizeAffine
from core.model.readers import open_model
from core.pipeline import apply_steps, compress
from core.progress import Progress, Reporter
from core.recipe import Recipe, Step

INT8 = Recipe(defaults=(Step.make("quantize"),))


@pytest.fixture
def deep(make_model) -> Callable[..., Path]:
    """deep(weights) -> a file with one MatMul after the other over square weights."""

    def make(weights: dict[str, np.ndarray]) -> Path:
        size = next(iter(weights.values())).shape[0]
        values = ["x", *(f"h{i}" for i in range(1, len(weights))), "y"]
        ends = zip(values, weights, values[1:], strict=False)
        nodes = [helper.make_node("MatMul", [a, name], [b], name=f"n{a}") for a, name, b in ends]
        return make_model(nodes, weights, {"x": [1, size]}, {"y": [1, size]})

    return make


def square(seed: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (size, size)).astype(np.float32)


def test_every_layer_has_its_result_in_the_models_order(cnn_path: Path) -> None:
    model = open_model(cnn_path)
    seen = []
    done = compress(model, INT8.with_steps({"conv.weight": None}), on_layer=seen.append)
    assert [r.name for r in done.layers] == [layer.name for layer in model.layers]
    assert {r.name for r in seen} == {r.name for r in done.layers}
    untouched, *others = done.layers
    assert (untouched.name, untouched.steps, untouched.skipped, untouched.encoding) == ("conv.weight", (), "", None)
    assert untouched.weight_sqnr_db == np.inf
    for result in others:
        assert result.steps == ("int8",)
        assert result.bytes_before == model.layer(result.name).nbytes
        if result.encoding is None:
            assert result.skipped.startswith("would take ")
            assert result.bytes_after == result.bytes_before
            continue
        size = emitted_size(result.encoding, model.opset, value_name_length=len(result.name))
        assert result.bytes_after == result.encoding.nbytes
        assert size.total < result.bytes_before
        expected = sqnr_db(model.weight(result.name), result.encoding.decode())
        assert result.weight_sqnr_db == pytest.approx(expected)


def test_a_layer_that_would_grow_stays_as_it_was_and_says_so(deep) -> None:
    model = open_model(deep({"w": square(0, 4), "v": square(1, 4)}))
    for result in compress(model, INT8).layers:
        assert result.encoding is None
        assert result.skipped.endswith(" B instead of 64 B")
        assert result.bytes_after == 64


def test_a_bad_layer_does_not_stop_the_others(deep) -> None:
    weights = {"good": square(0), "nan": square(1), "full": square(2)}
    weights["nan"][3, 4] = np.nan
    recipe = INT8.with_steps({"full": [Step.make("low_rank", by="rank", rank=60)]})
    results = {r.name: r for r in compress(open_model(deep(weights)), recipe).layers}
    assert results["good"].encoding is not None
    assert results["nan"].skipped == "1 of 4,096 weights are NaN or infinite"
    assert results["full"].skipped == "rank 60 would not be smaller: a 64 x 64 weight breaks even at rank 31"
    assert results["full"].bytes_after == results["full"].bytes_before


def test_a_layer_whose_weights_cannot_be_read_is_skipped(deep) -> None:
    model = open_model(deep({"a": square(0), "b": square(1)}))

    def read(name: str) -> np.ndarray:
        if name == "a":
            raise ModelFileError("the external data is gone", where="a.data")
        return model.weight(name)

    first, second = compress(replace(model, _read_weight=read), INT8).layers
    assert (first.skipped, first.encoding) == ("a.data: the external data is gone", None)
    assert second.encoding is not None


def test_no_memory_for_a_layer_is_a_reason(deep, monkeypatch) -> None:
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(QuantizeAffine, "apply", full)
    (result,) = compress(open_model(deep({"w": square(0)})), INT8).layers
    assert result.skipped == "there is not enough memory for its 4,096 weights"


def test_our_own_faults_are_not_hidden(deep, monkeypatch) -> None:
    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(QuantizeAffine, "apply", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        compress(open_model(deep({"w": square(0)})), INT8)


def test_a_locked_layer_says_why(deep) -> None:
    model = open_model(deep({"w": square(0)}))
    locked = replace(model, layers=tuple(replace(layer, locked="it is already quantized") for layer in model.layers))
    (result,) = compress(locked, INT8).layers
    assert (result.skipped, result.encoding) == ("it is already quantized", None)
    assert compress(locked, Recipe()).layers[0].skipped == ""


def test_the_number_of_threads_changes_nothing(deep) -> None:
    model = open_model(deep({f"w{i}": square(i) for i in range(6)}))
    recipe = INT8.with_steps({
        "w1": [Step.make("prune", ratio=0.8), Step.make("quantize:codebook")],
        "w2": [Step.make("low_rank", by="rank", rank=8), Step.make("quantize", bits=4)],
        "w3": [Step.make("quantize", bits=3, granularity="block")],
    })
    runs = [compress(model, recipe, workers=workers).layers for workers in (1, 4)]
    for one, many in zip(*runs, strict=True):
        assert (one.name, one.bytes_after, one.weight_sqnr_db) == (many.name, many.bytes_after, many.weight_sqnr_db)
        np.testing.assert_array_equal(one.encoding.decode(), many.encoding.decode())


def test_progress_rises_to_one_in_the_callers_thread(deep) -> None:
    model = open_model(deep({f"w{i}": square(i) for i in range(4)}))
    seen: list[tuple[Progress, str]] = []
    threads = []
    reporter = Reporter(lambda progress: seen.append((progress, threading.current_thread().name)))
    compress(model, INT8, reporter, on_layer=lambda _: threads.append(threading.current_thread().name))
    shares = [progress.done for progress, _ in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert {name for _, name in seen} == set(threads) == {threading.current_thread().name}


def test_cancelled_between_layers(deep) -> None:
    model = open_model(deep({f"w{i}": square(i) for i in range(8)}))
    cancel = threading.Event()
    finished = []

    def on_layer(result) -> None:
        finished.append(result)
        cancel.set()

    with pytest.raises(Cancelled):
        compress(model, INT8, Reporter(cancel=cancel), on_layer)
    assert len(finished) == 1


@pytest.mark.parametrize("step", [Step.make("quantize"), Step.make("quantize:codebook"), Step.make("prune")])
def test_cancelled_inside_one_large_tensor(deep, step: Step) -> None:
    """The cancel comes at the first progress report, and no further piece of the tensor is begun."""
    large = square(0, 2048)  # four pieces
    model = open_model(deep({"w": square(0)}))
    cancel, reports = threading.Event(), []

    def on_progress(progress: Progress) -> None:
        reports.append(progress)
        cancel.set()

    with pytest.raises(Cancelled):
        apply_steps(model.layers[0], Float(large), [step],
                    Context(model.layers[0], reporter=Reporter(on_progress, cancel)))
    assert len(reports) == 1


def test_a_cancel_does_not_wait_for_what_cannot_be_interrupted(deep, monkeypatch) -> None:
    entered, release, cancel = threading.Event(), threading.Event(), threading.Event()

    def stuck(*_):
        entered.set()
        release.wait(20)
        raise LayerSkipped("late")

    monkeypatch.setattr(QuantizeAffine, "apply", stuck)
    threading.Thread(target=lambda: entered.wait(20) and cancel.set()).start()
    start = time.perf_counter()
    try:
        with pytest.raises(Cancelled):
            compress(open_model(deep({"w": square(0)})), INT8, Reporter(cancel=cancel))
        assert not release.is_set()
        assert time.perf_counter() - start < 10
    finally:
        release.set()


def test_results_go_through_pickle(deep) -> None:
    model = open_model(deep({"w": square(0)}))
    recipe = Recipe(defaults=(Step.make("prune", ratio=0.9), Step.make("quantize", bits=4)))
    (result,) = compress(model, recipe).layers
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.encoding.decode(), result.encoding.decode())
    assert again.bytes_after == result.bytes_after


@pytest.mark.models
@pytest.mark.parametrize("name", ["lenet300", "ppocr_rec", "silero_vad"])
def test_int8_on_public_models(models_dir: Path, name: str) -> None:
    done = compress(open_model(models_dir / name / "model.onnx"), INT8)
    assert sum(r.bytes_after for r in done.layers) <= 0.26 * sum(r.bytes_before for r in done.layers)
    assert min(r.weight_sqnr_db for r in done.layers) > 28
