"""torch.export archives (.pt2), read so that nothing in them runs.

`torch.export.load` trusts its file: it unpickles without limits where the archive asks for it (weights and constants
marked `use_pickle`, opaque constants, example inputs that `weights_only` refuses: pytorch#153410), it hands shape
expressions to `sympy.sympify`, which evaluates them as Python, it looks operators up by any dotted name below `torch`,
and it imports modules named in the tree of the outputs. So it is never given the person's file: `safe_copy` reads the
archive member by member, refuses whatever is not plain numbers and known operators, and writes a new archive of what is
left, without comments, example inputs of other kinds, extra files and compiled code.
"""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import ModelFileError
from core.torch_files.recognise import members, read_member

_MODEL = "models/model.json"
_WEIGHTS = "data/weights/model_weights_config.json"
_CONSTANTS = "data/constants/model_constants_config.json"
_INPUTS = "data/sample_inputs/model.pt"
_HEADERS = ("archive_format", "archive_version", "byteorder", ".data/version")

_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!from_file\b)[A-Za-z_]\w*(\.[A-Za-z_]\w*)?"
    r"|torch\.ops\.higher_order\.(cond|wrap_with_set_grad_enabled|wrap_with_autocast|scan|while_loop)"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|xor|not_|getitem)"
    r"|math\.(ceil|floor|trunc|sqrt)|torch\.sym_(int|float|not|min|max|ite|sum|sqrt)", re.ASCII)
_FUNCTIONS = frozenset({
    "Symbol", "Integer", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Mod", "PythonMod", "FloorDiv", "CleanDiv",
    "CeilDiv", "ModularIndexing", "Where", "floor", "ceiling", "TruncToInt", "IntTrueDiv", "FloatTrueDiv", "ToFloat",
    "Equality", "Unequality", "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "Eq", "Ne", "Lt", "Le",
    "Gt", "Ge", "And", "Or", "Not", "Abs",
})  # fmt: skip
_VALUES = frozenset({"int_oo", "oo", "true", "false"})
_ASSUMED = frozenset({"positive", "integer", "nonnegative", "negative", "zero", "nonzero", "real", "evaluate"})
_SYMBOL = re.compile(r"[suz]+f?\d{1,9}", re.ASCII)
_OPERATIONS = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.operator, ast.unaryop, ast.cmpop, ast.boolop,
    ast.Load,
)  # fmt: skip
_LARGEST, _MOST_POWER = 2**63, 8
_TREES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})
_LONGEST = 2000


def safe_copy(path: Path, target: Path) -> None:
    """Write what `torch.export.load` may read; raises ModelFileError for anything that could run or is damaged."""
    names = {info.filename.partition("/")[2]: info.filename for info in members(path)}
    if _MODEL not in names:
        raise _refuse(path, "no program named 'model' is in it", "save one model with torch.export.save")
    other = sorted(name for name in names if name.startswith("models/") and name != _MODEL)
    if other:
        raise _refuse(path, f"several programs are in it ({len(other) + 1})", "save one model with torch.export.save")
    weights, constants = (_payloads(path, names, config) for config in (_WEIGHTS, _CONSTANTS))
    program = _json(path, names, _MODEL)
    _check_program(path, program)
    program["guards_code"] = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        def put(name: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(f"model/{name}"), content)

        put(_MODEL, json.dumps(program).encode())
        for name in (*_HEADERS, _WEIGHTS, _CONSTANTS, _INPUTS):
            if name in names:
                put(name, read_member(path, names[name]))
        for folder, payloads in (("data/weights/", weights), ("data/constants/", constants)):
            for name in sorted(payloads):
                put(folder + name, read_member(path, names[folder + name]))


def _payloads(path: Path, names: dict[str, str], config: str) -> set[str]:
    """Names of the files that a list of tensors refers to; all of them plain numbers."""
    folder = config.rpartition("/")[0] + "/"
    if f"{folder}model.pt" in names:
        raise _refuse(path, "its weights are pickled, as older versions of PyTorch did", "save it with a newer PyTorch")
    entries = _json(path, names, config).get("config")
    if not isinstance(entries, dict):
        raise _refuse(path, "its list of tensors is damaged", "save the model again")
    found = set()
    for name, entry in entries.items():
        file = entry.get("path_name") if isinstance(entry, dict) else None
        if not isinstance(file, str) or f"{folder}{file}" not in names or entry.get("use_pickle") is not False:
            what = f"{name!r} is stored as a Python object, which is never loaded"
            raise _refuse(path, what, "save a model whose weights and constants are plain tensors")
        if not re.fullmatch(r"(weight|tensor)_\d+", file) or not isinstance(entry.get("tensor_meta"), dict):
            raise _refuse(path, f"{name!r} is no plain tensor", "save a model whose constants are plain tensors")
        if (entry["tensor_meta"].get("device") or {}).get("type") not in ("cpu", "cuda", "mps", "xpu"):
            raise _refuse(path, f"{name!r} lies on an unknown device", "save the model from the CPU")
        found.add(file)
    return found


