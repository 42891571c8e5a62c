"""What a PyTorch file is, told by its first bytes and its list of members: nothing of it is loaded."""

from __future__ import annotations

import struct
import zipfile
from enum import StrEnum
from pathlib import Path

from core.errors import ModelFileError

MOST_UNPACKED = 64 * 2**20
"""Bytes that the compressed members of a file may unpack to (TorchScript compresses its code, nothing else)."""
_MOST_MEMBERS = 1_000_000
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class Format(StrEnum):
    """A format, in words that follow "this is a file of"."""

    EXPORTED = "torch.export"
    SCRIPT = "TorchScript"
    STATE = "state_dict"
    SAFETENSORS = "safetensors"

    @property
    def has_structure(self) -> bool:
        """Whether the file says how its weights are used."""
        return self in (Format.EXPORTED, Format.SCRIPT)


def recognise(path: Path) -> Format:
    """The format of a file. Raises ModelFileError, in one sentence, for what is none of them or is damaged."""
    from core.model.storage import Storage

    data = Storage(path).data
    head = data[:64]
    if head.startswith(b"PK\x03\x04"):
        return _of_members([info.filename for info in members(path)], path)
    if head.startswith(_PICKLES):
        return Format.STATE
    if len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= len(data) - 8:
        return Format.SAFETENSORS
    if path.suffix.lower() == ".safetensors":
        raise ModelFileError("the header of this safetensors file is damaged or the file is cut off", where=path.name,
                             do="get the file again")
    raise ModelFileError("this is no PyTorch file, or it is damaged", where=path.name,
                         do="choose a .pt2, .pt, .pth or .safetensors file; ONNX files end in .onnx")


def members(path: Path) -> list[zipfile.ZipInfo]:
    """The members of a PyTorch archive. Raises ModelFileError for a damaged one, and for one that unpacks to more than
    PyTorch itself would have packed: it stores tensors as they are.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise ModelFileError(f"the archive is damaged or cut off ({error})", where=path.name,
                             do="get the file again") from error
    stored = sum(info.file_size for info in found if info.compress_type == zipfile.ZIP_STORED)
    unpacked = sum(info.file_size for info in found if info.compress_type != zipfile.ZIP_STORED)
    if stored > path.stat().st_size or unpacked > MOST_UNPACKED or len(found) > _MOST_MEMBERS:
        raise ModelFileError(
            f"the archive of {path.stat().st_size:,} bytes would unpack to {stored + unpacked:,}, which PyTorch never "
            "writes", where=path.name, do="get the file from where it was made")
    return found


def read_member(path: Path, name: str) -> bytes:
    """One member's bytes; raises ModelFileError when it is damaged."""
    import zlib

    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, OSError, KeyError, RuntimeError, NotImplementedError) as error:
        raise ModelFileError(f"{name!r} in the archive is damaged ({error})", where=path.name,
                             do="get the file again") from error


def _of_members(names: list[str], path: Path) -> Format:
    """The format by what an archive holds below its one folder."""
    inside = {name.partition("/")[2] for name in names}
    if "archive_format" in inside and any(name.startswith("models/") for name in inside):
        return Format.EXPORTED
    if "serialized_exported_program.json" in names:
        raise ModelFileError("this .pt2 file is in the form of PyTorch 2.7 and older", where=path.name,
                             do="load and save it once with a newer PyTorch")
    if any(name.startswith("data/aotinductor/") for name in inside):
        raise ModelFileError("this .pt2 file holds compiled machine code, which is never run", where=path.name,
                             do="save the model with torch.export.save")
    if "constants.pkl" in inside and any(name.startswith("code/") for name in inside):
        return Format.SCRIPT
    if "data.pkl" in inside:
        return Format.STATE
    raise ModelFileError("this is a zip archive, but none of PyTorch's", where=path.name,
                         do="choose a .pt2, .pt, .pth or .safetensors file")
