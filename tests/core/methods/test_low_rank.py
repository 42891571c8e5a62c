"""Low rank against the theorem of Eckart and Young, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding import Float
from core.errors import LayerSkipped
from core.methods.low_rank import LowRankParams, LowRankSvd, break_even_rank, rank_for_energy
from core.methods.prune import Prune, PruneParams
from core.model.layer import Kind


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
    values = np.float32([4, 2, 1, 0.5])  # squares 16, 4, 1, .25
    assert [rank_for_energy(values, share) for share in (0.5, 16 / 21.25, 0.8, 0.95, 0.99, 1.0)] == [1, 1, 2, 3, 4, 4]
    weight = (rng.normal(size=(50, 3)) @ rng.normal(size=(3, 50))).astype(np.float32)
    assert factorise(weight, context_of(weight), energy=0.9999).rank == 3


def test_signs_do_not_depend_on_the_library(rng, context_of) -> None:
    weight = (rng.normal(size=(50, 3)) @ rng.normal(size=(3, 50))).astype(np.float32)
    left = factorise(weight, context_of(weight), by="rank", rank=3).left.decode()
    assert (left[np.abs(left).argmax(axis=0), range(3)] > 0).all()


def test_the_decomposition_is_made_once_for_a_weight(rng, context_of, monkeypatch) -> None:
    weight = rng.normal(size=(60, 90)).astype(np.float32)
    calls = []
    plain = np.linalg.svd
    monkeypatch.setattr(np.linalg, "svd", lambda *args, **names: calls.append(1) or plain(*args, **names))
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
    with pytest.raises(LayerSkipped, match=r"99 % of the energy needs rank 3\d would not be smaller"):
        factorise(weight, context_of(weight), energy=0.99)


def test_a_decomposition_that_fails_is_a_reason(rng, context_of, monkeypatch) -> None:
    def fail(*_, **__):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", fail)
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
