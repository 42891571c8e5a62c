"""Low rank against the theorem of Eckart and Young, and its refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.data.layer_inputs import LayerInputs
from core.encoding import Float
from core.errors import Cancelled, LayerSkipped
from core.methods._principal import principal
from core.methods._ranks import break_even_rank, rank_for_energy
from core.methods.low_rank import LowRankParams, LowRankSvd
from core.methods.prune import Prune, PruneParams
from core.model.layer import Kind
from core.progress import Reporter


def factorise(weight, context, **values):
    return LowRankSvd().apply(Float(weight), LowRankParams(**values), context)


def test_the_error_is_the_energy_of_the_singular_values_left_out(rng, context_of) -> None:
    weight = rng.normal(size=(60, 90)).astype(np.float32)
    found = factorise(weight, context_of(weight), by="rank", rank=20)
    values = np.linalg.svd(weight.astype(np.float64), compute_uv=False)
    assert np.square(found.decode() - weight.astype(np.float64)).sum() == pytest.approx(
        np.square(values[20:]).sum(), rel=1e-4
    )
    np.testing.assert_allclose(  # balanced factors
        np.linalg.norm(found.left.decode(), axis=0), np.linalg.norm(found.right.decode(), axis=1), rtol=1e-4
    )


def test_energy_chooses_the_smallest_rank_that_keeps_it(rng, context_of) -> None:
    squares = np.array([16, 4, 1, 0.25])
    found = [rank_for_energy(squares, share, 21.25) for share in (0.5, 16 / 21.25, 0.8, 0.95, 0.99, 1.0)]
    assert found == [1, 1, 2, 3, 4, 4]
    assert rank_for_energy(squares, 0.99, 40.0) is None
    weight = (rng.normal(size=(50, 3)) @ rng.normal(size=(3, 50))).astype(np.float32)
    assert factorise(weight, context_of(weight), by="energy", energy=0.9999).rank == 3


def test_signs_do_not_depend_on_the_library(rng, context_of) -> None:
    weight = (rng.normal(size=(50, 3)) @ rng.normal(size=(3, 50))).astype(np.float32)
    left = factorise(weight, context_of(weight), by="rank", rank=3).left.decode()
    assert (left[np.abs(left).argmax(axis=0), range(3)] > 0).all()


def test_the_decomposition_is_made_once_for_a_weight(rng, context_of, monkeypatch) -> None:
    weight = rng.normal(size=(60, 90)).astype(np.float32)
    calls = []
    plain = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda *args, **names: calls.append(1) or plain(*args, **names))
    context = context_of(weight)
    for rank in (1, 10, 20):
        assert factorise(weight, context, by="rank", rank=rank).rank == rank
    assert len(calls) == 1


@pytest.mark.parametrize(("m", "n"), [(300, 784), (10, 100), (2, 2), (1, 50), (96, 96)])
def test_break_even_is_the_last_rank_that_is_smaller(m: int, n: int) -> None:
    rank = break_even_rank(m, n)
    assert rank * (m + n) < m * n <= (rank + 1) * (m + n)


def test_ranks_that_make_no_sense_are_refused_with_the_break_even(rng, context_of) -> None:
    weight = rng.normal(size=(40, 60)).astype(np.float32)
    with pytest.raises(LayerSkipped, match="rank 24 would not be smaller: a 40 x 60 weight breaks even at rank 23"):
        factorise(weight, context_of(weight), by="rank", rank=24)
    with pytest.raises(LayerSkipped, match="rank 41 is above the full rank 40"):
        factorise(weight, context_of(weight), by="rank", rank=41)
    with pytest.raises(LayerSkipped, match=r"99 % of the energy needs rank 3\d, which would not be smaller"):
        factorise(weight, context_of(weight), by="energy", energy=0.99)


def test_a_decomposition_that_fails_is_a_reason(rng, context_of, monkeypatch) -> None:
    def fail(*_, **__):
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    monkeypatch.setattr(np.linalg, "eigh", fail)
    weight = rng.normal(size=(40, 60)).astype(np.float32)
    with pytest.raises(LayerSkipped, match="did not converge"):
        factorise(weight, context_of(weight))


def test_other_kinds_axes_and_sparse_weights_are_refused(rng, context_of) -> None:
    cube = context_of(np.zeros((3, 4, 5), np.float32)).layer
    assert "3 axes" in LowRankSvd().why_not(cube, LowRankParams())
    conv = context_of(np.zeros((3, 4), np.float32), Kind.CONV).layer
    assert LowRankSvd().why_not(conv, LowRankParams()) == "Low rank (SVD) does not handle Conv layers"
    weight = rng.normal(size=(40, 60)).astype(np.float32)
    sparse = Prune().apply(Float(weight), PruneParams(), context_of(weight))
    with pytest.raises(LayerSkipped, match="not both"):
        LowRankSvd().apply(sparse, LowRankParams(), context_of(weight))


def test_a_share_is_never_exceeded_and_a_matrix_too_thin_is_refused(rng, context_of) -> None:
    weight = rng.normal(size=(40, 60)).astype(np.float32)
    assert factorise(weight, context_of(weight), share=0.5).rank == 12
    thin = np.ones((1, 50), np.float32)
    with pytest.raises(LayerSkipped, match="no rank makes a 1 x 50 weight smaller"):
        factorise(thin, context_of(thin))


def test_directions_of_recurrent_weights_are_factorised_one_by_one(rng, context_of) -> None:
    weight = (rng.normal(size=(2, 40, 3)) @ rng.normal(size=(2, 3, 20))).astype(np.float32)
    found = factorise(weight, context_of(weight, Kind.RECURRENT, 1, 2), by="energy", energy=0.99999)
    assert found.rank == 3
    np.testing.assert_allclose(found.decode(), weight, atol=1e-5)


@pytest.mark.parametrize("outputs_first", [True, False])
@pytest.mark.parametrize("shape", [(60, 24), (24, 60)])
def test_weighted_by_inputs_the_output_error_is_the_smallest(rng, context_of, outputs_first, shape) -> None:
    """Against the closed form: left-out singular values of the weighted matrix; and never above plain SVD's."""
    samples = (rng.normal(size=(500, 8)) @ rng.normal(size=(8, shape[0])) + 0.1 * rng.normal(size=(500, shape[0])))
    samples = samples.astype(np.float32)
    matrix = rng.normal(size=shape).astype(np.float32)
    weight = np.ascontiguousarray(matrix.T) if outputs_first else matrix
    axes = (0, 1) if outputs_first else (1, 0)
    inputs = LayerInputs(
        samples=500, rows=500, square=np.square(samples).mean(axis=0)[np.newaxis],
        moments=(samples.T @ samples / 500)[np.newaxis],
    )  # fmt: skip
    plain = context_of(weight, Kind.LINEAR, *axes)
    context = replace(plain, inputs=inputs)

    def output_error(encoding):
        decoded = encoding.decode().T if outputs_first else encoding.decode()
        return np.square(samples @ (decoded - matrix)).sum() / 500

    weighted = factorise(weight, context, by="rank", rank=6, weighting="inputs")
    best = np.square(np.linalg.svd(samples @ matrix / np.sqrt(500), compute_uv=False)[6:]).sum()
    assert output_error(weighted) == pytest.approx(best, rel=0.02)
    assert output_error(weighted) < 0.8 * output_error(factorise(weight, plain, by="rank", rank=6))
    assert "by inputs" in weighted.describe()
    diagonal = factorise(weight, replace(plain, inputs=replace(inputs, moments=None)), by="rank", rank=6,
                         weighting="inputs")  # fmt: skip
    assert "by input squares" in diagonal.describe()


