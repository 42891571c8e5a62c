"""One way in: the sensitivity table of a model up to a tier, from the cache where it was computed before."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.analysis.hulls import Points, hull
from core.analysis.sensitivity.cache import Question, ask, cache_folder, data_mark, find, load, store
from core.analysis.sensitivity.cells import Cell, LayerCells, Measure, Sensitivity, Setting, Skip, Tier
from core.analysis.sensitivity.gradients import Predicting
from core.analysis.sensitivity.measured import Measuring, frontier_sizes
from core.analysis.sensitivity.originals import Originals, run_originals
from core.analysis.sensitivity.settings import default_settings
from core.analysis.sensitivity.suffixes import Suffixes
from core.analysis.sensitivity.trials import InputsOf, LayerTrials, Trials
from core.analysis.sensitivity.working import in_background
from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import Cancelled, DataError, FeatherweightError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.data.layer_inputs import LayerInputs
    from core.data.samples import Samples
    from core.model.layer import Layer
    from core.model.model import Model

SAMPLES = 64
"""Samples that errors are predicted and measured on unless another number is asked for."""
NEGLIGIBLE = 1e-6
"""A predicted error below which nothing is gained by measuring: no plan depends on whether it is twice as large."""


@dataclass(frozen=True)
class Asked:
    """What a table is to hold.

    tier      the highest; without samples only FREE can be had
    settings  columns of the table
    everything  at tier MEASURED: measure every cell, not only those on each layer's hull of predicted errors that are
              not negligible
    samples   how many to use at most
    seed      for methods that draw random numbers, for the choice of samples and for probes
    """

    tier: Tier = Tier.FAST
    settings: tuple[Setting, ...] = ()
    everything: bool = False
    samples: int = SAMPLES
    seed: int = 0


def sensitivity(
    model: Model, samples: Samples | None, asked: Asked, *, reporter: Reporter = SILENT, cache: Path | None = None
) -> Sensitivity:
    """The table of a model.

    samples  unlabelled ones will do; may be None at tier FREE
    cache    folder to keep tables in; None: the person's own

    `reporter.tell` is given `LayerCells` as layers are done, first of tier 0, then of higher tiers. Where the
    interpreter lacks operators, what cannot be predicted is measured instead, with a note. At tier MEASURED those cells
    are measured that a plan would choose from (`Asked.everything`: all); each cell says which tier it is of.

    Raises DataError when there are no samples or the outputs are not finite on them (naming the layer where that
    begins), ModelFileError when the model does not run, and Cancelled within 0.2 s.
    """
    asked = replace(asked, settings=asked.settings or default_settings())
    if asked.tier is not Tier.FREE and (samples is None or not samples.n):
        do = "load data (--data), or ask for what needs none (--level free)"
        raise DataError("there are no samples to measure with", where=model.name, do=do)
    picked = None if samples is None or asked.tier is Tier.FREE else samples
    key = in_background(lambda _: _question(model, picked, asked).key, reporter)
    folder = cache or cache_folder()
    known = load(key, asked.settings, folder)
    if known is not None:
        reporter.report(1.0, "from the cache")
        return known
    base = None
    if asked.tier is Tier.MEASURED and not asked.everything:  # kept by itself: a cancel later on loses nothing of it
        base = sensitivity(
            model, samples, replace(asked, tier=Tier.FAST), reporter=reporter.part(0.0, 0.5), cache=cache
        )
        reporter = reporter.part(0.5, 1.0)
    found = _Table(model, picked, asked, reporter).made(base)
    why_not = store(key, found, asked.settings, folder)
    return replace(found, notes=tuple(dict.fromkeys((*found.notes, why_not)))) if why_not else found


def cached_sensitivity(
    model: Model,
    samples: Samples | None,
    asked: Asked,
    *,
    data_path: str = "",
    options: DataOptions = DEFAULT_OPTIONS,
    cache: Path | None = None,
) -> Sensitivity | None:
    """The best table that is kept from before, or None: nothing is measured, and no model is run. Never raises.

    samples    their content must be that of the table; None reads no samples
    asked      its tier is the lowest that will do; a table of a higher one is taken before it. Settings must be the
               same; without `samples` the number of samples and the seed may be others
    data_path, options  without `samples`: where they come from, unchanged since; "" takes a table of any samples
    """
    settings = asked.settings or default_settings()
    if samples is None:
        mark = data_mark(data_path, options) if data_path else ""
        return find(model, settings, lowest=int(asked.tier), data=mark, folder=cache)
    for tier, everything in ((2, True), (2, False), (1, False), (0, False)):
        if tier >= asked.tier:
            wanted = replace(asked, tier=Tier(tier), everything=everything, settings=settings)
            known = load(_question(model, samples if tier else None, wanted).key, settings, cache)
            if known is not None:
                return known
    return None


def _question(model: Model, samples: Samples | None, asked: Asked) -> Question:
    """With settings that work from samples, the answer depends on all that may be drawn."""
    drawn = None if samples is None else samples.subset(2 * asked.samples, asked.seed)
    return ask(
        model, drawn, asked.settings, tier=int(asked.tier), everything=asked.everything,
        told=[asked.samples if drawn is not None else 0, asked.seed],
    )  # fmt: skip


class _Table:
    """A table at work: cells by layer, of the highest tier so far."""

    def __init__(self, model: Model, samples: Samples | None, asked: Asked, reporter: Reporter) -> None:
        self._model, self._asked, self._reporter = model, asked, reporter
        self._samples = None if samples is None else samples.subset(2 * asked.samples, asked.seed)
        self._cells: dict[str, LayerCells] = {}
        self._bytes: dict[str, int] = {}
        self._notes: list[str] = []
        self._measure = Measure.WEIGHT
        self._used = 0

    def made(self, base: Sensitivity | None) -> Sensitivity:
        """The whole table; `base` is that of tier FAST, where only its hull is still to be measured."""
        started = time.perf_counter()
        trials = self._trials()
        if base is None:
            self._free(trials, self._reporter.part(0.05, 1.0 if self._samples is None else 0.2))
        else:
            self._start_from(base)
        if self._samples is not None:
            with _entered(self._model, self._reporter) as suffixes:
                self._with_data(trials, suffixes, self._samples)
        self._reporter.report(1.0)
        ordered = [self._cells[layer.name] for layer in self._model.layers]
        return Sensitivity(
            self._model.sha256,
            self._used,
            str(self._measure),
            tuple(cell for found in ordered for cell in found.cells),
            tuple(skip for found in ordered for skip in found.skipped),
            tuple((layer.name, self._bytes[layer.name]) for layer in self._model.layers if layer.name in self._bytes),
            tuple(dict.fromkeys(self._notes)),
            time.perf_counter() - started + (base.seconds if base is not None else 0.0),
        )

    def _trials(self) -> Trials:
        from core.exporting.sizes import SizeModel

        sizes = in_background(lambda _: SizeModel(self._model), self._reporter)
        asked = self._asked
        if self._samples is None:
            return Trials(self._model, sizes, asked.settings, seed=asked.seed)
        inputs_of = self._calibrated()
        self._samples = self._samples.subset(asked.samples, asked.seed)
        feed = self._samples.feed(0)
        counts = in_background(lambda _: _multiply_adds(self._model, feed), self._reporter)
        return Trials(self._model, sizes, asked.settings, inputs_of, counts, asked.seed)

    def _calibrated(self) -> InputsOf | None:
        """Statistics of what reaches the layers where settings ask for them, from samples that are not measured on."""
        from core.analysis.calibration import Calibration
        from core.methods.base import Stage
        from core.preparing import needs
        from core.rewriting.rewrite import measure

        wanted = {steps: needs(steps, Stage.WEIGHTS) for steps in self._asked.settings}
        every = frozenset(need for found in wanted.values() for need in found)
        if not every or self._samples is None:
            return None
        calibrating, self._samples = self._samples.split(self._asked.samples, self._asked.seed)
        calibration = Calibration(self._model, calibrating)
        free = [layer.name for layer in self._model.layers if not layer.locked]
        measure(calibration, dict.fromkeys(free, every), self._reporter.part(0.0, 0.05))

        def inputs_of(name: str, steps: Setting) -> tuple[LayerInputs | None, str]:
            return (calibration.layer(name), calibration.why_not(name)) if wanted[steps] else (None, "")

        return inputs_of

    def _start_from(self, base: Sensitivity) -> None:
        self._bytes, self._notes = dict(base.layer_bytes), list(base.notes)
        skipped: dict[str, tuple[Skip, ...]] = {}
        for skip in base.skipped:
            skipped[skip.layer] = (*skipped.get(skip.layer, ()), skip)
        for layer in self._model.layers:
            name = layer.name
            self._cells[name] = LayerCells(name, base.by_layer.get(name, ()), skipped.get(name, ()))

    def _free(self, trials: Trials, reporter: Reporter) -> None:
        for layer, found in trials.all(reporter):
            if found.nbytes:
                self._bytes[layer.name] = found.nbytes
            self._keep(LayerCells(layer.name, found.cells, found.skipped))

    def _with_data(self, trials: Trials, suffixes: Suffixes, samples: Samples) -> None:
        reporter = self._reporter
        sizes = in_background(lambda _: frontier_sizes(self._model, suffixes, samples.feed(0)), reporter)
        largest = max(sizes.values(), default=0)
        reporter.report(0.2, "running the original")
        originals = in_background(
            lambda inner: run_originals(self._model, suffixes, samples, inner, largest=largest), reporter
        )
        self._notes += originals.notes
        self._measure, self._used = originals.divergence.measure, originals.samples
        if self._asked.tier is Tier.FAST:
            self._predict(trials, samples, originals, suffixes, reporter.part(0.2, 0.9))
        wanted = self._to_measure()
        layers = [layer for layer in self._model.layers if wanted[layer.name]]
        measuring = Measuring(self._model, suffixes, originals, _only(trials, wanted))
        for found in measuring.layers(layers, sizes, reporter.part(0.9 if self._asked.tier is Tier.FAST else 0.2, 1.0)):
            self._merge(found)

    def _predict(
        self, trials: Trials, samples: Samples, originals: Originals, suffixes: Suffixes, reporter: Reporter
    ) -> None:
        """Tier 1 of all layers; what fails is left at tier 0, with a note."""
        layers = [layer for layer in self._model.layers if self._cells[layer.name].cells]
        predicting = Predicting(
            self._model, samples, originals, suffixes, trials.of, len(self._asked.settings), seed=self._asked.seed
        )
        try:
            for found in predicting.layers(layers, reporter):
                self._merge(found)
        except FeatherweightError as error:
            if isinstance(error, Cancelled):
                raise
            self._notes.append(f"Not predicted from gradients but measured: {error.what}.")
        if predicting.note:
            self._notes.append(predicting.note)

    def _to_measure(self) -> dict[str, frozenset[Setting]]:
        """Settings to measure, by layer: those that were not predicted, all, or those that a plan would choose from."""
        wanted: dict[str, frozenset[Setting]] = {}
        for name, found in self._cells.items():
            cells = [cell for cell in found.cells if self._asked.everything or cell.tier < Tier.FAST]
            if not cells and self._asked.tier is Tier.MEASURED:
                hull = _on_hull(found.cells, self._bytes.get(name, 0))
                cells = [cell for cell in hull if cell.error > NEGLIGIBLE]
            wanted[name] = frozenset(cell.steps for cell in cells)
        return wanted

    def _keep(self, found: LayerCells) -> None:
        self._cells[found.layer] = found
        self._reporter.tell(replace(found, measure=str(self._measure)))

    def _merge(self, found: LayerCells) -> None:
        """Cells of a higher tier take the place of those there are; reasons are kept once."""
        before = self._cells[found.layer]
        new = {cell.steps: cell for cell in found.cells}
        cells = tuple(new.get(cell.steps, cell) for cell in before.cells)
        told = [skip for skip in found.skipped if skip not in before.skipped]
        self._keep(LayerCells(found.layer, cells, (*before.skipped, *told)))


class _entered:  # noqa: N801  a context manager that reads as a function
    """`Suffixes` whose entering, seconds for a large model, can be cancelled."""

    def __init__(self, model: Model, reporter: Reporter) -> None:
        self._suffixes, self._reporter = Suffixes(model), reporter

    def __enter__(self) -> Suffixes:
        return in_background(lambda _: self._suffixes.__enter__(), self._reporter)

    def __exit__(self, *error: object) -> None:
        self._suffixes.__exit__(*error)


def _only(trials: Trials, wanted: Mapping[str, frozenset[Setting]]) -> Callable[[Layer, Reporter], LayerTrials]:
    """Trials of the wanted settings alone."""

    def of(layer: Layer, reporter: Reporter) -> LayerTrials:
        return trials.of(layer, reporter, wanted[layer.name])

    return of


def _on_hull(cells: tuple[Cell, ...], now: int) -> list[Cell]:
    """The cells on the lower convex hull of bytes and error, with the layer as it is as the point without error."""
    costs = np.array([cell.bytes for cell in cells] + [now], np.float64)
    errors = np.array([cell.error for cell in cells] + [0.0])
    return [cells[index] for index in hull(Points(costs, errors)) if index < len(cells)]


def _multiply_adds(model: Model, feed: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Of each layer as it is; {} where the graph cannot be taken apart for counting."""
    from core.analysis.operations import multiply_adds

    try:
        return dict(multiply_adds(model, feed).per_layer)
    except FeatherweightError:
        return {}
