"""What the Trade-off lens shows, worked out from a plan's frozen values. No Qt."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gui.charts.axis import plain
from gui.charts.whole_plans import better
from gui.planning.words import metric_value, point_words
from gui.units import NONE, decibels, file_size, percent_change

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.model.layer import Layer
    from core.planning.plan import Plan, PlanPoint
    from core.recipe import Step
    from gui.session import Session

METRIC, SQNR, ERROR = "metric", "sqnr", "error"
"""What the chart's y can be."""
_SPAN = 6.0
"""Points of the metric below the best from which plans are of no use, and are drawn at the lower edge."""
_USELESS_DB = 0.0
MOST_BARS = 60
_USUAL = ("int8", "int4", "fp16")
"""Settings for all layers that a person would otherwise use; they are always among the reference points."""
_FAMILIES = {
    "Quantization": "series_1", "Pruning": "series_2", "Low rank": "series_3", "Filtering": "series_4",
    "Structured cuts": "muted",
}  # fmt: skip
"""Families by their colours' roles; of a layer's steps the first family but quantization counts."""
_RAISED = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
KEPT = "before_fill"
"""Role of the bytes of layers that are left as they are."""


@dataclass(frozen=True)
class Quality:
    """One way to look at plans.

    key     METRIC, SQNR or ERROR
    title   of the switch
    label   of the axis
    values  by point; NaN where it is not known. Higher is better: metrics that are errors are negative
    low     below it, plans are of no use
    unit    of a metric (`task_metrics.base.Unit`)
    """

    key: str
    title: str
    label: str
    values: tuple[float, ...]
    low: float
    unit: str = ""

    def text(self, value: float) -> str:
        """A value with its unit."""
        if math.isnan(value):
            return NONE
        if self.key == METRIC:
            return metric_value(self.unit, value / _scale(self.unit))
        return decibels(value) if self.key == SQNR else f"error {10.0**-value:.2g}"

    def tick(self, value: float, step: float) -> str:
        """A number of the axis."""
        if self.key == METRIC and self.unit == "share":
            return f"{plain(value, step)} %" if value <= 100 + 1e-9 else ""
        if self.key == ERROR:
            return f"10{str(-round(value)).translate(_RAISED)}" if step >= 1 else ""
        return plain(value * (_scale(self.unit) if self.key == METRIC else 1.0), step)


def _scale(unit: str) -> float:
    """What a metric's value is drawn times: shares per cent, and errors downward."""
    return 100.0 if unit == "share" else -1.0 if unit in ("error", "nats") else 1.0


def qualities(plan: Plan, points: Sequence[PlanPoint]) -> tuple[Quality, ...]:
    """The ways in which this plan's points can be looked at, the one that says most first."""
    from core.planning.between import metric_between

    found = []
    measured = [point.measured for point in plan.front if point.measured is not None]
    if measured:
        unit, name = str(measured[0].unit), measured[0].metric_text
        values = tuple(_scale(unit) * value for value in metric_between(points, plan.front))
        best = max((v for v in values if math.isfinite(v)), default=100.0)
        worst = min((v for v in values if math.isfinite(v)), default=0.0)
        low = max(worst, best - _SPAN) if unit == "share" else worst
        found.append(Quality(METRIC, name[:1].upper() + name[1:], name, values, low, unit))
    decibel = tuple(_finite(p.measured.sqnr_db if p.measured is not None else p.sqnr_db) for p in points)
    if any(math.isfinite(v) for v in decibel):
        worst = min(v for v in decibel if math.isfinite(v))
        found.append(Quality(SQNR, "Output SQNR", "output SQNR, dB", decibel, max(worst, _USELESS_DB)))
    if not found:
        errors = tuple(-math.log10(p.error) if 0.0 < p.error < math.inf else math.nan for p in points)
        words = {"kl": "predicted KL divergence, nats", "weight": "error of the weights"}
        label = words.get(plan.measure, "predicted relative error")
        worst = min((v for v in errors if math.isfinite(v)), default=0.0)
        found.append(Quality(ERROR, "Error", label, errors, max(worst, -1.0)))
    return tuple(found)


def _finite(value: float | None) -> float:
    return math.nan if value is None or not math.isfinite(value) else value


def read_outs(plan: Plan, points: Sequence[PlanPoint]) -> tuple[str, ...]:
    """The words of each point."""
    return tuple(point_words(point, plan.bytes_before) for point in points)


