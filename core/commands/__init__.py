"""The commands of `featherweight-cli`, one file each. A new command is one new file here and its line below."""

from __future__ import annotations

from core.commands import (
    compare,
    compress,
    crossval,
    finetune,
    inspect,
    merge,
    methods,
    plan,
    report,
    runs,
    sensitivity,
    transfer,
)
from core.commands.base import Command

COMMANDS: tuple[Command, ...] = (
    inspect.COMMAND, methods.COMMAND, sensitivity.COMMAND, plan.COMMAND, compress.COMMAND, finetune.COMMAND,
    compare.COMMAND, report.COMMAND, crossval.COMMAND, merge.COMMAND, runs.COMMAND, transfer.COMMAND,
)  # fmt: skip
