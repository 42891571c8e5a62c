"""Seeing inside a model: a session whose inner values are outputs as well."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.runtime import Feed, run, session, spare_threads

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnxruntime import InferenceSession

Array = np.ndarray[Any, np.dtype[Any]]

DATA_FILE = "model.data"


class Exposed:
    """A session of `graph` that also gives the values named in `values`; a context manager.

    graph   a fresh graph of its own (`Model.graph()`); its list of outputs is changed
    values  names of values that nodes of the main graph produce
    where   the model's name, for errors

    The changed model lies in a temporary folder, as a session from memory would hold the interpreter's lock; its
    tensors go to a second file, so that the size of the model does not matter.
    """

    def __init__(self, graph: ir.Model, values: Sequence[str], *, where: str, threads: int | None = None) -> None:
        self._graph, self._values, self._where = graph, tuple(values), where
        self._threads = threads or spare_threads()
        self._session: InferenceSession | None = None

    def __enter__(self) -> Exposed:
        import onnx_ir as ir

        made = main_values(self._graph)
        outputs = self._graph.graph.outputs
        listed = set(outputs)
        outputs.extend(made[name] for name in self._values if made[name] not in listed)
        self._folder = tempfile.TemporaryDirectory(prefix="featherweight-", ignore_cleanup_errors=True)
        path = Path(self._folder.name) / "model.onnx"
        try:
            ir.save(self._graph, path, external_data=DATA_FILE)
            self._session = session(path, threads=self._threads)
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None  # before the folder goes: the data file is mapped by the session
        self._folder.cleanup()

    def run(self, feed: Feed, values: Iterable[str] | None = None) -> dict[str, Array]:
        """The exposed values (those named in `values`, all when None) for one sample."""
        if self._session is None:
            raise RuntimeError("Exposed is used outside its with block")
        names = list(self._values if values is None else values)
        return dict(zip(names, run(self._session, feed, names, where=self._where), strict=True)) if names else {}


def main_values(graph: ir.Model) -> dict[str, ir.Value]:
    """Values that the nodes of the main graph produce, by name."""
    return {value.name: value for node in graph.graph for value in node.outputs if value.name}
