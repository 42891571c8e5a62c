"""What a run of each layer takes with each setting: milliseconds and multiply-adds, in the cells of a table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from core.analysis.sensitivity.cells import Cell, Sensitivity, Setting, Tier
from core.methods import registry
from core.planning.budgets import Goal
from core.planning.candidates import Candidates
from core.planning.layer_times import LayerTime, LayerTimes
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from pathlib import Path

    from core.analysis.runtime import Feed
    from core.encoding import Encoding
    from core.model.model import Model
    from core.planning.evaluation import Evaluator
    from core.planning.workshop import Workshop

SAME = 0.2
"""A form that only the file holds may differ by so much from the layer as it is, in a layer of microseconds."""
LEAST = 1e-3
"""Of the changed graph's own error: a layer's is not told apart below."""
ALONE_SECONDS = 40.0
"""For measuring layers alone that round what enters them; where it does not reach, others' ratio is taken."""


def changes_runs(setting: Setting) -> bool:
    """Whether the layer computes otherwise with it: faster, or with fewer multiply-adds."""
    saves = {what for step in setting for what in registry.by_key(step.method).saves}
    return bool(saves & {"time", "multiply-adds"})


@dataclass(frozen=True)
class RunCosts:
    """What runs take.

    cells   {(layer, setting): its time and count}; () is the layer as it is
    scale   by which layers' own times are multiplied, so that with `fixed_ms` they add up to the whole run's; a
            setting's time is the layer's times the ratio of both in turns
    fixed_ms, fixed_count  what no layer takes
    notes   sentences that a person should know
    """

    cells: Mapping[tuple[str, Setting], LayerTime] = field(repr=False)
    scale: float
    fixed_ms: float | None
    fixed_count: int | None
    notes: tuple[str, ...] = ()

    def filled(self, found: Candidates) -> Candidates:
        """The candidates with what is known of their runs. A form that only the file holds runs as the layer does."""
        fixed: dict[Goal, float] = {}
        if self.fixed_ms is not None:
            fixed[Goal.LATENCY] = self.fixed_ms
        if self.fixed_count is not None:
            fixed[Goal.MULTIPLY_ADDS] = float(self.fixed_count)
        cells = tuple(tuple(self._filled(cell) for cell in of) for of in found.cells)
        return replace(found, cells=cells, fixed=fixed)

    def _filled(self, cell: Cell) -> Cell:
        known = self.cells.get((cell.layer, cell.steps if changes_runs(cell.steps) else ()))
        if (cell.layer, ()) not in self.cells:  # it cannot be run by itself: it stays among what is fixed
            changed = changes_runs(cell.steps)
            return replace(cell, milliseconds=None if changed else 0.0, multiply_adds=None if changed else 0)
        if known is None:
            return cell
        took = self.scale * self.cells[cell.layer, ()].low_ms * known.ratio
        return replace(cell, milliseconds=took, multiply_adds=known.multiply_adds)


def run_costs(
    model: Model, table: Sensitivity, workshop: Workshop, feed: Feed, *, whole: Path | None,
    milliseconds: float | None, count: int | None, reporter: Reporter = SILENT,
) -> RunCosts:  # fmt: skip
    """Time and count every layer with every setting of the table that changes its run.

    whole         the model's file, to time beside its layers; None: multiply-adds are counted alone
    milliseconds  of the model's run, on the scale that budgets are of
    count         multiply-adds of the model's run

    Whatever is compared is timed in turns, as other work of the machine moves all times: a layer's settings with the
    layer as it is, and all layers as they are with the whole run. Raises Cancelled.
    """
    asked = {
        name: [cell.steps for cell in cells if changes_runs(cell.steps)] for name, cells in table.by_layer.items()
    }
    every = list(dict.fromkeys(setting for settings in asked.values() for setting in settings))
    for number, setting in enumerate(every):  # what one needs to know of inputs is measured for all layers at once
        plan = {name: setting for name, settings in asked.items() if setting in settings}
        workshop.encodings(plan, reporter.part(0.4 * number / len(every), 0.4 * (number + 1) / len(every)))
    cells: dict[tuple[str, Setting], LayerTime] = {}
    notes: list[str] = []
    share = 0.0
    part = reporter.part(0.4, 1.0)
    with LayerTimes(model, feed, timed=whole is not None) as times:
        for number, (name, settings) in enumerate(asked.items()):
            part.report(number / len(asked), f"Timing {model.layer(name).title}" if whole else "Counting multiply-adds")
            able, encodings = _encodings(workshop, name, settings)
            found = times.of(name, encodings, part)
            cells |= {(name, s): t for s, t in zip([(), *able], found, strict=True) if t is not None}
        if whole is not None:
            notes.append(_check_file_forms(table, workshop, times, cells))
            share = times.share(whole, part.part(1.0, 1.0))
    return _scaled(cells, share, milliseconds, count, tuple(note for note in notes if note))


