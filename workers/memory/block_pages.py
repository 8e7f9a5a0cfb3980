"""A KV block as pages of a flash file, each of which says of which block it is what part. Pure.

    page    magic │ key │ checksum │ number │ part │ num │ part of the content │ zeros
    content dtype │ number of dimensions │ dimensions │ bytes in C order

A block is there if all its pages are, under one number; so a write that a crash cut short is
noticed, whatever batches it took. Numbers grow with every block written, and order them by age.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from workers.kv.identity import block_checksum
from workers.wire.roles import Array

MAGIC = b"PFK2"  # since checksums cover the key
HEAD = struct.Struct("<4s16s2Q2I")
DTYPE_BYTES = 8
META, DIMENSION = struct.Struct(f"<{DTYPE_BYTES}sB"), struct.Struct("<Q")


class Head(NamedTuple):
    """Page `part` of `num` of the block with this key and checksum, the `number`th written."""

    key: bytes
    checksum: int
    number: int
    part: int
    num: int


def num_pages(block: Array, page_bytes: int) -> int:
    """Pages that a block takes."""
    content = META.size + DIMENSION.size * block.ndim + block.nbytes
    return -(-content // _part_bytes(page_bytes))


def encode(key: bytes, block: Array, checksum: int, number: int, page_bytes: int) -> list[bytes]:
    """Its pages, whole ones."""
    content = b"".join(
        [
            META.pack(block.dtype.str.encode(), block.ndim),
            *(DIMENSION.pack(size) for size in block.shape),
            np.ascontiguousarray(block).tobytes(),
        ]
    )
    part, count = _part_bytes(page_bytes), num_pages(block, page_bytes)
    return [
        (
            HEAD.pack(MAGIC, key, checksum, number, index, count)
            + content[index * part : (index + 1) * part]
        ).ljust(page_bytes, b"\0")
        for index in range(count)
    ]


def head_of(page: bytes) -> Head | None:
    """What a page says of itself; None if it is of no block."""
    magic, *fields = HEAD.unpack_from(page)
    return Head(*fields) if magic == MAGIC else None


def decode(key: bytes, pages: Sequence[bytes]) -> Array | None:
    """The block, read-only; None unless these are all its pages and it fits its checksum."""
    heads = [head_of(page) for page in pages]
    first = heads[0]
    if first is None or first.key != key or first.num != len(pages):
        return None
    if heads != [first._replace(part=part) for part in range(len(pages))]:
        return None
    content = b"".join(page[HEAD.size :] for page in pages)
    name, ndim = META.unpack_from(content)
    at = META.size + ndim * DIMENSION.size
    shape = [size for (size,) in DIMENSION.iter_unpack(content[META.size : at])]
    dtype = np.dtype(name.rstrip(b"\0").decode())
    block = np.frombuffer(content, dtype, int(np.prod(shape)), at).reshape(shape)
    return block if block_checksum(block, key) == first.checksum else None


def _part_bytes(page_bytes: int) -> int:
    return page_bytes - HEAD.size
