"""Every integer layer of public models passes its own check, and does not take long to."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import core.exporting.export as exporting
from core.data import Samples
from core.exporting.writer import assemble
from core.model.model import Model
from core.pipeline import compress
from core.recipe import Recipe, Step

pytestmark = pytest.mark.models

SECONDS = 10.0
"""Some four times what the slowest of these models takes on two processors."""


@pytest.mark.parametrize(
    ("scheme", "values"),
    [
        ("static", {}), ("static", {"weights": "uint8"}), ("dynamic", {}), ("nbits", {}),
        ("nbits", {"inputs": "float32"}),
    ],
)  # fmt: skip
def test_integer_layers(
    model: Model, calib: Samples, scheme: str, values: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took, check = [], exporting.check_integer_layers

    def timed(*args, **words):
        start = time.perf_counter()
        found = check(*args, **words)
        took.append(time.perf_counter() - start)
        return found

    monkeypatch.setattr(exporting, "check_integer_layers", timed)
    few = calib.subset(8)
    done = compress(model, Recipe(defaults=(Step.make(f"quantize:{scheme}", **values),)), samples=few)
    rewritten = assemble(model, {r.name: r.encoding for r in done.layers if r.encoding is not None}).split
    report = exporting.export(model, done, tmp_path / "out.onnx", few)
    texts = [check.text for check in report.checks if check.name == "layers" and check.passed]
    assert len(texts) == bool(rewritten)
    assert len(rewritten) < 2 or texts[0].startswith(f"{len(rewritten)} layers")
    assert took[0] < SECONDS
