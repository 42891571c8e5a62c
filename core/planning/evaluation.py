"""Whole plans measured: the original's outputs are kept, and a plan's graph runs on the same samples."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.finite import first_broken
from core.analysis.metrics import json_number
from core.analysis.runtime import metadata, output_names, run, session, spare_threads
from core.analysis.sensitivity.cells import Measure
from core.analysis.task_metrics.base import Score, Unit, facts_of
from core.analysis.task_metrics.registry import choose, find_metric
from core.data.sequences import find_sequences, keeps_state
from core.errors import DataError, InternalError
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


@dataclass(frozen=True)
class Measured:
    """What a whole plan did to the outputs, on `samples` samples.

    sqnr_db    over all float outputs; inf when nothing changed, -inf when they are not finite
    kl         KL(original || plan) in nats, mean over the answers; None when the output is no class scores
    metric     what `value` is: name of a metric (`analysis.task_metrics`), or "own:..." for a person's own
    value      of the plan
    reference  of the original
    unit       which decides what a drop of it is
    words      the metric in words
    assumed    what was taken for granted to work it out, one sentence, or ""
    changed    share of answers that are no longer the original's, 0 to 1; None when the output is no class scores
    """

    samples: int
    sqnr_db: float
    kl: float | None
    metric: str
    value: float
    reference: float = 1.0
    unit: Unit = Unit.SHARE
    words: str = ""
    assumed: str = ""
    changed: float | None = None

    @property
    def score(self) -> Score:
        """The metric with all its words."""
        return Score(self.metric, self.metric_text, self.unit, self.reference, self.value, self.assumed)

    @property
    def drop(self) -> float:
        """What is lost of the metric: points (hundredths) of a share, % of an error (`Unit`); negative when better."""
        return self.score.drop

    @property
    def metric_text(self) -> str:
        """The metric in words."""
        return self.words or find_metric(self.metric).words

    @property
    def value_text(self) -> str:
        """The value in its unit: "97.20 %", "0.0132"."""
        return self.score.value_text

    @property
    def change_text(self) -> str:
        """From the original's to the plan's: "98.00 % -> 97.20 % (-0.80 points)"."""
        return self.score.change_text

    def error(self, measure: str) -> float:
        """The error that plans are judged by: KL in nats, or squared error / that of the original; inf when broken."""
        if measure == Measure.KL and self.kl is not None:
            return self.kl if np.isfinite(self.sqnr_db) or self.sqnr_db > 0 else np.inf
        return float("inf") if np.isnan(self.sqnr_db) else float(10.0 ** (-self.sqnr_db / 10.0))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "samples": self.samples, "sqnr_db": json_number(self.sqnr_db), "kl": json_number(self.kl),
            "metric": self.metric, "value": json_number(self.value), "reference": json_number(self.reference),
            "drop_points": self.score.to_dict()["drop"], "metric_words": self.metric_text, "unit": str(self.unit),
            "assumed": self.assumed,
        }  # fmt: skip


class Evaluator:
    """Measures whole plans of one model on the same samples.

    samples  what it measures on; at most `limit` of them, drawn with a fixed seed. Of a model with state the first
             ones: it is fed with its own states as long as a sequence goes on (`core.data.sequences`)

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
        self._check(first, original, samples)
        size = sum(value.nbytes for value in first if isinstance(value, np.ndarray))
        count = max(1, min(limit, samples.n, MOST_BYTES // max(size, 1)))
        stateful = keeps_state(samples, first, lambda feed: run(original_session, feed, where=original.name))
        self._samples = samples.part(0, count) if stateful else samples.subset(count)
        facts = facts_of(self._names, first, self._samples, count, metadata(original_session))
        self._choice = choose(facts, samples.options, where=samples.source)
        self._outputs: list[list[Array]] = []
        kept: list[int] = []
        for index in range(count):
            reporter.report(index / count, f"Running the original, sample {index + 1} of {count}")
            outputs = run(original_session, self._samples.feed(index), where=original.name)
            if stateful or index == 0 or _finite(outputs):  # of a sequence none can be left out
                kept.append(index)
                self._outputs.append(outputs)
        self.skipped = count - len(kept)
        """Samples that are left out, as the original's own outputs are not finite on them."""
        if self.skipped:
            self._samples = self._samples.picked(kept)
        self._sequences = find_sequences(self._samples, self._outputs) if stateful else None

    def of(self, model: Model) -> Evaluator:
        """Measures plans of another model of the same outputs, against the same original and samples."""
        other = copy.copy(self)
        other._model = model
        return other

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

        tally = Tally(self._names, self._samples, self.n, choice=self._choice)
        plan = session(path, threads=self._threads, optimize=optimize)
        after: list[Array] | None = None
        for index, before in enumerate(self._outputs):
            reporter.report(index / self.n, "")
            follows = self._sequences
            feed = self._samples.feed(index) if follows is None else follows.feed(self._samples, index, after)
            after = run(plan, feed, where=where or os.fspath(path))
            tally.add(index, before, after)
        return _figures(tally.comparison())

    def _check(self, outputs: list[Any], original: Model, samples: Samples) -> None:
        where = original.name
        floats = [o for o in outputs if isinstance(o, np.ndarray) and o.dtype.kind == "f"]
        if not floats:
            raise DataError("none of its outputs holds floats, so no error can be measured", where=where)
        if not _finite(floats):
            found = first_broken(original, samples.feed(0), threads=self._threads)
            place = f": {found.text}" if found is not None else ""
            raise DataError(
                f"the original gives NaN or infinity on the first sample{place}", where=where,
                do="check the data's scale",
            )  # fmt: skip


def _finite(outputs: list[Any]) -> bool:
    return all(np.isfinite(o).all() for o in outputs if isinstance(o, np.ndarray) and o.dtype.kind == "f")


def with_state(original: Model, samples: Samples) -> bool:
    """Whether the model carries states from sample to sample, and the samples were recorded with them."""
    ports = [(port.dtype, None if port.shape is None else len(port.shape)) for port in original.inputs]
    given = [(port.dtype, None if port.shape is None else len(port.shape)) for port in original.outputs]
    if not any(a == b and (m is None or n is None or m == n) for a, m in ports for b, n in given):
        return False  # told without loading the model
    loaded = session(original.path, threads=spare_threads())

    def run_one(feed: Mapping[str, Array]) -> list[Array]:
        return run(loaded, feed, where=original.name)

    return keeps_state(samples, run_one(samples.feed(0)), run_one)


def _figures(found: Comparison) -> Measured:
    score = found.score
    if score is None:
        raise InternalError("a plan was measured without a float output")
    kl = found.kl_divergence
    broken = any(output.nonfinite_after or output.differing_shapes for output in found.outputs)
    sqnr = -np.inf if broken else found.output_sqnr_db
    return Measured(
        found.n, float(sqnr), None if kl is None else float(kl), score.metric, score.value, score.reference, score.unit,
        score.words, score.assumed, None if found.agreement is None else 1.0 - found.agreement,
    )  # fmt: skip
