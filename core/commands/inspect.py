"""featherweight-cli inspect MODEL"""

from __future__ import annotations

import argparse
from typing import Any

from core.commands.base import Command, table
from core.figures import size_text
from core.progress import Reporter


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model file")


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.analysis.statistics import all_statistics
    from core.model.readers import open_model

    model = open_model(arguments.model, reporter.part(0.0, 0.2))
    statistics = all_statistics(model, reporter.part(0.2, 1.0))
    layers = []
    for layer in model.layers:
        entry: dict[str, Any] = {
            "name": layer.name,
            "title": layer.title,
            "kind": str(layer.kind),
            "shape": list(layer.shape),
            "dtype": layer.dtype,
            "n_weights": layer.n_weights,
            "bytes": layer.nbytes,
            "locked": layer.locked,
        }
        found = statistics.get(layer.name)
        if found is not None:
            entry |= {
                "mean": found.mean,
                "std": found.std,
                "min": found.minimum,
                "max": found.maximum,
                "zeros": found.zeros,
                "outliers": found.outliers,
                "nonfinite": found.nonfinite,
            }
        layers.append(entry)
    data = {
        "model": model.name,
        "bytes": model.file_bytes,
        "opset": model.opset,
        "producer": model.producer,
        "inputs": [{"name": p.name, "dtype": p.dtype, "shape": p.shape} for p in model.inputs],
        "outputs": [{"name": p.name, "dtype": p.dtype, "shape": p.shape} for p in model.outputs],
        "layers": layers,
        "left_out": [{"name": t.name, "bytes": t.nbytes, "dtype": t.dtype, "reason": t.reason} for t in model.left_out],
        "notes": list(model.notes),
    }
    if model.origin is not None:
        data["converted_from"] = {
            "path": str(model.origin.path), "format": str(model.origin.format), "graph": str(model.path),
            "difference": model.origin.difference, "compared_on": model.origin.compared_on,
        }  # fmt: skip
    return data, _text(model, layers)


def _text(model: Any, layers: list[dict[str, Any]]) -> str:
    from core.torch_files.origin import words_of

    def number(entry: dict[str, Any], key: str) -> str:
        return f"{entry[key]:.4g}" if entry.get(key) is not None else "-"

    head = ("layer", "kind", "shape", "size", "min", "max", "mean", "std", "zeros", "outliers", "")
    rows = [
        (
            e["title"],
            e["kind"],
            "x".join(map(str, e["shape"])),
            size_text(e["bytes"]),
            number(e, "min"),
            number(e, "max"),
            number(e, "mean"),
            number(e, "std"),
            str(e.get("zeros", "-")),
            str(e.get("outliers", "-")),
            e["locked"],
        )
        for e in layers
    ]
    left = sum(t.nbytes for t in model.left_out)
    converted = words_of(model.origin) if model.origin is not None else ""
    lines = [
        *([converted] if converted else []),
        f"{model.name}: {size_text(model.file_bytes)}, opset {model.opset}, {len(layers)} layers",
        table(head, rows, right=frozenset(range(3, 10))),
        f"left out: {len(model.left_out)} tensors, {size_text(left)} (see --json for the reasons)",
        *model.notes,
    ]
    return "\n".join(lines)


COMMAND = Command("inspect", "list a model's layers with their statistics", _arguments, _run)
