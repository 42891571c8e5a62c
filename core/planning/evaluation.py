"""Whole plans measured: the original's outputs are kept, and a plan's graph runs on the same samples."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.metrics import Task, json_number
from core.analysis.runtime import output_names, run, session, spare_threads
from core.analysis.sensitivity.cells import Measure
from core.errors import DataError
from core.progress import SILENT, Reporter
from core.scratch import scratch_folder

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.data.samples import Samples
    from core.encoding import Encoding
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

MOST_BYTES = 256 * 2**20
"""What the original's outputs may take; fewer samples are used where they would take more."""
_TALLY_WORDS = {
    "accuracy": "accuracy", "agreement": "same answer as the original", "decisions": "same decisions as the original",
    "overlap": "overlap with what the original marks", "correlation": "correlation with the original's outputs",
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What a whole plan did to the outputs, on `samples` samples.

    sqnr_db    over all float outputs; inf when nothing changed, -inf when they are not finite
    kl         KL(original || plan) in nats, mean over the answers; None when the output is no class scores
    metric     what `value` is: "accuracy" (where there are labels), "agreement" (class scores), "decisions" (the same
               side of one half, where the output is one value between 0 and 1), "overlap" (what lies above one half in
               both / in either, where it is many of them), "correlation" (elsewhere); all of the first float output
    value      of the plan, 0 to 1
    reference  of the original; 1 for all but accuracy
    """

    samples: int
    sqnr_db: float
    kl: float | None
    metric: str
    value: float
    reference: float = 1.0

    @property
    def drop(self) -> float:
        """Points (hundredths) of the metric that are lost; negative when it became better."""
        return 100.0 * (self.reference - self.value)

    @property
    def metric_text(self) -> str:
        """The metric in words."""
        return _TALLY_WORDS[self.metric]

    def error(self, measure: str) -> float:
        """The error that plans are judged by: KL in nats, or squared error / that of the original; inf when broken."""
        if measure == Measure.KL and self.kl is not None:
            return self.kl if np.isfinite(self.sqnr_db) or self.sqnr_db > 0 else np.inf
        return float("inf") if np.isnan(self.sqnr_db) else float(10.0 ** (-self.sqnr_db / 10.0))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "samples": self.samples, "sqnr_db": json_number(self.sqnr_db), "kl": json_number(self.kl),
            "metric": self.metric, "value": self.value, "reference": self.reference, "drop_points": self.drop,
        }  # fmt: skip


class Evaluator:
    """Measures whole plans of one model on the same samples.

    samples  what it measures on; at most `limit` of them, drawn with a fixed seed

    Making one runs the original. Raises DataError or ModelFileError when it does not run on the samples, or when its
    own outputs are not finite.
    """

    def __init__(
        self, original: Model, model: Model, samples: Samples, *, limit: int, threads: int | None = None,
        reporter: Reporter = SILENT,
    ) -> None:
        self._model, self._threads = model, threads or spare_threads()
        original_session = session(original.path, threads=self._threads)
        self._names = output_names(original_session)
        reporter.report(0.0, "Running the original")
        first: list[Any] = run(original_session, samples.feed(0), where=original.name)
        self._check(first, original.name)
        size = sum(value.nbytes for value in first if isinstance(value, np.ndarray))
        count = max(1, min(limit, samples.n, MOST_BYTES // max(size, 1)))
        self._samples = samples.subset(count)
        self._outputs: list[list[Array]] = []
        for index in range(count):
            reporter.report(index / count, f"Running the original, sample {index + 1} of {count}")
            self._outputs.append(run(original_session, self._samples.feed(index), where=original.name))

    @property
    def n(self) -> int:
        """Samples that plans are measured on."""
        return len(self._outputs)

    def measure(self, encodings: Mapping[str, Encoding], reporter: Reporter = SILENT) -> Measured:
        """The model with its layers stored like this. Raises Cancelled, and ModelFileError when it cannot be run."""
        import onnx_ir as ir

        from core.exporting.writer import simulate

        with scratch_folder() as folder:
            path = Path(folder) / "plan.onnx"
            ir.save(simulate(self._model, encodings), path, external_data="plan.data")
            reporter.check()
            rounds = any(encoding.rounds_inputs for encoding in encodings.values())
            # optimised, it would compute in integers
            return self.measure_file(path, reporter, optimize=not rounds, where=self._model.name)

    def measure_file(
        self, path: str | os.PathLike[str], reporter: Reporter = SILENT, *, optimize: bool = True, where: str = ""
    ) -> Measured:
        """A model file that takes the same inputs and gives the same outputs.

        where  what to call it in errors; "" for its path

        Raises Cancelled, ModelFileError or DataError.
        """
        from core.analysis.tally import Tally

        tally = Tally(self._names, self._samples, self.n)
        alike = _Alike()
        plan = session(path, threads=self._threads, optimize=optimize)
        for index, before in enumerate(self._outputs):
            reporter.report(index / self.n, "")
            after = run(plan, self._samples.feed(index), where=where or os.fspath(path))
            tally.add(index, before, after)
            alike.add(before, after)
        return _figures(tally.comparison(), alike)

    def _check(self, outputs: list[Any], where: str) -> None:
        floats = [o for o in outputs if isinstance(o, np.ndarray) and o.dtype.kind == "f"]
        if not floats:
            raise DataError("none of its outputs holds floats, so no error can be measured", where=where)
        if not all(np.isfinite(o).all() for o in floats):
            raise DataError(
                "the original gives NaN or infinity on the first sample", where=where, do="check the data's scale"
            )


class _Alike:
    """How alike the first float outputs are, where these are no class scores: decisions, overlap, correlation."""

    def __init__(self) -> None:
        self._within_one = True
        self._same = self._both = self._either = self._count = self._samples = 0
        self._sums = np.zeros(5)

    def add(self, before: list[Array], after: list[Array]) -> None:
        """One sample's outputs."""
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.dtype.kind == "f"]
        if not pairs or pairs[0][0].shape != pairs[0][1].shape:
            return
        x, y = (values.reshape(-1).astype(np.float64) for values in pairs[0])
        self._within_one &= bool(x.size) and bool(x.min() >= 0.0 and x.max() <= 1.0)
        above, also = x > 0.5, y > 0.5
        self._same += int(np.count_nonzero(above == also))
        self._both += int(np.count_nonzero(above & also))
        self._either += int(np.count_nonzero(above | also))
        self._count += x.size
        self._samples += 1
        with np.errstate(invalid="ignore", over="ignore"):
            self._sums += (x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum())

    def value(self) -> tuple[str, float]:
        """What fits the outputs, and its value from 0 to 1."""
        if self._count and self._within_one and self._count == self._samples:
            return "decisions", self._same / self._count
        if self._within_one and self._either:
            return "overlap", self._both / self._either
        if not self._count:
            return "correlation", 0.0
        x, y, xx, yy, xy = self._sums / self._count
        with np.errstate(invalid="ignore", divide="ignore"):
            r = (xy - x * y) / np.sqrt((xx - x * x) * (yy - y * y))
        return "correlation", max(0.0, float(r)) if np.isfinite(r) else 0.0


def _figures(found: Comparison, alike: _Alike) -> Measured:
    if found.task is Task.CLASSES and found.accuracy_after is not None and found.accuracy_before is not None:
        metric = ("accuracy", found.accuracy_after, found.accuracy_before)
    elif found.agreement is not None:
        metric = ("agreement", found.agreement, 1.0)
    else:
        metric = (*alike.value(), 1.0)
    kl = found.kl_divergence
    broken = any(output.nonfinite_after or output.differing_shapes for output in found.outputs)
    sqnr = -np.inf if broken else found.output_sqnr_db
    return Measured(found.n, float(sqnr), None if kl is None else float(kl), *metric)
