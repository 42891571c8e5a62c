"""Static int8 against float32 and against ONNX Runtime's own static quantization, on LeNet-5 and the text recognizer.

Peers get the same calibration samples and every fair chance: signed and unsigned activations, three calibrators, one
scale a channel, their own pre-processing. Times are measured in turn with the original; ratios are to float32.
Run with `python -m pytest tests/bench/bench_integer.py -m bench -s`; needs the public models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.analysis.latency import compare_latency
from core.data import Samples
from core.errors import FeatherweightError
from core.exporting.export import export
from core.model.model import Model
from core.pipeline import compress
from core.recipe import Recipe
from tests.bench.peer_files import make_files

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

NAMES = ("lenet5", "ppocr_rec")
RECIPE = "featherweight: 1\ndefaults: [{quantize: {scheme: static}}]\n"
SECONDS = 6.0


def peers(folder: Path, made: Path) -> Iterator[tuple[str, Path]]:
    """Files that onnxruntime.quantization.quantize_static writes, with their settings in words."""
    logging.getLogger().setLevel(logging.ERROR)
    for found in make_files("ORT static", folder / "model.onnx", folder / "calib.npz", made):
        words = f"ORT static {found['words']}"
        if "file" in found:
            yield words, Path(found["file"])
        else:
            print(f"{words:44} failed: {found['failed'][:100]}")


def test_static_int8(
    name: str, folder: Path, model: Model, calib: Samples, metric: Callable[[Path], dict[str, float]], tmp_path: Path
) -> None:
    if name not in NAMES:
        pytest.skip("the bars are for LeNet-5 and the text recognizer")
    source, ours = folder / "model.onnx", tmp_path / "ours.onnx"
    export(model, compress(model, Recipe.parse(RECIPE), samples=calib), ours, calib)
    feeds = list(calib.feeds(8))
    print(f"\n{name:44} {'time':>7} {'file':>7} {'metric':>8} {'SQNR':>7}")
    for words, path in (("Featherweight static", ours), *peers(folder, tmp_path)):
        try:
            ratio = compare_latency(source, path, feeds, seconds=SECONDS).ratio
        except FeatherweightError as error:
            print(f"{words:44} does not run: {error.what[:90]}")
            continue
        found = metric(path)
        share = path.stat().st_size / source.stat().st_size
        print(f"{words:44} {ratio:6.2f}x {share:6.3f}x {found['value']:8.4f} {found['sqnr']:6.1f}")
    print(f"{'float32':44} {1:6.2f}x {1:6.3f}x {found['original']:8.4f}")
