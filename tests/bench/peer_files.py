"""The files that other tools make of a model: ONNX Runtime's quantizers and NNCF, at the settings that they document.

`python tests/bench/peer_files.py TOOL MODEL.onnx CALIB.npz FOLDER` prints one JSON object a line for each setting: its
words, the file or why there is none, and the seconds taken. It needs onnx, onnxruntime, and nncf for NNCF; it imports
nothing of Featherweight, so that it runs in an environment of the tools' own.

Every tool gets the model raised to an opset that it accepts, behind ONNX Runtime's pre-processing (which makes
initializers of constants and folds batch norms).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter

PER_CHANNEL_OPSET = 17  # one scale a channel needs 13; ONNX Runtime's maintainers advise 17
INT4_OPSET = 21  # int4 with DequantizeLinear, in blocks
SAMPLES = 64
ENTROPY_SAMPLES = 32  # this calibrator keeps all activations of its samples in memory

Feed = dict[str, Any]
Make = Callable[[Path], None]
Setting = tuple[str, Make]


def feeds(model: Path, calib: Path, count: int) -> list[Feed]:
    """Inputs of `count` samples: arrays with as many axes as the input are cut, others give their elements."""
    graph = onnx.load(model, load_external_data=False).graph
    data = np.load(calib, allow_pickle=False)
    ranks = {i.name: len(i.type.tensor_type.shape.dim) for i in graph.input if i.name in data}
    count = min(count, *(len(data[name]) for name in ranks))
    return [
        {n: data[n][i : i + 1] if data[n].ndim == rank else np.asarray(data[n][i]) for n, rank in ranks.items()}
        for i in range(count)
    ]


class Reader:
    """Feeds samples to ONNX Runtime's calibrators."""

    def __init__(self, given: list[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(given)

    def get_next(self) -> Feed | None:
        """The next sample, or None."""
        return next(self._feeds, None)


# ---- the model in forms that a tool may accept


def raised(source: Path, opset: int, folder: Path) -> Path:
    """The model at an opset of at least `opset`; the source itself where it has that."""
    given = onnx.load(source)
    if next(o.version for o in given.opset_import if o.domain in ("", "ai.onnx")) >= opset:
        return source
    target = folder / f"opset{opset}.onnx"
    if not target.exists():
        onnx.save(onnx.version_converter.convert_version(given, opset), target)
    return target


def prepared(source: Path, folder: Path) -> Path:
    """The model behind ONNX Runtime's pre-processing, with symbolic shapes where these can be inferred."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    target = folder / f"{source.stem}_prepared.onnx"
    if target.exists():
        return target
    try:
        quant_pre_process(str(source), str(target))
    except Exception:  # noqa: BLE001  symbolic shapes cannot be inferred of every graph (onnxruntime#10484)
        quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
    return target


def forms(source: Path, opset: int, folder: Path) -> list[tuple[str, Path]]:
    """The model as it can be given to a tool: (what was done to it, file). What cannot be done is quoted.

    Raised to an opset where that works, behind the pre-processing first, then without it.
    """
    form = _tried(f"opset {opset}", lambda: raised(source, opset, folder)) or source
    words = "" if form == source else f"opset {opset}"
    ready = _tried("pre-processing", lambda: prepared(form, folder))
    found = [] if ready is None else [(f"{words} prepared".strip(), ready)]
    return [*found, (words, form)]


def _tried(what: str, make: Callable[[], Path]) -> Path | None:
    try:
        return make()
    except Exception as error:  # noqa: BLE001  a tool's failure is one of the results
        _say({"words": what, "failed": _first_line(error)})
        return None


# ---- settings of each tool: (words, make(target))


def dynamic_settings(source: Path, calib: Path, folder: Path) -> Iterator[Setting]:
    """onnxruntime.quantization.quantize_dynamic: signed and unsigned weights, one scale a channel, reduced range."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kinds = {n.op_type for n in onnx.load(source, load_external_data=False).graph.node}
    matrices = ["MatMul", "Gemm", "Gather", "LSTM", "Attention", "EmbedLayerNormalization"]
    only = [None, matrices] if "Conv" in kinds and kinds & set(matrices) else [None]
    signed, unsigned = QuantType.QInt8, QuantType.QUInt8
    # A reduced range is exact without VNNI where signed weights meet unsigned activations (onnxruntime#11415).
    combined = [(signed, True, True), (signed, True, False), (signed, False, True)]
    combined += [(unsigned, True, False), (unsigned, False, False)]
    for words, form in forms(source, PER_CHANNEL_OPSET, folder):
        for weights, per_channel, reduce_range in combined:
            for types in only:
                parts = (
                    words, weights.name[1:], "per channel" if per_channel else "per tensor",
                    "reduced range" if reduce_range else "", "no Conv" if types else "",
                )  # fmt: skip
                values = {
                    "weight_type": weights, "per_channel": per_channel, "reduce_range": reduce_range,
                    "op_types_to_quantize": types,
                }  # fmt: skip

                def make(target: Path, form: Path = form, values: dict[str, Any] = values) -> None:
                    quantize_dynamic(str(form), str(target), **values)

                yield _words(parts), make


def static_settings(source: Path, calib: Path, folder: Path) -> Iterator[Setting]:
    """onnxruntime.quantization.quantize_static: QDQ, signed and unsigned activations, three calibrators."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    calibrators = (CalibrationMethod.MinMax, CalibrationMethod.Percentile, CalibrationMethod.Entropy)
    given = feeds(source, calib, SAMPLES)
    for words, form in forms(source, PER_CHANNEL_OPSET, folder)[:1]:
        for activations in (QuantType.QInt8, QuantType.QUInt8):
            for calibrator in calibrators:
                for per_channel in (True, False):
                    parts = (words, activations.name[1:], calibrator.name, "per channel" if per_channel else "")
                    few = given if calibrator is CalibrationMethod.MinMax else given[:ENTROPY_SAMPLES]

                    def make(
                        target: Path, form: Path = form, activations: Any = activations, calibrator: Any = calibrator,
                        per_channel: bool = per_channel, few: list[Feed] = few,
                    ) -> None:  # fmt: skip
                        quantize_static(
                            str(form), str(target), Reader(few), quant_format=QuantFormat.QDQ, per_channel=per_channel,
                            activation_type=activations, weight_type=QuantType.QInt8, calibrate_method=calibrator,
                            reduce_range=activations is QuantType.QUInt8,  # exact without VNNI (onnxruntime#11415)
                        )  # fmt: skip

                    yield _words(parts), make


def nbits_settings(source: Path, calib: Path, folder: Path) -> Iterator[Setting]:
    """onnxruntime's MatMulNBits: 4 and 8 bits, blocks of 32 and 128, with and without zero points, also lookups."""
    from onnxruntime.quantization import QuantFormat
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        HQQWeightOnlyQuantConfig,
        KQuantWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
        RTNWeightOnlyQuantConfig,
    )

    lookups = ("MatMul", "Gather")
    kinds = {n.op_type for n in onnx.load(source, load_external_data=False).graph.node}
    targets = (("MatMul",), lookups) if "Gather" in kinds else (("MatMul",),)

    def configs() -> Iterator[tuple[str, Callable[[], Any], dict[str, Any]]]:
        for bits in (4, 8):
            for block in (32, 128):
                for symmetric in (True, False):
                    for types in targets:
                        told = "+Gather" if types is lookups else ""
                        parts = (f"int{bits} blocks of {block}", "symmetric" if symmetric else "", told)
                        values = {"block_size": block, "is_symmetric": symmetric}
                        yield (
                            _words(parts),
                            lambda v=values, b=bits, t=types: DefaultWeightOnlyQuantConfig(  # type: ignore[misc]
                                **v, bits=b, op_types_to_quantize=t
                            ),
                            values,
                        )
        for block in (32, 128):
            values = {"block_size": block, "is_symmetric": False}
            yield f"int4 blocks of {block} QDQ", (
                lambda v=values: DefaultWeightOnlyQuantConfig(**v, bits=4, quant_format=QuantFormat.QDQ)  # type: ignore[misc]
            ), values
            yield f"int4 blocks of {block} k-quant", KQuantWeightOnlyQuantConfig, values
            yield f"int4 blocks of {block} RTN", RTNWeightOnlyQuantConfig, values
            yield f"int4 blocks of {block} HQQ", lambda b=block: HQQWeightOnlyQuantConfig(b), values  # type: ignore[misc]

    for words, form in forms(source, INT4_OPSET, folder):
        for told, config, values in configs():

            def make(
                target: Path, form: Path = form, config: Callable[[], Any] = config, values: dict[str, Any] = values
            ) -> None:
                quantizer = MatMulNBitsQuantizer(onnx.load(form), **values, algo_config=config())
                quantizer.process()
                onnx.save(quantizer.model.model, target)

            yield _words((words, told)), make


def nncf_ptq_settings(source: Path, calib: Path, folder: Path) -> Iterator[Setting]:
    """nncf.quantize: both presets, both bias corrections, the transformer's patterns where there is attention."""
    import nncf

    given = feeds(source, calib, SAMPLES)
    kinds = [n.op_type for n in onnx.load(source, load_external_data=False).graph.node]
    attention = kinds.count("Softmax") > 1
    for words, form in forms(source, PER_CHANNEL_OPSET, folder)[:1]:
        for preset in (nncf.QuantizationPreset.PERFORMANCE, nncf.QuantizationPreset.MIXED):
            for fast in (True, False):
                for kind in (None, nncf.ModelType.TRANSFORMER) if attention else (None,):
                    parts = (
                        words, preset.value, "fast bias correction" if fast else "bias correction",
                        "transformer" if kind else "",
                    )  # fmt: skip

                    def make(
                        target: Path, form: Path = form, preset: Any = preset, fast: bool = fast, kind: Any = kind
                    ) -> None:
                        found = nncf.quantize(
                            onnx.load(form), nncf.Dataset(given), preset=preset, fast_bias_correction=fast,
                            model_type=kind, subset_size=len(given), target_device=nncf.TargetDevice.CPU,
                        )  # fmt: skip
                        onnx.save(found, target)

                    yield _words(parts), make


def _nncf_weight_options(source: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Words and arguments. Groups that do not divide a weight are adjusted; the tool's Conv files often do not run."""
    import nncf

    modes = nncf.CompressWeightsMode
    adjusted = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)
    int4: list[tuple[str, dict[str, Any]]] = []
    for mode, kind in ((modes.INT4_ASYM, "asymmetric"), (modes.INT4_SYM, "symmetric")):
        for group in (32, 128, -1):
            told = "one group" if group < 0 else f"groups of {group}"
            values = {"mode": mode, "group_size": group, "advanced_parameters": adjusted}
            int4.append((f"int4 {kind} {told} all layers", {**values, "all_layers": True}))
        int4.append((f"int4 {kind} groups of 128", {"mode": mode, "group_size": 128, "advanced_parameters": adjusted}))
        half = {"mode": mode, "group_size": 32, "advanced_parameters": adjusted}
        int4 += [(f"int4 {kind} groups of 32 for {ratio:.0%}", {**half, "ratio": ratio}) for ratio in (0.5, 0.8)]
        int4.append((f"int4 {kind} groups of 32 all layers AWQ", {**half, "all_layers": True, "awq": True}))
        scaled = {**half, "all_layers": True, "scale_estimation": True}
        int4.append((f"int4 {kind} groups of 32 all layers scale estimation", scaled))
    every = [("int8 asymmetric", {"mode": modes.INT8_ASYM}), ("int8 symmetric", {"mode": modes.INT8_SYM}), *int4]
    yield from every
    if any(node.op_type == "Conv" for node in onnx.load(source, load_external_data=False).graph.node):
        without = nncf.IgnoredScope(types=["Conv"], validate=False)
        yield from ((f"{words} no Conv", {**values, "ignored_scope": without}) for words, values in every)


def nncf_weights_settings(source: Path, calib: Path, folder: Path) -> Iterator[Setting]:
    """nncf.compress_weights: int8 and int4, all layers or the tool's own choice, groups, AWQ and scale estimation."""
    import nncf

    given = feeds(source, calib, SAMPLES)
    options = list(_nncf_weight_options(source))
    for words, form in forms(source, INT4_OPSET, folder)[:1]:
        for told, values in options:

            def make(target: Path, form: Path = form, values: dict[str, Any] = values) -> None:
                learns = values.get("awq") or values.get("scale_estimation") or "ratio" in values
                dataset = nncf.Dataset(given) if learns else None
                onnx.save(nncf.compress_weights(onnx.load(form), dataset=dataset, **values), target)

            yield _words((words, told)), make


def float16_settings(source: Path, calib: Path, folder: Path) -> Iterator[Setting]:
    """onnxruntime.transformers.float16: half the bytes. No quantizer, and listed beside the others only."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    for words, form in forms(source, PER_CHANNEL_OPSET, folder):

        def make(target: Path, form: Path = form) -> None:
            onnx.save(convert_float_to_float16(onnx.load(form), keep_io_types=True), target)

        yield _words((words, "float16")), make


TOOLS: dict[str, Callable[[Path, Path, Path], Iterator[Setting]]] = {
    "ORT dynamic": dynamic_settings,
    "ORT static": static_settings,
    "ORT MatMulNBits": nbits_settings,
    "NNCF PTQ": nncf_ptq_settings,
    "NNCF compress_weights": nncf_weights_settings,
    "ORT float16": float16_settings,
}


def make_files(tool: str, source: Path, calib: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """The files of one tool: {words, file, seconds} of each setting, {words, failed} where there is none."""
    for number, (words, make) in enumerate(TOOLS[tool](source, calib, folder)):
        target = folder / f"{number:03}.onnx"
        start = time.perf_counter()
        try:
            make(target)
        except Exception as error:  # noqa: BLE001  a tool's failure is one of the results
            yield {"words": words, "failed": _first_line(error)}
            continue
        yield {"words": words, "file": str(target), "seconds": round(time.perf_counter() - start, 2)}


def _words(parts: tuple[str, ...]) -> str:
    return " ".join(part for part in parts if part)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160] if text else ''}"


def _say(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def main() -> None:
    """The command line; see above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=sorted(TOOLS))
    parser.add_argument("model", type=Path)
    parser.add_argument("calib", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)
    for found in make_files(given.tool, given.model, given.calib, given.folder):
        _say(found)


if __name__ == "__main__":
    sys.exit(main())
