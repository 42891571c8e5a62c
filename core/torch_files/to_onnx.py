"""From a PyTorch program to an ONNX graph, by the exporter that takes it."""

from __future__ import annotations

import inspect
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
import onnx_ir as ir
import torch
from torch.utils import _pytree as pytree

from core.errors import ModelFileError
from core.torch_files.agreement import Call
from core.torch_files.definition import forward_names
from core.torch_files.source import OPSET, Example


@dataclass(frozen=True)
class Converted:
    """A raw graph and what is needed to check it.

    call     the module: tensors in the order of the graph's inputs -> output tensors
    traced   the tensors that it was converted with
    outputs  names for the graph's outputs
    """

    graph: ir.Model
    call: Call
    traced: tuple[torch.Tensor, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


def from_program(program: torch.export.ExportedProgram, where: str) -> Converted:
    """An exported program is converted as it is, with the free sizes that it was exported with."""
    try:
        made = torch.onnx.export(program, dynamo=True, opset_version=OPSET, optimize=False, verbose=False)
    except Exception as error:  # the exporter raises many kinds
        raise _cannot(error, where) from error
    if made is None:
        raise ModelFileError("PyTorch gave no ONNX graph", where=where, do="export it to ONNX yourself")
    args, kwargs = program.example_inputs or ((), {})
    flat = pytree.tree_leaves((args, kwargs))
    if not flat or not all(isinstance(value, torch.Tensor) for value in flat):
        raise ModelFileError("its inputs are more than tensors, or not kept in the file", where=where,
                             do="export the model with tensors alone as inputs")
    _, shape = pytree.tree_flatten((args, kwargs))
    module = program.module(check_guards=False)

    def call(*tensors: torch.Tensor) -> list[torch.Tensor]:
        positional, named = pytree.tree_unflatten(list(tensors), shape)
        with torch.no_grad():
            return _tensors(module(*positional, **named))

    return Converted(made.model, call, tuple(flat), _output_names(call_outputs(module, args, kwargs)))


def call_outputs(module: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What the module gives, as it gives it."""
    with torch.no_grad():
        return module(*args, **kwargs)


def from_module(module: torch.nn.Module, examples: Sequence[Example], tensors: Sequence[torch.Tensor],
                where: str) -> Converted:
    """A module is exported with torch.export; where that cannot be done, it is traced for the older exporter."""
    args, kwargs, dynamic = _arguments(module, examples, tensors)
    try:
        given = call_outputs(module, args, kwargs)
    except Exception as error:  # the person's module may raise anything
        raise ModelFileError(f"the module does not run on {_words(examples)} ({_line(error)})", where=where,
                             do="give the inputs that it takes, in order, with their shapes and types") from error

    def call(*inputs: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad():
            return _tensors(module(*inputs[: len(args)], **dict(zip(kwargs, inputs[len(args):], strict=True))))

    try:
        program = torch.export.export(module, args, kwargs, dynamic_shapes=dynamic, strict=False)
        made = torch.onnx.export(program, dynamo=True, opset_version=OPSET, optimize=False, verbose=False)
    except Exception as error:
        note = f"It was converted with the older exporter, as torch.export does not take it ({_line(error)[:120]})."
        if kwargs:
            raise _cannot(error, where) from error
        traced = torch.jit.trace(module, args, check_trace=False)
        return from_script(traced, examples, tensors, where, (note,))
    if made is None:
        raise ModelFileError("PyTorch gave no ONNX graph", where=where, do="export it to ONNX yourself")
    return Converted(made.model, call, tuple(tensors), _output_names(given))


def from_script(module: Any, examples: Sequence[Example], tensors: Sequence[torch.Tensor], where: str,
                notes: tuple[str, ...] = ()) -> Converted:
    """TorchScript goes through the older exporter: the newer one does not take it."""
    from torch.onnx import utils

    utils.register_custom_op_symbolic("aten::unflatten", _unflatten, 13)

    def call(*inputs: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad():
            return _tensors(module(*inputs))

    try:
        given = call_outputs(module, tensors, {})
    except Exception as error:  # TorchScript raises its own kinds
        raise ModelFileError(f"the module does not run on {_words(examples)} ({_line(error)})", where=where,
                             do="give the inputs that it takes, in order, with their shapes and types") from error
    names = [example.name for example in examples]
    buffer: Any = io.BytesIO()  # the older exporter takes one, unlike its annotation
    axes = {e.name: {axis: "batch" if axis == 0 else f"{e.name}_{axis}" for axis in e.varies} for e in examples}
    outputs = _output_names(given)
    try:
        torch.onnx.export(module, tuple(tensors), buffer, dynamo=False, opset_version=OPSET, input_names=names,
                          output_names=list(outputs), dynamic_axes=axes, do_constant_folding=False, verbose=False)
        graph = ir.from_proto(onnx.load_from_string(buffer.getvalue()))
    except Exception as error:  # the exporter raises many kinds
        raise _cannot(error, where) from error
    return Converted(graph, call, tuple(tensors), outputs, notes)


def _arguments(module: torch.nn.Module, examples: Sequence[Example], tensors: Sequence[torch.Tensor]) -> Any:
    """Positional and named arguments, and which of their sizes are free, as torch.export takes them."""
    names = forward_names(module)
    accepted = list(inspect.signature(module.forward).parameters)
    free = [dict.fromkeys(example.varies, torch.export.Dim.AUTO) for example in examples]
    given = [example.name for example in examples]
    if all(name in accepted for name in given) and given[: len(names)] != names[: len(given)]:
        return (), dict(zip(given, tensors, strict=True)), dict(zip(given, free, strict=True))
    return tuple(tensors), {}, tuple(free) if len(accepted) == len(free) else _by_name(accepted, free)


def _by_name(accepted: list[str], free: list[dict[int, Any]]) -> dict[str, Any]:
    """Free sizes of the first arguments; the others keep their defaults."""
    return dict(zip(accepted, free, strict=False))


def _unflatten(g: Any, value: Any, dim: Any, sizes: Any) -> Any:
    """aten::unflatten with the rank of its result noted, without which the exporter cannot transpose it (attention)."""
    from torch.onnx._internal.torchscript_exporter import symbolic_helper, symbolic_opset13

    made = symbolic_opset13.unflatten(g, value, dim, sizes)
    rank = symbolic_helper._get_tensor_rank(value)
    listed = sizes.node().kind() == "prim::ListConstruct"
    found = symbolic_helper._unpack_list(sizes) if listed else symbolic_helper._maybe_get_const(sizes, "is")
    if rank is not None and isinstance(found, list):
        made.setType(value.type().with_sizes([None] * (rank + len(found) - 1)))
    return made


def _tensors(given: Any) -> list[torch.Tensor]:
    return [value for value in pytree.tree_leaves(given) if isinstance(value, torch.Tensor)]


def _output_names(given: Any) -> tuple[str, ...]:
    """Keys of a dict, else "output" with a number where there are several."""
    tensors = _tensors(given)
    if isinstance(given, dict) and len(given) == len(tensors):
        return tuple(map(str, given))
    return ("output",) if len(tensors) == 1 else tuple(f"output_{i}" for i in range(len(tensors)))


def _words(examples: Sequence[Example]) -> str:
    return ", ".join(f"{e.name} of {'x'.join(map(str, e.traced_shape)) or 'one number'} ({e.dtype})" for e in examples)


def _cannot(error: BaseException, where: str) -> ModelFileError:
    return ModelFileError(f"PyTorch cannot convert it to ONNX ({_line(error)})", where=where,
                          do="export it to ONNX yourself, or change the operators that do not convert")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:240]
