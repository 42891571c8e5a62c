"""Tier 0: every layer with every setting, its bytes in the file and the error of its weight. Needs no data."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.analysis.sensitivity.cells import Cell, Setting, Skip, Tier
from core.analysis.sensitivity.working import as_done
from core.encoding.base import Encoding
from core.encoding.factored import Factored
from core.encoding.low_rank import LowRank
from core.errors import Cancelled, FeatherweightError
from core.methods.base import Context, Memo
from core.model.layer import Kind, Layer
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.data.layer_inputs import LayerInputs
    from core.exporting.sizes import LayerSize, SizeModel
    from core.model.model import Model

WORKERS = 2
InputsOf = Callable[[str, Setting], "tuple[LayerInputs | None, str]"]
"""What is known of a layer's inputs for steps that work from samples, and why nothing is, or ""."""


@dataclass(frozen=True)
class Trial:
    """One setting of one layer, carried out.

    encoding  how the layer is then stored
    cell      of tier 0
    """

    encoding: Encoding = field(repr=False)
    cell: Cell


@dataclass(frozen=True)
class LayerTrials:
    """All settings of one layer: those that could be done, and those that could not.

    nbytes  of the layer in the file as it is; 0 when it is locked or cannot be read
    """

    layer: Layer
    trials: tuple[Trial, ...]
    skipped: tuple[Skip, ...]
    nbytes: int = 0

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(trial.cell for trial in self.trials)


class Trials:
    """Carries out settings on a model's layers.

    inputs_of  statistics of what reaches the layers, for settings that work from samples; None when there are none
    counts     multiply-adds of one run of each layer as it is, where they are known
    """

    def __init__(
        self,
        model: Model,
        sizes: SizeModel,
        settings: Sequence[Setting],
        inputs_of: InputsOf | None = None,
        counts: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        self._model, self._sizes, self._settings, self._seed = model, sizes, tuple(settings), seed
        self._inputs_of: InputsOf = inputs_of or (lambda name, steps: (None, ""))
        self._counts = counts or {}

    def of(self, layer: Layer, reporter: Reporter = SILENT, only: Collection[Setting] | None = None) -> LayerTrials:
        """All settings of one layer, or those of `only`. Raises Cancelled, and nothing else that is about the layer."""
        if layer.locked:
            return LayerTrials(layer, (), (Skip(layer.name, (), layer.locked),))
        try:
            original = self._model.encoding(layer.name)
            now = in_file(self._sizes.emitted(layer.name, original))
        except Cancelled:
            raise
        except FeatherweightError as error:  # the weight cannot be read, for example: the other layers go on
            return LayerTrials(layer, (), (Skip(layer.name, (), str(error).removesuffix(".")),))
        memo = Memo()
        trials: list[Trial] = []
        skipped: list[Skip] = []
        for steps in self._settings:
            if only is not None and steps not in only:
                continue
            found = self._one(layer, steps, original, now, memo, reporter)
            if isinstance(found, Trial):
                trials.append(found)
            else:
                skipped.append(Skip(layer.name, steps, found))
        return LayerTrials(layer, tuple(trials), tuple(skipped), now)

    def all(
        self, reporter: Reporter = SILENT, layers: Sequence[Layer] | None = None
    ) -> Iterator[tuple[Layer, LayerTrials]]:
        """Every layer's trials as they are done, large layers first; encodings are not kept here."""
        chosen = sorted(self._model.layers if layers is None else layers, key=lambda layer: -layer.nbytes)
        total = sum(max(1, layer.nbytes) for layer in chosen)
        done = 0
        for position, trials in as_done(self.of, chosen, reporter, workers=WORKERS):
            layer = chosen[position]
            done += max(1, layer.nbytes)
            reporter.report(done / total, f"weights of {layer.title}")
            yield layer, trials

    def _one(
        self, layer: Layer, steps: Setting, original: Encoding, now: int, memo: Memo, reporter: Reporter
    ) -> Trial | str:
        """The setting carried out, or why it cannot be (one clause)."""
        from core.pipeline import apply_steps

        inputs, why_not = self._inputs_of(layer.name, steps)
        context = Context(layer, memo, self._seed, reporter, inputs, why_not, self._model.opset)
        encoding, reason = apply_steps(layer, original, steps, context)
        if encoding is None:
            return reason
        nbytes = in_file(self._sizes.emitted(layer.name, encoding))
        if nbytes >= now:
            return f"would take {nbytes:,} B instead of {now:,} B"
        error = _relative_error(original, encoding)
        if not math.isfinite(error):
            return "its compressed weights would not be finite"
        count = _multiply_adds(self._counts.get(layer.name), layer, encoding)
        return Trial(encoding, Cell(layer.name, steps, nbytes, error, int(Tier.FREE), count))


def in_file(size: LayerSize) -> int:
    """Bytes of a layer in a file in which no other layer is stored alike."""
    return size.own.total + sum(constant[-1] for constant in size.shared)


def _relative_error(original: Encoding, changed: Encoding) -> float:
    from core.kernels.compare import squares

    signal, noise = squares(original.decode(), changed.decode())
    if noise == 0.0:
        return 0.0
    return noise / signal if signal > 0.0 else math.inf


def _multiply_adds(count: int | None, layer: Layer, encoding: Encoding) -> int | None:
    """What `count` becomes. Only factors change it; those of a chain of convolutions depend on their strides."""
    if count is None or not isinstance(encoding, Factored):
        return count
    if not isinstance(encoding, LowRank) or layer.kind is Kind.RECURRENT:  # its factors are multiplied on loading
        return count if layer.kind is Kind.RECURRENT else None
    return round(count * sum(math.prod(factor.shape) for factor in encoding.children) / layer.n_weights)
