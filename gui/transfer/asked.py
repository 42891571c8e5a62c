"""What the dialog asks of the training process, and how the outcome is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gui.training.asked import Asked, ResultView
from gui.units import NONE, file_size

if TYPE_CHECKING:
    from core.runs.run import Run
    from core.transfer_job import Row, TransferOutcome, TransferSpec
    from gui.session import Session

TRANSFER = "transfer"
"""As `core.runs.run.RunKind`."""


_SAVED = "Export\N{HORIZONTAL ELLIPSIS} saves it; it is kept in the Runs lens as well."


def asked_of(spec: TransferSpec) -> Asked:
    """The job for a description."""
    from core.torch_files.origin import shown_name
    from core.transfer_job import transfer_file

    model, data = shown_name(spec.model_path), Path(spec.data_path).name
    return Asked(TRANSFER, f"Transferring {model} to {data}", transfer_file, spec, view_of, None, Path(spec.model_path))


def asked_of_run(session: Session, run: Run) -> Asked:
    """The job that goes on with a run. Raises DataError when what it was set to is damaged."""
    from core.runs.store import RunStore
    from core.transfer_job import spec_of

    spec = spec_of(RunStore(session.runs_folder), run)
    if spec.passing:  # the place of then went with the window of then
        spec = replace(spec, target=str(session.runs.trained_file(Path(spec.model_path))))
    return asked_of(spec)


def view_of(outcome: TransferOutcome) -> ResultView:
    """Transferred, and the same network trained from nothing: file, figure, standard error."""
    metric = outcome.metric[:1].upper() + outcome.metric[1:]
    rows = tuple((row.name[:1].upper() + row.name[1:], file_size(row.nbytes), *_figures(row, outcome))
                 for row in outcome.rows)  # fmt: skip
    chosen = next(place for place, row in enumerate(outcome.rows) if row.name == outcome.chosen)
    proposal = outcome.proposal
    notes = [f"Cut {proposal.cut.title}; new head for {proposal.outputs}.", _kept_words(len(proposal.keep)),
             *proposal.removed[:3], *outcome.used, *outcome.notes, _SAVED]  # fmt: skip
    mine = outcome.rows[chosen]
    headline = (f"{metric} {_figures(mine, outcome)[0]} in {file_size(mine.nbytes)} "
                f"(the original has {file_size(outcome.bytes_original)}).")  # fmt: skip
    return ResultView(headline, ("", "File", metric, "Standard error"), rows, chosen, tuple(filter(None, notes)),
                      outcome.verdict, Path(outcome.path))  # fmt: skip


def _kept_words(count: int) -> str:
    return f"{count} layer{'' if count == 1 else 's'} kept as {'it was' if count == 1 else 'they were'}." * bool(count)


def _figures(row: Row, outcome: TransferOutcome) -> tuple[str, str]:
    if not outcome.higher_is_better:
        return f"{row.value:.4g}", f"{row.error:.2g}"
    error = NONE if row.error != row.error else f"{100 * row.error:.1f} points"
    return f"{100 * row.value:.1f} %", error
