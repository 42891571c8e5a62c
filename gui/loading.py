"""What runs in a thread when something is opened. Core is imported here, in the thread: the window stays quick."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.exporting.staging import check_target
from core.progress import Reporter

if TYPE_CHECKING:
    from core.data.options import DataOptions
    from core.data.samples import Samples
    from core.model.layer import Port
    from core.model.model import Model
    from core.recipe import Recipe
    from core.torch_files.source import TorchSource

DATA_SUFFIXES = (".npz", ".npy")
RECIPE_SUFFIXES = (".yaml", ".yml")
WORKER_MODULES = ("numpy", "onnx", "onnx_ir", "onnxruntime", "core.jobs", "core.pipeline", "core.recipe",
                  "core.exporting.export", "core.analysis.comparison", "core.kernels")
"""What the worker process imports while it has nothing to do, so that the first Compress starts at once."""


def read_model(path: Path, source: TorchSource | None, reporter: Reporter) -> tuple[Model, Recipe]:
    """Open a model, with the empty recipe for it. PyTorch files are converted in a process of their own."""
    from core.model.readers import open_model
    from core.recipe import Recipe

    model = open_model(path, reporter, torch_source=source)
    return model, Recipe(model_name=model.name)


def read_samples(path: Path, inputs: tuple[Port, ...], options: DataOptions, reporter: Reporter) -> Samples:
    """Load samples for these inputs."""
    from core.data.loading import load_samples

    return load_samples(path, inputs, options=options, reporter=reporter)


def write_recipe(path: Path, recipe: Recipe, model: Model, reporter: Reporter) -> None:
    """Save a recipe with the name and the hash of the model that it was made for."""
    check_target(path, model.path, model.data_files)
    named = replace(recipe, model_name=model.name, model_sha256=model.sha256)
    reporter.check()
    named.save(path)


def import_late(names: tuple[str, ...], reporter: Reporter) -> None:
    """Import modules in a thread and fill the registries of methods, lenses and formats.

    The interpreter's lock is passed on every few milliseconds, so the window stays alive meanwhile.
    """
    for name in names:
        reporter.check()
        importlib.import_module(name)
    from core.methods.registry import all_methods
    from core.model.readers import suffixes
    from gui.lenses.base import all_lenses

    for fill in (all_methods, suffixes, all_lenses):
        reporter.check()
        fill()


def kind_of(path: Path) -> str:
    """What a dropped or named path is: "data", "recipe", or "model" for all that may be one."""
    if path.is_dir() or path.suffix.lower() in DATA_SUFFIXES:
        return "data"
    return "recipe" if path.suffix.lower() in RECIPE_SUFFIXES else "model"
