"""Where a training stands after each epoch, on disk: whole or not at all, and read without executing anything."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from core.errors import DataError
from core.scratch import is_full
from core.training.events import EpochDone

FILE = "checkpoint.pt"
VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the next epoch depends on; drawn numbers do not count, as each epoch draws its own.

    fingerprint  settings and sizes of the data, as text: another training does not go on from here
    phase, epoch next phase, and next epoch within it
    student      state dict; `structure`: plain encodings of layers that the schedule replaced
    optimiser    its state dict, None where a phase begins
    best         state dict of the phase's best state, with `best_epoch` (over all phases), `best_loss`, `best_metric`;
                 None before there is one
    lowest_loss  so far in the phase; `waited`: epochs since neither it nor the metric became better
    """

    fingerprint: str
    phase: int
    epoch: int
    student: Mapping[str, Any]
    structure: Mapping[str, Any]
    optimiser: Mapping[str, Any] | None
    best: Mapping[str, Any] | None
    best_epoch: int
    best_loss: float
    best_metric: float | None
    lowest_loss: float
    waited: int
    curves: tuple[EpochDone, ...]
    seconds: float
    stopped: str = ""


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint in place of the last one. Raises OSError; then the last one is still there."""
    content = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    content["curves"] = [asdict(point) for point in checkpoint.curves]
    content["version"] = VERSION
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{FILE}.{os.getpid()}.part"
    try:
        with part.open("wb") as file:
            writer = _Writer(file)
            try:
                torch.save(content, cast(BinaryIO, writer))
            except RuntimeError as error:  # torch tells that writing failed, not why
                raise writer.error or OSError(str(error).split("\n")[0]) from error
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / FILE)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


class _Writer:
    """A file that remembers why writing failed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def load(folder: Path, fingerprint: str) -> Checkpoint | None:
    """The folder's checkpoint, None without one. Raises DataError when it is damaged or of another training."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("version") != VERSION:
            raise DataError(
                "it was written by another version of Featherweight", where=str(path), do="train from the start"
            )
        curves = tuple(EpochDone(**point) for point in content.pop("curves"))
        checkpoint = Checkpoint(**content, curves=curves)
    except DataError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError,
            pickle.UnpicklingError) as error:  # fmt: skip
        reason = " ".join(str(error).split("\n")[0].split())[:200]
        raise DataError(
            f"the checkpoint cannot be read ({reason})", where=str(path), do="train from the start"
        ) from error
    if checkpoint.fingerprint != fingerprint:
        raise DataError(
            "the checkpoint is of a training with other settings or other data", where=str(path),
            do="resume with the same ones, or train from the start",
        )  # fmt: skip
    return checkpoint


def why_not_written(error: OSError) -> str:
    """A checkpoint could not be written, in words."""
    if is_full(error):
        return "the disk is full"
    return error.strerror or str(error)
