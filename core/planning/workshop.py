"""Whole plans carried out: each layer with each setting is compressed once and kept for the plans to come."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.analysis.sensitivity.cells import Setting
from core.analysis.sensitivity.working import as_done
from core.data.layer_inputs import Need
from core.methods.base import Context, Memo, Stage
from core.preparing import needs
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.analysis.calibration import Calibration
    from core.data.samples import Samples
    from core.encoding import Encoding
    from core.exporting.sizes import LayerSize, SizeModel
    from core.model.model import Model

MOST_BYTES = 2**30
"""What the kept encodings may take, counted as stored; the ones that were not used for longest go first."""
WORKERS = 2

_Key = tuple[str, Setting]


class Workshop:
    """Carries out plans of one model.

    model    after graph and channel steps
    samples  that settings may learn from; None: settings that need some leave their layers as they are
    """

    def __init__(self, model: Model, sizes: SizeModel, samples: Samples | None, seed: int = 0) -> None:
        self.model, self.sizes = model, sizes
        self._samples, self._seed = samples, seed
        self._calibration: Calibration | None = None
        self._kept: OrderedDict[_Key, Encoding] = OrderedDict()
        self._sizes: dict[_Key, LayerSize] = {}
        self._refused: dict[_Key, str] = {}

    def encodings(self, plan: Mapping[str, Setting], reporter: Reporter = SILENT) -> dict[str, Encoding]:
        """How the plan stores its layers; those that stay as they are, and those that refuse, are not among them.

        Raises Cancelled, and DataError or ModelFileError when the model does not run on the samples.
        """
        wanted = [(name, steps) for name, steps in plan.items() if steps]
        missing = [key for key in wanted if key not in self._kept and key not in self._refused]
        self._make(missing, reporter)
        for key in wanted:
            if key in self._kept:
                self._kept.move_to_end(key)
        found = {name: self._kept[name, steps] for name, steps in wanted if (name, steps) in self._kept}
        self._forget(len(found))
        return found

    def refused(self, name: str, steps: Setting) -> str:
        """Why the layer did not take the setting (one clause), or ""."""
        return self._refused.get((name, steps), "")

    def file_bytes(self, plan: Mapping[str, Setting]) -> int:
        """Bytes of the file that the plan gives; `encodings` was asked for all its settings before."""
        known = {name: self._sizes[name, steps] for name, steps in plan.items() if (name, steps) in self._sizes}
        return self.sizes.predict(known)

    def layer_bytes(self, name: str, steps: Setting) -> int:
        """Bytes of one layer in the file, constants that it shares with others included."""
        size = self._sizes.get((name, steps)) or self.sizes.emitted(name, self.model.encoding(name))
        return size.own.total + sum(constant[-1] for constant in size.shared)

    def _make(self, missing: list[_Key], reporter: Reporter) -> None:
        if not missing:
            return
        asked = {key: needs(key[1], Stage.WEIGHTS) for key in missing}
        if self._samples is not None and any(asked.values()):
            from core.analysis.calibration import Calibration

            if self._calibration is None:
                self._calibration = Calibration(self.model, self._samples, seed=self._seed)
            self._calibration.collect(self._wanted(asked), reporter.part(0, 0.4))
        rest = reporter.part(0.4, 1.0)
        order = sorted(missing, key=lambda key: -self.model.layer(key[0]).nbytes)
        for done, (position, found) in enumerate(as_done(self._one, order, reporter, workers=WORKERS), start=1):
            key = order[position]
            name = key[0]
            rest.report(done / len(order), f"Compressing {self.model.layer(name).title}")
            if isinstance(found, str):
                self._refused[key] = found
            else:
                self._kept[key] = found
                self._sizes[key] = self.sizes.emitted(name, found)

    def _wanted(self, asked: Mapping[_Key, frozenset[Need]]) -> dict[str, frozenset[Need]]:
        """What to measure of which layers. Ranges take one run over the samples for one layer as for all, so they are
        measured of all: plans to come want others."""
        wanted: dict[str, frozenset[Need]] = {}
        for (name, _), need in asked.items():
            wanted[name] = wanted.get(name, frozenset()) | need
        if any(Need.RANGES in need for need in wanted.values()):
            for layer in self.model.layers:
                if not layer.locked:
                    wanted[layer.name] = wanted.get(layer.name, frozenset()) | {Need.RANGES}
        return {name: need for name, need in wanted.items() if need}

    def _one(self, key: _Key, reporter: Reporter) -> Encoding | str:
        """One layer with one setting, or why it is left as it was: the rules of `pipeline.compress`."""
        from core.pipeline import apply_steps, too_large

        name, steps = key
        layer = self.model.layer(name)
        if layer.locked:
            return layer.locked
        inputs, why_not = None, ""
        if self._calibration is not None and needs(steps, Stage.WEIGHTS):
            inputs, why_not = self._calibration.layer(name), self._calibration.why_not(name)
        context = Context(layer, Memo(), self._seed, reporter, inputs, why_not, self.model.opset)
        encoding, reason = apply_steps(layer, self.model.encoding(name), steps, context)
        if encoding is None:
            return reason
        return too_large(encoding, layer, self.model.opset) or encoding

    def _forget(self, used: int) -> None:
        """Drop what was not used for longest, never what the last plan uses."""
        total = sum(encoding.nbytes for encoding in self._kept.values())
        while total > MOST_BYTES and len(self._kept) > used:
            _, encoding = self._kept.popitem(last=False)
            total -= encoding.nbytes
