"""The options of every command that trains, made from what `TrainingSettings` says of itself; where runs are kept."""

from __future__ import annotations

import argparse
from typing import Any

from core.errors import ParameterError
from core.methods.params import Spec, build, specs, to_dict
from core.training.settings import DEFAULT_TRAINING, TrainingSettings


def add_training_arguments(parser: argparse._ActionsContainer) -> None:
    """An option for each setting. What is not given is None, so that settings of a resumed run can stand."""
    group = parser.add_argument_group("training")
    for spec in specs(TrainingSettings):
        group.add_argument(
            _option(spec), dest=_place(spec), metavar=_metavar(spec), default=None, type=_reader(spec), help=_help(spec)
        )


def add_run_arguments(parser: argparse._ActionsContainer, *, resume: bool = True) -> None:
    """Whether and where the run is kept; with `resume`, also which one to go on with."""
    group = parser.add_argument_group("run")
    if resume:
        group.add_argument(
            "--resume", metavar="RUN", help="go on with an interrupted run: its id, how that ends, or latest"
        )
    group.add_argument("--no-record", action="store_true", help="keep no run of this")
    group.add_argument("--runs", metavar="FOLDER", help="keep the run there (default: the window's own)")


def training_settings(
    arguments: argparse.Namespace, base: TrainingSettings = DEFAULT_TRAINING, **also: Any
) -> TrainingSettings:
    """The settings that were given, the others as in `base`. Raises ParameterError."""
    given = {
        spec.name: value for spec in specs(TrainingSettings) if (value := getattr(arguments, _place(spec))) is not None
    }
    return build(TrainingSettings, to_dict(base, all_values=True) | also | given)


def given_settings(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The options that were given, as they are typed."""
    return tuple(_option(s) for s in specs(TrainingSettings) if getattr(arguments, _place(s)) is not None)


def refuse_new(arguments: argparse.Namespace, *names: str) -> None:
    """Raise ParameterError when options (these and the training's) or a model are given beside --resume."""
    also = [f"--{name}" for name in names if getattr(arguments, name) is not None]
    also += ["MODEL"] * bool(getattr(arguments, "model", None) or getattr(arguments, "models", None))
    also += given_settings(arguments)
    if also:
        raise ParameterError(f"a run goes on as it began, and {also[0]} is given", do="leave it out")


def runs_folder(arguments: argparse.Namespace) -> str | None:
    """The folder to keep the run in; None when it is not kept."""
    from core.runs.store import default_folder

    if arguments.no_record:
        if getattr(arguments, "resume", None):
            raise ParameterError("--resume goes on with a run that is kept", do="leave --no-record out")
        return None
    return str(arguments.runs or default_folder())


def _reader(spec: Spec) -> Any:
    def read(text: str) -> Any:
        try:
            return spec.read(text)
        except ParameterError as error:
            raise argparse.ArgumentTypeError(str(error).removesuffix(".")) from error

    return read


def _option(spec: Spec) -> str:
    return f"--{spec.name.replace('_', '-')}"


def _place(spec: Spec) -> str:
    return f"training_{spec.name}"


def _metavar(spec: Spec) -> str:
    return "WORD" if spec.choices else "N"


def _help(spec: Spec) -> str:
    said = (spec.description or f"{spec.title}.").removesuffix(".")
    said = said[:1].lower() + said[1:] if not said.startswith(("AdamW", "L1")) else said
    choices = f": {', '.join(map(str, spec.choices))}" if spec.choices else ""
    return f"{said}{choices} (default {_default(spec)})".replace("%", "%%")


def _default(spec: Spec) -> str:
    return f"{spec.default:g}" if isinstance(spec.default, float) else str(spec.default)
