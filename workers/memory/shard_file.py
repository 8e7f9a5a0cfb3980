"""A shard as bytes, as pages, and on a node's disk, where a crash may tear what was not synced.

    bytes   magic | header length u32 | header checksum u64 | header JSON
            | ids int64 | vectors float32 | texts JSON
    page    magic u32 | index u32 | count u32 | payload length u32 | checksum u64 | payload, padded
    disk    NAME/GENERATION/page-INDEX   the newest sound generation is the shard

Everything is little-endian. A save writes a new generation beside the old one and removes the old
one only when the new one is synced, so a crash leaves one of the two.
"""

import json
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest as checksum

from workers.errors import CorruptMessage
from workers.host.disk import Disk
from workers.memory.shard import RetrievalShard

PAGE_BYTES = 16384  # ASSUMED: a flash page of 16 KiB; the caller passes its tier's own
_MAGIC = b"PFSHARD1"
_PAGE_MAGIC = 0x50475350  # "PSGP"
_HEAD = struct.Struct("<8sIQ")
_PAGE_HEAD = struct.Struct("<IIIIQ")
_PAGE_FACTS = struct.Struct("<III")


def to_bytes(shard: RetrievalShard) -> bytes:
    """The shard as one string of bytes with a checksum for each part."""
    texts = json.dumps([shard.texts, shard.file_ids], ensure_ascii=False).encode()
    parts = [
        shard.passage_ids.astype("<i8").tobytes(),
        shard.vectors().astype("<f4").tobytes(),
        texts,
    ]
    header = json.dumps(
        {
            "dim": shard.dim,
            "num_passages": shard.num_passages,
            "num_bytes": [len(part) for part in parts],
            "checksums": [checksum(part) for part in parts],
        }
    ).encode()
    return b"".join([_HEAD.pack(_MAGIC, len(header), checksum(header)), header, *parts])


def from_bytes(data: bytes) -> RetrievalShard:
    """The reverse of `to_bytes`. CorruptMessage if a byte is missing, changed or too many, or says
    what no shard does: a checksum tells that bytes are as they were written, not by whom.
    """
    try:
        return _shard(memoryview(data))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CorruptMessage(f"shard: is not as it should be: {error!r:.200}") from error
    except RecursionError as error:
        raise CorruptMessage("shard: its JSON is nested too deep") from error


def _shard(view: memoryview) -> RetrievalShard:
    header = _header(view)
    position = _HEAD.size + _HEAD.unpack_from(view)[1]
    parts = []
    names = ("ids", "vectors", "texts")
    for name, size, expected in zip(names, header["num_bytes"], header["checksums"], strict=True):
        part = view[position : position + size]
        if len(part) != size or checksum(part) != expected:
            raise CorruptMessage(f"shard: its {name} do not have the {size} bytes that were saved")
        parts.append(part)
        position += size
    if position != len(view):
        raise CorruptMessage(f"shard: {len(view) - position} bytes follow its end")
    shard = RetrievalShard(header["dim"])
    texts, file_ids = json.loads(bytes(parts[2]))
    vectors = np.frombuffer(parts[1], "<f4").reshape(header["num_passages"], header["dim"])
    shard.add(np.frombuffer(parts[0], "<i8"), vectors.astype(np.float32), texts, file_ids)
    return shard


def _header(view: memoryview) -> dict[str, Any]:
    if len(view) < _HEAD.size:
        raise CorruptMessage(f"shard: {len(view)} bytes are fewer than its head of {_HEAD.size}")
    magic, size, expected = _HEAD.unpack_from(view)
    if magic != _MAGIC:
        raise CorruptMessage(f"shard: it begins with {magic!r}, not with {_MAGIC!r}")
    header = view[_HEAD.size : _HEAD.size + size]
    if len(header) != size or checksum(header) != expected:
        raise CorruptMessage("shard: its header was cut or changed")
    parsed: dict[str, Any] = json.loads(bytes(header))
    return parsed


