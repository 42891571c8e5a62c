"""How near torch runs the public models to ONNX Runtime, which operators are missing, and what training costs in time.

Prints two tables in markdown; asserts nothing on time.
Run it with `python -m pytest tests/bench/bench_interpreter.py -m bench -s`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core.analysis.runtime import output_names, run, session
from core.data import load_samples
from core.interpreter.module import TorchGraph, missing_operators
from core.interpreter.tensors import from_array
from core.model.readers import open_model
from core.pipeline import compress
from core.recipe import Recipe
from core.training.feeding import batch
from core.training.student import Student

pytestmark = [pytest.mark.bench, pytest.mark.models]
NAMES = ("lenet300", "lenet5", "vit_digits", "ppocr_cls", "ppocr_det", "ppocr_rec", "silero_vad", "magika", "minilm")
FEEDS, BATCH, STEPS = 8, 64, 40
RECIPES = {
    "no recipe": "",
    "92 % zeros, 16 levels": "{prune: {ratio: 0.92}}, {quantize: {scheme: codebook, bits: 4}}",
    "int4": "{quantize: {bits: 4}}",
    "ternary": "{quantize: {scheme: ternary}}",
}


def test_parity(models_dir: Path) -> None:
    print("\n| model | operators | kinds | missing | largest difference | of outputs |\n|---|---|---|---|---|---|")
    for name in NAMES:
        path = models_dir / name / "model.onnx"
        if not path.is_file():
            continue
        model = open_model(path)
        graph = model.graph()
        kinds = Counter(node.op_type for node in graph.graph.all_nodes())
        lacking = missing_operators(graph)
        if lacking:
            print(f"| {name} | {kinds.total()} | {len(kinds)} | {', '.join(lacking)} | - | - |")
            continue
        difference, outputs = _difference(path, TorchGraph(graph))
        print(f"| {name} | {kinds.total()} | {len(kinds)} | none | {difference:.1e} | {outputs} |")


def _difference(path: Path, graph: TorchGraph) -> tuple[float, int]:
    """The largest difference of any output on some samples, relative to its largest magnitude there."""
    reference, worst = session(path), 0.0
    names = output_names(reference)
    for feed in load_samples(path.parent / "calib.npz", open_model(path).inputs).feeds(FEEDS):
        wanted = dict(zip(names, run(reference, feed), strict=True))
        with torch.no_grad():
            found = graph({key: from_array(array) for key, array in feed.items()})
        for key, values in wanted.items():
            apart = np.abs(found[key].numpy() - values).max() / max(float(np.abs(values).max()), 1e-30)
            worst = max(worst, float(apart))
    return worst, len(names)


def test_time_of_training(models_dir: Path) -> None:
    """LeNet-5 on one thread: a student's step against that of the same network in torch.nn."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        path = models_dir / "lenet5" / "model.onnx"
        model = open_model(path)
        samples = load_samples(models_dir / "lenet5" / "train.npz", model.inputs)
        plain = _plain()
        print("\n| LeNet-5, batch of 64 | ms a step | of torch.nn |\n|---|---|---|")
        given = torch.from_numpy(samples.columns[0].batch(np.arange(BATCH)))
        base = _milliseconds(plain, lambda: plain(given))
        print(f"| torch.nn | {base:.1f} | 1.00 |")
        for title, steps in RECIPES.items():
            compression = compress(model, Recipe.parse(f"featherweight: 1\ndefaults: [{steps}]\n"))
            student = Student(model, compression)
            feeds = batch(samples, range(BATCH))
            took = _milliseconds(student, lambda student=student, feeds=feeds: student(feeds)["logits"])
            print(f"| {title} | {took:.1f} | {took / base:.2f} |")
    finally:
        torch.set_num_threads(threads)


def _plain() -> torch.nn.Module:
    """LeNet-5 of 431 thousand weights (Caffe's)."""
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))  # fmt: skip


def _milliseconds(module: torch.nn.Module, forward: Callable[[], torch.Tensor]) -> float:
    """The median time of a training step."""
    optimiser, labels = torch.optim.Adam(module.parameters(), lr=1e-4), torch.arange(BATCH) % 10
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(forward(), labels).backward()
        optimiser.step()
        times.append(time.perf_counter() - start)
    return 1000.0 * float(np.median(times))
