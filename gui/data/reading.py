"""What runs in a thread for the form: looking at a path, loading it, and one sample as the model gets it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.progress import Reporter

if TYPE_CHECKING:
    from core.data.found import FoundData
    from core.data.options import DataOptions
    from core.data.samples import Samples
    from core.model.layer import Port
    from gui.lenses.sample_input import SampleInput


@dataclass(frozen=True, eq=False)
class Read:
    """Samples that were loaded, and the classes with their counts."""

    samples: Samples
    classes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, eq=False)
class Shown:
    """One sample: how it is drawn, and a line for each input with its shape, type and range."""

    index: int
    drawn: SampleInput
    lines: tuple[str, ...]


def read(path: Path, inputs: tuple[Port, ...], options: DataOptions, before: Samples | None,
         reporter: Reporter) -> Read:
    """Load samples; what lies there is told as part of the progress before.

    before   samples of the same path, which are taken again where no file has to be read anew
    """
    from core.data.found import class_counts
    from core.data.loading import load_samples

    if path.exists() and inputs:
        reporter.tell(_found(path, inputs))
    again = before.with_options(options) if before is not None else None
    if again is not None:
        return Read(again, class_counts(again))
    samples = load_samples(path, inputs, options=options, reporter=reporter)
    return Read(samples, class_counts(samples))


def _found(path: Path, inputs: tuple[Port, ...]) -> FoundData | None:
    """What lies there; None for what cannot be looked at: loading it says why in a sentence."""
    from core.data.found import find_data
    from core.errors import DataError

    try:
        return find_data(path, inputs)
    except DataError:
        return None


def show(samples: Samples, index: int, reporter: Reporter) -> Shown:
    """Read one sample as the model gets it."""
    from gui.lenses.sample_input import choose

    feed = samples.feed(index)
    reporter.check()
    lines = []
    for name, value in feed.items():
        shape = " \N{MULTIPLICATION SIGN} ".join(map(str, value.shape)) or "scalar"
        line = f"{name}: {shape} {value.dtype}"
        if value.size and value.dtype.kind in "fiu":
            mean = float(value.mean(dtype="float64"))
            line += f" \N{MIDDLE DOT} min {_number(value.min())}, mean {_number(mean)}, max {_number(value.max())}"
        lines.append(line)
    return Shown(index, choose(feed), tuple(lines))


def _number(value: float) -> str:
    text = f"{float(value):,.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{float(value):.4g}"
    return text.replace("-", "\N{MINUS SIGN}")
