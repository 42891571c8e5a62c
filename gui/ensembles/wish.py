"""What the merge form asks of the job, and what its outcome shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.merge_job import MergeMode, MergeSpec
from core.training.settings import DEFAULT_TRAINING, TrainingSettings
from gui.training.asked import Asked, ResultView

if TYPE_CHECKING:
    from core.merge_job import MergeOutcome
    from core.runs.run import Run
    from gui.session import Session

MERGE = "merge"
"""As `core.runs.run.RunKind`."""


@dataclass(frozen=True)
class Wish:
    """What the form gives.

    members  files; () for modes that make them from the open model
    count    of members to train
    """

    mode: MergeMode
    target: Path
    members: tuple[Path, ...] = ()
    count: int = 5
    anew: bool = False
    greedy: bool = False
    data: Path | None = None
    valid: Path | None = None
    test: Path | None = None
    settings: TrainingSettings = DEFAULT_TRAINING


def makes_members(mode: MergeMode) -> bool:
    """Whether members are made from the open model, not given as files."""
    return mode in (MergeMode.BAG, MergeMode.BOOST)


def spec_for(session: Session, wish: Wish) -> MergeSpec:
    """The description of the job. The open model is the original that all are compared with."""
    model, recipe = session.model, session.recipe
    original = str(model.path) if model is not None else None
    members = tuple(map(str, wish.members))
    if makes_members(wish.mode) or (wish.mode is MergeMode.STUDENT and not members):
        members = (original,) if original is not None else ()
    text = "" if recipe is None or recipe.does_nothing or not wish.mode.trains else recipe.dump()
    return MergeSpec(
        members, str(wish.mode), str(wish.target), _text(wish.data), text, wish.count, (), wish.greedy, wish.anew,
        original, None, wish.settings, _text(wish.valid), _text(wish.test), session.data_options,
        str(session.runs_folder), (session.runs.parent_of(model) or None) if model is not None else None,
    )  # fmt: skip


def asked_of(session: Session, wish: Wish) -> Asked:
    """The job for a wish. Raises ParameterError for what does not go together, TargetError for a bad target."""
    from core.exporting.staging import check_target
    from core.merge_job import check, merge_file

    spec = spec_for(session, wish)
    check(spec)
    check_target(wish.target, also_read=tuple(map(Path, spec.model_paths)))
    title = f"{wish.mode.heading}: {wish.target.name}"
    return Asked(MERGE, title, merge_file, spec, view_of)


def asked_of_run(session: Session, run: Run) -> Asked:
    """The job that goes on with a run. Raises DataError when what it was set to is damaged."""
    from core.merge_job import merge_file, spec_of

    return Asked(MERGE, run.title, merge_file, spec_of(run, str(session.runs_folder)), view_of)


def view_of(outcome: MergeOutcome) -> ResultView:
    """What the result card shows: the verdict and a row for each model."""
    from core.ensembles.telling import duels, head, headline, notes, rows

    found = outcome.standings
    if found is None:
        return ResultView(headline(outcome), notes=tuple(notes(outcome)), file=Path(outcome.path))
    chosen = next((place for place, row in enumerate(found.rows) if row.path == outcome.path), None)
    instead = outcome.verdict.instead if outcome.verdict is not None else ""
    return ResultView(
        headline(outcome), head(found), tuple(rows(found)), chosen, (*notes(outcome), *duels(found)),
        f"Use {instead} instead." if instead else "", Path(outcome.path),
    )  # fmt: skip


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
