"""Rows that are kept, so that a second comparison of the same model on the same data is quick.

One JSON file a question (model, data, way of measuring) with its rows by recipe. A damaged file is as good as none, and
a disk that is full or read-only costs only the time to measure again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.analysis.sensitivity.cache import ask
from core.errors import DataError, TargetError
from core.kernels import user_cache
from core.method_comparison.rows import Row, Status, row_data, row_from

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model

VERSION = 2
"""To be raised when rows come out otherwise for the same question: methods, emitters or measures changed."""
MAX_FILES = 100
"""Comparisons that are kept; the oldest go first."""


class RowCache:
    """The rows of one question.

    samples, calibration   that are measured on and learnt from
    asked   what else the figures depend on, plain values
    """

    def __init__(
        self, model: Model, samples: Samples | None, calibration: Samples | None, asked: Any, folder: Path | None = None
    ) -> None:
        import onnxruntime

        parts = [
            ask(model, part, (), tier=0, everything=False, told="methods").exact for part in (samples, calibration)
        ]
        text = json.dumps([VERSION, onnxruntime.__version__, parts, asked], sort_keys=True)
        self._key = hashlib.sha256(text.encode()).hexdigest()
        self._folder = folder or user_cache() / "featherweight" / "methods"
        self._path = self._folder / f"{self._key}.json"
        self._rows = self._load()
        self.trouble = ""
        """Why rows could not be kept (a sentence), or ""."""

    def get(self, key: str) -> Row | None:
        """The row kept under a recipe's key, marked as kept."""
        found = self._rows.get(key)
        return None if found is None else replace(found, kept=True)

    def put(self, row: Row) -> None:
        """Keep a row that came from measuring; failures are tried again the next time."""
        if row.status not in (Status.MEASURED, Status.NOT_APPLICABLE) or row.kept:
            return
        from core.exporting.staging import write_atomic

        self._rows[row.key] = row
        data = {"version": VERSION, "key": self._key, "rows": [row_data(each) for each in self._rows.values()]}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not self._path.exists():
                self._make_room()
            write_atomic(self._path, json.dumps(data).encode())
        except (OSError, TargetError) as error:
            reason = error.what if isinstance(error, TargetError) else error.strerror or str(error)
            self.trouble = f"The results could not be kept for the next time ({reason}, {self._folder})."

    def _load(self) -> dict[str, Row]:
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            if data["version"] != VERSION or data["key"] != self._key:
                return {}
            return {row.key: row for row in map(row_from, data["rows"])}
        except (OSError, ValueError, KeyError, TypeError, RecursionError, DataError):
            return {}  # as good as none: it is measured again, and written over

    def _make_room(self) -> None:
        kept = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for path in kept[: max(0, len(kept) - MAX_FILES + 1)]:
            path.unlink(missing_ok=True)
