"""A person's own definition of a model, which runs only when it was named and its content confirmed."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import torch

from core.errors import ModelFileError, ParameterError
from core.own_code import OwnSource, find_source, told_error
from core.torch_files.source import TorchSource, keyword_arguments

_FAILURES = (Exception, SystemExit, KeyboardInterrupt)


def build(source: TorchSource) -> torch.nn.Module:
    """The module that the definition gives, in evaluation mode.

    Raises ParameterError when its file is not the one that was confirmed; ModelFileError with the line when it fails.
    """
    checked = source.checked()
    found = find_source(checked.definition)
    if found.sha256 != checked.allowed:
        raise ParameterError(f"{found.file.name} has changed since its code was allowed to run",
                             do="look at it and confirm again")
    place = checked.definition.rpartition(":")[0]
    try:
        module = _execute(found, "" if place.endswith(".py") else place)
        made = getattr(module, found.callable, None)
        if not callable(made):
            raise ParameterError(f"{found.file.name} has no callable {found.callable!r}", do="give another name")
        built = made(**keyword_arguments(source.arguments))
    except ParameterError:
        raise
    except _FAILURES as error:
        raise _told(error, found) from error
    if not isinstance(built, torch.nn.Module):
        raise ModelFileError(f"{found.words} gives a {type(built).__name__}, not a torch.nn.Module",
                             where=found.file.name, do="give a class of a module, or a function that makes one")
    return built.eval().requires_grad_(False)


def _execute(source: OwnSource, name: str) -> types.ModuleType:
    """Run exactly the bytes that were confirmed, as the module that they are; what it imports is found beside it."""
    name = name or source.file.stem
    if not name or name in sys.modules:
        name = f"featherweight_definition_{source.sha256[:12]}"
    root = source.file.parent
    for _ in range(name.count(".")):
        root = root.parent
    sys.path.insert(0, str(root))
    spec = importlib.util.spec_from_file_location(name, source.file)
    module = types.ModuleType(name) if spec is None else importlib.util.module_from_spec(spec)
    module.__file__ = str(source.file)
    sys.modules[name] = module
    # The person confirmed exactly these bytes (`TorchSource.allowed`), and asked for them to run.
    exec(compile(source.content, str(source.file), "exec"), module.__dict__)  # noqa: S102
    return module


def _told(error: BaseException, source: OwnSource) -> ModelFileError:
    """The person's own error with its line."""
    said, where = told_error(error, source)
    return ModelFileError(f"the definition failed: {said[:300]}", where=where,
                          do="correct the code, or give the arguments that it needs")


def forward_names(module: Any) -> list[str]:
    """Names of what `forward` takes, without those that have a default."""
    import inspect

    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters if p.kind in plain and p.default is inspect.Parameter.empty]