def to_pages(data: bytes, page_bytes: int = PAGE_BYTES) -> list[bytes]:
    """Cut into pages of exactly page_bytes, each with its place and a checksum; at least one page.

    Raises ValueError if a page would have no room beside its head.
    """
    room = page_bytes - _PAGE_HEAD.size
    if room < 1:
        raise ValueError(f"page_bytes is {page_bytes}: it must be above {_PAGE_HEAD.size}")
    count = max(1, -(-len(data) // room))
    return [
        _page(index, count, data[index * room : (index + 1) * room], page_bytes)
        for index in range(count)
    ]


def _page_checksum(index: int, count: int, payload: bytes) -> int:
    return checksum(_PAGE_FACTS.pack(index, count, len(payload)) + payload)


def _page(index: int, count: int, payload: bytes, page_bytes: int) -> bytes:
    sum_ = _page_checksum(index, count, payload)
    head = _PAGE_HEAD.pack(_PAGE_MAGIC, index, count, len(payload), sum_)
    return (head + payload).ljust(page_bytes, b"\0")


def from_pages(pages: Sequence[bytes]) -> bytes:
    """The reverse of `to_pages`. Raises CorruptMessage naming the first page that is not sound."""
    if not pages:
        raise CorruptMessage("shard: it has no pages")
    payloads = []
    for index, page in enumerate(pages):
        where = f"shard: page {index} of {len(pages)}"
        if len(page) < _PAGE_HEAD.size:
            raise CorruptMessage(f"{where} is torn: {len(page)} bytes", page=index)
        magic, held_index, count, size, expected = _PAGE_HEAD.unpack_from(page)
        payload = page[_PAGE_HEAD.size : _PAGE_HEAD.size + size]
        if magic != _PAGE_MAGIC or len(payload) != size:
            raise CorruptMessage(f"{where} is torn or not a page", page=index)
        if _page_checksum(held_index, count, payload) != expected:
            raise CorruptMessage(f"{where} does not fit its checksum", page=index)
        if (held_index, count) != (index, len(pages)):
            raise CorruptMessage(f"{where} is page {held_index} of {count}", page=index)
        payloads.append(payload)
    return b"".join(payloads)


def save_shard(disk: Disk, name: str, shard: RetrievalShard, page_bytes: int = PAGE_BYTES) -> int:
    """Write a new generation, sync it, then drop the old ones; returns the bytes written."""
    pages = to_pages(to_bytes(shard), page_bytes)
    _replace(disk, name, pages)
    return len(pages) * page_bytes


def delete_shard(disk: Disk, name: str) -> None:
    """Remove all of it; nothing happens if it is not there.

    A crash halfway must not leave half a shard, which would look damaged: an empty generation takes
    its place first, one page that goes at once or not at all.
    """
    if _generations(disk, name):
        for page_name in _replace(disk, name, to_pages(b"", _PAGE_HEAD.size + 1)):
            disk.delete(page_name)


def _replace(disk: Disk, name: str, pages: Sequence[bytes]) -> list[str]:
    """Write and sync a new generation, drop the old ones; returns the names of the new pages."""
    generations = _generations(disk, name)
    newest = max(generations, default=0) + 1
    page_names = [f"{name}/{newest:08d}/page-{index:08d}" for index in range(len(pages))]
    for page_name, page in zip(page_names, pages, strict=True):
        disk.write(page_name, page)
        disk.sync(page_name)
    for old in generations.values():
        for page_name in old:
            disk.delete(page_name)
    return page_names


def load_shard(disk: Disk, name: str) -> RetrievalShard:
    """The newest sound generation.

    Raises FileNotFoundError if it was never written or is deleted, CorruptMessage if no generation
    is sound.
    """
    generations = _generations(disk, name)
    if not generations:
        raise FileNotFoundError(f"shard {name!r} is not on this disk")
    first_error: CorruptMessage | None = None
    for generation in sorted(generations, reverse=True):
        try:
            data = from_pages([disk.read(page) for page in generations[generation]])
            if not data:
                raise FileNotFoundError(f"shard {name!r} was deleted from this disk")
            return from_bytes(data)
        except CorruptMessage as error:
            first_error = first_error or error
    assert first_error is not None
    raise CorruptMessage(f"{first_error.message} (on disk as {name!r})", **first_error.facts)


def load_shards(disk: Disk, folder: str) -> dict[str, RetrievalShard]:
    """All shards in a folder, by their names there. Raises CorruptMessage as `load_shard` does."""
    prefix = f"{folder}/"
    pages = (name for name in disk.names() if name.startswith(prefix))
    names = dict.fromkeys(page.rpartition("/page-")[0].rpartition("/")[0] for page in pages)
    found = {}
    for name in names:
        with suppress(FileNotFoundError):  # it was deleted
            found[name.removeprefix(prefix)] = load_shard(disk, name)
    return found


def _generations(disk: Disk, name: str) -> dict[int, list[str]]:
    """Generation -> its pages' names in page order."""
    found: dict[int, list[str]] = {}
    for page_name in disk.names():
        if page_name.startswith(f"{name}/"):
            generation, _, page = page_name[len(name) + 1 :].partition("/")
            if generation.isdecimal() and page.startswith("page-"):
                found.setdefault(int(generation), []).append(page_name)
    return found
