"""KV blocks as they travel: what reading and writing them asks for, and whether they came whole."""

import numpy as np
from numpy.typing import NDArray

from workers.errors import CorruptMessage
from workers.hardware.work import Work
from workers.kv.pool import block_checksum
from workers.model.base import ChipModel
from workers.wire.kinds.kv import KvBlocks, PoolBlocks
from workers.wire.kinds.ranks import KvPart
from workers.wire.roles import Array


def block_checksums(blocks: Array) -> NDArray[np.uint64]:
    """One checksum a block, [block]: the same that the memory servers' pool keeps."""
    return np.array([block_checksum(block) for block in blocks], dtype=np.uint64)


def verify_blocks(request_id: str, content: KvBlocks | PoolBlocks | KvPart) -> None:
    """Raise CorruptMessage naming the first block that does not fit its checksum."""
    found = block_checksums(content.blocks)
    for index, expected, actual in zip(content.index, content.checksum, found, strict=True):
        if expected != actual:
            raise CorruptMessage(
                f"KV block {index} of {request_id} has checksum {actual:#x}, not {expected:#x}"
            )


def kv_work(model: ChipModel, num_blocks: int, what: str) -> Work:
    """Reading or writing some KV blocks of all layers: "kv_read" or "kv_write"."""
    num_bytes = num_blocks * model.block_bytes
    tier = {model.kv_tier: num_bytes}
    return Work.of(what, reads=tier) if what == "kv_read" else Work.of(what, writes=tier)
