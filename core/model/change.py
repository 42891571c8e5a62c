"""A decided change of a model's graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


class Change(ABC):
    """Plain frozen data that says how a graph is rewritten: applied to any fresh graph of its model, always alike.

    Changes of one model are applied in order, each to a graph that has those before it. They pickle.
    """

    @abstractmethod
    def apply(self, graph: ir.Model) -> None:
        """Rewrite the graph in place. Tensors that keep their name keep their place; reads no weights that stay."""

    def reference(self, graph: ir.Model) -> None:
        """Change the graph so that it gives what the rewritten one must give, in the simplest possible way.

        For a cut: the original with masks, no tensor smaller. For anything that changes what is computed: as `apply`.
        """
        self.apply(graph)

    @property
    def exact(self) -> bool:
        """Whether the rewritten graph must equal the reference up to rounding; the gate then checks it."""
        return True

    @abstractmethod
    def lines(self) -> tuple[str, ...]:
        """What it does, for the report: one line for each thing done ("Gelu -> Relu: /layer.0/act/Gelu")."""
