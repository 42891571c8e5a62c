"""Whether a regular expression from a recipe can be used without hanging the program: `re` has no time limit."""

from __future__ import annotations

import re

PREFIX = "re:"
"""What a text starts with that is a pattern and no name."""
LITERAL = "name:"
"""What stands before a name that would otherwise be read as something else: it begins with PREFIX, or with this."""
_LONGEST = 200
_MOST_OPEN = 4  # each open repeat multiplies the worst time by the name's length
_PARTS = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!>]|<[=!]|P?<\w+>))?|\)|[*+]|\{\d*,?\d*\}|\||.", re.DOTALL
)


def why_not_safe(pattern: str) -> str:
    """Why the pattern cannot be used (a clause that follows its name), or "".

    Refused are repeats of a group that itself repeats or chooses, such as (a+)+ or (a|b)*, and more than four open
    repeats: those are what makes matching take exponential or very long time.
    """
    if len(pattern) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression ({error})"
    if _repeats_a_repeat(pattern):
        return "repeats a group that repeats or chooses, which can take forever; write it without the outer repeat"
    opened = sum(1 for part in _PARTS.findall(pattern) if _is_open(part))
    return f"has {opened} open repeats (* or +), at most {_MOST_OPEN} are allowed" if opened > _MOST_OPEN else ""


def _is_open(part: str) -> bool:
    """Whether the part repeats often: * + {n,} {,n} or {n,m} with many."""
    if part in ("*", "+"):
        return True
    if not (part.startswith("{") and "," in part):
        return False
    upper = part.strip("{}").split(",")[1]
    return not upper or int(upper) > 8


def _repeats_a_repeat(pattern: str) -> bool:
    risky = [False]  # for each open group: whether what is in it repeats or chooses
    closed_risky = False
    for part in _PARTS.findall(pattern):
        repeats = part in ("*", "+") or (part.startswith("{") and part != "{")
        if repeats and closed_risky:
            return True
        closed_risky = False
        if part.startswith("("):
            risky.append(False)
        elif part == ")":
            closed_risky = risky.pop() if len(risky) > 1 else False
            risky[-1] = risky[-1] or closed_risky
        elif _is_open(part) or part == "|":
            risky[-1] = True
    return False


def key_of(name: str) -> str:
    """What a recipe calls the layer of this name: the name itself, or `name:re:fc` for a layer named `re:fc`."""
    return LITERAL + name if name.startswith((PREFIX, LITERAL)) else name


def name_of(key: str) -> str:
    """The layer's name that a key without PREFIX stands for; the reverse of `key_of`."""
    return key.removeprefix(LITERAL)
