"""The gate: what every export must pass before it takes the target's place.

1 checker   onnx.checker accepts the file (asked only where it accepts the original)
2 session   stock ONNX Runtime loads it on the CPU
3 parity    it gives what the original graph with the decoded weights gives
4 bytes     it is smaller than the original, or the report says why not
The export asks two more where they apply: `cut_check` compares a changed graph with the masked original, and
`integer_check` compares each layer that multiplies integers with its simulation. Latency is measured by the caller,
with the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.analysis.runtime import Feed, run, session
from core.errors import FeatherweightError, GateError
from core.progress import SILENT, Reporter
from core.scratch import scratch_folder

PARITY_LIMIT = 1e-4
"""Largest difference to the simulated result, relative to the largest magnitude of that output. float32 kernels differ
by about 1e-6 between graphs that are equal on paper; deep networks amplify it. The figure is always reported."""

ROUNDING_MARGIN = 4.0
"""A model that turns float32 rounding into more than PARITY_LIMIT (an output that is nearly zero on these inputs) may
differ by this many times what its own graph differs by rounding alone: with and without the runtime's optimisations,
and with its weights moved by one unit in the last place."""

INTEGER_LIMIT = 1.5
"""Layers that multiply integers round what enters them, and float32 rounding moves a value over the middle between two
levels now and then: it lands one level off, and deep networks amplify that up to the rounding's own size (two results
of independent rounding differ by the square root of 2 of it). So the difference to the simulated result, and that to
the result without such rounding, may be this many times what the rounding changes in the simulated one; root mean
square of each output over all samples. It holds for the whole; a fault in one layer of a noisy model may change less,
so `integer_check` looks at each."""

VANISHING = 1e-30
"""Differences that count as none: an output of zeros is not rounded at all, and sums at the edge of float32's range
give some 1e-38 for it."""


@dataclass(frozen=True)
class Check:
    """One check: its name, whether it passed, and what was found, in a few words."""

    name: str
    passed: bool
    text: str


def gate(
    original: Path,
    simulated: Path | None,
    exported: Path,
    feeds: Sequence[Feed],
    *,
    bytes_before: int,
    bytes_after: int,
    why_not_smaller: str = "",
    unrounded: Path | None = None,
    reporter: Reporter = SILENT,
) -> tuple[tuple[Check, ...], float | None]:
    """All checks, and the largest relative difference to the simulated result (None when it could not be run).

    original   the original model file
    simulated  the original graph with the decoded weights; None when nothing was changed
    feeds      inputs to compare on; may be empty
    unrounded  the simulated graph without the rounding of inputs that integer layers do; None when there are none
    Raises GateError at the first check that fails.
    """
    checks = [_checker(original, exported)]
    reporter.report(0.2, "Loading the exported file in ONNX Runtime")
    got = _run_export(exported, feeds, reporter.part(0.2, 0.4))
    checks.append(Check("session", True, "loads in ONNX Runtime on the CPU"))
    difference = None
    if feeds:
        rest = reporter.part(0.4, 1.0)
        if unrounded is None or simulated is None:
            check, difference = _parity(got, simulated or original, feeds, rest)
        else:
            check, difference = _integer_parity(got, simulated, unrounded, feeds, rest)
        checks.append(check)
    else:
        checks.append(Check("parity", True, "not compared: no data, and the model takes no made-up input"))
    smaller = bytes_after < bytes_before
    text = f"{bytes_after:,} of {bytes_before:,} bytes" + ("" if smaller else f": not smaller, {why_not_smaller}")
    checks.append(Check("bytes", smaller, text))
    return tuple(checks), difference


def _parity(
    got: list[list[Any]], simulated: Path, feeds: Sequence[Feed], reporter: Reporter
) -> tuple[Check, float]:
    """Float graphs: equal up to rounding."""
    wanted = outputs(session(simulated, keep_memory=False), feeds, reporter.part(0.0, 0.5))
    difference = largest_difference(got, wanted)
    allowed = PARITY_LIMIT
    if difference > allowed:  # is it the export, or does the model itself turn rounding into that much?
        allowed = max(allowed, ROUNDING_MARGIN * _own_rounding(simulated, wanted, feeds, reporter.part(0.5, 1.0)))
    if not difference <= allowed:
        raise GateError(
            f"the export differs from the simulated result by {difference:.2g} of its range (allowed: {allowed:.2g})",
            do="nothing was written; please report this model",
        )
    text = f"largest difference {difference:.1e} of the output's range on {len(feeds)} samples"
    return Check("parity", True, text), difference


def _own_rounding(simulated: Path, wanted: list[list[Any]], feeds: Sequence[Feed], reporter: Reporter) -> float:
    """How far a model's outputs move by rounding alone."""
    plain = outputs(session(simulated, optimize=False, keep_memory=False), feeds, reporter.part(0.0, 0.5))
    with scratch_folder() as folder:
        nudged = _nudged(simulated, Path(folder) / "nudged.onnx")
        moved = outputs(session(nudged, keep_memory=False), feeds, reporter.part(0.5, 1.0))
    return max(largest_difference(plain, wanted), largest_difference(moved, wanted))


