"""What the window's worker process and threads run for sensitivity: the core's jobs, answers packed into arrays.

Imports no Qt: the worker process has none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.progress import Progress, Reporter
from gui.sensitivity.figures import Figures, Made, pack

if TYPE_CHECKING:
    from core.analysis.sensitivity.cells import LayerCells, Sensitivity, Setting
    from core.data.options import DataOptions
    from core.model.model import Model
    from core.sensitivity_job import SensitivitySpec

INTERVAL = 0.1
"""Seconds between two parts: a table that fills ten times a second looks alive, and each part costs a repaint."""
_PER_PART = 400
"""Layers in a part, at most: taking one is then a matter of milliseconds."""


def measure(spec: SensitivitySpec, reporter: Reporter) -> tuple[Made, tuple[Figures, ...]]:
    """`core.sensitivity_job.measure_sensitivity` with `spec.settings` given; parts of the progress are `Figures`.

    Raises as that does. The figures returned are the whole table, a part after the other.
    """
    from core.sensitivity_job import measure_sensitivity

    gathered = _Gathered(reporter, spec.settings)
    found = measure_sensitivity(spec, Reporter(gathered.hear, _Asking(reporter)))
    return _packed(found, spec.settings)


def kept(
    model: Model, settings: Sequence[Setting], data: tuple[Path, DataOptions] | None, cache: Path | None,
    reporter: Reporter,
) -> tuple[Made, tuple[Figures, ...]] | None:
    """The best table that was made before: of these samples, else without any; without `data`, of any samples."""
    from core.analysis.sensitivity.cache import data_mark, find

    mark = data_mark(str(data[0]), data[1]) if data is not None else ""
    found = find(model, settings, data=mark, folder=cache)
    reporter.check()
    return None if found is None else _packed(found, settings)


def _packed(found: Sensitivity, settings: Sequence[Setting]) -> tuple[Made, tuple[Figures, ...]]:
    from core.analysis.sensitivity.cells import LayerCells, Skip

    skipped: dict[str, list[Skip]] = {}
    for skip in found.skipped:
        skipped.setdefault(skip.layer, []).append(skip)
    cells = found.by_layer
    names = list(dict.fromkeys((*cells, *skipped)))
    layers = [LayerCells(name, cells.get(name, ()), tuple(skipped.get(name, ())), found.measure) for name in names]
    parts = tuple(pack(layers[at : at + _PER_PART], settings) for at in range(0, len(layers), _PER_PART))
    return Made(found.model_sha256, found.measure, found.samples, found.seconds, found.notes), parts


class _Asking:
    """The cancel source of another reporter."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def is_set(self) -> bool:
        return self._reporter.cancelled


class _Gathered:
    """Collects the layers that are told, so that thousands of them do not mean thousands of messages."""

    def __init__(self, reporter: Reporter, settings: Sequence[Setting]) -> None:
        self._reporter, self._settings = reporter, tuple(settings)
        self._layers: dict[str, LayerCells] = {}
        self._sent = time.monotonic()
        self._lock = threading.Lock()

    def hear(self, progress: Progress) -> None:
        """May be called from several threads."""
        part = None
        with self._lock:
            if progress.part is not None:
                self._layers[progress.part.layer] = progress.part
            if self._layers and (time.monotonic() - self._sent >= INTERVAL or len(self._layers) >= _PER_PART):
                part = pack(list(self._layers.values()), self._settings)
                self._layers.clear()
                self._sent = time.monotonic()
        self._reporter.report(progress.done, progress.text, part)
