"""What of a recipe is applied when: at once, one after another, along a curve, or in rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch

from core.encoding import Float
from core.encoding.base import Encoding
from core.encoding.floats import FloatType
from core.errors import LayerSkipped
from core.methods import registry
from core.methods.base import Context, Memo, Method, Role
from core.methods.params import Spec, specs, to_dict
from core.pipeline import apply_steps
from core.progress import Reporter
from core.recipe import Step
from core.training.settings import TrainingSettings
from core.training.trainable import Trainable

if TYPE_CHECKING:
    from core.data.layer_inputs import LayerInputs
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

FIRST_SHARE = 2 / 3
"""Of all epochs, for pruning, when quantizing has a stage of its own."""
LATER_RATE = 0.3
"""Share of the learning rate in the stage of quantizing: its values have to move less far."""
RAMP = 0.6
"""Of a stage's epochs, in which the pruned share rises; the others settle what is left."""
RISES = 12
"""Times at least that the share rises: several in an epoch where there are few epochs."""
_VALUES = frozenset({Role.FLOAT, Role.QUANTIZE, Role.RUN_TIME})
_NAMED = 3  # labels of steps in a title


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs with its own learning-rate curve, early stopping and best state.

    title    what it does, in words ("prune to 91 %", "16 levels")
    epochs   at most
    settles  its encodings change before epochs 0 to this one at most; states after earlier ones are never the best
    rate     share of the learning rate: later stages move less far
    changes  times in an epoch that they change until then
    """

    title: str
    epochs: int
    settles: int = 0
    rate: float = 1.0
    changes: int = 1


class Restage(Protocol):
    """Changes the student's encodings at the beginning of some epochs, or also inside them."""

    @property
    def phases(self) -> tuple[Phase, ...]: ...

    def __call__(self, student: Trainable, phase: int, epoch: float, reporter: Reporter) -> Mapping[str, Encoding]:
        """Called before each epoch (from 0 within its phase), and before its parts where it changes several times in
        one (2.5: half of the third is done); the layers that it replaced, {} for none."""


@dataclass(frozen=True)
class _Plan:
    """What a phase does.

    chosen   the steps of a layer that belong to it
    share    epoch -> share of the pruned ratios that is reached; the same as the epoch before: nothing changes
    rewinds  the kept weights go back to those of the start
    """

    phase: Phase
    chosen: Callable[[Iterable[Step]], tuple[Step, ...]]
    share: Callable[[float, float], float]
    rewinds: bool = False


class Schedule:
    """Applies the steps of some layers afresh while they are trained.

    model   after graph and channel steps
    steps   {layer: its steps} of the layers that the recipe compresses
    inputs  (layer, its steps) -> what is known of its inputs, and why nothing is, for steps that work from samples
    """

    def __init__(
        self, model: Model, steps: Mapping[str, tuple[Step, ...]], settings: TrainingSettings,
        inputs: Callable[[str, tuple[Step, ...]], tuple[LayerInputs | None, str]],
    ) -> None:  # fmt: skip
        self._model, self._steps, self._settings, self._inputs = model, dict(steps), settings, inputs
        self._plans = tuple(_plans(self._steps.values(), settings))
        self._start: dict[str, torch.Tensor] = {}

    @property
    def phases(self) -> tuple[Phase, ...]:
        return tuple(plan.phase for plan in self._plans)

    def remember(self, student: Trainable) -> None:
        """Take the student's present values for those of the start, which rounds go back to."""
        if any(plan.rewinds for plan in self._plans):
            self._start = {
                name: value.detach().clone()
                for name, value in student.state_dict().items() if isinstance(value, torch.Tensor)
            }  # fmt: skip

    def __call__(self, student: Trainable, phase: int, epoch: float, reporter: Reporter) -> Mapping[str, Encoding]:
        plan = self._plans[phase]
        if epoch > plan.phase.settles:
            return {}
        found: dict[str, Encoding] = {}
        now = student.trained().encodings if phase > 0 and epoch == 0 else {}
        if plan.rewinds and phase > 0 and epoch == 0:
            masks = {name: now[name].decode() != 0.0 for name in self._steps if name in now}
            weights = {name: self._pruned(name, masks, now, plan, reporter) for name in self._steps}
            self._go_back(student)
            now = {}
        else:
            weights = {}
        for name in self._steps:
            if name in weights:
                weight, given = weights[name], True
            elif phase == 0 and epoch == 0:
                weight, given = self._model.weight(name), True
            elif epoch == 0:  # what was pruned stays so: the stage before has decided
                weight, given = now[name].decode(), False
            else:
                weight, given = student.latent(name), False
            encoding = self._applied(name, weight, plan, epoch, reporter)
            if encoding is None:
                continue
            student.replace(name, encoding, np.array(weight) if given else None)
            found[name] = encoding
        return found

    def _pruned(
        self, name: str, masks: Mapping[str, Array], now: Mapping[str, Encoding], plan: _Plan, reporter: Reporter
    ) -> Array:
        """The weights of the start where this round, by the trained weights, keeps them; 0 elsewhere."""
        start = np.array(self._model.weight(name))
        if name not in now:
            return start
        trained = np.array(now[name].decode())
        prune = replace(plan, chosen=lambda steps: tuple(s for s in plan.chosen(steps) if _is_prune(s)))
        encoding = self._applied(name, trained, prune, 0, reporter)
        kept = masks[name] if encoding is None else encoding.decode() != 0.0
        return np.where(kept, start, np.float32(0.0))

    def _go_back(self, student: Trainable) -> None:
        """Values of the start for all that is not replaced anyway."""
        with torch.no_grad():
            for name, value in student.state_dict().items():
                start = self._start.get(name)
                if start is not None and isinstance(value, torch.Tensor) and start.shape == value.shape:
                    value.copy_(start)

    def _applied(
        self, name: str, weight: Array, plan: _Plan, epoch: float, reporter: Reporter
    ) -> Encoding | None:
        """A weight as the phase stores it at an epoch; None where a step cannot be done any more."""
        layer = self._model.layer(name)
        steps = tuple(
            scaled for step in plan.chosen(self._steps[name])
            if (scaled := _scaled(step, lambda ratio: plan.share(ratio, epoch))) is not None
        )  # fmt: skip
        original = self._model.encoding(name)
        dtype = cast(FloatType, getattr(original, "dtype", "float32"))
        inputs, why_not = self._inputs(name, steps)
        context = Context(layer, Memo(), self._settings.seed, reporter.part(0.0, 0.0), inputs, why_not,
                          self._model.opset)  # fmt: skip
        try:
            return apply_steps(layer, Float(np.ascontiguousarray(weight, np.float32), dtype), steps, context)[0]
        except LayerSkipped:  # the trained weights no longer fit the type of the file
            return None


