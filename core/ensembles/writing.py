"""Writing a merged graph: beside the target, through checker, session and parity, and only then in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from core.analysis.runtime import Feed, session
from core.ensembles.joining import Joined
from core.errors import FeatherweightError, GateError
from core.exporting.export import ONE_FILE_LIMIT, write_graph
from core.exporting.gate import PARITY_LIMIT, Check, largest_difference, outputs
from core.exporting.staging import Staging, check_target, staged
from core.model.model import Model
from core.progress import SILENT, Reporter

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Written:
    """What was written and how it was checked.

    checks      checker, session, parity with the members run one by one
    difference  the largest, of the output's range; None when the model takes no made-up input and there was no data
    """

    path: str
    nbytes: int
    checks: tuple[Check, ...]
    difference: float | None


def write_joined(
    joined: Joined, members: Sequence[Model], target: Path, feeds: Sequence[Feed], reporter: Reporter = SILENT
) -> Written:
    """Write an ensemble, whole or not at all; its outputs equal those of the members run one by one, combined in numpy.

    Raises TargetError, GateError, Cancelled.
    """
    wanted = expected(joined, members, feeds, reporter.part(0.0, 0.5))
    return write_checked(joined.graph, members, target, feeds, wanted, reporter.part(0.5, 1.0))


def write_checked(
    graph: ir.Model, read: Sequence[Model], target: Path, feeds: Sequence[Feed], wanted: list[list[Any]] | None,
    reporter: Reporter = SILENT,
) -> Written:  # fmt: skip
    """Write a graph that must give `wanted` (by output, on `feeds`) to `target`, which is none of the models read.

    wanted  None: there is nothing else that would give the same; the graph must run and give finite numbers
    """
    for model in read:
        check_target(target, model.path, model.data_files)
    several = sum(model.file_bytes for model in read) > ONE_FILE_LIMIT
    with staged(target, several=several) as stage:
        write_graph(graph, stage, several)
        reporter.report(0.2, "Checking the merged file")
        checks, difference = _checks(stage, feeds, wanted, reporter.part(0.2, 1.0))
        nbytes = stage.nbytes
        stage.commit()
    return Written(str(target), nbytes, checks, difference)


def expected(
    joined: Joined, members: Sequence[Model], feeds: Sequence[Feed], reporter: Reporter = SILENT
) -> list[list[Any]]:
    """The ensemble's outputs on `feeds`, each a list over the feeds: the members run one by one, combined in numpy."""
    by_member = []
    for number, (model, pairing) in enumerate(zip(members, joined.pairings, strict=True)):
        rename = dict(zip(joined.pairings[0].inputs, pairing.inputs, strict=True))
        own = [{rename[name]: array for name, array in feed.items()} for feed in feeds]
        part = reporter.part(number / len(members), (number + 1) / len(members))
        found = outputs(session(model.path, keep_memory=False), own, part, "the members")
        places = {port.name: place for place, port in enumerate(model.outputs)}
        by_member.append([found[places[name]] for name in pairing.outputs] if found else [])
    if not feeds:
        return []
    return [
        [how.of([member[index][at] for member in by_member]) for at in range(len(feeds))]
        for index, how in enumerate(joined.combinations)
    ]


def _checks(
    stage: Staging, feeds: Sequence[Feed], wanted: list[list[Any]] | None, reporter: Reporter
) -> tuple[tuple[Check, ...], float | None]:
    import onnx

    try:
        onnx.checker.check_model(str(stage.path))
    except Exception as error:  # ValidationError and protobuf's own errors
        reason = " ".join(str(error).split())[:160]
        raise GateError(f"onnx.checker refuses the merged file ({reason})", do="nothing was written") from error
    checks = [Check("checker", True, "onnx.checker accepts the file")]
    reporter.report(0.3, "Loading the merged file in ONNX Runtime")
    try:
        tried = session(stage.path, keep_memory=False)
    except FeatherweightError as error:
        raise GateError(
            f"ONNX Runtime does not load the merged file ({error.what})", do="nothing was written"
        ) from error
    checks.append(Check("session", True, "loads in ONNX Runtime on the CPU"))
    if not feeds:
        text = "not compared: no data, and the model takes no made-up input"
        return (*checks, Check("parity", True, text)), None
    got = outputs(tried, feeds, reporter.part(0.5, 1.0), "the members run one by one")
    if wanted is None:
        return (*checks, _finite(got, len(feeds))), None
    difference = largest_difference(got, wanted)
    if not difference <= PARITY_LIMIT:
        raise GateError(
            f"the merged file differs from its members run one by one by {difference:.2g} of its range (allowed: "
            f"{PARITY_LIMIT:.2g})", do="nothing was written; please report these models",
        )  # fmt: skip
    text = f"largest difference {difference:.1e} of the output's range on {len(feeds)} samples"
    return (*checks, Check("parity", True, text)), difference


def _finite(got: list[list[Any]], count: int) -> Check:
    """Raises GateError where a float output is not finite."""
    floats = [value for values in got for value in values if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    if not all(np.isfinite(value).all() for value in floats):
        do = "nothing was written; leave out the member that does"
        raise GateError("the merged file gives NaN or infinity", do=do)
    return Check("finite", True, f"finite answers on {count} samples")
