"""The process that converts one PyTorch file: python -m core.torch_files.child FOLDER

FOLDER holds request.json and, with samples, examples.npz. Into it go model.onnx, origin.json and rest.pt, or
error.json. Progress goes to standard output, a line of JSON each. A process of its own: conversion takes seconds, may
crash, and runs a person's definition, none of which may touch the window. It ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import onnx_ir as ir
import torch

from core.errors import FeatherweightError, ModelFileError
from core.torch_files.kept import GRAPH
from core.torch_files.origin import FILE, Origin
from core.torch_files.recognise import Format
from core.torch_files.source import OPSET, Example, TorchSource
from core.torch_files.weights import fit, read_state

if TYPE_CHECKING:
    from core.torch_files.to_onnx import Converted

ONE_FILE_LIMIT = 1_900_000_000
"""Bytes above which weights go into an external data file (protobuf takes no message of 2 GiB)."""
REST = "rest.pt"
OTHER_BATCH = 3


@dataclass(frozen=True)
class Request:
    """What to convert; `folder` is where everything goes."""

    path: Path
    sha256: str
    format: Format
    source: TorchSource
    folder: Path

    @classmethod
    def read(cls, folder: Path) -> Request:
        origin = Origin.parse((folder / "request.json").read_text(encoding="utf-8"))
        return cls(origin.path, origin.sha256, origin.format, origin.source, folder)

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The inputs to convert with: the samples that were given, or made-up ones."""
        file = self.folder / "examples.npz"
        if file.is_file():
            with np.load(file, allow_pickle=False) as arrays:
                return tuple(torch.from_numpy(np.ascontiguousarray(arrays[e.name])) for e in self.source.examples)
        return made_up(self.source.examples, [e.traced_shape for e in self.source.examples])


def made_up(examples: Sequence[Example], shapes: Sequence[Sequence[int]], seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Normal numbers for floats; ones for integers, which every table and mask takes."""
    random = torch.Generator().manual_seed(seed)
    found = []
    for example, shape in zip(examples, shapes, strict=True):
        dtype: torch.dtype = getattr(torch, example.dtype)
        plain = torch.randn(*shape, generator=random) if dtype.is_floating_point else torch.ones(*shape)
        found.append(plain.to(dtype))
    return tuple(found)


def convert(request: Request, tell: Any) -> Origin:
    """Convert and check; raises FeatherweightError kinds."""
    if request.source.weights_only:
        return _weights_alone(request)
    from core.torch_files import agreement  # and the exporters: seconds, which weights alone need not wait for
    from core.torch_files.tidy import name_ports, tidy

    where = request.path.name
    tell(0.1, "Loading")
    state, converted, notes = _loaded(request, tell)
    tell(0.6, "Tidying the graph")
    graph = converted.graph
    tidy(graph, frozenset(state))
    given = [e.name for e in request.source.examples]
    name_ports(graph, given if len(given) == len(graph.graph.inputs) else None, converted.outputs)
    _save(graph, request.folder)
    tell(0.75, "Comparing with PyTorch")
    batches = [converted.traced, *_other_batch(graph, converted.traced)]
    worst = agreement.difference(request.folder / GRAPH, converted.call, batches, where)
    there = set(graph.graph.initializers)
    aliases = _aliases(state, there)
    parameters = {name: (aliases.get(name, name), str(value.dtype).removeprefix("torch."))
                  for name, value in state.items()}
    rest = {name: value for name, value in state.items() if parameters[name][0] not in there}
    torch.save(rest, request.folder / REST)
    words = " and ".join(f"{len(batch[0]) if batch[0].ndim else 1}" for batch in batches)
    on = "samples" if (request.folder / "examples.npz").is_file() else "made-up inputs"
    return _origin(request, parameters, worst, f"batches of {words} {on}",
                   (*notes, *converted.notes, *_fixed_batch(graph)))


def _loaded(request: Request, tell: Any) -> tuple[dict[str, torch.Tensor], Converted, tuple[str, ...]]:
    """The named tensors of the file, its raw graph, and notes."""
    from core.torch_files import definition, exported, script, to_onnx

    path, where, examples = request.path, request.path.name, request.source.examples
    if request.format is Format.EXPORTED:
        program = exported.load(path, request.folder)
        tell(0.3, "Converting to ONNX")
        constants = {n: v for n, v in program.constants.items() if isinstance(v, torch.Tensor)}
        return {**constants, **program.state_dict}, to_onnx.from_program(program, where), ()
    if request.format is Format.SCRIPT:
        module = script.load(path)
        tell(0.3, "Converting to ONNX")
        converted = to_onnx.from_script(module, examples, request.tensors(), where)
        return dict(module.state_dict()), converted, ()
    state, notes = read_state(path, request.format)
    tell(0.2, f"Running the definition {request.source.definition}")
    built = definition.build(request.source)
    note = fit(built, state, where)
    tell(0.3, "Converting to ONNX")
    converted = to_onnx.from_module(built, examples, request.tensors(), where)
    return dict(built.state_dict()), converted, (*notes, *([note] if note else []))


def _aliases(state: dict[str, torch.Tensor], there: set[str]) -> dict[str, str]:
    """{name: the name in the graph of the same tensor}: tied weights are one tensor there."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, value in state.items():
        if value.numel():
            groups.setdefault((value.data_ptr(), tuple(value.shape), value.stride(), value.dtype), []).append(name)
    stored = {names[0]: next((name for name in names if name in there), names[0]) for names in groups.values()}
    return {name: stored[names[0]] for names in groups.values() for name in names if len(names) > 1}


def _other_batch(graph: ir.Model, traced: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, ...]]:
    """The same inputs with another number of samples, where the graph takes any."""
    free = [value.shape is not None and len(value.shape) > 0 and not isinstance(value.shape[0], int)
            for value in graph.graph.inputs]
    if not any(free):
        return []
    return [tuple(torch.cat([tensor, tensor.flip(0), tensor])[:OTHER_BATCH] if is_free else tensor
                  for tensor, is_free in zip(traced, free, strict=True))]


