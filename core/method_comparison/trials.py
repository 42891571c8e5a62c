"""Which whole-model recipes a comparison tries: read from what each method declares of itself, so none is forgotten.

A method's levels are the grid of the parameter that says how far it goes. Steps that leave numbers as wide as they were
(pruned values, factors, coefficients) are tried with the step that a person would put behind them, and once without.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeVar

from core.data.layer_inputs import Need
from core.methods import registry
from core.methods.base import Described, Role, Stage
from core.methods.order import role, why_not_list
from core.methods.params import Spec, build, specs, to_dict
from core.recipe import Recipe, Step

if TYPE_CHECKING:
    from core.model.layer import Layer
    from core.model.model import Model

T = TypeVar("T")

LARGE = 20_000_000
"""Weights of a model from which on two levels of each method are tried, and nothing without its partner."""
MANY_CHOICES = 8
"""A choice of more options than this names things to look for and is no level."""
PARTNERS: dict[Role, tuple[str, dict[str, Any]]] = {
    Role.PRUNE: ("quantize:codebook", {"bits": 4}),
    Role.FACTOR: ("quantize", {"bits": 8}),
    Role.FILTER: ("quantize", {"bits": 8}),
    Role.CUT: ("quantize", {"bits": 8}),
}
"""{role: the step that is put behind it}: pruned weights have few levels, factors and coefficients bear 8 bits."""
ELSEWHERE: tuple[str, dict[str, Any]] = ("quantize", {"bits": 8})
"""For layers of kinds that a run-time form does not handle: left as floats, they would hide what it saves."""


@dataclass(frozen=True)
class Trial:
    """One recipe for the whole model.

    family, method  of the method that it is about, as people read them
    setting   its steps in words: "prune 70 % + 16 levels"
    steps     for every layer; graph steps for the graph
    elsewhere  steps of layers whose kind the method does not handle; () leaves them alone
    why_not   why it cannot be tried on this model (one clause), or ""
    uniform_int8  whether it is the setting that people use without a plan
    """

    family: str
    method: str
    setting: str
    steps: tuple[Step, ...]
    elsewhere: tuple[Step, ...] = ()
    why_not: str = ""
    uniform_int8: bool = False

    def recipe(self, model: Model) -> Recipe:
        """The recipe for the whole model."""
        graph = tuple(step for step in self.steps if registry.by_key(step.method).stage is Stage.GRAPH)
        rest = tuple(step for step in self.steps if step not in graph)
        recipe = Recipe(rest, (), model.path.name, model.sha256, graph)
        if not self.elsewhere:
            return recipe
        return recipe.with_steps({layer.name: self.elsewhere for layer in model.layers if not self.handles(layer)})

    def handles(self, layer: Layer) -> bool:
        """Whether the layer is of a kind that all of its steps of weights handle."""
        found = [(registry.by_key(step.method), step.params) for step in self.steps]
        return not any(m.why_not(layer, params) for m, params in found if m.stage is Stage.WEIGHTS)


def recipe_key(recipe: Recipe) -> str:
    """A name for what a recipe says, in hexadecimal: the first 16 digits of its SHA-256."""
    return hashlib.sha256(recipe.dump().encode()).hexdigest()[:16]


def trials(model: Model, chosen: Collection[str] = (), *, samples: bool = True) -> tuple[Trial, ...]:
    """What to try on a model, in an order that has seen every method before it goes deeper into one.

    chosen   families; () for all
    samples  whether there are samples for settings that work from some

    The uniform 8 bit setting comes first whatever the families: everything is compared with it. Recipes that are equal
    are tried once.
    """
    large = sum(layer.n_weights for layer in model.layers) > LARGE
    methods = [method for method in registry.all_methods() if not chosen or method.family in chosen]
    methods.sort(key=lambda method: not method.default)  # what people mean by a word comes first
    by_family = [[method for method in methods if method.family == family] for family in registry.families()]
    queues = [
        [_trial(method, setting, model, samples) for setting in _settings(method, samples, large)]
        for method in _taking_turns(by_family)
    ]
    first = replace(
        _trial(registry.find("quantize"), _Setting((Step.make("quantize", bits=8),)), model, False), uniform_int8=True
    )
    seen, ordered = {first.steps}, [first]
    for trial in _taking_turns(queues):
        if trial.steps not in seen:
            seen.add(trial.steps)
            ordered.append(trial)
    return tuple(ordered)


def _taking_turns(queues: Sequence[Sequence[T]]) -> Iterator[T]:
    """The first of each, then the second of each, and so on."""
    for turn in zip_longest(*queues):
        yield from (item for item in turn if item is not None)


@dataclass(frozen=True)
class _Setting:
    """Steps, and what of them their own labels do not say."""

    steps: tuple[Step, ...]
    words: str = ""

    @property
    def text(self) -> str:
        labels = [step.label() for step in self.steps]
        return " + ".join([f"{labels[0]}, {self.words}" if self.words else labels[0], *labels[1:]])


def _settings(method: Described, samples: bool, large: bool) -> Iterator[_Setting]:
    """The settings of one method, the most telling first: its middle level, both ends, what lies between, variants."""
    levels = _levels(method)
    alone = _middle_first(levels)[: 2 if large else None]
    paired = [pair for setting in alone if (pair := _with_partner(method, setting))]
    main, other = (alone, paired) if method.stage is Stage.CHANNELS or not paired else (paired, alone)
    yield main[0]
    middle = dict.fromkeys(((len(levels) - 1) // 2, len(levels) // 2))  # two where there is no one middle
    for place in middle if samples else ():
        informed = _informed(method, levels[place])
        if informed is not None:  # how good the method is where there are samples says more than how far it goes
            yield (_with_partner(method, informed) if main is paired else None) or informed
    yield from main[1:]
    if other is not main and not large:
        yield from other[:1]


def _with_partner(method: Described, setting: _Setting) -> _Setting | None:
    if method.stage is Stage.GRAPH or role(method) not in PARTNERS:
        return None
    word, values = PARTNERS[role(method)]
    both = (*setting.steps, Step.make(word, **values))
    refused = why_not_list([registry.by_key(step.method) for step in both])
    return None if refused else replace(setting, steps=both)


def _levels(method: Described) -> list[_Setting]:
    """The method along the parameter that says how far it goes, mildest first; as it is where there is none."""
    declared = specs(method.Params)
    defaults = {spec.name: spec.default for spec in declared}
    grids = [spec for spec in declared if spec.grid and spec.active(defaults)]
    choices = [s for s in declared if 1 < len(s.choices) <= MANY_CHOICES and s.active(defaults)]
    if grids:  # a mode's own parameter says how far it goes
        spec = next((spec for spec in grids if spec.when), grids[0])
        values = _spread(spec.grid)
    elif choices:
        spec, values = choices[0], _spread(choices[0].choices)
    else:
        return [_Setting((Step.make(method.key),))]
    plain = [_Setting((Step(method.key, build(method.Params, {spec.name: value})),)) for value in values]
    if len({setting.text for setting in plain}) == len(plain):
        return plain
    return [replace(setting, words=_words(spec, value)) for setting, value in zip(plain, values, strict=True)]


def _words(spec: Spec, value: Any) -> str:
    """A parameter's value for a person: "outliers 1 %", "calibration entropy"."""
    titles = dict(zip(spec.choices, spec.choice_titles, strict=False))
    shown = f"{100 * value:.3g} %" if spec.percent else str(titles.get(value, value)).lower()
    return f"{spec.title.lower()} {shown}"


