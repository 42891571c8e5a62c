"""A transfer from beginning to end: data, cut, head, what is not used, all layers, compressing, comparing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ParameterError
from core.methods.params import to_dict
from core.model.readers import open_model
from core.progress import Reporter
from core.recipe import Recipe
from core.scratch import scratch_folder
from core.training.loop import TrainingResult
from core.training.splits import check_apart
from core.transfer import settings as words
from core.transfer.cuts import CutPoint, choose, find_cuts
from core.transfer.features import Trunk
from core.transfer.fitting import load_new
from core.transfer.fresh import write_fresh
from core.transfer.heads import Head, classes_metadata, head_names, write_transferred
from core.transfer.scoring import Score, score_file
from core.transfer.targets import Parts, Targets, check_against, numbered, parted, targets
from core.transfer.trainings import (
    ALL,
    COMPRESSED,
    FRESH,
    FRESH_COMPRESSED,
    HEAD,
    Workplace,
    train_all,
    train_compressed,
    train_head,
)
from core.transfer.usage import cut_unused, measure_usage
from core.transfer_job import Look, Proposal, Row, TransferOutcome, TransferSpec

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.exporting.report import ExportReport
    from core.model.model import Model
    from core.runs.recording import Recorder

PLAN_MINUTES = 2.0
"""What choosing a recipe for a size may take."""
_KEPT, _TRANSFERRED, _FRESH = "transferred, not compressed", "transferred", "from nothing, not compressed"
_FRESH_SMALL, _ORIGINAL = "from nothing, same size", "the original, unchanged"


@dataclass(frozen=True)
class _Task:
    """What a transfer works with: model, checked data, and what the head is to answer."""

    spec: TransferSpec
    model: Model
    parts: Parts
    targets: Targets
    cuts: tuple[CutPoint, ...]
    cut: CutPoint

    @property
    def notes(self) -> tuple[str, ...]:
        told = (*self.parts.train.notes, *self.parts.valid.notes, *self.parts.test.notes, *self.targets.notes)
        return tuple(dict.fromkeys(told))


@dataclass(frozen=True)
class _Trunk:
    """The model with its new head trained and what is not used cut."""

    model: Model
    proposal: Proposal
    head: TrainingResult


def look(spec: TransferSpec, reporter: Reporter) -> Look:
    """See `transfer_job.look_at_transfer`."""
    task = _prepared(spec, reporter)
    labels = task.parts.train.class_labels
    counts: tuple[tuple[str, int], ...] = ()
    if labels is not None:
        names = task.targets.names or tuple(str(number) for number in range(task.targets.outputs))
        found = np.bincount(labels, minlength=task.targets.outputs)
        counts = tuple((name, int(count)) for name, count in zip(names, found, strict=False))
    reporter.report(1.0, "Done")
    return Look(task.targets.words, counts, task.parts.used, task.notes, task.cuts)


def run_proposal(spec: TransferSpec, reporter: Reporter) -> Proposal:
    """See `transfer_job.propose_transfer`."""
    task = _prepared(spec, reporter.part(0.0, 0.1))
    with scratch_folder() as folder:
        place = Workplace(Path(folder), None, False, "", lambda told, title: told)
        found = _headed(task, place, reporter.part(0.1, 1.0), cut=False).proposal
    reporter.report(1.0, "Done")
    return found


def run_transfer(spec: TransferSpec, reporter: Reporter) -> TransferOutcome:
    """See `transfer_job.transfer_file`."""
    from core.exporting.staging import check_target, files_read

    started = time.perf_counter()
    target = Path(spec.target)
    task = _prepared(spec, reporter.part(0.0, 0.05))
    read = files_read(spec.data_path, spec.valid_path, spec.test_path, options=spec.options)
    check_target(target, task.model.path, (*task.model.data_files, *read))
    with _recorded(task) as run, scratch_folder() as folder:
        place = Workplace(Path(folder), run.checkpoints, run.resumed, run.id, run.reporter)
        outcome = _Course(task, place, target, run, reporter.part(0.05, 1.0)).outcome()
        outcome = replace(outcome, seconds=time.perf_counter() - started, run=run.id,
                          notes=(*outcome.notes, *run.trouble))  # fmt: skip
        _keep(run, outcome, passing=spec.passing)
    reporter.report(1.0, "Done")
    return outcome


def _prepared(spec: TransferSpec, reporter: Reporter) -> _Task:
    reporter.report(0.0, "Reading model and data")
    check_apart(spec.data_path, spec.valid_path, spec.test_path)
    model = open_model(spec.model_path)
    data = numbered(load_new(spec.data_path, model.inputs, spec.options, reporter))
    found = targets(data, spec.classes)
    others: list[Samples | None] = []
    for path in (spec.valid_path, spec.test_path):
        loaded = None if path is None else numbered(load_new(path, model.inputs, spec.options), found.names)
        if loaded is not None:
            check_against(found, loaded)
        others.append(loaded)
    parts = parted(data, others[0], others[1], spec.training.held_out, spec.training.seed)
    targets(parts.train, found.outputs if not found.values else None)
    cuts = find_cuts(model, data.feed(0), reporter)
    return _Task(spec, model, parts, found, cuts, choose(cuts, spec.at))


@contextmanager
def _recorded(task: _Task) -> Iterator[Recorder]:
    from core.data.keeping import options_dict
    from core.runs.recording import recording
    from core.runs.run import RunKind
    from core.runs.store import RunStore

    spec = task.spec
    store = RunStore(Path(spec.runs_folder)) if spec.runs_folder else None
    data = {"train": spec.data_path, "valid": spec.valid_path or "", "test": spec.test_path or ""}
    with recording(
        store, kind=RunKind.TRANSFER, title=f"{task.model.name} to {Path(spec.data_path).name}",
        model_path=spec.model_path, model_sha256=task.model.sha256, recipe_text=spec.recipe_text,
        settings=to_dict(spec.training, all_values=True), data=data, options=options_dict(spec.options),
        seed=spec.training.seed, parent=spec.parent_run, resume=spec.resume,
        details={"transfer": to_dict(spec.settings, all_values=True), "at": spec.at, "keep": list(spec.keep),
                 "classes": spec.classes, "size": spec.size, "target": str(Path(spec.target).absolute()),
                 "passing": spec.passing},
    ) as run:  # fmt: skip
        yield run


def _headed(task: _Task, place: Workplace, reporter: Reporter, *, cut: bool = True) -> _Trunk:
    """Train the head alone, see what the new data uses, and (with `cut`) cut what it does not."""
    spec, parts = task.spec, task.parts
    trunk = Trunk(task.model, task.cut, place.folder)
    features = (trunk.features(parts.train, reporter.part(0.0, 0.2)), trunk.features(parts.valid, reporter))
    head, result = train_head(
        parts, features, task.targets.outputs, spec.settings.hidden, spec.settings.head_epochs, spec.training, place,
        reporter.part(0.2, 0.7),
    )  # fmt: skip
    model = write_transferred(
        task.model, task.cut, head, place.folder / "headed.onnx", classes_metadata(task.targets.names)
    )
    usage = measure_usage(
        model, parts.train, head_names(head), reporter.part(0.7, 0.95),
        channels=not cut or spec.settings.cut != words.NONE, pulls=not cut or spec.settings.freeze == words.AUTO,
    )  # fmt: skip
    threshold = {words.UNUSED: spec.settings.threshold, words.SHARE: usage.threshold_for(spec.settings.share)}.get(
        spec.settings.cut, 0.0)  # fmt: skip
    removed: tuple[str, ...] = ()
    if cut and threshold > 0:
        model, removed = cut_unused(
            model, parts.train, usage, threshold, place.folder / "cut.onnx", reporter.part(0.95, 1.0)
        )
    proposal = Proposal(
        task.cut, task.cuts, usage, _kept_layers(task, model, usage, head), threshold, task.targets.words,
        result.valid_metric, result.metric, removed, task.notes,
    )  # fmt: skip
    reporter.tell(proposal)
    return _Trunk(model, proposal, result)


def _kept_layers(task: _Task, model: Model, usage: Any, head: Head) -> tuple[str, ...]:
    """Names of the layers that are not trained, in the order of the graph."""
    spec = task.spec
    names = tuple(layer.name for layer in model.layers if layer.name not in head_names(head))
    if spec.settings.freeze == words.ALL:
        return names
    if spec.settings.freeze == words.AUTO:
        return tuple(usage.settled(spec.settings.settled))
    if spec.settings.freeze == words.NONE:
        return ()
    strange = [name for name in spec.keep if name not in names]
    if strange:
        task.model.layer(strange[0])  # a name that the model does not have is told with those that are like it
        raise ParameterError(f"the layer {strange[0]!r} goes with the old head", do="keep layers before the cut")
    return spec.keep


class _Course:
    """What follows when the head is trained."""

    def __init__(self, task: _Task, place: Workplace, target: Path, run: Recorder, reporter: Reporter) -> None:
        self._task, self._place, self._target, self._run, self._reporter = task, place, target, run, reporter
        self._spec, self._parts = task.spec, task.parts
        self._scores: dict[str, Score] = {}
        self._rows: list[Row] = []
        self._curves: list[tuple[str, TrainingResult]] = []
        self._recipe: Recipe | None = None

    def outcome(self) -> TransferOutcome:
        """Everything in order; what was measured."""
        trunk = _headed(self._task, self._place, self._reporter.part(0.0, 0.2))
        self._curves.append((HEAD, trunk.head))
        settings, training = self._spec.settings, self._spec.training
        keep = trunk.proposal.keep
        slower = replace(training, learning_rate=settings.slower * training.learning_rate)
        model = trunk.model
        if settings.compress != words.SIZE:  # a recipe that does not fit is refused before hours of training
            self._chosen_recipe(model, self._reporter)
        if len(keep) < len(model.layers) and settings.freeze != words.ALL:
            model = self._trained(model, keep, slower, ALL, self._reporter.part(0.2, 0.45))
        self._score(_KEPT, model.path, model)
        export = self._compressed(model, keep, COMPRESSED, self._target, self._reporter.part(0.45, 0.6))
        self._score(_TRANSFERRED, self._target, model)
        if settings.compare:
            self._from_nothing(model, self._reporter.part(0.6, 0.95))
        self._score_original()
        self._reporter.report(0.97, "Comparing")
        return self._result(trunk.proposal, export)

    def _trained(self, model: Model, keep: tuple[str, ...], settings: Any, title: str, reporter: Reporter) -> Model:
        trained, result = train_all(model, self._parts, keep, settings, title, self._place, reporter)
        self._curves.append((title, result))
        return trained

    def _compressed(
        self, model: Model, keep: tuple[str, ...], title: str, target: Path, reporter: Reporter
    ) -> ExportReport:
        """Export the model, compressed and trained as the settings say."""
        from core.exporting.export import export
        from core.pipeline import compress

        recipe = self._chosen_recipe(model, reporter.part(0.0, 0.2))
        if recipe.does_nothing:
            return export(model, compress(model, recipe), target, self._parts.test, reporter)
        settings = replace(
            self._spec.training, epochs=self._spec.settings.tune_epochs,
            learning_rate=self._spec.settings.slower * self._spec.training.learning_rate,
        )  # fmt: skip
        report, result = train_compressed(
            model, recipe, self._parts, keep, settings, title, target, self._place, reporter.part(0.2, 1.0)
        )
        self._curves.append((title, result))
        return report

    def _chosen_recipe(self, model: Model, reporter: Reporter) -> Recipe:
        """The recipe that the settings ask for; chosen once, so that what is compared is compressed alike."""
        if self._recipe is None:
            how = self._spec.settings.compress
            if how == words.SIZE:
                self._recipe = self._planned(model, reporter)
            elif how == words.NONE:
                self._recipe = Recipe()
            else:
                text = self._spec.recipe_text if how == words.OWN else words.RECIPES[how]
                self._recipe = Recipe.parse(text, model=model)
        return self._recipe

    def _planned(self, model: Model, reporter: Reporter) -> Recipe:
        from core.plan_job import PlanSpec, plan_file

        if not self._spec.size:
            raise ParameterError("no size was given", do='give one: "25%" of the transferred model, or "30 kB"')
        data = _written(self._parts.train, self._place.folder / "train.npz")
        plan = plan_file(
            PlanSpec(str(model.path), "size", self._spec.size, str(data), minutes=PLAN_MINUTES,
                     seed=self._spec.training.seed), reporter,
        )  # fmt: skip
        return plan.recipe

    def _from_nothing(self, model: Model, reporter: Reporter) -> None:
        """The same network, its weights drawn anew, trained on the same data with as many epochs in all."""
        training = self._spec.training
        fresh = write_fresh(model, self._place.folder / "fresh.onnx", training.seed)
        longer = replace(training, epochs=training.epochs + self._spec.settings.head_epochs)
        trained = self._trained(fresh, (), longer, FRESH, reporter.part(0.0, 0.7))
        self._score(_FRESH, trained.path, trained)
        if self._chosen_recipe(model, reporter).does_nothing:
            return
        target = self._place.folder / "fresh-compressed.onnx"
        self._compressed(trained, (), FRESH_COMPRESSED, target, reporter.part(0.7, 1.0))
        self._score(_FRESH_SMALL, target, trained)

    def _score(self, name: str, path: Path, model: Model) -> None:
        score = score_file(path, self._parts.test)
        self._scores[name] = score
        size = sum(layer.n_weights for layer in model.layers)
        self._rows.append(Row(name, score.value, score.error, path.stat().st_size, size))

    def _score_original(self) -> None:
        """The original as it is, where it happens to answer with as many classes: is a transfer needed at all?"""
        model, found = self._task.model, self._task.targets
        shape = model.outputs[0].shape if model.outputs else None
        if not found.values and len(model.outputs) == 1 and shape is not None and shape[1:] == (found.outputs,):
            self._score(_ORIGINAL, model.path, model)

    def _result(self, proposal: Proposal, report: ExportReport | None) -> TransferOutcome:
        values = self._task.targets.values
        rival = self._scores.get(_FRESH_SMALL) or self._scores.get(_FRESH)
        mine = self._scores[_TRANSFERRED]
        gain = mine.minus(rival) if rival is not None else None
        stopped = tuple(
            f"{title}: {result.stopped}{'; ' + result.do if result.do else ''}." for title, result in self._curves
            if result.stopped not in ("", "early")
        )  # fmt: skip
        notes = tuple(dict.fromkeys((*self._task.notes, *stopped, *(n for _, r in self._curves for n in r.notes))))
        test = self._parts.test
        return TransferOutcome(
            str(self._target), report, proposal, tuple(self._rows), _TRANSFERRED,
            "mean squared error" if values else "accuracy", not values, gain,
            f"{test.n:,} samples of {Path(test.source).name}", self._task.model.file_bytes, self._parts.used, notes,
            verdict(gain, values, test.n), 0.0, tuple((title, result.curves) for title, result in self._curves),
        )  # fmt: skip


def verdict(gain: tuple[float, float] | None, values: bool, n: int) -> str:
    """What a comparison with the same network trained from nothing says, a sentence; "" without one.

    A difference of less than two standard errors is called none.
    """
    if gain is None:
        return ""
    difference, error = gain
    better = -difference if values else difference
    size = f"{abs(difference):.3g}" if values else f"{100 * abs(difference):.1f} points"
    sure = f"(standard error {error:.2g})" if values else f"(standard error {100 * error:.1f} points, {n:,} samples)"
    if abs(difference) <= 2 * error or difference == 0:
        return f"No difference to the same network trained from nothing can be told: {size} {sure}."
    if better > 0:
        return f"The transfer is worth it: {size} better than the same network trained from nothing {sure}."
    return (f"The same network trained from nothing is {size} better {sure}: what the model had learned does not serve "
            "this data.")  # fmt: skip


def _written(samples: Samples, target: Path) -> Path:
    """Samples as a file that other jobs read, as they are fed."""
    picked = samples.subset(512)
    arrays: dict[str, Any] = {}
    for name in picked.input_names:
        feeds = [feed[name] for feed in picked.feeds()]
        arrays[name] = np.concatenate(feeds) if picked.batchable else np.stack(feeds)
    np.savez(target, **arrays, labels=np.asarray(picked.labels))
    return target


def _keep(run: Recorder, outcome: TransferOutcome, *, passing: bool) -> None:
    """What the run's file tells of the outcome. passing: as in TransferSpec."""
    from core.runs.figures import BYTES, BYTES_BEFORE, SCORE
    from core.runs.run import Figure

    chosen = next(row for row in outcome.rows if row.name == outcome.chosen)
    unit = "share" if outcome.higher_is_better else "error"
    run.figures(
        Figure(BYTES_BEFORE, outcome.bytes_original, "B", "file before"), Figure(BYTES, chosen.nbytes, "B", "file"),
        Figure(SCORE, chosen.value, unit, outcome.metric, on=outcome.compared_on),
    )  # fmt: skip
    run.details(rows=[[row.name, row.value, row.error, row.nbytes] for row in outcome.rows], verdict=outcome.verdict)
    run.result(outcome.path, written=not passing)
