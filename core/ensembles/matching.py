"""Whether models can be members of one ensemble: the same inputs, the same outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import ModelFileError
from core.model.layer import Port
from core.model.model import Model

FEWEST = 2


@dataclass(frozen=True)
class Pairing:
    """Which of a member's inputs and outputs stand for those of the first member: its names, in the first's order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def pair_members(models: Sequence[Model]) -> tuple[Pairing, ...]:
    """How each model's inputs and outputs fit the first's: by name, or by place where all of them are named otherwise.

    Raises ModelFileError that names the first difference, and what cannot be combined at all.
    """
    if len(models) < FEWEST:
        raise ModelFileError("an ensemble has at least two members", do="give more models")
    first = models[0]
    for port in first.outputs:
        _refuse_state(first, port)
    return tuple(
        Pairing(_paired(first, model, "input"), _paired(first, model, "output")) for model in models
    )


def _paired(first: Model, model: Model, what: str) -> tuple[str, ...]:
    wanted, given = (m.inputs if what == "input" else m.outputs for m in (first, model))
    if len(wanted) != len(given):
        raise _differs(model, first, f"it has {_count(given, what)} and {first.name} has {_count(wanted, what)}")
    by_name = {port.name: port for port in given}
    same_names = set(by_name) == {port.name for port in wanted}
    pairs = [(port, by_name[port.name] if same_names else given[i]) for i, port in enumerate(wanted)]
    for ours, theirs in pairs:
        said = f"its {what} {theirs.name!r} is {_text(theirs)} and that of {first.name} is {_text(ours)}"
        if not _alike(ours, theirs):
            raise _differs(model, first, said)
    if not same_names and len(pairs) > 1:
        names = ", ".join(repr(port.name) for port in wanted)
        raise _differs(model, first, f"its {what}s have other names than those of {first.name} ({names})")
    return tuple(theirs.name for _, theirs in pairs)


def _differs(model: Model, first: Model, what: str) -> ModelFileError:
    return ModelFileError(
        what, where=model.name, do="choose models that take the same inputs and give the same outputs"
    )


def _alike(ours: Port, theirs: Port) -> bool:
    """Whether type and shape can be the same; dimensions that are not fixed fit any."""
    if ours.dtype != theirs.dtype:
        return False
    if ours.shape is None or theirs.shape is None:
        return True
    if len(ours.shape) != len(theirs.shape):
        return False
    pairs = zip(ours.shape, theirs.shape, strict=True)
    return all(a == b or not isinstance(a, int) or not isinstance(b, int) for a, b in pairs)


def _refuse_state(model: Model, output: Port) -> None:
    """An output that is fed back as an input (a recurrent state) belongs to one member: no mean of it makes sense."""
    for port in model.inputs:
        same = port.dtype == output.dtype and _alike(port, output) and len(port.name) > 1
        follows = output.name.lower().startswith(port.name.lower()) or (
            output.name.replace("present", "past") == port.name
        )
        if same and follows and output.name != port.name:
            raise ModelFileError(
                f"its output {output.name!r} is a state that the input {port.name!r} takes at the next call, and each "
                "member would need its own",
                where=model.name, do="choose models that keep no state between calls",
            )


def _count(ports: Sequence[Port], what: str) -> str:
    return f"{len(ports)} {what}{'' if len(ports) == 1 else 's'}"


def _text(port: Port) -> str:
    if port.shape is None:
        return f"{port.dtype} of any shape"
    dims = " x ".join("?" if dim is None else str(dim) for dim in port.shape)
    return f"{port.dtype} {dims or 'scalar'}"
