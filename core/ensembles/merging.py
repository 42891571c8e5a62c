"""One merge from its description: members opened or trained, one file written, everything measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.analysis import comparison
from core.analysis.runtime import run, session
from core.data import load_samples
from core.data.samples import Samples
from core.ensembles.combining import Rule
from core.ensembles.joining import join
from core.ensembles.matching import pair_members
from core.ensembles.measuring import Contestant, Role, Standings, measure
from core.ensembles.sharing import Shared
from core.ensembles.soups import Ingredients, greedy, ingredients
from core.ensembles.verdict import Verdict, judge
from core.ensembles.writing import Written, write_checked, write_joined
from core.errors import FeatherweightError, ParameterError
from core.exporting.export import parity_feeds
from core.exporting.gate import Check, outputs
from core.exporting.staging import check_target, files_read
from core.merge_job import MergeMode, MergeSpec
from core.model.model import Model
from core.model.readers import open_model
from core.progress import Reporter
from core.recipe import Recipe
from core.training.splits import hold_out

if TYPE_CHECKING:
    from core.ensembles.members import Workshop

MINE = "the original"
ENSEMBLE, AVERAGE, STUDENT = "the ensemble", "the averaged model", "the student"


@dataclass(frozen=True)
class Made:
    """A merged file and what it was made of; fields as of `merge_job.MergeOutcome`."""

    how: str
    nbytes: int
    checks: tuple[Check, ...]
    difference: float | None
    member_files: tuple[Path, ...]
    chosen: tuple[str, ...]
    contestants: tuple[Contestant, ...]
    merged: str
    shared: Shared | None = None
    weights: tuple[float, ...] = ()
    used: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Parts:
    """Who learns, chooses and is measured on which samples. No sample is in two of them unless `used` says so."""

    learn: Samples | None
    held: Samples | None
    test: Samples | None
    used: tuple[str, ...]


class Merge:
    """A merge whose inputs are open and fit each other. Raises what opening, loading and pairing raise."""

    def __init__(self, spec: MergeSpec) -> None:
        self._spec, self._mode = spec, MergeMode(spec.mode)
        self.models = [open_model(path) for path in spec.model_paths]
        original = spec.original_path or (spec.model_paths[0] if len(self.models) == 1 else None)
        self._original = open_model(original) if original is not None else None
        self._target = Path(spec.target)
        read = files_read(spec.data_path, spec.valid_path, spec.test_path, options=spec.options)
        everyone = [*self.models, *([self._original] if self._original is not None else [])]
        for model in everyone:
            check_target(self._target, model.path, (*model.data_files, *read))
        if len(everyone) > 1:
            pair_members(everyone)
        self._recipe = Recipe.parse(spec.recipe_text, model=self.models[0]) if spec.recipe_text.strip() else Recipe()
        self._parts = self._split()

    @property
    def original(self) -> Model | None:
        """The model that all are compared with; None where members alone are."""
        return self._original

    @property
    def title(self) -> str:
        """For a person: "lenet5.onnx: bagging, 5 members"."""
        count = self._spec.members if len(self.models) == 1 else len(self.models)
        return f"{self.models[0].name}: {self._mode.heading.lower()}, {count} members"

    # -- samples ----------------------------------------------------------------------------------------------------

    def _split(self) -> _Parts:
        spec = self._spec
        data, valid, test = (self._load(path) for path in (spec.data_path, spec.valid_path, spec.test_path))
        chooses = self._mode.trains or spec.greedy
        used: list[str] = []
        if not chooses:
            return _Parts(None, None, test or data, ())
        if valid is None and data is not None:
            share = spec.settings.held_out if self._mode.trains else 0.5
            data, valid = hold_out(data, share, spec.settings.seed)
        if self._mode.trains and data is not None and valid is not None:
            used.append(f"Trained on {data.n:,} samples of {_name(data)}; the best states chosen on {valid.n:,} "
                        f"of {_name(valid)}.")  # fmt: skip
        elif valid is not None:
            used.append(f"Members chosen on {valid.n:,} samples of {_name(valid)}.")
        if test is None:
            test = data if not self._mode.trains and data is not None else valid
            if test is valid and test is not None:
                used.append("Measured on the samples that the best states were chosen on, which flatters all that was "
                            "trained: give test data for figures that hold.")  # fmt: skip
        return _Parts(data if self._mode.trains else None, valid, test, tuple(used))

    def _load(self, path: str | None) -> Samples | None:
        return None if path is None else load_samples(path, self.models[0].inputs, options=self._spec.options)

    # -- making -----------------------------------------------------------------------------------------------------

    def make(
        self, folder: Path, run_id: str, watch: Callable[[Reporter, str], Reporter], reporter: Reporter
    ) -> Made:
        """The merged file at its target. `folder` holds what an interrupted run left, and gets it."""
        if self._mode is MergeMode.WEIGHTS:
            return self._averaged(folder, reporter)
        if not self._mode.trains:
            rule = Rule.VOTE if self._mode is MergeMode.VOTE else Rule.AVERAGE
            return self._joined(self.models, rule, self._spec.member_weights or None, self._target, reporter)
        return self._trained(self._workshop(folder, run_id, watch), reporter)

    def _workshop(self, folder: Path, run_id: str, watch: Callable[[Reporter, str], Reporter]) -> Workshop:
        from core.ensembles.members import ANEW, TRAINED, Workshop

        learn = self._parts.learn
        if learn is None:
            raise ParameterError(f"the mode {self._mode} trains, and there are no samples", do="give data")
        start = ANEW if self._spec.anew else TRAINED
        return Workshop(
            self.models[0], self._recipe, learn, self._parts.held, self._spec.settings, folder, start, run_id, watch
        )

    def _trained(self, workshop: Workshop, reporter: Reporter) -> Made:
        from core.ensembles.members import bag, boost

        spec = self._spec
        share = 0.95 if self._mode is not MergeMode.STUDENT else 0.75
        weights: Sequence[float] | None = None
        notes: tuple[str, ...] = ()
        rule = Rule.AVERAGE
        if len(self.models) > 1:
            files = tuple(model.path for model in self.models)
            share = 0.0
        elif self._mode is MergeMode.BOOST:
            boosted = boost(workshop, spec.members, reporter.part(0.0, share))
            files, weights, notes, rule = boosted.files, boosted.weights, boosted.notes, Rule.VOTE
            if len(files) == 1:
                raise ParameterError(f"boosting gave one member: {notes[0].removesuffix('.')}",
                                     do="use a stronger recipe, or the mode bag")  # fmt: skip
        else:
            files = bag(workshop, spec.members, reporter.part(0.0, share))
        members = [open_model(file) for file in files]
        if self._mode is not MergeMode.STUDENT:
            made = self._joined(members, rule, weights, self._target, reporter.part(share, 1.0))
            return _with(made, notes=(*notes, *made.notes), used=self._parts.used)
        return self._student(workshop, members, reporter.part(share, 1.0))

    def _student(self, workshop: Workshop, members: Sequence[Model], reporter: Reporter) -> Made:
        from core.ensembles.members import teach

        ensemble = workshop.folder / "ensemble.onnx"
        joined = self._joined(members, Rule.AVERAGE, None, ensemble, reporter.part(0.0, 0.1))
        file = teach(workshop, [member.path for member in members], None, reporter.part(0.1, 0.95))
        model = open_model(file)
        feeds = parity_feeds(model, self._parts.test)[0]
        wanted = outputs(session(file), feeds, reporter, "the student") if feeds else []
        written = write_checked(model.graph(), members, self._target, feeds, wanted, reporter.part(0.95, 1.0))
        student = Contestant(STUDENT, Role.STUDENT, written.path, written.nbytes)
        return _with(
            joined, how=f"One student that learned from {len(members)} members' answers.", nbytes=written.nbytes,
            checks=written.checks, difference=written.difference,
            contestants=(*joined.contestants, student), used=self._parts.used, merged=ENSEMBLE,
        )  # fmt: skip

    def _joined(
        self, members: Sequence[Model], rule: Rule, weights: Sequence[float] | None, target: Path, reporter: Reporter
    ) -> Made:
        feeds = parity_feeds(members[0], self._parts.test)[0]
        answers: list[list[Any]] = []
        if feeds:
            first = session(members[0].path, keep_memory=False)
            answers = [list(values) for values in zip(*(run(first, feed) for feed in feeds), strict=True)]
        labels = self._parts.test.labels if self._parts.test is not None else None
        joined = join(members, rule, weights, answers=answers, labels=labels, reporter=reporter.part(0.0, 0.6))
        written = write_joined(joined, members, target, feeds, reporter.part(0.6, 1.0))
        how = "; ".join(dict.fromkeys(f"Output {c.name!r}: {c.text}" for c in joined.combinations))
        merged = Contestant(ENSEMBLE, Role.ENSEMBLE, written.path, written.nbytes)
        return self._made(how, written, members, merged, joined.shared, joined.combinations[0].weights, joined.notes)

    def _averaged(self, folder: Path, reporter: Reporter) -> Made:
        mix = ingredients(self.models, reporter.part(0.0, 0.2))
        chosen: Sequence[int] = range(len(self.models))
        notes = list(mix.notes)
        if self._spec.greedy:
            chosen, told = self._greedy(mix, folder, reporter.part(0.2, 0.8))
            notes.append(told)
        graph = mix.mixed(chosen)
        feeds = parity_feeds(self.models[0], self._parts.test)[0]
        written = write_checked(graph, self.models, self._target, feeds, None, reporter.part(0.8, 1.0))
        members = [self.models[number] for number in chosen]
        how = f"The mean of the weights of {len(members)} of {len(self.models)} members."
        merged = Contestant(AVERAGE, Role.AVERAGE, written.path, written.nbytes)
        made = self._made(how, written, self.models, merged, None, (), tuple(notes))
        return _with(made, chosen=tuple(member.name for member in members), used=self._parts.used)

    def _greedy(self, mix: Ingredients, folder: Path, reporter: Reporter) -> tuple[Sequence[int], str]:
        """The members whose mean is best on the held-out samples, and what was tried, a sentence."""
        from core.ensembles.members import write_graph_file

        held = self._parts.held
        if held is None:
            raise ParameterError("the greedy choice needs held-out samples", do="give data")
        trial = folder / "trial.onnx"
        first = Contestant("first", Role.MEMBER, str(self.models[0].path), 0)

        def score(members: Sequence[int]) -> float:
            write_graph_file(mix.mixed(members), trial)
            found = measure([first, Contestant("trial", Role.AVERAGE, str(trial), 0)], held, seconds=0,
                            limit=self._spec.limit)  # fmt: skip
            value = found.rows[1].value
            if value is None:
                raise ParameterError("the greedy choice needs a metric, and no output can be judged",
                                     do="give labels, or average all members")  # fmt: skip
            return value if found.higher_is_better else -value

        alone = [score([member]) for member in range(len(self.models))]
        order = sorted(range(len(self.models)), key=lambda member: -alone[member])
        chosen, trail = greedy(order, score, reporter)
        left = [self.models[member].name for member, _, stays in trail if not stays]
        told = f"left out as it made the mean worse on held-out samples: {', '.join(left)}" if left else "all helped"
        return chosen, f"Greedy choice of {len(chosen)} of {len(order)} members; {told}."

    def _made(
        self, how: str, written: Written, members: Sequence[Model], merged: Contestant, shared: Shared | None,
        weights: tuple[float, ...], notes: tuple[str, ...],
    ) -> Made:  # fmt: skip
        rivals = [
            Contestant(title, Role.MEMBER, str(member.path), member.file_bytes)
            for title, member in zip(_titles(members), members, strict=True)
        ]
        if self._original is not None:
            rivals.insert(0, Contestant(MINE, Role.ORIGINAL, str(self._original.path), self._original.file_bytes))
        return Made(
            how, written.nbytes, written.checks, written.difference, tuple(member.path for member in members),
            tuple(_titles(members)), (*rivals, merged), merged.title, shared, weights, (), notes,
        )  # fmt: skip

    # -- measuring --------------------------------------------------------------------------------------------------

    def measure(self, made: Made, reporter: Reporter) -> tuple[Standings | None, Verdict | None]:
        """All of them on the samples set apart; None without data."""
        if self._parts.test is None:
            return None, None
        found = measure(made.contestants, self._parts.test, merged=made.merged, limit=self._spec.limit,
                        seconds=comparison.LATENCY_SECONDS, reporter=reporter)  # fmt: skip
        return found, judge(found)


def _with(made: Made, **values: Any) -> Made:
    from dataclasses import replace

    return replace(made, **values)


def _titles(members: Sequence[Model]) -> list[str]:
    """A title for each: what its run did, or its file's name; numbered where several are called alike."""
    titles = [_run_title(member.path) or member.name for member in members]
    if len(set(titles)) < len(titles):
        titles = [
            title if titles.count(title) == 1 else f"{title} ({place})" for place, title in enumerate(titles, start=1)
        ]
    return titles


def _run_title(path: Path) -> str:
    """What gave a file that is a run's kept result; "" for any other file."""
    from core.runs.store import RunStore

    store = RunStore(path.parent.parent)
    if path.parent.name not in store.ids():
        return ""
    try:
        run = store.get(path.parent.name)
        return run.title if store.result_file(run) is not None else ""
    except FeatherweightError:  # a damaged entry costs no more than the file's name
        return ""


def _name(samples: Samples) -> str:
    return Path(samples.source).name
