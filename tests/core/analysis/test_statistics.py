"""Statistics against numpy in float64."""

from __future__ import annotations

import mmap
import pickle
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from core.analysis.statistics import all_statistics, statistics
from core.errors import Cancelled
from core.kernels import CHUNK
from core.model.layer import Kind, Layer
from core.progress import Progress, Reporter

RNG = np.random.default_rng(0)
DENORMAL = 1e-42


def check(values: np.ndarray) -> None:
    """Every figure but outliers equals what numpy computes in float64 from the finite values."""
    found = statistics(values)
    flat = np.asarray(values, np.float32).ravel()
    finite = flat[np.isfinite(flat)].astype(np.float64)
    assert found.n == flat.size
    assert found.nonfinite == flat.size - finite.size
    assert found.zeros == int((finite == 0).sum())
    assert found.minimum == finite.min()
    assert found.maximum == finite.max()
    scale = float(np.abs(finite).max())
    assert found.mean == pytest.approx(finite.mean(), rel=1e-9, abs=1e-12 * scale)
    assert found.std == pytest.approx(finite.std(), rel=1e-6, abs=1e-9 * float(np.ptp(finite)))
    picture = found.histogram
    assert picture.total == finite.size
    assert picture.below == int((finite < picture.low).sum())
    assert picture.above == int((finite > picture.high).sum())
    assert found.outliers == picture.below + picture.above


@pytest.mark.parametrize("n", [1, 2, 100, 8191, 8192, 8193, 3 * CHUNK + 17])
def test_normal_weights(n: int) -> None:
    check(RNG.standard_normal(n, dtype=np.float32) * np.float32(0.02))


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(5000),
        np.full(5000, -0.0),
        np.full(5000, 0.1),
        np.full(5000, DENORMAL),
        RNG.standard_normal(9000) * DENORMAL,
        RNG.standard_normal(9000) * 1e37,
        1000 + RNG.standard_normal(9000) * 1e-3,
        np.where(RNG.random(20_000) < 0.9, 0, RNG.standard_normal(20_000)),
        RNG.random(9000),
        RNG.standard_normal((30, 40))[::2, ::-3],
        RNG.standard_normal((30, 40)).T,
        RNG.standard_normal((8, 4, 3, 3)).astype(np.float16),
        np.float32(3.0),
    ],
    ids=[
        "zero", "minus zero", "constant", "constant denormal", "denormals", "huge", "large mean", "pruned", "positive",
        "strided", "transposed", "float16", "scalar",
    ],
)  # fmt: skip
def test_special_weights(values: np.ndarray) -> None:
    check(np.asarray(values))


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 5000, 19_999, slice(3, None, 7), slice(0, 8192)])
def test_nonfinite_weights_are_counted_and_left_out(bad: float, where: int | slice) -> None:
    values = RNG.standard_normal(20_000).astype(np.float32)
    values[where] = bad
    check(values)


def test_a_constant_has_no_spread() -> None:
    assert statistics(np.full(100_000, 0.1)).std == 0.0


@pytest.mark.parametrize("values", [np.zeros(0), np.full(10, np.nan), np.full(9000, -np.inf), np.zeros((0, 3))])
def test_no_finite_weight(values: np.ndarray) -> None:
    found = statistics(values)
    assert (found.n, found.nonfinite, found.zeros, found.outliers) == (values.size, values.size, 0, 0)
    assert np.isnan([found.minimum, found.maximum, found.mean, found.std]).all()
    assert found.histogram.total == 0


def test_float64_beyond_float32_counts_as_infinite() -> None:
    assert statistics(np.array([1e300, 1.0])).nonfinite == 1


def test_one_huge_weight_does_not_flatten_the_picture() -> None:
    values = RNG.standard_normal(50_000).astype(np.float32)
    values[123] = 1e6
    found = statistics(values)
    assert found.maximum == 1e6
    assert found.histogram.above >= 1
    assert found.histogram.high < 6
    assert np.count_nonzero(found.histogram.counts) > 50


