"""What the new head is to answer: classes or values, checked before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.data.samples import Samples
from core.errors import DataError
from core.training.splits import hold_out

MOST_CLASSES = 100_000


@dataclass(frozen=True)
class Targets:
    """outputs: numbers that the head gives; names: of the classes, or (); values: numbers to be met, not classes."""

    outputs: int
    names: tuple[str, ...] = ()
    values: bool = False
    notes: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        if self.values:
            return "1 value" if self.outputs == 1 else f"{self.outputs} values"
        return f"{self.outputs} classes"


@dataclass(frozen=True)
class Parts:
    """Samples to train on, to choose the best state by, and to compare on; `used` says so, a sentence each."""

    train: Samples
    valid: Samples
    test: Samples
    used: tuple[str, ...]


def numbered(samples: Samples, names: tuple[str, ...] = ()) -> Samples:
    """Samples whose labels are text get class numbers, in the order of `names` (of the alphabet without them).

    Raises DataError for a text that is not among the names.
    """
    labels = samples.labels
    if labels is None or labels.dtype.kind != "U":
        return samples
    known = names or tuple(str(name) for name in np.unique(labels))
    place = {name: number for number, name in enumerate(known)}
    strange = sorted({str(label) for label in labels} - set(place))
    if strange:
        raise DataError(f"the label {strange[0]!r} is none of the {len(known)} classes", where=samples.source,
                        do="use the same labels in all data")  # fmt: skip
    return replace(samples, labels=np.array([place[str(label)] for label in labels], np.int64), class_names=known)


def targets(samples: Samples, classes: int | None = None) -> Targets:
    """What a head for these samples answers. classes: how many there are; None: as the labels say.

    Raises DataError for labels that nothing can be learned from: none, one class only, out of range, more classes than
    samples.
    """
    labels, where = samples.labels, samples.source
    if labels is None:
        raise DataError("it has no labels, and a new head learns from labels", where=where,
                        do="add an array 'labels', or sort pictures into a folder a class")  # fmt: skip
    if labels.dtype.kind == "f":
        return _values(samples, classes)
    if labels.dtype.kind == "U":
        raise DataError("its labels are text", where=where, do="number them first")
    present = np.unique(labels)
    count = classes or max(len(samples.class_names), int(present[-1]) + 1)
    if classes is not None and present[-1] >= classes:
        raise DataError(f"its labels go up to {present[-1]}, and there are {classes} classes", where=where,
                        do=f"number the classes from 0 to {classes - 1}, or say that there are more")  # fmt: skip
    if classes is None and (count > 2 * present.size + 10 or count > MOST_CLASSES):
        raise DataError(
            f"its labels are out of range: they go up to {present[-1]:,} and name only {present.size} classes",
            where=where, do="number the classes from 0, or say how many there are",
        )  # fmt: skip
    if present.size < 2:
        raise DataError(f"all of its samples are of one class ({_name(samples, int(present[0]))})", where=where,
                        do="give samples of at least two classes")  # fmt: skip
    if samples.n < count:
        raise DataError(f"there are {samples.n} samples for {count} classes", where=where,
                        do="give at least one sample a class, better some tens")  # fmt: skip
    missing = sorted(set(range(count)) - set(present.tolist()))
    shown = ", ".join(_name(samples, number) for number in missing[:5]) + (" and more" if len(missing) > 5 else "")
    notes = (f"There are no samples of {shown}: the new head will not answer with that.",) if missing else ()
    return Targets(count, samples.class_names, notes=notes)


def _values(samples: Samples, classes: int | None) -> Targets:
    labels = samples.labels
    if classes is not None:
        raise DataError(f"its labels are floats, not {classes} classes", where=samples.source,
                        do="give whole numbers as labels, or leave the number of classes out")  # fmt: skip
    rows = np.asarray(labels).reshape(samples.n, -1)
    if np.ptp(rows, axis=0).max(initial=0.0) == 0:
        raise DataError("all of its labels are the same, so that there is nothing to learn", where=samples.source,
                        do="give other labels")  # fmt: skip
    return Targets(int(rows.shape[1]), values=True)


def _name(samples: Samples, number: int) -> str:
    return samples.class_names[number] if number < len(samples.class_names) else f"class {number}"


def check_against(found: Targets, samples: Samples) -> None:
    """Raise DataError when other samples (to validate or test on) do not have the same kind of labels."""
    labels = samples.labels
    if labels is None:
        raise DataError("it has no labels to judge answers by", where=samples.source, do="add an array 'labels'")
    if (labels.dtype.kind == "f") != found.values:
        raise DataError("its labels are of another kind than those that are trained on", where=samples.source,
                        do="give both as class numbers or both as values")  # fmt: skip
    if not found.values and labels.dtype.kind == "i" and int(labels.max(initial=0)) >= found.outputs:
        raise DataError(f"its labels go up to {int(labels.max())}, and there are {found.outputs} classes",
                        where=samples.source, do="use the same class numbers in all data")  # fmt: skip


def parted(data: Samples, valid: Samples | None, test: Samples | None, share: float, seed: int) -> Parts:
    """The three parts, none of them sharing a sample; what was not given is taken from `data`.

    share  of the data for each part that was not given
    """
    used = []
    train = data
    if test is None:
        train, test = hold_out(train, share, seed)
        used.append(f"Compared on {test.n:,} samples of {Path(data.source).name} that nothing was learned from.")
    else:
        used.append(f"Compared on {test.n:,} samples of {Path(test.source).name}.")
    if valid is None:
        train, valid = hold_out(train, share, seed)
        used.append(f"The best state is chosen by {valid.n:,} samples that are not trained on.")
    else:
        used.append(f"The best state is chosen by {valid.n:,} samples of {Path(valid.source).name}.")
    used.insert(0, f"Trained on {train.n:,} samples of {Path(data.source).name}.")
    return Parts(train, valid, test, tuple(used))
