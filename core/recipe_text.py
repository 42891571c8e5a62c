"""Recipes as YAML: reading with every problem told at once, and a stable, readable writer.

The text is read as a tree of nodes, never turned into objects by YAML itself: so a problem can name its line, no tag
can make anything, aliases cannot grow, and plain words keep to YAML 1.2 (in 1.1 `no` is false and 2:4 is 124).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from core.errors import ParameterError, RecipeError
from core.methods import registry
from core.methods.base import Stage
from core.methods.order import why_not_after
from core.methods.params import build, specs
from core.patterns import PREFIX, why_not_safe
from core.recipe import MAX_BYTES, VERSION, Recipe, Step, why_no_layer

if TYPE_CHECKING:
    from core.recipe import Entry

_DEPTH = 16
_LONGEST_KEY = 1000
_TEXT_TAG = "tag:yaml.org,2002:str"
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None, "true": True, "True": True, "TRUE": True,
          "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_YAML_1_1_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Leaves every plain scalar a text; `_value` decides what it is."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  this is how PyYAML is told


def parse(text: str, where: str, names: Sequence[str] | None = None) -> Recipe:
    """A recipe from YAML. Raises RecipeError with all problems, each with its line.

    names  of the model's layers: an entry that means none of them is a problem, too
    """
    if len(text) > MAX_BYTES:
        raise RecipeError([f"the text is longer than {MAX_BYTES // 1_000_000} MB"], where=where, do="give a recipe")
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError([_syntax(error)], where=where, do="mend the YAML") from None
    reader = _Reader(names)
    recipe = reader.recipe(root)
    if reader.problems:
        raise RecipeError(reader.problems, where=where)
    return recipe


def _check_depth(text: str) -> None:
    """Refuse deep nesting before a tree is built, which would recurse."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise ValueError(f"more than {_DEPTH} levels deep")


def _syntax(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}: not YAML ({said})" if mark is not None else f"not YAML ({said})"


