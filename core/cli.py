"""featherweight-cli: everything the window does, without a screen.

Exit codes: 0 done, 1 our fault, 2 bad input or usage (one sentence on standard error), 3 the gate refused the export,
130 cancelled. With --json, one object goes to standard output; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from core import __version__
from core.errors import Cancelled, FeatherweightError
from core.progress import Progress, Reporter

Answer = tuple[dict[str, Any], str]
"""What a command found, as data and as text for a person."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    cancel = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: cancel.set())
    try:
        data, text = arguments.run(arguments, Reporter(_progress(arguments.quiet), cancel))
    except Cancelled:
        print("cancelled", file=sys.stderr)
        return Cancelled.exit_code
    except FeatherweightError as error:
        _clear_line(arguments.quiet)
        print(f"featherweight-cli: {error}", file=sys.stderr)
        return error.exit_code
    except MemoryError:
        print("featherweight-cli: there is not enough memory; close other programs or compress fewer layers.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except Exception as error:  # the last line of defence: our fault, said in one line
        _clear_line(arguments.quiet)
        print(f"featherweight-cli: internal error ({type(error).__name__}: {error}); please report it.", file=sys.stderr)
        if arguments.debug:
            raise
        return 1
    _clear_line(arguments.quiet)
    if arguments.json:
        json.dump(plain(data), sys.stdout, ensure_ascii=False, indent=None, allow_nan=False)
        sys.stdout.write("\n")
    elif text:
        print(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    from core import commands

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object")
    common.add_argument("--quiet", action="store_true", help="no progress on standard error")
    common.add_argument("--debug", action="store_true", help="show where an internal error came from")
    parser = argparse.ArgumentParser(prog="featherweight-cli", description="Makes neural networks smaller and shows what that costs.")
    parser.add_argument("--version", action="version", version=f"featherweight {__version__}")
    commands_parser = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands.COMMANDS:
        sub = commands_parser.add_parser(command.name, help=command.help, description=command.help, parents=[common])
        command.arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def _progress(quiet: bool) -> Callable[[Progress], None] | None:
    if quiet:
        return None
    last = [0.0]

    def show(progress: Progress) -> None:
        now = time.monotonic()
        if now - last[0] < 0.1 and progress.done < 1:
            return
        last[0] = now
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{progress.done:4.0%}  {progress.text}")
        else:
            sys.stderr.write(f"{progress.done:4.0%}  {progress.text}\n")
        sys.stderr.flush()

    return show


def _clear_line(quiet: bool) -> None:
    if not quiet and sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


def plain(value: Any) -> Any:
    """Data that JSON can hold: NaN and infinities become null, numpy numbers become Python's."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    elif hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


if __name__ == "__main__":
    sys.exit(main())
