"""TorchScript archives, looked at before they are loaded.

`torch.jit.load` unpickles with an own reader that knows no Python objects, and compiles the archive's code for an
interpreter that reaches operators only. But a module's `__setstate__` runs while it is loaded, and a few operators
reach outside: `aten::save` and `aten::from_file` write and map any file, `rpc` calls other machines, classes and
operators of other libraries do what they like. So the code is read first, as text, and every name in it is looked at.
"""

from __future__ import annotations

import ast
from pathlib import Path

import torch

from core.errors import ModelFileError
from core.torch_files.recognise import members, read_member

_OUTSIDE = frozenset({
    "save", "load", "from_file", "classes", "jit", "distributed", "rpc_async", "rpc_sync", "rpc_remote", "package",
    "hub", "utils", "load_tensor", "__getattr__", "_C",
})  # fmt: skip
"""Operators and names below `torch` and `ops` that reach beyond tensors."""
_METHODS = frozenset({"save", "from_file"})
"""Operators that reach beyond tensors also as a method of any value: `x.save(name)`."""
_NAMESPACES = frozenset({"aten", "prim", "prims", "quantized", "torchvision"})
_ROOTS = frozenset({"torch", "ops"})


def load(path: Path) -> torch.jit.ScriptModule:
    """The module in evaluation mode, on the CPU. Raises ModelFileError for code that reaches outside, and damage."""
    check_code(path)
    try:
        module = torch.jit.load(str(path), map_location="cpu").eval()
    except Exception as error:  # the library raises many kinds for damaged files
        said = " ".join(str(error).split())[:200]
        raise ModelFileError(f"PyTorch cannot load it ({said})", where=path.name, do="save the module again") from error
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def check_code(path: Path) -> None:
    """Read all code of the archive; raises ModelFileError at the first name that could reach outside."""
    for info in members(path):
        inside = info.filename.partition("/")[2]
        if inside == "model.json":
            raise ModelFileError("this is TorchScript of a very old version", where=path.name, do="save it again")
        if not inside.startswith("code/") or inside.endswith(".debug_pkl"):
            continue
        try:
            tree = ast.parse(read_member(path, info.filename).decode())
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ModelFileError(f"its code {inside!r} cannot be read", where=path.name, do="save it again") from error
        for node in ast.walk(tree):
            name = _reaches_outside(node)
            if name:
                raise ModelFileError(f"its code uses {name!r}, which can reach files, machines or other libraries, so "
                                     "it was not loaded", where=path.name, do="export a model of plain operators")


def _reaches_outside(node: ast.AST) -> str:
    """The name in a node that is refused, or ""."""
    if isinstance(node, ast.Attribute):
        chain = _chain(node)
        if chain[:1] == ["__torch__"]:  # a class of the archive itself, or one that a library registered
            return ".".join(chain) if chain[1:3] == ["torch", "classes"] else ""
        if chain[:1] == ["ops"] and len(chain) > 1 and chain[1] not in _NAMESPACES:
            return ".".join(chain)
        refused = _OUTSIDE if chain[:1] and chain[0] in _ROOTS else _METHODS
        return ".".join(chain) or node.attr if node.attr in refused else ""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return "import"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
        holder, name = (*node.args, None, None)[:2]
        plain = isinstance(name, ast.Constant) and name.value not in _OUTSIDE
        return "" if plain and not (isinstance(holder, ast.Name) and holder.id in _ROOTS) else "getattr"
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in _ROOTS:
        return node.value.id
    return ""


def _chain(node: ast.expr) -> list[str]:
    """["ops", "prim", "NumToTensor"] of a dotted name; [] when it begins with something else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [*reversed([*parts, node.id])] if isinstance(node, ast.Name) else []