def _encodings(workshop: Workshop, name: str, settings: Sequence[Setting]) -> tuple[list[Setting], list[Encoding]]:
    able, encodings = [], []
    for setting in settings:
        made = workshop.encodings({name: setting}).get(name)
        if made is not None:
            able.append(setting)
            encodings.append(made)
    return able, encodings


def _scaled(
    cells: Mapping[tuple[str, Setting], LayerTime], share: float, milliseconds: float | None, count: int | None,
    notes: tuple[str, ...],
) -> RunCosts:  # fmt: skip
    """Layers' own times put on the scale of the whole run's `milliseconds`, of which they take `share`."""
    own = [found for (_, setting), found in cells.items() if not setting]
    counted = sum(found.multiply_adds or 0 for found in own)
    fixed_count = None if count is None else max(0, count - counted)
    if milliseconds is None or not share:
        return RunCosts(cells, 0.0, None, fixed_count, notes)
    scale = share * milliseconds / max(sum(found.low_ms for found in own), 1e-9)
    return RunCosts(cells, scale, (1.0 - share) * milliseconds, fixed_count, notes)


def _check_file_forms(
    table: Sensitivity, workshop: Workshop, times: LayerTimes, cells: Mapping[tuple[str, Setting], LayerTime]
) -> str:
    """Whether forms that the runtime rebuilds on loading run as the layer does: timed on the slowest layer."""
    slowest = max((key for key in cells if not key[1]), key=lambda key: cells[key].low_ms, default=None)
    if slowest is None:
        return ""
    name = slowest[0]
    stored = [cell.steps for cell in table.by_layer.get(name, ()) if not changes_runs(cell.steps)]
    if not stored:
        return ""
    able, encodings = _encodings(workshop, name, stored[-1:])
    found = times.of(name, encodings)[1] if encodings else None
    if found is None:
        return ""
    ratio = found.ratio
    label = able[0][0].label()
    if abs(ratio - 1.0) <= SAME:
        return f"Forms that only the file holds run as the layer does: {name} took {ratio:.2f} of its time in {label}."
    return f"{name} took {ratio:.2f} of its time with {label}, which should not change it: times may be off."


def measured_alone(
    found: Candidates, workshop: Workshop, evaluator: Evaluator, measure: str, reporter: Reporter = SILENT,
    seconds: float = ALONE_SECONDS,
) -> Candidates:  # fmt: skip
    """The candidates with the errors of layers that round what enters them measured, each alone in the whole model.

    A weight's error says nothing of the rounding of its inputs. Layers that could save most time come first; where the
    time is over, the error of the others is the predicted one times the ratio that was found.
    """
    started = time.monotonic()
    own = evaluator.measure({}, reporter.part(0.0, 0.0)).error(measure)  # of the changed graph by itself
    places = [
        (layer, place) for layer, cells in enumerate(found.cells) for place, cell in enumerate(cells)
        if cell.steps and len(cells) > 1 and _rounds(workshop, cell)
    ]  # fmt: skip
    saved = {(layer, p): _saving(found.cells[layer], p) for layer, p in places}
    known: dict[tuple[int, int], float] = {}
    order = sorted(places, key=lambda key: -saved[key])
    for number, (layer, place) in enumerate(order):
        if time.monotonic() - started > seconds:
            break
        cell = found.cells[layer][place]
        reporter.report(number / len(order), f"Measuring {cell.layer} with {cell.label}")
        result = evaluator.measure(workshop.encodings({cell.layer: cell.steps}), reporter.part(0.0, 0.0))
        known[layer, place] = max(result.error(measure) - own, LEAST * own)
    ratios = [known[key] / found.cells[key[0]][key[1]].error for key in known if found.cells[key[0]][key[1]].error > 0]
    typical = float(np.median([r for r in ratios if np.isfinite(r)] or [1.0]))
    cells = [list(of) for of in found.cells]
    for layer, place in places:
        cell = cells[layer][place]
        error = known.get((layer, place))
        cells[layer][place] = (
            replace(cell, error=cell.error * typical) if error is None
            else replace(cell, error=error, tier=int(Tier.MEASURED))
        )  # fmt: skip
    return replace(found, cells=tuple(tuple(of) for of in cells))


def _rounds(workshop: Workshop, cell: Cell) -> bool:
    made = workshop.encodings({cell.layer: cell.steps}).get(cell.layer)
    return made is not None and made.rounds_inputs


def _saving(cells: Sequence[Cell], place: int) -> float:
    own, new = cells[0].milliseconds, cells[place].milliseconds
    return (own - new) if own is not None and new is not None else float("-inf")
