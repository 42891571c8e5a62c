"""Back into PyTorch: the weights of a compression or a training as a state_dict or a .safetensors file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ModelFileError, ParameterError, TargetError
from core.exporting.staging import check_target, staged

if TYPE_CHECKING:
    import torch

    from core.model.model import Model
    from core.pipeline import Compression
    from core.torch_files.origin import Origin

SUFFIXES = (".safetensors", ".pt", ".pth")
_SHOWN = 5


@dataclass(frozen=True)
class TorchExport:
    """What was written.

    path      the file
    changed   entries whose values are those of the compression or the training
    reshaped  (entry, shape before, shape now) of those that channel cuts made smaller: the definition has to follow
    left      entries that could not be taken from the compressed graph and hold their original values
    """

    path: str
    nbytes: int
    changed: int
    reshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    left: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """In sentences, for a person."""
        lines = [f"PyTorch: {self.path}, {self.changed} tensors with their new values, as decoded floats "
                 f"({self.nbytes:,} bytes: what is saved is saved in the ONNX file)."]
        if self.reshaped:
            shown = ", ".join(f"{name} {list(before)} -> {list(now)}" for name, before, now in self.reshaped[:_SHOWN])
            more = len(self.reshaped) - _SHOWN
            lines.append(f"Channels were cut, so {len(self.reshaped)} tensors have other shapes and the definition has "
                         f"to follow: {shown}{f' and {more} more' if more > 0 else ''}.")
        if self.left:
            lines.append(f"Left with their original values: {', '.join(self.left[:_SHOWN])}.")
        return " ".join(lines)


def check_torch_target(model: Model, target: Path) -> None:
    """Refuse, before any work, a target that cannot be written; raises ParameterError and TargetError."""
    if model.origin is None:
        raise ParameterError(f"{model.name} did not come from PyTorch, so there is no state_dict to go back to",
                             do="open the PyTorch file")
    if target.suffix.lower() not in SUFFIXES:
        raise TargetError("the ending says no format of PyTorch", where=str(target),
                          do="give a name that ends in .safetensors, .pt or .pth")
    check_target(target, model.path, model.data_files)


def export_torch(compression: Compression, target: Path) -> TorchExport:
    """Write the weights under their names in the state_dict, decoded to floats of their original type.

    compression  of a model that came from a PyTorch file; for a training, `trained_compression`. Its encodings and its
                 rewritten graph (channel cuts, trained biases and norms) give the values

    The target is written whole or not at all. Raises ParameterError, TargetError, ModelFileError.
    """
    import torch

    model, rewritten = compression.rewriting.original, compression.rewriting.model
    check_torch_target(model, target)
    origin = model.origin
    if origin is None:
        raise ParameterError(f"{model.name} did not come from PyTorch", do="open the PyTorch file")
    before, after = _tensors(model), _tensors(rewritten)
    decoded = {r.name: r.encoding.decode() for r in compression.layers if r.encoding is not None}
    rest = _rest(model, origin)
    state: dict[str, torch.Tensor] = {}
    changed, reshaped, left = 0, [], []
    for name, (stored, dtype) in origin.parameters.items():
        if stored not in before:
            if name in rest:
                state[name] = rest[name]
            continue
        array = decoded.get(stored)
        if array is None:
            array = after.get(stored)
        if array is None:
            array = before[stored]
            left.append(name)
        old = before[stored]
        if array.shape != old.shape:
            reshaped.append((name, old.shape, array.shape))
            changed += 1
        elif array is not old:
            changed += not np.array_equal(array, old, equal_nan=True)
        state[name] = torch.from_numpy(np.array(array)).to(getattr(torch, dtype))
    _share_tied(state, origin)
    nbytes = _write(state, target)
    return TorchExport(str(target), nbytes, changed, tuple(reshaped), tuple(left))


def _tensors(model: Model) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """The stored tensors of a model's graph by name, floats and integers."""
    graph = model.graph().graph
    return {name: value.const_value.numpy() for name, value in graph.initializers.items()
            if value.const_value is not None}


def _rest(model: Model, origin: Origin) -> Mapping[str, torch.Tensor]:
    """Entries of the state_dict that the graph has no tensor for (counters of batch norms, unused layers)."""
    import torch

    try:
        found: dict[str, torch.Tensor] = torch.load(model.path.with_name("rest.pt"), weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise ModelFileError("what was kept of the conversion is damaged or gone", where=origin.path.name,
                             do="open the PyTorch file again") from error
    return found


def _share_tied(state: dict[str, torch.Tensor], origin: Origin) -> None:
    """Tied entries are one tensor again, as in the module."""
    first: dict[str, str] = {}
    for name, (stored, _) in origin.parameters.items():
        if name in state:
            state[name] = state[first.setdefault(stored, name)]


def _write(state: dict[str, torch.Tensor], target: Path) -> int:
    import torch

    if target.suffix.lower() == ".safetensors":
        from safetensors.torch import save

        # The format knows no shared tensors, so tied ones are written once for each name.
        content = save({name: value.clone().contiguous() for name, value in state.items()}, {"format": "pt"})
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
    with staged(target) as stage:
        stage.write(content)
        stage.commit()
    return len(content)