class _Reader:
    """Walks the nodes and collects problems instead of stopping at the first."""

    def __init__(self, names: Sequence[str] | None) -> None:
        self._names = names
        self._found: list[tuple[int, str]] = []

    @property
    def problems(self) -> list[str]:
        """All problems, by line."""
        return [f"line {line + 1}: {text}" for line, text in sorted(self._found, key=lambda found: found[0])]

    def problem(self, node: yaml.Node, text: str) -> None:
        self._found.append((node.start_mark.line if node.start_mark else 0, text))

    def recipe(self, root: yaml.Node | None) -> Recipe:
        if root is None:
            self._found.append((0, f"the recipe is empty; start it with featherweight: {VERSION}"))
            return Recipe()
        sections = {key: (key_node, node) for key, key_node, node in self.items(root, "the recipe")}
        if not isinstance(root, yaml.MappingNode) or not self.version(root, sections.pop("featherweight", None)):
            return Recipe()
        name, sha256 = self.model(sections.pop("model", (root, None))[1])
        defaults = self.steps(sections.pop("defaults", (root, None))[1], "defaults")
        layers = self.layers(sections.pop("layers", (root, None))[1])
        graph = self.graph(sections.pop("graph", (root, None))[1])
        for key, (key_node, _) in sections.items():
            self.problem(key_node, f"unknown key {key!r}; known ones: featherweight, model, defaults, layers, graph")
        return Recipe(defaults or (), layers, name, sha256, graph)

    def version(self, root: yaml.Node, section: tuple[yaml.Node, yaml.Node] | None) -> bool:
        if section is None:
            self.problem(root, f"the version is missing; start the recipe with featherweight: {VERSION}")
            return False
        value = self.value(section[1])
        if value != VERSION or isinstance(value, bool):
            self.problem(section[1], f"this is version {value!r}, Featherweight reads version {VERSION}")
            return False
        return True

    def model(self, node: yaml.Node | None) -> tuple[str, str]:
        found = {"name": "", "sha256": ""}
        for key, key_node, value in self.items(node, "model"):
            if key not in found:
                self.problem(key_node, f"model: unknown key {key!r}; known ones: name, sha256")
            elif not isinstance(value, yaml.ScalarNode):
                self.problem(value, f"model: {key} is no text")
            else:
                found[key] = value.value
        return found["name"], found["sha256"]

    def layers(self, node: yaml.Node | None) -> tuple[Entry, ...]:
        entries = []
        for key, key_node, value in self.items(node, "layers"):
            unsafe = why_not_safe(key.removeprefix(PREFIX)) if key.startswith(PREFIX) else ""
            if unsafe:
                self.problem(key_node, f"{key!r} {unsafe}")
            elif self._names is not None and (reason := why_no_layer(key, self._names)):
                self.problem(key_node, reason)
            entries.append((key, self.steps(value, key) or None))
        return tuple(entries)

    def graph(self, node: yaml.Node | None) -> tuple[Step, ...]:
        found = []
        for child in self.sequence(node, "graph"):
            step = self.step(child, "graph")
            if step is None:
                continue
            method = registry.by_key(step.method)
            if method.stage is Stage.GRAPH:
                found.append(step)
            else:
                self.problem(child, f"graph: {method.word} is a step of layers; put it under defaults or layers")
        return tuple(found)

    def steps(self, node: yaml.Node | None, what: str) -> tuple[Step, ...] | None:
        """A list of steps; a single step may stand without a list. None for null."""
        if node is None or self.is_null(node):
            return None
        children = self.sequence(node, what) if isinstance(node, yaml.SequenceNode) else [node]
        steps: list[Step] = []
        for child in children:
            step = self.step(child, what)
            if step is None:
                continue
            reason = why_not_after(registry.by_key(step.method), [registry.by_key(s.method) for s in steps])
            if reason:
                self.problem(child, f"{what}: {step.label()}: {reason}")
            else:
                steps.append(step)
        return tuple(steps)

    def step(self, node: yaml.Node, what: str) -> Step | None:
        word, params = node, None
        if isinstance(node, yaml.MappingNode) and len(node.value) == 1:
            word, params = node.value[0]
        if not isinstance(word, yaml.ScalarNode) or isinstance(node, yaml.SequenceNode):
            self.problem(node, f"{what}: a step is one method with its parameters, such as - prune: {{ratio: 0.9}}")
            return None
        given = self.items(params, f"{what}: {word.value}")
        values = {key: (key_node, self.value(value)) for key, key_node, value in given}
        scheme = values.pop("scheme", (word, None))
        try:
            method = registry.find(word.value, scheme[1])
        except ParameterError as error:
            self.problem(scheme[0], f"{what}: {error.what}; {error.do}")
            return None
        return self.checked(method, values, f"{what}: {word.value}")

    def checked(self, method: Any, values: dict[str, tuple[yaml.Node, Any]], what: str) -> Step | None:
        """The step, when every single value is right."""
        wrong = False
        for key, (node, value) in values.items():
            try:
                build(method.Params, {key: value})
            except ParameterError as error:
                self.problem(node, f"{what}: {error.what}; {error.do}")
                wrong = True
        plain = {key: value for key, (_, value) in values.items()}
        return None if wrong else Step(method.key, build(method.Params, plain))

    def items(self, node: yaml.Node | None, what: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Key, its node and the value's node of a mapping; nothing for null."""
        if node is None or self.is_null(node):
            return
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, f"{what}: expected keys and values")
            return
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problem(key, f"{what}: a key is no text")
            elif key.value in seen:
                self.problem(key, f"{what}: {key.value!r} is there twice")
            else:
                seen.add(key.value)
                yield key.value, key, value

    def sequence(self, node: yaml.Node | None, what: str) -> list[yaml.Node]:
        if node is None or self.is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.problem(node, f"{what}: expected a list")
            return []
        return node.value

    def is_null(self, node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and not node.style and _WORDS.get(node.value, "") is None

    def value(self, node: yaml.Node) -> Any:
        """A scalar as YAML 1.2 reads it."""
        if not isinstance(node, yaml.ScalarNode):
            self.problem(node, "expected a single value")
            return None
        if node.tag != _TEXT_TAG:
            self.problem(node, f"the tag {node.tag!r} is not allowed")
            return None
        text = node.value
        if node.style:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text


def dump(recipe: Recipe) -> str:
    """YAML that `parse` reads back to an equal recipe."""
    lines = [f"featherweight: {VERSION}"]
    if recipe.model_name or recipe.model_sha256:
        given = {"name": recipe.model_name, "sha256": recipe.model_sha256}
        lines.append(f"model: {_mapping({key: value for key, value in given.items() if value})}")
    if recipe.defaults:
        lines.append("defaults:")
        lines += [f"  - {_step(step)}" for step in recipe.defaults]
    if recipe.layers:
        lines.append("layers:")
        for key, steps in recipe.layers:
            lines += _key(key, "" if steps else " null")
            lines += [f"    - {_step(step)}" for step in steps or ()]
    if recipe.graph:
        lines.append("graph:")
        lines += [f"  - {_step(step)}" for step in recipe.graph]
    return "\n".join(lines) + "\n"


def _key(key: str, value: str) -> list[str]:
    """The lines that begin a layer's entry. A key of more than 1,024 characters must be explicit (YAML 1.2, 7.4.2)."""
    text = _scalar(key)
    return [f"  {text}:{value}"] if len(text) <= _LONGEST_KEY else [f"  ? {text}", f"  :{value}"]


def _step(step: Step) -> str:
    """What differs from the defaults, and the first parameter where it counts, so that the line says something."""
    method = registry.by_key(step.method)
    declared = specs(method.Params)
    values = {spec.name: getattr(step.params, spec.attribute) for spec in declared}
    main = next((spec.name for spec in declared[:1] if spec.active(values)), None)
    shown = {s.name: values[s.name] for s in declared if s.name == main or values[s.name] != s.default}
    if method.scheme and not method.default:
        shown["scheme"] = method.scheme
    return f"{method.word}: {_mapping(shown)}" if shown else method.word


def _mapping(values: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in values.items()) + "}"


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = repr(float(value))
        return text.replace("e", ".0e") if "e" in text and "." not in text else text  # YAML 1.1 wants the dot
    if _PLAIN.fullmatch(value) and value.lower() not in _YAML_1_1_WORDS:
        return value
    return "".join(c if c.isprintable() else _escape(c) for c in json.dumps(value, ensure_ascii=False))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
