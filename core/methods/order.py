"""Which steps may follow which: known before a weight is read, so that forms and recipes refuse with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from core.methods.base import Described, Method, Role, Stage

MAY_FOLLOW: dict[Role, frozenset[Role]] = {
    Role.CUT: frozenset({Role.CUT}),
    Role.FACTOR: frozenset({Role.CUT}),
    Role.FILTER: frozenset({Role.CUT}),
    Role.PRUNE: frozenset({Role.CUT, Role.PRUNE, Role.FLOAT}),
    Role.FLOAT: frozenset({Role.CUT, Role.FACTOR, Role.FILTER, Role.PRUNE}),
    Role.QUANTIZE: frozenset({Role.CUT, Role.FACTOR, Role.FILTER, Role.PRUNE, Role.FLOAT}),
    Role.RUN_TIME: frozenset({Role.CUT, Role.PRUNE, Role.FLOAT}),
}
"""{role: roles that may stand before it}"""

_DONE = {
    Role.CUT: "its channels are already cut",
    Role.FACTOR: "the weight is already factorised",
    Role.FILTER: "the weight is already stored as coefficients",
    Role.PRUNE: "the weight is already pruned",
    Role.FLOAT: "the weight is already stored in 16 or 8 bit floats",
    Role.QUANTIZE: "the weight is already quantized",
    Role.RUN_TIME: "the weight is already quantized",
}


def role(method: Described) -> Role:
    """The role of a step's method."""
    return method.role if isinstance(method, Method) else Role.CUT


def short_name(method: Described) -> str:
    """What to call a method where order matters: its word, and the scheme where that decides what may come before."""
    return f"{method.word} {method.scheme}" if role(method) is Role.RUN_TIME else method.word


def why_not_after(method: Described, before: Sequence[Described]) -> str:
    """Why a step of this method makes no sense behind the steps `before` (one clause with advice), or ""."""
    if method.stage is Stage.GRAPH:
        return f"{method.word} changes the graph; it belongs under graph, not among a layer's steps"
    for earlier in before:
        if role(earlier) not in MAY_FOLLOW[role(method)]:
            this, other = short_name(method), short_name(earlier)
            advice = (
                f"use {earlier.word} once" if role(earlier) is role(method) or earlier.word == method.word else
                f"put {this} before {other}" if role(method) in MAY_FOLLOW[role(earlier)] else
                f"use {other} or {this}, not both"
            )
            return f"{_DONE[role(earlier)]}; {advice}"
    return ""


def why_not_list(methods: Sequence[Described]) -> str:
    """Why a list of steps makes no sense in this order, or ""."""
    for number, method in enumerate(methods):
        reason = why_not_after(method, methods[:number])
        if reason:
            return reason
    return ""


def place_for(method: Described, steps: Sequence[Described]) -> tuple[int, str]:
    """Where among the steps a new one of this method makes sense, the last place first; or why nowhere."""
    for place in range(len(steps), -1, -1):
        if not why_not_list([*steps[:place], method, *steps[place:]]):
            return place, ""
    return len(steps), why_not_after(method, steps)
