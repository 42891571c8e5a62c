"""Filter words: `kind:conv size>100k name zeros>10 plan:int8`. All words must hold; no Qt here.

    text                any part of the name
    -word               the word must not hold
    name: kind: op: plan:   any part of that text; several with commas: kind:conv,linear
    size weights zeros outliers error   with > >= < <= =; k, M, G allowed; zeros and outliers in %, error in dB
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import FeatherweightError

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Texts = Sequence[str]
Numbers = np.ndarray[Any, np.dtype[np.float64]]

TEXT_WORDS = ("name", "kind", "op", "plan")
NUMBER_WORDS = ("size", "weights", "zeros", "outliers", "error")
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_COMPARE: dict[str, Callable[[Numbers, float], Mask]] = {
    ">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal, "=": np.equal,
}
_NUMBER_WORD = re.compile(r"([A-Za-z]+)(>=|<=|>|<|=)(.*)")
_TEXT_WORD = re.compile(r"([A-Za-z]+):(.*)")
_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kKmMgG]?)[bB]?%?")


class FilterError(FeatherweightError):
    """A filter word that is not understood."""


@dataclass(frozen=True)
class Condition:
    """One word: `field` compared with `values` (texts, any of them) or with one number by `compare`."""

    field: str
    compare: str
    values: tuple[str, ...] = ()
    number: float = 0.0
    negated: bool = False


def parse(text: str) -> tuple[Condition, ...]:
    """The conditions of a filter text; () when it is empty. FilterError says which word is wrong and what there is."""
    return tuple(_condition(word) for word in text.split())


def fields(conditions: Sequence[Condition]) -> frozenset[str]:
    """What `matches` will ask for."""
    return frozenset(c.field for c in conditions)


def matches(conditions: Sequence[Condition], texts: Mapping[str, Texts], numbers: Mapping[str, Numbers],
            n: int) -> Mask:
    """Which of n rows fulfil all conditions.

    texts      lower-case texts by field, each of length n
    numbers    float64 arrays of shape (n,) by field; NaN (not known yet) fulfils nothing
    """
    mask = np.ones(n, dtype=bool)
    for c in conditions:
        if c.field in NUMBER_WORDS:
            with np.errstate(invalid="ignore"):
                found = _COMPARE[c.compare](numbers[c.field], c.number)
        else:
            found = np.fromiter((any(v in t for v in c.values) for t in texts[c.field]), dtype=bool, count=n)
        mask &= ~found if c.negated else found
    return mask


def _condition(word: str) -> Condition:
    negated = word.startswith("-") and len(word) > 1
    body = word[1:] if negated else word
    if match := _NUMBER_WORD.fullmatch(body):
        return _number_condition(match[1].lower(), match[2], match[3], negated)
    if match := _TEXT_WORD.fullmatch(body):
        field = match[1].lower()
        if field in NUMBER_WORDS:
            raise FilterError(f"{field} is compared with a number", where=word, do=f"write {field}>10")
        if field in TEXT_WORDS:
            values = tuple(v for v in match[2].lower().split(",") if v)
            if not values:
                raise FilterError("nothing follows the colon", where=word, do=f"write {field}:text")
            return Condition(field, ":", values, negated=negated)
        if "::" not in body and match[2][:1] not in ("", "/"):  # names hold colons too: "layer/w:0"
            raise _unknown(field, word)
    return Condition("name", ":", (body.lower(),), negated=negated)


def _number_condition(field: str, compare: str, value: str, negated: bool) -> Condition:
    word = f"{field}{compare}{value}"
    if field in TEXT_WORDS:
        raise FilterError(f"{field} is a text", where=word, do=f"write {field}:text")
    if field not in NUMBER_WORDS:
        raise _unknown(field, word)
    match = _NUMBER.fullmatch(value)
    if match is None:
        raise FilterError("a number must follow", where=word, do=f"write {field}{compare}100k")
    return Condition(field, compare, number=float(match[1]) * _SCALES[match[2].lower()], negated=negated)


def _unknown(field: str, word: str) -> FilterError:
    known = ", ".join(f"{w}:" for w in TEXT_WORDS) + " and " + ", ".join(f"{w}>" for w in NUMBER_WORDS)
    return FilterError(f"there is no filter word {field!r}", where=word, do=f"there are {known}")