def _spread(values: Sequence[Any]) -> list[Any]:
    """Three values of a grid, four of a long one, the ends among them."""
    count = min(len(values), 4 if len(values) >= 6 else 3)
    last = len(values) - 1
    return [values[round(i * last / max(count - 1, 1))] for i in range(count)]


def _middle_first(values: Sequence[T]) -> list[T]:
    middle = (len(values) - 1) // 2
    return [values[i] for i in dict.fromkeys((middle, 0, len(values) - 1, *range(len(values))))]


def _informed(method: Described, setting: _Setting) -> _Setting | None:
    """The setting with the choice that learns most from samples (error feedback, where there is one); None without."""
    params = setting.steps[0].params
    if method.needs(params):
        return None
    declared = specs(method.Params)
    values = to_dict(params, all_values=True)
    options = [(spec, value) for spec in declared if spec.active(values) for value in spec.choices]
    changed: list[Any] = [build(method.Params, values | {spec.name: value}) for spec, value in options]
    needs = [method.needs(each) for each in changed]
    able = [i for i, need in enumerate(needs) if need]
    if not able:
        return None
    best = next((i for i in able if Need.MOMENTS in needs[i]), able[0])
    spec, value = options[best]
    return _Setting((Step(method.key, changed[best]),), ", ".join(filter(None, (setting.words, _words(spec, value)))))


def _trial(method: Described, setting: _Setting, model: Model, samples: bool) -> Trial:
    why_not = _why_not(method, setting.steps, model, samples)
    trial = Trial(method.family, method.title, setting.text, setting.steps, _elsewhere(method, setting.steps), why_not)
    if role(method) is Role.RUN_TIME and not all(trial.handles(layer) for layer in model.layers):
        return replace(trial, setting=f"{trial.setting}, {trial.elsewhere[0].label()} elsewhere")
    return trial


def _elsewhere(method: Described, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """What the layers get that the method does not handle: the partner, or plain 8 bits beside a run-time form."""
    if method.stage is not Stage.WEIGHTS:
        return ()
    if role(method) is Role.RUN_TIME:
        word, values = ELSEWHERE
        return (Step.make(word, **values),)
    return steps[1:]


def _why_not(method: Described, steps: tuple[Step, ...], model: Model, samples: bool) -> str:
    """Why the model or the lack of samples makes a trial pointless; known without reading a weight."""
    own = next(step for step in steps if step.method == method.key)
    if method.needs(own.params) and not samples:
        return "it works from samples, and none are loaded"
    if method.stage is Stage.GRAPH:
        return ""
    return most_common(method.why_not(layer, own.params) for layer in model.layers)


def most_common(reasons: Iterable[str]) -> str:
    """The reason that most layers give, or "" when any has none."""
    counts = Counter(reasons)
    if not counts or "" in counts:
        return ""
    return counts.most_common(1)[0][0]
