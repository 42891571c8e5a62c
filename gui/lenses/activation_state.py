"""What the Activations lens shows and the edits of the recipe that it makes, as plain values. No Qt.

A graph step says which activations it means by function and by node. What a step really does is read from the changes
that were worked out for the plan (`Rewriting.changes`); until those arrive, from the step itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.methods._replacement import Replacement, Swap
from core.methods.registry import find
from core.methods.replace_activation import FROM, TO, ReplaceActivationParams, bounds, why_not
from core.patterns import PREFIX
from core.recipe import Recipe, Step
from gui.layers.rows import short_name
from gui.units import number

if TYPE_CHECKING:
    from core.data.layer_inputs import ValueRange
    from core.model.activations import Activation
    from core.model.model import Model
    from core.preparing import Prepared

WORD = "replace_activation"
Ranges = Mapping[str, "tuple[ValueRange | None, ValueRange | None]"]


@dataclass(frozen=True)
class ActivationRow:
    """One line of the table.

    name     of its last node
    role     what it is for when that is not the usual: "gate", "answer" or ""
    layer    the layer whose result it takes, as the layers table calls it, or ""
    zeros    share of zeros of its result, in words, "" while it is not known
    plan     what the plan puts in its place, "" when it stays
    state    "stays", "waits" (not worked out yet), "done" or "refused"
    why      why it is refused, a sentence
    """

    activation: Activation
    name: str
    role: str
    layer: str
    zeros: str
    plan: str = ""
    state: str = "stays"
    why: str = ""

    @property
    def key(self) -> str:
        return self.activation.key


def build_rows(
    model: Model, there: Sequence[Activation], recipe: Recipe, prepared: Prepared | None, fits: bool, ranges: Ranges
) -> tuple[ActivationRow, ...]:
    """The lines for all activations.

    prepared, fits   what was worked out last, and whether that was for this recipe
    ranges           measured, by key; may be empty
    """
    layers = {layer.name: short_name(layer) for layer in model.layers}
    swaps = planned_swaps(prepared) if fits else {}
    trouble = left_alone(prepared) if fits else ()
    rows = []
    for one in there:
        role = "gate" if one.gate else "answer" if one.answers else ""
        zeros = zeros_words(ranges[one.key][1]) if one.key in ranges else ""
        plan = _plan(one, recipe, swaps, fits, trouble)
        rows.append(ActivationRow(one, one.key, role, layers.get(one.layer, one.layer), zeros, *plan))
    return tuple(rows)


def planned_swaps(prepared: Prepared | None) -> dict[str, Swap]:
    """What the plan puts where, by key, as it was worked out; later steps count."""
    changes = prepared.rewriting.changes if prepared is not None else ()
    return {swap.key: swap for change in changes if isinstance(change, Replacement) for swap in change.swaps}


def left_alone(prepared: Prepared | None) -> tuple[str, ...]:
    """Sentences on activations that were to be replaced and stay, and on whole steps that could not be done."""
    if prepared is None:
        return ()
    changes = prepared.rewriting.changes
    single = (line for change in changes if isinstance(change, Replacement) for line in change.left)
    return (*single, *prepared.rewriting.trouble)


def _plan(
    one: Activation, recipe: Recipe, swaps: Mapping[str, Swap], fits: bool, trouble: Sequence[str]
) -> tuple[str, str, str]:
    """What stands for the activation, how certain that is, and why not."""
    if one.key in swaps:
        swap = swaps[one.key]
        bounds = f" {number(swap.low)} to {number(swap.high)}" if swap.new == "Clip" else ""
        return f"{to_title(swap.new)}{bounds}", "done", ""
    step = meaning(one, recipe.graph)
    if step is None:
        return "", "stays", ""
    name = to_title(step.params.to)
    if not fits:
        return name, "waits", ""
    if step.params.from_ == "any" and not step.params.nodes:
        return "", "stays", ""  # it leaves alone what it does not fit
    clause = why_not(one.op, step.params.to)
    told = next((line for line in trouble if line.startswith((f"{one.title}:", step.label()))), "")
    return name, "refused", f"{one.title}: {clause}" if clause else told


def family(op: str) -> str:
    """The word by which the method knows a function: its forms go by one name."""
    if op in ("TanhGelu", "QuickGelu"):
        return "Gelu"
    return op if op in FROM else "any"


def means(params: ReplaceActivationParams, one: Activation) -> bool:
    """Whether a step asks for this activation to be replaced."""
    if params.from_ not in ("any", family(one.op)):
        return False
    if not params.nodes:
        return params.from_ != "any" or one.inner
    if params.nodes.startswith(PREFIX):
        return re.match(params.nodes.removeprefix(PREFIX), one.key) is not None
    return params.nodes == one.key


def meaning(one: Activation, graph: Iterable[Step]) -> Step | None:
    """The last step that asks for this activation to be replaced."""
    return next((step for step in reversed(tuple(graph)) if step.method == WORD and means(step.params, one)), None)


def without(graph: Sequence[Step], keys: frozenset[str], there: Sequence[Activation]) -> tuple[Step, ...]:
    """Graph steps that leave these activations alone and do what they did before to all others."""
    left: list[Step] = []
    for step in graph:
        meant = [one for one in there if step.method == WORD and means(step.params, one)]
        rest = [one for one in meant if one.key not in keys]
        if len(rest) == len(meant):
            left.append(step)
        else:
            left += [Step(WORD, replace(step.params, from_=family(one.op), nodes=one.key)) for one in rest
                     if not why_not(one.op, step.params.to)]
    return tuple(left)


def with_replacement(
    recipe: Recipe, keys: frozenset[str], there: Sequence[Activation], params: ReplaceActivationParams
) -> Recipe:
    """A recipe that replaces these activations: one step for all of a function, else one for each."""
    graph = list(without(recipe.graph, keys, there))
    for op in dict.fromkeys(family(one.op) for one in there if one.key in keys):
        alike = [one for one in there if family(one.op) == op]
        chosen = [one for one in alike if one.key in keys]
        if len(chosen) == len(alike) and op != "any":
            graph.append(Step(WORD, replace(params, from_=op, nodes="")))
        else:
            graph += [Step(WORD, replace(params, from_=op, nodes=one.key)) for one in chosen]
    return replace(recipe, graph=tuple(graph))


def common_params(rows: Sequence[ActivationRow], graph: Sequence[Step]) -> tuple[Any, bool]:
    """Parameters to show for these activations: those of their steps when they agree, else the method's own; and
    whether all of them have steps that agree."""
    plain = {None if step is None else replace(step.params, from_="any", nodes="")
             for step in (meaning(row.activation, graph) if row.state != "stays" else None for row in rows)}
    if len(plain) == 1 and (found := next(iter(plain))) is not None:
        return found, True
    possible = (to for to in TO if not any(why_not(row.activation.op, to) for row in rows))
    first = find(WORD).Params()
    return replace(first, to=next(possible, first.to)), False


def to_title(to: str) -> str:
    """How the form calls a function that is put in place."""
    from core.methods.params import specs

    spec = next(spec for spec in specs(ReplaceActivationParams) if spec.name == "to")
    return dict(zip(spec.choices, spec.choice_titles, strict=True)).get(to, to)


def zeros_words(found: ValueRange | None) -> str:
    """The share of zeros of a result: "61 %", "0.4 %", "0 %"; a dash where nothing could be measured."""
    from gui.inspector.summary import share_words
    from gui.units import NONE

    return NONE if found is None or not found.n else share_words(found.share_of_zeros)


def clip_bounds(one: Activation, found: ValueRange, params: Any, swap: Swap | None) -> tuple[float, ...]:
    """Where results are cut off: by the plan, else as the method would take it from these samples; () when nowhere."""
    if swap is not None:
        return (swap.low, swap.high) if swap.new == "Clip" else ()
    if params.to != "Clip" or why_not(one.op, params.to):
        return ()
    low, high = bounds(one, found, params)
    return (low, high) if low < high else ()


def value_words(before: ValueRange, after: ValueRange, clips: Sequence[float], *, planned: bool) -> str:
    """What the distribution's caption says."""
    words = (f"in {{before_fill}} {number(before.minimum)} to {number(before.maximum)} · "
             f"out {{after}} {number(after.minimum)} to {number(after.maximum)} · {zeros_words(after)} zeros")
    if clips:
        words += f" · {'clipped at' if planned else 'would be clipped at'} {number(clips[0])} and {number(clips[1])}"
    return words