def _nudged(path: Path, target: Path) -> Path:
    """A copy of a model whose stored float32 tensors are moved by one unit in the last place, up or down at random."""
    import onnx_ir as ir

    graph, rng = ir.load(path), np.random.default_rng(0)
    for value in graph.graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and tensor.dtype == ir.DataType.FLOAT and tensor.size > 1:
            numbers = tensor.numpy()
            ends = np.where(rng.random(numbers.shape, np.float32) < 0.5, np.float32(-np.inf), np.float32(np.inf))
            value.const_value = ir.Tensor(np.nextafter(numbers, ends), name=tensor.name)
    ir.save(graph, target, external_data=f"{target.name}.data")
    return target


def _integer_parity(
    got: list[list[Any]], simulated: Path, unrounded: Path, feeds: Sequence[Feed], reporter: Reporter
) -> tuple[Check, float]:
    """Graphs with integer layers: equal up to values that float32 rounding moves to the next level."""
    # The runtime's optimisations would make the simulation compute in integers as well.
    wanted = outputs(session(simulated, optimize=False, keep_memory=False), feeds, reporter.part(0.0, 0.5))
    plain = outputs(session(unrounded, keep_memory=False), feeds, reporter.part(0.5, 1.0))
    difference, worst = largest_difference(got, wanted), 0.0
    for ours, theirs, without in zip(got, wanted, plain, strict=True):
        rounding = max(_distance(theirs, without), PARITY_LIMIT * _distance(theirs), VANISHING)
        apart = max(_distance(ours, theirs), _distance(ours, without))
        worst = max(worst, apart / rounding)
    if not (worst <= INTEGER_LIMIT and difference < float("inf")):
        raise GateError(
            f"the integer layers give what differs from their simulation by {worst:.2g} times what rounding to their "
            f"levels changes (allowed: {INTEGER_LIMIT:g})",
            do="nothing was written; please report this model",
        )
    return Check(
        "parity", True, f"largest difference {difference:.1e} of the output's range on {len(feeds)} samples; integer "
        f"layers: {worst:.2g} times what rounding to their levels changes (allowed: {INTEGER_LIMIT:g})"
    ), difference


def _distance(values: list[Any], others: list[Any] | None = None) -> float:
    """Root of the sum of squares of float values, or of their differences; other kinds of outputs do not count."""
    total = 0.0
    for number, value in enumerate(values):
        other = None if others is None else others[number]
        if isinstance(value, list):
            total += _distance(value, other) ** 2
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            with np.errstate(invalid="ignore", over="ignore"):  # inf - inf: only finite differences count
                change = value.astype(np.float64) if other is None else value.astype(np.float64) - other
                total += float(np.square(change[np.isfinite(change)]).sum())
    return float(np.sqrt(total))


