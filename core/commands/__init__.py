"""The commands of `featherweight-cli`, one file each. A new command is one new file here and its line below."""

from __future__ import annotations

from core.commands import compare, compress, inspect, methods, plan, report, sensitivity
from core.commands.base import Command

COMMANDS: tuple[Command, ...] = (
    inspect.COMMAND, methods.COMMAND, sensitivity.COMMAND, plan.COMMAND, compress.COMMAND, compare.COMMAND,
    report.COMMAND,
)  # fmt: skip
