"""Training members for an ensemble, and one student from it.

Each member is a compressed and trained copy of one model, written as a file of its own through the same gate as every
export. Files that an interrupted run left are taken as they are: what decides the next member (the samples' weights in
boosting) is worked out again from them, so that a resumed run gives what an uninterrupted one does.

Sources: Breiman, Bagging predictors, 1996; Zhu, Zou, Rosset and Hastie, Multi-class AdaBoost (SAMME), 2009; Hinton,
Vinyals and Dean, Distilling the knowledge in a neural network, 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from core.analysis.runtime import run, session, spare_threads
from core.data.samples import Samples
from core.ensembles.soups import plain_graph
from core.errors import DataError
from core.exporting.staging import staged
from core.model.graph import stored_tensors
from core.model.model import Model
from core.model.readers import open_model
from core.progress import SILENT, Reporter
from core.recipe import Recipe
from core.training.exporting import export_trained
from core.training.fit import fit
from core.training.settings import AUTO, LABELS, TrainingSettings
from core.training.teacher import MeanTeacher, ModelTeacher, Teacher

Array = np.ndarray[Any, np.dtype[Any]]
Watch = Callable[[Reporter, str], Reporter]
"""(reporter, name of a training) -> the reporter that this training tells its epochs to."""

TRAINED, ANEW = "trained", "anew"
"""Where members begin: with the model's weights, or with weights of their own, trained before they are compressed."""


@dataclass(frozen=True)
class Workshop:
    """Everything that the members of one ensemble have in common.

    model     whose compressed copies the members are
    samples   learned from; `held_out` chooses each training's best state
    folder    for the members' files and their checkpoints; what is there already is not trained again
    start     TRAINED or ANEW
    run       id of the run, for the events
    """

    model: Model
    recipe: Recipe
    samples: Samples
    held_out: Samples | None
    settings: TrainingSettings
    folder: Path
    start: str = TRAINED
    run: str = ""
    watch: Watch = field(default=lambda reporter, series: reporter)

    def train(
        self, name: str, title: str, seed: int, samples: Samples, *, weights: Array | None = None,
        teacher: Teacher | None = None, settings: TrainingSettings | None = None, start: str = TRAINED,
        reporter: Reporter = SILENT,
    ) -> Path:  # fmt: skip
        """Compress and train one copy, unless its file is there; returns the file.

        name   of the file and of its checkpoints ("member-2")
        title  for a person ("member 2 of 5")
        """
        target = self.folder / f"{name}.onnx"
        if target.exists():
            reporter.report(1.0, f"{title} is there")
            return target
        told = self.watch(reporter, title)
        chosen = replace(settings or self.settings, seed=seed)
        model = self.model
        if start == ANEW:
            model = self._afresh(name, title, chosen, samples, weights, told.part(0.0, 0.5))
            told = told.part(0.5, 1.0)
        self._fit(model, self.recipe, target, title, chosen, samples, weights, teacher, told)
        return target

    def _afresh(
        self, name: str, title: str, settings: TrainingSettings, samples: Samples, weights: Array | None,
        reporter: Reporter,
    ) -> Model:  # fmt: skip
        """The model trained from new weights, uncompressed."""
        begun, grown = (self.folder / f"{name}-{what}.onnx" for what in ("begun", "grown"))
        if not grown.exists():
            write_begun(self.model, settings.seed, begun)
            plain = replace(settings, loss=LABELS) if samples.labels is not None else settings
            teacher = None if samples.labels is not None else ModelTeacher(self.model)
            title = f"{title}, before compression"
            self._fit(open_model(begun), Recipe(), grown, title, plain, samples, weights, teacher, reporter)
        return open_model(grown)

    def _fit(
        self, model: Model, recipe: Recipe, target: Path, title: str, settings: TrainingSettings, samples: Samples,
        weights: Array | None, teacher: Teacher | None, reporter: Reporter,
    ) -> None:  # fmt: skip
        checkpoints = self.folder / target.stem
        checkpoints.mkdir(exist_ok=True)
        fitted = fit(
            model, recipe, samples, self.held_out, settings, teacher=teacher, sample_weights=weights,
            folder=checkpoints, resume=True, title=f"{self.model.name}, {title}", run=self.run,
            reporter=reporter.part(0.0, 0.95),
        )  # fmt: skip
        trained = fitted.student.trained()
        export_trained(model, fitted.compression, trained, target, self.held_out, reporter.part(0.95, 1.0))


def bag(workshop: Workshop, count: int, reporter: Reporter = SILENT) -> tuple[Path, ...]:
    """Members that each learned from a bootstrap: as many samples as there are, drawn with repetition."""
    files = []
    for number in range(count):
        drawn = bootstrap(workshop.samples, workshop.settings.seed, number)
        part = reporter.part(number / count, (number + 1) / count)
        files.append(
            workshop.train(
                f"member-{number + 1}", f"member {number + 1} of {count}", workshop.settings.seed + number, drawn,
                start=workshop.start, reporter=part,
            )
        )  # fmt: skip
    return tuple(files)


def bootstrap(samples: Samples, seed: int, number: int) -> Samples:
    """The samples of one member; the same seed and number give the same. Every class that there is stays in it.

    Repeated samples keep their neighbours: the draw is in order.
    """
    rng = np.random.default_rng([seed, number, 0xBA6])
    drawn = rng.integers(samples.n, size=samples.n)
    labels = samples.class_labels
    if labels is not None:  # a rare class that was not drawn takes the places of repeated samples
        for label in np.setdiff1d(labels, labels[drawn]):
            _, first = np.unique(drawn, return_index=True)
            repeated = np.setdiff1d(np.arange(len(drawn)), first)
            if len(repeated):
                drawn[repeated[0]] = rng.choice(np.flatnonzero(labels == label))
    return samples.picked(np.sort(drawn).tolist())


