"""Temporary folders that do not outlive their process, however it ends."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

_PREFIX = "featherweight-scratch-"
_NAME = re.compile(re.escape(_PREFIX) + r"(\d+)-")


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A new temporary folder, to be used in a `with` or closed by its `cleanup`.

    A killed process cannot remove its own, so those of processes that no longer live are removed on the way.
    """
    remove_dead()
    return tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)


def remove_dead() -> list[Path]:
    """Remove the temporary folders of processes that no longer live; returns what was removed."""
    removed = []
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        found = _NAME.match(path.name)
        if found and not alive(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return removed


def alive(pid: int) -> bool:
    """Whether a process of that number lives (also one of somebody else's)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
