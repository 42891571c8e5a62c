"""Trying one recipe after another on a model: compressed and exported as a person's own, then measured as a file."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import Cancelled, FeatherweightError, TargetError
from core.method_comparison.cache import RowCache
from core.method_comparison.measuring import Meter
from core.method_comparison.rows import Baseline, Extent, Row, Status, Study, Times
from core.method_comparison.trials import most_common, recipe_key, trials
from core.methods import registry
from core.methods.base import Stage
from core.progress import SILENT, CancelSource, Progress, Reporter
from core.scratch import scratch_folder

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model
    from core.pipeline import Compression
    from core.recipe import Recipe, Step

    _Todo = tuple[Row, Recipe, tuple[Step, ...]]

DEFAULT_MINUTES = 10.0
LONGEST_SHARE = 0.15
"""Of the time that there is, the most that one trial may take; SHORTEST_LIMIT seconds it may take in any case."""
SHORTEST_LIMIT = 30.0
FULL_DISK = 3
"""Trials in a row that cannot be written, after which the others are not tried."""


@dataclass(frozen=True)
class Asked:
    """What to compare.

    families  names of families; () for all
    minutes   after which no further trial is begun; None: DEFAULT_MINUTES
    plan      a recipe to measure beside the trials, or None
    """

    families: tuple[str, ...] = ()
    minutes: float | None = None
    plan: Recipe | None = None
    seed: int = 0


class MethodComparison:
    """A comparison of methods on one model; `study` gives what is there at any time, also after a cancel.

    calibration, samples  to learn from and to measure on, or None; never the same unless there is only one
    folder  of the cache; None: the person's own
    """

    def __init__(
        self, model: Model, calibration: Samples | None, samples: Samples | None, asked: Asked,
        folder: Path | None = None,
    ) -> None:
        self._model, self._calibration, self._samples, self._asked = model, calibration, samples, asked
        self._folder = folder
        self._rows: list[Row] = []
        self._notes: list[str] = []
        self._complete = False
        self._measured_on = 0
        self._begun = time.monotonic()
        self._minutes = DEFAULT_MINUTES if asked.minutes is None else asked.minutes
        self._unwritten = 0

    def study(self) -> Study:
        """What was found until now."""
        model, source = self._model, Path(self._samples.source).name if self._samples is not None else ""
        return Study(
            model.name, model.sha256, model.file_bytes, _with_common_original(self._rows), self._measured_on, source,
            time.monotonic() - self._begun, self._complete, tuple(dict.fromkeys(self._notes)),
        )  # fmt: skip

    def run(self, reporter: Reporter = SILENT) -> Study:
        """Measure the original and every trial; rows are told to the reporter as they are there.

        Raises Cancelled, and DataError or ModelFileError when the original itself cannot be run.
        """
        self._begun = time.monotonic()
        meter = Meter(self._model, self._samples, reporter.part(0.0, 0.05))
        self._notes += [*(self._samples.notes if self._samples is not None else ()), *meter.notes]
        self._measured_on = meter.n
        cache = RowCache(self._model, meter.samples, self._calibration, [self._asked.seed, meter.question],
                         self._folder)  # fmt: skip
        self._tell(meter.original, reporter)
        todo = self._todo()
        reporter.tell(Extent(len(todo)))
        for number, (row, recipe, steps) in enumerate(todo):
            part = reporter.part(0.05 + 0.95 * number / len(todo), 0.05 + 0.95 * (number + 1) / len(todo))
            part.report(0.0, f"Trying {row.title} ({number + 1} of {len(todo)})")
            found = self._tried(row, recipe, steps, meter, cache, part)
            cache.put(found)
            self._tell(found, part)
        if cache.trouble:
            self._notes.append(cache.trouble)
        self._complete = all(row.status is not Status.NOT_TRIED for row in self._rows)
        reporter.report(1.0, "Done")
        return self.study()

    def _todo(self) -> list[_Todo]:
        """Rows without figures yet, with their recipes and the method's own steps: the plan first, then the trials."""
        plan = self._asked.plan
        found: list[_Todo] = []
        if plan is not None and not plan.does_nothing:
            found.append((self._blank(plan, "", "The plan", "", baseline=Baseline.PLAN), plan, ()))
        for trial in trials(self._model, self._asked.families, samples=self._calibration is not None):
            recipe = trial.recipe(self._model)
            row = self._blank(recipe, trial.family, trial.method, trial.setting,
                              baseline=Baseline.INT8 if trial.uniform_int8 else Baseline.NONE)  # fmt: skip
            if trial.why_not:
                row = replace(row, status=Status.NOT_APPLICABLE, reason=trial.why_not)
            found.append((row, recipe, trial.steps))
        return found

    def _blank(self, recipe: Recipe, family: str, method: str, setting: str, *, baseline: Baseline) -> Row:
        layers = len(self._model.layers)
        return Row(recipe_key(recipe), family, method, setting, recipe.dump(), baseline=baseline, of_layers=layers)

    def _tell(self, row: Row, reporter: Reporter) -> None:
        self._rows.append(row)
        reporter.tell(row)

    # -- one trial -----------------------------------------------------------------------------------------------------

    def _tried(
        self, row: Row, recipe: Recipe, steps: tuple[Step, ...], meter: Meter, cache: RowCache, reporter: Reporter
    ) -> Row:
        """The row of one trial, whatever becomes of it. Raises Cancelled only when the person cancelled."""
        if row.reason:
            return row
        kept = cache.get(row.key)
        if kept is not None:
            return replace(kept, family=row.family, method=row.method, setting=row.setting, baseline=row.baseline)
        left = self._begun + 60.0 * self._minutes - time.monotonic()
        if self._unwritten >= FULL_DISK:
            return replace(row, status=Status.NOT_TRIED, reason="the files before it could not be written")
        if left <= 0.0:
            return replace(row, status=Status.NOT_TRIED, reason=f"the time ({self._minutes:g} min) was over")
        limit = max(SHORTEST_LIMIT, LONGEST_SHARE * 60.0 * self._minutes)
        return self._guarded(row, recipe, steps, meter, _limited(reporter, limit), reporter)

    def _guarded(
        self, row: Row, recipe: Recipe, steps: tuple[Step, ...], meter: Meter, limited: Reporter, reporter: Reporter
    ) -> Row:
        """The measured row; trouble of one trial is its own and stands in its row."""
        started = time.monotonic()
        try:
            found = self._measured(row, recipe, steps, meter, limited)
        except Cancelled:
            reporter.check()
            took = time.monotonic() - started
            return replace(row, status=Status.NOT_TRIED, reason=f"stopped after {took:.0f} s: it takes too long here")
        except FeatherweightError as error:
            self._unwritten = self._unwritten + 1 if isinstance(error, TargetError) else 0
            return replace(row, status=Status.FAILED, reason=str(error).removesuffix("."))
        except MemoryError:
            return replace(row, status=Status.FAILED, reason="there is not enough memory")
        except Exception as error:  # noqa: BLE001  a fault of ours in one method must not cost all other rows
            said = " ".join(f"{type(error).__name__}: {error}".split())
            return replace(row, status=Status.FAILED, reason=f"internal error ({said})")
        self._unwritten = 0
        return found

    def _measured(
        self, row: Row, recipe: Recipe, steps: tuple[Step, ...], meter: Meter, reporter: Reporter
    ) -> Row:
        from core.exporting.export import export
        from core.pipeline import compress

        started = time.perf_counter()
        compression = compress(self._model, recipe, reporter.part(0.0, 0.4), seed=self._asked.seed,
                               samples=self._calibration)  # fmt: skip
        changed, why_not = _own_layers(steps, recipe, compression)
        if why_not:
            return replace(row, status=Status.NOT_APPLICABLE, reason=why_not)
        with scratch_folder() as folder:
            target = Path(folder) / "trial.onnx"
            report = export(self._model, compression, target, meter.samples, reporter.part(0.4, 0.6))
            row = replace(row, nbytes=report.bytes_after, seconds=time.perf_counter() - started, layers=changed)
            return meter.measure(row, target, reporter.part(0.6, 1.0))


