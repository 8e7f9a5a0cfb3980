"""A memory's error: a bit of a stored KV block changes, and nobody is told.

It reaches behind the pool, as a memory error does: nothing that a pool counts or orders changes.
"""

import numpy as np

from workers.kv.pool import BlockPool


def damage(pool: BlockPool, share: float) -> str:
    """Flip one bit of one block that lies in memory; `share` in [0, 1) says which. Returns the
    block's key, as errors name it; "" where no block lies there.
    """
    store = pool._store
    keys = [key for key in store if store[key].array.size]
    if not keys:
        return ""
    place = share * len(keys)
    key = keys[int(place)]
    block = store[key]
    data = np.array(block.array, order="C", copy=True)
    bits = data.view(np.uint8).reshape(-1)
    at = int((place - int(place)) * bits.size * 8)
    bits[at // 8] ^= np.uint8(1 << at % 8)
    data.flags.writeable = False
    block.array = data
    return key.hex()
