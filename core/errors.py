"""Errors a person can act on: what is wrong, where, and what to do.

Every error that Featherweight raises on purpose derives from `FeatherweightError`; its `str` is one sentence that is
shown as it is. `exit_code` is the command line's exit code for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MOST, LONGEST = 30, 400
"""How many problems one sentence tells, and letters of each: a broken recipe can have thousands."""


class FeatherweightError(Exception):
    """A problem told as a sentence.

    what   what is wrong, a clause without a full stop
    where  the file, layer, array or line that it is about
    do     what the person can do about it
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        self.what, self.where, self.do = what, where, do
        super().__init__(what, where, do)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.do}." if self.do else f"{text}."

    def __reduce__(self) -> tuple[Any, ...]:  # exceptions with keyword arguments do not pickle by themselves
        return _rebuild, (type(self), self.__dict__.copy())


def _rebuild(kind: type[FeatherweightError], state: dict) -> FeatherweightError:
    error = kind.__new__(kind)
    Exception.__init__(error, state.get("what", ""), state.get("where", ""), state.get("do", ""))
    error.__dict__.update(state)
    return error


class ModelFileError(FeatherweightError):
    """The model file cannot be read or used."""


class DataError(FeatherweightError):
    """Sample data does not fit: name, shape, type, labels, no samples."""


class ParameterError(FeatherweightError):
    """A method's parameter is unknown, missing or out of range."""


class RecipeError(FeatherweightError):
    """A recipe cannot be used. `problems` lists every problem found, so that all can be mended at once."""

    def __init__(self, problems: Iterable[str], *, where: str = "", do: str = "") -> None:
        self.problems = tuple(problems)
        told = [problem if len(problem) <= LONGEST else f"{problem[:LONGEST]}…" for problem in self.problems[:MOST]]
        if len(self.problems) > MOST:
            told.append(f"and {len(self.problems) - MOST:,} more")
        super().__init__("; ".join(told), where=where, do=do)


class LayerSkipped(FeatherweightError):
    """A method cannot handle this layer; the layer stays as it is and shows `what` as the reason."""


class TargetError(FeatherweightError):
    """The target file cannot be written (read-only, full, equal to the source)."""


class GateError(FeatherweightError):
    """The export did not pass the gate; nothing was written."""

    exit_code = 3


class Cancelled(FeatherweightError):
    """The person cancelled; not a failure."""

    exit_code = 130

    def __init__(self, what: str = "cancelled", *, where: str = "", do: str = "") -> None:
        super().__init__(what, where=where, do=do)


class InternalError(FeatherweightError):
    """Our own fault: a worker died or an invariant did not hold."""

    exit_code = 1
