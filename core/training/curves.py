"""What learning curves show: where training and validation part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.training.events import EpochDone

WINDOW = 3
"""Epochs that are averaged before two losses are compared: single ones go up and down."""
RISE = 0.02
"""Share by which the validation loss must have risen above its smallest."""


def parted_at(curves: Sequence[EpochDone]) -> int | None:
    """The epoch after which the validation loss rose while the training loss went on falling; None when it did not.

    Of the last stage alone: each begins with other weights. Both losses are smoothed over `WINDOW` epochs. The epoch is
    that of the smallest smoothed validation loss: what was learned behind it helps the training samples only.
    Prechelt, Early stopping - but when?, 1998.
    """
    last = [point for point in curves if point.stage == curves[-1].stage] if curves else []
    points = [(p.epoch, p.train_loss, p.valid_loss) for p in last if p.valid_loss is not None]
    if len(points) < 2 * WINDOW:
        return None
    epochs, train, valid = (np.array(column, np.float64) for column in zip(*points, strict=True))
    kernel = np.full(WINDOW, 1.0 / WINDOW)
    train, valid = np.convolve(train, kernel, "valid"), np.convolve(valid, kernel, "valid")
    best = int(valid.argmin())
    if best + WINDOW > len(valid):
        return None  # too few epochs behind it
    rising = valid[-1] > (1.0 + RISE) * valid[best] and valid[best + 1 :].min() > valid[best]
    return int(epochs[best + WINDOW // 2]) if rising and train[-1] < train[best] else None