def _run_export(exported: Path, feeds: Sequence[Feed], reporter: Reporter) -> list[list[Any]]:
    """The export's outputs. Its session is gone when this returns: two models at a time would double the memory."""
    try:
        tried = session(exported, keep_memory=False)
    except FeatherweightError as error:
        raise GateError(f"ONNX Runtime does not load the export ({error.what})", do="nothing was written") from error
    return outputs(tried, feeds, reporter)


def _checker(original: Path, exported: Path) -> Check:
    import onnx

    try:
        onnx.checker.check_model(str(exported))
        return Check("checker", True, "onnx.checker accepts the file")
    except Exception as error:  # noqa: BLE001  ValidationError and protobuf's own errors
        reason = " ".join(str(error).split())[:160]
    try:
        onnx.checker.check_model(str(original))
    except Exception:  # noqa: BLE001  the original does not pass either: no fault of the export
        return Check("checker", True, "onnx.checker does not accept the original either")
    raise GateError(f"onnx.checker refuses the export ({reason})", do="nothing was written; please report this model")


def outputs(
    sess: Any, feeds: Sequence[Feed], reporter: Reporter, what: str = "the simulated result"
) -> list[list[Any]]:
    """All outputs on all feeds, by output; `what` they are compared with, for the progress."""
    runs = []
    for number, feed in enumerate(feeds):
        reporter.report(number / len(feeds), f"Comparing with {what}")
        runs.append(run(sess, feed))
    return [list(values) for values in zip(*runs, strict=True)]


def largest_difference(
    values: list[list[Any]], wanted: list[list[Any]], scale_by: list[list[Any]] | None = None
) -> float:
    """The largest difference of any output, relative to the largest magnitude that it has on all feeds.

    scale_by  outputs whose magnitude is the measure, where they are larger than those of `wanted`; None: `wanted`
    """
    worst = 0.0
    for ours, theirs, measure in zip(values, wanted, wanted if scale_by is None else scale_by, strict=True):
        scale = max((magnitude(value) for value in measure), default=0.0)
        worst = max(worst, *(relative_difference(a, b, scale) for a, b in zip(ours, theirs, strict=True)))
    return worst


def magnitude(value: Any) -> float:
    """The largest finite magnitude of an output, of its elements for a sequence; 0 for what is no float tensor."""
    if isinstance(value, list):
        return max(map(magnitude, value), default=0.0)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return 0.0
    finite = value[np.isfinite(value)]
    return float(np.abs(finite).max()) if finite.size else 0.0


def relative_difference(value: Any, wanted: Any, scale: float = 0.0) -> float:
    """max |value - wanted| / max |wanted| of two outputs; inf when shapes, types or NaN positions differ.

    scale  what to divide by instead, where that is larger (the output's magnitude on more samples)

    Integer outputs (token ids, arg max) follow from float values and may flip at a tie, so they are not compared. The
    worst element of a sequence output counts; anything else (maps, absent optionals) is compared by equality.
    """
    if isinstance(value, list) and isinstance(wanted, list):
        if len(value) != len(wanted):
            return float("inf")
        return max((relative_difference(a, b, scale) for a, b in zip(value, wanted, strict=True)), default=0.0)
    if not isinstance(value, np.ndarray) or not isinstance(wanted, np.ndarray):
        return 0.0 if repr(value) == repr(wanted) else float("inf")
    if value.shape != wanted.shape or value.dtype != wanted.dtype:
        return float("inf")
    if wanted.dtype.kind != "f":
        return 0.0
    if wanted.size == 0:
        return 0.0
    a, b = value.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(finite, np.isfinite(a)):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = max(scale, float(np.abs(b[finite]).max()))
    return float(np.abs(a[finite] - b[finite]).max()) / (scale or 1.0)
