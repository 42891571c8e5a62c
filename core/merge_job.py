"""The merge job that the command line and the window's training process both run: several models become one file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import Cancelled, DataError, ParameterError
from core.jobs import COMPARED_SAMPLES
from core.progress import SILENT, Reporter
from core.training.settings import DEFAULT_TRAINING, TrainingSettings

if TYPE_CHECKING:
    from core.ensembles.measuring import Standings
    from core.ensembles.merging import Merge
    from core.ensembles.sharing import Shared
    from core.ensembles.verdict import Verdict
    from core.exporting.gate import Check
    from core.runs.run import Run
    from core.runs.store import RunStore

MOST_MEMBERS = 100
MOST_WEIGHT = 1e6
_PATHS = ("target", "data_path", "original_path", "members_folder", "valid_path", "test_path")


class MergeMode(StrEnum):
    """How several models become one."""

    AVERAGE = "average"
    VOTE = "vote"
    WEIGHTS = "weights"
    BAG = "bag"
    BOOST = "boost"
    STUDENT = "student"

    @property
    def trains(self) -> bool:
        """Whether members or a student are trained."""
        return self in (MergeMode.BAG, MergeMode.BOOST, MergeMode.STUDENT)

    @property
    def words(self) -> str:
        """What it does, one sentence."""
        return _WORDS[self]

    @property
    def heading(self) -> str:
        """For a person, in two words."""
        return _HEADINGS[self]


_HEADINGS = {
    MergeMode.AVERAGE: "Average answers", MergeMode.VOTE: "Vote", MergeMode.WEIGHTS: "Average weights",
    MergeMode.BAG: "Bagging", MergeMode.BOOST: "Boosting", MergeMode.STUDENT: "One student",
}  # fmt: skip
_WORDS = {
    MergeMode.AVERAGE: "All members run, and the mean of their answers counts; one file, equal parts stored once.",
    MergeMode.VOTE: "All members run, and the class that most of them choose counts; the mean decides ties.",
    MergeMode.WEIGHTS: "One model of the mean of the members' weights: no larger or slower than one of them. They must "
    "have one architecture, and it helps only where they began with the same training.",
    MergeMode.BAG: "Compressed copies of one model, each trained on samples drawn with repetition; their mean counts.",
    MergeMode.BOOST: "Compressed copies of one model, each trained with more weight on what those before answered "
    "wrong; they vote by how right they are.",
    MergeMode.STUDENT: "One compressed model that learns the mean of the members' answers: the size and speed of one.",
}


@dataclass(frozen=True)
class MergeSpec:
    """What to merge, how, and where to.

    model_paths    the members; one model to make members of for BAG, BOOST and (then by bagging) STUDENT
    data_path      samples to train on; without training, to measure on (and for the greedy choice of weights)
    recipe_text    as YAML, for members and student that are trained
    members        how many to train
    member_weights of the given members, for AVERAGE and VOTE; () counts them alike
    greedy         WEIGHTS: only members that help on held-out samples (needs data), not all of them
    anew           each trained member begins with weights of its own, trained before they are compressed
    original_path  a model to compare with; None: the one that members are made of
    members_folder where the trained members' files are put as well; None: they are not kept
    valid_path, test_path, options, runs_folder, parent_run, resume, limit   as of `finetune_job.FinetuneSpec`
    """

    model_paths: tuple[str, ...]
    mode: str
    target: str
    data_path: str | None = None
    recipe_text: str = ""
    members: int = 5
    member_weights: tuple[float, ...] = ()
    greedy: bool = False
    anew: bool = False
    original_path: str | None = None
    members_folder: str | None = None
    settings: TrainingSettings = DEFAULT_TRAINING
    valid_path: str | None = None
    test_path: str | None = None
    options: DataOptions = DEFAULT_OPTIONS
    runs_folder: str | None = None
    parent_run: str | None = None
    resume: str | None = None
    limit: int = COMPARED_SAMPLES


@dataclass(frozen=True)
class MergeOutcome:
    """What became of it.

    how          what the file gives, a sentence
    standings    members, merged model, student and original side by side; None without data
    shared       what an ensemble's members have in common; None for other modes
    chosen       names of the members that are in it
    used         which samples were used for what, a sentence each
    run          id of its run, "" when none is kept
    """

    path: str
    mode: str
    how: str
    nbytes: int
    checks: tuple[Check, ...]
    difference: float | None
    standings: Standings | None
    verdict: Verdict | None
    shared: Shared | None
    chosen: tuple[str, ...]
    member_weights: tuple[float, ...]
    used: tuple[str, ...]
    seconds: float
    run: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries, tuples as lists, enumerations as text."""
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, StrEnum) else value


