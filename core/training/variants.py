"""Ways to train that are compared on the same folds: the base, and the base with one or more settings changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import ParameterError
from core.methods.params import Spec, build, specs, to_dict
from core.training.crossval_result import Variant
from core.training.settings import TrainingSettings

PLAIN = Variant("the base settings")
MOST = 12
"""Variants beside the base: each is trained on every fold."""
_OFF: Mapping[str, Any] = {
    "weight_decay": 0.0, "l1": 0.0, "dropout": 0.0, "augmentation": "none", "label_smoothing": 0.0, "patience": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """The base settings and what is compared with them; `variants[0]` is the base."""

    base: TrainingSettings
    variants: tuple[Variant, ...] = (PLAIN,)

    def settings(self, variant: int, fold: int) -> TrainingSettings:
        """Of one training. All variants of a fold draw from the same seed, so that their differences are paired."""
        values = to_dict(self.base, all_values=True) | dict(self.variants[variant].changes)
        return build(TrainingSettings, values | {"seed": (self.base.seed + fold) % 2**31})


def regularisations(base: TrainingSettings, *, pictures: bool) -> Trial:
    """Each way to regularise alone, against none at all; with augmentation only where inputs are pictures."""
    off = build(TrainingSettings, to_dict(base, all_values=True) | dict(_OFF))
    alone: list[dict[str, Any]] = [{"weight_decay": 1e-2}, {"l1": 1e-5}, {"dropout": 0.2}]
    if pictures:
        alone.append({"augmentation": "affine"})
    alone.append({"patience": max(2, base.epochs // 5)})
    return Trial(off, (Variant("no regularisation"), *(Variant(words(each), each) for each in alone)))


def parse(text: str, base: TrainingSettings) -> Trial:
    """The base and the variants of "weight_decay=1e-4,dropout=20%,l1=1e-5+patience=3".

    Each part between commas is one variant; `+` joins settings that are changed together. Raises ParameterError.
    """
    known = {spec.name: spec for spec in specs(TrainingSettings) if spec.name != "seed"}
    variants = [PLAIN]
    for part in filter(None, (part.strip() for part in text.split(","))):
        changes: dict[str, Any] = {}
        for assignment in _assignments(part):
            name, sign, value = assignment.partition("=")
            spec = known.get(name.strip().replace("-", "_"))
            if spec is None or not sign:
                what = f"{name.strip()!r} is no setting" if spec is None else f"{assignment.strip()!r} gives no value"
                raise ParameterError(what, where="--compare", do=f"give name=value, with one of {', '.join(known)}")
            changes[spec.name] = spec.read(value)
        variants.append(Variant(words(changes), changes))
    trial = Trial(base, tuple(variants))
    check(trial)
    return trial


def _assignments(part: str) -> list[str]:
    """Cut at each `+` that begins a name: that of 1e+3 does not."""
    found: list[str] = []
    for piece in part.split("+"):
        if found and "=" not in piece:
            found[-1] += f"+{piece}"
        else:
            found.append(piece)
    return found


def check(trial: Trial) -> None:
    """Refuse variants that cannot be compared: none, too many, two that are alike, settings that do not exist."""
    if len(trial.variants) > MOST + 1:
        raise ParameterError(f"{len(trial.variants) - 1} variants are compared", do=f"give at most {MOST}")
    seen: dict[TrainingSettings, str] = {}
    for index, variant in enumerate(trial.variants):
        settings = trial.settings(index, 0)
        if settings in seen:
            raise ParameterError(f"{variant.words} is the same as {seen[settings]}", do="leave one of them out")
        seen[settings] = variant.words


def words(changes: Mapping[str, Any]) -> str:
    """Changed settings for a person: "dropout 20 %", "weight decay 0.0001 and patience 3"."""
    by_name = {spec.name: spec for spec in specs(TrainingSettings)}
    parts = [_one(by_name[name], value) for name, value in changes.items()]
    return _listed(parts)


def _one(spec: Spec, value: Any) -> str:
    title = spec.title if spec.title.startswith("L1") else spec.title[:1].lower() + spec.title[1:]
    if spec.choices:
        titles = dict(zip(spec.choices, spec.choice_titles or map(str, spec.choices), strict=True))
        return f"{title}: {titles[value][:1].lower() + titles[value][1:]}"
    shown = f"{100.0 * value:g} %" if spec.percent else f"{value:g}"
    return f"{title} {shown}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
