"""The public models, opened once, and the task's own metric where the models' builder brings it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from core.data import Samples, load_samples
from core.model.model import Model
from core.model.readers import open_model

NAMES = (
    "lenet300", "lenet5", "vit_digits", "ppocr_cls", "ppocr_det", "ppocr_rec", "silero_vad", "magika", "minilm"
)  # fmt: skip


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest, models_dir: Path) -> str:
    """The name of each public model in turn."""
    if not (models_dir / request.param / "model.onnx").is_file():
        pytest.skip(f"{request.param} is not in {models_dir}")
    return str(request.param)


@pytest.fixture
def folder(models_dir: Path, name: str) -> Path:
    return models_dir / name


@pytest.fixture
def model(folder: Path) -> Model:
    return _opened(folder / "model.onnx")


@pytest.fixture
def calib(folder: Path, model: Model) -> Samples:
    return load_samples(folder / "calib.npz", model.inputs)


@cache
def _opened(path: Path) -> Model:
    return open_model(path)


@pytest.fixture
def metric(folder: Path) -> Callable[[Path], dict[str, float]]:
    """metric(file) -> `value` and `sqnr` of a file on the test set, and `original`, the original's own value.

    `ties` is the share of samples on which the original itself is undecided: agreement on these is a coin toss.
    """
    module = _metric_module()
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    data = dict(np.load(folder / "test.npz", allow_pickle=False))
    reference = module.run(module.session(folder / "model.onnx", 2), data, meta)

    ties = near_ties(reference) if meta["metric"] == "top1_agreement" else 0.0

    def measure(path: Path) -> dict[str, float]:
        outputs = module.run(module.session(path, 2), data, meta)
        value, original = (module.score(meta["metric"], o, reference, data, meta, folder) for o in (outputs, reference))
        return {"value": value, "original": original, "sqnr": module.sqnr(outputs, reference), "ties": ties}

    return measure


def near_ties(outputs: list[list[np.ndarray]], margin: float = 0.002) -> float:
    """Share of samples whose two best class probabilities lie within `margin`."""
    best = [np.sort(np.ravel(output[0]))[-2:] for output in outputs]
    return float(np.mean([high - low < margin for low, high in best]))


@cache
def _metric_module() -> ModuleType:
    """The models builder's own metric.py, beside this repository; skips where it is not."""
    for parent in Path(__file__).parents:
        path = parent / "shared" / "models" / "metric.py"
        if path.is_file():
            spec = importlib.util.spec_from_file_location("public_models_metric", path)
            if spec is not None and spec.loader is not None:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    pytest.skip("the models builder's metric.py is not beside this repository")