def merge_file(spec: MergeSpec, reporter: Reporter = SILENT) -> MergeOutcome:
    """Merge models into one file, check it, and compare it with its members and the original.

    Tells the parts of `loop.train` for each training, and `Standings` when they are measured. Raises FeatherweightError
    kinds; the target is written whole or not at all. A cancelled run that is kept can be resumed.
    """
    from core.data.keeping import options_dict
    from core.ensembles.merging import Merge
    from core.methods.params import to_dict
    from core.runs.recording import recording
    from core.runs.run import RunKind
    from core.runs.store import RunStore
    from core.scratch import scratch_folder
    from core.training.splits import check_apart

    started = time.perf_counter()
    if check(spec).trains:
        check_apart(spec.data_path, spec.valid_path, spec.test_path)
    merge = Merge(spec)
    store = RunStore(Path(spec.runs_folder)) if spec.runs_folder else None
    made_of = _made_of(merge, store)
    mode = MergeMode(spec.mode)
    data = {"train" if mode.trains else "test": spec.data_path, "valid": spec.valid_path, "test": spec.test_path}
    with (
        scratch_folder() as scratch,
        recording(
            store, kind=RunKind.MERGE, title=merge.title, model_path=made_of[0],
            model_sha256=made_of[1], recipe_text=spec.recipe_text,
            settings=to_dict(spec.settings, all_values=True) if mode.trains else {},
            data={role: path for role, path in data.items() if path}, options=options_dict(spec.options),
            seed=spec.settings.seed, parent=spec.parent_run, resume=spec.resume,
            details={"mode": spec.mode, "spec": spec_dict(spec)},
        ) as run,
    ):  # fmt: skip
        folder = run.checkpoints or Path(scratch)
        made = merge.make(folder, run.id, run.reporter, reporter.part(0.0, 0.85))
        try:
            standings, verdict = merge.measure(made, reporter.part(0.85, 1.0))
        except Cancelled as cancelled:
            complete = f"the merged file is complete: {spec.target}"
            raise Cancelled("cancelled while measuring", do=complete) from cancelled
        if spec.members_folder is not None:
            _keep(made.member_files, Path(spec.members_folder))
        outcome = MergeOutcome(
            spec.target, spec.mode, made.how, made.nbytes, made.checks, made.difference, standings, verdict,
            made.shared, made.chosen, made.weights, made.used, time.perf_counter() - started, run.id,
            (*made.notes, *run.trouble),
        )  # fmt: skip
        run.figures(*_figures(outcome))
        run.details(outcome=outcome.to_dict())
        run.result(spec.target)
    reporter.report(1.0, "Done")
    return outcome


def _made_of(merge: Merge, store: RunStore | None) -> tuple[str, str]:
    """Path and SHA-256 of the model that a merge's run belongs to: the original, or that which all members are results
    of runs of; else the first member."""
    if merge.original is not None:
        return str(merge.original.path), merge.original.sha256
    made = _results(store) if store is not None else {}
    origins = {made.get(model.path.absolute()) for model in merge.models}
    origin = origins.pop()
    if origin is not None and not origins:
        return origin
    return str(merge.models[0].path), merge.models[0].sha256


def _results(store: RunStore) -> dict[Path, tuple[str, str]]:
    """Files that runs gave, each with path and SHA-256 of the model that it was made of."""
    found: dict[Path, tuple[str, str]] = {}
    for run in store.listing().runs:
        for file in (store.result_file(run), Path(run.target) if run.target else None):
            if file is not None:
                found.setdefault(file.absolute(), (run.model_path, run.model_sha256))
    return found


def spec_dict(spec: MergeSpec) -> dict[str, Any]:
    """A description as plain values for a run's file; paths are made absolute, so that it can be read anywhere."""
    from core.data.keeping import options_dict
    from core.methods.params import to_dict

    values = {field.name: plain(getattr(spec, field.name)) for field in fields(spec)}
    for name in _PATHS:
        values[name] = str(Path(values[name]).absolute()) if values[name] else None
    values["model_paths"] = [str(Path(path).absolute()) for path in spec.model_paths]
    values["settings"] = to_dict(spec.settings, all_values=True)
    values["options"] = options_dict(spec.options)
    return {name: value for name, value in values.items() if name not in ("runs_folder", "parent_run", "resume")}


