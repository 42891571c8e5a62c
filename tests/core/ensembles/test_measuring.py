"""Figures of members and ensemble, tests of differences, and the verdict."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from core.analysis.runtime import run, session
from core.analysis.task_metrics.base import Unit
from core.data import load_samples
from core.ensembles.measuring import Contestant, Duel, Role, Standing, Standings, mcnemar, measure
from core.ensembles.verdict import judge
from core.model.readers import open_model
from core.runs.recording import recording
from core.runs.run import RunKind
from core.runs.store import RunStore
from tests.core.ensembles.models import classifier, rows


def test_mcnemar_is_the_exact_binomial_test() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 * 0.5**5)
    assert mcnemar(3, 9) == mcnemar(9, 3) == pytest.approx(2 * sum(math.comb(12, k) for k in range(4)) / 2**12)


def test_accuracy_agreement_and_pairs_are_counted(tmp_path: Path) -> None:
    paths = [classifier(tmp_path / f"m{seed}.onnx", seed, trunk=0) for seed in (0, 1)]
    x = rows(60)
    best = [run(session(path), {"x": x})[0].argmax(-1) for path in paths]
    labels = np.where(np.arange(60) % 3 == 0, best[1], best[0])
    np.savez(tmp_path / "d.npz", x=x, labels=labels)
    samples = load_samples(tmp_path / "d.npz", open_model(paths[0]).inputs)
    players = [Contestant(f"m{i}", Role.MEMBER, str(path), 100 + i) for i, path in enumerate(paths)]
    found = measure(players, samples, merged="m1", seconds=0.01)
    right = [best[i] == labels for i in (0, 1)]
    for row, hits in zip(found.rows, right, strict=True):
        assert row.value == pytest.approx(hits.mean())
        assert row.error == pytest.approx(math.sqrt(hits.mean() * (1 - hits.mean()) / 60))
        assert row.latency is not None and row.latency.median_ms > 0
    assert found.rows[1].agreement == pytest.approx((best[0] == best[1]).mean())
    (duel,) = found.duels
    assert (duel.only_first, duel.only_second) == ((right[1] & ~right[0]).sum(), (right[0] & ~right[1]).sum())
    assert duel.difference == pytest.approx(right[1].mean() - right[0].mean())


def test_values_are_judged_over_groups_of_samples(tmp_path: Path) -> None:
    paths = [classifier(tmp_path / f"m{seed}.onnx", seed) for seed in (0, 1)]
    x = rows(40)
    values = run(session(paths[0]), {"x": x})[0] + 0.1
    np.savez(tmp_path / "d.npz", x=x, labels=values.astype(np.float32))
    samples = load_samples(tmp_path / "d.npz", open_model(paths[0]).inputs)
    players = [Contestant(f"m{i}", Role.MEMBER, str(path), 100) for i, path in enumerate(paths)]
    found = measure(players, samples, merged="m0", seconds=0)
    assert not found.higher_is_better and found.rows[0].value == pytest.approx(0.01, rel=1e-3)
    (duel,) = found.duels
    assert duel.only_first is None and duel.difference < 0 and duel.p < 0.01


def standings(ensemble: float, member: float, original: float, p: float, sizes: tuple[int, int, int]) -> Standings:
    values = (original, member, ensemble)
    titles = ("the original", "member 1", "the ensemble")
    rows = tuple(
        Standing(title, role, "", size, value, 0.01, 1.0)
        for title, role, size, value in zip(
            titles, (Role.ORIGINAL, Role.MEMBER, Role.ENSEMBLE), sizes, values, strict=True
        )
    )
    duels = tuple(
        Duel("the ensemble", title, ensemble - value, 0.01, p, 5, 3)
        for title, value in zip(titles[:2], values[:2], strict=True)
    )
    return Standings(rows, duels, 100, "d.npz", "the original", "accuracy (top-1)", Unit.SHARE)


def test_an_ensemble_is_not_worth_its_bytes_when_a_smaller_file_is_as_good() -> None:
    verdict = judge(standings(0.95, 0.94, 0.95, 0.4, (1000, 100, 500)))
    assert verdict.worth is False and verdict.instead == "member 1"
    assert "Not worth its bytes: member 1 has 94.00 % accuracy (top-1) with 100 B" in verdict.text
    assert "McNemar's test, p = 0.4" in verdict.text


def test_an_ensemble_larger_than_an_original_that_is_as_good_is_not_worth_it() -> None:
    verdict = judge(standings(0.95, 0.80, 0.96, 0.001, (400, 100, 500)))
    assert verdict.worth is False and verdict.instead == "the original"


def test_an_ensemble_that_is_better_than_every_smaller_file_is_worth_it() -> None:
    verdict = judge(standings(0.95, 0.80, 0.96, 0.001, (1000, 100, 500)))
    assert verdict.worth is True
    assert "50 % of the original's bytes" in verdict.text and "1.00 points worse than the original" in verdict.text


def test_without_a_metric_nothing_is_judged() -> None:
    row = Standing("the ensemble", Role.ENSEMBLE, "", 10)
    assert judge(Standings((row,), (), 3, "d.npz", "the ensemble")).worth is None


def test_results_of_runs_are_called_by_what_was_done(tmp_path: Path) -> None:
    from core.ensembles.merging import _titles

    store = RunStore(tmp_path / "runs")
    members = []
    for _ in range(2):
        path = classifier(tmp_path / "kept.onnx", 0, trunk=0)
        with recording(store, kind=RunKind.COMPRESS, title="net.onnx: prune 90 %", model_path="net.onnx") as made:
            made.result(path, keep=True)
        file = store.result_file(store.get(made.id))
        assert file is not None
        members.append(open_model(file))
    members.append(open_model(classifier(tmp_path / "mine.onnx", 1, trunk=0)))
    assert _titles(members) == ["net.onnx: prune 90 % (1)", "net.onnx: prune 90 % (2)", "mine.onnx"]
