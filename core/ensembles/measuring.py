"""Members, ensemble, student and original on the same samples: answers, agreement, size and time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from core.analysis.comparison import LATENCY_FEEDS
from core.analysis.latency import Timing, time_in_turns
from core.analysis.metrics import Task
from core.analysis.runtime import Feed, metadata, output_names, run, session, spare_threads
from core.analysis.task_metrics.base import Facts, Metric, Unit, facts_of, value_text
from core.analysis.task_metrics.registry import Choice, choose
from core.data.samples import Samples
from core.errors import DataError
from core.progress import SILENT, Reporter

Array = np.ndarray[Any, np.dtype[Any]]

GROUPS = 10
"""Parts of the samples whose spread tells the standard error of a metric that is no share of right answers."""


class Role(StrEnum):
    """What a model is in a merge."""

    ORIGINAL = "original"
    MEMBER = "member"
    ENSEMBLE = "ensemble"
    AVERAGE = "averaged weights"
    STUDENT = "student"


@dataclass(frozen=True)
class Contestant:
    """A model file to measure."""

    title: str
    role: Role
    path: str
    nbytes: int


@dataclass(frozen=True)
class Standing:
    """What was measured of one model.

    value, error  of the metric, and its standard error; None when no output can be judged
    agreement     share of answers that are the reference's; None when the output is no class scores
    latency       measured in turns with the others; None when it was not measured
    """

    title: str
    role: Role
    path: str
    nbytes: int
    value: float | None = None
    error: float | None = None
    agreement: float | None = None
    latency: Timing | None = None


@dataclass(frozen=True)
class Duel:
    """Two models on the same samples.

    only_first, only_second  samples that one alone answers right; None for metrics without right and wrong
    difference, error        first - second in the metric, and its standard error
    p                        of a difference this large by chance: McNemar's exact test (1947) where there is right and
                             wrong, else a two-sided normal test of the mean difference over groups of samples
    """

    first: str
    second: str
    difference: float
    error: float
    p: float
    only_first: int | None = None
    only_second: int | None = None

    @property
    def test(self) -> str:
        return "McNemar's test" if self.only_first is not None else "a test over groups of samples"


@dataclass(frozen=True)
class Standings:
    """All models on `n` samples of `source`.

    reference  title of the model that agreement is measured with: the original, else the first
    metric     in words; higher_is_better and unit say how to read it. "" when no output can be judged
    duels      of the merged model with each other one
    """

    rows: tuple[Standing, ...]
    duels: tuple[Duel, ...]
    n: int
    source: str
    reference: str
    metric: str = ""
    unit: Unit = Unit.SHARE
    higher_is_better: bool = True
    assumed: str = ""

    def row(self, role: Role) -> Standing | None:
        """The first model of this role."""
        return next((row for row in self.rows if row.role is role), None)

    def text(self, value: float | None) -> str:
        """A value of the metric for a person."""
        return "not measured" if value is None else value_text(self.unit, value)

    def duel(self, title: str) -> Duel | None:
        """The merged model against this one."""
        return next((duel for duel in self.duels if duel.second == title), None)


def measure(
    contestants: Sequence[Contestant], samples: Samples, *, merged: str = "", limit: int | None = None,
    seconds: float = 2.0, reporter: Reporter = SILENT,
) -> Standings:  # fmt: skip
    """Run all models on the first `limit` samples and time them in turns.

    contestants  with the same inputs and outputs, by name or by place; the first is what agreement is measured with
    merged       title of the one that has a duel with each other; "" for none
    seconds      for timing; 0 leaves it out

    Raises ModelFileError or DataError when a model does not run, or the metric that was asked for cannot be measured.
    """
    count = samples.n if limit is None else max(1, min(limit, samples.n))
    players = [_Player(contestant, samples) for contestant in contestants]
    choice: Choice | None = None
    facts: Facts | None = None
    runs = reporter.part(0.0, 0.7 if seconds else 1.0)
    for index in range(count):
        runs.report(index / count, f"sample {index + 1} of {count}")
        feed = samples.feed(index)
        answers = [player.run(feed) for player in players]
        if facts is None:
            first = players[0]
            facts = facts_of(first.outputs, answers[0], samples, count, first.metadata)
            choice = choose(facts, samples.options, where=samples.source)
            for player in players:
                player.begin(choice, facts, count)
        for player, answer in zip(players, answers, strict=True):
            player.add(index, answers[0], answer)
    times: Sequence[Timing | None] = [None] * len(players)
    if seconds:
        feeds = list(samples.feeds(min(count, LATENCY_FEEDS)))
        timed = [(player.path, [player.renamed(feed) for feed in feeds]) for player in players]
        times = time_in_turns(timed, seconds=seconds, reporter=reporter.part(0.7, 1.0))
    rows = tuple(player.standing(time) for player, time in zip(players, times, strict=True))
    return _standings(players, rows, merged, choice, count, samples)


def _standings(
    players: Sequence[_Player], rows: tuple[Standing, ...], merged: str, choice: Choice | None, count: int,
    samples: Samples,
) -> Standings:  # fmt: skip
    first = next((player for player in players if player.title == merged), None)
    duels = () if first is None else tuple(
        duel for player in players if player is not first and (duel := _duel(first, player)) is not None
    )  # fmt: skip
    source, reference = samples.source, players[0].title
    if choice is None or players[0].metric is None:
        return Standings(rows, duels, count, source, reference)
    metric = players[0].metric
    better, told = type(metric).higher_is_better, " ".join(filter(None, (choice.note, metric.assumed)))
    return Standings(rows, duels, count, source, reference, metric.words, metric.unit, better, told)


class _Player:
    """One model and what has been counted of it."""

    def __init__(self, contestant: Contestant, samples: Samples) -> None:
        self.title, self.path = contestant.title, contestant.path
        self._contestant = contestant
        self._session = session(contestant.path, threads=spare_threads())
        self.outputs = output_names(self._session)
        self.metadata = metadata(self._session)
        own = [port.name for port in self._session.get_inputs()]
        wanted = samples.input_names
        if set(own) != set(wanted) and len(own) != len(wanted):
            raise DataError(f"it takes {len(own)} inputs and the samples are for {len(wanted)}", where=self.path,
                            do="compare models with the same inputs")  # fmt: skip
        self._names = dict(zip(wanted, wanted if set(own) == set(wanted) else own, strict=True))
        self.metric: Metric | None = None
        self._groups: list[Metric] = []
        self._per_group = 1
        self.right: list[bool] = []
        self._alike: list[bool] = []
        self._facts: Facts | None = None

    def renamed(self, feed: Feed) -> dict[str, Array]:
        return {self._names[name]: array for name, array in feed.items()}

    def run(self, feed: Feed) -> list[Array]:
        return run(self._session, self.renamed(feed), where=self.path)

    def begin(self, choice: Choice | None, facts: Facts, count: int) -> None:
        self._facts = facts
        if choice is not None:
            self.metric = choice.start()
            self._per_group = max(1, math.ceil(count / GROUPS))
            self._groups = [choice.start() for _ in range(math.ceil(count / self._per_group))]

    def add(self, index: int, reference: Sequence[Array], answer: Sequence[Array]) -> None:
        if self.metric is not None:
            self.metric.add(index, reference, answer)
            self._groups[index // self._per_group].add(index, reference, answer)
        facts = self._facts
        if facts is None or facts.main is None or facts.task is Task.VALUES:
            return
        best, wanted = _best(answer[facts.main]), _best(reference[facts.main])
        self._alike.append(bool(np.array_equal(best, wanted)))
        if facts.task is Task.CLASSES and facts.labels is not None:
            self.right.append(bool(best.size == 1 and best.item() == int(facts.labels[index])))

    @property
    def judged_by_right(self) -> bool:
        """Whether the metric is the share of right answers, which tests of pairs know of."""
        return bool(self.right) and self.metric is not None and self.metric.name == "accuracy"

    def group_values(self) -> Array:
        return np.array([metric.values()[1] for metric in self._groups])

    def standing(self, time: Timing | None) -> Standing:
        value = self.metric.values()[1] if self.metric is not None else None
        value = None if value is None or not math.isfinite(value) else float(value)
        agreement = float(np.mean(self._alike)) if self._alike else None
        known = self._contestant
        return Standing(
            known.title, known.role, known.path, known.nbytes, value, self._error(value), agreement, time
        )  # fmt: skip

    def _error(self, value: float | None) -> float | None:
        if value is None:
            return None
        if self.judged_by_right:
            return math.sqrt(value * (1.0 - value) / len(self.right))
        groups = self.group_values()
        finite = groups[np.isfinite(groups)]
        return float(finite.std(ddof=1) / math.sqrt(len(finite))) if len(finite) > 1 else None


def _best(scores: Array) -> Array:
    """The best class along the last axis, of each row; NaN is never the best."""
    best: Array = np.asarray(np.nan_to_num(scores, nan=-np.inf).argmax(-1)).reshape(-1)
    return best


def _duel(first: _Player, second: _Player) -> Duel | None:
    """None when there is no metric, or too few groups to tell anything."""
    if first.judged_by_right and second.judged_by_right:
        ours, theirs = np.array(first.right), np.array(second.right)
        one, other = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
        difference = (one - other) / len(ours)
        error = math.sqrt(max(one + other - (one - other) ** 2 / len(ours), 0.0)) / len(ours)
        return Duel(first.title, second.title, difference, error, mcnemar(one, other), one, other)
    if first.metric is None or second.metric is None:
        return None
    values = first.group_values() - second.group_values()
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return None
    mean, error = float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
    p = 1.0 if mean == 0.0 else math.erfc(abs(mean) / error / math.sqrt(2.0)) if error else 0.0
    return Duel(first.title, second.title, mean, error, p)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p value of McNemar's exact test: of so uneven a split of the samples that only one answers right."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**n)
