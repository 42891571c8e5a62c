"""What an export did, as a frozen value for the window, the command line and the report file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.exporting.gate import Check

if TYPE_CHECKING:
    from core.pipeline import LayerResult


@dataclass(frozen=True)
class Saving:
    """Something that clean-up did, and the bytes it saved."""

    what: str
    nbytes: int


@dataclass(frozen=True)
class ExportReport:
    """The outcome of one export.

    target              path of the file
    bytes_before/after  bytes on disk, external data included
    bytes_predicted     what was foretold before the file was built
    layers              what became of each layer in the file (without encodings); a layer that could not be exported as
                        planned shows the reason in `skipped`
    checks              the gate's checks
    parity              largest difference to the simulated result, relative to the output's range; None: not compared
    compared_on         what parity was measured on: "8 samples of calib.npz", "2 made-up inputs", ""
    savings             clean-up, with the bytes each saved
    opset               default-domain opset of the file (before, after)
    changes             what graph and channel steps changed, a line each
    trouble             why graph steps could not be done, a sentence each
    """

    target: str
    bytes_before: int
    bytes_after: int
    bytes_predicted: int
    layers: tuple[LayerResult, ...]
    checks: tuple[Check, ...]
    parity: float | None
    compared_on: str
    savings: tuple[Saving, ...]
    opset: tuple[int, int]
    changes: tuple[str, ...] = ()
    trouble: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        return self.bytes_after / self.bytes_before if self.bytes_before else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "output": self.target,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "bytes_predicted": self.bytes_predicted,
            "parity": self.parity,
            "parity_on": self.compared_on,
            "checks": [{"name": c.name, "passed": c.passed, "text": c.text} for c in self.checks],
            "clean_up": [{"what": s.what, "bytes": s.nbytes} for s in self.savings],
            "changes": list(self.changes),
            "trouble": list(self.trouble),
            "opset_before": self.opset[0],
            "opset_after": self.opset[1],
        }
