"""What a comparison of methods found: one row a trial, plain values that cross processes and live in a cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

from core.analysis.metrics import json_number
from core.errors import DataError


class Status(StrEnum):
    """What became of a trial."""

    MEASURED = "measured"
    NOT_APPLICABLE = "not applicable"
    FAILED = "failed"
    NOT_TRIED = "not tried"


class Baseline(StrEnum):
    """What a row is beside a trial; "" for a trial."""

    NONE = ""
    ORIGINAL = "the original"
    INT8 = "uniform int8"
    PLAN = "the plan"


@dataclass(frozen=True)
class Quality:
    """What a compressed file does to the outputs, measured on `samples` samples.

    sqnr_db    over all float outputs; inf when nothing changed, -inf when they are not finite
    kl         KL(original || compressed) in nats, or None
    metric     what was measured, in words; `value` of the compressed model, `reference` of the original
    drop       what is lost of it in the measure of its unit (`task_metrics.base.Unit`: points of a share), negative
               when it became better, inf when it is undefined
    value_text, drop_text   both for people, with units
    counted    whether the metric counts answers, each right or wrong, so that their number says how sure it is
    """

    samples: int
    sqnr_db: float
    kl: float | None
    metric: str
    value: float
    reference: float
    drop: float
    unit: str
    value_text: str
    drop_text: str
    counted: bool = True


@dataclass(frozen=True)
class Times:
    """Milliseconds of one run, one thread: median and 10-90 % of the blocks, beside the original's."""

    median: float
    low: float
    high: float
    original_median: float
    original_low: float
    original_high: float
    load: float = 0.0

    @property
    def ratio(self) -> float:
        """Median / the original's: below 1 is faster."""
        return self.median / self.original_median if self.original_median else 1.0

    @property
    def faster(self) -> bool:
        """Whether it is faster beyond what the runs of either scatter."""
        return self.high < self.original_low

    @property
    def slower(self) -> bool:
        """Whether it is slower beyond what the runs of either scatter."""
        return self.low > self.original_high


@dataclass(frozen=True)
class Row:
    """One trial.

    key        of its recipe: equal recipes have equal keys
    family, method, setting   in words
    recipe     as YAML; "" for the original
    reason     why there are no figures (a clause), or ""
    nbytes     of the exported file; figures are None where they were not measured
    memory     bytes by which a process grows when it loads the model and runs it once
    multiply_adds  of one run
    seconds    to compress and export it, checks included
    layers     how many layers it changed; `of_layers` there are
    note       what a person should know of the figures, or ""
    kept       whether the figures come from an earlier comparison of the same model, data and recipe
    """

    key: str
    family: str
    method: str
    setting: str
    recipe: str = ""
    status: Status = Status.MEASURED
    reason: str = ""
    baseline: Baseline = Baseline.NONE
    nbytes: int | None = None
    memory: int | None = None
    multiply_adds: int | None = None
    times: Times | None = None
    quality: Quality | None = None
    seconds: float | None = None
    layers: int = 0
    of_layers: int = 0
    note: str = ""
    kept: bool = False

    @property
    def title(self) -> str:
        """Method and setting, as a sentence names it: "Filter (DCT), DCT 95 %"; once where one says the other."""
        if not self.setting:
            return self.method
        first = self.method.split()[0].lower()
        if self.setting.lower().startswith(first):
            return self.setting[:1].upper() + self.setting[1:]
        return f"{self.method}, {self.setting}"

    @property
    def is_trial(self) -> bool:
        """Whether it has figures and is no original: something that a person could choose."""
        return self.status is Status.MEASURED and self.baseline is not Baseline.ORIGINAL and self.nbytes is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: infinite decibels are +-200, undefined figures null."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, StrEnum):
        return value.value
    return json_number(value) if isinstance(value, float) else value


_INFINITE = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


def row_data(row: Row) -> dict[str, Any]:
    """A row as JSON can hold it without losing anything: the cache's form."""
    return {name: _kept(value) for name, value in asdict(row).items()}


def _kept(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _kept(item) for name, item in value.items()}
    if isinstance(value, float) and str(value) in _INFINITE:
        return {"float": str(value)}
    return value.value if isinstance(value, StrEnum) else value


def row_from(data: Mapping[str, Any]) -> Row:
    """The row that `row_data` gave. Raises DataError when it is none."""
    try:
        values = {name: _restored(data[name]) for name in (f.name for f in fields(Row))}
        values["status"], values["baseline"] = Status(values["status"]), Baseline(values["baseline"])
        values["times"] = None if values["times"] is None else Times(**values["times"])
        values["quality"] = None if values["quality"] is None else Quality(**values["quality"])
        return Row(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("this is no row of a comparison") from error


def _restored(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"float"}:
            return _INFINITE[value["float"]]
        return {name: _restored(item) for name, item in value.items()}
    return value


@dataclass(frozen=True)
class Extent:
    """How many settings a comparison is going to try; told once, before the first of them."""

    settings: int


@dataclass(frozen=True)
class Study:
    """A comparison of methods, finished or as far as it came.

    rows      the original first, then in the order in which they were tried
    samples   on how many quality was measured, 0 without data; `source` names the data
    seconds   that it took, kept rows included at no time
    complete  whether all was tried
    notes     sentences a person should know
    """

    model_name: str
    model_sha256: str
    bytes_before: int
    rows: tuple[Row, ...] = field(repr=False)
    samples: int = 0
    source: str = ""
    seconds: float = 0.0
    complete: bool = True
    notes: tuple[str, ...] = ()

    @property
    def original(self) -> Row | None:
        """The original's own row."""
        return next((row for row in self.rows if row.baseline is Baseline.ORIGINAL), None)

    @property
    def measured(self) -> tuple[Row, ...]:
        """Rows with figures that a person could choose."""
        return tuple(row for row in self.rows if row.is_trial)
