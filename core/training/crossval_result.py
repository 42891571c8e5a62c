"""What a cross-validation gives: figures of each fold, their mean and spread, and what regularisation is worth.

Plain frozen values without torch: the window reads them, and run files keep them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from core.analysis.task_metrics.base import Unit, value_text
from core.errors import DataError
from core.figures import MINUS, percent_text

CONFIDENCE = 0.95
"""Of the interval that a difference must leave zero out of, to be more than chance."""


@dataclass(frozen=True)
class Variant:
    """One way to train that is tried on all folds.

    words    what it is, for a person ("dropout 20 %"); unique among those that are compared
    changes  settings that differ from the base, plain values by name; {} for the base
    """

    words: str
    changes: Mapping[str, Any] = field(default_factory=dict)


def series_name(variants: Sequence[Variant], variant: int, fold: int) -> str:
    """What the learning curve of one training is called, for a person and in the run's file."""
    name = f"fold {fold + 1}"
    return name if len(variants) == 1 else f"{name}, {variants[variant].words}"


@dataclass(frozen=True)
class FoldResult:
    """One training.

    variant, fold  from 0
    score          of the trained model on the fold's test samples, which nothing was learned or chosen by
    original       of the original on the same samples
    n_learn, n_held, n_test   samples trained on, held out of those to choose the best state, and tested on
    best_epoch     whose state was tested; `epochs` were done; `parted` is where train and validation parted, or None
    nbytes         predicted size of the file, None when not known
    stopped        why it ended before the last epoch, or ""
    """

    variant: int
    fold: int
    score: float
    original: float
    n_learn: int
    n_held: int
    n_test: int
    best_epoch: int
    epochs: int
    parted: int | None
    seconds: float
    nbytes: int | None = None
    stopped: str = ""


@dataclass(frozen=True)
class Spread:
    """Mean over the folds, and how far they lie apart.

    deviation  standard deviation of one fold, with n - 1; nan for a single fold
    error      standard error of the mean: deviation / sqrt(folds)
    """

    mean: float
    deviation: float
    error: float
    n: int


@dataclass(frozen=True)
class Difference:
    """A variant against the base, fold by fold on the same samples; positive is better, also for errors.

    mean   of the paired differences
    error  their standard error, corrected for folds that share most of their training samples: the plain one is much
           too small (Nadeau and Bengio, Inference for the generalization error, 2003)
    low, high  bounds within which the true difference lies with `CONFIDENCE`, by Student's t
    better, worse  in how many folds
    """

    variant: int
    mean: float
    error: float
    low: float
    high: float
    better: int
    worse: int

    @property
    def certain(self) -> bool:
        """Whether it is more than chance between folds."""
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True)
class CrossvalResult:
    """All folds of all variants, the base first.

    metric, unit, higher_is_better   what was measured (`task_metrics`)
    notes  sentences a person should know
    """

    metric: str
    unit: Unit
    higher_is_better: bool
    variants: tuple[Variant, ...]
    folds: tuple[FoldResult, ...]
    notes: tuple[str, ...] = ()

    def of(self, variant: int) -> tuple[FoldResult, ...]:
        """The folds of a variant, in order."""
        return tuple(sorted((f for f in self.folds if f.variant == variant), key=lambda f: f.fold))

    def spread(self, variant: int) -> Spread:
        """Over the folds of a variant."""
        return spread([fold.score for fold in self.of(variant)])

    @property
    def original(self) -> Spread:
        """Of the original model on the same test samples."""
        return spread([fold.original for fold in self.of(0)])

    def difference(self, variant: int) -> Difference:
        """A variant against the base, over the folds that both have."""
        base = {fold.fold: fold for fold in self.of(0)}
        pairs = [(base[fold.fold], fold) for fold in self.of(variant) if fold.fold in base]
        sign = 1.0 if self.higher_is_better else -1.0
        gains = [sign * (after.score - before.score) for before, after in pairs]
        ratio = fmean(p.n_test / max(1, p.n_learn + p.n_held) for p, _ in pairs)
        return difference(variant, gains, ratio)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Of all variants but the base."""
        return tuple(self.difference(variant) for variant in range(1, len(self.variants)) if self.of(variant))

    def text(self, value: float) -> str:
        """A score for a person."""
        return value_text(self.unit, value)

    def amount(self, value: float) -> str:
        """A spread or a difference without its sign, for a person: "0.42 points" for shares."""
        if math.isnan(value):
            return "undefined"
        if self.unit is Unit.SHARE:
            return f"{100.0 * value:.2f} points"
        return value_text(self.unit, value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and run files."""
        spreads = [self.spread(v) if self.of(v) else None for v in range(len(self.variants))]
        return {
            "metric": self.metric, "unit": str(self.unit), "higher_is_better": self.higher_is_better,
            "variants": [
                {"words": variant.words, "changes": dict(variant.changes), **_spread_data(spreads[index])}
                for index, variant in enumerate(self.variants)
            ],
            "original": _spread_data(self.original) if self.of(0) else {},
            "folds": [{k: _plain(v) for k, v in asdict(fold).items()} for fold in self.folds],
            "differences": [
                {k: _plain(v) for k, v in asdict(d).items()} | {"certain": d.certain} for d in self.differences
            ],
            "advice": advice(self), "notes": list(self.notes),
        }  # fmt: skip


