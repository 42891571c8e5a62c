"""featherweight-cli runs [list | show RUN | delete RUN | export RUN -o OUT.onnx]"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.base import Command, table
from core.errors import ParameterError, TargetError
from core.progress import Reporter

if TYPE_CHECKING:
    from core.runs.run import Run
    from core.runs.store import RunStore

ACTIONS = ("list", "show", "delete", "export")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", choices=ACTIONS, default="list",
        help="list (default), show one, delete them for good, or export the kept copy of a result",
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="RUN", help="id of a run, how it ends, or latest")
    parser.add_argument("--model", metavar="MODEL", help="with list: only runs of this file, wherever it lies")
    parser.add_argument("-o", "--output", metavar="OUT.onnx", help="with export: the file to write")
    parser.add_argument("--runs", metavar="FOLDER", help="where runs are kept (default: the window's own)")


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.runs.store import RunStore, default_folder

    store = RunStore(arguments.runs or default_folder())
    names = arguments.names
    if arguments.action == "list":
        if names:
            raise ParameterError(f"list takes no run, and {names[0]!r} is given", do=f"use `runs show {names[0]}`")
        return _list(store, arguments.model)
    if not names or (len(names) > 1 and arguments.action != "delete"):
        raise ParameterError(f"{arguments.action} takes one run", do="give its id, how it ends, or latest")
    if arguments.action == "show":
        return _show(store, store.find(names[0]))
    if arguments.action == "export":
        return _export(store, store.find(names[0]), arguments.output)
    return _delete(store, names)


def _list(store: RunStore, model: str | None) -> tuple[dict[str, Any], str]:
    from core.runs.run import run_data
    from core.runs.words import STATE_WORDS, drop_of, figure_text, seconds_text, speed_text, when_text

    found = store.listing()
    runs = found.runs
    if model is not None:
        from core.model.readers import open_model

        sha256 = open_model(model).sha256
        runs = tuple(run for run in runs if run.model_sha256 == sha256)
    rows = [
        (
            run.id, when_text(run.started), run.kind.words, STATE_WORDS[run.state], run.title,
            figure_text(run.figure("bytes")), figure_text(run.figure("score")), drop_of(run), speed_text(run),
            seconds_text(run.seconds),
        )
        for run in runs
    ]  # fmt: skip
    head = ("run", "begun", "kind", "state", "what", "file", "score", "against the original", "latency", "time")
    lines = [table(head, rows, right=frozenset({5, 6, 7, 8, 9}))] if rows else ["No runs are kept."]
    lines += [f"{run_id}: cannot be read: {why}" for run_id, why in found.damaged]
    data = {
        "folder": str(store.folder), "runs": [run_data(run) for run in runs],
        "damaged": [{"run": run_id, "why": why} for run_id, why in found.damaged],
    }  # fmt: skip
    return data, "\n".join([*lines, f"in {store.folder}"])


def _show(store: RunStore, run: Run) -> tuple[dict[str, Any], str]:
    from dataclasses import asdict

    from core.runs.run import run_data

    curves = store.curves(run.id)
    file = store.result_file(run)
    data = run_data(run) | {
        "curves": {name: [asdict(point) for point in points] for name, points in curves.items()},
        "result_file": str(file) if file else None, "bytes_on_disk": store.nbytes(run.id),
    }  # fmt: skip
    lines = [*_about(run), *_figures(run), *_settings(run)]
    for name, points in curves.items():
        lines += ["", f"{name or 'training'}:", _curve(points)]
    if run.recipe_text:
        lines += ["", run.recipe_text.rstrip()]
    return data, "\n".join(lines)


def _about(run: Run) -> list[str]:
    from core.runs.words import STATE_WORDS, data_lines, seconds_text, when_text

    lines = [
        f"{run.kind.words}: {run.title}", f"run {run.id}, begun {when_text(run.started)}, {STATE_WORDS[run.state]}, "
        f"{seconds_text(run.seconds)}, seed {run.seed}",
        f"model: {run.model_path}",
    ]  # fmt: skip
    lines += [run.why] if run.why else []
    lines += [f"branched from {run.parent}"] if run.parent else []
    lines += data_lines(run)
    lines += [f"written: {run.target}"] if run.target else []
    return [*lines, f"versions: {', '.join(f'{name} {version}' for name, version in run.versions.items())}"]


def _figures(run: Run) -> list[str]:
    from core.runs.words import figure_text

    rows = [
        (figure.words or figure.name, figure_text(figure), "" if figure.measured else "predicted", figure.on)
        for figure in run.figures
    ]
    return ["", table(("figure", "", "", "measured on"), rows, right=frozenset({1}))] if rows else []


def _settings(run: Run) -> list[str]:
    told = ", ".join(f"{name} {value}" for name, value in run.settings.items())
    return ["", f"settings: {told}"] if told else []


def _curve(points: Any) -> str:
    rows = [
        (
            str(p.epoch), p.stage, f"{p.train_loss:.4g}", _number(p.valid_loss), _number(p.train_metric),
            _number(p.valid_metric), "best" if p.best else "", "parted" if p.parted else "",
        )
        for p in points
    ]  # fmt: skip
    head = ("epoch", "stage", "train loss", "valid loss", "train metric", "valid metric", "", "")
    return table(head, rows, right=frozenset({0, 2, 3, 4, 5}))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _export(store: RunStore, run: Run, output: str | None) -> tuple[dict[str, Any], str]:
    from core.exporting.staging import check_target, staged

    if output is None:
        raise ParameterError("export needs a file to write", do="give -o OUT.onnx")
    file = store.result_file(run)
    if file is None:
        raise TargetError("no copy of its result is kept", where=run.id, do=_where(run))
    target = Path(output)
    check_target(target, file)
    with staged(target) as stage:
        shutil.copyfile(file, stage.path)
        stage.commit()
    return {"run": run.id, "output": output}, f"written: {output}"


def _where(run: Run) -> str:
    return f"look for {run.target}, where it was written" if run.target else "run its recipe again"


def _delete(store: RunStore, names: list[str]) -> tuple[dict[str, Any], str]:
    """Delete runs, those that cannot be read as well: these by their whole id."""
    ids = [name if name in store.ids() else store.find(name).id for name in names]
    for run_id in dict.fromkeys(ids):
        store.delete(run_id)
    return {"deleted": ids}, f"deleted: {', '.join(ids)}"


COMMAND = Command("runs", "list, show, export and delete what was run before", _arguments, _run)
