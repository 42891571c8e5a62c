"""Which process works on a run: its number alone does not tell, as numbers are given again after a restart.

A claim is a file with a number of its own, which one process alone can make. A dead process's claim is not taken away
but outnumbered, so that two processes that find it at once cannot both have the run.
"""

from __future__ import annotations

import json
import os
import re
import time
from functools import cache
from pathlib import Path

from core.errors import FeatherweightError

SAME_START = 2.0
"""Seconds by which the start of one process may read differently: it is counted from the machine's start, whose time
shifts when the clock is set."""
_NAME = re.compile(r"owner-(\d{1,9})\.json")


def claim(folder: Path) -> None:
    """Make this process the one that works on a run. FeatherweightError when another one that lives does."""
    while True:
        newest = max(_claims(folder), default=0)
        if newest and _lives(_path(folder, newest)):
            raise FeatherweightError("a process works on this run", where=folder.name, do="wait for it, or end it")
        try:
            fd = os.open(_path(folder, newest + 1), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:  # another process was quicker
            continue
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump({"pid": os.getpid(), "started": _started(os.getpid())}, file)
        return


def release(folder: Path) -> None:
    """This process is done with the run. Claims of the dead go first: the newest one counts while it is there."""
    for number in sorted(_claims(folder)):
        _path(folder, number).unlink(missing_ok=True)


def owned(folder: Path) -> bool:
    """Whether a process that lives works on the run."""
    newest = max(_claims(folder), default=0)
    return bool(newest) and _lives(_path(folder, newest))


def _path(folder: Path, number: int) -> Path:
    return folder / f"owner-{number}.json"


def _claims(folder: Path) -> list[int]:
    try:
        found = [_NAME.fullmatch(name) for name in os.listdir(folder)]
    except OSError:
        return []
    return [int(match[1]) for match in found if match]


def _lives(path: Path) -> bool:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        pid, started = int(data["pid"]), float(data["started"])
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return _just_made(path)
    now = _started(pid)
    return now is not None and abs(now - started) <= SAME_START


def _just_made(path: Path) -> bool:
    """Whether a claim without content is being written; a machine that lost power leaves empty ones too."""
    try:
        return time.time() - path.stat().st_mtime < SAME_START
    except OSError:
        return False


def _started(pid: int) -> float | None:
    return _own_start() if pid == os.getpid() else _start_of(pid)


@cache
def _own_start() -> float | None:
    return _start_of(os.getpid())


def _start_of(pid: int) -> float | None:
    """When a process began, seconds since 1970; None when there is none of this number, or only its remains."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (psutil.Error, ValueError, OverflowError):
        return None
