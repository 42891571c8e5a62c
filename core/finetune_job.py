"""The fine-tuning job that the command line and the window's training process both run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.jobs import COMPARED_SAMPLES
from core.progress import SILENT, Reporter
from core.training.events import EpochDone
from core.training.settings import DEFAULT_TRAINING, TrainingSettings

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.exporting.report import ExportReport


@dataclass(frozen=True)
class FinetuneSpec:
    """What to fine-tune, how, and where to.

    recipe_text  as YAML; "" trains the model as it is stored
    data_path    samples to train on
    target       the ONNX file to write
    valid_path   samples to choose the best state by; None: some of `data_path` are held out (settings.held_out)
    test_path    samples to compare on; None: the held-out ones, on which the best state was chosen as well
    options      how all data is read, and the metric
    runs_folder  where runs are kept (`core.runs`); None: this one is not
    parent_run   id of the run that this one branches from, or None
    resume       id of an interrupted run to go on with, or None
    limit        samples to compare on
    """

    model_path: str
    recipe_text: str
    data_path: str
    target: str
    settings: TrainingSettings = DEFAULT_TRAINING
    valid_path: str | None = None
    test_path: str | None = None
    options: DataOptions = DEFAULT_OPTIONS
    runs_folder: str | None = None
    parent_run: str | None = None
    resume: str | None = None
    limit: int = COMPARED_SAMPLES


@dataclass(frozen=True)
class FinetuneOutcome:
    """What became of it.

    path        the file that was written
    report      of the export; its layers are those that were trained, without encodings
    comparison  original against trained, on `compared_on`
    curves      one point an epoch
    best_epoch  of the curves; 0 when the compressed model before training was the best
    stopped     why the training ended before its last epoch, and what to do; "" when it did not
    used        which samples were used for what, a sentence each
    frozen      (layer, reason) whose stored values were not trained
    run         id of its run, "" when none is kept
    """

    path: str
    report: ExportReport
    comparison: Comparison
    compared_on: str
    curves: tuple[EpochDone, ...]
    best_epoch: int
    stopped: str
    used: tuple[str, ...]
    frozen: tuple[tuple[str, str], ...]
    seconds: float
    run: str = ""
    notes: tuple[str, ...] = ()


def finetune_file(spec: FinetuneSpec, reporter: Reporter = SILENT) -> FinetuneOutcome:
    """Compress a model, train what is stored, export it through the gate, and compare it with the original.

    Parts of the progress are those of `loop.train`. Raises FeatherweightError kinds; the target is written whole or not
    at all. A cancelled training keeps its run, which can be resumed.
    """
    raise NotImplementedError
