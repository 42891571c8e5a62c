"""The transfer job that the command line and the window's training process both run.

Parts of its progress are those of `training.loop.train`, one `Started` for each training, and a `Proposal` when it is
known what is cut and kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.progress import SILENT, Reporter
from core.training.settings import DEFAULT_TRAINING, TrainingSettings
from core.transfer.settings import DEFAULT_TRANSFER, TransferSettings

if TYPE_CHECKING:
    from core.exporting.report import ExportReport
    from core.runs.run import Run
    from core.runs.store import RunStore
    from core.training.events import EpochDone
    from core.transfer.cuts import CutPoint
    from core.transfer.usage import Usage


@dataclass(frozen=True)
class TransferSpec:
    """What to transfer, to which data, how, and where to.

    data_path    labelled samples of the new task
    target       the ONNX file to write
    at           layer before which the head is cut (or a value's name); "" for the recommended place
    classes      how many the new head tells apart; None: as the labels say
    keep         names of layers that are not trained, for settings.freeze "listed"
    recipe_text  for settings.compress "recipe"
    size         for settings.compress "size": "25%" of the transferred model, "30 kB"
    valid_path   samples to choose the best state by; None: some of `data_path` (training.held_out)
    test_path    samples to compare on; None: some of `data_path`, that nothing is learned from
    training     of all trainings; `training.epochs` are those of the layers behind the head
    runs_folder, parent_run, resume, passing  as in `finetune_job.FinetuneSpec`
    """

    model_path: str
    data_path: str
    target: str
    at: str = ""
    classes: int | None = None
    keep: tuple[str, ...] = ()
    recipe_text: str = ""
    size: str = ""
    settings: TransferSettings = DEFAULT_TRANSFER
    training: TrainingSettings = DEFAULT_TRAINING
    valid_path: str | None = None
    test_path: str | None = None
    options: DataOptions = DEFAULT_OPTIONS
    runs_folder: str | None = None
    parent_run: str | None = None
    resume: str | None = None
    passing: bool = False


@dataclass(frozen=True)
class Look:
    """What is known at first sight.

    outputs  of the new head, in words ("10 classes"); counts: (name, samples) of each class, () for values
    used     which samples are used for what; notes: what was done to the data, and what is missing
    cuts     where the head can be cut, the last place first
    """

    outputs: str
    counts: tuple[tuple[str, int], ...]
    used: tuple[str, ...]
    notes: tuple[str, ...]
    cuts: tuple[CutPoint, ...]


@dataclass(frozen=True)
class Proposal:
    """What is known before all layers are trained: where the head was cut, and what the new data uses.

    cut         the place
    cuts        all places there are
    keep        layers that are not trained
    threshold   use of a channel below which it goes
    outputs     of the new head, in words ("10 classes")
    head_score  of the validation samples with the head alone trained; None without
    removed     a line for each group of channels that is cut
    metric      in words
    """

    cut: CutPoint
    cuts: tuple[CutPoint, ...]
    usage: Usage
    keep: tuple[str, ...]
    threshold: float
    outputs: str
    head_score: float | None
    metric: str
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One model of the comparison, measured on the test samples.

    value, error  share of right answers (or mean squared error) and its standard error
    nbytes        of its file; None for one that is only a step on the way
    """

    name: str
    value: float
    error: float
    nbytes: int
    weights: int


@dataclass(frozen=True)
class TransferOutcome:
    """What became of it.

    path         the file that was written
    report       of its export; None when it was not compressed
    proposal     where it was cut, what was kept and cut
    rows         the models that were compared, the written one named by `chosen`
    metric       what was measured, in words; higher_is_better its direction
    gain         (difference, standard error) of the written model to the same network trained from nothing, sample by
                 sample; None without that comparison
    compared_on  samples, in words
    curves       of each training by its title
    verdict      what to make of it, a sentence
    """

    path: str
    report: ExportReport | None
    proposal: Proposal
    rows: tuple[Row, ...]
    chosen: str
    metric: str
    higher_is_better: bool
    gain: tuple[float, float] | None
    compared_on: str
    bytes_original: int
    used: tuple[str, ...]
    notes: tuple[str, ...]
    verdict: str
    seconds: float
    curves: tuple[tuple[str, tuple[EpochDone, ...]], ...] = field(default=(), repr=False)
    run: str = ""


def transfer_file(spec: TransferSpec, reporter: Reporter = SILENT) -> TransferOutcome:
    """Cut a model's head, put a new one in its place, train it on new data, compress it, and compare it with the same
    network trained from nothing.

    Raises FeatherweightError kinds: a head that cannot be cut, data that cannot be learned from. The target is written
    whole or not at all. A cancelled transfer keeps its run, which can be resumed.
    """
    from core.transfer.course import run_transfer

    return run_transfer(spec, reporter)


def propose_transfer(spec: TransferSpec, reporter: Reporter = SILENT) -> Proposal:
    """What `transfer_file` would cut and keep, with the head alone trained, for a person to decide by."""
    from core.transfer.course import run_proposal

    return run_proposal(spec, reporter)


def look_at_transfer(spec: TransferSpec, reporter: Reporter = SILENT) -> Look:
    """What the data holds and where the head can be cut, before anything is trained. Errors as of `transfer_file`."""
    from core.transfer.course import look

    return look(spec, reporter)


def spec_of(store: RunStore, run: Run) -> TransferSpec:
    """The description of a run again: to go on with it, or to branch from it. DataError when it cannot be read."""
    from core.data.keeping import options_from
    from core.errors import DataError
    from core.methods.params import build
    from core.runs.run import RunKind

    if run.kind is not RunKind.TRANSFER:
        raise DataError(f"it is no transfer but a {run.kind.words.lower()}", where=run.id)
    options, given = options_from(dict(run.options)), run.details
    try:
        settings = build(TransferSettings, dict(given["transfer"]))
        classes = None if given["classes"] is None else int(given["classes"])
        texts = [str(given[name]) for name in ("target", "at", "size")]
        keep = tuple(str(name) for name in given["keep"])
        data = run.data["train"]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"what it was set to is damaged ({error})", where=run.id) from error
    if options is None:
        raise DataError("what it was set to is damaged", where=run.id)
    return TransferSpec(
        run.model_path, data, texts[0], texts[1], classes, keep, run.recipe_text, texts[2], settings,
        build(TrainingSettings, dict(run.settings)), run.data.get("valid"), run.data.get("test"), options,
        str(store.folder), run.parent or None, passing=given.get("passing") is True,
    )  # fmt: skip