def result_from(data: Any) -> CrossvalResult:
    """The result of plain values again; DataError when they are damaged."""
    try:
        variants = tuple(Variant(str(v["words"]), dict(v["changes"])) for v in data["variants"])
        folds = tuple(_fold_from(each) for each in data["folds"])
        notes = tuple(str(note) for note in data["notes"])
        better = bool(data["higher_is_better"])
        result = CrossvalResult(str(data["metric"]), Unit(data["unit"]), better, variants, folds, notes)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the result of the cross-validation is damaged ({error})") from error
    if any(not 0 <= fold.variant < len(variants) for fold in folds):
        raise DataError("the result of the cross-validation names variants that it has not")
    return result


def _fold_from(data: Mapping[str, Any]) -> FoldResult:
    values: dict[str, Any] = {
        name: int(data[name]) for name in ("variant", "fold", "n_learn", "n_held", "n_test", "best_epoch", "epochs")
    }
    for name in ("score", "original", "seconds"):
        values[name] = math.nan if data[name] is None else float(data[name])
    for name in ("parted", "nbytes"):
        values[name] = None if data[name] is None else int(data[name])
    return FoldResult(**values, stopped=str(data["stopped"]))


def _spread_data(found: Spread | None) -> dict[str, Any]:
    return {} if found is None else {key: _plain(value) for key, value in asdict(found).items()}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def spread(values: Sequence[float]) -> Spread:
    """Mean, standard deviation and standard error of the folds' scores (at least one)."""
    array = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore"):  # a score may be infinite or undefined
        mean = float(array.mean())
        deviation = float(array.std(ddof=1)) if len(array) > 1 else math.nan
    return Spread(mean, deviation, deviation / math.sqrt(len(array)), len(array))


def difference(variant: int, gains: Sequence[float], test_share: float) -> Difference:
    """Paired differences of folds.

    gains       one a fold, positive is better
    test_share  test samples of a fold / samples that its training saw
    """
    found = spread(gains)
    error = found.deviation * math.sqrt(1.0 / found.n + test_share)
    reach = _quantile(found.n - 1) * error if found.n > 1 else math.inf
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return Difference(variant, found.mean, error, found.mean - reach, found.mean + reach, better, worse)


def _quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + CONFIDENCE / 2.0, freedom))


def advice(result: CrossvalResult) -> str:
    """What to do, in a sentence or two: the best variant that is better than chance allows, else the base."""
    base = result.variants[0].words
    differences = result.differences
    if not differences:
        return ""
    tried = "it" if len(differences) == 1 else f"the best of {len(differences)} that were tried"
    best = max(differences, key=lambda d: d.mean)
    words = result.variants[best.variant].words
    figures = f"{result.amount(abs(best.mean))} with a standard error of {result.amount(best.error)}"
    if best.certain and best.mean > 0:
        told = f"Use {words}: better than {base} by {figures}, in {best.better} of {_folds(result, best)} folds."
        return told if len(differences) == 1 else f"{told} It is {tried}, so expect a little less."
    worse = [result.variants[d.variant].words for d in differences if d.certain and d.mean < 0]
    harm = f" {_listed(worse)} made it worse." if worse else ""
    if best.mean <= 0:
        return f"Stay with {base}: nothing that was tried is better.{harm}"
    return (
        f"Stay with {base}: {words} is better by {figures}, which is no more than folds differ by chance "
        f"({percent_text(CONFIDENCE)} bounds {_signed(result, best.low)} to {_signed(result, best.high)}).{harm}"
    )


def _signed(result: CrossvalResult, value: float) -> str:
    return f"{MINUS if value < 0 else '+'}{result.amount(abs(value))}"


def _folds(result: CrossvalResult, found: Difference) -> int:
    return len(result.of(found.variant))


def _listed(words: Sequence[str]) -> str:
    text = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return text[:1].upper() + text[1:]
