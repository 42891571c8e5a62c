"""Static int8 against float32 and against ONNX Runtime's own static quantization, on LeNet-5 and the text recognizer.

Peers get the same calibration samples and every fair chance: signed and unsigned activations, three calibrators, one
scale a channel, their own pre-processing. Times are measured in turn with the original; ratios are to float32.
Run with `python -m pytest tests/bench/bench_integer.py -m bench -s`; needs the public models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
import pytest

from core.analysis.latency import compare_latency
from core.data import Samples
from core.errors import FeatherweightError
from core.exporting.export import export
from core.model.model import Model
from core.pipeline import compress
from core.recipe import Recipe

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

NAMES = ("lenet5", "ppocr_rec")
RECIPE = "featherweight: 1\ndefaults: [{quantize: {scheme: static}}]\n"
SECONDS = 6.0
PEER_OPSET = 17  # one scale a channel needs 13
PEER_SAMPLES = 32  # the entropy calibrator keeps all activations of its samples in memory


class Reader:
    """Feeds samples to ONNX Runtime's calibrators."""

    def __init__(self, samples: Samples) -> None:
        self._feeds: Iterator[dict[str, np.ndarray]] = iter(samples.feeds(PEER_SAMPLES))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def peers(source: Path, samples: Samples, folder: Path) -> Iterator[tuple[str, Path]]:
    """Files that onnxruntime.quantization.quantize_static writes, with their settings in words."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger().setLevel(logging.ERROR)
    raised, prepared = folder / "raised.onnx", folder / "prepared.onnx"
    given = onnx.load(source)
    if given.opset_import[0].version < PEER_OPSET:
        given = onnx.version_converter.convert_version(given, PEER_OPSET)
    onnx.save(given, raised)
    quant_pre_process(str(raised), str(prepared), skip_symbolic_shape=True)
    for activations in (QuantType.QInt8, QuantType.QUInt8):
        for method in (CalibrationMethod.MinMax, CalibrationMethod.Percentile, CalibrationMethod.Entropy):
            words = f"ORT static {activations.name[1:]} {method.name}"
            target = folder / f"{words.replace(' ', '_')}.onnx"
            try:
                quantize_static(
                    str(prepared), str(target), Reader(samples), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=activations, weight_type=QuantType.QInt8, calibrate_method=method,
                    reduce_range=activations is QuantType.QUInt8,
                )
            except Exception as error:  # noqa: BLE001  quoted, as any peer's failure is
                print(f"{words:34} failed: {str(error).splitlines()[0][:100]}")
                continue
            yield words, target


def test_static_int8(
    name: str, folder: Path, model: Model, calib: Samples, metric: Callable[[Path], dict[str, float]], tmp_path: Path
) -> None:
    if name not in NAMES:
        pytest.skip("the bars are for LeNet-5 and the text recognizer")
    source, ours = folder / "model.onnx", tmp_path / "ours.onnx"
    export(model, compress(model, Recipe.parse(RECIPE), samples=calib), ours, calib)
    feeds = list(calib.feeds(8))
    print(f"\n{name:34} {'time':>7} {'file':>7} {'metric':>8} {'SQNR':>7}")
    for words, path in (("Featherweight static", ours), *peers(source, calib, tmp_path)):
        try:
            ratio = compare_latency(source, path, feeds, seconds=SECONDS).ratio
        except FeatherweightError as error:
            print(f"{words:34} does not run: {error.what[:90]}")
            continue
        found = metric(path)
        share = path.stat().st_size / source.stat().st_size
        print(f"{words:34} {ratio:6.2f}x {share:6.3f}x {found['value']:8.4f} {found['sqnr']:6.1f}")
    print(f"{'float32':34} {1:6.2f}x {1:6.3f}x {found['original']:8.4f}")
