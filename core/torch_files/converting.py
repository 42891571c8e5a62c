"""Opening a PyTorch file: a conversion that is kept already, or one made by a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from core import errors
from core.errors import DataError, FeatherweightError, InternalError, ModelFileError, ParameterError
from core.progress import Reporter
from core.scratch import full_disk_told
from core.torch_files import kept
from core.torch_files.origin import FILE, Origin
from core.torch_files.recognise import Format, recognise
from core.torch_files.source import TYPES, Example, TorchSource

_SAMPLES = 4
"""Samples of a person's data that a model is converted with."""
_LAST_LINES = 600
"""Letters of what the process printed last, told when it crashed."""


def graph_of(path: Path, source: TorchSource | None, reporter: Reporter) -> Path:
    """The ONNX graph of a PyTorch file, converted now or before.

    source  None: as it was opened last, while file and definition are as they were; else what the file says alone,
            which for files without a structure is their weights

    Raises ModelFileError, ParameterError, DataError and Cancelled.
    """
    reporter.report(0.02, "Looking at the file")
    kind = recognise(path)
    sha256 = kept.file_sha256(path)
    found = kept.newest(path, sha256) if source is None else None
    if found is not None:
        kept.touch(found.parent)
        return found
    source, arrays = _complete(path, kind, source or TorchSource())
    folder = kept.entry(path, sha256, source, _digest(arrays))
    if not (folder / FILE).is_file():
        _convert(Origin(path.absolute(), sha256, kind, source, None, {}, None, ""), arrays, folder, reporter)
    kept.touch(folder)
    return folder / kept.GRAPH


def _complete(path: Path, kind: Format, source: TorchSource) -> tuple[TorchSource, dict[str, np.ndarray]]:
    """The source with everything that the conversion needs; raises errors that say what is missing."""
    if kind.has_structure and source.definition:
        raise ParameterError(f"{path.name} holds its own structure ({kind})", do="leave the definition out")
    if source.weights_only or (not kind.has_structure and not source.definition):
        if kind.has_structure:
            raise ParameterError(f"{path.name} holds its structure ({kind})", do="open it as it is")
        return TorchSource(weights_only=True), {}
    source = source.checked()
    arrays: dict[str, np.ndarray] = {}
    if source.data and not source.examples:
        arrays = _samples(Path(source.data))
        examples = tuple(Example(name, array.shape, array.dtype.name) for name, array in arrays.items())
        source = replace(source, examples=examples, data="")
    if kind is not Format.EXPORTED and not source.examples:
        raise ModelFileError(
            f"a {kind} file does not say what its model is fed with" if kind is Format.SCRIPT else
            "the definition does not say what its model is fed with", where=path.name,
            do='give its inputs (--example "x=1x3x224x224") or samples (--data)')
    return source, arrays


def _samples(path: Path) -> dict[str, np.ndarray]:
    """A few samples of every array of a file but its labels."""
    from core.data.arrays import ArrayFile

    if path.suffix.lower() != ".npz" or not path.is_file():
        raise DataError("example inputs are read from .npz files, whose arrays have the inputs' names", where=str(path),
                        do='give an .npz file, or the shapes (--example "x=1x3x224x224")')
    file = ArrayFile(path)
    names = tuple(name for name in file.names if name != "labels")
    found = {name: np.ascontiguousarray(array[:_SAMPLES]) for name, array in file.read(names).items() if array.ndim}
    for name, array in found.items():
        if array.dtype.name not in TYPES or not array.size:
            raise DataError(f"the array {name!r} holds {array.dtype.name}, which is no input of a model",
                            where=str(path), do="give the shapes and types instead (--example)")
    if not found:
        raise DataError("there are no arrays in it", where=str(path), do="give samples with the inputs' names")
    return found


def _digest(arrays: dict[str, np.ndarray]) -> str:
    whole = hashlib.sha256()
    for name, array in arrays.items():
        whole.update(f"{name} {array.dtype} {array.shape}".encode())
        whole.update(array.tobytes())
    return whole.hexdigest() if arrays else ""


def _convert(wanted: Origin, arrays: dict[str, np.ndarray], folder: Path, reporter: Reporter) -> None:
    """Run the process in a folder beside the wanted one, which gets its name when all is well."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}-{threading.get_ident()}")
    with full_disk_told():
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            (part / "request.json").write_text(wanted.dump(), encoding="utf-8")
            if arrays:
                np.savez(part / "examples.npz", **arrays)  # type: ignore[arg-type]
            _run(part, wanted.path.name, reporter)
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    kept.remove_old()


def _run(folder: Path, where: str, reporter: Reporter) -> None:
    """Start the process and follow it; a cancel kills it. Raises what it tells."""
    # A path of its own, without the working directory: a folder named `core` there must not be taken for ours.
    env = {**os.environ, "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    log = folder / "log.txt"
    with log.open("wb") as errors_to, subprocess.Popen(
        [sys.executable, "-P", "-m", "core.torch_files.child", str(folder)], env=env, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=errors_to,
    ) as process:  # fmt: skip
        try:
            _follow(process, reporter)
        finally:
            process.kill()
    if (folder / "error.json").is_file():
        raise _told(json.loads((folder / "error.json").read_text(encoding="utf-8")))
    if process.returncode or not (folder / FILE).is_file():
        said = " ".join(log.read_text(encoding="utf-8", errors="replace")[-_LAST_LINES:].split())
        raise InternalError(f"converting it failed (exit code {process.returncode}: {said or 'nothing was said'})",
                            where=where, do="there may be too little memory; or export it to ONNX yourself")


def _follow(process: subprocess.Popen[bytes], reporter: Reporter) -> None:
    """Pass on progress until the process ends; raises Cancelled."""
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    stdout = process.stdout
    if stdout is None:
        raise ValueError("the process has no output")
    threading.Thread(target=_read_lines, args=(stdout, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=0.05)
        except queue.Empty:
            reporter.check()
            continue
        if line is None:
            process.wait()
            return
        done, text = json.loads(line)
        reporter.report(done, text)


def _read_lines(stream: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _told(error: dict[str, Any]) -> FeatherweightError:
    """An error of ours as the process told it."""
    kind = getattr(errors, error["kind"], ModelFileError)
    made: FeatherweightError = kind(error["what"], where=error["where"], do=error["do"])
    return made