def test_weighting_that_cannot_be_done_says_why(rng, context_of) -> None:
    weight = rng.normal(size=(40, 60)).astype(np.float32)
    context = context_of(weight)
    with pytest.raises(LayerSkipped, match="samples"):
        factorise(weight, context, weighting="inputs")
    for square, reason in ((np.full((1, 60), np.nan), "not finite"), (np.zeros((1, 60)), "zero on all samples")):
        with pytest.raises(LayerSkipped, match=reason):
            factorise(weight, replace(context, inputs=LayerInputs(samples=1, square=square)), weighting="inputs")
    embedding = context_of(weight, Kind.EMBEDDING).layer
    assert "indices" in LowRankSvd().why_not(embedding, LowRankParams(weighting="inputs"))
    singular = LayerInputs(samples=1, square=np.ones((1, 60)), moments=np.ones((1, 60, 60)))
    found = factorise(weight, replace(context, inputs=singular), by="rank", rank=4, weighting="inputs")
    assert np.isfinite(found.decode()).all()


def test_large_matrices_by_sketch_are_nearly_as_good(rng, context_of, monkeypatch) -> None:
    values = np.arange(1, 1001) ** -0.7
    weight = np.linalg.qr(rng.normal(size=(1200, 1000)))[0] * values @ np.linalg.qr(rng.normal(size=(1000, 1000)))[0]
    weight = weight.astype(np.float32)
    exact = principal(weight, 200, context_of(weight))
    monkeypatch.setattr("core.methods._principal.EXACT", 500)
    sketch = principal(weight, 200, context_of(weight))
    assert sketch.squares.size == 288 and exact.squares.size == 1000
    assert sketch.total == pytest.approx(exact.total, rel=1e-6)
    kept = [np.square(weight @ found.vectors[:, :200]).sum() for found in (exact, sketch)]
    assert exact.total - kept[1] <= 1.03 * (exact.total - kept[0])
    np.testing.assert_allclose(sketch.vectors.T @ sketch.vectors, np.eye(288), atol=1e-5)


def test_a_sketch_hears_a_cancel_on_its_way(rng, context_of, monkeypatch) -> None:
    class Later:
        looks = 0

        def is_set(self) -> bool:
            self.looks += 1
            return self.looks > 5

    monkeypatch.setattr("core.methods._principal.EXACT", 100)
    weight = rng.normal(size=(1200, 1000)).astype(np.float32)
    with pytest.raises(Cancelled):
        principal(weight, 200, replace(context_of(weight), reporter=Reporter(cancel=Later())))
