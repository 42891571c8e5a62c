"""What a converted model came from: kept beside its graph, so that whoever opens the graph knows."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.torch_files.recognise import Format
from core.torch_files.source import Example, TorchSource

FILE = "origin.json"


@dataclass(frozen=True)
class Origin:
    """The PyTorch file behind a model.

    path        the person's file, and `sha256` of its content when it was converted
    source      what the person said of it, for opening it again
    definition_file  the file that its definition came from, or None
    parameters  {name in the state_dict: (name of the graph's tensor, its type in torch)}; tied names share a tensor.
                Entries that the graph has no tensor for lie in `rest.pt` beside the graph
    difference  largest difference of outputs between PyTorch and the graph, relative to the largest output; None
                where nothing was compared (weights alone)
    compared_on  in words
    notes       sentences about the conversion
    """

    path: Path
    sha256: str
    format: Format
    source: TorchSource
    definition_file: Path | None
    parameters: Mapping[str, tuple[str, str]] = field(repr=False)
    difference: float | None
    compared_on: str
    notes: tuple[str, ...] = ()

    @property
    def has_graph(self) -> bool:
        """Whether it is known how the weights are used; else the graph only holds them."""
        return not self.source.weights_only

    @property
    def files(self) -> tuple[Path, ...]:
        """The person's files behind it, which are never overwritten."""
        return (self.path, *([self.definition_file] if self.definition_file is not None else []))

    def dump(self) -> str:
        return json.dumps({**asdict(self), "path": str(self.path), "format": str(self.format),
                           "definition_file": str(self.definition_file) if self.definition_file else ""})

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Raises ValueError, KeyError or TypeError for a text that is none of ours."""
        data: dict[str, Any] = json.loads(text)
        said = dict(data["source"])
        examples = tuple(
            Example(e["name"], tuple(e["shape"]), e["dtype"], tuple(e["varies"])) for e in said.pop("examples")
        )
        return cls(
            Path(data["path"]), data["sha256"], Format(data["format"]), TorchSource(examples=examples, **said),
            Path(data["definition_file"]) if data["definition_file"] else None,
            {name: (tensor, dtype) for name, (tensor, dtype) in data["parameters"].items()}, data["difference"],
            data["compared_on"], tuple(data["notes"]))  # fmt: skip


def origin_of(graph: Path) -> Origin | None:
    """What a converted graph came from; None for every file outside the folder of conversions."""
    from core.torch_files.kept import is_kept

    if not is_kept(graph):
        return None
    try:
        return Origin.parse(graph.with_name(FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def notes_of(origin: Origin | None) -> tuple[str, ...]:
    """Sentences that a person should know of a conversion; () without one."""
    if origin is None:
        return ()
    if not origin.has_graph:
        if origin.format.has_structure:
            return origin.notes
        alone = (f"{origin.path.name} holds weights without a structure: layers and statistics are shown, and their "
                 "stored form can be tried. To run it, measure it or export it as a model, open it with its definition "
                 '("module:callable" that gives the torch.nn.Module) and the shapes of its inputs.')
        return (alone, *origin.notes)
    return origin.notes


def words_of(origin: Origin) -> str:
    """How the conversion went, in a sentence or two; "" for weights alone."""
    if origin.difference is None:
        return ""
    return (f"{origin.path.name} was converted from {origin.format} to ONNX: ONNX Runtime gives PyTorch's outputs to "
            f"{origin.difference:.1g} of the largest ({origin.compared_on}). Sizes are those of the conversion.")


def shown_name(path: str | os.PathLike[str]) -> str:
    """The name of the person's own file, for a model file or the graph of a conversion."""
    origin = origin_of(Path(path))
    return Path(path).name if origin is None else origin.path.name
