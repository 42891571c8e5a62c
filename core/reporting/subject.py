"""What a report is about, as frozen values: gathered from an outcome, or from two files that were compared."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from core import __version__

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.analysis.latency import LatencyComparison
    from core.analysis.layer_error import LayerError
    from core.analysis.sensitivity.cells import Sensitivity
    from core.exporting.report import ExportReport
    from core.jobs import CompressOutcome, LayerLive
    from core.pipeline import LayerResult
    from core.planning.plan import Plan, PlanPoint


@dataclass(frozen=True)
class Setup:
    """Where and with what figures were measured.

    when      date and time with the zone, to the minute, that the report was made
    versions  (name, version) of all that has a part in the figures
    machine   system, processor architecture and number of processors
    """

    when: str
    versions: tuple[tuple[str, str], ...]
    machine: str

    @classmethod
    def now(cls) -> Setup:
        """This process, now."""
        import numpy as np
        import onnx
        import onnxruntime

        versions = (
            ("Featherweight", __version__), ("onnxruntime", onnxruntime.__version__), ("onnx", onnx.__version__),
            ("numpy", np.__version__), ("Python", platform.python_version()),
        )  # fmt: skip
        machine = f"{platform.system()}, {platform.machine()}, {os.cpu_count()} processors"
        return cls(datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z"), versions, machine)


@dataclass(frozen=True)
class Subject:
    """Everything that a report may show; what is not known is None, () or "".

    name            of the original model
    bytes_*         of the files, external data included
    layers          what became of each layer; () when two files were merely compared
    export          checks of the gate, clean-up, prediction; None likewise
    live            error at each layer's output, with it alone compressed
    accumulated     error at each layer's output in the whole compressed model
    latency_on      what times were measured on, in words
    calibrated_on   samples that steps worked from, in words
    recipe          as YAML
    plan            what a planner chose the recipe from
    chosen          the point of the plan's front that the recipe is, where it is not the plan itself
    sensitivity     what compressing each layer costs, setting by setting
    """

    name: str
    bytes_before: int
    bytes_after: int
    setup: Setup
    comparison: Comparison | None = None
    latency: LatencyComparison | None = None
    latency_on: str = ""
    layers: tuple[LayerResult, ...] = ()
    export: ExportReport | None = None
    live: tuple[LayerLive, ...] = ()
    accumulated: tuple[LayerError, ...] = ()
    calibrated_on: str = ""
    recipe: str = ""
    plan: Plan | None = None
    sensitivity: Sensitivity | None = None
    chosen: PlanPoint | None = None


def of_outcome(
    outcome: CompressOutcome, name: str, recipe: str, plan: Plan | None = None, sensitivity: Sensitivity | None = None,
    chosen: PlanPoint | None = None,
) -> Subject:
    """The subject of a compression that has just been made."""
    report = outcome.report
    return Subject(
        name, report.bytes_before, report.bytes_after, Setup.now(), outcome.comparison, outcome.latency,
        outcome.latency_on, outcome.layers, report, outcome.live, outcome.accumulated, outcome.calibrated_on, recipe,
        plan, sensitivity, chosen,
    )  # fmt: skip
