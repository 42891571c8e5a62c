"""The planner: its front and exact choice for 500 layers of 24 settings; plans of public models against one setting.

The yardsticks of a plan are int8 and int4 for all layers, with the same samples in the same run.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from core.analysis.hulls import Points, front
from core.data import load_samples
from core.exporting.sizes import SizeModel
from core.model.readers import open_model
from core.plan_job import PlanSpec, plan_file
from core.planning.evaluation import Evaluator
from core.planning.knapsack import choose
from core.planning.workshop import Workshop
from core.recipe import Step

pytestmark = pytest.mark.bench

CASES = [("lenet5", "15%"), ("vit_digits", "15%"), ("ppocr_rec", "25%"), ("ppocr_rec", "15%"), ("minilm", "15%")]


def random_layers(count: int, settings: int) -> list[Points]:
    random = np.random.default_rng(0)
    layers = []
    for _ in range(count):
        costs = np.round(random.uniform(1e2, 1e4, settings) * 10 ** random.uniform(0, 2))
        layers.append(Points(costs, random.uniform(0.5, 2, settings) * random.lognormal(0, 2) / costs**2))
    return layers


def test_allocation() -> None:
    layers = random_layers(500, 24)
    start = time.perf_counter()
    sweep = front(layers)
    print(f"\nfront of 500 x 24: {time.perf_counter() - start:.3f} s, {len(sweep)} plans")
    slowest, largest = 0.0, 0.0
    for share in np.linspace(0.02, 0.98, 25):
        budget = float(sweep.costs[0] + share * (sweep.costs[-1] - sweep.costs[0]))
        start = time.perf_counter()
        found = choose(layers, budget)
        slowest = max(slowest, time.perf_counter() - start)
        largest = max(largest, found.gap / found.error)
    print(f"exact choice, 25 budgets: at most {slowest:.3f} s, gap at most {largest:.1e}")


@pytest.mark.parametrize(("name", "size"), CASES)
def test_plan_against_uniform(models_dir: Path, name: str, size: str) -> None:
    folder = models_dir / name
    if not (folder / "model.onnx").is_file():
        pytest.skip(f"{name} is not in {models_dir}")
    start = time.perf_counter()
    plan = plan_file(PlanSpec(str(folder / "model.onnx"), "size", size, str(folder / "calib.npz")))
    seconds = time.perf_counter() - start
    model = open_model(folder / "model.onnx")
    test = load_samples(folder / "test.npz", model.inputs)
    calibration, _ = load_samples(folder / "calib.npz", model.inputs).split(64)
    evaluator, workshop = Evaluator(model, model, test, limit=256), Workshop(model, SizeModel(model), calibration)
    rows = [("plan", {layer.name: plan.recipe.steps_for(layer.name) for layer in model.layers})]
    for bits in (8, 4):
        step = Step.make("quantize", bits=bits)
        rows.append((f"int{bits}", {layer.name: (step,) for layer in model.layers if not layer.locked}))
    print(f"\n{name} at {size}: planned in {seconds:.0f} s")
    for label, steps in rows:
        found = evaluator.measure(workshop.encodings(steps))
        nbytes = workshop.file_bytes(steps)
        print(f"  {label:5} {nbytes / model.file_bytes:.3f} of the file, {found.sqnr_db:.1f} dB, "
              f"{100 * found.value:.2f} % {found.metric_text}")  # fmt: skip
