"""numpy's linear algebra on one thread, while several threads of ours use it.

OpenBLAS's threads wait for each other by spinning. Where two threads of ours each call it, or other programs are busy,
a 384 x 384 eigenvalue problem takes ten times as long with two of its threads as with one.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_lock = threading.Lock()
_inside: list[int] = []
"""The number of threads from before, once for each block that is open."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block numpy's linear algebra uses one thread, in the whole process. Other libraries stay as they are.

    Blocks may overlap; the last one to end puts the number back. Where numpy comes without OpenBLAS nothing changes.
    """
    found = _openblas()
    if found is None:
        yield
        return
    get, put = found
    with _lock:
        _inside.append(_inside[0] if _inside else get())
        put(1)
    try:
        yield
    finally:
        with _lock:
            before = _inside.pop()
            if not _inside:
                put(before)


@cache
def _openblas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """What tells and sets the number of threads of the OpenBLAS in numpy's wheel, or None."""
    import numpy

    package = Path(numpy.__file__).parent
    for path in (*package.parent.glob("numpy.libs/*openblas*"), *package.glob(".dylibs/*openblas*")):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue  # not for this machine
        for name in ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads64_",
                     "openblas_{}_num_threads"):  # fmt: skip
            get, put = (getattr(library, name.format(verb), None) for verb in ("get", "set"))
            if get is not None and put is not None:
                get.argtypes, get.restype = [], ctypes.c_int
                put.argtypes, put.restype = [ctypes.c_int], None
                return get, put
    return None
