"""Whether a rewritten graph gives what it must: the masked original."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from core.analysis.runtime import Feed, session
from core.errors import GateError
from core.exporting.gate import PARITY_LIMIT, ROUNDING_MARGIN, Check, largest_difference, outputs
from core.model.rewritten import reference_graph
from core.progress import SILENT, Reporter
from core.scratch import scratch_folder

if TYPE_CHECKING:
    from core.rewriting.rewrite import Rewriting


def check_rewriting(rewriting: Rewriting, feeds: Sequence[Feed], reporter: Reporter = SILENT) -> Check | None:
    """The gate's check of graph and channel steps; None when there are none.

    Compared are the rewritten graph with all weights as they were and the original with the removed channels set to
    zero where they are read. Raises GateError when they differ by more than rounding.
    """
    if not rewriting.changes:
        return None
    if not rewriting.exact:
        return Check("graph", True, "not compared: what was changed gives other values by intent")
    if not feeds:
        return Check("graph", True, "not compared: no data, and the model takes no made-up input")
    with scratch_folder() as folder:
        changed = _save(rewriting.model.graph(), Path(folder) / "changed.onnx")
        masked = _save(reference_graph(rewriting.original, rewriting.changes), Path(folder) / "masked.onnx")
        wanted = _run(masked, feeds, reporter.part(0.0, 0.3))
        # A cut may leave outputs near zero, of which rounding is a large part: the original's range is the measure.
        original = _run(rewriting.original.path, feeds, reporter.part(0.3, 0.5))
        difference = largest_difference(_run(changed, feeds, reporter.part(0.5, 0.8)), wanted, original)
        allowed = PARITY_LIMIT
        if difference > allowed:  # is it the cut, or does the model itself turn rounding into that much?
            plain = _run(masked, feeds, reporter.part(0.8, 1.0), optimize=False)
            allowed = max(allowed, ROUNDING_MARGIN * largest_difference(plain, wanted, original))
    if not difference <= allowed:
        raise GateError(
            f"the changed graph differs from the masked original by {difference:.2g} of its range "
            f"(allowed: {allowed:.2g})",
            do="nothing was written; please report this model",
        )
    return Check("graph", True, f"equals the masked original within {difference:.1e} of the original output's range")


def _save(graph: ir.Model, path: Path) -> Path:
    ir.save(graph, path, external_data=f"{path.name}.data")
    return path


def _run(path: Path, feeds: Sequence[Feed], reporter: Reporter, *, optimize: bool = True) -> list[list[Any]]:
    return outputs(session(path, optimize=optimize, keep_memory=False), feeds, reporter, "the masked original")