def _fixed_batch(graph: ir.Model) -> tuple[str, ...]:
    """A note for a graph that takes only one number of samples."""
    sizes = [value.shape[0] for value in graph.graph.inputs if value.shape]
    fixed = next((size for size in sizes if isinstance(size, int)), None)
    return () if fixed is None else (f"The graph takes exactly {fixed} in its first axis, as it was exported.",)


def _weights_alone(request: Request) -> Origin:
    """A graph that only holds the weights: each is multiplied by its one input and given out."""
    state, notes = read_state(request.path, request.format)
    factor = ir.Value(name="factor", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.FLOAT))
    nodes, stored, parameters = [], [], {}
    rest = {}
    for name, value in state.items():
        parameters[name] = (name, str(value.dtype).removeprefix("torch."))
        if not value.dtype.is_floating_point or not value.numel() or name == "factor":
            rest[name] = value
            continue
        array = value.to(torch.float32).contiguous().numpy()
        weight = ir.Value(name=name, const_value=ir.tensor(array, name=name), shape=ir.Shape(array.shape),
                          type=ir.TensorType(ir.DataType.FLOAT))
        node = ir.node("Mul", [weight, factor])
        node.outputs[0].name, node.outputs[0].shape, node.outputs[0].type = f"{name}:out", weight.shape, weight.type
        nodes.append(node)
        stored.append(weight)
    if not nodes:
        raise ModelFileError("it holds no floating point weights", where=request.path.name, do="choose another file")
    graph = ir.Graph([factor], [n.outputs[0] for n in nodes], nodes=nodes, initializers=stored,
                     opset_imports={"": OPSET}, name="weights")
    _save(ir.Model(graph, ir_version=10, producer_name="pytorch"), request.folder)
    torch.save(rest, request.folder / REST)
    return _origin(request, parameters, None, "", notes)


def _save(graph: ir.Model, folder: Path) -> None:
    nbytes = sum(v.const_value.nbytes for v in graph.graph.initializers.values() if v.const_value is not None)
    ir.save(graph, folder / GRAPH, external_data=f"{GRAPH}.data" if nbytes > ONE_FILE_LIMIT else None)


def _origin(request: Request, parameters: dict[str, tuple[str, str]], worst: float | None, on: str,
            notes: tuple[str, ...]) -> Origin:
    from core.own_code import find_source

    file = find_source(request.source.definition).file if request.source.definition else None
    return Origin(request.path, request.sha256, request.format, request.source, file, parameters, worst, on, notes)


def main(folder: Path) -> int:
    """Convert as request.json says; 0 when done, 2 with error.json."""
    answers = _own_answers()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore")
    if hasattr(os, "nice"):
        os.nice(5)  # the window must get its turn at once
    torch.set_num_threads(max(1, min(4, (os.cpu_count() or 2) - 1)))

    def tell(done: float, text: str) -> None:
        print(json.dumps([done, text]), file=answers, flush=True)

    try:
        origin = convert(Request.read(folder), tell)
    except FeatherweightError as error:
        told = {"kind": type(error).__name__, "what": error.what, "where": error.where, "do": error.do}
        (folder / "error.json").write_text(json.dumps(told), encoding="utf-8")
        return 2
    (folder / FILE).write_text(origin.dump(), encoding="utf-8")
    return 0


def _own_answers() -> TextIO:
    """Standard output for our lines alone: what a definition or a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock the interpreter needs at its end
        continue
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
