"""Python code of a person's own: found and read without running it, so that its content can be confirmed first."""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from core.errors import ParameterError

FORMS = 'give "module:callable" or "file.py:callable"'


@dataclass(frozen=True)
class OwnSource:
    """Where a callable lies. Finding it reads the file and runs nothing.

    sha256  of the file's content: what a person confirms, and what is compared before it runs
    """

    file: Path
    callable: str
    sha256: str
    content: bytes

    @property
    def words(self) -> str:
        return f"{self.callable} in {self.file.name}"


def find_source(text: str) -> OwnSource:
    """The file behind "module:callable" or "file.py:callable"; raises ParameterError when there is none.

    A module is looked for in the working directory and on the interpreter's path, package by package, without
    importing any of them.
    """
    place, _, name = text.strip().rpartition(":")
    if not place or not name.isidentifier():
        raise ParameterError(f"{text!r} names no callable", do=FORMS)
    file = Path(place) if place.endswith(".py") else _module_file(place)
    if file is None:
        raise ParameterError(f"there is no module {place!r} with Python source", do=FORMS)
    try:
        content = file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ParameterError(f"{file} cannot be read ({why})", do=FORMS) from error
    return OwnSource(file.absolute(), name, hashlib.sha256(content).hexdigest(), content)


def told_error(error: BaseException, source: OwnSource) -> tuple[str, str]:
    """What a person's own code says of its error, in one line, and where: its file and the innermost line in it."""
    if isinstance(error, SyntaxError) and error.lineno:
        line: int | None = error.lineno
    else:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(frames) if Path(frame.filename) == source.file), None)
    said = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")
    return said, source.file.name if line is None else f"{source.file.name}, line {line}"


def absolute_callable(text: str) -> str:
    """The same callable from any working directory: a job may run in another process."""
    place, _, name = text.strip().rpartition(":")
    return f"{Path(place).absolute()}:{name}" if place.endswith(".py") else text.strip()


def _module_file(name: str) -> Path | None:
    search: Sequence[str] | None = [os.getcwd(), *sys.path]
    found = None
    parts = name.split(".")
    for i in range(len(parts)):
        found = PathFinder.find_spec(".".join(parts[: i + 1]), search)
        if found is None:
            return None
        search = found.submodule_search_locations
        if search is None and i < len(parts) - 1:
            return None
    origin = found.origin if found is not None else None
    return Path(origin) if origin is not None and origin.endswith(".py") else None
