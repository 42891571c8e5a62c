"""featherweight-cli methods"""

from __future__ import annotations

import argparse
from typing import Any

from core.commands.base import Command
from core.progress import Reporter


def _arguments(parser: argparse.ArgumentParser) -> None:
    """It has no options of its own."""


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.methods.params import specs
    from core.methods.registry import all_methods, describe

    lines = []
    for method in all_methods():
        scheme = f" (scheme: {method.scheme})" if method.scheme else ""
        lines.append(
            f"{method.word}{scheme}: {method.title}, {method.family}\n  {method.summary}\n"
            f"  saves {', '.join(method.saves)}; {method.costs}\n  source: {method.source}"
        )
        lines += [f"    {s.name} = {s.default}: {s.title}; {s.allowed()}" for s in specs(method.Params)]
    return {"methods": [describe(m) for m in all_methods()]}, "\n".join(lines)


COMMAND = Command("methods", "list the methods and their parameters", _arguments, _run)