def ring_words(point: PlanPoint, quality: Quality, value: float, compressed: Comparison | None = None) -> str:
    """The words beside the ring: "plan: 2.1 MB · 97.6 %".

    compressed  what was measured of the file, when this plan was compressed
    """
    told = "" if math.isnan(value) else f" \N{MIDDLE DOT} {quality.text(value)}"
    known = "" if point.measured is not None or not told else " predicted"
    return f"plan: {file_size(point.bytes)}{told}{known}{_compressed_words(compressed, quality)}"


def _compressed_words(found: Comparison | None, quality: Quality) -> str:
    """What the compressed file has of this quality: ", compressed: 97.5 %"; "" where that was not measured."""
    if found is None or quality.key == ERROR:
        return ""
    if quality.key == SQNR:
        return f", compressed: {decibels(found.output_sqnr_db)}"
    return f", compressed: {found.score.value_text}" if found.score is not None else ""


def useful_uniform(points: Sequence[PlanPoint], quality: Quality) -> set[int]:
    """Places of the uniform settings to show: those that no other one beats, and what a person would try first."""
    uniform = [i for i, point in enumerate(points) if point.label and math.isfinite(quality.values[i])]
    best = better([(float(points[i].bytes), quality.values[i]) for i in uniform])
    return {uniform[k] for k in best} | {i for i in uniform if points[i].label in _USUAL}


def role_of(steps: Sequence[Step]) -> tuple[str, str]:
    """Family of a layer's steps and its colour's role: what does most besides the number format comes first."""
    from core.methods import registry

    families = [registry.by_key(step.method).family for step in steps]
    if not families:
        return "as they are", KEPT
    first = next((family for family in families if family != "Quantization"), families[0])
    return first, _FAMILIES.get(first, "muted")


@dataclass(frozen=True)
class LayerBytes:
    """One layer in the second card."""

    name: str
    title: str
    before: int
    after: int
    family: str
    role: str


def layer_bytes(session: Session, title: Callable[[Layer], str]) -> tuple[LayerBytes, ...]:
    """Every layer by the steps in force, largest first. What is not known yet counts as unchanged."""
    model = session.model
    if model is None:
        return ()
    found = []
    for layer in model.layers:
        steps = session.steps(layer.name)
        foretold, preview = session.plans.foretold_bytes(layer.name), session.previews.get(layer.name)
        before, after = layer.nbytes, layer.nbytes
        if foretold is not None:
            after = foretold
        elif preview is not None and (steps or preview.bytes_after != preview.bytes_before):
            after = preview.bytes_after
        family, role = role_of(steps)
        found.append(LayerBytes(layer.name, title(layer), before, after, family, role))
    return tuple(sorted(found, key=lambda entry: -entry.before))


def layer_words(session: Session, entry: LayerBytes) -> str:
    """The tool tip of a layer's bars."""
    steps = " \N{MIDDLE DOT} ".join(step.label() for step in session.steps(entry.name)) or "as it is"
    change = percent_change(entry.before, entry.after) or "empty"
    arrow = "\N{RIGHTWARDS ARROW}"
    return f"{entry.title}\n{steps}\n{file_size(entry.before)} {arrow} {file_size(entry.after)} ({change})"


def bytes_words(layers: Sequence[LayerBytes]) -> str:
    """The caption: what is before and after, and what each family saves."""
    saved: Counter[tuple[str, str]] = Counter()
    number: Counter[str] = Counter()
    for layer in layers:
        if layer.role != KEPT or layer.after != layer.before:
            saved[layer.family, layer.role] += layer.before - layer.after
            number[layer.family] += 1
    before = f"{{before}} before {file_size(sum(layer.before for layer in layers))}"
    told = [f"{{{role}}} {family.lower()} {_saves(nbytes)} in {_layers(number[family])}"
            for (family, role), nbytes in saved.most_common()]
    kept = sum(layer.after for layer in layers if layer.role == KEPT and layer.after == layer.before)
    left = [f"{{{KEPT}}} as they are {file_size(kept)}"] if kept else []
    return " \N{MIDDLE DOT} ".join([before, *told, *left])


def _layers(n: int) -> str:
    return f"{n:,} layer{'' if n == 1 else 's'}"


def _saves(nbytes: int) -> str:
    return f"saves {file_size(nbytes)}" if nbytes >= 0 else f"takes {file_size(-nbytes)} more"