def test_few_weights_of_a_normal_distribution_are_outliers() -> None:
    found = statistics(RNG.standard_normal(400_000))
    assert found.outliers < 40  # beyond 4.7 standard deviations: one of 400,000


def test_pruning_makes_no_outliers_and_zeros_stay_in_sight() -> None:
    values = RNG.standard_normal(50_000)
    dense = statistics(values)
    values[RNG.random(50_000) < 0.95] = 0
    sparse = statistics(values)
    assert sparse.outliers <= dense.outliers + 5
    picture = sparse.histogram
    middle = np.searchsorted(picture.edges, 0.0) - 1
    assert picture.counts[middle] >= sparse.zeros
    positive = statistics(np.where(RNG.random(9000) < 0.1, 0, 5 + RNG.random(9000)))
    assert positive.histogram.low <= 0


def test_a_read_only_mapped_file_at_an_odd_offset(tmp_path: Path) -> None:
    values = RNG.standard_normal(300_000).astype(np.float32)
    (tmp_path / "w.bin").write_bytes(b"abc" + values.tobytes())
    with open(tmp_path / "w.bin", "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    view = np.frombuffer(mapped, np.float32, offset=3)
    assert not view.flags.aligned
    check(view)


def test_the_same_with_and_without_threads() -> None:
    values = RNG.standard_normal(2 * CHUNK + 9).astype(np.float32)
    alone, together = statistics(values, parallel=False), statistics(values)
    np.testing.assert_array_equal(alone.histogram.counts, together.histogram.counts)
    assert (alone.minimum, alone.maximum, alone.zeros) == (together.minimum, together.maximum, together.zeros)
    assert alone.std == pytest.approx(together.std, rel=1e-12)


def test_pickles() -> None:
    found = statistics(np.arange(100))
    copy = pickle.loads(pickle.dumps(found))
    assert (copy.mean, copy.histogram.counts.tolist()) == (found.mean, found.histogram.counts.tolist())


def model_of(weights: dict[str, np.ndarray]) -> SimpleNamespace:
    layers = tuple(
        Layer(name, Kind.LINEAR, w.shape, "float32", w.nbytes, output_axis=0, input_axis=1)
        for name, w in weights.items()
    )
    return SimpleNamespace(layers=layers, weight=weights.__getitem__)


WEIGHTS = {f"w{i}": RNG.standard_normal((50 + i, 40)).astype(np.float32) for i in range(20)}
WEIGHTS["large"] = RNG.standard_normal((1100, 1024)).astype(np.float32)


def test_all_layers_arrive_in_the_callers_thread() -> None:
    arrived, threads, progress = {}, set(), []

    def on_layer(name: str, found: object) -> None:
        arrived[name] = found
        threads.add(threading.get_ident())

    results = all_statistics(model_of(WEIGHTS), Reporter(progress.append), on_layer)
    assert results == arrived
    assert set(results) == set(WEIGHTS)
    assert threads == {threading.get_ident()}
    for name, found in results.items():
        assert found.maximum == WEIGHTS[name].max()
    shares = [step.done for step in progress]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_cancelling_stops_after_the_layer_at_hand() -> None:
    cancel = threading.Event()
    arrived = []

    def progress(_: Progress) -> None:
        cancel.set()

    with pytest.raises(Cancelled):
        all_statistics(model_of(WEIGHTS), Reporter(progress, cancel), lambda name, _: arrived.append(name))
    assert len(arrived) == 2


def test_a_weight_that_cannot_be_read_is_an_error() -> None:
    model = model_of(WEIGHTS)

    def weight(name: str) -> np.ndarray:
        raise OSError(name)

    model.weight = weight
    with pytest.raises(OSError, match="large"):
        all_statistics(model)


def test_a_model_without_layers() -> None:
    assert all_statistics(model_of({})) == {}
