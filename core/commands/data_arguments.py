"""The options of every command that reads sample data, and what they say as `DataOptions`."""

from __future__ import annotations

import argparse
from dataclasses import replace

from core.data.options import AUTO, PRESETS, DataOptions, Preprocessing, parse_numbers, parse_size
from core.errors import ParameterError
from core.own_code import absolute_callable, find_source


def add_data_arguments(parser: argparse.ArgumentParser, *, metric: bool = True, required: bool = False) -> None:
    """--data and how it is read; with `metric`, also what is measured on it."""
    group = parser.add_argument_group("data")
    group.add_argument("--data", metavar="D", required=required, help=".npz, .npy or folder of pictures")
    group.add_argument("--resize", metavar="HxW", help="size of pictures in pixels (default: what the input wants)")
    group.add_argument("--crop", action="store_true", help="keep the pictures' proportions and cut the middle out")
    group.add_argument("--colour", choices=("auto", "rgb", "bgr", "grey"), default="auto", help="channels of pictures")
    group.add_argument("--layout", choices=("auto", "nchw", "nhwc"), default="auto", help="order of the input's axes")
    presets = ", ".join(f"{preset.name} ({preset.words})" for preset in PRESETS)
    group.add_argument("--mean", metavar="A,B,C", help=f"taken off pixels of 0..1, per channel; or for both: {presets}")
    group.add_argument("--std", metavar="A,B,C", help="then divided by, per channel")
    if metric:
        group.add_argument(
            "--metric", default=AUTO, metavar="NAME",
            help="auto, accuracy, top5, f1, characters, mse, mae, label_correlation, agreement, kl, sqnr, decisions, "
            "overlap, correlation or similarity (default auto: what fits the model and the labels)",
        )  # fmt: skip
        group.add_argument(
            "--metric-callable", metavar="FILE.py:F", default="",
            help="an own metric f(outputs, labels, inputs) -> float, as file.py:f or module:f; needs --allow-code",
        )  # fmt: skip
        group.add_argument("--allow-code", action="store_true", help="let the code of --metric-callable run")


def data_options(arguments: argparse.Namespace) -> DataOptions:
    """The options that were given; raises ParameterError for what cannot be read or was not allowed.

    Nothing of a callable is executed here: its file is read and its hash stands for the permission to run it.
    """
    from core.analysis.task_metrics.registry import find_metric

    metric = getattr(arguments, "metric", AUTO)
    if metric != AUTO:
        metric = find_metric(metric).name
    options = DataOptions(_preprocessing(arguments), metric)
    text = getattr(arguments, "metric_callable", "")
    if not text:
        return options
    source = find_source(text)
    if not arguments.allow_code:
        raise ParameterError(
            f"--metric-callable would run the code of {source.file}", do="look at it, and add --allow-code to run it"
        )
    return replace(options, metric_callable=absolute_callable(text), confirmed=source.sha256)


def _preprocessing(arguments: argparse.Namespace) -> Preprocessing:
    mean, std = arguments.mean, arguments.std
    preset = next((preset for preset in PRESETS if preset.name == mean), None)
    if preset is not None:
        if std is not None:
            raise ParameterError(f"--mean {mean} sets the deviation as well", do="leave --std out")
        averages, deviations = preset.mean, preset.std
    else:
        averages = parse_numbers(mean, "--mean") if mean is not None else (0.0,)
        deviations = parse_numbers(std, "--std") if std is not None else (1.0,)
    resize = None if arguments.resize is None else parse_size(arguments.resize)
    return Preprocessing(
        resize, arguments.crop, arguments.colour, arguments.layout, mean=averages, std=deviations
    )  # fmt: skip
