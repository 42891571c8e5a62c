"""The one place that makes and runs ONNX Runtime sessions: stock runtime, CPU only, quiet, errors as sentences.

A session is made from a path wherever there is one: from bytes, onnxruntime holds Python's interpreter lock for as long
as it loads, and the window would stand still.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import DataError, FeatherweightError, ModelFileError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Array = np.ndarray[Any, np.dtype[Any]]
Feed = Mapping[str, Array]
"""Input name -> array, as one run of the model takes it."""

PROVIDERS = ("CPUExecutionProvider",)
QUIET = 4
"""onnxruntime's severity "fatal": everything below reaches the person as our own sentence instead."""
LONGEST_MESSAGE = 240


def spare_threads() -> int:
    """Threads for work whose time is not measured: all processors but one, which the window needs."""
    return max(1, (os.cpu_count() or 2) - 1)


def session(
    model: str | os.PathLike[str] | bytes, *, threads: int = 1, optimize: bool = True, keep_memory: bool = True
) -> InferenceSession:
    """A session of stock ONNX Runtime on the CPU.

    model        path of the file, or the serialized model
    threads      threads within an operator; 1 wherever time is measured, so that figures can be compared
    optimize     False leaves the graph as it is: quicker to load
    keep_memory  False gives memory back after each run, for sessions that are many and seldom run

    Raises ModelFileError with what onnxruntime found wrong.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(QUIET)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = QUIET
    # Idle threads would spin for some milliseconds after each run and take the processor from the other model and
    # from the window; with one thread nothing changes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = keep_memory
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    where = "model in memory" if isinstance(model, bytes) else str(model)
    if not isinstance(model, bytes) and not Path(model).is_file():
        raise ModelFileError("there is no such file", where=where, do="check the path")
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else os.fspath(model), options, providers=list(PROVIDERS)
        )
    except Exception as error:  # its exceptions have no common base below Exception
        raise _load_error(error, where) from error


def run(sess: InferenceSession, feed: Feed, outputs: Sequence[str] | None = None, *, where: str = "") -> list[Array]:
    """One run; returns the outputs in the order of `outputs` (all of the model's when None).

    Raises DataError when the feed does not fit the inputs, ModelFileError when the model itself fails.
    """
    try:
        return sess.run(None if outputs is None else list(outputs), dict(feed))
    except Exception as error:
        raise _run_error(error, where) from error


def output_names(sess: InferenceSession) -> tuple[str, ...]:
    """Names of the model's outputs, in order."""
    return tuple(output.name for output in sess.get_outputs())


def metadata(sess: InferenceSession) -> dict[str, str]:
    """The model file's own metadata, by key."""
    return dict(sess.get_modelmeta().custom_metadata_map)


def _load_error(error: Exception, where: str) -> ModelFileError:
    kind, message = type(error).__name__, short_message(error)
    if kind in ("InvalidProtobuf", "ModelRequiresCompilation"):
        return ModelFileError(
            "this is not a readable ONNX model", where=where, do="check that the file is complete and an ONNX file"
        )
    if kind == "NotImplemented":
        return ModelFileError(f"ONNX Runtime has no CPU implementation for it: {message}", where=where)
    return ModelFileError(f"ONNX Runtime cannot load the model: {message}", where=where)


def _run_error(error: Exception, where: str) -> FeatherweightError:
    message = short_message(error)
    if type(error).__name__ == "InvalidArgument" or isinstance(error, ValueError | TypeError):
        return DataError(f"the model does not take this data: {message}", where=where)
    return ModelFileError(f"ONNX Runtime cannot run the model on this data: {message}", where=where)


def short_message(error: Exception) -> str:
    """onnxruntime's message as a clause: without its codes, source lines, full stop and newlines."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"^Load model from \S+ failed:\s*", "", text)
    text = re.sub(r"(?:/[^\s:]+)+\.(?:cc|h):\d+\s+(?:(?:onnxruntime|onnx|std)::|const |virtual )[^\n]*?\)\s*", "", text)
    text = re.sub(r"\s+", " ", text).strip().rstrip(".")
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1].rstrip() + "…"
