"""Weights without a structure: a state_dict or a .safetensors file as named tensors. Never unpickles objects."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from core.errors import ModelFileError
from core.torch_files.recognise import Format

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights", "module", "params_ema", "params", "ema")
"""Where training scripts put the weights in a checkpoint with more in it (epoch, optimiser)."""
_PREFIXES = ("module.", "_orig_mod.", "model.")
"""Written by DataParallel, torch.compile and wrappers."""
_SHOWN = 6


def read_state(path: Path, kind: Format) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """The named tensors of a file, on the CPU, and notes about what else was in it. Raises ModelFileError."""
    if kind is Format.SAFETENSORS:
        return _read_safetensors(path), ()
    found = load_plain(path)
    notes: list[str] = []
    for _ in range(3):
        inner = next((found[name] for name in _WRAPPERS if isinstance(found.get(name), Mapping)), None) \
            if isinstance(found, Mapping) else None
        if inner is None:
            break
        notes = [f"Of the checkpoint only the weights were read; beside them it has {_names(set(map(str, found)))}."]
        found = inner
    if not isinstance(found, Mapping):
        raise ModelFileError(f"it holds a {type(found).__name__}, not a state_dict", where=path.name,
                             do="save model.state_dict()")
    state = {str(name): value.detach() for name, value in found.items() if isinstance(value, torch.Tensor)}
    if not state:
        raise ModelFileError("there are no tensors in it", where=path.name, do="save model.state_dict()")
    other = {str(name) for name in found} - set(state)
    if other:
        notes.append(f"Entries that are no tensors were left out: {_names(other)}.")
    _check_tensors(state, path)
    return state, tuple(notes)


def load_plain(path: Path, content: bytes | None = None) -> Any:
    """What torch.save wrote, tensors and plain values only (`weights_only=True`). Raises ModelFileError.

    content  of a member, instead of the file's
    """
    source: Any = path if content is None else io.BytesIO(content)
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|class|function)\s+`?([\w.]+)", str(error))
        held = f" ({found[1]})" if found is not None else ""
        raise ModelFileError(
            f"it holds Python objects{held}, not only tensors: loading them would run code, so nothing was loaded",
            where=path.name, do="save model.state_dict() with torch.save, or a .safetensors file") from error
    except Exception as error:  # the library raises many kinds for damaged files
        said = " ".join(str(error).split())[:160]
        raise ModelFileError(f"the file is damaged or cut off ({said})", where=path.name,
                             do="get the file again") from error


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
    except (SafetensorError, ValueError, KeyError, OSError, RuntimeError) as error:
        said = " ".join(str(error).split())[:160]
        raise ModelFileError(f"the header of this safetensors file is damaged ({said})", where=path.name,
                             do="get the file again") from error
    if not found:
        raise ModelFileError("there are no tensors in it", where=path.name, do="save model.state_dict()")
    return found


def _check_tensors(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse tensors that are larger than what is stored of them: strides of zero can declare terabytes."""
    for name, tensor in state.items():
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise ModelFileError(f"{name!r} is stored in a special form ({tensor.layout}, {tensor.dtype})",
                                 where=path.name, do="save dense floating point weights")
        if tensor.numel() * tensor.element_size() > max(tensor.untyped_storage().nbytes(), 0):
            raise ModelFileError(f"{name!r} has the shape {list(tensor.shape)}, but less is stored of it",
                                 where=path.name, do="save contiguous tensors")


def fit(module: torch.nn.Module, state: Mapping[str, torch.Tensor], where: str) -> str:
    """Load the state into the module; returns a note, or "". Raises ModelFileError that names what does not fit."""
    wanted = module.state_dict()
    given, note = _without_prefix(state, wanted)
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in wanted]
    shapes = [f"{name} is {list(given[name].shape)} and should be {list(wanted[name].shape)}"
              for name in wanted if name in given and given[name].shape != wanted[name].shape]
    problems = [f"{label} {_names(names)}" for label, names in
                (("missing:", missing), ("not in the definition:", unexpected), ("of another shape:", shapes)) if names]
    if problems:
        raise ModelFileError(f"the weights do not fit the definition ({'; '.join(problems)})", where=where,
                             do="give the definition, and its arguments, that these weights were trained with")
    module.load_state_dict({**wanted, **given})
    return note


def _without_prefix(
    state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> tuple[Mapping[str, torch.Tensor], str]:
    """The state with names as the module has them, when all of them have a wrapper's prefix before."""
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state) and not any(name.startswith(prefix) for name in wanted):
            shorter = {name.removeprefix(prefix): value for name, value in state.items()}
            return shorter, f"The names in the file begin with {prefix!r}, which a wrapper added; it was taken off."
    return state, ""


def _names(names: list[str] | set[str]) -> str:
    """The first names of many."""
    listed = sorted(names) if isinstance(names, set) else names
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