def _json(path: Path, names: dict[str, str], name: str) -> dict[str, Any]:
    if name not in names:
        raise _refuse(path, f"{name!r} is missing", "get the file again")
    try:
        found = json.loads(read_member(path, names[name]))
    except (ValueError, RecursionError) as error:
        raise _refuse(path, f"{name!r} is damaged", "get the file again") from error
    if not isinstance(found, dict):
        raise _refuse(path, f"{name!r} is damaged", "get the file again")
    return found


def _check_program(path: Path, program: dict[str, Any]) -> None:
    """Refuse what could run when the program is loaded or converted; takes comments out in place."""
    for key, value, holder in _walk(program):
        if key in ("target", "as_operator") and isinstance(value, str):
            if _OPERATOR.fullmatch(value) is None:
                raise _refuse(path, f"it calls {value[:80]!r}, which is no operator of ATen", "export plain operators")
        elif key == "expr_str":
            _check_expression(path, value)
        elif key in ("symbol_name_to_range", "range_constraints") and isinstance(value, dict):
            for name in value:
                _check_expression(path, name)
        elif key in ("in_spec", "out_spec", "treespec") and isinstance(value, str) and value:
            _check_tree(path, value)
        elif key in ("as_custom_obj", "as_opaque") and value is not None:
            raise _refuse(path, "it holds objects of custom classes, which are never loaded", "export plain tensors")
        elif key == "metadata" and isinstance(value, dict):
            holder["metadata"] = {k: v for k, v in value.items() if k == "nn_module_stack" and isinstance(v, str)}


def _walk(value: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Every key with its value and the object that holds it, at any depth; without recursion."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            for key, inner in list(here.items()):
                yield key, inner, here
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)


def _check_expression(path: Path, text: object) -> None:
    """Refuse a shape expression that is anything but integers, symbols and known functions: it is evaluated."""
    try:
        tree = ast.parse(str(text).strip(), mode="eval") if len(str(text)) <= _LONGEST else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if tree is None or not all(_is_arithmetic(node) for node in ast.walk(tree)):
        raise _refuse(path, f"a shape in it is {str(text)[:80]!r}, which is no arithmetic of sizes", "export it again")


def _is_arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _is_small(node.right)
    if isinstance(node, ast.Call):
        named = isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
        power = isinstance(node.func, ast.Name) and node.func.id == "Pow"
        return named and (not power or (len(node.args) == 2 and _is_small(node.args[1])))
    if isinstance(node, ast.keyword):
        return node.arg in _ASSUMED and isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool)
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS or node.id in _VALUES or _SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, str):  # the name in Symbol('s31'); as text it means the same wherever it stands
            return _SYMBOL.fullmatch(value) is not None
        return isinstance(value, bool | int | float) and abs(value) <= _LARGEST
    return isinstance(node, _OPERATIONS)


def _is_small(node: ast.expr) -> bool:
    """Whether an exponent is a small number: others make numbers without end."""
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    if isinstance(node, ast.Call) and len(node.args) == 1:
        node = node.args[0].operand if isinstance(node.args[0], ast.UnaryOp) else node.args[0]
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and abs(node.value) <= _MOST_POWER


def _check_tree(path: Path, text: str) -> None:
    """Refuse inputs or outputs that are more than tensors in tuples, lists and dicts: other kinds import modules."""
    try:
        _, tree = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise _refuse(path, "the order of its inputs is damaged", "export it again") from error
    for key, value, _ in _walk(tree):
        kind = value if key == "type" else None
        if (kind is not None and kind not in _TREES) or key == "__enum__" or (
                key == "context" and isinstance(value, str) and ("__enum__" in value or "\\u" in value)):
            what = f"its inputs or outputs are of the kind {str(kind)[:60]!r}, which would import code"
            raise _refuse(path, what, "let the model take and give tensors, tuples, lists and dicts")


def _refuse(path: Path, what: str, do: str) -> ModelFileError:
    return ModelFileError(what, where=path.name, do=do)


def load(path: Path, folder: Path) -> Any:
    """The torch.export.ExportedProgram of a .pt2 file; raises ModelFileError."""
    import torch

    from core.torch_files.weights import load_plain

    copy = folder / "checked.pt2"
    safe_copy(path, copy)
    names = {info.filename.partition("/")[2]: info.filename for info in members(copy)}
    if _INPUTS in names:
        load_plain(path, read_member(copy, names[_INPUTS]))  # torch.export.load falls back to full unpickling
    try:
        return torch.export.load(copy)
    except Exception as error:  # whatever the library makes of a damaged program
        said = " ".join(str(error).split())[:200]
        raise _refuse(path, f"PyTorch cannot load it ({said})", "export the model again") from error
    finally:
        copy.unlink(missing_ok=True)
