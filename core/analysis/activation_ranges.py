"""The distribution of what goes into each activation of a model and of what comes out, over samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.analysis.calibration import FEW, Calibration
from core.analysis.exposing import inner_values
from core.data.layer_inputs import ValueRange
from core.data.samples import Samples
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.model.model import Model


def activation_ranges(
    model: Model, samples: Samples, reporter: Reporter = SILENT, *, limit: int = FEW, threads: int | None = None
) -> dict[str, tuple[ValueRange, ValueRange]]:
    """(of the input, of the result) by `Activation.key`; plain values that pickle. May run in any thread.

    Activations in branches that do not run on the samples, and those that get no finite number, are left out. The
    share of zeros of a ReLU is the result's `share_of_zeros`. Raises DataError or ModelFileError when the model does
    not run on the samples, and Cancelled.
    """
    from core.model.activations import matches

    graph = model.graph()
    keys = {inner.value: key for key, inner in inner_values(graph).items()}
    keys.update((value, value.name or "") for value in graph.graph.inputs)
    sides = {
        match.key: (keys[match.input], keys[match.output])
        for match in matches(graph)
        if match.input in keys and match.output in keys
    }
    wanted = dict.fromkeys(key for pair in sides.values() for key in pair)
    found = Calibration(model, samples, limit=limit, threads=threads).ranges(wanted, reporter)
    return {key: (found[a], found[b]) for key, (a, b) in sides.items() if a in found and b in found}
