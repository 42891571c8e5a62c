"""What sensitivity costs and how well it predicts: the figures of the three tiers on public models.

Prints processor time (all threads), so that a busy machine changes little. Asserts only what must be so: that measuring
behind a layer gives the values of a session rebuilt for the cell.
Run it with `python -m pytest tests/bench/bench_sensitivity.py -m bench -s`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from scipy.stats import spearmanr

from core import kernels
from core.analysis.runtime import run, session
from core.analysis.sensitivity.cells import Cell, Tier
from core.analysis.sensitivity.divergence import error_of
from core.analysis.sensitivity.measured import Measuring, frontier_sizes
from core.analysis.sensitivity.originals import run_originals
from core.analysis.sensitivity.settings import default_settings
from core.analysis.sensitivity.suffixes import Suffixes
from core.analysis.sensitivity.table import SAMPLES, Asked, sensitivity
from core.analysis.sensitivity.trials import LayerTrials, Trials
from core.data import Samples, load_samples
from core.exporting.sizes import SizeModel
from core.model.graph import find_constant
from core.model.layer import Layer
from core.model.model import Model
from core.model.readers import open_model
from core.progress import SILENT, Reporter

pytestmark = [pytest.mark.bench, pytest.mark.models, pytest.mark.timeout(3600)]

MOST_LAYERS, MOST_CELLS = 12, 24
"""What is measured both ways, spread over the model: a cell takes up to two seconds."""


@contextmanager
def stopwatch(spent: dict[str, float], what: str) -> Iterator[None]:
    start = time.process_time()
    yield
    spent[what] = spent.get(what, 0.0) + time.process_time() - start


def opened(folder: Path) -> tuple[Model, Samples]:
    kernels.warm()
    model = open_model(folder / "model.onnx")
    return model, load_samples(folder / "calib.npz", model.inputs)


def test_free_tier_of_minilm(models_dir: Path, tmp_path: Path) -> None:
    model, _ = opened(models_dir / "minilm")
    start, used = time.perf_counter(), time.process_time()
    found = sensitivity(model, None, Asked(Tier.FREE), cache=tmp_path)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    print(f"\nminilm, {len(found.cells)} cells without data: {seconds:.1f} s, {used:.1f} s of processor time")


@pytest.mark.parametrize("name", ["lenet5", "vit_digits", "minilm"])
def test_predictions_rank_as_measured(models_dir: Path, tmp_path: Path, name: str) -> None:
    model, samples = opened(models_dir / name)
    spent: dict[str, float] = {}
    with stopwatch(spent, "free"):
        free = sensitivity(model, None, Asked(Tier.FREE), cache=tmp_path)
    with stopwatch(spent, "fast"):
        fast = sensitivity(model, samples, Asked(Tier.FAST), cache=tmp_path)
    with stopwatch(spent, "hull"):
        hull = sensitivity(model, samples, Asked(Tier.MEASURED), cache=tmp_path)
    with stopwatch(spent, "all"):
        measured = sensitivity(model, samples, Asked(Tier.MEASURED, everything=True), cache=tmp_path)
    errors = {tier: [cell.error for cell in found.cells] for tier, found in (("free", free), ("fast", fast))}
    ranks = {tier: spearmanr(found, [c.error for c in measured.cells]).statistic for tier, found in errors.items()}
    tiers = Counter(cell.tier for cell in hull.cells)
    print(
        f"\n{name}: {len(measured.cells)} cells on {SAMPLES} samples ({measured.measure}); Spearman with measured: "
        f"weights {ranks['free']:.3f}, gradients {ranks['fast']:.3f}; processor time: weights {spent['free']:.1f} s, "
        f"gradients {spent['fast']:.1f} s, {tiers[2]} cells of the hulls more {spent['hull']:.1f} s, "
        f"all measured {spent['all']:.1f} s"
    )


@pytest.mark.parametrize("name", ["lenet5", "vit_digits", "ppocr_rec"])
def test_measuring_against_a_session_for_each_cell(models_dir: Path, tmp_path: Path, name: str) -> None:
    """The same cells on the same samples, the weights' encodings made before: running and sessions alone."""
    model, samples = opened(models_dir / name)
    samples = samples.subset(SAMPLES)
    trials = {layer.name: found for layer, found in Trials(model, SizeModel(model), default_settings()).all()}

    def known(layer: Layer, _: Reporter) -> LayerTrials:
        return trials[layer.name]

    able = [layer for layer in model.layers if trials[layer.name].trials]
    layers = able[:: -(-len(able) // MOST_LAYERS)]
    spent: dict[str, float] = {}
    cells: list[Cell] = []
    with stopwatch(spent, "ours"), Suffixes(model, threads=1) as suffixes:
        sizes = frontier_sizes(model, suffixes, samples.feed(0))
        originals = run_originals(model, suffixes, samples, SILENT, largest=max(sizes.values()))
        for found in Measuring(model, suffixes, originals, known).layers(layers, sizes, SILENT):
            cells += found.cells
    chosen = cells[:: -(-len(cells) // MOST_CELLS)]
    single = [dict(zip(suffixes.outputs, o, strict=True)) for o in plain_runs(model, {}, samples, tmp_path)]
    references = [originals.divergence.against(outputs, 1) for outputs in single]
    worst = 0.0
    for cell in chosen:
        trial = next(trial for trial in trials[cell.layer].trials if trial.cell.steps == cell.steps)
        weight = np.ascontiguousarray(trial.encoding.decode())
        with stopwatch(spent, "rebuilt"):
            outputs = plain_runs(model, {cell.layer: weight}, samples, tmp_path)
        sums = [r.sums(dict(zip(suffixes.outputs, o, strict=True))) for r, o in zip(references, outputs, strict=True)]
        expected = error_of(np.sum(sums, axis=0), np.sum([r.scale for r in references], axis=0))
        worst = max(worst, abs(cell.error - expected))
    ours, rebuilt = spent["ours"] / len(cells), spent["rebuilt"] / len(chosen)
    print(
        f"\n{name}: {len(cells)} cells on {samples.n} samples, processor time a cell: {1e3 * ours:.1f} ms behind the "
        f"layer, {1e3 * rebuilt:.1f} ms with a session for each ({rebuilt / ours:.1f} x); largest difference "
        f"{worst:.1e}"
    )
    assert worst <= 1e-4


def plain_runs(
    model: Model, weights: dict[str, np.ndarray], samples: Samples, folder: Path
) -> list[list[np.ndarray]]:
    """All outputs for each sample of a new session of the model with these weights."""
    graph = model.graph()
    for name, weight in weights.items():
        stored = find_constant(graph, name)
        tensor = ir.tensor(weight.astype(model.layer(name).dtype))
        if stored.node is None:
            stored.value.const_value = tensor
        else:
            stored.node.attributes["value"] = ir.AttrTensor("value", tensor)
    path = folder / "rebuilt.onnx"
    ir.save(graph, path)
    sess = session(path)
    return [run(sess, feed) for feed in samples.feeds()]
