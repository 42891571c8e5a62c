"""A person's own metric: a Python callable, which runs only after the file that holds it was confirmed.

    def f(outputs, labels, inputs) -> float

outputs  dict: output name -> array (samples, ...), without the axis of one that a single sample's output begins with; a
         list of arrays where the samples' shapes differ
labels   (samples,) or (samples, ...) array as loaded, or None
inputs   mapping: input name -> array (samples, ...), made when it is asked for

It is called once with the original's outputs and once with the changed model's. Higher is better, unless the function
has the attribute `higher_is_better = False`.
"""

from __future__ import annotations

import contextlib
import math
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.task_metrics.base import Facts, Metric, Score, Unit
from core.errors import DataError, ParameterError
from core.own_code import FORMS, find_source, told_error

if TYPE_CHECKING:
    from core.data.options import DataOptions
    from core.data.samples import Samples

Array = np.ndarray[Any, np.dtype[Any]]

MOST_BYTES = 2**30
"""What the outputs that are kept for a callable may take."""
PREFIX = "own:"
"""Begins the metric's name in results."""
_FAILURES = (Exception, SystemExit, KeyboardInterrupt)
"""What a person's code may raise. Ctrl-C is no KeyboardInterrupt here: the command line cancels instead."""


class OwnCallable:
    """A callable that was confirmed and loaded. Raises ParameterError when it was not, or is another file by now."""

    def __init__(self, options: DataOptions) -> None:
        self._source = find_source(options.metric_callable)
        self.name = PREFIX + options.metric_callable
        if not options.confirmed:
            raise ParameterError(
                f"the metric {self._source.words} was not allowed to run", do="confirm that its code may be executed"
            )
        if options.confirmed != self._source.sha256:
            raise ParameterError(
                f"{self._source.file.name} has changed since its code was allowed to run",
                do="look at it and confirm again",
            )
        self._function = self._load()
        self.higher_is_better = bool(getattr(self._function, "higher_is_better", True))
        self.reference: float | None = None

    @property
    def words(self) -> str:
        return self._source.words

    def _load(self) -> Callable[..., Any]:
        source = self._source
        module = types.ModuleType(f"featherweight_metric_{source.sha256[:12]}")
        module.__file__ = str(source.file)
        sys.modules[module.__name__] = module  # dataclasses and pickles look their module up
        try:
            with _answers_kept_clean():
                self._execute(module)
        except _FAILURES as error:
            raise self._error(error, "cannot be loaded") from error
        function = getattr(module, source.callable, None)
        if not callable(function):
            raise ParameterError(f"{source.file.name} has no callable {source.callable!r}", do=FORMS)
        return function

    def _execute(self, module: types.ModuleType) -> None:
        # The person confirmed exactly these bytes (`confirmed`), and asked for them to run.
        exec(compile(self._source.content, str(self._source.file), "exec"), module.__dict__)  # noqa: S102

    def __call__(self, outputs: Mapping[str, Any], labels: Array | None, inputs: Mapping[str, Any]) -> float:
        """The value; raises DataError with the line when the code fails or gives no number."""
        try:
            with _answers_kept_clean():
                value = self._function(outputs, labels, inputs)
        except _FAILURES as error:
            raise self._error(error, "failed") from error
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            what = f"gave {type(value).__name__}, not a number"
            raise DataError(f"the metric {self.words} {what}", do="return a float") from error
        except OverflowError as error:
            raise DataError(f"the metric {self.words} gave a number too large for a float", do="scale it") from error

    def _error(self, error: BaseException, what: str) -> DataError:
        said, where = told_error(error, self._source)
        return DataError(f"the metric {what}: {said}", where=where, do="correct the code")


def _answers_kept_clean() -> contextlib.AbstractContextManager[Any]:
    """What a person's code prints goes to standard error: standard output holds the answer, which may be JSON."""
    return contextlib.redirect_stdout(sys.stderr)


class OwnMetric(Metric):
    """What a person's own callable makes of all samples at once."""

    name, words = "own", "own metric"
    what = "What your own Python function makes of outputs, labels and inputs."
    unit = Unit.SCORE

    def __init__(self, facts: Facts, function: OwnCallable) -> None:
        super().__init__(facts)
        self._function = function
        self._kept: tuple[list[Sequence[Array]], list[Sequence[Array]]] = ([], [])
        self._bytes = 0

    @classmethod
    def why_not(cls, facts: Facts) -> str:
        return "it runs only when it is named and allowed"

    def add(self, index: int, before: Sequence[Array], after: Sequence[Array]) -> None:
        self._kept[1].append(after)
        if self._function.reference is None:
            self._kept[0].append(before)
        self._bytes += sum(values.nbytes for values in after)
        if self._bytes > MOST_BYTES:
            raise DataError(
                f"the outputs of {len(self._kept[1]):,} samples take more than {MOST_BYTES / 1e9:.1f} GB, and an own "
                "metric gets them all at once", do="give fewer samples",
            )  # fmt: skip

    def values(self) -> tuple[float, float]:
        count = len(self._kept[1])
        if not count:
            return np.nan, np.nan
        if self._function.reference is None:
            self._function.reference = self._of_original(count)
        return self._function.reference, self._of(self._kept[1], count)

    def score(self) -> Score:
        unit = Unit.SCORE if self._function.higher_is_better else Unit.ERROR
        return Score(self._function.name, self._function.words, unit, *self.values())

    def _of_original(self, count: int) -> float:
        value = self._of(self._kept[0], count)
        if not math.isfinite(value):  # nothing can be compared with it: better said before hours of measuring
            words = self._function.words
            raise DataError(f"the metric {words} gives {value:g} for the original model", do="make it give a number")
        return value

    def _of(self, kept: list[Sequence[Array]], count: int) -> float:
        facts = self.facts
        outputs = {name: stacked([one[i] for one in kept]) for i, name in enumerate(facts.names)}
        labels = None if facts.labels is None else facts.labels[:count]
        return self._function(outputs, labels, Inputs(facts.samples, count))


class Inputs(Mapping[str, Any]):
    """The samples' inputs by name; each is made into one array when it is asked for."""

    def __init__(self, samples: Samples | None, count: int) -> None:
        self._samples, self._count = samples, count

    def __getitem__(self, name: str) -> Array | list[Array]:
        if self._samples is None or name not in self._samples.input_names:
            raise KeyError(name)
        return stacked([self._samples.feed(i)[name] for i in range(self._count)])

    def __iter__(self) -> Iterator[str]:
        return iter(self._samples.input_names if self._samples is not None else ())

    def __len__(self) -> int:
        return len(self._samples.input_names) if self._samples is not None else 0


def stacked(values: list[Array]) -> Array | list[Array]:
    """One array with the sample first; the axis of one that each sample begins with is dropped."""
    if len({value.shape for value in values}) != 1:
        return values
    one = values[0]
    joined: Array = np.concatenate(values) if one.ndim and one.shape[0] == 1 else np.stack(values)
    return joined