@dataclass(frozen=True)
class Boosted:
    """Members of a boosted ensemble and what each one's vote counts; `notes` say why there are fewer than asked for."""

    files: tuple[Path, ...]
    weights: tuple[float, ...]
    errors: tuple[float, ...]
    notes: tuple[str, ...] = ()


def boost(workshop: Workshop, count: int, reporter: Reporter = SILENT) -> Boosted:
    """Members one after another, each with more weight on what those before answered wrong (SAMME).

    Needs class labels. Ends early when a member answers all training samples right, or is no better than guessing.
    """
    samples = workshop.samples
    labels = samples.class_labels
    if labels is None:
        raise DataError("boosting weighs samples by wrong answers, and they have no class labels",
                        where=samples.source, do="give data with labels, or use the mode bag")  # fmt: skip
    importance = np.full(samples.n, 1.0 / samples.n)
    files: list[Path] = []
    weights: list[float] = []
    errors: list[float] = []
    for number in range(count):
        part = reporter.part(number / count, (number + 1) / count)
        file = workshop.train(
            f"member-{number + 1}", f"member {number + 1} of {count}", workshop.settings.seed + number, samples,
            weights=importance * samples.n, start=workshop.start, reporter=part.part(0.0, 0.95),
        )  # fmt: skip
        wrong, classes = wrong_answers(file, samples, labels, part.part(0.95, 1.0))
        error = float(importance[wrong].sum())
        if error >= 1.0 - 1.0 / classes:
            note = f"Member {number + 1} was no better than guessing on the weighted samples and was left out."
            if not files:
                raise DataError("the first member is no better than guessing", where=samples.source,
                                do="use a milder recipe or more epochs")  # fmt: skip
            return Boosted(tuple(files), tuple(weights), tuple(errors), (note,))
        files.append(file)
        errors.append(error)
        weights.append(vote(error, classes, samples.n))
        if not wrong.any():
            note = (f"Member {number + 1} answers every training sample right, so that boosting has nothing more to "
                    f"weigh: {number + 1} of {count} members were trained.")  # fmt: skip
            return Boosted(tuple(files), tuple(weights), tuple(errors), (note,) if number + 1 < count else ())
        importance = reweighted(importance, wrong, weights[-1])
    return Boosted(tuple(files), tuple(weights), tuple(errors))


def vote(error: float, classes: int, samples: int) -> float:
    """What a member's vote counts by its weighted error: log((1 - e) / e) + log(classes - 1), e at least half a sample.

    Zhu et al., 2009, algorithm 2.
    """
    error = max(error, 0.5 / samples)
    return math.log((1.0 - error) / error) + math.log(max(classes - 1, 1))


def reweighted(importance: Array, wrong: Array, weight: float) -> Array:
    """The samples' importance after a member: more on what it answered wrong; sum 1."""
    changed = importance * np.exp(weight * wrong)
    result: Array = changed / changed.sum()
    return result


def wrong_answers(
    path: Path, samples: Samples, labels: Array, reporter: Reporter = SILENT
) -> tuple[Array, int]:
    """Which samples a model answers wrong, (n,) bool, and among how many classes it chooses."""
    made = session(path, threads=spare_threads())
    wrong = np.zeros(samples.n, bool)
    classes = 2
    for index, feed in enumerate(samples.feeds()):
        reporter.report(index / samples.n, "Weighing the samples")
        answers = run(made, feed, where=str(path))
        scores = next((answer for answer in answers if answer.dtype.kind == "f"), answers[0]).reshape(-1)
        classes = max(2, scores.size)
        wrong[index] = int(np.nan_to_num(scores, nan=-np.inf).argmax()) != int(labels[index])
    return wrong, classes


def teach(
    workshop: Workshop, members: Sequence[Path], weights: Sequence[float] | None, reporter: Reporter = SILENT
) -> Path:
    """One compressed student that learns the mean of the members' answers, and the labels where there are any."""
    teachers: list[Teacher] = []
    for number, member in enumerate(members, 1):
        plain = workshop.folder / f"teacher-{number}.onnx"
        if not plain.exists():
            write_graph_file(plain_graph(open_model(member))[0], plain)
        teachers.append(ModelTeacher(open_model(plain)))
    settings = workshop.settings
    if settings.loss == LABELS:
        settings = replace(settings, loss=AUTO)
    return workshop.train(
        "student", f"student of {len(members)} members", settings.seed, workshop.samples, settings=settings,
        teacher=MeanTeacher(teachers, weights), reporter=reporter,
    )  # fmt: skip


def write_begun(model: Model, seed: int, target: Path) -> None:
    """The model with new weights: He's normal distribution for layers that multiply, the rest as it is.

    Source: He et al., Delving deep into rectifiers, 2015.
    """
    graph = model.graph()
    stored = stored_tensors(graph)
    rng = np.random.default_rng([seed, 0xF12E5])
    for layer in model.layers:
        known = stored.get(layer.name)
        if known is None or known.tensor is None or layer.output_axis is None or layer.locked or len(layer.shape) < 2:
            continue
        if layer.dtype != "float32" or known.node is not None:
            continue
        inputs = layer.n_weights // layer.shape[layer.output_axis]
        values = rng.normal(0.0, math.sqrt(2.0 / inputs), layer.shape).astype(np.float32)
        known.value.const_value = ir.Tensor(values, name=known.value.name)
    write_graph_file(graph, target)


def write_graph_file(graph: ir.Model, target: Path) -> None:
    """Write a graph to a file of our own, whole or not at all."""
    ir.external_data.load_to_model(graph)
    with staged(target) as stage:
        stage.write(ir.to_proto(graph).SerializeToString(deterministic=True))
        stage.commit()
