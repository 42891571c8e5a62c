"""Plans timed: the file that a plan gives is built and runs in turns with the original."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from core.analysis.latency import LatencyComparison, compare_latency
from core.analysis.runtime import Feed
from core.progress import SILENT, Reporter
from core.scratch import scratch_folder

if TYPE_CHECKING:
    from core.model.model import Model
    from core.planning.search import Trial
    from core.planning.workshop import Workshop

SECONDS = 2.0
"""Of timed runs for one plan; slow models take longer (`timing.FEWEST_ROUNDS`)."""
Measure = Callable[[Path, Path, Sequence[Feed], Reporter], LatencyComparison]


@dataclass(frozen=True)
class Ground:
    """What plans are compared with.

    original       the model as opened
    feeds          what its runs are timed on; () when no time is asked for
    milliseconds   of one run of the original, by which limits and predictions are scaled; None when not measured
    multiply_adds  of one run of the original; None when not counted
    """

    original: Model
    feeds: tuple[Feed, ...] = field(default=(), repr=False)
    milliseconds: float | None = None
    multiply_adds: int | None = None


def timed_files(before: Path, after: Path, feeds: Sequence[Feed], reporter: Reporter) -> LatencyComparison:
    """Both files' times, in turns."""
    return compare_latency(before, after, feeds, seconds=SECONDS, reporter=reporter)


class LatencyCheck:
    """Times plans of one model, each once."""

    def __init__(self, ground: Ground, workshop: Workshop, measure: Measure = timed_files) -> None:
        self._ground, self._workshop, self._measure = ground, workshop, measure
        self._known: dict[tuple[bytes, bool], LatencyComparison] = {}

    @property
    def able(self) -> bool:
        """Whether there is anything to time on."""
        return bool(self._ground.feeds) and self._ground.milliseconds is not None

    def of(self, plan: Trial, reporter: Reporter = SILENT) -> LatencyComparison:
        """The original and the plan's file. Raises Cancelled, and ModelFileError when the file does not run."""
        known = self._known.get(plan.key)
        if known is not None:
            return known
        import onnx_ir as ir

        from core.exporting.writer import assemble

        encodings = self._workshop.encodings(plan.steps, reporter)
        with scratch_folder() as folder:
            path = Path(folder) / "plan.onnx"
            ir.save(assemble(self._workshop.model, encodings).graph, path, external_data="plan.data")
            found = self._measure(self._ground.original.path, path, self._ground.feeds, reporter)
        self._known[plan.key] = found
        return found

    def known(self, plan: Trial) -> LatencyComparison | None:
        """What was measured of a plan before."""
        return self._known.get(plan.key)

    def milliseconds(self, plan: Trial, reporter: Reporter = SILENT) -> float:
        """Of one run of the plan, on the scale of the original's time that limits are shares of."""
        return self.of(plan, reporter).ratio * (self._ground.milliseconds or 0.0)
