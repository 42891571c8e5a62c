"""Writing a file so that it is there whole or not at all.

The new file is written beside its target and then takes its place. Where the system allows it (Linux, `O_TMPFILE`) the
unfinished file has no name, so that not even a killed process leaves anything behind; elsewhere it is a hidden folder
that is removed on failure and, after a kill, at the next export to that place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import TargetError
from core.scratch import alive, is_full

_SUFFIX = ".featherweight-part"


class Staging:
    """The unfinished file. `path` can be read by others (the gate) before `commit` gives it the target's name."""

    def __init__(self, target: Path, *, several: bool = False) -> None:
        """several: more than one file belongs to the target (external data), so a folder is needed."""
        self.target = target
        self._fd: int | None = None
        self._folder: Path | None = None
        if not several:
            self._fd = _unnamed_file(target.parent)
        if self._fd is None:
            self._folder = target.parent / _part_name(target)
            self._folder.mkdir()

    @property
    def path(self) -> Path:
        if self._fd is not None:
            return Path(f"/proc/self/fd/{self._fd}")
        if self._folder is None:
            raise ValueError("the staged file is closed")
        return self._folder / self.target.name

    def write(self, data: bytes | memoryview) -> None:
        """Write the whole content (of a target that is one file)."""
        if self._fd is None:
            self.path.write_bytes(data)
            return
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view[: 1 << 26]) :]
        os.fsync(self._fd)

    @property
    def nbytes(self) -> int:
        """Bytes of all files that `commit` will put in place."""
        if self._fd is not None:
            return os.fstat(self._fd).st_size
        return sum(f.stat().st_size for f in self._folder.iterdir()) if self._folder else 0

    def commit(self) -> None:
        """Put the file (and its external data, first) in the target's place."""
        if self._fd is not None:
            _link_and_replace(self._fd, self.target)
        elif self._folder is not None:
            for file in sorted(self._folder.iterdir(), key=lambda f: f.name == self.target.name):
                os.replace(file, self.target.parent / file.name)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


@contextlib.contextmanager
def staged(target: Path, *, several: bool = False) -> Iterator[Staging]:
    """A Staging beside `target` that is cleaned up whatever happens; operating system errors become TargetError."""
    stage: Staging | None = None
    try:
        clean_leftovers(target.parent)
        stage = Staging(target, several=several)
        yield stage
    except OSError as error:
        raise target_error(_where(target, error), error) from error
    finally:
        if stage is not None:
            stage.close()


def _where(target: Path, error: OSError) -> Path:
    """What the error is about: the target, or a file elsewhere (in the system's folder for temporary files)."""
    named = Path(error.filename) if isinstance(error.filename, str) else None
    return target if named is None or named.is_relative_to(target.parent) or named.is_relative_to("/proc") else named


def check_target(target: Path, source: Path | None = None, also_read: Iterable[Path] = ()) -> None:
    """Refuse, before any work, a target that cannot be written or that would replace what is read.

    source     the original model
    also_read  its external data files, the samples, the recipe (`files_read`); of a folder, everything that is in it
    """
    folder = target.parent
    if not os.path.isdir(folder):  # Path.is_dir raises for names that are too long
        raise TargetError("the target's folder does not exist", where=str(folder), do="create it or choose another one")
    _check_what_is_there(target)
    if source is not None and target.exists() and target.samefile(source):
        raise TargetError(
            "the target is the original model, which is never overwritten", where=str(target), do="choose another name"
        )
    if target.exists() and any(_is_of(target, read) for read in also_read):
        raise TargetError(
            "the target is one of the files that are read, which is never overwritten",
            where=str(target),
            do="choose another name",
        )
    _check_folder(folder)


def files_read(*paths: str | os.PathLike[str] | None, options: DataOptions = DEFAULT_OPTIONS) -> tuple[Path, ...]:
    """What a job reads beside its model, for `check_target`: these files and folders, and a person's own metric.

    Raises ParameterError when the metric's file is not there.
    """
    read = [Path(path) for path in paths if path]
    if options.metric_callable:
        from core.own_code import find_source

        read.append(find_source(options.metric_callable).file)
    return tuple(read)


def check_distinct(*targets: str | os.PathLike[str] | None) -> None:
    """Refuse two files to write that are one: the second would replace the first."""
    seen: set[str] = set()
    for target in targets:
        if not target:
            continue
        place = os.fspath(Path(target).resolve())
        if place in seen:
            raise TargetError("two files would have this name", where=str(target), do="choose another name for one")
        seen.add(place)


def _is_of(target: Path, read: Path) -> bool:
    """Whether a file that is there is this one, or anywhere in this folder."""
    if not read.exists():
        return False
    return target.samefile(read) or (read.is_dir() and target.resolve().is_relative_to(read.resolve()))


def _check_folder(folder: Path) -> None:
    """Refuse a folder in which no file can be made: one is, for a moment. Permissions alone do not tell (/proc)."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TargetError("the folder is read-only", where=str(folder), do="choose another one")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise target_error(folder, error) from error


def _check_what_is_there(target: Path) -> None:
    """Refuse a target that is there and no file: a device such as /dev/null would be replaced by one."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise target_error(target, error) from error
    except ValueError as error:  # a NUL in the name
        what = f"there can be no such file ({error})"
        raise TargetError(what, where=repr(target.name), do="choose another name") from error
    if stat.S_ISDIR(mode):
        raise TargetError("the target is a folder", where=str(target), do="give a file name in it")
    if not stat.S_ISREG(mode):
        raise TargetError("the target is a device or a pipe, not a file", where=str(target), do="choose another name")


def target_error(target: Path, error: OSError) -> TargetError:
    """An operating system error while writing `target`, as a sentence."""
    if is_full(error):
        do = "free some space or choose another place"
        if target.is_relative_to(tempfile.gettempdir()):  # perhaps not what the person named, but a step on the way
            do += " (TMPDIR, for temporary files)"
        return TargetError("the disk is full, nothing was written", where=str(target), do=do)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return TargetError("the place is read-only, nothing was written", where=str(target), do="choose another one")
    return TargetError(f"cannot write ({error.strerror or error})", where=str(target), do="choose another place")


def write_atomic(target: Path, data: bytes) -> None:
    """Write a small file (recipe, report, session) whole or not at all."""
    with staged(target) as stage:
        stage.write(data)
        stage.commit()


def clean_leftovers(folder: Path) -> list[Path]:
    """Remove unfinished files of runs that no longer live; returns what was removed."""
    removed = []
    for path in folder.glob(f".*{_SUFFIX}"):
        pid = path.name.removesuffix(_SUFFIX).rpartition(".")[2]
        if pid.isdigit() and not alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _part_name(target: Path) -> str:
    """A hidden name for the unfinished file. Short: the target's own name may be as long as the system allows."""
    return f".{zlib.crc32(os.fsencode(target.name)):08x}.{os.getpid()}{_SUFFIX}"


def _unnamed_file(folder: Path) -> int | None:
    """A file in `folder` without a name, or None where the system or its file system has no such thing."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(folder, flag | os.O_RDWR, 0o666)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            return None
        raise


def _link_and_replace(fd: int, target: Path) -> None:
    """Give the nameless file a name beside the target, then let it take the target's place.

    linkat cannot replace a file, hence two steps. `src_dir_fd` makes Python call linkat with AT_SYMLINK_FOLLOW, which
    the documentation of open(2) asks for with /proc/self/fd.
    """
    directory = os.open(target.parent, os.O_RDONLY)
    name = _part_name(target)
    try:
        os.link(f"/proc/self/fd/{fd}", name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=True)
        os.replace(name, target.name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
        os.close(directory)
