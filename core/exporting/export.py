"""Export: assemble the compressed graph, write it beside the target, pass the gate, and only then put it in place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from core.data.samples import Samples
from core.encoding import Encoding
from core.errors import FeatherweightError
from core.exporting.cut_check import check_rewriting
from core.exporting.gate import gate
from core.exporting.integer_check import check_integer_layers
from core.exporting.report import ExportReport
from core.exporting.sizes import SizeModel
from core.exporting.staging import Staging, check_target, staged
from core.exporting.writer import Assembly, assemble, simulate
from core.model.model import Model
from core.pipeline import Compression, LayerResult
from core.progress import SILENT, Reporter
from core.rewriting.rewrite import Rewriting
from core.scratch import scratch_folder

ONE_FILE_LIMIT = 1_900_000_000
"""Bytes above which weights go into an external data file (protobuf takes no message of 2 GiB)."""
PARITY_SAMPLES = 4
"""Samples that the gate compares on; every one runs through two models."""


def export(
    model: Model,
    compression: Compression,
    target: Path,
    samples: Samples | None = None,
    reporter: Reporter = SILENT,
    *,
    untrained: Rewriting | None = None,
) -> ExportReport:
    """Write the compressed model to `target`, whole or not at all.

    samples    data for the parity check; without it the gate makes inputs up
    untrained  the graph and channel steps before weights were trained behind them, for the comparison with the masked
               original; None: nothing was trained

    Raises TargetError, GateError, Cancelled. The source file is never touched.
    """
    check_target(target, model.path, model.data_files)
    rewriting = compression.rewriting
    rewritten = rewriting.model
    encodings = {r.name: r.encoding for r in compression.layers if r.encoding is not None}
    model.release()  # the weights were read and compressed; the mapped file need not stay in memory
    assembly = assemble(rewritten, encodings, reporter.part(0.0, 0.3))
    written = {name: e for name, e in encodings.items() if name not in assembly.left and name not in assembly.folded}
    sizes = SizeModel(rewritten)
    predicted = sizes.predict({name: sizes.emitted(name, e) for name, e in written.items()})
    several = predicted > ONE_FILE_LIMIT
    if several:
        check_target(_data_path(target), None, (model.path, *model.data_files))
    with staged(target, several=several) as stage:
        write_graph(assembly.graph, stage, several)
        reporter.report(0.5, "Checking the export")
        report = _check(
            rewriting, untrained or rewriting, written, stage, assembly, sizes, predicted, samples, compression,
            reporter.part(0.5, 1.0),
        )
        stage.commit()
    return report


def _data_path(target: Path) -> Path:
    """The external data file of a target that does not fit into one file."""
    return target.with_name(target.name + ".data")


def write_graph(graph: ir.Model, stage: Staging, several: bool = False) -> None:
    """Write a graph to the stage; `several`: with its tensors in a data file beside it."""
    if several:
        ir.save(graph, stage.path, external_data=_data_path(stage.target).name)
        return
    ir.external_data.load_to_model(graph)
    stage.write(ir.to_proto(graph).SerializeToString(deterministic=True))


def _check(
    rewriting: Rewriting,
    untrained: Rewriting,
    written: Mapping[str, Encoding],
    stage: Staging,
    assembly: Assembly,
    sizes: SizeModel,
    predicted: int,
    samples: Samples | None,
    compression: Compression,
    reporter: Reporter,
) -> ExportReport:
    model = rewriting.model
    feeds, compared_on = parity_feeds(model, samples)
    graph_check = check_rewriting(untrained, feeds, reporter.part(0.0, 0.3))
    with scratch_folder() as folder:
        simulated, unrounded = Path(folder) / "simulated.onnx", Path(folder) / "unrounded.onnx"
        rounds = any(encoding.rounds_inputs for encoding in written.values())
        if feeds:
            ir.save(simulate(model, written), simulated, external_data="simulated.data")
        if feeds and rounds:
            ir.save(simulate(model, written, round_inputs=False), unrounded, external_data="unrounded.data")
        rewritten = {name: written[name] for name in assembly.split if name in written}
        float_graph = ir.load(simulated) if feeds else simulate(model, written)
        layers_check = check_integer_layers(
            model, rewritten, float_graph, stage.path, feeds, reporter.part(0.3, 0.5)
        )
        checks, parity = gate(
            model.path,
            simulated if feeds else None,
            stage.path,
            feeds,
            bytes_before=model.file_bytes,
            bytes_after=stage.nbytes,
            why_not_smaller=_why_not_smaller(written),
            unrounded=unrounded if rounds else None,
            reporter=reporter.part(0.5, 1.0),
        )
    more = [check for check in (graph_check, layers_check) if check is not None]
    return ExportReport(
        target=str(stage.target),
        bytes_before=model.file_bytes,
        bytes_after=stage.nbytes,
        bytes_predicted=predicted,
        layers=tuple(_as_written(r, assembly) for r in compression.layers),
        checks=(*checks[:-1], *more, checks[-1]),
        parity=parity,
        compared_on=compared_on,
        savings=SizeModel(rewriting.original, list_savings=True).savings,
        opset=(rewriting.original.opset, assembly.opset),
        changes=rewriting.lines,
        trouble=rewriting.trouble,
    )


def parity_feeds(model: Model, samples: Samples | None) -> tuple[Sequence[Mapping[str, Any]], str]:
    """Inputs to compare on and what they are, in words."""
    if samples is not None:
        count = min(PARITY_SAMPLES, samples.n)
        return tuple(samples.feeds(count)), f"{count} samples of {Path(samples.source).name}"
    from core.analysis.runtime import session
    from core.analysis.synthetic import made_up_feeds

    try:
        feeds = made_up_feeds(session(model.path), model.inputs)
    except FeatherweightError:  # the original does not load; the gate says so where it matters
        feeds = ()
    return feeds, f"{len(feeds)} made-up inputs" if feeds else ""


def _why_not_smaller(written: Mapping[str, Encoding]) -> str:
    if not written:
        return "no layer was changed"
    return "what the layers save is less than what rebuilding them takes"


def _as_written(result: LayerResult, assembly: Assembly) -> LayerResult:
    """The layer's result as it is in the file, without its encoding."""
    if result.name in assembly.left:
        return dataclasses.replace(
            result,
            encoding=None,
            skipped=assembly.left[result.name],
            bytes_after=result.bytes_before,
            weight_sqnr_db=float("inf"),
        )
    if result.name in assembly.folded:
        text = f"folded into the convolution {assembly.folded[result.name]}"
        return dataclasses.replace(
            result, encoding=None, steps=(), skipped=text, bytes_after=0, weight_sqnr_db=float("inf")
        )
    return dataclasses.replace(result, encoding=None)
