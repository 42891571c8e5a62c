"""Compiled loops (numba) over weights, for what numpy can only do in several passes over memory.

Rules that every kernel here keeps:
1. Importing `core.kernels` is free; its submodules import numba (about 0.4 s) and load compiled code from the cache.
   So they are imported inside the functions that use them.
2. Kernels release the GIL and use no `parallel=True`: numba's thread layers abort the process when two Python threads
   enter them at once. Work is spread by `map_chunks` over one small thread pool instead.
3. A kernel that sees original weights has one explicit signature, with read-only, possibly unaligned input: a weight in
   a mapped file starts at any byte, and a second signature would mean compiling while the person waits.
4. A module whose kernels are compiled at their first call, for lack of a signature, has a `warm()` that calls them.
"""

from __future__ import annotations

import atexit
import importlib
import os
import pkgutil
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

S = TypeVar("S")
T = TypeVar("T")
Values = np.ndarray[Any, np.dtype[np.float32]]

CHUNK = 1 << 20
"""Weights a thread takes at once: 4 MB, long enough to hide the hand-over, short enough to share fairly."""


def flat_float32(values: np.ndarray) -> Values:
    """The weights as one contiguous float32 line, in memory order; copied only if not float32 or not contiguous."""
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite and is counted as such
        values = np.asarray(values, dtype=np.float32)
    return values.ravel(order="K")


def map_chunks(function: Callable[[Values], T], values: Values) -> list[T]:
    """`function` of consecutive chunks of a flat array, in order; on all threads of the pool if there are two chunks.

    Never call it from a function that runs in the pool: it would wait for itself.
    """
    chunks = [values[start : start + CHUNK] for start in range(0, values.size, CHUNK)] or [values]
    return list(in_threads(function, chunks))


def in_threads(function: Callable[[S], T], parts: Sequence[S]) -> Iterator[T]:
    """Results of `function` for each part, in order; on the pool if there are two. Not to be called from the pool."""
    if len(parts) == 1:
        return iter([function(parts[0])])
    return threads().map(function, parts)


@cache
def threads() -> ThreadPoolExecutor:
    """The pool that all kernels share: one thread a core, at most four (memory is the limit beyond)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(max_workers=min(cores, 4), thread_name_prefix="kernel")


def warm() -> None:
    """Compile every kernel into the cache (some seconds the first time, tenths of a second after that)."""
    for module in pkgutil.iter_modules(__path__):
        kernels = importlib.import_module(f"{__name__}.{module.name}")  # compiles every kernel with a signature
        if hasattr(kernels, "warm"):
            kernels.warm()


def user_cache() -> Path:
    """The folder where this person's programs keep what can be made again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _use_cache_folder() -> None:
    """Tell numba where compiled kernels live: never inside the package, which may be read-only.

    Cached kernels are code, so a shared temporary folder would let another user slip code in: where the user's own
    folder cannot be written, a private one serves for this run only.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return
    try:
        # a folder for each numba: two versions at work in one folder load each other's code and crash
        folder = user_cache() / "featherweight" / f"kernels-{version('numba')}"
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # RuntimeError: no home folder
        usable = False
    if not usable:
        folder = Path(tempfile.mkdtemp(prefix="featherweight-kernels-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)


_use_cache_folder()
