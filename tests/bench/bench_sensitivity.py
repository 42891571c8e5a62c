"""What sensitivity costs and how well it predicts: the figures of the three tiers on public models.

Prints processor time (all threads), which a busy machine changes little, and the clock's. Asserts only what must be
so: that measuring behind a layer gives the values of a session rebuilt for the cell.
Run it with `python -m pytest tests/bench/bench_sensitivity.py -m bench -s`.
"""

from __future__ import annotations

import os
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
TURNS = 3


@contextmanager
def stopwatch(spent: dict[str, float], what: str) -> Iterator[None]:
    start = time.process_time()
    yield
    spent[what] = spent.get(what, 0.0) + time.process_time() - start


@contextmanager
def both_clocks(wall: dict[str, float], used: dict[str, float], what: str) -> Iterator[None]:
    start = time.perf_counter()
    with stopwatch(used, what):
        yield
    wall[what] += time.perf_counter() - start


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


@pytest.mark.parametrize("name", ["lenet5", "vit_digits", "ppocr_rec", "minilm"])
def test_measuring_against_a_session_for_each_cell(models_dir: Path, tmp_path: Path, name: str) -> None:
    """The same cells on the same samples, in turns, so that other work on the machine meets both.

    The weights' encodings are made before: what is compared is running, sessions and files. The plain way is what a
    person would write: save the model with the changed weight, open it with ONNX Runtime's default options (as many
    threads as processors), run one sample after the other.
    """
    model, samples = opened(models_dir / name)
    samples = samples.subset(SAMPLES)
    trials = {layer.name: found for layer, found in Trials(model, SizeModel(model), default_settings()).all()}

    def known(layer: Layer, _: Reporter) -> LayerTrials:
        return trials[layer.name]

    able = [layer for layer in model.layers if trials[layer.name].trials]
    layers = able[:: -(-len(able) // MOST_LAYERS)]
    wall, used = {"ours": 0.0, "rebuilt": 0.0}, {"ours": 0.0, "rebuilt": 0.0}
    cells: list[Cell] = []
    worst, rebuilt = 0.0, 0
    single = plain_runs(model, {}, samples, tmp_path)
    suffixes = Suffixes(model)
    with both_clocks(wall, used, "ours"):
        suffixes.__enter__()
        sizes = frontier_sizes(model, suffixes, samples.feed(0))
        originals = run_originals(model, suffixes, samples, SILENT, largest=max(sizes.values()))
    references = [originals.divergence.against(dict(zip(suffixes.outputs, o, strict=True)), 1) for o in single]
    scale = np.sum([reference.scale for reference in references], axis=0)
    for turn in range(TURNS):
        found = []
        with both_clocks(wall, used, "ours"):
            for part in Measuring(model, suffixes, originals, known).layers(layers[turn::TURNS], sizes, SILENT):
                found += part.cells
        cells += found
        for cell in found[turn :: -(-len(found) * TURNS // MOST_CELLS)]:
            trial = next(trial for trial in trials[cell.layer].trials if trial.cell.steps == cell.steps)
            weight = np.ascontiguousarray(trial.encoding.decode())
            with both_clocks(wall, used, "rebuilt"):
                outputs = plain_runs(model, {cell.layer: weight}, samples, tmp_path)
            sums = [
                r.sums(dict(zip(suffixes.outputs, o, strict=True))) for r, o in zip(references, outputs, strict=True)
            ]
            worst = max(worst, abs(cell.error - error_of(np.sum(sums, axis=0), scale)))
            rebuilt += 1
    suffixes.__exit__()
    ours, plain = ((1e3 * clock["ours"] / len(cells), 1e3 * clock["rebuilt"] / rebuilt) for clock in (wall, used))
    print(
        f"\n{name}: {len(cells)} cells of {len(layers)} layers on {samples.n} samples; a cell takes {ours[0]:.1f} ms "
        f"behind the layer, {ours[1]:.1f} ms with a session for each ({ours[1] / ours[0]:.1f} x); processor time "
        f"{plain[0]:.1f} and {plain[1]:.1f} ms ({plain[1] / plain[0]:.1f} x); load {os.getloadavg()[0]:.1f}; largest "
        f"difference {worst:.1e}"
    )
    assert worst <= 1e-4


def plain_runs(model: Model, weights: dict[str, np.ndarray], samples: Samples, folder: Path) -> list[list[np.ndarray]]:
    """All outputs for each sample of a new session, with default options, of the model with these weights."""
    import onnxruntime

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
    sess = onnxruntime.InferenceSession(path)
    return [sess.run(None, feed) for feed in samples.feeds()]
