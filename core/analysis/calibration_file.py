"""What calibration measured, and its file: an .npz of numbers only, handed from process to process.

All float32 arrays lie one behind the other in one array, so that reading maps one file once and nothing is copied
until it is used.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from core.analysis.channel_outputs import ChannelStatistics
from core.analysis.row_sums import RowStatistics
from core.data.arrays import ArrayFile
from core.data.layer_inputs import ValueRange
from core.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]

FORMAT = 2


@dataclass
class Measured:
    """Everything that is known, by layer unless said otherwise.

    samples   on how many samples it was measured
    rows      statistics of input vectors by the id of their reading
    readings  ids of the readings that together are a layer's input
    outputs   channels of the output
    ranges    by key of the value (`exposing.inner_values`)
    sides     keys of the layer's input and output
    """

    samples: int = 0
    rows: dict[str, RowStatistics] = field(default_factory=dict)
    readings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    outputs: dict[str, ChannelStatistics] = field(default_factory=dict)
    ranges: dict[str, ValueRange] = field(default_factory=dict)
    sides: dict[str, tuple[str, str]] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)
    why_no_gradients: dict[str, str] = field(default_factory=dict)
    why_no_moments: dict[str, str] = field(default_factory=dict)
    why_no_outputs: dict[str, str] = field(default_factory=dict)
    why_no_ranges: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


class _Writer:
    """Gives arrays their places in the file's data."""

    def __init__(self) -> None:
        self.arrays: list[Array] = []
        self.size = 0

    def place(self, array: Array | None) -> dict[str, Any] | None:
        if array is None:
            return None
        self.arrays.append(array)
        found = {"at": self.size, "shape": list(array.shape)}
        self.size += array.size
        return found


_WORDS = ("why_no_gradients", "why_no_moments", "why_no_outputs", "why_no_ranges", "reasons", "notes")


def write_measured(path: Path, measured: Measured, about: dict[str, Any]) -> None:
    """Write the file. about: what it was measured on, to be compared on reading."""
    out = _Writer()
    index = {
        "format": FORMAT,
        "about": about,
        "samples": measured.samples,
        "rows": {
            name: [rows.rows, rows.left_out, *map(out.place, (rows.mean, rows.square, rows.moments))]
            for name, rows in measured.rows.items()
        },
        "readings": measured.readings,
        "outputs": {
            name: [channels.positions, *map(out.place, (channels.mean, channels.square, channels.active))]
            for name, channels in measured.outputs.items()
        },
        "ranges": [[key, r.minimum, r.maximum, r.zeros, r.n] for key, r in measured.ranges.items()],
        "sides": measured.sides,
        "gradients": {name: out.place(array) for name, array in measured.gradients.items()},
        **{word: getattr(measured, word) for word in _WORDS},
    }
    text = np.frombuffer(json.dumps(index).encode(), np.uint8)
    counts = [r.counts for r in measured.ranges.values()]
    with zipfile.ZipFile(path, "w") as archive:
        _write(archive, "index", text.dtype, (text.size,), iter([text]))
        _write(archive, "counts", np.dtype(np.int64), (len(counts), counts[0].size if counts else 0), iter(counts))
        _write(archive, "data", np.dtype(np.float32), (out.size,), iter(out.arrays))


def _write(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], parts: Iterator[Array]
) -> None:
    """One array, given in parts, as an uncompressed member."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        npy.write_array_header_1_0(stream, {"descr": dtype.str, "fortran_order": False, "shape": shape})
        for part in parts:
            stream.write(np.ascontiguousarray(part, dtype).reshape(-1).view(np.uint8).data)


def read_measured(path: Path) -> tuple[Measured, dict[str, Any]]:
    """(what the file holds, what it was measured on); arrays are views of the mapped file, which must stay in place.

    Raises DataError when it is no such file or damaged.
    """
    found = ArrayFile(path).read(("index", "counts", "data")) if _has_all(path) else None
    if found is None:
        raise DataError("this is no calibration file", where=str(path), do="calibrate again")
    try:
        index = json.loads(found["index"].tobytes())
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']}")
        return _measured(index, found["data"], found["counts"]), index["about"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError(f"the calibration file is damaged ({error})", where=str(path), do="calibrate again") from error


def _has_all(path: Path) -> bool:
    return {"index", "counts", "data"} <= set(ArrayFile(path).names)


def _measured(index: dict[str, Any], data: Array, counts: Array) -> Measured:
    def array(place: dict[str, Any] | None) -> Any:
        if place is None:
            return None
        size = int(np.prod(place["shape"], dtype=np.int64))
        part = np.asarray(data)[place["at"] : place["at"] + size]
        return part.reshape(place["shape"])

    return Measured(
        samples=index["samples"],
        rows={name: RowStatistics(rows, out, *map(array, rest)) for name, (rows, out, *rest) in index["rows"].items()},
        readings={name: tuple(ids) for name, ids in index["readings"].items()},
        outputs={name: ChannelStatistics(n, *map(array, rest)) for name, (n, *rest) in index["outputs"].items()},
        ranges={
            key: ValueRange(low, high, counts[i], zeros, n)
            for i, (key, low, high, zeros, n) in enumerate(index["ranges"])
        },
        sides={name: (first, second) for name, (first, second) in index["sides"].items()},
        gradients={name: array(place) for name, place in index["gradients"].items()},
        **{word: dict(index[word]) for word in _WORDS},
    )
