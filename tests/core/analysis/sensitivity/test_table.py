"""The table as a whole: levels, partial results, cancelling in every phase, the cache, what falls back to what."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from core.analysis.sensitivity.cells import LayerCells, Sensitivity, Tier
from core.analysis.sensitivity.table import NEGLIGIBLE, Asked, cached_sensitivity, sensitivity
from core.cli import main
from core.data import Samples
from core.errors import Cancelled, DataError, ParameterError
from core.model.model import Model
from core.progress import Progress, Reporter
from core.recipe import Step
from core.sensitivity_job import SensitivitySpec, measure_sensitivity
from tests.core.analysis.sensitivity.conftest import SETTINGS

WithData = Callable[..., tuple[Model, Samples]]
MEASURED = Asked(Tier.MEASURED, SETTINGS, everything=True)


def test_levels(mlp: tuple[Model, Samples]) -> None:
    model, samples = mlp
    free = sensitivity(model, None, Asked(Tier.FREE, SETTINGS))
    fast = sensitivity(model, samples, Asked(Tier.FAST, SETTINGS))
    measured = sensitivity(model, samples, MEASURED)
    for tier, found in enumerate((free, fast, measured)):
        assert {cell.tier for cell in found.cells} == {tier}
        assert [(c.layer, c.steps, c.bytes) for c in found.cells] == [(c.layer, c.steps, c.bytes) for c in free.cells]
    assert (free.measure, free.samples) == ("weight", 0) and (fast.measure, fast.samples) == ("kl", 20)
    for name, nbytes in free.layer_bytes:
        assert all(cell.bytes < nbytes for cell in free.by_layer[name])
    assert json.loads(json.dumps(measured.to_dict()))["cells"][0]["tier"] == 2


def test_only_the_hull_is_measured_unless_all_is_asked_for(mlp: tuple[Model, Samples]) -> None:
    """A setting that takes more bytes and errs more than another is no candidate of any plan."""
    settings = ((Step.make("quantize", bits=8),), (Step.make("prune", ratio=0.5),), (Step.make("quantize", bits=4),))
    found = sensitivity(*mlp, Asked(Tier.MEASURED, settings))
    tiers = {cell.steps: cell.tier for cell in found.by_layer["fc1.weight"]}
    assert [tiers[steps] for steps in settings] == [2, 1, 2]


def test_what_is_negligible_is_not_measured(mlp: tuple[Model, Samples]) -> None:
    found = sensitivity(*mlp, Asked(Tier.MEASURED, ((Step.make("float16"),), (Step.make("quantize", bits=3),))))
    for cell in found.cells:
        assert cell.tier == (1 if cell.error < NEGLIGIBLE else 2)
    assert {cell.tier for cell in found.cells} == {1, 2}


def test_layers_are_told_as_they_are_done(mlp: tuple[Model, Samples]) -> None:
    told: list[LayerCells] = []
    done: list[float] = []

    def on(progress: Progress) -> None:
        done.append(progress.done)
        if progress.part is not None:
            told.append(progress.part)

    found = sensitivity(*mlp, Asked(Tier.MEASURED, SETTINGS), reporter=Reporter(on))
    for name in ("fc1.weight", "fc2.weight"):
        tiers = [max(cell.tier for cell in part.cells) for part in told if part.layer == name]
        assert tiers == [0, 1, 2]
    last = {part.layer: part.cells for part in told}
    assert found.cells == (*last["fc1.weight"], *last["fc2.weight"])
    assert done == sorted(done) and done[-1] == 1.0


class _Watch:
    """A cancel flag that says yes from the n-th time on that it is asked, and the longest work between two times.

    Processor time of the asking thread, so that a busy machine changes nothing.
    """

    def __init__(self, times: int | None = None) -> None:
        self.times, self.asked, self.longest = times, 0, 0.0
        self.thread, self.last = threading.get_ident(), time.thread_time()

    def is_set(self) -> bool:
        if threading.get_ident() == self.thread:
            now = time.thread_time()
            self.longest, self.last = max(self.longest, now - self.last), now
            self.asked += 1
        return self.times is not None and self.asked >= self.times


def test_cancel_in_every_phase(mlp: tuple[Model, Samples], own_cache: Path) -> None:
    watch = _Watch()
    sensitivity(*mlp, MEASURED, reporter=Reporter(None, watch), cache=own_cache / "counting")
    assert watch.longest < 0.15
    for times in sorted({1, 2, watch.asked // 8, watch.asked // 4, watch.asked // 2, 3 * watch.asked // 4}):
        stop = _Watch(times)
        with pytest.raises(Cancelled):
            sensitivity(*mlp, MEASURED, reporter=Reporter(None, stop))
        assert stop.asked == max(times, 1)  # nothing was begun after it
    assert not list(own_cache.glob("*.json"))


def _count_work(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each table that is really computed."""
    from core.analysis.sensitivity import table

    made: list[int] = []
    real = table._Table.made

    def counted(self: object, base: Sensitivity | None) -> Sensitivity:
        made.append(1)
        return real(self, base)  # type: ignore[arg-type]

    monkeypatch.setattr(table._Table, "made", counted)
    return made


