"""Packing of codes of 1 to 7 bits into bytes, in the layout that ONNX operators of opset 11 unpack with few nodes.

Segments: the flattened codes are cut into 8/p contiguous segments (the last padded with zeros), and byte i holds
element i of every segment, the first segment in the highest bits. So one BitShift by a [8/p, 1] tensor and
one Mod give all segments one after the other, and the padding lies at the end.

Planes: p must divide 8. Codes of 3, 5, 6 and 7 bits are stored as planes of p = 1, 1, 2 and 1 bits, the lowest first,
and a product with the places' values (1, 2, 4, ... or 1, 4, 16) puts them together. MatMulInteger does that on bytes;
ReduceSum or MatMul in float take two to four times as long to load and four times the memory.

Few codes are stored in whole bytes: the nodes that unpack would take more bytes than packing saves.
"""

from __future__ import annotations

import numpy as np

from core.encoding.base import Array

PLANES = {1: (1, 1), 2: (2, 1), 3: (1, 3), 4: (4, 1), 5: (1, 5), 6: (2, 3), 7: (1, 7)}
"""bits -> (bits of a plane, number of planes)."""


_ONE_PLANE, _MORE_PLANES = 115, 185
"""Bytes in the file of the nodes that unpack, without the constants that all weights share."""


def stored_bits(size: int, bits: int) -> int:
    """Bits that each of `size` codes is stored in: `bits`, or 8 where packing does not pay."""
    if bits == 8:
        return 8
    nodes = _ONE_PLANE if PLANES[bits][1] == 1 else _MORE_PLANES
    return bits if size - packed_bytes(size, bits) > nodes else 8


def packed_bytes(size: int, bits: int) -> int:
    """Bytes that `size` codes of `bits` take."""
    if bits == 8:
        return size
    width, planes = PLANES[bits]
    return planes * -(-size * width // 8)


def pack(codes: Array, bits: int) -> Array:
    """uint8 of shape (planes, bytes of a plane) from uint8 codes below 2**bits."""
    width, planes = PLANES[bits]
    flat = codes.reshape(-1)
    segments = 8 // width
    length = -(-flat.size // segments)
    packed = np.zeros((planes, length), np.uint8)
    part = np.empty(length, np.uint8)
    for plane in range(planes):
        for segment in range(segments):
            piece = flat[segment * length : (segment + 1) * length]
            bits_here = np.right_shift(piece, plane * width, out=part[: piece.size])
            if planes > 1:
                bits_here &= (1 << width) - 1
            bits_here <<= 8 - width * (segment + 1)
            packed[plane, : piece.size] |= bits_here
    return packed
