"""The guide to the methods, written from what the methods say of themselves, so that the two cannot differ."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby

from core.methods.base import Described, Role, Stage
from core.methods.order import MAY_FOLLOW, role, short_name
from core.methods.params import Spec, specs
from core.methods.registry import all_methods
from core.model.layer import Kind

FAMILIES = ("Quantization", "Pruning", "Structured cuts", "Low rank", "Filtering", "Activations")
SAVINGS = ("file", "memory", "time", "multiply-adds")
_NAMES = frozenset({"Linear", "Normal", "Static", "Dynamic"})
"""Words that are written with a capital wherever they stand."""
_STAGES = {
    Stage.GRAPH: "a step of the recipe's `graph` list",
    Stage.CHANNELS: "a layer's first step; it counts for all layers that are coupled with it",
    Stage.WEIGHTS: "a layer's step",
}
_CLEAN_UP = """\
## Clean-up

Done first on every export, without loss, and listed with the bytes that each part saved:

- nodes and tensors that nothing uses are removed;
- notes that exporters leave on nodes are taken off (the model's own metadata stays);
- Constant nodes become initializers, types are said once;
- constant computations whose result is no larger than what it is made from are done once and stored;
- tensors with equal contents are stored once, compressed ones included;
- batch norms are folded into the convolutions before them; their factor goes into a quantized weight's scales.
"""


def by_family() -> list[tuple[str, list[Described]]]:
    """All methods by family, in the order in which people try them."""
    rank = {family: number for number, family in enumerate(FAMILIES)}
    ordered = sorted(all_methods(), key=lambda m: (rank.get(m.family, len(rank)), m.family, not m.default, m.title))
    return [(family, list(group)) for family, group in groupby(ordered, key=lambda m: m.family)]


def not_saved(method: Described) -> tuple[str, ...]:
    """What a method does not make smaller."""
    return tuple(thing for thing in SAVINGS if thing not in method.saves)


def samples_text(method: Described) -> str:
    """Which samples a method needs, to stand behind the word "samples"."""
    return method.data.replace("unlabelled samples ", "unlabelled, ").replace("unlabelled samples", "unlabelled")


def continued(sentence: str) -> str:
    """A sentence as the continuation of a heading such as "Choose it when": its first letter small, no full stop."""
    first = sentence.split(" ", 1)[0]
    name = any(letter.isupper() for letter in first[1:]) or first in _NAMES
    return (sentence if name else sentence[:1].lower() + sentence[1:]).removesuffix(".")


def layers_text(kinds: Iterable[Kind]) -> str:
    """The kinds of layers that a method handles, in words."""
    known = frozenset(kinds)
    if known == frozenset(Kind):
        return "all"
    return ", ".join(str(kind) for kind in Kind if kind in known)


def step_text(method: Described) -> str:
    """How a recipe writes a step of the method with its defaults."""
    return f"{method.word}: {{scheme: {method.scheme}}}" if method.scheme and not method.default else method.word


def guide() -> str:
    """The guide as Markdown: `docs/methods.md`, and what `featherweight-cli methods --markdown` prints."""
    parts = [
        "# Methods",
        "Written by `featherweight-cli methods --markdown` from what the methods say of themselves; do not edit.",
        "## Side by side",
        _table(
            ("method", "in a recipe", *SAVINGS, "samples", "layers"),
            [
                (
                    m.title,
                    f"`{step_text(m)}`",
                    *("smaller" if thing in m.saves else "-" for thing in SAVINGS),
                    samples_text(m),
                    "graph" if m.stage is Stage.GRAPH else layers_text(m.kinds),
                )
                for _, methods in by_family()
                for m in methods
            ],
        ),
        "A method that makes only the file smaller costs nothing at run time: the runtime rebuilds the weights when it "
        "loads the model, so speed stays as it was and memory does not shrink.",
        "## When to choose which",
        _table(
            ("method", "choose it when", "choose something else when", "costs"),
            [
                (m.title, continued(m.choose_when), continued(m.avoid_when), m.costs)
                for _, methods in by_family()
                for m in methods
            ],
        ),
        _order(),
        _CLEAN_UP.rstrip(),
    ]
    for family, methods in by_family():
        parts.append(f"## {family}")
        parts += [_section(method) for method in methods]
    return "\n\n".join(parts) + "\n"


def _section(method: Described) -> str:
    lines = [
        f"### {method.title}",
        f"`{step_text(method)}` - {_STAGES[method.stage]}.",
        method.summary,
        f"Saves {_savings(method)}. {method.costs}",
        f"Samples: {samples_text(method)}. Source: {method.source}.",
    ]
    declared = specs(method.Params)
    if declared:
        lines.append(
            _table(
                ("parameter", "default", "allowed", "what it does"),
                [
                    (f"`{s.name}`", _value(s.default), s.allowed(), f"{s.title}: {s.description}{_when(s)}")
                    for s in declared
                ],
            )
        )
    return "\n\n".join(lines)


def _savings(method: Described) -> str:
    others = not_saved(method)
    return ", ".join(method.saves) + (f"; does not save {', '.join(others)}" if others else "")


def _when(spec: Spec) -> str:
    """On what a parameter depends, in words."""
    if not spec.when:
        return ""
    given = " and ".join(f"`{other}` is {' or '.join(map(_value, values))}" for other, values in spec.when)
    return f" Only when {given}."


def _order() -> str:
    """Which kinds of steps may follow which."""
    words: dict[Role, dict[str, None]] = {}
    for method in all_methods():
        if method.stage is not Stage.GRAPH:
            words.setdefault(role(method), {})[short_name(method)] = None
    named = {key: ", ".join(f"`{word}`" for word in found) for key, found in words.items()}
    rows = [
        (named[key], ", ".join(named[r] for r in Role if r in named and key in MAY_FOLLOW[r]) or "nothing")
        for key in Role
        if key in named
    ]
    text = "Steps of a layer are done in their order; others are refused with the reason."
    return f"## Order of steps\n\n{text}\n\n" + _table(("after", "these may follow"), rows)


def _value(value: object) -> str:
    return "none" if value is None else value if isinstance(value, str) and value else json.dumps(value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *(line(row) for row in rows)])
