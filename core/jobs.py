"""The jobs that the command line and the window's worker process both run: same function, same bytes.

A job takes a frozen description and a Reporter and gives a frozen outcome; both pickle, so that a job can run in another
process. Parts of its progress are `LayerResult` (without the encoding) and `LayerLive`.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import FeatherweightError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.analysis.layer_error import LayerError, LayerProbe
    from core.data.samples import Samples
    from core.exporting.report import ExportReport
    from core.model.model import Model
    from core.pipeline import LayerResult

COMPARED_SAMPLES = 512
"""Samples that a comparison runs on unless the person asks for another number."""


@dataclass(frozen=True)
class LayerLive:
    """Error at one layer's output when this layer alone is compressed, measured while compressing.

    isolated_sqnr_db  None when it cannot be measured, with the reason
    """

    name: str
    isolated_sqnr_db: float | None
    reason: str = ""


@dataclass(frozen=True)
class CompressSpec:
    """What to compress, how, and where to.

    recipe_text  the recipe as YAML
    data_path    samples to measure with, or None
    seed         for methods that draw random numbers
    live         measure each layer's own output error while compressing (needs data)
    limit        samples to compare on
    """

    model_path: str
    recipe_text: str
    target: str
    data_path: str | None = None
    seed: int = 0
    live: bool = True
    limit: int = COMPARED_SAMPLES


@dataclass(frozen=True)
class CompressOutcome:
    """What became of it. `layers` carry no encodings; `accumulated` is the error at each layer's output in the whole."""

    path: str
    layers: tuple[LayerResult, ...]
    report: ExportReport
    comparison: Comparison | None
    live: tuple[LayerLive, ...]
    accumulated: tuple[LayerError, ...]
    seconds: float


def compress_file(spec: CompressSpec, reporter: Reporter = SILENT) -> CompressOutcome:
    """Compress a model by a recipe, export it through the gate, and compare it with the original.

    Raises FeatherweightError kinds; the target is written whole or not at all.
    """
    from core.exporting.export import export
    from core.exporting.staging import check_target
    from core.model.readers import open_model
    from core.pipeline import compress
    from core.recipe import Recipe

    started = time.perf_counter()
    target = Path(spec.target)
    check_target(target, Path(spec.model_path))
    model = open_model(spec.model_path)
    recipe = Recipe.parse(spec.recipe_text)
    recipe.check(model)
    samples = _samples(spec.data_path, model)
    live: list[LayerLive] = []
    probe = _probe(model, samples, reporter.part(0.0, 0.05)) if spec.live and samples is not None else None
    compressing = reporter.part(0.05, 0.6)

    def on_layer(result: LayerResult) -> None:
        compressing.tell(dataclasses.replace(result, encoding=None))
        if probe is not None and result.encoding is not None:
            live.append(_measure(probe, result))
            compressing.tell(live[-1])

    compression = compress(model, recipe, reporter=compressing, on_layer=on_layer, seed=spec.seed)
    report = export(model, compression, target, samples, reporter=reporter.part(0.6, 0.75))
    comparison, accumulated = None, ()
    if samples is not None:
        comparison = _compare(spec, target, samples, reporter.part(0.75, 0.95))
        accumulated = _accumulated(model, target, samples, reporter.part(0.95, 1.0))
    reporter.report(1.0, "Done")
    return CompressOutcome(str(target), report.layers, report, comparison, tuple(live), accumulated,
                           time.perf_counter() - started)
