"""One way in for sample data: `load_samples` looks at what the path is and checks everything against the inputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from core.data.arrays import ArrayFile, read_npy
from core.data.checks import array_column, check_labels
from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.data.samples import ONE_SAMPLE, Samples
from core.errors import DataError
from core.model.layer import Port
from core.progress import SILENT, Reporter

Array = np.ndarray[Any, np.dtype[Any]]

LABELS = "labels"
FORMS = "give an .npz with one array per input, an .npy for a model with one input, or a folder of images"


def load_samples(
    path: str | os.PathLike[str],
    inputs: tuple[Port, ...],
    *,
    options: DataOptions = DEFAULT_OPTIONS,
    reporter: Reporter = SILENT,
) -> Samples:
    """Samples for a model with these inputs.

    path     .npz (arrays named after the inputs, optional `labels`), .npy (one input), or a folder of images (class
             sub-folders, if any, are the labels)
    options  how pictures are read, and the metric; the samples carry them

    The first axis of every array is the sample. Raises DataError with what is wanted and what is given.
    """
    path = Path(path)
    if not inputs:
        raise DataError("the model has no inputs, so it takes no data", where=str(path))
    if path.is_dir():
        from core.data.images import load_images

        return load_images(path, inputs, options, reporter)
    if not path.exists():
        raise DataError("there is no such file or folder", where=str(path), do="check the path")
    if not path.is_file():  # opening a pipe would wait for ever
        raise DataError("this is neither a file nor a folder", where=str(path), do=FORMS)
    if path.suffix.lower() == ".npz":
        return _from_npz(path, inputs, options, reporter)
    if path.suffix.lower() == ".npy":
        return _from_npy(path, inputs, options)
    raise DataError("this is no kind of data that can be read", where=str(path), do=FORMS)


def _from_npz(path: Path, inputs: tuple[Port, ...], options: DataOptions, reporter: Reporter) -> Samples:
    file = ArrayFile(path)
    wanted = tuple(port.name for port in inputs)
    missing = [name for name in wanted if name not in file.names]
    if missing:
        raise DataError(
            f"there is no array for {_listed(missing)}: the file has {_listed(file.names) or 'no arrays'} "
            f"and the model's inputs are {_listed(wanted)}",
            where=str(path),
            do="name the arrays after the model's inputs",
        )
    labelled = LABELS in file.names and LABELS not in wanted
    arrays = file.read((*wanted, LABELS) if labelled else wanted, reporter)
    rest = [name for name in file.names if name not in arrays]
    notes = (f"Not used: {_listed(rest)}, as the model has no such input.",) if rest else ()
    return _samples(path, inputs, arrays, arrays[LABELS] if labelled else None, options, notes)


def _from_npy(path: Path, inputs: tuple[Port, ...], options: DataOptions) -> Samples:
    if len(inputs) != 1:
        raise DataError(
            f"an .npy holds one array and the model has {len(inputs)} inputs: {_listed(p.name for p in inputs)}",
            where=str(path),
            do="give an .npz with one array per input",
        )
    return _samples(path, inputs, {inputs[0].name: read_npy(path)}, None, options)


def _samples(
    path: Path, inputs: tuple[Port, ...], arrays: dict[str, Array], labels: Array | None, options: DataOptions,
    notes: tuple[str, ...] = (),
) -> Samples:
    where = str(path)
    columns = tuple(array_column(port, arrays[port.name], where=where) for port in inputs)
    counts = {port.name: len(column) for port, column in zip(inputs, columns, strict=True)}
    n = min(counts.values())
    if max(counts.values()) != n:
        listed = ", ".join(f"{name!r} {count}" for name, count in counts.items())
        raise DataError(f"the arrays have different numbers of samples: {listed}", where=where, do="make them equal")
    if n == 0:
        raise DataError("there are no samples in it", where=where, do="give at least one sample")
    if n == 1:
        notes = (*notes, ONE_SAMPLE)
    checked = None if labels is None else check_labels(labels, n, where=where)
    return Samples(inputs, columns, where, np.arange(n), checked, notes=notes, options=options)


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names)
