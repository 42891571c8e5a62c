"""Arrays from .npz and .npy files: never unpickled, never larger than allowed, memory-mapped where possible."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from core.errors import DataError
from core.progress import SILENT, Reporter

Array = np.ndarray[Any, np.dtype[Any]]

LARGEST_BYTES = 4 * 2**30
"""The most that the compressed arrays of one file may unpack to, together. A zip of some kB can declare terabytes."""
MOST_AXES = 64
"""numpy.ndarray has no more (NPY_MAXDIMS)."""
LOCAL_HEADER = struct.Struct("<4s22xHH")
"""The fixed 30 bytes before a zip member: signature, and lengths of name and extra field (APPNOTE.TXT 4.3.7)."""


@dataclass(frozen=True)
class Header:
    """What an array's header declares: shape, type, order, and where its data starts."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    data_start: int

    @property
    def nbytes(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count * self.dtype.itemsize


class ArrayFile:
    """An .npz file: names and shapes at once, each array when asked for.

    Members that are stored uncompressed are memory-mapped; compressed ones are unpacked within LARGEST_BYTES.
    """

    def __init__(self, path: Path, *, largest: int = LARGEST_BYTES) -> None:
        self.path, self._largest = path, largest
        try:
            with zipfile.ZipFile(path) as archive:
                self._members = {
                    info.filename.removesuffix(".npy"): info
                    for info in archive.infolist()
                    if info.filename.endswith(".npy")
                }
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(
                f"this is no readable .npz file ({error})", where=str(path), do="save it with numpy.savez"
            ) from error

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def headers(self) -> dict[str, Header]:
        """What each array declares of itself, without its values; raises DataError as `read` does."""
        found = {}
        for name, info in self._members.items():
            where = f"{self.path}, array {name!r}"
            try:
                with zipfile.ZipFile(self.path) as archive, archive.open(info) as stream:
                    found[name] = read_header(stream, where)
            except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError) as error:
                raise _broken(str(error), where) from error
        return found

    def read(self, names: tuple[str, ...], reporter: Reporter = SILENT) -> dict[str, Array]:
        """The named arrays; raises DataError when one is broken, holds objects or is larger than allowed."""
        packed = sum(
            self._members[name].file_size for name in names if self._members[name].compress_type != zipfile.ZIP_STORED
        )
        if packed > self._largest:
            raise DataError(
                f"its arrays unpack to {packed / 1e9:.1f} GB, more than {self._largest / 1e9:.1f} GB",
                where=str(self.path),
                do="give fewer samples, or save with numpy.savez, which does not compress and is read piece by piece",
            )
        arrays = {}
        for i, name in enumerate(names):
            reporter.report(i / len(names), f"reading {name}")
            arrays[name] = self._array(name)
        return arrays

    def _array(self, name: str) -> Array:
        info, where = self._members[name], f"{self.path}, array {name!r}"
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(info) as stream:
                head = read_header(stream, where)
                if head.nbytes != info.file_size - head.data_start:
                    raise _broken("its size is not what its header declares", where)
                if info.compress_type == zipfile.ZIP_STORED and head.nbytes:
                    return _mapped(self.path, head, self._data_offset(info, where) + head.data_start)
                data = bytearray(head.nbytes)  # a bytearray, as frombuffer of bytes would be one copy more
                if _fill(stream, data) != len(data):
                    raise _broken("the file ends before it does", where)
        except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, EOFError) as error:
            raise _broken(str(error), where) from error
        flat: Array = np.frombuffer(data, head.dtype)
        return flat.reshape(head.shape, order="F" if head.fortran else "C")

    def _data_offset(self, info: zipfile.ZipInfo, where: str) -> int:
        """Where a stored member's bytes start; the local header may have another extra field than the directory."""
        with open(self.path, "rb") as file:
            file.seek(info.header_offset)
            raw = file.read(LOCAL_HEADER.size)
        if len(raw) != LOCAL_HEADER.size:
            raise _broken("the file ends before it does", where)
        name_length: int
        extra_length: int
        signature, name_length, extra_length = LOCAL_HEADER.unpack(raw)
        if signature != b"PK\x03\x04":
            raise _broken("the zip directory points to something else", where)
        return info.header_offset + LOCAL_HEADER.size + name_length + extra_length


def read_npy(path: Path) -> Array:
    """The array of an .npy file, memory-mapped; raises DataError when it is broken or holds objects."""
    where = str(path)
    try:
        with open(path, "rb") as file:
            head = read_header(file, where)
        if path.stat().st_size - head.data_start < head.nbytes:
            raise _broken("the file ends before the array does", where)
        if not head.nbytes:
            return np.empty(head.shape, head.dtype)
        return _mapped(path, head, head.data_start)
    except OSError as error:
        raise DataError(f"it cannot be read ({error.strerror or error})", where=where) from error


def read_header(stream: BinaryIO | Any, where: str) -> Header:
    """An array's header (NumPy enhancement proposal 1, versions 1 and 2); raises DataError on anything else."""
    try:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version[0]}.{version[1]} of the format is for structured arrays")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, EOFError, io.UnsupportedOperation) as error:
        first_line = str(error).splitlines()[0] if str(error) else "empty"
        raise DataError(f"this is no readable array ({first_line})", where=where, do="save it with numpy") from error
    if dtype.hasobject:
        raise DataError("it holds Python objects, which are never loaded", where=where, do="save numbers or text")
    if dtype.kind not in "fiubUS":
        raise DataError(f"arrays of {dtype} are not supported", where=where, do="save numbers or text")
    if any(size < 0 for size in shape):
        raise _broken("its header declares a negative size", where)
    if len(shape) > MOST_AXES:
        raise _broken(f"its header declares {len(shape)} axes", where)
    return Header(tuple(map(int, shape)), bool(fortran), dtype, stream.tell())


def _mapped(path: str | os.PathLike[str], head: Header, offset: int) -> Array:
    return np.memmap(path, head.dtype, "r", offset, head.shape, "F" if head.fortran else "C")


def _fill(stream: Any, data: bytearray) -> int:
    """Read into `data` until it is full or the stream ends; returns the bytes read."""
    view, done = memoryview(data), 0
    while done < len(data):
        count = stream.readinto(view[done : done + (1 << 22)])
        if not count:
            break
        done += count
    return done


def _broken(what: str, where: str) -> DataError:
    return DataError(f"the array is broken: {what}", where=where, do="save the file again")
