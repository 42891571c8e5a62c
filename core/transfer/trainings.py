"""The trainings of a transfer: the new head alone, all layers, and what compressing left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.progress import Reporter
from core.training.exporting import export_trained, trained_model
from core.training.fit import fit
from core.training.loop import TrainingResult, train
from core.training.settings import LABELS, TrainingSettings
from core.training.student import Student
from core.transfer.features import as_samples
from core.transfer.heads import Dense, Head, head_names, new_head, write_head
from core.transfer.targets import Parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.exporting.report import ExportReport
    from core.model.model import Model
    from core.recipe import Recipe

Array = np.ndarray[Any, np.dtype[Any]]

HEAD_FASTER = 10.0
"""The head's learning rate over that of whole models: a linear layer on standardised features bears it."""
FEWEST_STEPS = 8
"""Steps that an epoch should have; small data sets get smaller batches."""
SMALLEST_BATCH = 8
HEAD, ALL, COMPRESSED = "New head", "All layers", "Compressed"
FRESH, FRESH_COMPRESSED = "From nothing", "From nothing, compressed"


@dataclass(frozen=True)
class Workplace:
    """Where a transfer's models and checkpoints lie while it works.

    folder       for models on the way
    checkpoints  of the run, or None
    watch        (reporter, title of a training) -> the reporter that it tells its epochs to
    """

    folder: Path
    checkpoints: Path | None
    resume: bool
    run: str
    watch: Callable[[Reporter, str], Reporter]

    def of(self, title: str) -> Path | None:
        """The folder for the checkpoints of one training."""
        if self.checkpoints is None:
            return None
        made = self.checkpoints / title.lower().replace(" ", "-").replace(",", "")
        made.mkdir(parents=True, exist_ok=True)
        return made


def for_so_many(settings: TrainingSettings, n: int) -> TrainingSettings:
    """The settings with a batch that leaves steps enough in an epoch of so few samples."""
    return replace(settings, batch=min(settings.batch, max(SMALLEST_BATCH, n // FEWEST_STEPS)))


def train_head(
    parts: Parts, features: tuple[Array, Array], outputs: int, hidden: int, epochs: int, settings: TrainingSettings,
    place: Workplace, reporter: Reporter,
) -> tuple[Head, TrainingResult]:  # fmt: skip
    """A head for features as they are, trained alone.

    features  of the training and of the validation samples, (n, features) float32 each; the head is trained on them
              standardised, so that all of them learn alike, and takes the scales in afterwards
    """
    mean, deviation = features[0].mean(0, dtype=np.float64), features[0].std(0, dtype=np.float64)
    deviation = np.where(deviation < 1e-6 * np.abs(mean), 0.0, deviation)
    scaled = [
        as_samples(_standardised(each, mean, deviation), samples)
        for each, samples in zip(features, (parts.train, parts.valid), strict=True)
    ]
    head = new_head(features[0].shape[1], outputs, hidden, settings.seed, _mean_answer(parts))
    model = write_head(head, features[0].shape[1], place.folder / "head.onnx")
    student = Student(model, dropout=settings.dropout)
    alone = replace(
        for_so_many(settings, parts.train.n), epochs=epochs, learning_rate=HEAD_FASTER * settings.learning_rate,
        loss=LABELS, augmentation="none", features=0.0, stages="together", sparsity="at once",
    )  # fmt: skip
    result = train(
        student, scaled[0], scaled[1], alone, folder=place.of(HEAD), resume=place.resume, title=HEAD, run=place.run,
        reporter=place.watch(reporter, HEAD),
    )  # fmt: skip
    tensors = student.trained().tensors
    layers = tuple(
        Dense(tensors[name], tensors.get(name.removesuffix("weight") + "bias", dense.bias))
        for name, dense in zip(head_names(head), head.layers, strict=True)
    )
    return Head(layers).behind(mean, deviation), result


def _mean_answer(parts: Parts) -> Array | None:
    """Of values that are to be met, their mean: the best answer as long as nothing is known; None for classes."""
    labels = parts.train.labels
    if labels is None or labels.dtype.kind != "f":
        return None
    return np.asarray(labels.reshape(len(labels), -1).mean(0))


def _standardised(features: Array, mean: Array, deviation: Array) -> Array:
    scale = np.where(deviation > 0, 1.0 / np.where(deviation > 0, deviation, 1.0), 0.0)
    return ((features - mean) * scale).astype(np.float32)


def train_all(
    model: Model, parts: Parts, keep: tuple[str, ...], settings: TrainingSettings, title: str, place: Workplace,
    reporter: Reporter,
) -> tuple[Model, TrainingResult]:  # fmt: skip
    """The model with all layers but `keep` trained on the labels, written beside the others and opened."""
    import onnx_ir as ir

    from core.model.readers import open_model
    from core.scratch import full_disk_told

    plain = replace(
        for_so_many(settings, parts.train.n), loss=LABELS, features=0.0, stages="together", sparsity="at once"
    )
    student = Student(model, keep=keep, dropout=settings.dropout)
    result = train(
        student, parts.train, parts.valid, plain, metadata=model.metadata, folder=place.of(title),
        resume=place.resume, title=title, run=place.run, reporter=place.watch(reporter, title),
    )  # fmt: skip
    target = place.folder / f"{title.lower().replace(' ', '-')}.onnx"
    with full_disk_told():
        ir.save(trained_model(model, student.trained()).graph(), target)
    return open_model(target), result


def train_compressed(
    model: Model, recipe: Recipe, parts: Parts, keep: tuple[str, ...], settings: TrainingSettings, title: str,
    target: Path, place: Workplace, reporter: Reporter,
) -> tuple[ExportReport, TrainingResult]:  # fmt: skip
    """The model compressed by a recipe, what is stored trained on labels and the uncompressed model, and exported."""
    fitted = fit(
        model, recipe, parts.train, parts.valid, for_so_many(settings, parts.train.n), keep=keep,
        folder=place.of(title), resume=place.resume, title=title, run=place.run,
        reporter=place.watch(reporter.part(0.0, 0.9), title),
    )  # fmt: skip
    report = export_trained(
        model, fitted.compression, fitted.student.trained(), target, parts.test, reporter.part(0.9, 1.0)
    )
    return report, fitted.result

