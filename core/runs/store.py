"""The runs of a person on disk: a folder each, written by many processes, readable after any crash.

    STORE/ID/run.json        what it is and what it gave (`core.runs.run`), replaced as a whole
    STORE/ID/curves.jsonl    a line an epoch
    STORE/ID/checkpoints/    what training goes on from; removed when the run is done
    STORE/ID/result.onnx     a copy of what came out, for runs of the window and of trainings
    STORE/ID/owner-N.json    the process that works on it (`core.runs.owner`)

Paths inside are relative, so that the folder can be moved. Only the process that works on a run writes to its folder.
Runs stay until the person deletes them. Copies of results are kept while all runs together take no more than `LIMIT`;
then those of the oldest runs go first. Their figures, recipes and curves stay, and so do files written for the person.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import DataError, FeatherweightError, TargetError
from core.runs import events, owner
from core.runs.run import Run, RunState, run_data, run_from
from core.training.events import EpochDone

VARIABLE = "FEATHERWEIGHT_RUNS"
"""Environment variable that names another folder for runs."""
LIMIT = 2_000_000_000
"""Bytes that copies of results may take together."""
LARGEST_FILE = 50_000_000
"""Bytes of a run file that is still read: a larger one was not written by us."""
RUN, CHECKPOINTS = "run.json", "checkpoints"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_GONE = ".deleted-"


@dataclass(frozen=True)
class Listing:
    """What a store holds.

    runs     newest first
    damaged  (id, why) of entries that cannot be read
    """

    runs: tuple[Run, ...]
    damaged: tuple[tuple[str, str], ...] = ()


def default_folder() -> Path:
    """The person's own runs: what `FEATHERWEIGHT_RUNS` names, else a folder in their data folder."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else _data_folder() / "Featherweight" / "runs"


def _data_folder() -> Path:
    """Where this person's programs keep what cannot be made again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def default_store() -> RunStore:
    """The store of the person's own runs."""
    return RunStore(default_folder())


class RunStore:
    """The runs in one folder, which is made when the first one begins. Holds no state: several may read one folder."""

    def __init__(self, folder: str | os.PathLike[str], limit: int = LIMIT) -> None:
        self.folder = Path(folder).absolute()
        self.limit = limit

    # -- reading ----------------------------------------------------------------------------------------------------

    def listing(self) -> Listing:
        """All runs, newest first, and what could not be read. A folder that is not there holds none."""
        runs, damaged = [], []
        for run_id in self.ids():
            try:
                runs.append(self.get(run_id))
            except FeatherweightError as error:
                if self.path(run_id).exists():  # else it was deleted in the meantime
                    damaged.append((run_id, error.what))
        return Listing(tuple(runs), tuple(damaged))

    def ids(self) -> tuple[str, ...]:
        """Ids of all entries, newest first, readable or not."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return ()
        return tuple(sorted(filter(_ID.fullmatch, names), reverse=True))

    def get(self, run_id: str) -> Run:
        """One run, as interrupted when the process that worked on it is gone. DataError when there is none."""
        folder = self.path(run_id)
        try:
            file = folder / RUN
            if file.stat().st_size > LARGEST_FILE:
                raise DataError("its file is far too large", where=run_id)
            run = run_from(json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise DataError("there is no such run", where=run_id, do="`featherweight-cli runs` lists them") from error
        except OSError as error:
            raise DataError(f"it cannot be read ({error.strerror or error})", where=run_id) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"its file is damaged ({error})", where=run_id) from error
        if run.id != run_id:
            raise DataError(f"its file is that of run {run.id!r}", where=run_id)
        if run.state.at_work and not owner.owned(folder):
            return replace(run, state=RunState.INTERRUPTED)
        return run

    def find(self, text: str) -> Run:
        """The run whose id is or ends with `text`, or the newest for "latest". DataError when none or several are."""
        ids = self.ids()
        found = ids[:1] if text == "latest" else [each for each in ids if text and each.endswith(text)]
        if len(found) != 1:
            what = f"there is no run {text!r}" if not found else f"{len(found)} runs end with {text!r}"
            raise DataError(what, where=str(self.folder), do="`featherweight-cli runs` lists them")
        return self.get(found[0])

    def curves(self, run_id: str) -> Mapping[str, tuple[EpochDone, ...]]:
        """The learning curves of a run by the name of their series, "" for a run with one."""
        return events.read(self.path(run_id) / events.FILE)

    def path(self, run_id: str) -> Path:
        """The folder of a run; DataError for what is no id (a path, for instance)."""
        if not _ID.fullmatch(run_id):
            raise DataError(f"{run_id!r} is no id of a run", do="`featherweight-cli runs` lists them")
        return self.folder / run_id

    def result_file(self, run: Run) -> Path | None:
        """The kept copy of what came out of a run; None when there is none (any more)."""
        if not run.kept:
            return None
        folder = self.path(run.id)
        file = folder / run.kept
        return file if file.is_file() and file.resolve().is_relative_to(folder.resolve()) else None

    def checkpoints(self, run_id: str) -> Path:
        """The folder for checkpoints of a run."""
        return self.path(run_id) / CHECKPOINTS

    def nbytes(self, run_id: str) -> int:
        """Bytes on disk of everything that belongs to a run."""
        return _tree_bytes(self.path(run_id))

    # -- writing ----------------------------------------------------------------------------------------------------

    def new_id(self, now: float | None = None) -> str:
        """Make the folder of a new run and return its id. Raises TargetError."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(time.time() if now is None else now))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            while True:
                run_id = f"{stamp}-{secrets.token_hex(3)}"
                try:
                    (self.folder / run_id).mkdir()
                    return run_id
                except FileExistsError:
                    continue
        except OSError as error:
            raise _trouble(self.folder, error) from error

    def put(self, run: Run) -> None:
        """Write a run's file, whole or not at all. Only for the process that works on it. Raises TargetError."""
        from core.exporting.staging import write_atomic

        write_atomic(self.path(run.id) / RUN, json.dumps(run_data(run), indent=1, allow_nan=False).encode())

    def delete(self, run_id: str) -> None:
        """Remove a run with its curves, checkpoints and kept result; files written elsewhere stay.

        It is gone at once, also when the machine stops in the middle. Raises FeatherweightError when a process works on
        it, TargetError when it cannot be removed.
        """
        folder = self.path(run_id)
        if not folder.is_dir():
            raise DataError("there is no such run", where=run_id, do="`featherweight-cli runs` lists them")
        if owner.owned(folder):
            raise FeatherweightError("a process works on this run", where=run_id, do="cancel it first")
        gone = self.folder / f"{_GONE}{run_id}-{secrets.token_hex(3)}"
        try:
            os.rename(folder, gone)
        except OSError as error:
            raise _trouble(folder, error) from error
        self._remove_deleted()

    def make_room(self) -> None:
        """Drop kept results of the oldest runs until all fit in `limit`; what a living process works on stays."""
        self._remove_deleted()
        kept = 0
        for run in self.listing().runs:  # newest first
            file = self.result_file(run)
            if file is None or run.state.at_work:
                continue
            kept += file.stat().st_size
            if kept > self.limit:
                file.unlink(missing_ok=True)

    def _remove_deleted(self) -> None:
        """Finish what a stopped machine left of deletions."""
        for folder in self.folder.glob(f"{_GONE}*"):
            shutil.rmtree(folder, ignore_errors=True)


def _tree_bytes(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # removed by the process that works on it
                continue
    return total


def _trouble(place: Path, error: OSError) -> TargetError:
    from core.exporting.staging import target_error

    return target_error(place, error)