def spec_of(run: Run, runs_folder: str) -> MergeSpec:
    """The description of a run again: to go on with it, or to branch from it. Raises DataError when it is damaged."""
    from core.data.keeping import options_from
    from core.methods.params import build
    from core.runs.run import RunKind

    if run.kind is not RunKind.MERGE:
        raise DataError(f"it is no merge but a {run.kind.words.lower()}", where=run.id)
    try:
        values = dict(run.details["spec"])
        options = options_from(values.pop("options"))
        settings = build(TrainingSettings, dict(values.pop("settings")))
        paths, weights = tuple(map(str, values.pop("model_paths"))), tuple(map(float, values.pop("member_weights")))
        if options is None:
            raise ValueError("options")
        spec = MergeSpec(model_paths=paths, member_weights=weights, options=options, settings=settings,
                         runs_folder=runs_folder, parent_run=run.parent or None, **values)  # fmt: skip
        check(spec)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"what it was set to is damaged ({error})", where=run.id) from error
    return spec


def check(spec: MergeSpec) -> MergeMode:
    """The mode. Raises ParameterError for a mode or options that do not go together, before anything is read."""
    if spec.mode not in tuple(MergeMode):
        raise ParameterError(f"there is no mode {spec.mode!r}", do=f"use one of {', '.join(MergeMode)}")
    mode, count = MergeMode(spec.mode), len(spec.model_paths)
    if not mode.trains and count < 2:
        raise ParameterError(f"the mode {mode} merges two models or more", do="give more models")
    if mode in (MergeMode.BAG, MergeMode.BOOST) and count != 1:
        raise ParameterError(f"the mode {mode} makes its members from one model, and {count} were given",
                             do="give one model, or use the mode average")  # fmt: skip
    if count == 0:
        raise ParameterError("there is no model to make a student of", do="give one model or several")
    if mode.trains and spec.data_path is None:
        raise ParameterError(f"the mode {mode} trains, and there are no samples", do="give data")
    if spec.greedy and (mode is not MergeMode.WEIGHTS or (spec.data_path is None and spec.valid_path is None)):
        raise ParameterError("the greedy choice is for the mode weights, by held-out samples",
                             do="give data and the mode weights")  # fmt: skip
    if spec.member_weights and (mode not in (MergeMode.AVERAGE, MergeMode.VOTE) or len(spec.member_weights) != count):
        raise ParameterError(f"there are {len(spec.member_weights)} weights for {count} models in the mode {mode}",
                             do="give one weight a model, with the modes average and vote")  # fmt: skip
    if not all(0.0 < weight <= MOST_WEIGHT for weight in spec.member_weights):
        raise ParameterError(f"a member's weight must be above 0, and at most {MOST_WEIGHT:g}",
                             do="leave members out that should not count")  # fmt: skip
    if mode.trains and not 2 <= spec.members <= MOST_MEMBERS:
        raise ParameterError(f"{spec.members} members are asked for", do=f"ask for 2 to {MOST_MEMBERS}")
    return mode


def _keep(files: Sequence[Path], folder: Path) -> None:
    """Put copies of the members' files into a folder of the person's."""
    from core.exporting.staging import staged

    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        with staged(folder / file.name) as stage:
            shutil.copyfile(file, stage.path)
            stage.commit()


def _figures(outcome: MergeOutcome) -> tuple[Any, ...]:
    """The figures that runs of every kind have in common."""
    from core.runs.figures import BYTES, BYTES_BEFORE, LATENCY, LATENCY_BEFORE, SCORE, SCORE_BEFORE
    from core.runs.run import Figure

    found = [Figure(BYTES, outcome.nbytes, "B", "file")]
    standings = outcome.standings
    if standings is None:
        return tuple(found)
    on = f"{standings.n:,} samples of {Path(standings.source).name}"
    merged = next((row for row in standings.rows if row.path == outcome.path), None)
    names = ((merged, SCORE, LATENCY, ""), (standings.rows[0], SCORE_BEFORE, LATENCY_BEFORE, " before"))
    for row, score, latency, when in names:
        if row is None:
            continue
        if row.value is not None:
            found.append(Figure(score, row.value, str(standings.unit), f"{standings.metric}{when}", on=on))
        if row.latency is not None:
            found.append(Figure(latency, row.latency.median_ms, "ms", f"latency{when}", on="1 thread"))
    found.append(Figure(BYTES_BEFORE, standings.rows[0].nbytes, "B", "file before"))
    return tuple(found)
