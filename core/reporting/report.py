"""The report of one compression, or of two files that were compared, as one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.figures import size_text
from core.reporting.layers import bytes_chart, error_chart, layers_table
from core.reporting.markup import bullets, code
from core.reporting.page import Section, page
from core.reporting.plans import plan_section, sensitivity_section
from core.reporting.tables import table
from core.reporting.totals import before_and_after, how_measured, predictions, warnings

if TYPE_CHECKING:
    from core.exporting.report import ExportReport
    from core.reporting.subject import Subject


_CHECKS = {
    "checker": "valid ONNX (checker)", "session": "loads and runs (session)", "bytes": "size (bytes)",
    "parity": "file computes what was simulated (parity)", "layers": "integer layers (layers)",
    "graph": "changed graph (graph)",
}  # fmt: skip
"""What each check is of, with the gate's own name in brackets."""
_WORDS = (
    "int8: rounded to integers of 8 bits, with one scale or one for each channel; int4 likewise.",
    "16 levels: each weight is one of 16 values that fit the layer best; the file holds their numbers (codebook).",
    "prune 70 %: the smallest 70 % of the weights are set to zero.",
    "rank: the weight is stored as a product of smaller matrices (low rank).",
    "DCT, Fourier, Haar wavelet, smoothing: the weights are treated as a signal and small frequencies left out.",
    "NF4, pow2, binary, ternary, mu-law: other sets of values that weights are rounded to.",
)


def report_page(subject: Subject) -> str:
    """The whole page; parts that nothing is known of are left out."""
    export = subject.export
    share = subject.bytes_after / subject.bytes_before if subject.bytes_before else 1.0
    lead = (
        f"{size_text(subject.bytes_before)} \N{RIGHTWARDS ARROW} {size_text(subject.bytes_after)} on disk, "
        f"{100 * share:.1f} % of the original"
    )
    sections = [
        Section("What to mind", warnings(subject)),
        Section("Before and after", before_and_after(subject)),
        Section("Predicted and measured", predictions(subject)),
        Section("How it was measured", how_measured(subject)),
        Section("Where the bytes went", bytes_chart(subject)),
        Section("Where the error comes from", error_chart(subject)),
        Section("What was done to each layer", layers_table(subject) + _words(subject)),
        Section("The plan", plan_section(subject.plan, subject.chosen) if subject.plan is not None else ""),
        Section("Sensitivity", sensitivity_section(subject.sensitivity) if subject.sensitivity is not None else ""),
        Section("Checks of the file", _checks(export) if export is not None else ""),
        Section("Graph", bullets(export.changes) if export is not None else ""),
        Section("Clean-up", _savings(export) if export is not None else ""),
        Section("Recipe", code(subject.recipe) if subject.recipe else ""),
    ]
    return page(f"{subject.name} \N{EN DASH} Featherweight", sections, lead=lead, foot="Made by Featherweight.")


def _words(subject: Subject) -> str:
    return bullets(_WORDS) if any(layer.steps for layer in subject.layers) else ""


def _checks(export: ExportReport) -> str:
    rows = [
        (_CHECKS.get(check.name, check.name), "yes" if check.passed else "no",
         check.text.replace("largest difference 0.0e+00 of the output's range", "no difference"))
        for check in export.checks
    ]  # fmt: skip
    return table(("check", "passed", "what was found"), rows)


def _savings(export: ExportReport) -> str:
    rows = [(saving.what, f"{saving.nbytes:,}") for saving in export.savings]
    return table(("what", "bytes saved"), rows, (1,))
