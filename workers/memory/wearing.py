"""Flash that wears out before its time: blocks that have no cycle left but the one they are in.

What lies in them can be read, and is never erased to be used again; one that is erased is bad. How
much a block lasts is of the device, not of a file: whoever opens it anew wears it out again.
"""

from workers.kv.pool import BlockPool
from workers.memory.flash_pool import FlashPool


def wear_out(pool: BlockPool, share: float, draw: float) -> int:
    """Of all blocks of the pool's flash this share, which `draw` in [0, 1) says; equal draws mean
    equal blocks. Returns how many; 0 where the pool lies in memory.
    """
    return pool.flash.wear_out(share, draw) if isinstance(pool, FlashPool) else 0
