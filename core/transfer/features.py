"""What the trunk makes of samples, worked out once: a new head is trained on that without running the trunk again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.analysis.runtime import run, session, spare_threads
from core.data.checks import array_column
from core.data.samples import Samples
from core.errors import DataError
from core.model.layer import Port
from core.model.model import Model
from core.progress import SILENT, Reporter
from core.transfer.cuts import CutPoint
from core.transfer.heads import FEATURES, write_transferred

Array = np.ndarray[Any, np.dtype[Any]]

BATCH = 64


class Trunk:
    """What is kept of a model, as a session that gives the features; its file lies in `folder`."""

    def __init__(self, model: Model, cut: CutPoint, folder: Path) -> None:
        self.cut = cut
        self._path = folder / "trunk.onnx"
        written = write_transferred(model, cut, None, self._path)
        self._output = written.outputs[0].name
        self._session = session(self._path, threads=spare_threads())

    def features(self, samples: Samples, reporter: Reporter = SILENT) -> Array:
        """(n, features) float32 of all samples.

        Raises DataError when the model does not take them or the features are not finite, and Cancelled.
        """
        size = BATCH if samples.batchable else 1
        feeds = samples.batches(size) if samples.batchable else samples.feeds()
        found = []
        for number, feed in enumerate(feeds):
            done = number * size
            reporter.report(done / samples.n, f"Features of sample {done + 1:,} of {samples.n:,}")
            found.append(run(self._session, feed, [self._output], where=self._path.name)[0])
        features = np.concatenate(found).astype(np.float32, copy=False)
        broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if broken.size:
            raise DataError(
                f"the model's features of {broken.size:,} of {samples.n:,} samples are not numbers, first of "
                f"{samples.name(int(broken[0]))}", where=samples.source, do="leave these samples out",
            )  # fmt: skip
        return features


def as_samples(features: Array, samples: Samples) -> Samples:
    """Features as samples of a head's model, with the labels of the samples that they are of."""
    port = Port(FEATURES, "float32", ("n", int(features.shape[1])))
    column = array_column(port, features, where=samples.source)
    return replace(samples, inputs=(port,), columns=(column,), order=np.arange(len(features)))
