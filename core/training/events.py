"""What a training tells while it runs: frozen parts of its `Progress`, which pickle and which run files keep."""

from __future__ import annotations

from dataclasses import dataclass

PAUSE_FILE = "pause"
"""While a file of this name lies in the folder of its checkpoints, a training waits (between two batches)."""


@dataclass(frozen=True)
class Started:
    """A training begins, or goes on after an interruption.

    run       id of its run (`core.runs`), "" when none is kept
    title     what is trained, for a person ("LeNet-5, member 2 of 5")
    epochs    in all, of every stage
    done      epochs that were done before it was interrupted
    metric    name of the validation metric, in words ("accuracy (top-1)"); higher_is_better tells its direction
    share     whether the metric is a share, shown in percent
    frozen    (layer, reason) that keep their stored values
    last_stage  `EpochDone.stage` of the last stage, whose best state is what the training gives; "" where all epochs
                are of one, None when it is not known
    """

    run: str
    title: str
    epochs: int
    metric: str
    higher_is_better: bool = True
    share: bool = True
    done: int = 0
    frozen: tuple[tuple[str, str], ...] = ()
    last_stage: str | None = ""


@dataclass(frozen=True)
class StepDone:
    """Some batches of an epoch are done; told a few times a second at most.

    epoch  from 0; may have a fraction: 2.25 is a quarter into the third epoch
    loss   mean over the batches since the last one that was told
    """

    epoch: float
    loss: float


@dataclass(frozen=True)
class EpochDone:
    """One point of the learning curves.

    epoch          from 1, over all stages
    stage          what the stage does, in words ("prune to 91 %", "16 levels")
    train_loss     mean over the epoch, without penalties; valid_loss on the held-out samples, None without them
    train_metric   on at most as many samples as are held out, by the same measure as valid_metric
    best           whether the state after this epoch is the best of its stage by the held-out samples so far
    parted         whether training and validation have parted (`curves.parted_at`): overfitting begins
    bytes          predicted size of the file, None where it is not worked out every epoch
    seconds        of the epoch
    """

    epoch: int
    stage: str
    train_loss: float
    valid_loss: float | None
    train_metric: float | None
    valid_metric: float | None
    learning_rate: float
    best: bool
    parted: bool
    seconds: float
    bytes: int | None = None


@dataclass(frozen=True)
class Paused:
    """The person paused the training, or lets it go on."""

    paused: bool
