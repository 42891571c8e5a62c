"""featherweight-cli methods"""

from __future__ import annotations

import argparse
from typing import Any

from core.commands.base import Command
from core.progress import Reporter


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="print the guide (docs/methods.md)")


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.method_guide import by_family, guide, layers_text, not_saved, step_text
    from core.methods.base import Stage
    from core.methods.params import specs
    from core.methods.registry import all_methods, describe

    data = {"methods": [describe(m) for m in all_methods()]}
    if arguments.markdown:
        return data, guide().rstrip()
    lines = []
    for family, methods in by_family():
        lines.append(f"{family.upper()}")
        for m in methods:
            layers = "the graph" if m.stage is Stage.GRAPH else f"layers: {layers_text(m.kinds)}"
            lines += [
                f"{step_text(m)}: {m.title}",
                f"  {m.summary}",
                f"  saves {', '.join(m.saves)}; not {', '.join(not_saved(m)) or 'anything else'}. {m.costs}",
                f"  choose it: {m.choose_when}",
                f"  rather not: {m.avoid_when}",
                f"  samples: {m.data}; {layers}; source: {m.source}",
                *(f"    {s.name} = {s.default}: {s.title}; {s.allowed()}" for s in specs(m.Params)),
            ]
        lines.append("")
    return data, "\n".join(lines).rstrip()


COMMAND = Command("methods", "list the methods and their parameters", _arguments, _run)
