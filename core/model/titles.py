"""Names for people: unique layer names, and a title where the exporter made the name up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence

import onnx_ir as ir

_MADE_UP = re.compile(
    r"_?val_\d+|\d+|onnx::\w+?_\d+|const(ant)?[_.]?\d*|_?t\d+|w\d+|constant_\d+(_output(_\d+)?)?|const_fold_opt\w*",
    re.ASCII | re.IGNORECASE)
_OURS = re.compile(r"w\d+|.+:sparse\d+:\w+", re.ASCII)  # what our exporter and reader call the values in between
_BRANCH = re.compile(r"If_\d+_(else|then)_branch__(?:Inline_\d+__)?(.+)", re.ASCII)
_SCOPES = "pkg.torch.onnx.name_scopes"


def unique_names(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """The names, made unique by a number where one occurs twice or is taken."""
    taken = set(taken)
    out = []
    for name in names:
        candidate, number = name, 2
        while candidate in taken:
            candidate, number = f"{name} ({number})", number + 1
        taken.add(candidate)
        out.append(candidate)
    return out


def titles(weights: Iterable[tuple[str, Sequence[str], Sequence[ir.Node]]]) -> list[str]:
    """What to show for each weight, given its name, names of what is made of it, and the nodes that use it.

    The name; where it is made up, the first name behind it that is not, or one made from the first node that gives one.
    """
    shown = []
    for name, aliases, nodes in weights:
        if is_made_up(name):
            others = aliases if is_ours(name) else ()
            told = [alias for alias in others if not is_made_up(alias)]
            shown.append(next(filter(None, [*told, *map(_from_node, nodes), *others]), name))
        else:
            branch = _BRANCH.fullmatch(name)
            shown.append(f"{branch[2]} ({branch[1]})" if branch else name)
    return unique_names(shown)


def is_made_up(name: str) -> bool:
    """Whether an exporter made the name up ("val_30", "onnx::MatMul_123", "a/Const_7:0")."""
    last = name.rsplit("/", 1)[-1].rsplit("__", 1)[-1].removesuffix(":0")
    return _MADE_UP.fullmatch(last) is not None or is_ours(name)


def is_ours(name: str) -> bool:
    """Whether the name is one that we give to values between stored tensors and a weight."""
    return _OURS.fullmatch(name) is not None


def _from_node(node: ir.Node) -> str:
    """A weight's title from its node: torch's module path, else the path in the node's name."""
    scopes = node.metadata_props.get(_SCOPES, "")
    try:
        path = ast.literal_eval(scopes) if scopes and len(scopes) < 4096 else []
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        path = []
    if isinstance(path, list) and len(path) >= 2 and isinstance(path[-2], str) and path[-2]:
        return f"{path[-2]}.weight"
    parts = [part for part in (node.name or "").split("/") if part]
    if len(parts) > 1:
        return ".".join([*parts[:-1], "weight"])
    return ""
