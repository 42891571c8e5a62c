"""How much memory a model takes: measured in a fresh process, where nothing else grows and a crash harms nobody.

`python -m core.analysis.memory MODEL FEED.npz` is that process; it prints one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from core.analysis.runtime import Feed, run, session
from core.errors import DataError, FeatherweightError, InternalError, ModelFileError
from core.progress import SILENT, Reporter
from core.scratch import scratch_folder

MODULE = "core.analysis.memory"
TIMEOUT = 300.0
POLL = 0.05
"""Seconds between looks at the child; a cancel takes effect within this."""


def session_memory(
    path: str | os.PathLike[str], feed: Feed, *, timeout: float = TIMEOUT, reporter: Reporter = SILENT
) -> int:
    """Bytes by which a process's resident memory grows when it loads the model and runs it once, one thread.

    Raises ModelFileError when the model cannot be loaded, cannot be run, takes longer than `timeout` seconds or brings
    the process down; DataError when the feed does not fit.
    """
    with scratch_folder() as folder:
        data = Path(folder) / "feed.npz"
        arrays: dict[str, Any] = {f"input{i}": array for i, array in enumerate(feed.values())}
        np.savez(data, names=np.array(list(feed)), **arrays)
        # -P: a json.py that happens to lie in the current folder must not be run
        command = [sys.executable, "-P", "-m", MODULE, os.path.abspath(path), str(data)]
        child = subprocess.Popen(
            command, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            out, err = _wait(child, time.monotonic() + timeout, os.fspath(path), reporter)
        finally:
            if child.poll() is None:
                child.kill()
                child.communicate()
    return _result(child.returncode, out, err, os.fspath(path))


def _environment() -> dict[str, str]:
    """Our environment, in which the child finds this very package first."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _wait(child: subprocess.Popen[bytes], deadline: float, where: str, reporter: Reporter) -> tuple[bytes, bytes]:
    while True:
        reporter.check()
        try:
            return child.communicate(timeout=POLL)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise ModelFileError(
                    "measuring its memory took too long and was stopped", where=where, do="try a smaller sample"
                ) from None


def _result(code: int, out: bytes, err: bytes, where: str) -> int:
    if code < 0 or (code and not err.strip()):
        raise ModelFileError(
            f"ONNX Runtime crashed on it (exit code {code})", where=where, do="do not use this model with this runtime"
        )
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise InternalError(f"measuring memory failed: {last[0]}", where=where) from None
    if "what" in answer:
        kind = DataError if answer["kind"] == DataError.__name__ else ModelFileError
        raise kind(answer["what"], where=answer["where"] or where, do=answer["do"])
    return int(answer["bytes"])


def resident_bytes() -> int:
    """Resident memory of this process in bytes."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _measure(path: str, data: str) -> int:
    """In the child: how much loading and one run add."""
    import onnxruntime  # noqa: F401  the library itself is not the model's memory

    with np.load(data, allow_pickle=False) as arrays:
        feed = {str(name): arrays[f"input{i}"] for i, name in enumerate(arrays["names"])}
    before = resident_bytes()
    sess = session(path)
    run(sess, feed, where=path)
    return max(0, resident_bytes() - before)


def main(arguments: list[str]) -> int:
    try:
        answer: dict[str, Any] = {"bytes": _measure(*arguments)}
    except FeatherweightError as error:
        answer = {"kind": type(error).__name__, "what": error.what, "where": error.where, "do": error.do}
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
