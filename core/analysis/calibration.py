"""Calibration: the model runs once on some samples, and what reaches its layers is measured.

Only what the steps of a recipe need is measured (`Method.needs`), and each thing once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.calibration_file import Measured, read_measured, write_measured
from core.analysis.channel_outputs import ChannelSums
from core.analysis.exposing import Exposed
from core.analysis.input_rows import Reading, width
from core.analysis.layer_values import Values, find_values
from core.analysis.one_node import NOT_RUN
from core.analysis.row_sums import RowSums, together
from core.analysis.runtime import spare_threads
from core.analysis.value_ranges import RangeCounter
from core.data.layer_inputs import LayerInputs, Need, ValueRange
from core.data.samples import Samples
from core.errors import Cancelled, DataError, FeatherweightError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]
Record = dict[str, Array]

FEW = 64
"""Samples that are measured on; methods that work from them gain little from more (Frantar et al., "GPTQ", 2023, take
128 of a large model)."""
MOST_BYTES = 2**30
"""What the products of inputs of all layers may take, in float64."""
MOST_INPUTS = 6144
"""Layers with more inputs get no products: 300 MB and minutes for each."""
MOST_ROWS, FEWEST_ROWS, ALL_ROWS, ROWS_AN_INPUT = 4096, 256, 2**15, 16
"""Input vectors of a sample that are used: as many as give about 32,768 in all, or 16 for each input of the layer,
within these limits."""


@dataclass
class _Plan:
    """What is to be measured now.

    sums     by id of the reading
    outputs  by layer, with the key of the value
    ranges   by key
    """

    sums: dict[str, tuple[Reading, RowSums]] = field(default_factory=dict)
    outputs: dict[str, tuple[str, ChannelSums]] = field(default_factory=dict)
    ranges: dict[str, RangeCounter] = field(default_factory=dict)
    gradients: list[str] = field(default_factory=list)
    ran: set[str] = field(default_factory=set)
    unfit: set[str] = field(default_factory=set)

    @property
    def keys(self) -> set[str]:
        """All values that have to be recorded."""
        readings = {key for found, _ in self.sums.values() for key in found.keys}
        return readings | {key for key, _ in self.outputs.values()} | set(self.ranges)


class Calibration:
    """What samples tell of the inputs and outputs of a model's layers. May be used from several threads.

    samples    what it measures on; None when it only gives what a file held
    limit      samples that are used, spread evenly
    max_bytes  what the products of inputs may take together; layers beyond get none, largest first
    seed       of the choice of positions where a layer sees more than are used
    """

    def __init__(
        self,
        model: Model,
        samples: Samples | None,
        *,
        limit: int = FEW,
        max_bytes: int = MOST_BYTES,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        if samples is not None and samples.n == 0:
            raise DataError("there are no samples to calibrate on", where=samples.source, do="give at least one sample")
        self._model, self._samples = model, samples
        self._limit, self._max_bytes, self._seed = limit, max_bytes, seed
        self._threads = threads or spare_threads()
        self._lock = threading.RLock()
        self._known = Measured(samples=max(1, min(limit, samples.n)) if samples is not None else 0)
        self._values: Values | None = None

    @property
    def n(self) -> int:
        """On how many samples."""
        return self._known.samples

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences a person should know: which layers' inputs were left out in part."""
        with self._lock:
            return tuple(self._known.notes.values())

    def collect(self, needs: Mapping[str, frozenset[Need]], reporter: Reporter = SILENT) -> None:
        """Measure what is needed of the named layers and not known yet.

        Raises DataError or ModelFileError when the model does not run on the samples, and Cancelled. What a single
        layer lacks is told by `why_not` and by the reasons in its LayerInputs.
        """
        with self._lock:
            plan = self._plan(needs)
            half = 0.5 if plan.gradients and plan.keys else float(not plan.gradients)
            if plan.keys:
                self._run(plan, reporter.part(0.0, half))
                self._keep(plan)
            if plan.gradients:
                self._measure_gradients(plan.gradients, reporter.part(half, 1.0))

    def layer(self, name: str) -> LayerInputs | None:
        """What is known of a layer, or why it is not though it was asked for; None when there is neither."""
        with self._lock:
            known = self._known
            parts = [known.rows[found] for found in known.readings.get(name, ()) if found in known.rows]
            rows = together(parts) if parts else None
            outputs = known.outputs.get(name)
            input_range, output_range = (known.ranges.get(key) for key in known.sides.get(name, ("", "")))
            found = LayerInputs(
                samples=known.samples,
                rows=rows.rows if rows else 0,
                mean=rows.mean if rows else None,
                square=rows.square if rows else None,
                moments=rows.moments if rows else None,
                why_no_moments=known.why_no_moments.get(name, ""),
                gradient_square=known.gradients.get(name),
                why_no_gradients=known.why_no_gradients.get(name, ""),
                output_mean=outputs.mean if outputs else None,
                output_square=outputs.square if outputs else None,
                active=outputs.active if outputs else None,
                input_range=input_range,
                output_range=output_range,
                why_no_means=known.reasons.get(name, ""),
                why_no_outputs=known.why_no_outputs.get(name, ""),
                why_no_ranges=known.why_no_ranges.get(name, ""),
            )
        gradients = found.gradient_square is not None or found.why_no_gradients
        something = rows or outputs or input_range or output_range or gradients
        return found if something or self.why_not(name) else None

    def why_not(self, name: str) -> str:
        """Why the layer's input vectors, ranges or outputs are not known though they were asked for (one clause), or
        ""."""
        with self._lock:
            known = self._known
            told = (why.get(name, "") for why in (known.reasons, known.why_no_ranges, known.why_no_outputs))
            return next(filter(None, told), "")

    def ranges(self, names: Iterable[str], reporter: Reporter = SILENT) -> dict[str, ValueRange]:
        """The distribution of inner values and inputs of the model, by name (`exposing.inner_values`' keys).

        Those that the model has not, that hold no floats, or that no sample gives a finite element of, are left out.
        """
        with self._lock:
            wanted = list(names)
            plan = _Plan(ranges={key: RangeCounter() for key in wanted if self._is_new(key)})
            if plan.keys:
                self._run(plan, reporter)
                self._keep(plan)
            return {key: self._known.ranges[key] for key in wanted if key in self._known.ranges}

    def save(self, path: Path) -> None:
        """Write what is known to an .npz file, for `load`, perhaps in another process."""
        with self._lock:
            write_measured(path, self._known, {"model": self._model.sha256})

    @classmethod
    def load(cls, path: Path, model: Model, samples: Samples | None = None) -> Calibration:
        """What `save` wrote; the file is mapped and has to stay. With samples, more can be measured.

        Raises DataError when the file is damaged or of another model.
        """
        known, about = read_measured(path)
        if about.get("model") != model.sha256:
            raise DataError(f"it was not measured on {model.name}", where=str(path), do="calibrate again")
        made = cls(model, samples, limit=max(known.samples, 1))
        made._known = known
        return made

    def _found(self) -> Values:
        if self._values is None:
            self._values = find_values(self._model)
        return self._values

    def _is_new(self, key: str) -> bool:
        if self._samples is None or not key or key in self._known.ranges:
            return False
        return key in self._samples.input_names or key in self._found().types

    def _plan(self, needs: Mapping[str, frozenset[Need]]) -> _Plan:
        """What of the needs is not known yet. Notes at once what cannot be had."""
        plan, known = _Plan(), self._known
        wide: dict[str, tuple[Reading, tuple[int, int], list[str]]] = {}
        for name, wanted in needs.items():
            if self._samples is None or not wanted or self._nothing_of(name):
                continue
            values = self._found().layers[name]
            if wanted & {Need.MEANS, Need.MOMENTS}:
                self._plan_rows(plan, name, Need.MOMENTS in wanted, wide)
            if Need.OUTPUTS in wanted and name not in known.outputs and values.channels is not None:
                plan.outputs[name] = (values.channels.key, ChannelSums(values.channels))
            if Need.RANGES in wanted:
                known.sides[name] = (values.input_key, values.output_key)
                plan.ranges.update({key: RangeCounter() for key in known.sides[name] if self._is_new(key)})
            if Need.GRADIENTS in wanted and name not in known.gradients and name not in known.why_no_gradients:
                plan.gradients.append(name)
        self._afford(plan, wide)
        return plan

    def _nothing_of(self, name: str) -> bool:
        """Whether the layer cannot be recorded at all; notes why."""
        reason = self._found().reasons.get(name, "")
        if reason:
            self._known.reasons[name] = reason
        return bool(reason) or name not in self._found().layers

    def _plan_rows(
        self, plan: _Plan, name: str, moments: bool, wide: dict[str, tuple[Reading, tuple[int, int], list[str]]]
    ) -> None:
        known, values = self._known, self._found().layers[name]
        if values.why_no_readings:
            known.reasons[name] = values.why_no_readings
            return
        groups, d = width(self._model.layer(name))
        known.readings[name] = tuple(found.id for found in values.readings)
        if moments and d > MOST_INPUTS:
            known.why_no_moments[name] = (
                f"it has {d:,} inputs, and the products of all pairs are only measured up to {MOST_INPUTS:,}"
            )
            moments = False
        for found in values.readings:
            before = known.rows.get(found.id)
            if moments and (before is None or before.moments is None):
                wide.setdefault(found.id, (found, (groups, d), []))[2].append(name)
            elif before is None:
                plan.sums.setdefault(found.id, (found, RowSums(groups, d, moments=False)))

    def _afford(self, plan: _Plan, wide: dict[str, tuple[Reading, tuple[int, int], list[str]]]) -> None:
        """Choose which readings get products: smallest first, until `max_bytes` are used."""
        used = sum(2 * rows.moments.nbytes for rows in self._known.rows.values() if rows.moments is not None)
        for found, (groups, d), names in sorted(wide.values(), key=lambda entry: entry[1][0] * entry[1][1] ** 2):
            size = 8 * groups * d * d
            fits = used + size <= self._max_bytes
            used += size if fits else 0
            for name in names:
                self._known.why_no_moments.pop(name, None)
                if not fits:
                    self._known.why_no_moments[name] = (
                        f"the products of its {d:,} inputs take {size / 1e6:,.0f} MB more than calibration may use"
                    )
            if fits or found.id not in self._known.rows:
                plan.sums[found.id] = (found, RowSums(groups, d, moments=fits))

    def _run(self, plan: _Plan, reporter: Reporter) -> None:
        """Run the samples, and once more where distributions are counted."""
        if self._samples is None:
            return
        inner = {key: self._found().types[key] for key in sorted(plan.keys) if key not in self._samples.input_names}
        middle = 0.5 if plan.ranges else 1.0
        with Exposed(self._model.graph(), inner, where=self._model.name, threads=self._threads) as exposed:
            self._pass(exposed, list(inner), lambda index, record: self._see(plan, index, record),
                       reporter.part(0.0, middle))  # fmt: skip
            if plan.ranges:
                def count(_: int, record: Record) -> None:
                    for key, counter in plan.ranges.items():
                        reporter.check()  # a sample may have many large values
                        if key not in plan.unfit:
                            counter.count(record[key])

                self._pass(exposed, [key for key in inner if key in plan.ranges], count, reporter.part(middle, 1.0))

    def _pass(
        self, exposed: Exposed, keys: Sequence[str], see: Callable[[int, Record], None], reporter: Reporter
    ) -> None:
        if self._samples is None:
            return
        indices = self._samples.spread(self._known.samples)
        for done, index in enumerate(indices):
            reporter.report(done / len(indices), f"calibrating, sample {done + 1} of {len(indices)}")
            feed = self._samples.feed(index)
            see(index, {**exposed.run(feed, keys), **feed})

    def _see(self, plan: _Plan, index: int, record: Record) -> None:
        """Add one sample's values to all sums. A value of a branch that did not run has no elements."""
        for name, (found, sums) in plan.sums.items():
            if name in plan.unfit or not all(record[key].size for key in found.keys):
                continue
            if any(record[key].dtype.kind != "f" for key in found.keys):
                plan.unfit.add(name)
                continue
            share = max(ALL_ROWS, ROWS_AN_INPUT * sums.d) // self._known.samples
            most = min(max(share, FEWEST_ROWS), MOST_ROWS)
            rows = found.rows(record, most, np.random.default_rng([self._seed, index]))
            if not sums.fits(rows):
                plan.unfit.add(name)
                continue
            plan.ran.add(name)
            sums.add(rows)
        for key, channels in plan.outputs.values():
            if record[key].size and record[key].dtype.kind == "f" and channels.fits(record[key]):
                channels.add(record[key])
        for key, counter in plan.ranges.items():
            if record[key].dtype.kind != "f":
                plan.unfit.add(key)
            else:
                counter.see(record[key])

    def _keep(self, plan: _Plan) -> None:
        known = self._known
        results = {name: sums.result() for name, (_, sums) in plan.sums.items() if name not in plan.unfit}
        known.rows.update({name: result for name, result in results.items() if result is not None})
        for layer, ids in known.readings.items():
            touched = [name for name in ids if name in plan.sums]
            if touched:
                self._explain(plan, layer, touched)
        for name, (_, channels) in plan.outputs.items():
            seen = channels.result()
            if seen is None:
                known.why_no_outputs[name] = channels.why_none()
            else:
                known.outputs[name] = seen
        for key, counter in plan.ranges.items():
            counted = counter.result() if key not in plan.unfit else None
            if counted is not None:
                known.ranges[key] = counted
        self._explain_ranges(plan)

    def _explain_ranges(self, plan: _Plan) -> None:
        """Note why the ranges of layers are missing that were counted."""
        known = self._known
        for layer, sides in known.sides.items():
            for key, what in zip(sides, ("input", "output"), strict=True):
                if key in plan.unfit:
                    known.why_no_ranges.setdefault(layer, f"its {what} is no float tensor")
                elif key in plan.ranges and key not in known.ranges:
                    known.why_no_ranges.setdefault(layer, plan.ranges[key].why_none(what))

    def _explain(self, plan: _Plan, layer: str, ids: Sequence[str]) -> None:
        """Note what was left out of a layer's inputs, and why there is nothing where there is nothing."""
        known = self._known
        left_out = sum(plan.sums[name][1].left_out for name in ids)
        rows = sum(known.rows[name].rows for name in ids if name in known.rows)
        known.reasons.pop(layer, None)
        if any(name in plan.unfit for name in ids):
            known.readings[layer] = ()
            known.reasons[layer] = "its input is no float tensor of the width that its weight has"
        elif not rows and left_out:
            known.reasons[layer] = f"all {left_out:,} input vectors hold NaN or infinite numbers on these samples"
        elif not rows:
            known.reasons[layer] = NOT_RUN
        elif left_out:
            known.notes[layer] = (
                f"{layer}: {left_out:,} of {left_out + rows:,} input vectors hold NaN or infinite numbers and were "
                "left out of its statistics."
            )

    def _measure_gradients(self, names: Sequence[str], reporter: Reporter) -> None:
        from core.analysis.importance import gradient_squares

        if self._samples is None:
            return
        try:
            found = gradient_squares(
                self._model, self._samples, tuple(names), limit=self._limit, seed=self._seed, reporter=reporter
            )
        except Cancelled:
            raise
        except FeatherweightError as error:
            self._known.why_no_gradients.update(dict.fromkeys(names, error.what))
            return
        for name in names:
            if name in found:
                self._known.gradients[name] = found[name]
            else:
                self._known.why_no_gradients[name] = "its gradients cannot be followed"