def make_schedule(
    model: Model, steps: Mapping[str, tuple[Step, ...]], settings: TrainingSettings,
    inputs: Callable[[str, tuple[Step, ...]], tuple[LayerInputs | None, str]],
) -> Schedule | None:  # fmt: skip
    """The schedule that the settings ask for; None when everything is applied at once. See `Schedule`."""
    plans = _plans(steps.values(), settings)
    simple = len(plans) == 1 and plans[0].phase.settles == 0 and not plans[0].rewinds
    return None if simple else Schedule(model, steps, settings, inputs)


def _plans(all_steps: Iterable[tuple[Step, ...]], settings: TrainingSettings) -> list[_Plan]:
    lists = list(all_steps)
    used = [step for steps in lists for step in steps]
    first = [step for step in used if _role(step) not in _VALUES and _role(step) is not Role.CUT]
    later = [step for step in used if _role(step) in _VALUES]
    if settings.stages == "in turn" and first and later and settings.epochs > 1:
        epochs = max(1, min(settings.epochs - 1, round(FIRST_SHARE * settings.epochs)))
        stage = _stage(first, epochs, settings, lambda steps: tuple(s for s in steps if _role(s) not in _VALUES))
        title = steps_title(later)
        return [*stage, _Plan(Phase(title, settings.epochs - epochs, 0, LATER_RATE), tuple, lambda ratio, epoch: ratio)]
    return _stage(used, settings.epochs, settings, tuple)


def _stage(
    steps: list[Step], epochs: int, settings: TrainingSettings, chosen: Callable[[Iterable[Step]], tuple[Step, ...]]
) -> list[_Plan]:
    """One stage, or its rounds."""
    title = steps_title(steps)
    if settings.sparsity == "at once" or not any(_ratio(step) is not None for step in steps) or epochs < 2:
        return [_Plan(Phase(title, epochs), chosen, lambda ratio, epoch: ratio)]
    if settings.sparsity == "cubic":
        ramp = min(epochs - 1, max(1, round(RAMP * epochs)))
        changes = -(-RISES // ramp)

        def rising(ratio: float, epoch: float) -> float:
            # Zhu and Gupta, To prune, or not to prune, 2017: fast while there is much to remove, slow at the end.
            return ratio * (1.0 - (1.0 - min(1.0, (epoch * changes + 1) / (ramp * changes + 1))) ** 3)

        return [_Plan(Phase(f"{title}, gradually", epochs, ramp, changes=changes), chosen, rising)]
    rounds = min(settings.rounds, epochs)
    ends = [round(epochs * (number + 1) / rounds) for number in range(rounds)]
    return [
        _Plan(
            Phase(f"{title}, round {number + 1} of {rounds}", end - begin), chosen, _round(number + 1, rounds), True
        )
        for number, (begin, end) in enumerate(pairwise([0, *ends]))
    ]


def _round(number: int, rounds: int) -> Callable[[float, float], float]:
    """Each round keeps the same share of what the one before kept. Frankle and Carbin, The lottery ticket hypothesis,
    2019."""
    return lambda ratio, epoch: 1.0 - (1.0 - ratio) ** (number / rounds)


def _role(step: Step) -> Role:
    method = registry.by_key(step.method)
    return method.role if isinstance(method, Method) else Role.CUT


def _is_prune(step: Step) -> bool:
    return _role(step) is Role.PRUNE


def _ratio(step: Step) -> Spec | None:
    """What says which share a pruning step removes; None where its pattern does (2 of 4)."""
    if not _is_prune(step):
        return None
    found = next((spec for spec in specs(type(step.params)) if spec.name == "ratio"), None)
    return found if found is not None and found.active(to_dict(step.params, all_values=True)) else None


def _scaled(step: Step, share: Callable[[float], float]) -> Step | None:
    """A pruning step with a smaller ratio; None where that removes nothing."""
    spec = _ratio(step)
    if spec is None:
        return step
    ratio = share(step.params.ratio)
    if ratio < (spec.minimum or 0.0):
        return None
    return Step(step.method, replace(step.params, ratio=min(ratio, step.params.ratio)))


def steps_title(steps: Iterable[Step]) -> str:
    """Some of the steps by their labels: "prune 90 %, 16 levels"; "training" for none."""
    labels = list(dict.fromkeys(step.label() for step in steps if _role(step) is not Role.CUT))
    more = len(labels) - _NAMED
    return ", ".join(labels[:_NAMED]) + (f" and {more} more" if more > 0 else "") or "training"
