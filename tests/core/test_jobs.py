"""The compress job: what it tells on the way, what comes out, that it stops anywhere without a trace."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from core.analysis import comparison
from core.analysis.layer_error import LayerProbe
from core.errors import Cancelled, ModelFileError, RecipeError, TargetError
from core.jobs import CompressSpec, LayerLive, compress_file
from core.model.readers import open_model
from core.pipeline import LayerResult
from core.progress import Progress, Reporter
from core.sample import SamplePaths

INT8 = "featherweight: 1\ndefaults: [quantize]\nlayers: {conv1.weight: null}\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "LATENCY_SECONDS", 0.05)


@pytest.fixture
def spec(sample: SamplePaths, tmp_path: Path) -> CompressSpec:
    return CompressSpec(str(sample.model), INT8, str(tmp_path / "out.onnx"), str(sample.data), limit=20)


class CancelAt:
    """Cancels once as much progress was told."""

    def __init__(self, share: float) -> None:
        self.share, self.told = share, [0.0]

    def is_set(self) -> bool:
        return self.told[-1] >= self.share

    def reporter(self) -> Reporter:
        return Reporter(lambda progress: self.told.append(progress.done), self)


def test_what_is_told_on_the_way(spec: CompressSpec) -> None:
    told: list[Progress] = []
    outcome = compress_file(spec, Reporter(told.append))
    names = {layer.name for layer in open_model(spec.model_path).layers}
    assert [p.done for p in told] == sorted(p.done for p in told) and told[-1].done == 1.0
    results = [p.part for p in told if isinstance(p.part, LayerResult)]
    assert {r.name for r in results} == names and all(r.encoding is None for r in results)
    live = [p.part for p in told if isinstance(p.part, LayerLive)]
    assert tuple(live) == outcome.live and {error.name for error in live} == names - {"conv1.weight"}
    assert all(error.isolated_sqnr_db is not None and error.isolated_sqnr_db > 25 for error in live)
    pickle.loads(pickle.dumps([p.part for p in told]))


def test_what_comes_out(spec: CompressSpec) -> None:
    outcome = compress_file(spec)
    assert outcome.path == spec.target and Path(spec.target).stat().st_size == outcome.report.bytes_after
    assert [r.name for r in outcome.layers] == [layer.name for layer in open_model(spec.model_path).layers]
    assert outcome.comparison is not None and outcome.comparison.n == 20
    assert outcome.comparison.multiply_adds_before == outcome.comparison.multiply_adds_after
    assert outcome.latency is not None and outcome.latency_on == "measured on 8 samples"
    assert [error.name for error in outcome.accumulated] == [r.name for r in outcome.layers]
    assert outcome.accumulated[0].accumulated_sqnr_db == np.inf  # nothing before it or in it was changed
    again = pickle.loads(pickle.dumps(outcome))
    assert (again.path, again.comparison) == (outcome.path, outcome.comparison)


def test_without_data(spec: CompressSpec) -> None:
    outcome = compress_file(CompressSpec(spec.model_path, INT8, spec.target))
    assert outcome.comparison is None and outcome.live == () and outcome.accumulated == ()
    assert outcome.latency is not None and outcome.latency_on == "measured on 2 made-up inputs"


def test_a_model_that_cannot_be_taken_apart_says_so_and_goes_on(spec: CompressSpec, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ModelFileError("its graph cannot be taken apart")

    monkeypatch.setattr(LayerProbe, "__init__", refuse)
    told: list[Progress] = []
    outcome = compress_file(spec, Reporter(told.append))
    said = [p.part for p in told if isinstance(p.part, LayerLive)]
    assert said == [LayerLive("", None, "its graph cannot be taken apart.")] and outcome.live == ()
    assert outcome.comparison is not None


@pytest.mark.parametrize("share", [0.001, 0.06, 0.15, 0.26, 0.3, 0.32])
def test_cancelled_before_the_file_is_there_nothing_is(spec: CompressSpec, share: float) -> None:
    cancel = CancelAt(share)
    with pytest.raises(Cancelled):
        compress_file(spec, cancel.reporter())
    assert cancel.told[-1] < 0.76
    assert list(Path(spec.target).parent.iterdir()) == []


@pytest.mark.parametrize("share", [0.76, 0.9, 0.96])
def test_cancelled_while_measuring_the_file_is_there_whole(spec: CompressSpec, share: float) -> None:
    with pytest.raises(Cancelled, match=r"cancelled while measuring.*the compressed file is complete: .*out\.onnx"):
        compress_file(spec, CancelAt(share).reporter())
    assert [path.name for path in Path(spec.target).parent.iterdir()] == ["out.onnx"]
    assert len(open_model(spec.target).layers) == 6


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"target": "nowhere/out.onnx"}, TargetError),
        ({"recipe_text": "featherweight: 1\nlayers: {ghost: [quantize]}\n"}, RecipeError),
        ({"model_path": "none.onnx"}, ModelFileError),
    ],
)
def test_wrong_input_is_said_before_any_work(spec: CompressSpec, change: dict[str, str], kind: type[Exception]) -> None:
    told: list[Progress] = []
    with pytest.raises(kind):
        compress_file(CompressSpec(**{**vars(spec), **change}), Reporter(told.append))
    assert told == []
