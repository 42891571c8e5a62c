"""featherweight-cli: everything the window does, without a screen.

Exit codes: 0 done, 1 our fault, 2 bad input or usage (one sentence on standard error), 3 the gate refused the export,
130 cancelled. With --json, one object goes to standard output; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core import __version__
from core.errors import Cancelled, FeatherweightError
from core.progress import Progress, Reporter
from core.scratch import is_full

Answer = tuple[dict[str, Any], str]
"""What a command found, as data and as text for a person."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    cancel = threading.Event()
    with _cancelled_by_interrupt(cancel):
        code = _run(arguments, Reporter(_progress(arguments.quiet), cancel))
    if code == Cancelled.exit_code and argv is None:
        _leave_now(code)
    return code


def _run(arguments: argparse.Namespace, reporter: Reporter) -> int:
    """The command with its errors told in one sentence; the exit code."""
    from core.commands.torch_arguments import resolve_models

    try:
        resolve_models(arguments, reporter)
        data, text = arguments.run(arguments, reporter)
        _clear_line(arguments.quiet)
        _answer(data, text, as_json=arguments.json)
        return 0
    except Cancelled as cancelled:
        return _fail(str(cancelled).removesuffix("."), cancelled.exit_code, arguments.quiet)
    except FeatherweightError as error:
        return _fail(f"featherweight-cli: {error}", error.exit_code, arguments.quiet)
    except MemoryError:
        text = "featherweight-cli: there is not enough memory; close other programs or compress fewer layers."
        return _fail(text, 1, arguments.quiet)
    except BrokenPipeError:  # the reader has seen enough; what is left must not fail once more when Python closes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
        do = "check that the place is there, can be written and has room."
        if is_full(error) and not error.filename:  # files with names are told where they are written
            what = f"{tempfile.gettempdir()}: the disk with the folder for temporary files is full"
            do = "free some space, or set TMPDIR to a folder with more."
        return _fail(f"featherweight-cli: {what}; {do}", 2, arguments.quiet)
    except Exception as error:  # the last line of defence: our fault, said in one line
        if arguments.debug:
            raise
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return _fail(f"featherweight-cli: internal error ({said}); please report it.", 1, arguments.quiet)


def _answer(data: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print what a command found. JSON is plain ASCII and text never fails, whatever the terminal's encoding is."""
    if sys.stdout is None:  # the caller closed it and wants no answer
        return
    try:
        _print(data, text, as_json=as_json)
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails once more when it closes it
        what = f"the answer cannot be written ({error.strerror or error})"
        raise FeatherweightError(what, where="standard output", do="send it elsewhere") from error


def _print(data: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        json.dump(plain(data), sys.stdout, allow_nan=False)
        sys.stdout.write("\n")
    elif text:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        print(text)
    sys.stdout.flush()


def _fail(sentence: str, code: int, quiet: bool) -> int:
    _clear_line(quiet)
    print(sentence, file=sys.stderr)
    return code


@contextlib.contextmanager
def _cancelled_by_interrupt(cancel: threading.Event) -> Iterator[None]:
    """Ctrl-C asks the command to stop; pressed once more it ends the process."""

    def interrupted(*_: object) -> None:
        cancel.set()
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave_now(code: int) -> None:
    """End the process without waiting for its threads: a decomposition cannot be interrupted and may take seconds."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _parser() -> argparse.ArgumentParser:
    from core import commands
    from core.commands.torch_arguments import add_torch_arguments

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object")
    common.add_argument("--quiet", action="store_true", help="no progress on standard error")
    common.add_argument("--debug", action="store_true", help="show where an internal error came from")
    what = "Makes neural networks smaller and shows what that costs."
    parser = argparse.ArgumentParser(prog="featherweight-cli", description=what)
    parser.add_argument("--version", action="version", version=f"featherweight {__version__}")
    commands_parser = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands.COMMANDS:
        sub = commands_parser.add_parser(command.name, help=command.help, description=command.help, parents=[common])
        command.arguments(sub)
        add_torch_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def _progress(quiet: bool) -> Callable[[Progress], None] | None:
    if quiet:
        return None
    last = [0.0]
    pause = 0.1 if sys.stderr.isatty() else 2.0  # a log needs a line now and then, a terminal a live one

    def show(progress: Progress) -> None:
        now = time.monotonic()
        if now - last[0] < pause and progress.done < 1:
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
