"""What a model makes of its data, looked at before anything is measured: outputs, which metrics fit, what is broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import Cancelled, FeatherweightError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    import numpy as np

    from core.data.samples import Samples

    Array = np.ndarray[Any, np.dtype[Any]]

FEW = 4
"""Samples that are run to look at the outputs."""
MOST_BYTES = 16 * 2**20
"""What they may take: they are handed to another process."""


@dataclass(frozen=True)
class MetricLook:
    """One metric and whether it can be measured here; `why_not` is a clause, "" when it can."""

    name: str
    words: str
    what: str
    why_not: str = ""


@dataclass(frozen=True)
class DataLook:
    """What was found.

    outputs  (name, shape and type in words) of the original for the first sample
    metrics  all of them, those with labels first
    fitting  name of the metric that "auto" means here; "" when no output can be judged
    assumed  what that metric takes for granted, or ""
    notes    sentences on what is wrong with the outputs
    """

    outputs: tuple[tuple[str, str], ...]
    metrics: tuple[MetricLook, ...]
    fitting: str
    assumed: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LookSpec:
    """A model and a few samples for it.

    feeds   what one run takes, for each of them
    labels  of all samples, as `Samples.labels`
    count   of all samples
    source  where they are from, for errors
    """

    model_path: str
    feeds: tuple[Mapping[str, Array], ...]
    labels: Array | None
    count: int
    source: str
    options: DataOptions = DEFAULT_OPTIONS


def look_spec(model_path: str, samples: Samples) -> LookSpec:
    """The description for some samples: the first few, as many as may be handed over."""
    feeds = [samples.feed(0)]
    size = max(1, sum(value.nbytes for value in feeds[0].values()))
    feeds += [samples.feed(i) for i in range(1, min(FEW, samples.n, MOST_BYTES // size))]
    return LookSpec(model_path, tuple(feeds), samples.labels, samples.n, samples.source, samples.options)


def look_at_outputs(spec: LookSpec, reporter: Reporter = SILENT) -> DataLook:
    """Run the original on a few samples. Raises DataError or ModelFileError when it does not run, and Cancelled."""
    from core.analysis.runtime import metadata, output_names, run, session
    from core.analysis.task_metrics.base import facts_from
    from core.analysis.task_metrics.registry import all_metrics, fitting
    from core.data.checks import shape_text
    from core.torch_files.origin import shown_name

    reporter.report(0.0, "loading the model")
    original = session(spec.model_path)
    names = output_names(original)
    found = []
    for i, feed in enumerate(spec.feeds):
        reporter.report(0.2 + 0.6 * i / len(spec.feeds), f"running sample {i + 1}")
        found.append(run(original, feed, where=shown_name(spec.model_path)))
    facts = facts_from(names, found[0], spec.labels, metadata(original), count=spec.count)
    metrics = tuple(MetricLook(m.name, m.words, m.what, m.why_not(facts)) for m in all_metrics())
    best = fitting(facts)
    score = None
    if best is not None:
        measured = best(facts)  # the original against itself: only its words are of interest
        for i, values in enumerate(found):
            measured.add(i, values, values)
        score = measured.score()
    outputs = tuple(
        (name, f"{shape_text(value.shape)} {value.dtype}") for name, value in zip(names, found[0], strict=True)
    )
    return DataLook(
        outputs, metrics, score.metric if score else "", score.assumed if score else "",
        tuple(_notes(spec, names, found, reporter)),
    )  # fmt: skip


def _notes(spec: LookSpec, names: Sequence[str], found: Sequence[Sequence[Any]], reporter: Reporter) -> list[str]:
    import numpy as np

    notes = []
    for i, name in enumerate(names):
        values = [one[i] for one in found if isinstance(one[i], np.ndarray) and one[i].dtype.kind == "f"]
        broken = next((k for k, value in enumerate(values) if not np.isfinite(value).all()), None)
        if broken is not None:
            notes.append(f"Output {name!r} has NaN or infinity{_where(spec, broken, reporter)}.")
        elif len(values) > 1 and all(np.array_equal(values[0], value) for value in values[1:]):
            notes.append(f"Output {name!r} is the same for all of the first {len(values)} samples.")
    return notes


def _where(spec: LookSpec, index: int, reporter: Reporter) -> str:
    from core.analysis.finite import first_broken
    from core.model.readers import open_model

    try:
        found = first_broken(open_model(spec.model_path), spec.feeds[index], reporter)
    except Cancelled:
        raise
    except FeatherweightError:
        return ""  # the sentence stands without the place
    return f": {found.text}" if found is not None else ""
