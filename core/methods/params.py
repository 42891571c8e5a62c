"""Parameters declared once: a frozen dataclass whose fields carry JSON-Schema words.

The form in the inspector, the recipe's check, the command line's list, the sensitivity grid and the contract tests all
read the same declaration.
"""

from __future__ import annotations

import dataclasses
import keyword
import math
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from core.errors import ParameterError
from core.patterns import PREFIX, why_not_safe

T = TypeVar("T")


@dataclass(frozen=True)
class Spec:
    """What a form, a schema and a check need to know of one parameter.

    name, type ("number", "integer", "string", "boolean"), default as in JSON Schema; title and description for people
    minimum, maximum   inclusive bounds
    choices            allowed values (of any one type), in the order to show
    unit               shown behind the number: "%", "dB", "bits"
    percent            the value is a share 0..1 that people see and type as per cent
    when               {other parameter: values}: shown and used only if the others have one of these values
    grid               values that a sensitivity table tries, mildest first
    optional           None is allowed and means "not given"
    pattern            a text that is a name, or `re:` and a regular expression that names are matched with
    """

    name: str
    type: str
    default: Any
    title: str
    description: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    choice_titles: tuple[str, ...] = ()
    unit: str = ""
    percent: bool = False
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    grid: tuple[Any, ...] = ()
    optional: bool = False
    pattern: bool = False

    @property
    def attribute(self) -> str:
        """The dataclass field's name: a recipe's `from` is the field `from_`."""
        return f"{self.name}_" if keyword.iskeyword(self.name) else self.name

    def active(self, values: dict[str, Any]) -> bool:
        """Whether this parameter means anything when the others are `values`."""
        return all(values.get(other) in allowed for other, allowed in self.when)

    def check(self, value: Any) -> Any:
        """The value in its proper type; ParameterError names the parameter, what is allowed and what came."""
        if value is None and self.optional:
            return None
        try:
            value = self._convert(value)
        except (TypeError, ValueError, OverflowError):
            raise ParameterError(f"{self.name} is {value!r}", do=f"give {self.allowed()}") from None
        if self.choices and value not in self.choices:
            raise ParameterError(f"{self.name} is {value!r}", do=f"give {self.allowed()}")
        too_small = self.minimum is not None and value < self.minimum
        if too_small or (self.maximum is not None and value > self.maximum):
            raise ParameterError(f"{self.name} is {value!r}", do=f"give {self.allowed()}")
        if self.pattern and value.startswith(PREFIX):
            why = why_not_safe(value.removeprefix(PREFIX))
            if why:
                raise ParameterError(f"{self.name} is {value!r}, which {why}", do="give a name, or re: and a pattern")
        return value

    def _convert(self, value: Any) -> Any:
        if self.type == "boolean":
            if not isinstance(value, bool):
                raise TypeError
            return value
        if self.type == "string":
            if not isinstance(value, str):
                raise TypeError
            return value
        if isinstance(value, (bool, str)):
            raise TypeError
        if self.type == "integer":
            if float(value) != int(value):
                raise ValueError
            return int(value)
        if not math.isfinite(float(value)):
            raise ValueError
        return float(value)

    def read(self, text: str) -> Any:
        """The value as a person types it ("1e-4", "20%", "sgd"); ParameterError for what it cannot be."""
        value: Any = text.strip()
        if self.type == "boolean":
            value = {"true": True, "false": False}.get(value.lower(), value)
        elif self.type != "string":
            share = self.percent and value.endswith("%")
            try:
                value = float(value[:-1]) / 100.0 if share else float(value)
            except ValueError:
                raise ParameterError(f"{self.name} is {text!r}", do=f"give {self.allowed()}") from None
        return self.check(value)

    def allowed(self) -> str:
        """What the parameter accepts, in words."""
        if self.choices:
            return "one of " + ", ".join(str(c) for c in self.choices)
        kinds = {"number": "a number", "integer": "a whole number", "string": "a text", "boolean": "true or false"}
        kind = kinds[self.type]
        if self.minimum is not None and self.maximum is not None:
            return f"{kind} from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"{kind} of at least {self.minimum:g}"
        return kind

    def schema(self) -> dict[str, Any]:
        """The parameter as a JSON Schema property."""
        out: dict[str, Any] = {"type": self.type, "title": self.title, "default": self.default}
        if self.description:
            out["description"] = self.description
        if self.minimum is not None:
            out["minimum"] = self.minimum
        if self.maximum is not None:
            out["maximum"] = self.maximum
        if self.choices:
            out["enum"] = list(self.choices)
        if self.unit:
            out["unit"] = self.unit
        return out


def param(default: Any, title: str, description: str = "", **words: Any) -> Any:
    """A dataclass field with JSON-Schema words; see Spec for the words."""
    return field(default=default, metadata={"title": title, "description": description, **words})


_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}


_KNOWN: dict[type, tuple[Spec, ...]] = {}


def specs(params: type) -> tuple[Spec, ...]:
    """The declared parameters of a method, in order; read once."""
    if params not in _KNOWN:
        _KNOWN[params] = _read(params)
    return _KNOWN[params]


def _read(params: type) -> tuple[Spec, ...]:
    out = []
    hints = get_type_hints(params)
    for f in dataclasses.fields(params):
        words = dict(f.metadata)
        hint = hints[f.name]
        optional = type(None) in getattr(hint, "__args__", ())
        if optional:
            hint = next(a for a in hint.__args__ if a is not type(None))
        when = tuple((k, tuple(v)) for k, v in words.pop("when", {}).items())
        for key in ("choices", "choice_titles", "grid"):
            words[key] = tuple(words.get(key, ()))
        name = f.name.rstrip("_")
        out.append(Spec(name=name, type=_TYPES[hint], default=f.default, when=when, optional=optional, **words))
    return tuple(out)


def build(params: type[T], values: dict[str, Any]) -> T:
    """A checked parameter object from plain values; ParameterError for unknown names and bad values."""
    known = {s.name: s for s in specs(params)}
    unknown = [k for k in values if k not in known]
    if unknown:
        names = ", ".join(known) or "none"
        raise ParameterError(f"unknown parameter {', '.join(map(repr, unknown))}", do=f"known ones: {names}")
    return params(**{known[k].attribute: known[k].check(v) for k, v in values.items()})


def to_dict(params: Any, *, all_values: bool = False) -> dict[str, Any]:
    """Plain values of a parameter object: those that differ from their default (or all)."""
    out = {}
    for s in specs(type(params)):
        value = getattr(params, s.attribute)
        if all_values or value != s.default:
            out[s.name] = value
    return out
