"""Reading the protobuf wire format of an ONNX file without reading its weights.

`skeleton` copies a serialized ModelProto but turns the payload of each tensor above `LARGE` bytes into an external-data
reference into the file itself. The copy is a valid ModelProto of some hundred kilobytes, however large the file is.

Source: https://protobuf.dev/programming-guides/encoding/ and the field numbers of onnx.proto3.
"""

from __future__ import annotations

import mmap

from core.errors import ModelFileError
from core.progress import SILENT, Reporter

LARGE = 1024
"""Tensors with more bytes than this stay in the file."""

HERE = "featherweight:this-file"
"""The location that marks a reference into the model file itself."""

_MAX_DEPTH = 100
_MAX_FIELDS = 5_000_000  # some seconds of reading; real files have some ten thousand outside their tensors
_MAX_SKELETON = 2**31 - 1

# Message kind -> field number -> kind of the nested message. Only fields that can hold a tensor are listed.
_NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}

_DATA_TYPE, _SEGMENT, _EXTERNAL, _LOCATION = 2, 3, 13, 14
_RAW_DATA = 9
# Packed repeated fields whose wire form is the array itself -> the data_type they belong to (FLOAT, DOUBLE).
_FLAT = {4: 1, 10: 11}


def skeleton(data: mmap.mmap | bytes, reporter: Reporter = SILENT) -> bytes:
    """The ModelProto in `data` with large payloads turned into references (location HERE, offset, length).

    Raises ModelFileError when the wire format is broken (truncated, damaged, nested too deeply) and Cancelled.
    """
    with memoryview(data) as view:
        return _Walk(view, reporter).message("model", 0, len(view), 0)


class _Walk:
    """One pass over the file. Offsets are absolute."""

    def __init__(self, view: memoryview, reporter: Reporter) -> None:
        self._view = view
        self._reporter = reporter
        self._fields = 0

    def message(self, kind: str, start: int, stop: int, depth: int) -> bytes:
        """The message at start..stop, re-encoded where something below it became a reference."""
        if depth > _MAX_DEPTH:
            raise ModelFileError("the file nests graphs too deeply", do="export the model again")
        if kind == "tensor":
            return self._tensor(start, stop)
        nested = _NESTED[kind]
        out: list[bytes | memoryview] = []
        kept = position = start
        while position < stop:
            field_start = position
            number, payload, position = self._field(position, stop)
            child = nested.get(number)
            if child is None or payload is None or position - payload <= LARGE:
                continue
            body = self.message(child, payload, position, depth + 1)
            out += (self._view[kept:field_start], _varint(number << 3 | 2), _varint(len(body)), body)
            kept = position
        out.append(self._view[kept:stop])
        if sum(map(len, out)) > _MAX_SKELETON:
            raise ModelFileError("more than 2 GB of the file are not tensors that can stay on disk",
                                 do="save the model with external data")
        return b"".join(out)

    def _tensor(self, start: int, stop: int) -> bytes:
        """A TensorProto; its payload becomes a reference when it is large and lies in one piece."""
        payloads: list[tuple[int, int, int, int]] = []  # field number, field start, payload start, stop
        data_type, special = 0, False
        position = start
        while position < stop:
            field_start = position
            number, payload, position = self._field(position, stop)
            if payload is None:
                special |= number == _LOCATION and self._number(field_start, stop) != 0
                if number == _DATA_TYPE:
                    data_type = self._number(field_start, stop)
            elif number == _RAW_DATA or number in _FLAT:
                payloads.append((number, field_start, payload, position))
            elif number in (_SEGMENT, _EXTERNAL):
                special = True
        if special or len(payloads) != 1:
            return bytes(self._view[start:stop])
        number, field_start, payload, end = payloads[0]
        if end - payload <= LARGE or _FLAT.get(number, data_type) != data_type:
            return bytes(self._view[start:stop])
        return b"".join((self._view[start:field_start], self._view[end:stop], _reference(payload, end - payload)))

    def _field(self, position: int, stop: int) -> tuple[int, int | None, int]:
        """(field number, start of a length-delimited payload or None, end of the field) of the field at `position`."""
        self._fields += 1
        if self._fields & 0xFFFF == 0:
            self._reporter.check()
            if self._fields > _MAX_FIELDS:
                raise ModelFileError("the file is not an ONNX model", do="choose an .onnx file")
        tag, position = self._read_varint(position, stop)
        number, wire_type = tag >> 3, tag & 7
        payload = None
        if wire_type == 0:
            _, position = self._read_varint(position, stop)
        elif wire_type == 2:
            size, payload = self._read_varint(position, stop)
            position = payload + size
        elif wire_type in (1, 5):
            position += 8 if wire_type == 1 else 4
        else:
            raise _damaged(position)
        if number == 0 or position > stop:
            raise _damaged(position)
        return number, payload, position

    def _number(self, field_start: int, stop: int) -> int:
        """The value of the varint field that starts at `field_start`."""
        _, position = self._read_varint(field_start, stop)
        return self._read_varint(position, stop)[0]

    def _read_varint(self, position: int, stop: int) -> tuple[int, int]:
        value = shift = 0
        view = self._view
        while position < stop and shift < 70:
            byte = view[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
        raise _damaged(position)


def _damaged(position: int) -> ModelFileError:
    return ModelFileError(f"the file is no ONNX file, or it is damaged or cut off (at byte {position:,})",
                          do="get it again or choose an .onnx file")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _delimited(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _reference(offset: int, length: int) -> bytes:
    """TensorProto fields external_data and data_location = EXTERNAL that point into the model file."""
    out = b""
    for key, value in (("location", HERE), ("offset", str(offset)), ("length", str(length))):
        out += _delimited(_EXTERNAL, _delimited(1, key.encode()) + _delimited(2, value.encode()))
    return out + _varint(_LOCATION << 3) + b"\x01"