def test_the_cache_answers_the_same_question_only(
    mlp: tuple[Model, Samples], with_data: WithData, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, samples = mlp
    made = _count_work(monkeypatch)
    first = sensitivity(model, samples, Asked(Tier.FAST, SETTINGS))
    assert sensitivity(model, samples, Asked(Tier.FAST, SETTINGS)) == first and len(made) == 1
    sensitivity(model, samples, Asked(Tier.FAST, SETTINGS[:2]))
    sensitivity(model, samples, Asked(Tier.FREE, SETTINGS))
    sensitivity(model, samples, Asked(Tier.FAST, SETTINGS, samples=3))
    assert len(made) == 4
    _, other = with_data(model.path, x=np.ones((20, 16), np.float32))
    sensitivity(model, other, Asked(Tier.FAST, SETTINGS))
    assert len(made) == 5
    sensitivity(model, other, Asked(Tier.MEASURED, SETTINGS))
    assert len(made) == 6  # the predictions were there


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b"\xff\xfe", None])
def test_a_damaged_table_is_computed_again(
    mlp: tuple[Model, Samples], own_cache: Path, damage: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sensitivity(*mlp, Asked(Tier.FAST, SETTINGS))
    (path,) = own_cache.glob("*.json")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    made = _count_work(monkeypatch)
    assert sensitivity(*mlp, Asked(Tier.FAST, SETTINGS)) == first and len(made) == 1
    assert json.loads(path.read_bytes())["cells"] == json.loads(whole)["cells"]


@pytest.mark.parametrize("error", [-9e999, -1.0, float("nan")])
def test_absurd_figures_are_computed_again(mlp: tuple[Model, Samples], own_cache: Path, error: float) -> None:
    first = sensitivity(*mlp, Asked(Tier.FAST, SETTINGS))
    (path,) = own_cache.glob("*.json")
    kept = json.loads(path.read_bytes())
    kept["cells"][0][3] = error
    path.write_text(json.dumps(kept))
    assert sensitivity(*mlp, Asked(Tier.FAST, SETTINGS)) == first


def test_a_cache_that_cannot_be_written_is_a_note(mlp: tuple[Model, Samples], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    found = sensitivity(*mlp, Asked(Tier.FREE, SETTINGS), cache=tmp_path / "file" / "folder")
    assert found.cells and "could not be kept" in found.notes[-1]


def test_a_full_disk_is_a_note(mlp: tuple[Model, Samples], monkeypatch: pytest.MonkeyPatch) -> None:
    from core.exporting import staging

    def full(target: Path, data: bytes) -> None:
        raise staging.target_error(target, OSError(28, os.strerror(28)))

    monkeypatch.setattr(staging, "write_atomic", full)
    found = sensitivity(*mlp, Asked(Tier.FREE, SETTINGS))
    assert found.cells and "could not be kept" in found.notes[-1]


def test_only_layers_before_missing_operators_are_measured(
    make_model: Callable[..., Path], with_data: WithData
) -> None:
    random = np.random.default_rng(0)
    weights = {name: random.normal(0, 0.4, (1, 16, 16)).astype(np.float32) for name in ("w", "v")}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Unsqueeze", ["h", "axes"], ["u"]),
        helper.make_node("MeanVarianceNormalization", ["u"], ["m"], axes=[0, 2, 3]),
        helper.make_node("MatMul", ["m", "v"], ["y"]),
    ]  # fmt: skip
    path = make_model(nodes, {**weights, "axes": np.array([0], np.int64)}, {"x": [1, 16, 16]}, {"y": [1, 1, 16, 16]})
    model, samples = with_data(path, x=random.standard_normal((3, 16, 16)).astype(np.float32))
    found = sensitivity(model, samples, Asked(Tier.FAST, SETTINGS))
    assert {(cell.layer, cell.tier) for cell in found.cells} == {("w", 2), ("v", 1)} and len(found.cells) >= 4
    assert found.notes[-1].startswith("1 of 2 layers") and "MeanVarianceNormalization" in found.notes[-1]
    real = sensitivity(model, samples, Asked(Tier.MEASURED, SETTINGS, everything=True))
    for cell, measured in zip(found.cells, real.cells, strict=True):
        assert cell.error == pytest.approx(measured.error, rel=1e-5 if cell.layer == "w" else 0.5)


def test_settings_that_work_from_samples_get_some(mlp: tuple[Model, Samples]) -> None:
    """Half of the samples are set apart for them."""
    settings = ((Step.make("quantize", bits=4, rounding="feedback"),),)
    found = sensitivity(*mlp, Asked(Tier.MEASURED, settings))
    assert len(found.cells) == 2 and found.samples == 10
    free = sensitivity(mlp[0], None, Asked(Tier.FREE, settings))
    assert not free.cells and "samples" in free.skipped[0].reason


def test_one_sample_is_told(mlp: tuple[Model, Samples]) -> None:
    found = sensitivity(mlp[0], mlp[1].subset(1), Asked(Tier.FAST, SETTINGS))
    assert found.samples == 1 and found.notes[0].startswith("Only one sample")


def test_no_samples(mlp: tuple[Model, Samples]) -> None:
    with pytest.raises(DataError, match="no samples to measure with"):
        sensitivity(mlp[0], None, Asked(Tier.FAST, SETTINGS))
    with pytest.raises(DataError, match="no samples to measure with"):
        sensitivity(mlp[0], replace(mlp[1], order=mlp[1].order[:0]), Asked(Tier.FAST, SETTINGS))


def test_the_job_refuses_what_makes_no_sense(mlp_path: Path) -> None:
    for bad in ({"level": "wild"}, {"samples": 0}):
        with pytest.raises(ParameterError):
            measure_sensitivity(SensitivitySpec(str(mlp_path), **bad))  # type: ignore[arg-type]


def test_the_command_line(mlp: tuple[Model, Samples], capsys: pytest.CaptureFixture[str]) -> None:
    model, samples = mlp
    command = ["sensitivity", str(model.path), "--data", samples.source, "--level", "measured", "--quiet"]
    assert main([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {cell["layer"] for cell in data["cells"]} == {"fc1.weight", "fc2.weight"} and data["measure"] == "kl"
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "fc2.weight" in text and "KL divergence" in text and "int4" in text
    assert main(["sensitivity", str(model.path), "--quiet"]) == 2
    assert "load data" in capsys.readouterr().err


def test_the_best_kept_table_is_found_without_samples(
    mlp: tuple[Model, Samples], with_data: WithData, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, samples = mlp
    asked = Asked(Tier.FREE, SETTINGS)
    assert cached_sensitivity(model, None, asked) is None
    free = sensitivity(model, None, asked)
    assert cached_sensitivity(model, None, asked) == free
    assert cached_sensitivity(model, None, asked, data_path=samples.source) == free
    fast = sensitivity(model, samples, replace(asked, tier=Tier.FAST))
    measured = sensitivity(model, samples, replace(asked, tier=Tier.MEASURED))
    made = _count_work(monkeypatch)
    assert cached_sensitivity(model, None, asked) == measured
    assert cached_sensitivity(model, None, asked, data_path=samples.source) == measured
    assert cached_sensitivity(model, samples, replace(asked, tier=Tier.FAST)) == measured != fast
    assert cached_sensitivity(model, None, replace(asked, settings=SETTINGS[:1])) is None
    _, other = with_data(model.path, x=np.ones((20, 16), np.float32))  # another file in the same place
    assert cached_sensitivity(model, None, asked, data_path=other.source) == free
    assert cached_sensitivity(model, other, replace(asked, tier=Tier.FAST)) is None
    assert not made


def test_a_damaged_better_table_gives_the_next(mlp: tuple[Model, Samples], own_cache: Path) -> None:
    asked = Asked(Tier.FREE, SETTINGS)
    assert cached_sensitivity(mlp[0], None, asked) is None  # no folder yet
    free = sensitivity(mlp[0], None, asked)
    before = set(own_cache.glob("*.json"))
    sensitivity(*mlp, replace(asked, tier=Tier.FAST))
    (fast,) = set(own_cache.glob("*.json")) - before
    fast.write_bytes(b"{")
    assert cached_sensitivity(mlp[0], None, asked) == free
    (own_cache / f"{fast.stem.rsplit('-', 3)[0]}-x-y.json").write_bytes(b"")  # not ours
    assert cached_sensitivity(mlp[0], None, asked) == free


def test_outputs_that_only_a_change_makes_infinite(
    make_model: Callable[..., Path], with_data: WithData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logarithm of a channel that pruning takes: the cell costs infinitely, also when it comes from the cache."""
    weight = np.random.default_rng(0).uniform(1, 2, (16, 16)).astype(np.float32)
    weight[:, 3] = 0.01
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Log", ["h"], ["y"])]
    path = make_model(nodes, {"w": weight}, {"x": ["n", 16]}, {"y": ["n", 16]})
    model, samples = with_data(path, x=np.random.default_rng(1).uniform(1, 2, (4, 16)).astype(np.float32))
    asked = Asked(Tier.MEASURED, SETTINGS, everything=True)
    found = sensitivity(model, samples, asked)
    errors = {cell.label: cell.error for cell in found.cells}
    assert errors["prune 90 %"] == np.inf and 0 < errors["int8"] < 1e-3
    assert next(cell for cell in found.to_dict()["cells"] if cell["setting"] == "prune 90 %")["error"] is None
    made = _count_work(monkeypatch)
    assert sensitivity(model, samples, asked) == found and not made


def test_a_weight_of_zeros_costs_nothing(make_model: Callable[..., Path], with_data: WithData) -> None:
    weights = {"w": np.zeros((32, 32), np.float32), "v": np.random.default_rng(0).standard_normal((32, 32))}
    weights["v"] = weights["v"].astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["x", "v"], ["i"]),
        helper.make_node("Add", ["h", "i"], ["y"]),
    ]  # fmt: skip
    path = make_model(nodes, weights, {"x": ["n", 32]}, {"y": ["n", 32]})
    model, samples = with_data(path, x=np.random.default_rng(1).standard_normal((4, 32)).astype(np.float32))
    for tier in (Tier.FREE, Tier.FAST, Tier.MEASURED):
        found = sensitivity(model, samples, Asked(tier, SETTINGS, everything=tier is Tier.MEASURED))
        assert {cell.tier for cell in found.by_layer["v"]} == {int(tier)} and found.by_layer["w"]
        assert all(cell.error == 0 for cell in found.by_layer["w"])
        assert all(cell.error > 0 for cell in found.by_layer["v"])


def test_several_at_work_in_one_folder(
    mlp: tuple[Model, Samples], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables come, are read and go at the same time: each is whole or not there, and nobody fails."""
    from core.analysis.sensitivity import cache

    monkeypatch.setattr(cache, "MAX_FILES", 2)
    table = sensitivity(mlp[0], None, Asked(Tier.FREE, SETTINGS))
    question = cache.ask(mlp[0], None, SETTINGS, tier=0, everything=False, told=[])
    wrong: list[object] = []

    def work(worker: int) -> None:
        for turn in range(12):
            key = replace(question, exact=f"{(worker + turn) % 3}").key
            told = cache.store(key, table, SETTINGS, own_cache)
            wrong.extend([told] if told else [])
            found = cache.load(key, SETTINGS, own_cache), cache.find(mlp[0], SETTINGS, folder=own_cache)
            wrong.extend(other for other in found if other is not None and other != table)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.find(mlp[0], SETTINGS, folder=own_cache) == table
