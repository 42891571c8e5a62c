"""Where tensors lie: the mapped model file and its external data files. Views only; nothing is read early."""

from __future__ import annotations

import math
import mmap
import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ModelFileError
from core.model.wire import HERE

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_SUB_BYTE = frozenset({"INT4", "UINT4", "INT2", "UINT2", "FLOAT4E2M1"})


class Storage:
    """The files of one model, mapped read-only. Thread-safe; maps stay valid as long as a view of them lives."""

    def __init__(self, path: Path) -> None:
        """Map the model file. Raises ModelFileError when it cannot be read."""
        self.data = _map(path)
        self.path = path
        self.folder = Path(os.path.realpath(path)).parent
        self._lock = threading.Lock()
        self._maps: dict[str, Bytes] = {HERE: np.frombuffer(self.data, np.uint8)}
        self._files: list[Path] = []
        self._mapped = [self.data]
        self._stamps = {path: _stamp(path)}

    @property
    def nbytes(self) -> int:
        """Bytes of the model file and of the external data files that were used so far."""
        with self._lock:
            return sum(view.size for view in self._maps.values())

    @property
    def data_files(self) -> tuple[Path, ...]:
        """The external data files that were used so far."""
        with self._lock:
            return tuple(self._files)

    def check_unchanged(self) -> None:
        """Raise ModelFileError when a file is gone, or is not what it was: a shorter one would end the process."""
        with self._lock:
            stamps = tuple(self._stamps.items())
        for file, stamp in stamps:
            if _stamp(file) != stamp:
                raise ModelFileError(
                    "the file was changed or removed since it was opened", where=file.name, do="open the model again"
                )

    def release(self) -> None:
        """Give the memory of pages that were read back to the system; views stay valid and are read again when used."""
        advice = getattr(mmap, "MADV_DONTNEED", None)
        if advice is not None:
            with self._lock:
                for mapped in self._mapped:
                    mapped.madvise(advice)

    def view(self, location: str, offset: int, length: int | None, tensor: str) -> Bytes:
        """The bytes of an external tensor. Raises ModelFileError when they are missing or outside the folder."""
        with self._lock:
            whole = self._maps.get(location)
            if whole is None:
                file = self._resolve(location, tensor)
                mapped = _map(file)
                self._mapped.append(mapped)
                self._stamps[file] = _stamp(file)
                whole = self._maps[location] = np.frombuffer(mapped, np.uint8)
                self._files.append(file)
        length = whole.size - offset if length is None else length
        if offset < 0 or length < 0 or offset + length > whole.size:
            name = self.path.name if location == HERE else location
            raise ModelFileError(
                f"the data of {tensor!r} should lie at bytes {offset:,} to {offset + length:,} of {name}, "
                f"which has only {whole.size:,}", where=self.path.name, do="get the data file again")
        return whole[offset : offset + length]

    def _resolve(self, location: str, tensor: str) -> Path:
        refused = f"the data of {tensor!r} would lie at {location!r}, outside the model's folder"
        if not location or "\0" in location or os.path.isabs(location) or location.startswith(("/", "\\")) \
                or (len(location) > 1 and location[1] == ":"):
            raise ModelFileError(refused, where=self.path.name, do="external data must lie beside the model")
        target = Path(os.path.realpath(self.folder / location.replace("\\", "/")))
        if not target.is_relative_to(self.folder):
            raise ModelFileError(refused, where=self.path.name, do="external data must lie beside the model")
        if not target.is_file():
            raise ModelFileError(f"the data file {location!r} is missing", where=self.path.name,
                                 do=f"put it into the folder {self.folder}")
        return target


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change, or None when there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _map(path: Path) -> mmap.mmap:
    """Map a file read-only; ModelFileError says why it cannot be read."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ModelFileError("this is a folder", where=str(path), do="choose the model file inside it")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise ModelFileError("this is not a regular file", where=str(path), do="choose an .onnx file")
        if status.st_size == 0:
            raise ModelFileError("the file is empty", where=path.name, do="get the file again")
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise ModelFileError("there is no such file", where=str(path), do="check the name and the folder") from None
    except PermissionError:
        raise ModelFileError("the file may not be read", where=str(path), do="check its permissions") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelFileError(f"the file cannot be read ({why})", where=str(path), do="check the name") from error


def numbers_in(shape: tuple[int, ...]) -> int:
    """Number of elements of a shape."""
    return math.prod(shape)


def bits_of(dtype: ir.DataType) -> int:
    """Bits of one element (4 for INT4)."""
    return int(dtype.itemsize * 8)


def type_name(dtype: ir.DataType | None) -> str:
    """The numpy name of an element type ("float32"); the ONNX name in lower case where numpy has no such type."""
    name = dtype.name.lower() if dtype is not None else "unknown"
    return {"float": "float32", "double": "float64", "string": "str"}.get(name, name)


def expected_bytes(dtype: ir.DataType, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor in its raw form; sub-byte types are packed."""
    return (numbers_in(shape) * bits_of(dtype) + 7) // 8


