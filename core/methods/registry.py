"""Every method, found by importing the files of this folder. A duplicate or a bad name fails at import, loudly."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import core.methods
from core.errors import ParameterError
from core.methods.base import ChannelMethod, Described, GraphMethod, Method

_HELPERS = {"base", "order", "params", "registry"}
_BASES = (Method, ChannelMethod, GraphMethod)


@cache
def all_methods() -> tuple[Described, ...]:
    """All methods, by family and title. Importing happens at the first call."""
    found: dict[str, Described] = {}
    for info in pkgutil.iter_modules(core.methods.__path__):
        if info.name in _HELPERS or info.name.startswith("_"):
            continue
        module = importlib.import_module(f"core.methods.{info.name}")
        for thing in vars(module).values():
            if isinstance(thing, type) and issubclass(thing, _BASES) and thing.__module__ == module.__name__:
                _register(found, thing())
    for word in {m.word for m in found.values()}:
        same = [m for m in found.values() if m.word == word]
        if len(same) > 1 and sum(m.default for m in same) != 1:
            raise RuntimeError(f"exactly one method of the word {word!r} must be the default")
    return tuple(sorted(found.values(), key=lambda m: (m.family, m.title)))


def _register(found: dict[str, Described], method: Described) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", method.word):
        raise RuntimeError(f"{type(method).__name__}: {method.word!r} is no recipe word (lower case, digits, _)")
    if method.key in found:
        raise RuntimeError(f"{method.key!r} is registered twice")
    found[method.key] = method


def find(word: str, scheme: str | None = None) -> Described:
    """The method of a recipe word (and scheme); ParameterError lists what there is."""
    same = [m for m in all_methods() if m.word == word]
    if not same:
        words = ", ".join(sorted({m.word for m in all_methods()}))
        raise ParameterError(f"there is no method {word!r}", do=f"use one of {words}")
    if scheme is None:
        return next((m for m in same if m.default), same[0])
    for method in same:
        if method.scheme == scheme:
            return method
    schemes = ", ".join(m.scheme for m in same if m.scheme) or "none"
    raise ParameterError(f"{word} has no scheme {scheme!r}", do=f"use one of {schemes}")


def by_key(key: str) -> Described:
    """The method whose `key` this is ("quantize:codebook"); KeyError otherwise."""
    return _by_key()[key]


@cache
def _by_key() -> dict[str, Described]:
    return {method.key: method for method in all_methods()}


def describe(method: Described) -> dict[str, Any]:
    """A method as plain data, for `featherweight-cli methods --json` and the documents."""
    from core.methods.params import specs

    return {
        "word": method.word, "scheme": method.scheme, "key": method.key, "title": method.title, "family": method.family,
        "summary": method.summary, "saves": list(method.saves), "costs": method.costs, "source": method.source,
        "stage": str(method.stage), "choose_when": method.choose_when, "avoid_when": method.avoid_when,
        "data": method.data,
        "kinds": sorted(str(k) for k in method.kinds),
        "parameters": {s.name: s.schema() for s in specs(method.Params)},
    }


def families() -> tuple[str, ...]:
    """The families of all methods, sorted."""
    return tuple(sorted({method.family for method in all_methods()}))


def check_families(names: Iterable[str]) -> frozenset[str]:
    """The families by their proper names ("low-rank" is "Low rank"); () means all. Raises ParameterError."""
    known = {family.lower(): family for family in families()}
    wanted = {name.strip(): name.strip().lower().replace("-", " ").replace("_", " ") for name in names if name.strip()}
    unknown = [name for name, plain in wanted.items() if plain not in known]
    if unknown:
        listed = ", ".join(map(repr, unknown))
        are = "is no family" if len(unknown) == 1 else "are no families"
        raise ParameterError(f"there {are} {listed}", do=f"choose from {', '.join(families())}")
    return frozenset(known[plain] for plain in wanted.values()) or frozenset(families())
