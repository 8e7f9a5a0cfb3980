"""KV blocks as they travel: what reading and writing them asks for, and whether they came whole,
and from whom they were meant to.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from workers.errors import CorruptMessage
from workers.hardware.work import Work
from workers.kv.identity import Owner, block_checksum
from workers.model.base import ChipModel
from workers.wire.kinds.kv import KvBlocks, PoolBlocks
from workers.wire.kinds.ranks import KvPart
from workers.wire.roles import Array

C = TypeVar("C", KvBlocks, KvPart)

# Of a message that is not sealed yet.
NO_SUMS: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)


def block_checksums(blocks: Array, whose: Sequence[bytes]) -> NDArray[np.uint64]:
    """One checksum a block, [block], of its bytes and its identity (`workers.kv.identity`): the
    same that the memory servers' pool keeps.
    """
    pairs = zip(blocks, whose, strict=True)
    return np.array([block_checksum(block, who) for block, who in pairs], dtype=np.uint64)


def places_of(owner: Owner, content: KvBlocks | KvPart) -> list[bytes]:
    """Identities of the pieces that a message carries, as both ends have them."""
    form: tuple[object, ...] = content.size, content.numbers
    if isinstance(content, KvPart):
        form = *form, content.layer, content.head
    else:
        form = *form, content.thin
    return owner.places(content.index.tolist(), *form)


def sealed(content: C, owner: Owner) -> C:
    """A message with the checksums of what it carries."""
    return replace(content, checksum=block_checksums(content.blocks, places_of(owner, content)))


def verify_blocks(request_id: str, content: KvBlocks | KvPart, owner: Owner) -> None:
    """Raise CorruptMessage naming the first block that is damaged, or not the owner's; and where
    one comes twice.
    """
    index = content.index.tolist()
    if len(set(index)) < len(index):
        raise CorruptMessage(f"KV blocks {index} of {request_id} came: each must come once")
    whose = places_of(owner, content)
    _verify(request_id, content.index, content.checksum, content.blocks, whose)


def verify_shared(request_id: str, content: PoolBlocks, hashes: Sequence[bytes]) -> None:
    """Raise CorruptMessage unless these are the leading ones of the blocks with these hashes, each
    once and in order.
    """
    num = len(content.index)
    if num > len(hashes) or content.index.tolist() != list(range(num)):
        raise CorruptMessage(
            f"KV blocks {content.index.tolist()} came for {request_id}: wanted were the first of "
            f"{len(hashes)}, in order"
        )
    if num:
        whose = hashes[:num]
        _verify(request_id, content.index, content.checksum, content.blocks, whose)


def _verify(
    request_id: str,
    index: NDArray[np.int64],
    checksum: NDArray[np.uint64],
    blocks: Array,
    whose: Sequence[bytes],
) -> None:
    if not len(index) == len(checksum) == len(blocks):
        raise CorruptMessage(
            f"KV of {request_id} came as {len(blocks)} blocks with {len(index)} indexes and "
            f"{len(checksum)} checksums"
        )
    for at, expected, actual in zip(index, checksum, block_checksums(blocks, whose), strict=True):
        if expected != actual:
            raise CorruptMessage(
                f"KV block {at} of {request_id} has checksum {actual:#x}, not {expected:#x}: it is "
                "damaged, or another's"
            )


def kv_work(model: ChipModel, num_blocks: int, what: str) -> Work:
    """Reading or writing some KV blocks of all layers: "kv_read" or "kv_write"."""
    num_bytes = num_blocks * model.block_bytes
    tier = {model.kv_tier: num_bytes}
    return Work.of(what, reads=tier) if what == "kv_read" else Work.of(what, writes=tier)
