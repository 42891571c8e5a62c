"""A recipe: the steps of every layer of a model, as a value and as a YAML file.

Which steps a layer gets, the first of these that there is:
1. the entry under the layer's exact name;
2. the first entry `re:PATTERN` in the file whose pattern matches the name from its start (as `re.match`);
3. the defaults.
An entry of null (None here) leaves its layers alone. `name:` before a name says that it is one: the layer `re:fc` has
the entry `name:re:fc` (`patterns.key_of`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import RecipeError
from core.methods import registry
from core.methods.params import build
from core.patterns import PREFIX, key_of, name_of

if TYPE_CHECKING:
    from core.model.model import Model

VERSION = 1
MAX_BYTES = 4_000_000


@dataclass(frozen=True)
class Step:
    """A method with its parameters, for one layer.

    method  the method's key, e.g. "prune" or "quantize:codebook"
    params  the method's parameter object, checked
    """

    method: str
    params: Any

    @classmethod
    def make(cls, method: str, /, **values: Any) -> Step:
        """A step from a recipe word (with `scheme=` where the word has schemes) or a key, and plain values.

        Raises ParameterError for an unknown method, scheme or parameter and for a value out of range.
        """
        word, _, scheme = method.partition(":")
        found = registry.find(word, values.pop("scheme", None) or scheme or None)
        return cls(found.key, build(found.Params, values))

    def label(self) -> str:
        """Two or three words: "int4", "prune 60 %"."""
        return registry.by_key(self.method).label(self.params)


Entry = tuple[str, tuple[Step, ...] | None]
"""A layer's name (as `patterns.key_of` writes it) or `re:PATTERN`, and its steps; None leaves the layers alone."""

Patterns = tuple[tuple[re.Pattern[str], tuple[Step, ...] | None], ...]


@dataclass(frozen=True)
class Recipe:
    """All steps of a model.

    defaults      for layers without an entry
    layers        entries in order; see the module's text for which one counts
    graph         steps that change the graph itself, in order, before all others
    model_name, model_sha256   the file that the recipe was made for, "" when unknown; it may be used with others
    """

    defaults: tuple[Step, ...] = ()
    layers: tuple[Entry, ...] = ()
    model_name: str = ""
    model_sha256: str = ""
    graph: tuple[Step, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a recipe file. Raises RecipeError listing every problem with its line."""
        return cls.parse(read_text(path), where=str(path))

    @classmethod
    def parse(cls, text: str, *, where: str = "recipe", model: Model | None = None) -> Recipe:
        """A recipe from YAML; `where` names the source in errors. Raises RecipeError listing every problem.

        model  also list the entries that mean none of its layers, as `check` does
        """
        from core.recipe_text import parse

        return parse(text, where, None if model is None else [layer.name for layer in model.layers])

    def dump(self) -> str:
        """The recipe as YAML; `parse` gives back an equal recipe."""
        from core.recipe_text import dump

        return dump(self)

    def save(self, path: str | Path) -> None:
        """Write the YAML file, whole or not at all. Raises TargetError."""
        from core.exporting.staging import check_target, write_atomic

        check_target(Path(path))
        write_atomic(Path(path), self.dump().encode())

    @cached_property
    def _index(self) -> tuple[dict[str, tuple[Step, ...] | None], Patterns]:
        """Entries by exact name, and compiled patterns in order. Kept here: hashing thousands of entries is slow."""
        exact = {name_of(key): steps for key, steps in self.layers if not key.startswith(PREFIX)}
        patterns = tuple(
            (re.compile(key.removeprefix(PREFIX)), steps) for key, steps in self.layers if key.startswith(PREFIX)
        )
        return exact, patterns

    def steps_for(self, name: str) -> tuple[Step, ...]:
        """The steps of a layer; () when it is left alone."""
        index, patterns = self._index
        if name in index:
            return index[name] or ()
        return self._inherited(name, patterns)

    def _inherited(self, name: str, patterns: Patterns) -> tuple[Step, ...]:
        """The steps of a layer that has no entry under its name."""
        for pattern, steps in patterns:
            if pattern.match(name):
                return steps or ()
        return self.defaults

    def with_steps(self, changes: Mapping[str, Iterable[Step] | None]) -> Recipe:
        """A recipe in which these layers (exact names) have these steps; None or no steps leaves the layer alone.

        An entry that would say what patterns and defaults say anyway is left out.
        """
        entries = dict(self.layers)
        written = {name_of(key): key for key in entries if not key.startswith(PREFIX)}
        _, patterns = self._index
        for name, steps in changes.items():
            new = tuple(steps or ())
            key = written.get(name, key_of(name))
            if new == self._inherited(name, patterns):
                entries.pop(key, None)
            else:
                entries[key] = new or None
        return replace(self, layers=tuple(entries.items()))

    @property
    def does_nothing(self) -> bool:
        """Whether it has no step at all."""
        return not (self.defaults or self.graph or any(steps for _, steps in self.layers))

    def check(self, model: Model) -> None:
        """Raise RecipeError listing every entry that means no layer of the model."""
        names = [layer.name for layer in model.layers]
        problems = [reason for key, _ in self.layers if (reason := why_no_layer(key, names))]
        if problems:
            raise RecipeError(problems, where=f"recipe for {model.name}", do="mend these entries or take them out")


def why_no_layer(key: str, names: Sequence[str]) -> str:
    """Why an entry (a name or `re:PATTERN`) means none of the layers with these names, or ""."""
    if key.startswith(PREFIX):
        pattern = re.compile(key.removeprefix(PREFIX))
        return "" if any(pattern.match(name) for name in names) else f"{key!r} matches no layer"
    name = name_of(key)
    if name in names:
        return ""
    near = [key_of(other) for other in difflib.get_close_matches(name, names, 3)]
    return f"there is no layer {name!r}" + (f" (did you mean {' or '.join(map(repr, near))}?)" if near else "")


def read_text(path: str | Path) -> str:
    """The text of a recipe file. Raises RecipeError when it cannot be read or is no text of reasonable size."""
    where = str(path)
    if Path(path).is_fifo():  # opening it would wait for ever
        raise RecipeError(["this is a pipe"], where=where, do="give a recipe file (YAML)")
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecipeError([f"the recipe cannot be read ({error.strerror or error})"], where=where) from error
    if len(data) > MAX_BYTES:
        raise RecipeError([f"the file is larger than {MAX_BYTES // 1_000_000} MB"], where=where, do="give a recipe")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RecipeError(["the file is no UTF-8 text"], where=where, do="give a recipe file (YAML)") from None