def _own_layers(steps: tuple[Step, ...], recipe: Recipe, compression: Compression) -> tuple[int, str]:
    """How many layers were changed, and why the method itself changed none (one clause), or "".

    steps  the method's own; (): any will do
    """
    changed = [r for r in compression.layers if r.encoding is not None]
    own = [r for r in compression.layers if not steps or recipe.steps_for(r.name) == steps]
    if compression.rewriting.changes:
        return max(len(changed), sum(1 for r in compression.layers if r.note)), ""
    rewrites = bool(steps) and registry.by_key(steps[0].method).stage is not Stage.WEIGHTS
    if not rewrites and any(r.encoding is not None for r in own):
        return len(changed), ""
    reasons = [r.skipped or r.note for r in own if r.skipped or r.note] or list(compression.rewriting.trouble)
    return 0, (most_common(reasons) or "no layer is changed by it").removesuffix(".")


class _Until:
    """A source of cancels that also counts as cancelled once the time is over."""

    def __init__(self, asked: Reporter, seconds: float) -> None:
        self._asked, self._end = asked, time.monotonic() + seconds

    def is_set(self) -> bool:
        return self._asked.cancelled or time.monotonic() > self._end


def _limited(reporter: Reporter, seconds: float) -> Reporter:
    """A reporter that stops what reports to it after so long; the reason is told apart by asking `reporter` itself."""

    def forward(progress: Progress) -> None:
        reporter.report(progress.done)  # its text stays what is being tried, and parts are of other kinds than rows

    cancel: CancelSource = _Until(reporter, seconds)
    return Reporter(forward, cancel)


def _with_common_original(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows, the original's first, with its time as it was beside the trials: the median of what it took in turn
    with each of them. Timed alone, before anything else, it would be no figure to compare theirs with."""
    found = [row.times for row in rows[1:] if row.times is not None]
    if not found or rows[0].times is None:
        return tuple(rows)
    median, low, high = (
        statistics.median(values)
        for values in zip(*((t.original_median, t.original_low, t.original_high) for t in found), strict=True)
    )
    return replace(rows[0], times=Times(median, low, high, median, low, high, rows[0].times.load)), *rows[1:]
