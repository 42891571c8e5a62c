"""The options of every command that takes a model, for PyTorch files: what such a file does not say itself."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ParameterError
from core.own_code import find_source
from core.progress import Reporter

if TYPE_CHECKING:
    from core.torch_files.source import TorchSource

_ONE, _SEVERAL = ("model",), ("a", "b", "members", "models")
"""Arguments that name model files: alone, and those of commands with several, where a definition would be unclear."""


def add_torch_arguments(parser: argparse.ArgumentParser) -> None:
    """--definition and what belongs to it, for a parser that has a MODEL."""
    names = {action.dest for action in parser._actions}
    if "model" not in names:
        return
    group = parser.add_argument_group("PyTorch files (.pt2, .pt, .pth, .safetensors)")
    group.add_argument(
        "--definition", metavar="FILE.py:F", default="",
        help="what makes the torch.nn.Module of a state_dict, as file.py:f or module:f; its code runs, so it needs "
        "--allow-code",
    )  # fmt: skip
    group.add_argument("--definition-arguments", metavar="JSON", default="", help='for it, such as {"width": 128}')
    group.add_argument(
        "--example", metavar="X=1x3x224x224", action="append", default=[],
        help="an input to convert with: name, shape with the batch first, :type unless float32, ~ after each further "
        "size that may vary; once for each input (default: samples of --data)",
    )  # fmt: skip
    group.add_argument("--fixed-batch", action="store_true", help="convert for just the batch of --example")
    if "allow_code" in names:
        action = next(action for action in parser._actions if action.dest == "allow_code")
        action.help = "let the code of --metric-callable and --definition run"
    else:
        group.add_argument("--allow-code", action="store_true", help="let the code of --definition run")


def resolve_models(arguments: argparse.Namespace, reporter: Reporter) -> None:
    """Convert the PyTorch files among a command's models, and put the paths of their graphs in their place.

    Raises what `open_model` raises, and ParameterError when code was named and not allowed to run.
    """
    given = getattr(arguments, "definition", "") or getattr(arguments, "example", [])
    for name in _ONE:
        path = getattr(arguments, name, None)
        if isinstance(path, str) and _is_torch(path):
            setattr(arguments, name, _graph(path, torch_source(arguments), reporter))
        elif given and isinstance(path, str):
            raise ParameterError(f"{Path(path).name} is no PyTorch file", do="leave --definition and --example out")
    for name in _SEVERAL:
        value = getattr(arguments, name, None)
        if isinstance(value, str) and _is_torch(value):
            setattr(arguments, name, _graph(value, None, reporter))
        elif isinstance(value, list):
            paths = [_graph(one, None, reporter) if isinstance(one, str) and _is_torch(one) else one for one in value]
            setattr(arguments, name, paths)


def torch_source(arguments: argparse.Namespace) -> TorchSource | None:
    """What was said of the model's file; None when nothing was."""
    from core.torch_files.source import TorchSource, parse_examples

    examples = parse_examples(arguments.example, fixed_batch=arguments.fixed_batch)
    if not arguments.definition:
        return TorchSource(examples=examples) if examples else _with_data(arguments)
    source = find_source(arguments.definition)
    if not arguments.allow_code:
        raise ParameterError(
            f"--definition would run the code of {source.file}, and of what it imports",
            do="look at it, and add --allow-code to run it",
        )
    made = TorchSource(arguments.definition, arguments.definition_arguments, source.sha256, examples)
    return made if examples else replace(made, data=_data(arguments))


def _with_data(arguments: argparse.Namespace) -> TorchSource | None:
    """TorchScript can be converted with the samples alone; other files are opened as they were last."""
    from core.torch_files.recognise import Format, recognise
    from core.torch_files.source import TorchSource

    data = _data(arguments)
    script = bool(data) and recognise(Path(arguments.model)) is Format.SCRIPT
    return TorchSource(data=data) if script else None


def _data(arguments: argparse.Namespace) -> str:
    """The samples that were given, where inputs can be taken from them."""
    data = getattr(arguments, "data", None)
    return str(Path(data).absolute()) if data and str(data).lower().endswith(".npz") else ""


def _is_torch(path: str) -> bool:
    from core.model.readers.torch_file import SUFFIXES

    return Path(path).suffix.lower() in SUFFIXES


def _graph(path: str, source: TorchSource | None, reporter: Reporter) -> str:
    from core.torch_files.converting import graph_of

    return str(graph_of(Path(path), source, reporter.part(0.0, 0.0)))