def check_tensor(proto: onnx.TensorProto, where: str) -> None:
    """Raise ModelFileError unless the type is known, the dimensions make sense and inline data fits the shape."""
    import onnx
    import onnx_ir as ir

    name, shape = proto.name or "a constant", tuple(proto.dims)
    check_texts((name, *(text for entry in proto.external_data for text in (entry.key, entry.value))), where)
    try:
        dtype = ir.DataType(proto.data_type)
    except ValueError:
        raise ModelFileError(f"{name!r} has the unknown element type {proto.data_type}", where=where,
                             do="export the model again") from None
    if dtype == ir.DataType.UNDEFINED:
        raise ModelFileError(f"{name!r} has no element type", where=where, do="export the model again")
    if any(size < 0 or size >= 2**62 for size in shape):
        raise ModelFileError(f"{name!r} has the impossible shape {list(shape)}", where=where, do="get the file again")
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        for entry in proto.external_data:
            if entry.key in ("offset", "length") and not (entry.value.isascii() and entry.value.isdigit()):
                raise ModelFileError(f"the data of {name!r} has the impossible {entry.key} {entry.value[:40]!r}",
                                     where=where, do="export the model again")
        return
    have, need = _inline_size(proto, dtype, shape)
    if have != need:
        unit = "bytes" if proto.raw_data else "values"
        raise ModelFileError(f"{name!r} holds {have:,} {unit} of data, but its shape {list(shape)} needs {need:,}",
                             where=where, do="get the file again")


def check_texts(texts: Iterable[str | bytes], where: str) -> None:
    """Raise ModelFileError for a text that is no UTF-8, which protobuf hands out as bytes."""
    for text in texts:
        if isinstance(text, bytes):
            raise ModelFileError(f"a name in the file is damaged ({text[:40]!r})", where=where, do="get the file again")


def _inline_size(proto: onnx.TensorProto, dtype: ir.DataType, shape: tuple[int, ...]) -> tuple[int, int]:
    """(present, needed) bytes or values of a tensor whose data is in the message."""
    if dtype.name == "STRING":
        return len(proto.string_data), numbers_in(shape)
    if proto.raw_data:
        return len(proto.raw_data), expected_bytes(dtype, shape)
    count = numbers_in(shape)
    if dtype.name in ("FLOAT", "COMPLEX64"):
        return len(proto.float_data), count * (2 if dtype.name == "COMPLEX64" else 1)
    if dtype.name in ("DOUBLE", "COMPLEX128"):
        return len(proto.double_data), count * (2 if dtype.name == "COMPLEX128" else 1)
    if dtype.name == "INT64":
        return len(proto.int64_data), count
    if dtype.name in ("UINT64", "UINT32"):
        return len(proto.uint64_data), count
    return len(proto.int32_data), expected_bytes(dtype, shape) if dtype.name in _SUB_BYTE else count


def mapped_tensor(tensor: ir.ExternalTensor, storage: Storage) -> ir.TensorProtocol:
    """The external tensor as a view of the mapped file. Raises ModelFileError when its bytes do not fit its shape."""
    import onnx_ir as ir

    name, dtype = tensor.name or "a constant", tensor.dtype
    shape = tuple(tensor.shape.numpy())
    if dtype.name == "STRING":
        raise ModelFileError(f"{name!r} keeps texts in external data", where=storage.path.name,
                             do="export the model again")
    need = expected_bytes(dtype, shape)
    location, offset = str(tensor.location), int(tensor.offset or 0)
    length = int(tensor.length) if tensor.length is not None else None
    # Writers disagree whether a missing or a zero length means "up to the end": read what the shape needs then.
    data = storage.view(location, offset, length or need, name)
    if data.size != need:
        raise ModelFileError(f"{name!r} holds {data.size:,} bytes of data, but its shape {list(shape)} needs {need:,}",
                             where=storage.path.name, do="get the file again")
    if bits_of(dtype) < 8:
        return ir.PackedTensor(data, dtype, shape=shape, name=tensor.name, doc_string=tensor.doc_string,
                               metadata_props=dict(tensor.metadata_props))
    return ir.Tensor(data.view(dtype.numpy()).reshape(shape), dtype, name=tensor.name, doc_string=tensor.doc_string,
                     metadata_props=dict(tensor.metadata_props))
