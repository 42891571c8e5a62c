"""Every metric, found by importing the files of this folder, and the choice among them."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import core.analysis.task_metrics
from core.analysis.metrics import Task
from core.analysis.task_metrics.base import Facts, Metric
from core.data.options import AUTO
from core.errors import DataError, ParameterError

if TYPE_CHECKING:
    from core.analysis.task_metrics.own import OwnCallable
    from core.data.options import DataOptions

_ALSO = {"top1": "accuracy"}
"""Other names that people give a metric."""
_HELPERS = ("base", "own", "registry")
_ORDER = ("classes", "text", "regression", "likeness", "similarity")
"""Files in the order in which a person reads their metrics; others come behind."""


@cache
def all_metrics() -> tuple[type[Metric], ...]:
    """The metrics that can be chosen by name, those with labels first. Importing happens at the first call."""
    found: dict[str, type[Metric]] = {}
    files = {info.name for info in pkgutil.iter_modules(core.analysis.task_metrics.__path__)}
    for file in (*_ORDER, *sorted(files - {*_ORDER, *_HELPERS})):
        module = importlib.import_module(f"core.analysis.task_metrics.{file}")
        for thing in vars(module).values():
            own = isinstance(thing, type) and issubclass(thing, Metric) and thing.__module__ == module.__name__
            if not own or thing.__name__.startswith("_"):
                continue
            if thing.name in found or thing.name == AUTO:
                raise RuntimeError(f"the metric {thing.name!r} is registered twice")
            found[thing.name] = thing
    return tuple(metric for metric in found.values() if metric.name != "alike")


def find_metric(name: str) -> type[Metric]:
    """The metric of a name; ParameterError lists what there is."""
    for metric in all_metrics():
        if metric.name == _ALSO.get(name, name):
            return metric
    names = ", ".join((AUTO, *(metric.name for metric in all_metrics())))
    raise ParameterError(f"there is no metric {name!r}", do=f"use one of {names}")


@dataclass(frozen=True)
class Choice:
    """A metric that fits, ready to be measured as often as there are models."""

    kind: type[Metric]
    facts: Facts
    own: OwnCallable | None = None
    note: str = ""

    def start(self) -> Metric:
        """A fresh count."""
        if self.own is not None:
            from core.analysis.task_metrics.own import OwnMetric

            return OwnMetric(self.facts, self.own)
        metric = self.kind(self.facts)
        metric.note = self.note
        return metric


def choose(facts: Facts, options: DataOptions, *, where: str) -> Choice | None:
    """The metric that was asked for, or the one that fits; None when no output can be judged.

    where  the data's path, for errors. Raises DataError when what was asked for cannot be measured, and ParameterError
           for a metric that does not exist or a callable that was not confirmed.
    """
    if options.metric_callable:
        from core.analysis.task_metrics.own import OwnCallable, OwnMetric

        return Choice(OwnMetric, facts, OwnCallable(options))
    if options.metric == AUTO:
        kind = fitting(facts)
        return None if kind is None else Choice(kind, facts, note=unused_labels(kind, facts))
    asked = find_metric(options.metric)
    reason = asked.why_not(facts)
    if reason:
        possible = ", ".join(metric.name for metric in all_metrics() if not metric.why_not(facts))
        raise DataError(
            f"the metric {asked.name!r} cannot be measured: {reason}", where=where,
            do=f"choose {' or '.join(filter(None, (AUTO, possible)))}",
        )  # fmt: skip
    return Choice(asked, facts)


def unused_labels(kind: type[Metric], facts: Facts) -> str:
    """Why the labels that there are say nothing to this metric, one sentence; "" when they do, or there are none."""
    if facts.labels is None or kind.needs_labels:
        return ""
    return f"The labels are not used: {facts.no_accuracy}." if facts.no_accuracy else ""


def fitting(facts: Facts) -> type[Metric] | None:
    """What "auto" means: right answers where the labels tell them, else likeness to the original."""
    for name in ("accuracy", "characters", "mse"):
        metric = find_metric(name)
        if not metric.why_not(facts):
            return metric
    if facts.main is None:
        return None
    from core.analysis.task_metrics.likeness import Agreement, Alike

    return Agreement if facts.task is not Task.VALUES else Alike
