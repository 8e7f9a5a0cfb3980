"""A physical page's bytes: who it is, twice, and what it holds.

A header says which store, logical page and version a page is, so that one that is stale, foreign,
misplaced, torn or changed is never taken for another. It stands at both ends, in sectors apart: a
page that is damaged in one sector still says who it is.

The file holds the complement of what the cells do: an erased page is all zeros, and a file of them
sparse. A page in which every cell has been programmed, all ones, is void: programming more cells of
a page needs no erase, so this is how a torn page is taken out of service.
"""

import struct
from dataclasses import dataclass, replace
from enum import IntEnum

from xxhash import xxh3_64_intdigest

from workers.flash.geometry import FlashGeometry

HEADER = struct.Struct("<4sB3x4Q4IQ")
SUM = struct.Struct("<Q")
HEADER_BYTES = HEADER.size + SUM.size
MAGIC = b"PFpg"


class Kind(IntEnum):
    """NONE  erased, void, or nobody knows     DATA  a logical page
    TRIM, LOST  a list of logical pages: discarded; damaged before they could be moved
    """

    NONE = 0
    DATA = 1
    TRIM = 2
    LOST = 3


KINDS = tuple(kind.value for kind in Kind if kind is not Kind.NONE)
# Counts that only grow: none reaches it, and all are held in 64 bits with a sign.
COUNT_MAX = 1 << 62


@dataclass(frozen=True, slots=True)
class Header:
    """store     the flash file's own number
    logical      the logical page; of a list, how many it names
    sequence     counts all pages ever programmed: of two versions the higher one is newer
    digest       what `PageMap.digest` is once this page's batch is written
    index, num   this page's place in its batch, and the batch's pages
    length       bytes of the body that are in use
    erases       how often the page's block was erased when this was programmed
    body_sum     xxh3 of the whole body, unused bytes included
    """

    kind: Kind
    store: int
    logical: int
    sequence: int
    digest: int
    index: int
    num: int
    length: int
    erases: int
    body_sum: int = 0

    def pack(self, physical: int) -> bytes:
        """The checksum is seeded with the place, so that the header is whole only there."""
        head = HEADER.pack(
            MAGIC, self.kind, self.store, self.logical, self.sequence, self.digest,
            self.index, self.num, self.length, self.erases, self.body_sum,
        )  # fmt: skip
        return head + SUM.pack(xxh3_64_intdigest(head, physical))


def ids_max(geometry: FlashGeometry) -> int:
    """Logical pages that a list names: so few that its two copies lie in sectors apart."""
    return geometry.page_bytes // 32


def list_body(ids: tuple[int, ...], geometry: FlashGeometry) -> bytes:
    """Both ends of the body name the same pages, each copy with a checksum of its own."""
    packed = struct.pack(f"<{len(ids)}Q", *ids)
    copy = SUM.pack(xxh3_64_intdigest(packed)) + packed
    return copy + bytes(_body_bytes(geometry) - 2 * len(copy)) + copy


def encode(header: Header, payload: bytes, geometry: FlashGeometry, physical: int) -> bytes:
    """The page's bytes; the header's `body_sum` is filled in."""
    body = payload.ljust(_body_bytes(geometry), b"\0")
    head = replace(header, body_sum=xxh3_64_intdigest(body)).pack(physical)
    return head + body + head


def identify(raw: bytes, physical: int, store: int) -> Header | None:
    """Who the page says it is; the newer one if its two headers differ; None if neither is whole,
    or it is another store's.
    """
    ends = (raw[:HEADER_BYTES], raw[-HEADER_BYTES:])
    found = [header for end in ends if (header := _unpack(end, physical)) is not None]
    found = [header for header in found if header.store == store]
    return max(found, key=lambda header: header.sequence, default=None)


def may_say(header: Header, geometry: FlashGeometry) -> bool:
    """Whether a page of that geometry can be this: a checksum may fit what nobody wrote."""
    logical, length = header.logical, header.length
    if header.kind is Kind.DATA:
        is_right = logical < geometry.num_logical and length == geometry.page_bytes
    else:
        is_right = 0 < logical <= ids_max(geometry) and length == 8 * logical
    in_batch = header.index < header.num <= geometry.pages_per_block
    return is_right and in_batch and header.index < header.sequence < COUNT_MAX


def is_whole(raw: bytes, header: Header) -> bool:
    body = raw[HEADER_BYTES:-HEADER_BYTES]
    same = raw[:HEADER_BYTES] == raw[-HEADER_BYTES:]
    return same and xxh3_64_intdigest(body) == header.body_sum


def data_of(raw: bytes, header: Header) -> bytes:
    return raw[HEADER_BYTES : HEADER_BYTES + header.length]


def ids_of(raw: bytes, header: Header) -> tuple[int, ...] | None:
    """The logical pages that a list names, from a copy that is whole; None if none is."""
    size = SUM.size + header.length
    body = raw[HEADER_BYTES:-HEADER_BYTES]
    for copy in (body[:size], body[len(body) - size :]):
        if SUM.unpack_from(copy)[0] == xxh3_64_intdigest(copy[SUM.size :]):
            return struct.unpack(f"<{header.logical}Q", copy[SUM.size :])
    return None


def _unpack(end: bytes, physical: int) -> Header | None:
    head = end[: HEADER.size]
    magic, kind, *fields = HEADER.unpack(head)
    if magic != MAGIC or SUM.unpack(end[HEADER.size :])[0] != xxh3_64_intdigest(head, physical):
        return None
    return Header(Kind(kind), *fields) if kind in KINDS else None


def _body_bytes(geometry: FlashGeometry) -> int:
    return geometry.raw_page_bytes - 2 * HEADER_BYTES
