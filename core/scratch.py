"""Temporary folders that do not outlive their process, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from core.errors import TargetError

_PREFIX = "featherweight-scratch-"
_NAME = re.compile(re.escape(_PREFIX) + r"(\d+)-")


class Scratch(tempfile.TemporaryDirectory[str]):
    """A temporary folder. A disk that is full inside its `with` is told as TargetError."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        with full_disk_told():
            if isinstance(error, OSError) and is_full(error):
                raise error


@contextlib.contextmanager
def full_disk_told() -> Iterator[None]:
    """Around writing to a temporary folder: a full disk is a sentence that names the place and what to do."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise TargetError(
            "the disk with the folder for temporary files is full", where=tempfile.gettempdir(),
            do="free some space, or set TMPDIR to a folder with more",
        ) from error  # fmt: skip


def is_full(error: OSError) -> bool:
    """Whether there was no room to write. numpy's `tofile` says so in words alone, without a number or a name."""
    if error.errno is None:
        return re.search(r"\d+ requested and \d+ written", str(error)) is not None
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def scratch_folder() -> Scratch:
    """A new temporary folder, to be used in a `with` or closed by its `cleanup` (then `full_disk_told` around writing).

    A killed process cannot remove its own, so those of processes that no longer live are removed on the way.
    """
    remove_dead()
    with full_disk_told():
        return Scratch(prefix=f"{_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)


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
